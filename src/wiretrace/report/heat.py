"""Small heatmaps of latency over time, one a group of calls: how many calls began when, and how long they took.

All heatmaps of a table share their two scales, so that rows can be compared. A heatmap is a text of digits, column by
column, in each the shortest durations first: 0 for no call, 9 for as many as the fullest cell of its group holds, by
logarithm.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wiretrace.diagnosis.names import SLICE_ROWS
from wiretrace.model.time_parts import part_of_time

COLUMNS = 30
"""Parts of the time that is shown."""
LEVELS = 8
"""Parts of the range of durations, equal by logarithm."""
DIGITS = np.frombuffer(b"0123456789", np.uint8)


class HeatScale(NamedTuple):
    """What the cells stand for. Times and durations are nanoseconds."""

    first: int
    """Start of the earliest call."""
    last: int
    """Start of the latest call."""
    shortest: int
    """Lower end of the durations; shorter ones count to the lowest level."""
    longest: int
    """Longest duration."""

    @classmethod
    def of(cls, start_ns: NDArray[np.int64], duration_ns: NDArray[np.int64]) -> "HeatScale":
        """The scale of some calls, at least one. The shortest thousandth of the durations does not stretch it."""
        shortest = int(np.partition(duration_ns, len(duration_ns) // 1000)[len(duration_ns) // 1000])
        return cls(int(start_ns.min()), int(start_ns.max()), max(shortest, 1), max(int(duration_ns.max()), 2))

    def cells(self, start_ns: NDArray[np.int64], duration_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """The cell of each call: its column times `LEVELS` plus its level. Shapes (n,)."""
        column = part_of_time(start_ns, self.first, self.last, COLUMNS)
        low, high = np.log(self.shortest), np.log(max(self.longest, self.shortest + 1))
        level = (np.log(np.maximum(duration_ns, 1)) - low) / (high - low) * LEVELS
        cells = column * LEVELS + np.clip(level.astype(np.int64), 0, LEVELS - 1)
        return np.asarray(cells, np.int64)


def heatmaps(
    group: NDArray[np.integer[Any]],
    count: int,
    start_ns: NDArray[np.int64],
    duration_ns: NDArray[np.int64],
    scale: HeatScale,
) -> list[str]:
    """The heatmap of each group below `count`; calls whose group is not below it stand in none. Shapes (n,)."""
    size = COLUMNS * LEVELS
    total = np.zeros(count * size, np.int64)
    for begin in range(0, len(group), SLICE_ROWS):
        part = slice(begin, begin + SLICE_ROWS)
        chosen = group[part] < count
        cells = scale.cells(start_ns[part][chosen], duration_ns[part][chosen])
        total += np.bincount(group[part][chosen].astype(np.int64) * size + cells, minlength=len(total))
    filled = total.reshape(count, size)
    most = np.maximum(filled.max(axis=1, initial=1), 1)[:, None]
    heat = np.ceil(9 * np.log1p(filled) / np.log1p(most)).astype(np.int64)
    return [row.tobytes().decode("ascii") for row in DIGITS[heat]]
