"""Finds what a folder holds one file each of (protocols, kinds of evidence, rules, exporters), and plug-ins from outside.

Rules: the modules of the folder are imported when they are first asked for, not when wiretrace starts. A plug-in is a
class under an entry point of the folder's group, and of the same kind.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from types import ModuleType

Kind = TypeVar("Kind")


def classes_found(folder: ModuleType, kind: type[Kind], group: str) -> list[type[Kind]]:
    """The concrete subclasses of `kind` that modules of `folder` define, in alphabetical order of the modules, then those
    of the entry points of `group`."""
    found: list[type[Kind]] = []
    for module_info in pkgutil.iter_modules(folder.__path__):
        module = importlib.import_module(f"{folder.__name__}.{module_info.name}")
        for _, candidate in inspect.getmembers(module, inspect.isclass):
            if (
                issubclass(candidate, kind)
                and candidate.__module__ == module.__name__
                and not inspect.isabstract(candidate)
            ):
                found.append(candidate)
    for entry_point in entry_points(group=group):
        plugin = entry_point.load()
        if inspect.isclass(plugin) and issubclass(plugin, kind):
            found.append(plugin)
    return found
