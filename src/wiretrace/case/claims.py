"""What `links` and `evidence` say of calls, by the place of the call in an order: of all calls, or of a few.

Of the claims of all calls together only their rows are in memory; what they say is read when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wiretrace.case.ids import RowsOfIds
from wiretrace.case.rows import RowReader

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.case.reader import Case

READ_AT_ONCE = 1 << 14
"""Rows of `calls` that are read at once."""


class Claims(NamedTuple):
    """Claims about some calls that stand side by side."""

    table: pa.Table
    """Rows of `links` or of `evidence`, call by call."""
    bounds: NDArray[np.int64]
    """The claims about call k are the rows from ``bounds[k]`` to before ``bounds[k + 1]``."""


class ClaimsOfCalls:
    """Evidence for the chosen parents and runners-up of the calls in `order`, rows of the table `calls`."""

    def __init__(self, case: Case, order: NDArray[np.integer[Any]]) -> None:
        """Raises UserError if the case is damaged."""
        calls = RowReader(case, "calls", ["id", "parent"])
        pieces = [calls.take(order[start : start + READ_AT_ONCE]) for start in range(0, len(order), READ_AT_ONCE)]
        places = RowsOfIds(lambda: (piece.column("id") for piece in pieces))
        parents = pa.chunked_array([chunk for piece in pieces for chunk in piece.column("parent").chunks], pa.string())
        self._links = ClaimRows(len(order), RowReader(case, "links", ["parent", "confidence"]))
        self._further = ClaimRows(len(order), RowReader(case, "links", ["parent", "confidence"]))
        for piece in case.pieces("links", ["child", "parent", "rank"]):
            rank, place = piece.column("rank").to_numpy(), places.rows(piece.column("child"))
            self._links.add(place, rank > 0, rank)
            is_further = (rank == 0) & (place >= 0)
            chosen = pc.equal(
                piece.column("parent").filter(pa.array(is_further)), parents.take(pa.array(place[is_further]))
            )
            is_further[is_further] = ~chosen.fill_null(True).to_numpy()
            self._further.add(place, is_further, rank)
        self._evidence = ClaimRows(len(order), RowReader(case, "evidence", ["kind", "weight", "detail"]))
        for piece in case.pieces("evidence", ["child", "parent"]):
            place = places.rows(piece.column("child"))
            is_known = place >= 0
            chosen = pc.equal(
                piece.column("parent").filter(pa.array(is_known)), parents.take(pa.array(place[is_known]))
            )
            is_known[is_known] = chosen.fill_null(False).to_numpy()
            self._evidence.add(place, is_known, np.zeros(len(place), np.int32))

    def reasons(self, start: int, end: int) -> Claims:
        """The evidence of the calls from place `start` to before `end`: kind, weight and detail."""
        return self._evidence.claims(start, end)

    def further(self, start: int, end: int) -> Claims:
        """What those calls follow beside their parents, where they took several messages off: parent and confidence."""
        return self._further.claims(start, end)

    def runners_up(self, start: int, end: int) -> Claims:
        """The runners-up of those calls, the likeliest first: parent and confidence."""
        return self._links.claims(start, end)


class ClaimRows:
    """Rows of a table of claims, by the place of their call, and of one call by rank."""

    def __init__(self, places: int, reader: RowReader) -> None:
        """`places` is the number of calls; `reader` reads what is wanted of the claims."""
        self._reader = reader
        self._read = 0
        self._counts = np.zeros(places + 1, np.int64)
        self._parts: list[tuple[NDArray[Any], ...]] = []
        self._rows = np.zeros(0, np.int32)

    def add(self, place: NDArray[np.int32], is_wanted: NDArray[np.bool_], rank: NDArray[Any]) -> None:
        """Take note of the next rows of the table. Shapes (n,); the place is -1 where the call is none of them."""
        wanted = np.flatnonzero(is_wanted & (place >= 0))
        self._parts.append((place[wanted], rank[wanted], (self._read + wanted).astype(np.int32)))
        self._read += len(place)

    def claims(self, start: int, end: int) -> Claims:
        """The claims about the calls from place `start` to before `end`."""
        if self._parts:
            place, rank, rows = (np.concatenate(column) for column in zip(*self._parts, strict=True))
            self._parts = []
            self._rows = rows[np.lexsort((rank, place))]
            np.cumsum(np.bincount(place, minlength=len(self._counts) - 1), out=self._counts[1:])
        bounds = self._counts[start : end + 1]
        return Claims(self._reader.take(self._rows[bounds[0] : bounds[-1]]), bounds - bounds[0])
