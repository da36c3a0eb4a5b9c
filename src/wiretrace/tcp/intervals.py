"""Time that intervals cover together, for many groups of them at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def newly_covered(group: NDArray[np.int64], begin: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """What each interval covers that no earlier one of its group does; all shapes (n,), sorted by group, then by `begin`.

    Summed over a group it is the length of the union. Intervals whose end is before their beginning cover nothing.
    """
    if not len(group):
        return np.zeros(0, np.int64)
    end = np.maximum(begin, end)
    first = np.flatnonzero(np.diff(group, prepend=group[0] - 1))
    # Each group gets a span of numbers of its own, so that one running maximum serves all of them. Ends are replaced by
    # their ranks, so that no time is too long for that.
    family = np.repeat(np.arange(len(first)), np.diff(first, append=len(group))) * len(group)
    order = np.argsort(end, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    reached = end[order][np.maximum.accumulate(rank + family) - family]
    before = np.concatenate([begin[:1], reached[:-1]])
    before[first] = begin[first]
    covered: NDArray[np.int64] = np.maximum(end - np.maximum(begin, before), 0)
    return covered
