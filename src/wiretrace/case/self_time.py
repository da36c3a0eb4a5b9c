"""Self time: how long nothing ran that a call caused, of all calls at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def self_times(parent: NDArray[np.integer[Any]], start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """``end - start`` of each call less the union of its children's time inside of it; all shapes (n,), nanoseconds.

    `parent` holds the rows of the parents, -1 for none. The union of intervals by sorting: a child adds what lies behind the
    latest end of its siblings that started before it.
    """
    alone: NDArray[np.int64] = np.maximum(end - start, 0)
    child = np.flatnonzero(parent >= 0)
    if not len(child):
        return alone
    child = child[np.lexsort((start[child], parent[child]))]
    cause = parent[child]
    begin = np.clip(start[child], start[cause], end[cause]) - start[cause]
    finish = np.maximum(np.clip(end[child], start[cause], end[cause]) - start[cause], begin)
    # Each parent's children get a span of numbers of their own, so that one running maximum serves all of them. Ends are
    # replaced by their ranks, so that no time is too long for that.
    first = np.flatnonzero(np.diff(cause, prepend=-1))
    family = np.repeat(np.arange(len(first)), np.diff(first, append=len(child))) * len(child)
    order = np.argsort(finish, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    reached = finish[order][np.maximum.accumulate(rank + family) - family]
    before = np.concatenate([[0], reached[:-1]])
    before[first] = 0
    covered = np.maximum(finish - np.maximum(begin, before), 0)
    np.subtract.at(alone, cause, covered)
    return alone
