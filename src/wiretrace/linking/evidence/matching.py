"""Sets of hashed values on two sides of candidate pairs: which are shared, how rare they are, and how telling that is.

Rules: a value is as rare as few of the incoming calls of the same process carry it. How often a true pair of two
operations shares a value is learned from the links beyond doubt, so that a value that is missing where it usually is
counts against a pair. Wrong pairs share a value as often as its commonness says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wiretrace.linking.evidence.contract import MOST_NATS, UNDECIDED, Pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.observations import Observations
    from wiretrace.linking.problem import Ragged

MIX = np.uint64(0x9E3779B97F4A7C15)
"""Odd constant (2**64 divided by the golden ratio) that spreads call numbers over the hashes."""
LEARNED_FROM = 300
"""Links beyond doubt per pair of operations that a match rate is learned from."""
DOUBT = (1.0, 1.0)
"""Matches and misses that are imagined before any is seen."""
COMMON_SHARE = 0.5
"""A value that a larger share of the process's incoming calls carries tells nothing."""


class Match(NamedTuple):
    """What pairs share; arrays of shape (pairs,)."""

    shared: NDArray[np.int64]
    """Number of values that both sides carry and that are not common."""
    chance: NDArray[np.float64]
    """Share of the process's incoming calls that carry the rarest shared value; 1 where none is shared."""
    comparable: NDArray[np.bool_]
    """Whether both sides carry any value."""


def match(observations: Observations, pairs: Pairs, of_child: Ragged, of_parent: Ragged) -> Match:
    """Compare the values of both sides of `pairs`."""
    callee = observations.problem.callee.astype(np.int64)
    carriers = np.repeat(np.arange(len(callee)), np.diff(of_parent.offsets))
    incoming = callee[carriers] >= 0
    carriers, values = carriers[incoming], of_parent.values[incoming]
    with_process = values ^ (callee[carriers].astype(np.uint64) * MIX)
    distinct, number, carried = np.unique(with_process, return_inverse=True, return_counts=True)
    calls_of_process = np.bincount(callee[callee >= 0], minlength=1)

    counts = np.diff(of_child.offsets)[pairs.child]
    pair = np.repeat(np.arange(len(pairs)), counts)
    position = np.arange(len(pair)) - np.repeat(np.cumsum(counts) - counts, counts)
    value = of_child.values[np.repeat(of_child.offsets[pairs.child], counts) + position]
    parent = pairs.parent[pair]
    wanted = value ^ (callee[parent].astype(np.uint64) * MIX)
    found = np.minimum(np.searchsorted(distinct, wanted), max(len(distinct) - 1, 0))
    known = distinct[found] == wanted if len(distinct) else np.zeros(len(wanted), bool)
    pair, parent, found = pair[known], parent[known], found[known]
    common = carried[found] / calls_of_process[callee[parent]]

    held = np.unique(number.astype(np.int64) * len(callee) + carriers)
    key = found * np.int64(len(callee)) + parent
    slot = np.minimum(np.searchsorted(held, key), max(len(held) - 1, 0))
    shares = (held[slot] == key) if len(held) else np.zeros(len(key), bool)
    shares &= (common <= COMMON_SHARE) | (carried[found] <= 2)
    chance = np.ones(len(pairs))
    np.minimum.at(chance, pair[shares], common[shares])
    shared = np.bincount(pair[shares], minlength=len(pairs))
    comparable = (counts > 0) & (np.diff(of_parent.offsets)[pairs.parent] > 0)
    return Match(shared, chance, comparable)


def match_weights(
    observations: Observations, pairs: Pairs, found: Match, known: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Log-likelihood ratio of each pair from what it shares, or fails to share."""
    problem = observations.problem
    width = np.int64(int(problem.operation.max(initial=0)) + 2)
    operations = (problem.operation[pairs.parent] + 1) * width + problem.operation[pairs.child] + 1
    distinct, group = np.unique(operations, return_inverse=True)
    certain = known[pairs.child] != UNDECIDED
    true_pair = (known[pairs.child] == pairs.parent) & found.comparable
    wrong_pair = certain & (known[pairs.child] != pairs.parent) & found.comparable
    shares = found.shared > 0
    matches = np.bincount(group[true_pair & shares], minlength=len(distinct))
    trials = np.bincount(group[true_pair], minlength=len(distinct))
    rate = (matches + DOUBT[0]) / (trials + sum(DOUBT))
    by_chance = np.bincount(group[wrong_pair & shares], minlength=len(distinct))
    wrong_trials = np.bincount(group[wrong_pair], minlength=len(distinct))
    chance_rate = np.clip((by_chance + 0.1) / (wrong_trials + 2.0), 1e-3, 0.95)
    with_match = np.log(rate[group]) - np.log(np.maximum(found.chance, 1e-6))
    without = np.log1p(-np.minimum(rate, 1 - 1e-4)) - np.log1p(-chance_rate)
    weight = np.where(shares, with_match, np.minimum(without[group], 0.0))
    return np.where(found.comparable, np.clip(weight, -MOST_NATS, MOST_NATS), 0.0)
