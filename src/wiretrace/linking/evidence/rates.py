"""Rates: how telling it is that a pair of calls shares a value, or fails to, by what the two calls ask for.

Rules: learned from the links that are beyond doubt, for each pair of operations. A pair of operations that was never
seen has what is imagined of all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wiretrace.linking.arrays import find, joint_key, number_groups
from wiretrace.linking.evidence.contract import MOST_NATS, UNDECIDED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.evidence.contract import Match, Pairs
    from wiretrace.linking.observations import Observations

DOUBT = (1.0, 1.0)
"""Matches and misses that are imagined before any is seen."""


class OperationPairs(NamedTuple):
    """Which two operations pairs are of."""

    operations: NDArray[np.int64]
    """Rising numbers: `joint_key` of the parent's and the child's operation, shape (groups,)."""
    group: NDArray[np.int64]
    """Index into `operations` of each pair, shape (pairs,)."""


class MatchRates(NamedTuple):
    """How telling shared values are, for each pair of operations; arrays of shape (pairs of operations,)."""

    operations: NDArray[np.int64]
    """Rising numbers: `joint_key` of the parent's and the child's operation."""
    rate: NDArray[np.float64]
    """Share of the true pairs that share a value."""
    chance: NDArray[np.float64]
    """Share of the wrong pairs that do."""
    most: NDArray[np.float64]
    """Nats by which sharing most of the values is likelier for true pairs than for wrong ones."""


def operation_pairs(observations: Observations, pairs: Pairs) -> OperationPairs:
    """Which two operations each of `pairs` is of."""
    # Numbered from 0 before they are joined: small numbers are grouped without being sorted.
    operations, number = number_groups(observations.problem.operation)
    joined, group = number_groups(number[pairs.parent] * np.int64(len(operations)) + number[pairs.child])
    return OperationPairs(joint_key(operations[joined // len(operations)], operations[joined % len(operations)]), group)


def match_rates(of: OperationPairs, pairs: Pairs, found: Match, known: NDArray[np.int64]) -> MatchRates:
    """Learn from the links beyond doubt in `known` (n,) how often true and wrong `pairs` share a value."""
    operations, group = of
    parent = known[pairs.child]
    true_pair = (parent == pairs.parent) & found.comparable
    wrong_pair = (parent != UNDECIDED) & (parent != pairs.parent) & found.comparable
    matches = np.bincount(group[found.pair[true_pair[found.pair]]], minlength=len(operations))
    trials = np.bincount(group[true_pair], minlength=len(operations))
    by_chance = np.bincount(group[found.pair[wrong_pair[found.pair]]], minlength=len(operations))
    wrong_trials = np.bincount(group[wrong_pair], minlength=len(operations))
    most = found.pair[found.most]
    most_matches = np.bincount(group[most[true_pair[most]]], minlength=len(operations))
    most_by_chance = np.bincount(group[most[wrong_pair[most]]], minlength=len(operations))
    # A child has one parent: whatever else shares most with it does so by chance, though nothing is beyond doubt yet.
    children = group[most] * np.int64(len(known)) + pairs.child[most]
    first = most[np.unique(children, return_index=True)[1]]
    others = np.bincount(group[most], minlength=len(operations)) - np.bincount(group[first], minlength=len(operations))
    among_all = _chance(others, np.bincount(group[found.comparable], minlength=len(operations)))
    by_chance_at_most = np.minimum(_chance(most_by_chance, wrong_trials), among_all)
    telling = np.log(_rate(most_matches, trials)) - np.log(by_chance_at_most)
    return MatchRates(operations, _rate(matches, trials), _chance(by_chance, wrong_trials), telling)


def _rate(matches: NDArray[np.int64], trials: NDArray[np.int64]) -> NDArray[np.float64]:
    """How often true pairs share a value."""
    return (matches + DOUBT[0]) / (trials + sum(DOUBT))


def _chance(matches: NDArray[np.int64], trials: NDArray[np.int64]) -> NDArray[np.float64]:
    """How often wrong pairs share a value."""
    chance: NDArray[np.float64] = np.clip((matches + 0.1) / (trials + 2.0), 1e-3, 0.95)
    return chance


def match_weights(of: OperationPairs, found: Match, rates: MatchRates) -> NDArray[np.float64]:
    """Log-likelihood ratio of each pair from what it shares, or fails to share; shape (pairs,)."""
    nothing = np.zeros(1, np.int64)
    rate, chance = np.append(rates.rate, _rate(nothing, nothing)), np.append(rates.chance, _chance(nothing, nothing))
    # What is not known stands last.
    at = find(rates.operations, of.operations)
    rate, chance = rate[at], chance[at]
    without = np.minimum(np.log1p(-np.minimum(rate, 1 - 1e-4)) - np.log1p(-chance), 0.0)
    weight: NDArray[np.float64] = np.clip(without, -MOST_NATS, MOST_NATS)[of.group]
    weight *= found.comparable
    shares = np.log(rate[of.group[found.pair]]) - np.log(np.maximum(found.chance, 1e-6))
    # Each of many values may be common, and all of them together be rare.
    shares = np.where(found.most, np.maximum(shares, np.append(rates.most, 0.0)[at][of.group[found.pair]]), shares)
    weight[found.pair] = np.clip(shares, -MOST_NATS, MOST_NATS)
    return weight
