"""How values are distributed in many groups, in memory that does not grow with the number of values.

Each group keeps its different values and how often each came: exactly up to `MOST_VALUES` of them, and then with as many
leading binary digits as leave no more. How many digits those are is decided by all values of the group together: whatever
the order in which values come, and however they are cut into portions, the same values give the same distribution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wiretrace.diagnosis.names import nearest_rank

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MOST_VALUES = 2048
"""Different values of a group that are kept: durations over seven octaves are told apart to 0.4 %."""
VALUE_BITS = 44
"""Values are clipped to 0 and 2**44 - 1: nanoseconds up to 4.9 hours, sizes up to 17 TB."""
LONGEST = (1 << VALUE_BITS) - 1
MOST_GROUPS = 1 << 63 - VALUE_BITS
"""Groups that are told apart; those from the last of them on are counted as one, and each of them is told what all are."""


class Values(NamedTuple):
    """The values of one group, rising. Arrays have shape (values,)."""

    value: NDArray[np.int64]
    """The middle of each."""
    slack: NDArray[np.int64]
    """How far the values that it stands for are from it at most; 0 where all are known exactly."""
    often: NDArray[np.int64]
    """How often each came; at least once."""

    @property
    def total(self) -> int:
        """How many values there were, equal ones included."""
        return int(self.often.sum())

    @property
    def median(self) -> float:
        """The middle value, or the mean of the two in the middle; there is at least one."""
        total, ends = self.total, np.cumsum(self.often)
        places = np.searchsorted(ends, [(total - 1) // 2, total // 2], "right")
        return float(self.value[places].mean())

    @property
    def lowest(self) -> int:
        """No value is less; there is at least one."""
        return int((self.value - self.slack)[0])

    @property
    def highest(self) -> int:
        """No value is greater; there is at least one."""
        return int((self.value + self.slack)[-1])

    def percentile(self, percent: int) -> int:
        """A nearest-rank percentile; there is at least one value."""
        rank = max(-(-self.total * percent // 100) - 1, 0)
        return int(self.value[np.searchsorted(np.cumsum(self.often), rank, "right")])

    def part(self, first: int, last: int) -> Values:
        """Those from the index `first` on, and before `last`."""
        return Values(*(each[first:last] for each in self))


class Distributions:
    """Distributions of many groups, numbered from 0."""

    def __init__(self, most_values: int = MOST_VALUES) -> None:
        """`most_values`: different values of a group that are kept."""
        self._most = most_values
        self._keys = np.zeros(0, np.int64)
        """Group and value of each entry, rising."""
        self._counts = np.zeros(0, np.int64)
        self._digits = np.zeros(0, np.int64)
        """Leading binary digits of the values that each group keeps."""

    def add(self, group: NDArray[np.integer[Any]], values: NDArray[np.integer[Any]]) -> None:
        """Count values of some groups. Shapes (n,)."""
        if not len(group):
            return
        group = np.minimum(group, MOST_GROUPS - 1)
        missing = int(group.max()) + 1 - len(self._digits)
        if missing > 0:
            self._digits = np.append(self._digits, np.full(missing, VALUE_BITS))
        keys = group.astype(np.int64) << VALUE_BITS | values.astype(np.int64, copy=False).clip(0, LONGEST)
        keys = _shortened(keys, self._digits[group])
        keys.sort()
        keys, counts = _merged(keys, np.ones(len(keys), np.int64))
        place = np.searchsorted(self._keys, keys)
        is_known = np.zeros(len(keys), np.bool_)
        within = np.flatnonzero(place < len(self._keys))
        is_known[within] = self._keys[place[within]] == keys[within]
        self._counts[place[is_known]] += counts[is_known]
        if not is_known.all():
            # What is kept is far more than what comes: no more of it is copied than must be.
            place = place[~is_known]
            self._keys = np.insert(self._keys, place, keys[~is_known])
            self._counts = np.insert(self._counts, place, counts[~is_known])
            self._shorten(np.unique(keys[~is_known] >> VALUE_BITS))

    def counts(self, groups: int) -> NDArray[np.int64]:
        """The number of values of each group. Shape (groups,)."""
        known = min(groups, MOST_GROUPS)
        return np.pad(_number_of_values(self._keys, self._counts, known), (0, groups - known), "edge")

    def percentiles(self, groups: int, wanted: tuple[int, ...]) -> list[NDArray[np.int64]]:
        """The nearest-rank percentiles of each group, 0 for an empty one. Shapes (groups,)."""
        return percentiles_together([self], groups, wanted)[1]

    def of(self, group: int) -> Values:
        """The values of one group."""
        (first,), (last,) = self._bounds(np.array([min(group, MOST_GROUPS - 1)]))
        part = slice(first, last)
        return Values(*self._values(part), self._counts[part])

    def together(self, groups: NDArray[np.int64]) -> tuple[Values, NDArray[np.int64]]:
        """The values of several groups as if they were one, and the group of each. Shape (values,)."""
        first, last = self._bounds(np.minimum(groups, MOST_GROUPS - 1))
        size = last - first
        entry = np.arange(size.sum()) + np.repeat(first - np.cumsum(size) + size, size)
        value, slack = self._values(entry)
        order = np.argsort(value, kind="stable")
        return Values(value[order], slack[order], self._counts[entry[order]]), np.repeat(groups, size)[order]

    def middles(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Group and middle value of each entry as one key, rising, and how often it came."""
        return self._keys >> VALUE_BITS << VALUE_BITS | self._values()[0], self._counts

    def _bounds(self, groups: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The first entry of each group, and that behind its last. Shapes (groups,)."""
        lowest = groups << VALUE_BITS
        return np.searchsorted(self._keys, lowest), np.searchsorted(self._keys, lowest | LONGEST, "right")

    def _values(self, part: slice | NDArray[np.int64] = slice(None)) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The middle of what each key stands for, and how wide that is to either side."""
        keys = self._keys[part]
        value = keys & LONGEST
        slack = np.left_shift(1, np.maximum(_bits(value) - self._digits[keys >> VALUE_BITS], 0)) >> 1
        return value + slack, slack

    def _shorten(self, groups: NDArray[np.int64]) -> None:
        """Take digits from those of `groups` (distinct) that have too many different values."""
        first, last = self._bounds(groups)
        crowded = np.flatnonzero(last - first > self._most)
        if not len(crowded):
            return
        is_kept = np.ones(len(self._keys), np.bool_)
        for one, begin, end in zip(*(each[crowded].tolist() for each in (groups, first, last)), strict=True):
            keys = self._keys[begin:end]
            digits = self._digits[one] = _most_digits(keys, int(self._digits[one]), self._most)
            keys, counts = _merged(_shortened(keys, np.full(len(keys), digits)), self._counts[begin:end])
            self._keys[begin : begin + len(keys)] = keys
            self._counts[begin : begin + len(keys)] = counts
            is_kept[begin + len(keys) : end] = False
        self._keys, self._counts = self._keys[is_kept], self._counts[is_kept]


def joined(parts: list[Values]) -> Values:
    """The values of several groups together."""
    nothing = np.zeros(0, np.int64)
    columns = [np.concatenate(column) for column in zip(Values(nothing, nothing, nothing), *parts, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return Values(*(column[order] for column in columns))


def percentiles_together(
    parts: Sequence[Distributions], groups: int, wanted: tuple[int, ...]
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """The number of values of each group in all `parts`, and the nearest-rank percentiles of these, 0 for an empty group.

    Shapes (groups,).
    """
    wanted_groups, groups = groups, min(groups, MOST_GROUPS)
    keys, often = (np.concatenate(each) for each in zip(*(part.middles() for part in parts), strict=True))
    if len(parts) > 1:
        order = np.argsort(keys, kind="stable")
        keys, often = keys[order], often[order]
    count = _number_of_values(keys, often, groups)
    before = np.cumsum(count) - count
    ends = np.cumsum(often)
    values = np.append(keys & LONGEST, 0)
    found = []
    for percent in wanted:
        rank = nearest_rank(before, count, percent)
        place = np.minimum(np.searchsorted(ends, rank, "right"), len(ends))
        found.append(np.where(count > 0, values[place], 0))
    more = (0, wanted_groups - groups)
    return np.pad(count, more, "edge"), [np.pad(each, more, "edge") for each in found]


def _number_of_values(keys: NDArray[np.int64], often: NDArray[np.int64], groups: int) -> NDArray[np.int64]:
    """The number of values of each group. Shape (groups,)."""
    weights = np.zeros(groups, np.int64)
    np.add.at(weights, keys >> VALUE_BITS, often)
    return weights


def _most_digits(keys: NDArray[np.int64], digits: int, most_values: int) -> int:
    """The most digits with which the rising keys of one group are few enough."""
    low, high = 1, digits
    while low < high:
        middle = (low + high + 1) // 2
        shortened = _shortened(keys, np.full(len(keys), middle))
        if int((np.diff(shortened) != 0).sum()) + 1 <= most_values:
            low = middle
        else:
            high = middle - 1
    return low


def _shortened(keys: NDArray[np.int64], digits: NDArray[np.int64]) -> NDArray[np.int64]:
    """Keys whose values have no more than `digits` leading digits; the others of them are 0. Shapes (n,)."""
    if not len(digits) or int(digits.min()) >= VALUE_BITS:
        return keys
    lost = np.maximum(_bits(keys & LONGEST) - digits, 0)
    shortened: NDArray[np.int64] = keys >> lost << lost
    return shortened


def _bits(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Binary digits of each value."""
    found: NDArray[np.int64] = np.frexp(values.astype(np.float64))[1].astype(np.int64)
    return found


def _merged(keys: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Equal neighbours made one."""
    if not len(keys):
        return keys, counts
    opens = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    return keys[opens], np.add.reduceat(counts, opens)
