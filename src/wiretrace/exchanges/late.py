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
    from collections.abc import Mapping
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
        changed: dict[int, pa.RecordBatch] = {}
        for column, known in zip(COLUMNS, self._known, strict=True):
            if not known:
                continue
            row, stream, end = np.concatenate(known, axis=1)
            row = row[acknowledged[stream] >= end]
            number = np.searchsorted(spool.firsts, row, "right") - 1
            for each in np.unique(number).tolist():
                part = changed[each] if each in changed else spool.part(each)
                values = part.column(column).to_numpy(zero_copy_only=False).copy()
                values[row[number == each] - spool.firsts[each]] = True
                place = part.schema.get_field_index(column)
                changed[each] = part.set_column(place, part.schema.field(place), pa.array(values))
        return replace_parts(spool, changed) if changed else spool
