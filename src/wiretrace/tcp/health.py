"""The health of connections: round trips, handshakes, closed windows, keep-alive probes, who left, and what ends claim.

Rules: by array operations over the packets of a chunk, in capture order. Where an index occurs more than once in an
assignment, NumPy keeps the last: so the last packet stays, or the first where they are reversed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.packets.columns import FIN, RST, SYN
from wiretrace.tcp.trouble import Closures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.tcp.connections import ConnectionTable

BELIEVED_DISTANCE = 1 << 28
"""Bytes ahead of what was delivered that a bare acknowledgement may claim to have sent."""

SHORTEST_IDLE_NS = 500_000_000
"""A connection is probed when nothing was sent for so long at least: what comes sooner is a retransmission."""


@dataclass(slots=True)
class Packets:
    """The TCP packets of a chunk. All arrays have shape (n,)."""

    stream: NDArray[np.int64]
    offset: NDArray[np.int64]
    """Stream offset of the first byte, or of the next one where there is none."""
    length: NDArray[np.int64]
    ack: NDArray[np.int64]
    """Offset in the opposite stream; meaningless without `has_ack`."""
    has_ack: NDArray[np.bool_]
    flags: NDArray[np.uint8]
    window: NDArray[np.uint16]
    time_ns: NDArray[np.int64]
    frame: NDArray[np.int64]


def note_health(table: ConnectionTable, packets: Packets) -> Closures:
    """Note all that the packets say of their connections; returns the windows that opened again."""
    connection = packets.stream >> 1
    table.last_ns_of[connection] = packets.time_ns
    fresh = np.flatnonzero(table.first_ns_of[connection] < 0)[::-1]
    table.first_ns_of[connection[fresh]] = packets.time_ns[fresh]
    acks = packets.has_ack
    np.maximum.at(table.acknowledged_of, packets.stream[acks] ^ 1, packets.ack[acks])
    table.heard_ns_of[packets.stream[acks]] = packets.time_ns[acks]
    _note_handshakes(table, packets, connection)
    _note_claims(table, packets)
    _note_endings(table, packets)
    _note_neighbours(table, packets, connection)
    return _note_windows(table, packets, connection)


def _note_handshakes(table: ConnectionTable, packets: Packets, connection: NDArray[np.int64]) -> None:
    """The ACK that ends a handshake: the first packet of the client behind the SYN-ACK."""
    count = table.count
    waiting = (table.handshake_ns_of[:count] < 0) & (table.syn_ack_ns_of[:count] >= 0)
    if not waiting.any():
        return
    rows = np.flatnonzero(waiting[connection] & packets.has_ack & ((packets.flags & (SYN | RST)) == 0))[::-1]
    rows = rows[packets.time_ns[rows] >= table.syn_ack_ns_of[connection[rows]]]
    rows = rows[(packets.stream[rows] & 1) == table.client_of[connection[rows]]]
    table.handshake_ns_of[connection[rows]] = packets.time_ns[rows]


def _note_claims(table: ConnectionTable, packets: Packets) -> None:
    """A bare acknowledgement carries the next sequence number of its sender: it has sent all before that."""
    bare = np.flatnonzero(packets.has_ack & (packets.length == 0) & ((packets.flags & (SYN | FIN)) == 0))
    stream, offset = packets.stream[bare], packets.offset[bare]
    believed = offset - table.next_of[stream] < BELIEVED_DISTANCE
    if not believed.all():
        stream, offset = stream[believed], offset[believed]
    np.maximum.at(table.sent_of, stream, offset)


def _note_endings(table: ConnectionTable, packets: Packets) -> None:
    """FINs and RSTs: the first of each."""
    flags, stream, time_ns, frame = packets.flags, packets.stream, packets.time_ns, packets.frame
    resets = np.flatnonzero(flags & RST)[::-1]
    resets = resets[table.reset_by_of[stream[resets] >> 1] < 0]
    table.reset_by_of[stream[resets] >> 1] = stream[resets] & 1
    table.reset_ns_of[stream[resets] >> 1] = time_ns[resets]
    table.reset_frame_of[stream[resets] >> 1] = frame[resets]
    fins = np.flatnonzero((flags & (FIN | RST)) == FIN)
    table.fin_of[stream[fins]] = np.maximum(packets.offset[fins] + packets.length[fins], 0)
    first = fins[table.fin_ns_of[stream[fins]] < 0][::-1]
    table.fin_ns_of[stream[first]] = time_ns[first]
    table.fin_frame_of[stream[first]] = frame[first]
    fins = fins[table.first_fin_by_of[stream[fins] >> 1] < 0][::-1]
    table.first_fin_by_of[stream[fins] >> 1] = stream[fins] & 1


def _note_neighbours(table: ConnectionTable, packets: Packets, connection: NDArray[np.int64]) -> None:
    """What two packets that follow each other in a connection show: a round trip, or a keep-alive probe.

    Data that is acknowledged by the next packet of the other end is a round trip. A packet of at most one byte, after an
    idle while, that repeats the byte before the next one, is a probe.
    """
    if len(connection) < 2:
        return
    order = stable_order(connection)
    before, after = order[:-1], order[1:]
    same = connection[after] == connection[before]
    turned = packets.stream[after] != packets.stream[before]
    end = packets.offset + packets.length
    trips = same & turned & packets.has_ack[after] & (packets.length[before] > 0)
    rows = np.flatnonzero(trips & (packets.ack[after] == end[before]))
    if len(rows):
        took = packets.time_ns[after[rows]] - packets.time_ns[before[rows]]
        of_stream = packets.stream[before[rows]]
        shortest = table.data_rtt_ns_of
        shortest[of_stream[shortest[of_stream] < 0]] = np.iinfo(np.int64).max
        np.minimum.at(shortest, of_stream, np.maximum(took, 0))
    idle = same & (packets.time_ns[after] - packets.time_ns[before] >= SHORTEST_IDLE_NS)
    rows = np.flatnonzero(idle & (packets.length[after] <= 1) & ((packets.flags[after] & (SYN | FIN | RST)) == 0))
    if len(rows):
        one, other = before[rows], after[rows]
        expected = np.where(turned[rows], np.where(packets.has_ack[one], packets.ack[one], -1), end[one])
        probes = packets.offset[other] == expected - 1
        np.add.at(table.keep_alives_of, packets.stream[other[probes]], 1)


def _note_windows(table: ConnectionTable, packets: Packets, connection: NDArray[np.int64]) -> Closures:
    """Count windows of zero, and tell how long each end was closed."""
    ordinary = (packets.flags & (RST | SYN | FIN)) == 0
    closed = np.flatnonzero((packets.window == 0) & ordinary)
    since = table.closed_since_ns_of
    if not len(closed) and not table.any_closed:
        return Closures()
    np.add.at(table.zero_windows_of, connection[closed], 1)
    affected = np.zeros(2 * table.count, np.bool_)
    affected[packets.stream[closed]] = True
    affected |= since[: 2 * table.count] >= 0
    rows = np.flatnonzero(affected[packets.stream] & ordinary)
    rows = rows[stable_order(packets.stream[rows])]
    stream, zero, time_ns = packets.stream[rows], packets.window[rows] == 0, packets.time_ns[rows]
    first = np.diff(stream, prepend=-1) != 0
    before = np.concatenate([[False], zero[:-1]])
    before[first] = since[stream[first]] >= 0
    begins, ends = np.flatnonzero(zero & ~before), np.flatnonzero(~zero & before)
    carried = np.flatnonzero(first & before)
    # What was closed before the chunk begins with it: of a stream, beginnings and ends alternate.
    begin_stream = np.concatenate([stream[carried], stream[begins]])
    begin_ns = np.concatenate([since[stream[carried]], time_ns[begins]])
    order = np.argsort(begin_stream, kind="stable")
    begin_stream, begin_ns = begin_stream[order], begin_ns[order]
    last = np.append(np.diff(begin_stream) != 0, True)[: len(begin_stream)]
    started = np.bincount(begin_stream, minlength=2 * table.count)
    ended = np.bincount(stream[ends], minlength=2 * table.count)
    still = last & (started[begin_stream] > ended[begin_stream])
    since[stream[first]] = -1
    since[begin_stream[still]] = begin_ns[still]
    table.any_closed = bool((since[: 2 * table.count] >= 0).any())
    whole = Closures(begin_stream[~still], begin_ns[~still], time_ns[ends])
    np.add.at(table.closed_ns_of, whole.stream, np.maximum(whole.end_ns - whole.begin_ns, 0))
    return whole


def windows_still_closed(table: ConnectionTable) -> Closures:
    """The windows that were never seen to open again, up to the last packet of their connections."""
    streams = np.flatnonzero(table.closed_since_ns_of[: 2 * table.count] >= 0)
    return Closures(streams, table.closed_since_ns_of[streams], table.last_ns_of[streams >> 1])


def stable_order(number: NDArray[np.int64]) -> NDArray[np.intp]:
    """Indices that sort `number` (n,), equal ones in place. NumPy sorts 16-bit integers by radix, ten times faster."""
    if not len(number):
        return np.zeros(0, np.intp)
    lowest = int(number.min())
    if int(number.max()) - lowest < 1 << 16:
        return np.argsort((number - lowest).astype(np.uint16), kind="stable")
    return np.argsort(number, kind="stable")
