"""Numbers in the place of words, so that a million calls cost a few bytes each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

Thing = TypeVar("Thing", bound="Hashable")

SLICE_ROWS = 1 << 17
"""Rows that are counted at once: NumPy widens what it counts to 8 bytes."""
WIDEST_TABLE = 1 << 20
"""Combinations of numbers that are looked up in a table; of more, the distinct ones are sorted."""


class Names(Generic[Thing]):
    """Distinct things, numbered in the order in which they come."""

    def __init__(self) -> None:
        self.things: list[Thing] = []
        """The things by number."""
        self._codes: dict[Thing, int] = {}

    def code(self, thing: Thing) -> int:
        """The number of a thing."""
        code = self._codes.setdefault(thing, len(self.things))
        if code == len(self.things):
            self.things.append(thing)
        return code


def numbered(names: Names[int], codes: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """The number of each of some codes, which may be large ones. Shapes (n,)."""
    number, first = distinct([codes])
    return np.array([names.code(code) for code in codes[first].tolist()], np.int64)[number]


def present(codes: NDArray[np.integer[Any]]) -> list[int]:
    """The different ones of some small numbers (0 and above), rising."""
    return np.flatnonzero(np.bincount(codes)).tolist()


def codes_of(column: pa.ChunkedArray, names: Names[str], missing: str = "") -> NDArray[np.int64]:
    """The number of each word of a category column; `missing` stands for null and for the empty word. Shape (n,)."""
    combined = column.unify_dictionaries().combine_chunks()
    if not len(combined):
        return np.zeros(0, np.int64)
    words = combined.dictionary.to_pylist()
    local = combined.indices.fill_null(len(words)).to_numpy()
    used = np.flatnonzero(np.bincount(local, minlength=len(words) + 1)).tolist()
    table = np.zeros(len(words) + 1, np.int64)
    table[used] = [names.code(words[code] or missing if code < len(words) else missing) for code in used]
    return np.asarray(table[local], np.int64)


def combined(
    columns: Sequence[tuple[NDArray[Any], Sequence[object]]], make: Callable[..., Thing], names: Names[Thing]
) -> NDArray[np.int64]:
    """The number of what `make` makes of each row's things; `columns` are numbers and what they stand for. Shape (n,)."""
    group, rows = distinct([codes for codes, _ in columns])
    made = [names.code(make(*(words[codes[row]] for codes, words in columns))) for row in rows.tolist()]
    return np.array(made, np.int64)[group]


def distinct(columns: list[NDArray[Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number each combination of whole numbers (0 and above) in `columns`, in the order of their first rows.

    Returns the number of each row, shape (n,), and the first row of each combination.
    """
    group = columns[0].astype(np.int64)
    for column in columns[1:]:
        width = int(column.max(initial=0)) + 1
        if (int(group.max(initial=0)) + 1) * width > WIDEST_TABLE:
            (group, _), (column, first) = _numbered(group), _numbered(column.astype(np.int64))
            width = len(first)
        group = group * width + column
    return _numbered(group)


def _numbered(group: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The same for one column: by a table where its numbers are small, else by sorting."""
    if not len(group):
        return group, group
    if int(group.max()) >= WIDEST_TABLE:
        _, first, number = np.unique(group, return_index=True, return_inverse=True)
        order = np.argsort(first)
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        return rank[number], first[order]
    first_row = np.full(int(group.max()) + 1, len(group), np.int64)
    first_row[group[::-1]] = np.arange(len(group) - 1, -1, -1)  # of equal places the last one stays: the first row
    first = np.sort(first_row[first_row < len(group)])
    numbers = np.zeros(len(first_row), np.int64)
    numbers[group[first]] = np.arange(len(first))
    return numbers[group], first


def counts(codes: NDArray[np.integer[Any]], size: int, weights: NDArray[Any] | None = None) -> NDArray[np.int64]:
    """How often each number below `size` is there, or the sum of its whole `weights`. Shape (size,)."""
    total = np.zeros(size, np.int64)
    for start in range(0, len(codes), SLICE_ROWS):
        part = slice(start, start + SLICE_ROWS)
        found = np.bincount(codes[part], None if weights is None else weights[part], size)
        total += found.astype(np.int64, copy=False)
    return total


def nearest_rank(first: NDArray[np.int64], number: NDArray[np.int64], percent: int) -> NDArray[np.int64]:
    """Index of the nearest-rank quantile in sorted groups that start at `first` and hold `number` values: one of them."""
    return first + np.maximum(-(-number * percent // 100) - 1, 0)
