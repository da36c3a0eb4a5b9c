"""The request trees of a case as arrays: parents, roots and children by row of `calls`, walked without recursion.

Every call is reached exactly once, whatever the case says: a parent that does not exist counts as none, and calls that
are each other's ancestors (which a sound case never holds) are broken open at the earliest.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wiretrace.case.ids import RowsOfIds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from wiretrace.case.reader import Case


FOLLOWS = "follows"
"""Relation of a call that took off a queue what its parent had put there: nobody waited for it."""


class Forest:
    """Who caused whom. Calls are numbered by their row in the table `calls`; siblings are in order of their start."""

    def __init__(self, parent: NDArray[np.int32], by_start: NDArray[np.int32]) -> None:
        """`parent` holds rows, -1 for none, and has no cycles; `by_start` the rows in order. Shapes (n,)."""
        self._order = by_start[np.argsort(parent[by_start], kind="stable")]
        self._offsets = np.searchsorted(parent[self._order], np.arange(-1, len(parent) + 1, dtype=np.int32))
        self.parent = parent
        """Row of the parent of each call; -1 where there is none in the table. Shape (n,)."""
        self.roots: list[int] = self._order[: self._offsets[1]].tolist()
        """Calls without a parent, in order of their start."""

    @classmethod
    def of(cls, calls: pa.Table) -> Forest:
        """The trees of rows of the table `calls`."""
        parent = RowsOfIds.of(calls.column("id")).rows(calls.column("parent"))
        by_start = in_order(calls)
        break_cycles(parent, lambda: by_start)
        return cls(parent, by_start)

    @classmethod
    def without_questions(cls, case: Case) -> Forest:
        """The trees of a case, where a parent that is only a question counts as none."""
        by_start = calls_in_order(case)
        parent = np.where(questions(case), np.int32(-1), parents_of_calls(case))
        break_cycles(parent, lambda: by_start)
        return cls(parent, by_start)

    def children(self, row: int) -> list[int]:
        """The calls that the call in `row` caused, in order of their start."""
        return self._order[self._offsets[row + 1] : self._offsets[row + 2]].tolist()  # type: ignore[no-any-return]

    def in_order(self, roots: Iterable[int] | None = None) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Rows and depths of all trees, or of those under `roots`, one after another as `walk` goes. Shapes (n,)."""
        rows, depths = array("i"), array("i")
        for root in self.roots if roots is None else roots:
            for row, depth in self.walk(root):
                rows.append(row)
                depths.append(depth)
        return np.array(rows, np.int32), np.array(depths, np.int32)

    def walk(self, root: int) -> Iterator[tuple[int, int]]:
        """Rows and depths (0 for the root) of the tree under `root`, parents before children, in order of start."""
        stack = [(root, 0)]
        while stack:
            row, depth = stack.pop()
            yield row, depth
            stack.extend((child, depth + 1) for child in reversed(self.children(row)))


def following(relation: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Which calls took off a queue what their parents had put there, by the column `relation` of calls. Shape (n,)."""
    return pc.fill_null(pc.equal(relation.cast(pa.string()), FOLLOWS), False).to_numpy()  # type: ignore[no-any-return]


def calls_by_id(case: Case) -> RowsOfIds:
    """Finds calls by id. Raises UserError if the case is damaged."""
    return RowsOfIds(lambda: (piece.column("id") for piece in case.pieces("calls", ["id"])))


def parents_of_calls(case: Case) -> NDArray[np.int32]:
    """Row of the parent of each call as the case says it; -1 where there is none. Shape (n,); may hold cycles."""
    index = calls_by_id(case)
    pieces = (index.rows(piece.column("parent")) for piece in case.pieces("calls", ["parent"]))
    return np.concatenate([np.zeros(0, np.int32), *pieces])


def questions(case: Case) -> NDArray[np.bool_]:
    """Whether the parent of each call is only a question. Shape (n,)."""
    pieces = (piece.column("question") for piece in case.pieces("calls", ["question"]))
    return np.concatenate([np.zeros(0, np.bool_), *(piece.fill_null(False).to_numpy() for piece in pieces)])


def in_order(calls: pa.Table) -> NDArray[np.int32]:
    """Rows of the table `calls` sorted by start and then by id: the order of every output. Shape (n,)."""
    sort_keys = [("start_ns", "ascending"), ("id", "ascending")]
    return pc.sort_indices(calls, sort_keys=sort_keys).to_numpy().astype(np.int32)  # type: ignore[no-any-return]


def calls_in_order(case: Case) -> NDArray[np.int32]:
    """The same of all calls of a case, reading no more than is needed."""
    return in_order(case.columns("calls", ["start_ns", "id"]))


def break_cycles(parent: NDArray[np.int32], by_start: Callable[[], NDArray[np.int32]]) -> None:
    """Make the earliest call of every cycle of parents a root, in place (n,). `by_start` gives the rows in order.

    Climbs by doubling: n log n, however the cycles lie.
    """
    count = len(parent)
    above = np.append(np.where(parent < 0, np.int32(count), parent), np.int32(count))
    for _ in range(count.bit_length()):
        if (above == count).all():
            return
        above = above[above]
    in_cycle = np.zeros(count + 1, dtype=np.bool_)
    in_cycle[above] = True
    in_cycle[count] = False
    order = by_start()
    for first in order[in_cycle[order]].tolist():
        if in_cycle[first]:
            row = first
            while in_cycle[row]:
                in_cycle[row] = False
                row = int(parent[row])
            parent[first] = -1


def topmost_calls(parents: NDArray[np.int32]) -> NDArray[np.int32]:
    """The row of the topmost call above each call. `parents`: rows without cycles, -1 for none. Shapes (n,)."""
    topmost = np.where(parents < 0, np.arange(len(parents), dtype=np.int32), parents)
    while not np.array_equal(further := topmost[topmost], topmost):
        topmost = further
    return topmost
