"""Which packets brought which bytes: times, frames and acknowledgements of messages, found for a whole chunk at once.

Rules: the index holds the segments of the current chunk and those of earlier chunks behind messages that are not
finished yet, sorted by stream and offset. Looking up is one binary search per array of messages, never one per message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.model.note import NoteKind, Notes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.model.limits import Limits
    from wiretrace.tcp.streams import Segments

_OFFSET_BITS = 43
_OFFSET_BIAS = 1 << (_OFFSET_BITS - 1)
_COLUMNS = ("stream", "offset", "length", "time_ns", "frame", "ack")


class Provenance:
    """An index of segments. Attributes are int64 arrays of shape (n,), as in `tcp.streams.Segments`."""

    def __init__(self, limits: Limits, notes: Notes) -> None:
        self._limits = limits
        self._notes = notes
        empty = np.zeros(0, np.int64)
        self.stream: NDArray[np.int64] = empty
        self.offset: NDArray[np.int64] = empty
        self.length: NDArray[np.int64] = empty
        self.time_ns: NDArray[np.int64] = empty
        self.frame: NDArray[np.int64] = empty
        self.ack: NDArray[np.int64] = empty
        self._streams: NDArray[np.int64] = empty
        self._keys: NDArray[np.int64] = empty

    def extend(self, segments: Segments, fin: NDArray[np.int64]) -> None:
        """Add the segments of a chunk to those retained.

        `fin`, by stream, is the offset of its FIN, -1 without one: what acknowledges it says one more than there are bytes
        (RFC 9293 section 3.4).
        """
        columns = {name: getattr(segments, name) for name in _COLUMNS}
        end = fin[columns["stream"] ^ 1]
        columns["ack"] = columns["ack"] - ((end >= 0) & (columns["ack"] == end + 1))
        if len(self.stream):
            columns = {name: np.concatenate([getattr(self, name), column]) for name, column in columns.items()}
            order = np.lexsort((columns["offset"], columns["stream"]))
            columns = {name: column[order] for name, column in columns.items()}
        self._set(columns)

    def locate(
        self, streams: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last segment of messages that span ``[start, end)`` of their streams. All shapes (m,).

        Where an end of a message was not captured, the nearest captured segment inside the message is given.
        """
        rank = np.searchsorted(self._streams, streams)
        first = np.searchsorted(self._keys, _key(rank, starts), "right") - 1
        last = np.searchsorted(self._keys, _key(rank, ends - 1), "right") - 1
        limit = len(self.stream) - 1
        held = np.clip(first, 0, limit)
        outside = (first < 0) | (self.stream[held] != streams) | (self.offset[held] + self.length[held] <= starts)
        first = np.minimum(first + outside, limit)
        return first, np.maximum(np.clip(last, 0, limit), first)

    def retain(self, keep_from: dict[int, int]) -> None:
        """Forget all but, of the streams named, the segments that reach behind the offset given."""
        if not keep_from:
            self._set({name: getattr(self, name)[:0] for name in _COLUMNS})
            return
        wanted = np.array(sorted(keep_from), np.int64)
        offsets = np.array([keep_from[number] for number in wanted.tolist()], np.int64)
        rank = np.minimum(np.searchsorted(wanted, self.stream), len(wanted) - 1)
        keep = (wanted[rank] == self.stream) & (self.offset + self.length > offsets[rank])
        bound = self._limits.message_segments
        if np.count_nonzero(keep) > bound:
            kept = np.flatnonzero(keep)
            _, first, counts = np.unique(self.stream[kept], return_index=True, return_counts=True)
            for at, count in zip(first[counts > bound].tolist(), counts[counts > bound].tolist(), strict=True):
                keep[kept[at + bound // 4 : at + count - bound // 4]] = False
                self._notes.add(NoteKind.LIMIT_REACHED, "message_segments")
        self._set({name: getattr(self, name)[keep] for name in _COLUMNS})

    def _set(self, columns: dict[str, NDArray[np.int64]]) -> None:
        for name, column in columns.items():
            setattr(self, name, column)
        changes = np.flatnonzero(np.diff(self.stream)) + 1
        firsts = np.concatenate([[0], changes]) if len(self.stream) else changes
        self._streams = self.stream[firsts]
        rank = np.repeat(np.arange(len(firsts)), np.diff(np.append(firsts, len(self.stream))))
        self._keys = _key(rank, self.offset)


def _key(rank: NDArray[np.int64], offset: NDArray[np.int64]) -> NDArray[np.int64]:
    """One sortable number for (rank of the stream, offset). Shapes (n,)."""
    key: NDArray[np.int64] = (rank << _OFFSET_BITS) + np.clip(offset, 1 - _OFFSET_BIAS, _OFFSET_BIAS - 1) + _OFFSET_BIAS
    return key
