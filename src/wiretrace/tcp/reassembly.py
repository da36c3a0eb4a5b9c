"""Puts the payload of each direction of each connection in order, a chunk of packets at a time.

Rules: every byte is delivered once, in order of its sequence number (RFC 9293 section 3.4), with the time and frame of
the first packet that brought it. A hole is given up as lost when the receiver acknowledges bytes behind it (it has them,
the capture lacks them) and nothing late is expected any more, when the next chunk does not fill it either, or when too
much waits behind it. Directions whose segments are in order, which is nearly all, are handled by array operations alone;
the others one direction at a time.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wiretrace.model.note import NoteKind, Notes
from wiretrace.packets.columns import ACK, FIN, RST, SYN, TCP, PacketColumns
from wiretrace.tcp.connections import NEVER, ConnectionTable
from wiretrace.tcp.health import Packets, note_health, stable_order, windows_still_closed
from wiretrace.tcp.streams import NO_ACK, Run, Segments, StreamChunk
from wiretrace.tcp.trouble import Closures, Repeats, joined_repeats

if TYPE_CHECKING:
    from wiretrace.model.limits import Limits

STRAY_DISTANCE = 1 << 28
"""Bytes from where its connection stands beyond which a segment belongs to another one whose SYN was not captured."""

SETTLING_PACKETS = 1000
"""Packets before the end of a chunk in which a hole is left open, because packets may be captured out of order."""

_COLUMNS = ("offset", "length", "time_ns", "frame", "ack", "position")
Buffer = bytearray | memoryview | bytes
Piece = dict[str, NDArray[np.int64]]
"""Segments of one or more whole streams: the columns of `Segments`, and `stream`."""


class Reassembler:
    """Orders the packets of one vantage point."""

    def __init__(self, limits: Limits, notes: Notes) -> None:
        self.connections = ConnectionTable()
        self.payload_bytes = 0
        """Payload bytes in the TCP packets seen, copies left out."""
        self.delivered_bytes = 0
        """Of these, bytes that were delivered."""
        self._limits = limits
        self._notes = notes
        self._settled_frame = 0
        """Frame before which nothing late is expected any more."""
        self._repeats: list[Repeats] = []
        """What was found of the chunk at work."""
        self._waiting: dict[int, tuple[Piece, bytes]] = {}
        """By stream: segments behind a hole, their positions counted in the bytes beside them."""

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait behind holes."""
        return sum(len(data) for _, data in self._waiting.values())

    def feed(self, columns: PacketColumns) -> StreamChunk:
        """Order one more chunk."""
        tcp = np.flatnonzero((columns.transport == TCP) & ~columns.copy)
        flow, direction = columns.flow[tcp], columns.direction[tcp]
        seq, flags, time_ns = columns.seq[tcp], columns.flags[tcp], columns.time_ns[tcp]
        length = columns.payload_length[tcp].astype(np.int64)
        self.payload_bytes += int(length.sum())
        connection = self.connections.assign(flow, direction, seq, flags, time_ns)
        stream = connection.astype(np.int64) * 2 + direction
        has_ack = ((flags & (ACK | RST)) == ACK) & (columns.ack[tcp] > 0)
        ack = columns.ack[tcp].astype(np.int64)
        sequence = seq.astype(np.int64) + ((flags & SYN) != 0)
        self._set_bases(stream, sequence, ack, has_ack)
        offset = self._unwrap(stream, sequence)
        for _ in range(4):
            stray = np.flatnonzero((length > 0) & (np.abs(offset - self.connections.next_of[stream]) > STRAY_DISTANCE))
            if not len(stray):
                break
            self._split_strays(stray, flow, connection)
            stream = connection.astype(np.int64) * 2 + direction
            self._set_bases(stream, sequence, ack, has_ack)
            offset = self._unwrap(stream, sequence)
        ack_offset = np.where(has_ack, self._unwrap(stream ^ 1, ack), NO_ACK)
        frame = columns.frame[tcp]
        closures = note_health(
            self.connections,
            Packets(stream, offset, length, ack_offset, has_ack, flags, columns.window[tcp], time_ns, frame),
        )

        loaded = np.flatnonzero(length > 0)
        order = loaded[stable_order(stream[loaded])]
        piece: Piece = {
            "stream": stream[order],
            "offset": offset[order],
            "length": length[order],
            "time_ns": time_ns[order],
            "frame": frame[order],
            "ack": ack_offset[order],
            "position": columns.payload_offset[tcp][order],
        }
        self._settled_frame = int(columns.frame[-1]) - SETTLING_PACKETS if len(columns) else 0
        events = np.unique(connection[(flags & (SYN | FIN | RST)) != 0])
        return self._deliver(piece, columns.buffer, closures, final=False, events=events.tolist())

    def finish(self) -> StreamChunk:
        """Deliver all that still waits: the capture has ended."""
        empty = np.zeros(0, np.int64)
        piece: Piece = dict.fromkeys(("stream", *_COLUMNS), empty)
        return self._deliver(piece, b"", windows_still_closed(self.connections), final=True, events=[])

    def _unwrap(self, stream: NDArray[np.int64], sequence: NDArray[np.int64]) -> NDArray[np.int64]:
        """Stream offsets of 32-bit sequence numbers: the ones nearest to where each stream stands. Shapes (n,)."""
        expected = self.connections.next_of[stream]
        difference = (sequence - self.connections.base_of[stream] - expected) & 0xFFFFFFFF
        offsets: NDArray[np.int64] = expected + difference - ((difference >> 31) << 32)
        return offsets

    def _set_bases(
        self,
        stream: NDArray[np.int64],
        sequence: NDArray[np.int64],
        ack: NDArray[np.int64],
        has_ack: NDArray[np.bool_],
    ) -> None:
        """Choose offset 0 of streams whose SYN was not captured. All shapes (n,)."""
        base, started = self.connections.base_of, self.connections.started_of
        acked = np.flatnonzero(has_ack & (base[stream ^ 1] < 0))
        if len(acked):
            # A stream of which only acknowledgements are known: it stands where the first of them says. Where that one
            # came from an end that had sent nothing since its own SYN, it ends the handshake, and the stream starts there.
            streams, first = np.unique(stream[acked] ^ 1, return_index=True)
            index = acked[first]
            handshake = started[streams ^ 1] & (sequence[index] == base[streams ^ 1])
            own = np.flatnonzero(base[stream] < 0)
            own_streams, own_first = np.unique(stream[own], return_index=True)
            own_sequence = dict(zip(own_streams.tolist(), sequence[own[own_first]].tolist(), strict=True))
            for number, at, sure in zip(streams.tolist(), index.tolist(), handshake.tolist(), strict=True):
                base[number] = int(ack[at]) if sure else own_sequence.get(number, int(ack[at]))
                started[number] = sure
        unknown = np.flatnonzero(base[stream] < 0)
        if len(unknown):
            streams, first = np.unique(stream[unknown], return_index=True)
            base[streams] = sequence[unknown[first]] & 0xFFFFFFFF

    def _split_strays(self, stray: NDArray[np.intp], flow: NDArray[np.int32], connection: NDArray[np.int32]) -> None:
        """Begin a new connection in each flow that has strays, from its first stray on; changes `connection`."""
        flows, first = np.unique(flow[stray], return_index=True)
        order = np.argsort(flow, kind="stable")
        begins, ends = (np.searchsorted(flow[order], flows, side).tolist() for side in ("left", "right"))
        for number, index, begin, end in zip(flows.tolist(), stray[first].tolist(), begins, ends, strict=True):
            later = order[begin:end]
            later = later[(later >= index) & (connection[later] == connection[index])]
            connection[later] = self.connections.begin(number)

    def _deliver(
        self, piece: Piece, buffer: Buffer, closures: Closures, *, final: bool, events: list[int]
    ) -> StreamChunk:
        table = self.connections
        stream, offset, length = piece["stream"], piece["offset"], piece["length"]
        ends = offset + length
        starts_group = np.ones(len(stream), np.bool_)
        starts_group[1:] = stream[1:] != stream[:-1]
        expected = np.empty(len(stream), np.int64)
        expected[1:] = ends[:-1]
        firsts = np.flatnonzero(starts_group)
        expected[firsts] = table.next_of[stream[firsts]]
        lasts = np.append(firsts[1:], len(stream))
        table.segments_of[stream[firsts]] += lasts - firsts
        ordered = np.ones(len(firsts), np.bool_)
        ordered[np.searchsorted(firsts, np.flatnonzero(expected != offset), "right") - 1] = False
        group_streams = stream[firsts].tolist()
        held_before = self._waiting
        self._waiting = {}
        held_bytes = b"".join([data for _, data in held_before.values()])
        held_at: dict[int, int] = {}
        position = 0
        for number, (_, data) in held_before.items():
            held_at[number] = position
            position += len(data)
        if held_before:
            ordered[[number in held_before for number in group_streams]] = False

        good = firsts[ordered]
        table.next_of[stream[good]] = ends[lasts[ordered] - 1]
        if len(firsts):
            np.add.at(table.bytes_of, stream[good], np.add.reduceat(length, firsts)[ordered])

        pieces: list[Piece] = []
        runs: list[Run] = []
        count = 0
        copied = 0
        absent = sorted(held_before.keys() - set(group_streams))
        empty = np.zeros(0, np.int64)
        first_list, last_list, ordered_list = firsts.tolist(), lasts.tolist(), ordered.tolist()
        offset_list = offset[firsts].tolist()
        for group, number in enumerate(group_streams):
            first, last = first_list[group], last_list[group]
            if ordered_list[group]:
                runs.append(Run(number, offset_list[group], count, count + last - first, 0))
                count += last - first
                continue
            if copied < first:
                pieces.append({name: column[copied:first] for name, column in piece.items()})
            copied = last
            mine = {name: piece[name][first:last] for name in _COLUMNS}
            count = self._deliver_disordered(number, mine, held_before, held_at, buffer, final, pieces, runs, count)
        if copied < len(stream):
            pieces.append({name: column[copied:] for name, column in piece.items()})
        for number in absent:
            count = self._deliver_disordered(
                number, dict.fromkeys(_COLUMNS, empty), held_before, held_at, buffer, True, pieces, runs, count
            )
        joined = {
            name: np.concatenate([p[name] for p in pieces]) if pieces else empty for name in ("stream", *_COLUMNS)
        }
        segments = Segments(**joined)
        if absent:
            runs, segments = _in_stream_order(runs, segments)
        self.delivered_bytes += int(segments.length.sum())
        touched = sorted({run.stream >> 1 for run in runs} | set(events))
        repeats = joined_repeats([Repeats(), *self._repeats])
        self._repeats = []
        return StreamChunk(segments, runs, touched, memoryview(buffer), memoryview(held_bytes), repeats, closures)

    def _deliver_disordered(
        self,
        stream: int,
        mine: Piece,
        held_before: dict[int, tuple[Piece, bytes]],
        held_at: dict[int, int],
        buffer: Buffer,
        final: bool,
        pieces: list[Piece],
        runs: list[Run],
        count: int,
    ) -> int:
        """Order the segments of one stream, cut what overlaps, and deliver up to the first hole that may still be filled.

        Returns the number of segments delivered so far.
        """
        table = self.connections
        # Where the bytes begin that wait since an earlier chunk: a hole in front of them has had its time.
        held_from = NEVER
        if stream in held_before:
            held, _ = held_before[stream]
            held_from = int(held["offset"][0])
            mine = {
                name: np.concatenate(
                    [-1 - (held[name] + held_at[stream]) if name == "position" else held[name], mine[name]]
                )
                for name in _COLUMNS
            }
        ends = mine["offset"] + mine["length"]
        reached = np.maximum.accumulate(ends)
        overtaken = mine["offset"][1:] < reached[:-1]
        order = np.argsort(mine["offset"], kind="stable")
        offset, ends = mine["offset"][order], ends[order]
        before = np.maximum.accumulate(np.concatenate([[int(table.next_of[stream])], ends]))[:-1]
        fresh = ends > before
        keep_alive = (offset == before - 1) & (ends == before)
        again = ~fresh & ~keep_alive
        table.retransmitted_of[stream] += int(np.count_nonzero(again))
        late = np.zeros(len(order), np.bool_)
        late[order] = fresh
        late[:1] = False
        late[1:] &= overtaken
        table.out_of_order_of[stream] += int(np.count_nonzero(late))
        if again.any() or late.any():
            late[order[again]] = True
            self._repeat(stream, mine, reached, np.flatnonzero(late), filled=fresh[np.argsort(order, kind="stable")])
        order, offset, before = order[fresh], offset[fresh], before[fresh]
        if not len(order):
            return count
        start = np.maximum(offset, before)
        trimmed = start - offset
        position = mine["position"][order]
        delivered: Piece = {
            "stream": np.full(len(order), stream, np.int64),
            "offset": start,
            "length": mine["length"][order] - trimmed,
            "time_ns": mine["time_ns"][order],
            "frame": mine["frame"][order],
            "ack": mine["ack"][order],
            "position": np.where(position >= 0, position + trimmed, position - trimmed),
        }
        holes = np.flatnonzero(start > before)
        acknowledged = int(table.acknowledged_of[stream])
        stop = len(order)
        for hole in holes.tolist():
            settled = int(delivered["frame"][hole]) < self._settled_frame
            if final or (settled and acknowledged >= int(start[hole])):
                continue
            if int(start[hole]) <= held_from:
                continue
            if int(delivered["length"][hole:].sum()) > self._limits.out_of_order_bytes:
                self._notes.add(NoteKind.LIMIT_REACHED, "out_of_order_bytes")
                continue
            stop = hole
            break
        if stop < len(order):
            self._hold(stream, {name: delivered[name][stop:] for name in _COLUMNS}, buffer, held_before, held_at)
            delivered = {name: column[:stop] for name, column in delivered.items()}
            holes = holes[holes < stop]
        if not stop:
            return count
        cuts = [*([0] if not len(holes) or holes[0] else []), *holes.tolist(), stop]
        for first, last in itertools.pairwise(cuts):
            lost = int(start[first] - before[first])
            runs.append(Run(stream, int(start[first]), count + first, count + last, lost))
            table.lost_of[stream] += lost
        table.next_of[stream] = int(start[stop - 1] + delivered["length"][stop - 1])
        table.bytes_of[stream] += int(delivered["length"].sum())
        pieces.append(delivered)
        return count + stop

    def _repeat(
        self,
        stream: int,
        mine: Piece,
        reached: NDArray[np.int64],
        rows: NDArray[np.intp],
        filled: NDArray[np.bool_],
    ) -> None:
        """Remember segments, in `rows`, that were sent again, or (where `filled`) came behind later ones.

        `mine` holds the segments of `stream` in capture order, and `reached` the highest end among them so far. A segment
        was missed since the first one that held its first byte or lay behind it.
        """
        offset = mine["offset"][rows]
        first = np.searchsorted(reached, offset, "right")
        in_this_chunk = (first < rows) & (offset >= self.connections.next_of[stream])
        missed = np.where(in_this_chunk, mine["time_ns"][np.minimum(first, rows)], -1)
        self._repeats.append(
            Repeats(
                np.full(len(rows), stream, np.int64),
                offset,
                offset + mine["length"][rows],
                missed,
                mine["time_ns"][rows],
                mine["frame"][rows],
                (~filled[rows]).astype(np.int64),
            )
        )

    def _hold(
        self,
        stream: int,
        piece: Piece,
        buffer: Buffer,
        held_before: dict[int, tuple[Piece, bytes]],
        held_at: dict[int, int],
    ) -> None:
        """Keep segments behind a hole until the next chunk."""
        view = memoryview(buffer)
        parts = []
        for position, length in zip(piece["position"].tolist(), piece["length"].tolist(), strict=True):
            if position >= 0:
                parts.append(bytes(view[position : position + length]))
            else:
                at = -1 - position - held_at[stream]
                parts.append(held_before[stream][1][at : at + length])
        piece["position"] = np.cumsum(piece["length"]) - piece["length"]
        self._waiting[stream] = (piece, b"".join(parts))


def _in_stream_order(runs: list[Run], segments: Segments) -> tuple[list[Run], Segments]:
    """Sort runs by stream and offset, and the segments with them."""
    order = sorted(range(len(runs)), key=lambda index: (runs[index].stream, runs[index].start))
    picks = [np.arange(runs[index].first, runs[index].last) for index in order]
    index = np.concatenate(picks)
    moved = []
    count = 0
    for number in order:
        run = runs[number]
        size = run.last - run.first
        moved.append(Run(run.stream, run.start, count, count + size, run.lost_before))
        count += size
    columns = {name: getattr(segments, name)[index] for name in ("stream", *_COLUMNS)}
    return moved, Segments(**columns)
