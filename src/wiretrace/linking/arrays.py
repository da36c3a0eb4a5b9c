"""Small operations on arrays that the linker needs everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Number = TypeVar("Number", bound=np.generic)


def distinct(values: NDArray[Number]) -> NDArray[Number]:
    """The distinct values in rising order. By sorting: NumPy's hashing `unique` is many times slower on wide integers."""
    ordered = np.sort(values)
    if len(ordered) < 2:
        return ordered
    return ordered[np.concatenate(([True], ordered[1:] != ordered[:-1]))]


def ranges(first: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers first[i], first[i] + 1, ... (count[i] of them), for all i in turn.

    >>> ranges(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist()
    [5, 6, 9, 10, 11]
    """
    return np.arange(int(count.sum())) + np.repeat(first - np.cumsum(count) + count, count)


def offsets_of(count: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where runs of the given lengths begin, and where the last one ends; shape (len(count) + 1,)."""
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(count, dtype=np.int64)))


def run_starts(sorted_values: NDArray[Number]) -> NDArray[np.bool_]:
    """Whether each value differs from the one before it; the first does."""
    starts = np.ones(len(sorted_values), bool)
    np.not_equal(sorted_values[1:], sorted_values[:-1], out=starts[1:])
    return starts


def number_groups(values: NDArray[Number]) -> tuple[NDArray[Number], NDArray[np.int64]]:
    """The distinct values in rising order, and for each value its index among them."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = run_starts(ordered)
    group = np.empty(len(values), np.int64)
    group[order] = np.cumsum(starts) - 1
    return ordered[starts], group
