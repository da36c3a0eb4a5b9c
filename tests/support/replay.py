"""The two streams of each connection of a capture that tests/protocols/recording/ made, for tests of protocols alone."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import dpkt
from tests.support.dissect import dissect
from tests.support.mangle import mutated, with_gaps

from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context

if TYPE_CHECKING:
    from pathlib import Path

    from wiretrace.protocols.contract import Protocol

Streams = tuple[bytes, bytes]


def streams_of(path: Path, server_port: int) -> list[Streams]:
    """What client and server said, of each connection to `server_port`, in the order in which they were opened."""
    found: dict[int, tuple[dict[int, bytes], dict[int, bytes]]] = {}
    with path.open("rb") as file:
        for _, data in dpkt.pcap.Reader(file):
            packet = dpkt.ethernet.Ethernet(data).data.data
            side = int(packet.sport == server_port)
            pieces = found.setdefault(packet.dport if side else packet.sport, ({}, {}))
            if packet.data:
                pieces[side].setdefault(packet.seq, packet.data)
    return [(_joined(client), _joined(server)) for client, server in found.values()]


def _joined(pieces: dict[int, bytes]) -> bytes:
    """Segments in the order of their sequence numbers; loopback loses and repeats none."""
    return b"".join(data for _, data in sorted(pieces.items()))


def check_bears_anything(protocol: type[Protocol], streams: Streams, examples: int, seed: int = 1) -> None:
    """Gaps, wrong bytes, one side only, a late start: nothing is raised, and `dissect` finds the contract kept."""
    chooser = random.Random(seed)
    for number in range(examples):
        client, server = streams
        if number % 4 == 0:
            client, server = mutated(client, chooser), server
        elif number % 4 == 1:
            client, server = client, mutated(server, chooser)
        elif number % 4 == 2:
            dissect(protocol, with_gaps(client, chooser), with_gaps(server, chooser))
            continue
        else:
            late = chooser.randrange(len(client) + 1), chooser.randrange(len(server) + 1)
            client, server = client[late[0] :], server[late[1] :]
        whole = number % 4 != 3
        protocol.probe(client, server)
        dissect(protocol, client, server, context=Context(started=(whole, whole)))
    for empty in (Side.CLIENT, Side.SERVER):
        dissect(protocol, *(b"" if side is empty else streams[side] for side in Side))


def check_splits_change_nothing(protocol: type[Protocol], streams: Streams, seeds: int = 4) -> None:
    """However the bytes arrive, the messages are the same, all bytes are read and no rule is broken."""
    whole = dissect(protocol, *streams)
    assert whole.violations == []
    assert whole.unread == []
    for seed in range(seeds):
        split = dissect(protocol, *streams, splits=random.Random(seed))
        assert split.requests == whole.requests
        assert split.responses == whole.responses
