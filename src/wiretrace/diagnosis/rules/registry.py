"""Finds the rules: every module of this folder that defines a subclass of Rule, and plug-ins by entry point."""

import functools
import importlib
import inspect
import pkgutil
from importlib.metadata import entry_points

from wiretrace.diagnosis import rules
from wiretrace.diagnosis.rules.contract import Rule

ENTRY_POINT_GROUP = "wiretrace.rules"


@functools.cache
def known_rules() -> dict[str, Rule]:
    """All rules by code, in alphabetical order."""
    found: dict[str, Rule] = {}
    for module_info in pkgutil.iter_modules(rules.__path__):
        module = importlib.import_module(f"{rules.__name__}.{module_info.name}")
        for _, candidate in inspect.getmembers(module, inspect.isclass):
            if (
                issubclass(candidate, Rule)
                and candidate.__module__ == module.__name__
                and not inspect.isabstract(candidate)
            ):
                found[candidate.code] = candidate()
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        plugin: type[Rule] = entry_point.load()
        found[plugin.code] = plugin()
    return dict(sorted(found.items()))
