"""Acknowledgements that came after the exchange was written whose message they acknowledge: rows of the spool, corrected.

Rules: an exchange is written in the chunk that completes it, and what one end sent last may be acknowledged in the next one.
Acknowledgements are cumulative: what the last one of a stream covers was acknowledged, whenever. So the few messages at the
seams are remembered by their stream and end, and judged when all packets were read. Only the parts with them are read again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from wiretrace.exchanges.spool import Spool, replace_parts
from wiretrace.model.note import NoteKind, Notes
from wiretrace.tcp.connections import NEVER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from wiretrace.exchanges.message_table import MessageTable
    from wiretrace.exchanges.rows import Rows
    from wiretrace.model.limits import Limits

COLUMNS = ("request_acknowledged", "response_acknowledged")


class LateAcknowledgements:
    """The messages of one vantage point that were written before they were acknowledged."""

    def __init__(self, limits: Limits, notes: Notes) -> None:
        self._limits = limits
        self._notes = notes
        self._known: tuple[list[NDArray[np.int64]], ...] = ([], [])
        """By column of `COLUMNS`: arrays of shape (3, n) with row in the spool, stream, and stream offset of the end."""
        self._count = 0

    def remember(
        self,
        first: int,
        table: MessageTable,
        rows: Rows,
        figures: Mapping[str, NDArray[Any]],
        acknowledged: NDArray[np.int64],
    ) -> None:
        """Note what of `rows`, written to the spool from row `first` on, is not acknowledged yet.

        `figures` holds the `COLUMNS`; `acknowledged`, by stream, how far its bytes were acknowledged: of a stream of which
        nothing ever was, only one direction was captured.
        """
        for column, message, known in zip(COLUMNS, (rows.request, rows.response), self._known, strict=True):
            open_ = np.flatnonzero((message > 0) & ~figures[column])
            open_ = open_[acknowledged[table.stream[message[open_]]] > NEVER]
            if not len(open_):
                continue
            if self._count + len(open_) > self._limits.late_acknowledgements:
                self._notes.add(NoteKind.LIMIT_REACHED, "late_acknowledgements", len(open_))
                continue
            self._count += len(open_)
            known.append(np.stack([first + open_, table.stream[message[open_]], table.end[message[open_]]]))

    def settle(self, spool: Spool, acknowledged: NDArray[np.int64]) -> Spool:
        """The spool, with the acknowledgements that came later. `acknowledged` as above. Raises OSError."""
        late: list[tuple[str, NDArray[np.int64]]] = []
        for column, known in zip(COLUMNS, self._known, strict=True):
            if known:
                row, stream, end = np.concatenate(known, axis=1)
                late.append((column, row[acknowledged[stream] >= end]))
        rows = np.concatenate([np.zeros(0, np.int64), *(row for _, row in late)])
        return replace_parts(spool, _corrected(spool, late, rows)) if len(rows) else spool


def _corrected(
    spool: Spool, late: Sequence[tuple[str, NDArray[np.int64]]], rows: NDArray[np.int64]
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Part by part, as memory has no room for all: the parts that hold any of `rows`, and their numbers.

    `late` holds columns and the rows that are true in them.
    """
    for number in np.unique(np.searchsorted(spool.firsts, rows, "right") - 1).tolist():
        part = spool.part(number)
        first, behind = spool.firsts[number : number + 2]
        for column, row in late:
            values = part.column(column).to_numpy(zero_copy_only=False).copy()
            values[row[(row >= first) & (row < behind)] - first] = True
            place = part.schema.get_field_index(column)
            part = part.set_column(place, part.schema.field(place), pa.array(values))
        yield number, part
