"""What is usual for a kind of call, and what is far beyond it, from the very calls that are judged.

A fault may hold for more than half of a capture, so that neither mean nor median say what is usual: the lower quarter
does. What is beyond it is judged by how far the lower calls are apart, and never where nobody would wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wiretrace.diagnosis.distribution import LONGEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.diagnosis.distribution import Distributions

FEWEST = 8
"""Calls of a kind from which something is said to be usual."""
TIMES_USUAL = 2
"""What is slow takes at least so many times as long as usual, ..."""
SPREADS = 6
"""... is so many times as far from usual as the fastest calls are, ..."""
NOBODY_WAITS_NS = 5_000_000
"""... and at least so much longer."""


class Usual(NamedTuple):
    """What is usual for each group. Arrays have shape (groups,)."""

    typical: NDArray[np.int64]
    """The lower quartile."""
    limit: NDArray[np.int64]
    """What is longer is slow; the longest time there is where there are fewer than `FEWEST`."""
    known: NDArray[np.int64]
    """Number of values that it was learned from."""


def usual_values(values: Distributions, groups: int) -> Usual:
    """What is usual in each group of values."""
    count = values.counts(groups)
    low, typical = values.percentiles(groups, (5, 25))
    beyond = np.maximum(np.maximum((TIMES_USUAL - 1) * typical, SPREADS * (typical - low)), NOBODY_WAITS_NS)
    limit = np.where(count >= FEWEST, typical + beyond, LONGEST)
    return Usual(typical, limit, count)
