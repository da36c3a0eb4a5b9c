"""Self time: how long nothing ran that a call caused, of all calls at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from wiretrace.tcp.intervals import newly_covered

if TYPE_CHECKING:
    from numpy.typing import NDArray


def self_times(parent: NDArray[np.integer[Any]], start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """``end - start`` of each call less the union of its children's time inside of it; all shapes (n,), nanoseconds.

    `parent` holds the rows of the parents, -1 for none.
    """
    alone: NDArray[np.int64] = np.maximum(end - start, 0)
    child = np.flatnonzero(parent >= 0)
    if not len(child):
        return alone
    child = child[np.lexsort((start[child], parent[child]))]
    cause = parent[child].astype(np.int64)
    latest = start[cause] + alone[cause]
    covered = newly_covered(
        cause, np.clip(start[child], start[cause], latest), np.clip(end[child], start[cause], latest)
    )
    np.subtract.at(alone, cause, covered)
    return alone
