"""Finds the protocols: every module of this folder that defines a subclass of Protocol, and plug-ins by entry point.

A protocol is added by adding its file. Modules are imported when first needed, not when wiretrace starts.
"""

import functools
import importlib
import inspect
import pkgutil
from importlib.metadata import entry_points

from wiretrace import protocols
from wiretrace.protocols.contract import Protocol

ENTRY_POINT_GROUP = "wiretrace.protocols"


@functools.cache
def known_protocols() -> dict[str, type[Protocol]]:
    """All protocols by name, in alphabetical order of their names, so that equal inputs are read the same way."""
    found: dict[str, type[Protocol]] = {}
    for module_info in pkgutil.iter_modules(protocols.__path__):
        module = importlib.import_module(f"{protocols.__name__}.{module_info.name}")
        for _, candidate in inspect.getmembers(module, inspect.isclass):
            if (
                issubclass(candidate, Protocol)
                and candidate.__module__ == module.__name__
                and not inspect.isabstract(candidate)
            ):
                found[candidate.name] = candidate
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        plugin: type[Protocol] = entry_point.load()
        found[plugin.name] = plugin
    return dict(sorted(found.items()))
