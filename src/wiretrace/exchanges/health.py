"""What went wrong on the way of each message: how often it was sent again, and how long it waited for that, or was blocked.

Rules: what the tcp floor found is kept until the messages that it concerns are in exchanges, up to a limit. Both are rare;
where there is nothing, nothing is looked up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wiretrace.model.note import NoteKind, Notes
from wiretrace.tcp.intervals import newly_covered
from wiretrace.tcp.trouble import Closures, Repeats, joined_closures, joined_repeats

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from wiretrace.exchanges.message_table import MessageTable
    from wiretrace.exchanges.provenance import Provenance
    from wiretrace.model.limits import Limits
    from wiretrace.tcp.streams import StreamChunk

LATEST = np.iinfo(np.int64).max
FRAMES_KEPT = 8
"""Packets that are named of those that sent a message again."""


class Health(NamedTuple):
    """By row of the message table. Shapes (n,), int64."""

    retransmitted: NDArray[np.int64]
    """Segments of the message that were sent again."""
    first_again_ns: NDArray[np.int64]
    """When the first of them came; -1 if there is none."""
    stalled_ns: NDArray[np.int64]
    """How long it waited for them, or for what filled a hole in it."""
    frames: dict[int, list[int]]
    """The first packets that sent it again, by row, where there are any."""


class TransferHealth:
    """What is known of the messages that are not yet in exchanges."""

    def __init__(self, limits: Limits, notes: Notes) -> None:
        self._limits = limits
        self._notes = notes
        self._repeats = Repeats()
        self._closures = Closures()

    def extend(self, chunk: StreamChunk, provenance: Provenance) -> None:
        """Take what a chunk brought. `provenance` knows when what was not acknowledged by then was first sent."""
        if len(chunk.repeats):
            _date(chunk.repeats, provenance)
            self._repeats = joined_repeats([self._repeats, chunk.repeats])
        if len(chunk.closures):
            self._closures = joined_closures([self._closures, chunk.closures])

    def retain(self, connections: Iterable[int]) -> None:
        """Forget what concerns no connection among these."""
        if not len(self._repeats) and not len(self._closures):
            return
        wanted = np.fromiter(connections, np.int64)
        self._repeats = self._repeats.take(np.isin(self._repeats.stream >> 1, wanted))
        self._closures = self._closures.take(np.isin(self._closures.stream >> 1, wanted))
        bound = self._limits.message_segments
        if len(self._repeats) > bound or len(self._closures) > bound:
            self._notes.add(NoteKind.LIMIT_REACHED, "message_segments")
            self._repeats = self._repeats.take(np.arange(len(self._repeats))[-bound:])
            self._closures = self._closures.take(np.arange(len(self._closures))[-bound:])

    def of_messages(self, table: MessageTable) -> Health:
        """The health of all messages of a chunk."""
        count = len(table)
        health = Health(np.zeros(count, np.int64), np.full(count, -1), np.zeros(count, np.int64), {})
        repeats = self._repeats
        if not len(repeats):
            return health
        event, row = _overlapping(table, repeats)
        again = repeats.again[event] > 0
        np.add.at(health.retransmitted, row[again], 1)
        first = np.flatnonzero(again)[::-1]
        health.first_again_ns[row[first]] = repeats.time_ns[event[first]]
        for at, frame in zip(row[again].tolist(), repeats.frame[event[again]].tolist(), strict=True):
            frames = health.frames.setdefault(at, [])
            if len(frames) < FRAMES_KEPT:
                frames.append(frame)
        missed = repeats.missed_ns[event]
        missed = np.where(missed >= 0, missed, table.end_ns[row])
        order = np.lexsort((missed, row))
        covered = newly_covered(row[order], missed[order], repeats.time_ns[event[order]])
        np.add.at(health.stalled_ns, row[order], covered)
        return health

    def join(self, table: MessageTable, health: Health) -> None:
        """Correct what `health` says of messages that were put together of pieces: what delayed one delayed the whole."""
        repeats, rows = self._repeats, table.joined
        rows = rows[np.isin(table.stream[rows], repeats.stream)]
        if not len(rows):
            return
        repeats = repeats.take(np.lexsort((repeats.offset, repeats.stream)))
        first, behind = (np.searchsorted(repeats.stream, table.stream[rows], side) for side in ("left", "right"))
        longest = int((repeats.end - repeats.offset).max())
        for row, low, high in zip(rows.tolist(), first.tolist(), behind.tolist(), strict=True):
            offset = repeats.offset[low:high]
            start, end = int(table.start[row]), int(table.end[row])
            event = low + np.arange(np.searchsorted(offset, start - longest), np.searchsorted(offset, end))
            event = event[repeats.end[event] > start]
            again = event[repeats.again[event] > 0]
            health.retransmitted[row] = len(again)
            health.first_again_ns[row] = repeats.time_ns[again].min(initial=LATEST) if len(again) else -1
            missed = repeats.missed_ns[event]
            order = np.argsort(missed, kind="stable")[np.count_nonzero(missed < 0) :]
            covered = newly_covered(np.zeros(len(order), np.int64), missed[order], repeats.time_ns[event[order]])
            health.stalled_ns[row] = covered.sum()

    def blocked(
        self, stream: NDArray[np.int64], begin_ns: NDArray[np.int64], end_ns: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """How long between two moments the sender of each stream took no more bytes. Shapes (n,)."""
        found = np.zeros(len(stream), np.int64)
        closures = self._closures
        if not len(closures) or not len(stream):
            return found
        closed = closures.take(np.lexsort((closures.begin_ns, closures.stream)))
        first = np.searchsorted(closed.stream, stream, "left")
        last = np.searchsorted(closed.stream, stream, "right")
        row = np.repeat(np.arange(len(stream)), last - first)
        event = np.arange(len(row)) - np.repeat(np.cumsum(last - first) - (last - first), last - first)
        event += np.repeat(first, last - first)
        inside = np.minimum(closed.end_ns[event], end_ns[row]) - np.maximum(closed.begin_ns[event], begin_ns[row])
        np.add.at(found, row, np.maximum(inside, 0))
        return found


def _date(repeats: Repeats, provenance: Provenance) -> None:
    """Find out since when bytes were missed whose first copy came in an earlier chunk, where that is still known."""
    early = np.flatnonzero(repeats.missed_ns < 0)
    if len(early) and len(provenance.stream):
        stream, offset = repeats.stream[early], repeats.offset[early]
        at, _ = provenance.locate(stream, offset, offset + 1)
        known = (provenance.stream[at] == stream) & (provenance.offset[at] <= offset)
        repeats.missed_ns[early[known]] = provenance.time_ns[at[known]]


def _overlapping(table: MessageTable, repeats: Repeats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which repeats concern which messages: pairs of an index into `repeats` and a row, in the order of the repeats."""
    wanted = np.zeros(int(max(table.stream.max(), repeats.stream.max())) + 1, np.bool_)
    wanted[repeats.stream] = True
    wanted[0] &= bool((repeats.stream == 0).any())
    rows = np.flatnonzero(wanted[table.stream])
    rows = rows[rows > 0]
    rows = rows[np.lexsort((table.start[rows], table.stream[rows]))]
    stream, start, end = table.stream[rows], table.start[rows], table.end[rows]
    begins, stops = np.searchsorted(stream, repeats.stream, "left"), np.searchsorted(stream, repeats.stream, "right")
    pairs: list[tuple[int, int]] = []
    for event, (first, last, offset, behind) in enumerate(
        zip(begins.tolist(), stops.tolist(), repeats.offset.tolist(), repeats.end.tolist(), strict=True)
    ):
        if first == last:
            continue
        place = max(first + int(np.searchsorted(start[first:last], offset, "right")) - 1, first)
        while place < last and int(start[place]) < behind:
            if int(end[place]) > offset:
                pairs.append((event, int(rows[place])))
            place += 1
    event_of, row_of = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(event_of, np.int64), np.array(row_of, np.int64)
