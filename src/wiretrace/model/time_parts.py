"""Equal parts of a time, and which of them a moment is in.

Rule: in floating point, since a capture may hold moments that are fifty years apart: times a number of parts, that is more
nanoseconds than fit into 64 bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def part_of_time(times: NDArray[np.integer[Any]], first: int, last: int, parts: int) -> NDArray[np.int64]:
    """The part, from 0 to `parts` - 1, of the time from `first` to `last` that each moment is in. Shapes (n,).

    Moments are nanoseconds; those outside the time count to the part that is next to them.
    """
    share = (np.asarray(times, np.int64) - first) / (last - first + 1)
    return np.clip((share * parts).astype(np.int64), 0, parts - 1)
