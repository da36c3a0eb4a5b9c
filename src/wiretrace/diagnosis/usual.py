"""What is usual for a kind of call, and what is far beyond it, from the very calls that are judged.

A fault may hold for more than half of a capture, so that neither mean nor median say what is usual: the lower quarter
does, and where the fault holds for still longer, the middle of the best stretch of time. Where calls are unlike each other
at all times (cache hits and misses), no stretch is better than the others. What is beyond it is judged by how far the lower
calls are apart, and never where nobody would wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

FEWEST = 8
"""Calls of a kind, in a capture or in a stretch of it, from which something is said to be usual."""
SLICES = 8
"""Stretches of equal length into which a capture is cut, to find the one in which a kind of call was well."""
WIDTHS = (1, 2, 4)
"""So many of them are taken together, too, as few calls may be in one."""
TIMES_USUAL = 2
"""What is slow takes at least so many times as long as usual, ..."""
SPREADS = 6
"""... is so many times as far from usual as the fastest calls are, ..."""
NOBODY_WAITS_NS = 5_000_000
"""... and at least so much longer."""
LONGEST_NS = (1 << 44) - 1
"""Durations are compared up to 4.9 hours."""


class Usual(NamedTuple):
    """What is usual for each group. Arrays have shape (groups,)."""

    typical: NDArray[np.int64]
    """The lower quartile, or the median of the best stretch of time."""
    limit: NDArray[np.int64]
    """What is longer is slow; the longest time there is where there are fewer than `FEWEST`."""
    known: NDArray[np.int64]
    """Number of values that it was learned from."""


def usual_values(
    group: NDArray[np.integer[Any]], values: NDArray[np.int64], slices: NDArray[np.integer[Any]], groups: int
) -> Usual:
    """Learn what is usual in each group from `values`, made in the stretches `slices` (0 to `SLICES` - 1). Shapes (n,)."""
    count, (low, typical) = quantiles_of_groups(group, values, groups, (0.05, 0.25))
    several = group.astype(np.int64) * SLICES + slices
    for width in WIDTHS:
        number, (middle,) = quantiles_of_groups(several // width, values, groups * SLICES // width, (0.5,))
        best = np.where(number >= FEWEST, middle, LONGEST_NS).reshape(groups, -1).min(axis=1, initial=LONGEST_NS)
        typical = np.minimum(typical, best)
    beyond = np.maximum(np.maximum((TIMES_USUAL - 1) * typical, SPREADS * (typical - low)), NOBODY_WAITS_NS)
    limit = np.where(count >= FEWEST, typical + beyond, LONGEST_NS)
    return Usual(typical, limit, count)


def quantiles_of_groups(
    group: NDArray[np.integer[Any]], values: NDArray[np.int64], groups: int, wanted: tuple[float, ...]
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """The number of values of each group, and the nearest-rank quantiles `wanted`; 0 for an empty group.

    Values are clipped to 0 and `LONGEST_NS`; there are less than half a million groups. Sorts once.
    """
    keys = group.astype(np.int64) << 44 | values.clip(0, LONGEST_NS)
    keys.sort()
    count = np.bincount(group, minlength=groups).astype(np.int64)
    first = np.cumsum(count) - count
    padded = np.append(keys, 0)
    found = []
    for share in wanted:
        place = first + np.maximum(np.ceil(count * share).astype(np.int64) - 1, 0)
        found.append(np.where(count > 0, padded[np.minimum(place, len(keys))] & LONGEST_NS, 0))
    return count, found
