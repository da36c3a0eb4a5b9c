"""IP fragments: datagrams put together from pieces that come in any order (RFC 791 section 3.2, RFC 8200 section 4.5).

Rules: the byte that came first wins where pieces overlap. A piece that the snap length cut counts with its length on the
wire; the rebuilt datagram then ends, as far as it was captured, at the first byte that is missing. Waiting pieces are
bounded in bytes and in time; what is given up is handed back to be counted.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import NamedTuple

PIECE_OVERHEAD_BYTES = 128
"""What a waiting piece costs besides its bytes."""
WAIT_NS = 60_000_000_000
"""Longest wait for the siblings (RFC 8200 section 4.5); after it an identification may have been used again."""
LONGEST_DATAGRAM = 65_535


class DatagramKey(NamedTuple):
    """What fragments of one datagram have in common. Addresses are packed."""

    source: bytes
    destination: bytes
    identification: int
    protocol: int
    """IPv4: the protocol. IPv6: -1, as fragments of one datagram may differ in it."""


class Fragment(NamedTuple):
    """One piece."""

    start: int
    """Where it belongs in the datagram's payload, in bytes."""
    length: int
    """Its length on the wire."""
    data: bytes
    """What was captured of it."""
    last: bool
    """No piece comes behind it."""
    protocol: int
    """What the datagram carries, as this piece says; the first piece is believed."""
    captured: int
    """Captured bytes of the packet that brought it."""


class Datagram(NamedTuple):
    """A datagram put together."""

    protocol: int
    data: bytes
    length: int
    """Its payload's length on the wire; more than that of `data` where the snap length cut a piece."""
    earlier: int
    """Packets that brought pieces of it before the one that completed it."""
    earlier_bytes: int
    """Captured bytes of those packets."""


@dataclass(slots=True)
class _Waiting:
    first_ns: int
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    """Where the spans of which nothing is missing begin and end, in order; between each two there is a hole."""
    pieces: list[tuple[int, int, bytes]] = field(default_factory=list)
    """(start, length on the wire, captured bytes) of disjoint pieces, in the order in which they came."""
    covered: int = 0
    total: int = -1
    protocol: int = 0
    packets: int = 0
    captured: int = 0
    cost: int = 0


@dataclass(slots=True)
class FragmentTable:
    """Datagrams of which pieces are missing yet."""

    limit_bytes: int
    """Bytes that may wait."""
    waiting: dict[DatagramKey, _Waiting] = field(default_factory=dict)
    cost: int = 0
    given_up_packets: int = 0
    given_up_bytes: int = 0
    over_limit: int = 0
    """Datagrams given up because of `limit_bytes`."""

    def add(self, key: DatagramKey, time_ns: int, fragment: Fragment) -> Datagram | None:
        """Take one piece. Returns the datagram that it completes, if it does."""
        datagram = self.waiting.get(key)
        if datagram is not None and abs(time_ns - datagram.first_ns) > WAIT_NS:
            self._give_up(key)
            datagram = None
        if datagram is None:
            datagram = self.waiting[key] = _Waiting(time_ns)
        if fragment.last and datagram.total < 0:
            datagram.total = fragment.start + fragment.length
        if fragment.start == 0:
            datagram.protocol = fragment.protocol
        cost = _insert(datagram, fragment) + PIECE_OVERHEAD_BYTES
        if datagram.covered == datagram.total:
            del self.waiting[key]
            self.cost -= datagram.cost
            return Datagram(datagram.protocol, _joined(datagram), datagram.total, datagram.packets, datagram.captured)
        datagram.packets += 1
        datagram.captured += fragment.captured
        datagram.cost += cost
        self.cost += cost
        while self.cost > self.limit_bytes:
            self.over_limit += 1
            self._give_up(next(iter(self.waiting)))
        return None

    def finish(self) -> None:
        """Nothing comes any more: give up what waits."""
        for key in list(self.waiting):
            self._give_up(key)

    def _give_up(self, key: DatagramKey) -> None:
        datagram = self.waiting.pop(key)
        self.cost -= datagram.cost
        self.given_up_packets += datagram.packets
        self.given_up_bytes += datagram.captured


def _insert(datagram: _Waiting, fragment: Fragment) -> int:
    """Keep what is new of `fragment`. Returns the captured bytes kept.

    Spans that it joins become one, so that what came before is not gone through again with each piece.
    """
    starts, ends = datagram.starts, datagram.ends
    position, end, kept = fragment.start, fragment.start + fragment.length, 0
    if position == end:
        return 0
    first = last = bisect_left(ends, position)
    while position < end:
        stop = min(end, starts[last]) if last < len(starts) else end
        if position < stop:
            data = fragment.data[position - fragment.start : stop - fragment.start]
            datagram.pieces.append((position, stop - position, data))
            datagram.covered += stop - position
            kept += len(data)
        if last == len(starts) or starts[last] > end:
            break
        position = max(stop, ends[last])
        last += 1
    starts[first:last], ends[first:last] = (
        [min([fragment.start, *starts[first:last]])],
        [max([end, *ends[first:last]])],
    )
    return kept


def _joined(datagram: _Waiting) -> bytes:
    """The captured bytes up to the first that is missing."""
    parts = []
    for _, length, data in sorted(datagram.pieces):
        parts.append(data)
        if len(data) < length:
            break
    return b"".join(parts)
