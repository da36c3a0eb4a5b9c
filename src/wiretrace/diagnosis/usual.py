"""What is usual for a kind of call, and what is far beyond it, from the very calls that are judged.

A fault may hold for more than half of a capture, so that neither mean nor median say what is usual: the lower quarter
does, and where the fault holds for still longer, the middle of the best stretch of time. Where calls are unlike each other
at all times (cache hits and misses), no stretch is better than the others. What is beyond it is judged by how far the lower
calls are apart, and never where nobody would wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wiretrace.diagnosis.distribution import LONGEST, Distributions, percentiles_together

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST = 8
"""Calls of a kind, in a capture or in a stretch of it, from which something is said to be usual."""
SLICES = 8
"""Stretches of equal length into which a capture is cut, to find the one in which a kind of call was well."""
WIDTHS = (1, 2, 4)
"""So many of them are taken together, too, as few calls may be in one."""
MOST_OF_SLICE = 512
"""Different values of a kind that are kept of one stretch: durations over seven octaves are told apart to 1.4 %."""
TIMES_USUAL = 2
"""What is slow takes at least so many times as long as usual, ..."""
SPREADS = 6
"""... is so many times as far from usual as the fastest calls are, ..."""
NOBODY_WAITS_NS = 5_000_000
"""... and at least so much longer."""


class Usual(NamedTuple):
    """What is usual for each group. Arrays have shape (groups,)."""

    typical: NDArray[np.int64]
    """The lower quartile, or the median of the best stretch of time."""
    limit: NDArray[np.int64]
    """What is longer is slow; the longest time there is where there are fewer than `FEWEST`."""
    known: NDArray[np.int64]
    """Number of values that it was learned from."""


class ValuesOverTime:
    """Values of many groups, numbered from 0: all of them, and those of each stretch of time."""

    def __init__(self) -> None:
        self.all = Distributions()
        self.stretches = [Distributions(MOST_OF_SLICE) for _ in range(SLICES)]

    def add(
        self, group: NDArray[np.integer[Any]], values: NDArray[np.integer[Any]], slices: NDArray[np.integer[Any]]
    ) -> None:
        """Count values of some groups that came in the stretches `slices` (0 to `SLICES` - 1). Shapes (n,)."""
        self.all.add(group, values)
        for number, stretch in enumerate(self.stretches):
            is_in = slices == number
            if is_in.any():
                stretch.add(group[is_in], values[is_in])


def usual_values(values: ValuesOverTime, groups: int) -> Usual:
    """What is usual in each group of values."""
    count, (low, typical) = percentiles_together([values.all], groups, (5, 25))
    for width in WIDTHS:
        for first in range(0, SLICES, width):
            number, (middle,) = percentiles_together(values.stretches[first : first + width], groups, (50,))
            typical = np.where(number >= FEWEST, np.minimum(typical, middle), typical)
    beyond = np.maximum(np.maximum((TIMES_USUAL - 1) * typical, SPREADS * (typical - low)), NOBODY_WAITS_NS)
    limit = np.where(count >= FEWEST, typical + beyond, LONGEST)
    return Usual(typical, limit, count)
