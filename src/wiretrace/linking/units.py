"""Units: what is given a parent as a whole: one outgoing call, all calls of one database transaction or of one batch, or the
preparation of a statement with its execution.

Rules: a transaction has one parent, so only requests that may have caused every call of it are its candidates (if
there is none, those of its first call). What prepares a statement belongs to the execution that follows on the same
connection, if one request may have caused both. A unit starts with its first call and ends with its last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.linking.arrays import find, number_groups, offsets_of, ranges, run_starts, spread
from wiretrace.linking.batches import find_batches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.candidates import Candidates
    from wiretrace.linking.observations import Observations

COMPOSITION = np.uint64(1 << 62)
"""Bit that is set in the numbers of transactions' kinds only."""
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
    batched: NDArray[np.bool_]
    """Whether each call belongs to its unit because one packet brought them, shape (n,)."""
    kind: NDArray[np.int64]
    """What the unit is to its process: units of equal kinds behave alike. An index into `kind_key`."""
    kind_key: NDArray[np.int64]
    """Rising numbers of the kinds, shape (kinds,): first those of single calls (`candidates.outgoing_kind`), then those
    of frequent transactions. They mean the same in every problem of one analysis."""
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
    kind_key: NDArray[np.int64],
    call_kind: NDArray[np.int64],
    reach: NDArray[np.float64],
    compositions: NDArray[np.int64] | None = None,
) -> Units:
    """Group calls into units.

    `kind_key` (kinds,) and `call_kind` (n,) say what each call is to its caller, `reach` (n,) how long after its
    response a parent may still cause it, in nanoseconds. `compositions` are the kinds of transactions that are known
    to be frequent; by default they are those that are frequent here.
    """
    problem, n = observations.problem, len(observations)
    children = np.flatnonzero(~np.isnan(observations.starts))
    batch = find_batches(observations)
    batched = (batch >= 0) & (problem.transaction < 0)
    bundle = np.where(batched, int(problem.transaction.max(initial=-1)) + 1 + batch, problem.transaction)
    bundled = children[bundle[children] >= 0]
    leader = np.arange(n)
    if len(bundled):
        order = bundled[np.lexsort((observations.starts[bundled], bundle[bundled], problem.caller[bundled]))]
        same = (bundle[order[1:]] == bundle[order[:-1]]) & (problem.caller[order[1:]] == problem.caller[order[:-1]])
        group = np.concatenate(([0], np.cumsum(~same)))
        leader[order] = order[np.concatenate(([True], ~same))][group]
    preparing, executing = _executions(observations, candidates, bundle)
    leader[executing] = preparing
    first_call = children[leader[children] == children]
    number = np.full(n, -1, np.int64)
    number[first_call] = np.arange(len(first_call))
    of_call = np.full(n, -1, np.int64)
    of_call[children] = number[leader[children]]
    starts, ends = observations.starts[first_call], observations.ends[first_call].copy()
    kind = call_kind[first_call]
    # To its process it is an execution like any other.
    kind[number[preparing]] = call_kind[executing]
    ends[number[preparing]] = np.maximum(ends[number[preparing]], observations.ends[executing])
    pair_unit, pair_parent = of_call[candidates.child], candidates.parent
    if len(bundled):
        np.maximum.at(ends, of_call[bundled], observations.ends[bundled])
        key = _composition_keys(kind_key[call_kind], of_call, bundled, first_call)
        own, number = number_groups(key)
        frequent = own[np.bincount(number) >= FREQUENT_UNITS] if compositions is None else compositions
        frequent = frequent[frequent > 0]
        at = find(frequent, key)
        kind = np.where(at >= 0, len(kind_key) + at, kind)
        kind_key = np.concatenate((kind_key, frequent))
    if len(bundled) or len(preparing):
        pair_unit, pair_parent = _common_parents(candidates, of_call, first_call, n)
    offsets = offsets_of(np.bincount(pair_unit, minlength=len(first_call)))
    needed_until = np.where(candidates.contained_only[first_call], ends, starts) - reach[first_call]
    return Units(
        first_call, of_call, starts, ends, needed_until, batched, kind, kind_key, offsets, pair_unit, pair_parent
    )


def _executions(
    observations: Observations, candidates: Candidates, bundle: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Calls that prepare a statement, and the calls next on their connections, where one request may have caused both.

    What happens within a transaction or a batch, which has a number in `bundle` (n,), is none of these.
    """
    problem = observations.problem
    nothing = np.zeros(0, np.int64)
    if not problem.prepares.any():
        return nothing, nothing
    calls = np.flatnonzero((problem.connection >= 0) & ~np.isnan(observations.starts))
    order = calls[np.lexsort((observations.starts[calls], problem.connection[calls]))]
    first, second = order[:-1], order[1:]
    follows = problem.prepares[first] & (problem.connection[first] == problem.connection[second])
    follows &= (bundle[first] < 0) & (bundle[second] < 0)
    follows &= problem.caller[first] == problem.caller[second]
    first, second = first[follows], second[follows]
    count = candidates.counts()[first]
    parent = candidates.parent[ranges(candidates.offsets[first], count)]
    both = candidates.holds(observations, np.repeat(second, count), parent)
    common = np.bincount(np.repeat(np.arange(len(first)), count), weights=both, minlength=len(first)) > 0
    return first[common], second[common]


def _composition_keys(
    call_key: NDArray[np.int64],
    of_call: NDArray[np.int64],
    bundled: NDArray[np.int64],
    first_call: NDArray[np.int64],
) -> NDArray[np.int64]:
    """For each unit a number for the set of kinds of its calls, above those of all kinds of calls; 0: it has only one kind.

    `bundled` are the calls of transactions and batches.
    """
    order = bundled[np.lexsort((call_key[bundled], of_call[bundled]))]
    unit, key = of_call[order], call_key[order]
    first = np.flatnonzero(run_starts(unit) | run_starts(key))
    # A sum of spread numbers stands for the set; equal sums of different sets are too rare to matter.
    composition = np.zeros(len(first_call), np.uint64)
    np.add.at(composition, unit[first], spread(key[first].astype(np.uint64)))
    mixed = spread(composition + spread(call_key[first_call].astype(np.uint64)))
    number = (mixed & (COMPOSITION - np.uint64(1)) | COMPOSITION).astype(np.int64)
    return np.where(np.bincount(unit[first], minlength=len(first_call)) > 1, number, 0)


def _common_parents(
    candidates: Candidates, of_call: NDArray[np.int64], first_call: NDArray[np.int64], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Candidate pairs of units: parents of every call, or of the first one where no parent is common to all."""
    unit = of_call[candidates.child]
    has_candidates = np.diff(candidates.offsets) > 0
    members = np.bincount(of_call[(of_call >= 0) & has_candidates], minlength=len(first_call))
    several = np.flatnonzero(members[unit] > 1)
    key, at, count = np.unique(
        unit[several] * np.int64(n) + candidates.parent[several], return_index=True, return_counts=True
    )
    common = count == members[key // n]
    agreed = members == 1
    agreed[key[common] // n] = True
    keep = members[unit] == 1
    keep[several[at[common]]] = True
    keep |= (first_call[unit] == candidates.child) & ~agreed[unit]
    chosen = np.flatnonzero(keep)
    order = chosen[np.argsort(unit[chosen], kind="stable")]
    return unit[order], candidates.parent[order]
