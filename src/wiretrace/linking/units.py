"""Units: what is given a parent as a whole. A unit is one outgoing call, or all calls of one database transaction.

Rules: a transaction has one parent, so only requests that may have caused every call of it are its candidates (if
there is none, those of its first call). A unit starts with its first call and ends with its last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.linking.arrays import distinct, number_groups, offsets_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.candidates import Candidates
    from wiretrace.linking.observations import Observations

FREQUENT_UNITS = 5
"""Transactions of the same composition that are needed to make a class of their own; rarer ones go by their first call."""


@dataclass(slots=True)
class Units:
    """Arrays of units have shape (units,), in the order of their first calls' numbers; pairs (pairs,), sorted by unit."""

    first_call: NDArray[np.int64]
    """The first call of the unit."""
    of_call: NDArray[np.int64]
    """Unit of each call, shape (n,); -1 where the call can not be a child."""
    starts: NDArray[np.float64]
    """When the first call started."""
    ends: NDArray[np.float64]
    """When the last call ended."""
    needed_until: NDArray[np.float64]
    """A parent of the unit must not have responded before this."""
    kind: NDArray[np.int64]
    """What the unit is to its process: equal numbers behave alike."""
    offsets: NDArray[np.int64]
    """Shape (units + 1,): pairs of unit u are those from offsets[u] up to offsets[u + 1]."""
    pair_unit: NDArray[np.int64]
    """Unit of each candidate pair."""
    pair_parent: NDArray[np.int64]
    """Call that may have caused it."""

    def __len__(self) -> int:
        return len(self.first_call)

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        """Drop the candidate pairs that are not `chosen`."""
        self.pair_unit, self.pair_parent = self.pair_unit[chosen], self.pair_parent[chosen]
        self.offsets = offsets_of(np.bincount(self.pair_unit, minlength=len(self)))


def form_units(
    observations: Observations,
    candidates: Candidates,
    call_kind: NDArray[np.int64],
    reach: NDArray[np.float64],
) -> Units:
    """Group calls into units.

    `call_kind` (n,) says what each call is to its caller, `reach` (n,) how long after its response a parent may still
    cause it, in nanoseconds.
    """
    problem, n = observations.problem, len(observations)
    children = np.flatnonzero(~np.isnan(observations.starts))
    in_transaction = children[problem.transaction[children] >= 0]
    leader = np.arange(n)
    if len(in_transaction):
        order = in_transaction[
            np.lexsort(
                (
                    observations.starts[in_transaction],
                    problem.transaction[in_transaction],
                    problem.caller[in_transaction],
                )
            )
        ]
        same = (problem.transaction[order[1:]] == problem.transaction[order[:-1]]) & (
            problem.caller[order[1:]] == problem.caller[order[:-1]]
        )
        group = np.concatenate(([0], np.cumsum(~same)))
        leader[order] = order[np.concatenate(([True], ~same))][group]
    first_call = children[leader[children] == children]
    number = np.full(n, -1, np.int64)
    number[first_call] = np.arange(len(first_call))
    of_call = np.full(n, -1, np.int64)
    of_call[children] = number[leader[children]]
    starts, ends = observations.starts[first_call], observations.ends[first_call].copy()
    kind = call_kind[first_call]
    pair_unit, pair_parent = of_call[candidates.child], candidates.parent
    if len(in_transaction):
        np.maximum.at(ends, of_call[in_transaction], observations.ends[in_transaction])
        kind = _kinds(kind, of_call, in_transaction, call_kind, len(first_call))
        pair_unit, pair_parent = _common_parents(candidates, of_call, first_call, n)
    offsets = offsets_of(np.bincount(pair_unit, minlength=len(first_call)))
    needed_until = np.where(candidates.contained_only[first_call], ends, starts) - reach[first_call]
    return Units(first_call, of_call, starts, ends, needed_until, kind, offsets, pair_unit, pair_parent)


def _kinds(
    kind: NDArray[np.int64],
    of_call: NDArray[np.int64],
    in_transaction: NDArray[np.int64],
    call_kind: NDArray[np.int64],
    units: int,
) -> NDArray[np.int64]:
    """Kinds of units: transactions of one frequent composition are a kind of their own."""
    _, dense = number_groups(call_kind[in_transaction])
    pairs = distinct(of_call[in_transaction] * np.int64(dense.max() + 1) + dense)
    # A sum of spread numbers stands for the set; equal sums of different sets are too rare to matter.
    spread = np.random.default_rng(0).integers(1, 2**52, int(dense.max()) + 1)
    composition = np.zeros(units, np.int64)
    np.add.at(composition, pairs // (dense.max() + 1), spread[pairs % (dense.max() + 1)])
    several = composition > 0
    _, number, count = np.unique(composition[several], return_inverse=True, return_counts=True)
    own = count[number] >= FREQUENT_UNITS
    result = kind.copy()
    chosen = np.flatnonzero(several)[own]
    # The caller's service is part of a call's kind, and stays part of the composition's.
    _, result[chosen] = np.unique(np.stack((kind[chosen], number[own])), axis=1, return_inverse=True)
    result[chosen] += int(call_kind.max()) + 1
    return result


def _common_parents(
    candidates: Candidates, of_call: NDArray[np.int64], first_call: NDArray[np.int64], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Candidate pairs of units: parents of every call, or of the first one where no parent is common to all."""
    unit = of_call[candidates.child]
    has_candidates = np.diff(candidates.offsets) > 0
    members = np.bincount(of_call[(of_call >= 0) & has_candidates], minlength=len(first_call))
    key, at, count = np.unique(unit * np.int64(n) + candidates.parent, return_index=True, return_counts=True)
    common = count == members[key // n]
    agreed = np.bincount(key[common] // n, minlength=len(first_call)) > 0
    of_first = first_call[unit] == candidates.child
    keep = np.zeros(len(unit), bool)
    keep[at[common]] = True
    keep |= of_first & ~agreed[unit]
    chosen = np.flatnonzero(keep)
    order = chosen[np.argsort(unit[chosen], kind="stable")]
    return unit[order], candidates.parent[order]
