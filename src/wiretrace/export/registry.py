"""Finds the exporters: every module of this folder that defines a subclass of Exporter, and plug-ins by entry point."""

import functools
import importlib
import inspect
import pkgutil
from importlib.metadata import entry_points

from wiretrace import export
from wiretrace.export.contract import Exporter

ENTRY_POINT_GROUP = "wiretrace.exporters"


@functools.cache
def known_exporters() -> dict[str, type[Exporter]]:
    """All exporters by the name of their format, in alphabetical order."""
    found: dict[str, type[Exporter]] = {}
    for module_info in pkgutil.iter_modules(export.__path__):
        module = importlib.import_module(f"{export.__name__}.{module_info.name}")
        for _, candidate in inspect.getmembers(module, inspect.isclass):
            if (
                issubclass(candidate, Exporter)
                and candidate.__module__ == module.__name__
                and not inspect.isabstract(candidate)
            ):
                found[candidate.name] = candidate
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        plugin: type[Exporter] = entry_point.load()
        found[plugin.name] = plugin
    return dict(sorted(found.items()))
