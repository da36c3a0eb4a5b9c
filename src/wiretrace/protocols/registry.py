"""Finds the protocols: every module of this folder that defines a subclass of Protocol or DatagramProtocol, and plug-ins.

A protocol is added by adding its file. Modules are imported when first needed, not when wiretrace starts.
"""

import functools

from wiretrace import protocols
from wiretrace.model.plugins import classes_found
from wiretrace.protocols.contract import DatagramProtocol, Protocol

ENTRY_POINT_GROUP = "wiretrace.protocols"


@functools.cache
def known_protocols() -> dict[str, type[Protocol]]:
    """All protocols by name, in alphabetical order of their names, so that equal inputs are read the same way."""
    found = {protocol.name: protocol for protocol in classes_found(protocols, Protocol, ENTRY_POINT_GROUP)}
    return dict(sorted(found.items()))


@functools.cache
def known_datagram_protocols() -> dict[str, type[DatagramProtocol]]:
    """All protocols that are read from datagrams, likewise."""
    found = {each.name: each for each in classes_found(protocols, DatagramProtocol, ENTRY_POINT_GROUP)}
    return dict(sorted(found.items()))
