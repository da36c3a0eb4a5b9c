"""Which incoming calls may have caused each outgoing call: those its process was serving when it was sent.

Rules: the answer is a list of (child, parent) pairs sorted by child and then by the parent's arrival. A parent must
have arrived before the child started. If calls of the child's kind practically always end before their parent
responds, a parent that responded earlier is not a candidate; otherwise the parent need only be live at the start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.linking.arrays import distinct, find, in_blocks, joint_key, look_up, number_groups, ranges
from wiretrace.linking.evidence.contract import Pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.habits import KindHabits
    from wiretrace.linking.observations import Observations

MOST_CANDIDATES = 128
"""Parents considered for one call: those that arrived last. More overlap than this is not resolved by time anyway."""

BLOCK_PAIRS = 50_000
"""Pairs that are looked at together, so that they stay in the processor's cache."""

OUTLIVING_SHARE = 0.02
"""Share of a kind's calls that must end after every live parent before the kind is believed to outlive its parents."""

SPAN_LEVELS = 4.0
"""Ratio of durations within one search level; keeps one very long request from making every search long."""


@dataclass(slots=True)
class Candidates:
    """Pairs of calls, shape (edges,), sorted by child, then by the parent's arrival."""

    child: NDArray[np.int64]
    """The outgoing call."""
    parent: NDArray[np.int64]
    """An incoming call of the same process."""
    key: NDArray[np.int64]
    """Rising: the child times n plus the parent's rank by arrival."""
    offsets: NDArray[np.int64]
    """Shape (n + 1,): the pairs of call i are those from offsets[i] up to offsets[i + 1]."""
    contained_only: NDArray[np.bool_]
    """Shape (n,): whether a parent of the call had to respond after the call's end."""
    outlives: NDArray[np.bool_]
    """Whether calls of each kind outlive their parents; shape (kinds,), by the rising numbers of `outgoing_kind`."""

    def holds(
        self, observations: Observations, child: NDArray[np.int64], parent: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Whether each pair is a candidate pair, shape of `child` and `parent`."""
        return find(self.key, _keys(observations, child, parent)) >= 0

    def counts(self) -> NDArray[np.int64]:
        """Number of candidate parents of each call, shape (n,)."""
        return np.diff(self.offsets)


def outgoing_kind(observations: Observations) -> NDArray[np.int64]:
    """What a call is to its caller: one number per (caller's service, operation), shape (n,).

    The number depends on nothing else, so it means the same in every problem of one analysis.
    """
    problem = observations.problem
    return joint_key(problem.caller_service, problem.operation)


def find_candidates(observations: Observations, known: KindHabits | None = None) -> Candidates:
    """All pairs of an outgoing call and an incoming call that may have caused it.

    Whether a kind of call outlives its parents is taken from `known`, where that knows the kind, and else measured.
    """
    problem, n = observations.problem, len(observations)
    children = np.flatnonzero(~np.isnan(observations.starts))
    parents = np.flatnonzero(~np.isnan(observations.arrives))
    child, parent = _live_pairs(observations, children, parents)
    slack = observations.start_slack[child] + observations.arrival_slack[parent]
    contained = observations.ends[child] <= observations.responds[parent] + slack
    has_live = np.bincount(child, minlength=n) > 0
    has_contained = np.bincount(child, weights=contained, minlength=n) > 0
    key, kind = number_groups(outgoing_kind(observations))
    live_of_kind = np.bincount(kind, weights=has_live, minlength=1)
    outliving_of_kind = np.bincount(kind, weights=has_live & ~has_contained, minlength=1)
    outlives = outliving_of_kind > OUTLIVING_SHARE * live_of_kind
    if known is not None:
        outlives = look_up(known.key, known.outlives, key, outlives)
    contained_only = has_contained & ~outlives[kind] & ~problem.one_way
    keep = contained | ~contained_only[child]
    child, parent = child[keep], parent[keep]
    return _candidates(observations, np.sort(_keys(observations, child, parent)), contained_only, outlives)


def _live_pairs(
    observations: Observations, children: NDArray[np.int64], parents: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs whose parent had arrived, and had not responded, when the child started."""
    arrives, responds = observations.arrives, observations.responds
    lasting = responds[parents] - arrives[parents] + 2.0 * observations.arrival_slack[parents] + 1.0
    level = (np.log(np.maximum(lasting, 1.0)) / np.log(SPAN_LEVELS)).astype(np.int64)
    found_child: list[NDArray[np.int64]] = []
    found_parent: list[NDArray[np.int64]] = []
    callee, caller = observations.problem.callee, observations.problem.caller
    starts = observations.starts[children]
    for one_level in np.unique(level).tolist():
        at_level = parents[level == one_level]
        longest = float(lasting[level == one_level].max())
        slack = observations.start_slack[children] + float(observations.arrival_slack[at_level].max(initial=0.0))
        axis = observations.axis(longest + float(slack.max(initial=0.0)))
        position = axis.at(callee[at_level], arrives[at_level])
        order = np.argsort(position, kind="stable")
        position, at_level = position[order], at_level[order]
        high = np.searchsorted(position, axis.at(caller[children], starts + slack), "right")
        low = np.searchsorted(position, axis.at(caller[children], starts - slack - longest), "left")
        low = np.maximum(low, high - MOST_CANDIDATES)
        count = np.maximum(high - low, 0)
        for part in in_blocks(count, BLOCK_PAIRS):
            child = np.repeat(children[part], count[part])
            parent = at_level[ranges(low[part], count[part])]
            pair_slack = observations.start_slack[child] + observations.arrival_slack[parent]
            live = (
                (observations.problem.caller[child] == observations.problem.callee[parent])
                & (arrives[parent] <= observations.starts[child] + pair_slack)
                & (responds[parent] >= observations.starts[child] - pair_slack)
                & (child != parent)
            )
            found_child.append(child[live])
            found_parent.append(parent[live])
    if not found_child:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate(found_child), np.concatenate(found_parent)


def outliving_pairs(observations: Observations, reach: NDArray[np.float64]) -> Pairs:
    """Pairs whose parent had responded at most `reach` (n,) nanoseconds before the child started; 0: none for it."""
    children = np.flatnonzero((reach > 0) & ~np.isnan(observations.starts))
    parents = np.flatnonzero(~np.isnan(observations.arrives))
    callee, caller = observations.problem.callee, observations.problem.caller
    axis = observations.axis(float(reach.max()))
    position = axis.at(callee[parents], observations.responds[parents])
    order = np.argsort(position, kind="stable")
    position, parents = position[order], parents[order]
    starts = observations.starts[children]
    high = np.searchsorted(position, axis.at(caller[children], starts), "left")
    low = np.searchsorted(position, axis.at(caller[children], starts - reach[children]), "left")
    low = np.maximum(low, high - MOST_CANDIDATES)
    count = np.maximum(high - low, 0)
    child, parent = np.repeat(children, count), parents[ranges(low, count)]
    keep = (callee[parent] == caller[child]) & (child != parent)
    return Pairs(child[keep], parent[keep])


def add_proposals(observations: Observations, candidates: Candidates, proposed: Pairs) -> Candidates:
    """`candidates` with further pairs that a kind of evidence proposes."""
    key = np.concatenate((candidates.key, _keys(observations, proposed.child, proposed.parent)))
    return _candidates(observations, distinct(key), candidates.contained_only, candidates.outlives)


def _keys(observations: Observations, child: NDArray[np.int64], parent: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for each pair, by which pairs are sorted; see `Candidates.key`."""
    key: NDArray[np.int64] = child * np.int64(len(observations))
    key += observations.arrival_rank[parent]
    return key


def _candidates(
    observations: Observations, key: NDArray[np.int64], contained_only: NDArray[np.bool_], outlives: NDArray[np.bool_]
) -> Candidates:
    """The candidates of rising `key` (edges,)."""
    n = len(observations)
    by_arrival = np.empty(n, np.int64)
    by_arrival[observations.arrival_rank] = np.arange(n)
    offsets = np.searchsorted(key, np.arange(n + 1) * np.int64(n))
    child = np.repeat(np.arange(n), np.diff(offsets))
    return Candidates(child, by_arrival[key - child * n], key, offsets, contained_only, outlives)
