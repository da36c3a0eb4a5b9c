"""Small operations on arrays that the linker needs everywhere."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Number = TypeVar("Number", bound=np.generic)


DENSE = 8
"""Numbers below this many times their count are grouped by a table, which is quicker than sorting them."""


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


def in_blocks(count: NDArray[np.int64], most: int) -> Iterator[slice]:
    """Cuts things that take count[i] steps each into blocks of about `most` steps."""
    number = offsets_of(count)[:-1] // most
    for first, last in itertools.pairwise([*np.flatnonzero(run_starts(number)).tolist(), len(count)]):
        yield slice(first, last)


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
    if len(values) and int(values.min()) >= 0 and int(values.max()) < DENSE * len(values):
        present = np.zeros(int(values.max()) + 1, bool)
        present[values] = True
        number: NDArray[np.int64] = np.cumsum(present, dtype=np.int64) - 1
        return np.flatnonzero(present).astype(values.dtype), number[values]
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = run_starts(ordered)
    group = np.empty(len(values), np.int64)
    group[order] = np.cumsum(starts) - 1
    return ordered[starts], group


def ranks(values: NDArray[Number]) -> NDArray[np.int64]:
    """Place of each value in rising order; of equal values in their own order, and of NaN behind all."""
    rank = np.empty(len(values), np.int64)
    rank[np.argsort(values, kind="stable")] = np.arange(len(values))
    return rank


def spread(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Numbers that look random, each always the same for the same value (the finalizer of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = values ^ (values >> np.uint64(31))
    return mixed


def joint_key(first: NDArray[np.int32], second: NDArray[np.int32]) -> NDArray[np.int64]:
    """One number for each pair of numbers of at least -1."""
    return (first.astype(np.int64) + 1) << 32 | (second.astype(np.int64) + 1)


def find(known: NDArray[Number], wanted: NDArray[Number]) -> NDArray[np.int64]:
    """Index of each of `wanted` among the rising numbers `known`, -1 where it is not among them."""
    if not len(known):
        return np.full(len(wanted), -1, np.int64)
    position = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[position] == wanted, position, -1)


def look_up(
    known: NDArray[np.int64], values: NDArray[Number], wanted: NDArray[np.int64], default: NDArray[Number] | Number
) -> NDArray[Number]:
    """The value of each of `wanted`, where values[i] is that of known[i] (rising), or else its `default`."""
    if not len(known):
        return np.broadcast_to(np.asarray(default, values.dtype), wanted.shape).copy()
    at = find(known, wanted)
    return np.where(at >= 0, values[at], default)


class ProcessAxis:
    """One integer axis on which every process has its own stretch, so that one sorted search serves them all.

    Times (nanoseconds, float64, at least `-slack`) keep their order; they are exact unless the axis would overflow.
    """

    def __init__(self, processes: int, latest: float, slack: float) -> None:
        length = latest + 2.0 * slack + 2.0
        self.unit = max(1.0, 2.0 * length * (processes + 2) / 2.0**62)
        self.latest, self.slack = latest, slack
        self.stretch = np.int64(2.0 * length / self.unit + 2)

    def at(self, process: NDArray[np.int32] | NDArray[np.int64], times: NDArray[np.float64]) -> NDArray[np.int64]:
        """Positions of `times` of `process` (both of one shape)."""
        position: NDArray[np.int64] = np.floor((times + self.slack) / self.unit).astype(np.int64)
        return position + process * self.stretch
