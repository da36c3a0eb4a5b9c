"""Equal parts of a span of time.

Rule: a clock that is set within a capture makes spans of decades. Nothing here exceeds int64 then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def part_of_span(times_ns: NDArray[np.int64], first_ns: int, last_ns: int, parts: int) -> NDArray[np.int64]:
    """Which of so many equal parts of the time from `first_ns` to `last_ns` each moment is in, from 0. Shapes (n,).

    Earlier moments are in the first part, later ones in the last.
    """
    span = last_ns - first_ns
    # Of spans that are too long to be multiplied, the last binary digits do not count.
    dropped = max((span + 1).bit_length() + parts.bit_length() - 63, 0)
    found: NDArray[np.int64] = (np.clip(times_ns - first_ns, 0, span) >> dropped) * parts // ((span >> dropped) + 1)
    return found
