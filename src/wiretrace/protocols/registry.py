"""Finds the protocols: every module of this folder that defines a subclass of Protocol or DatagramProtocol, and plug-ins.

A protocol is added by adding its file. Modules are imported when first needed, not when wiretrace starts.
"""

import functools
import importlib
import inspect
import pkgutil
from importlib.metadata import entry_points

from wiretrace import protocols
from wiretrace.protocols.contract import DatagramProtocol, Protocol

ENTRY_POINT_GROUP = "wiretrace.protocols"


@functools.cache
def known_protocols() -> dict[str, type[Protocol]]:
    """All protocols by name, in alphabetical order of their names, so that equal inputs are read the same way."""
    return {name: found for name, found in _found(Protocol) if issubclass(found, Protocol)}


@functools.cache
def known_datagram_protocols() -> dict[str, type[DatagramProtocol]]:
    """All protocols that are read from datagrams, likewise."""
    return {name: found for name, found in _found(DatagramProtocol) if issubclass(found, DatagramProtocol)}


def _found(kind: type[Protocol] | type[DatagramProtocol]) -> list[tuple[str, type[Protocol] | type[DatagramProtocol]]]:
    """The subclasses of `kind` in the folder and among the plug-ins, by name."""
    found: dict[str, type[Protocol] | type[DatagramProtocol]] = {}
    for module_info in pkgutil.iter_modules(protocols.__path__):
        module = importlib.import_module(f"{protocols.__name__}.{module_info.name}")
        for _, candidate in inspect.getmembers(module, inspect.isclass):
            if (
                issubclass(candidate, kind)
                and candidate.__module__ == module.__name__
                and not inspect.isabstract(candidate)
            ):
                found[candidate.name] = candidate
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        plugin = entry_point.load()
        if issubclass(plugin, kind):
            found[plugin.name] = plugin
    return sorted(found.items())
