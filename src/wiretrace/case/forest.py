"""The request trees of a case as arrays: parents, roots and children by row of `calls`, walked without recursion.

Every call is reached exactly once, whatever the case says: a parent that does not exist counts as none, and calls that
are each other's ancestors (which a sound case never holds) are broken open at the earliest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from numpy.typing import NDArray


class Forest:
    """Who caused whom. Calls are numbered by their row in the table `calls`; siblings are in order of their start."""

    def __init__(self, calls: pa.Table) -> None:
        count = len(calls)
        found = pc.index_in(calls.column("parent"), value_set=calls.column("id"), skip_nulls=True)
        parent: NDArray[np.int64] = found.fill_null(-1).to_numpy().astype(np.int64)
        by_start = in_order(calls).to_numpy().astype(np.int64)
        for row in _cycle_breaks(parent, by_start):
            parent[row] = -1
        self._order = by_start[np.argsort(parent[by_start], kind="stable")]
        self._offsets = np.searchsorted(parent[self._order], np.arange(-1, count + 1))
        self.parent: NDArray[np.int64] = parent
        """Row of the parent of each call; -1 where there is none in the table. Shape (n,)."""
        self.roots: list[int] = self._order[: self._offsets[1]].tolist()
        """Calls without a parent, in order of their start."""

    def children(self, row: int) -> list[int]:
        """The calls that the call in `row` caused, in order of their start."""
        return self._order[self._offsets[row + 1] : self._offsets[row + 2]].tolist()  # type: ignore[no-any-return]

    def walk(self, root: int) -> Iterator[tuple[int, int]]:
        """Rows and depths (0 for the root) of the tree under `root`, parents before children, in order of start."""
        stack = [(root, 0)]
        while stack:
            row, depth = stack.pop()
            yield row, depth
            stack.extend((child, depth + 1) for child in reversed(self.children(row)))


def without_questions(calls: pa.Table) -> pa.Table:
    """The columns of `calls` that make a Forest, where a parent that is only a question counts as none."""
    parent = pc.if_else(calls.column("question").fill_null(False), None, calls.column("parent"))
    return calls.select(["id", "start_ns"]).append_column("parent", parent)


def in_order(calls: pa.Table) -> pa.Array:
    """Rows of the table `calls` sorted by start and then by id: the order of every output."""
    return pc.sort_indices(calls, sort_keys=[("start_ns", "ascending"), ("id", "ascending")])


def _cycle_breaks(parent: NDArray[np.int64], by_start: NDArray[np.int64]) -> list[int]:
    """The earliest call of every cycle of parents. Climbs by doubling: n log n, however the cycles lie."""
    count = len(parent)
    above = np.append(np.where(parent < 0, count, parent), count)
    for _ in range(count.bit_length()):
        above = above[above]
    in_cycle = np.zeros(count + 1, dtype=np.bool_)
    in_cycle[above] = True
    in_cycle[count] = False
    breaks = []
    for row in by_start[in_cycle[by_start]].tolist():
        if in_cycle[row]:
            breaks.append(row)
            while in_cycle[row]:
                in_cycle[row] = False
                row = int(parent[row])
    return breaks
