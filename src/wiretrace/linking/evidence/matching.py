"""Sets of hashed values on two sides of candidate pairs: which are shared, how rare they are, and how telling that is.

Rules: a value is as rare as few of the incoming calls of the same process carry it. How often a true pair of two
operations shares a value is learned from the links beyond doubt, so that a value that is missing where it usually is
counts against a pair. Wrong pairs share a value as often as its commonness says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wiretrace.linking.arrays import find, joint_key, number_groups, ranges
from wiretrace.linking.evidence.contract import MOST_NATS, UNDECIDED, Pairs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.linking.observations import Observations
    from wiretrace.model.link_problem import Ragged

MIX = np.uint64(0x9E3779B97F4A7C15)
"""Odd constant (2**64 divided by the golden ratio) that spreads call numbers over the hashes."""
DOUBT = (1.0, 1.0)
"""Matches and misses that are imagined before any is seen."""
OTHER_CALLS = 4000
"""Incoming calls that no pair asks for, from which the commonness of values is measured."""
UNSEEN_CARRIERS = 0.05
"""Other calls that are imagined to carry a value that only one was seen to carry."""
BLOCK_PAIRS = 20_000
"""Pairs that are compared at once; bounds the memory that it takes."""
MOST_TABLE_BITS = 24
"""Leading bits of a value that the table of present values tells apart."""
COMMON_SHARE = 0.5
"""A value that a larger share of the process's incoming calls carries tells nothing."""


class Match(NamedTuple):
    """What pairs share; arrays of shape (pairs,)."""

    shared: NDArray[np.int64]
    """Number of values that both sides carry and that are not common."""
    chance: NDArray[np.float64]
    """Probability that an unrelated call would share a value as rare as the rarest shared one; 1 where none is shared."""
    comparable: NDArray[np.bool_]
    """Whether both sides carry any value."""


class MatchRates(NamedTuple):
    """How telling shared values are, for each pair of operations; arrays of shape (pairs of operations,)."""

    operations: NDArray[np.int64]
    """Rising numbers: `joint_key` of the parent's and the child's operation."""
    rate: NDArray[np.float64]
    """Share of the true pairs that share a value."""
    chance: NDArray[np.float64]
    """Share of the wrong pairs that do."""


def match(
    observations: Observations,
    pairs: Pairs,
    of_child: Ragged,
    of_parent: Ragged,
    since: NDArray[np.float64] | None = None,
) -> Match:
    """Compare the values of both sides of `pairs`.

    `since` says from when each of the parents' values is there, nanoseconds, shape of ``of_parent.values``: a child that
    starts before has nothing of it. None: from the beginning.
    """
    callee = observations.problem.callee.astype(np.uint64)
    carriers, served = _carriers(observations, pairs)
    held = np.diff(of_parent.offsets)[carriers]
    owner = np.repeat(carriers, held)
    at = ranges(of_parent.offsets[carriers], held)
    values = of_parent.values[at]
    of_process = np.sort(values ^ (callee[owner] * MIX))
    of_call = values ^ (owner.astype(np.uint64) * MIX)
    order = np.argsort(of_call) if since is None else np.lexsort((since[at], of_call))
    of_call = of_call[order]

    counts = np.diff(of_child.offsets)[pairs.child]
    comparable = (counts > 0) & (np.diff(of_parent.offsets)[pairs.parent] > 0)
    starts = observations.starts[pairs.child]
    if since is not None:
        earliest = np.full(len(observations), np.inf)
        np.minimum.at(earliest, owner, since[at])
        comparable &= earliest[pairs.parent] <= starts
        since = since[at][order]
    chance, shared = np.ones(len(pairs)), np.zeros(len(pairs), np.int64)
    for pair, value, place in _shared_values(pairs, of_child, of_call, counts):
        if since is not None:
            # Of several answers with the value, the first one stands first.
            there = since[place] <= starts[pair]
            pair, value = pair[there], value[there]
        process = callee[pairs.parent[pair]]
        wanted = value ^ (process * MIX)
        carried = np.searchsorted(of_process, wanted, "right") - np.searchsorted(of_process, wanted, "left")
        # How many others carry it: the parent in question does in any case.
        common = (carried - 1 + UNSEEN_CARRIERS) / served[process.astype(np.int64)]
        telling = (common <= COMMON_SHARE) | (carried <= 2)
        pair, common = pair[telling], common[telling]
        # Every value of the child had its chance to be shared.
        common = -np.expm1(np.log1p(-np.minimum(common, 0.99)) * counts[pair])
        np.minimum.at(chance, pair, common)
        np.add.at(shared, pair, 1)
    return Match(shared, chance, comparable)


def _shared_values(
    pairs: Pairs, of_child: Ragged, of_call: NDArray[np.uint64], counts: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]]:
    """The values that both sides carry, a block of pairs at a time: numbers of the pairs, values, places in `of_call`.

    `of_call` are the parents' values mixed with the parents' numbers, sorted; `counts` (pairs,) the children's values.
    """
    # Nearly all values are not shared: a table of the leading bits tells most of them at once.
    shift = np.uint64(64 - min(MOST_TABLE_BITS, len(of_call).bit_length() + 4))
    present = np.zeros(1 << (64 - int(shift)), bool)
    present[of_call >> shift] = True
    for begin in range(0, len(pairs) if len(of_call) else 0, BLOCK_PAIRS):
        block = np.arange(begin, min(begin + BLOCK_PAIRS, len(pairs)))
        pair = np.repeat(block, counts[block])
        value = of_child.values[ranges(of_child.offsets[pairs.child[block]], counts[block])]
        wanted = value ^ (pairs.parent[pair].astype(np.uint64) * MIX)
        maybe = np.flatnonzero(present[wanted >> shift])
        wanted = wanted[maybe]
        place = np.minimum(np.searchsorted(of_call, wanted), len(of_call) - 1)
        same = of_call[place] == wanted
        shares = maybe[same]
        yield pair[shares], value[shares], place[same]


def _carriers(observations: Observations, pairs: Pairs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The parents of `pairs` and a sample of the other incoming calls, and how many of these each process served."""
    callee = observations.problem.callee
    wanted = np.zeros(len(callee), bool)
    wanted[pairs.parent] = True
    others = np.flatnonzero(~wanted & (callee >= 0))
    wanted[others[:: len(others) // OTHER_CALLS + 1]] = True
    carriers = np.flatnonzero(wanted)
    return carriers, np.bincount(callee[carriers])


def match_rates(observations: Observations, pairs: Pairs, found: Match, known: NDArray[np.int64]) -> MatchRates:
    """Learn from the links beyond doubt in `known` (n,) how often true and wrong pairs share a value."""
    operations, group = number_groups(_operations(observations, pairs))
    parent = known[pairs.child]
    true_pair = (parent == pairs.parent) & found.comparable
    wrong_pair = (parent != UNDECIDED) & (parent != pairs.parent) & found.comparable
    shares = found.shared > 0
    matches = np.bincount(group[true_pair & shares], minlength=len(operations))
    trials = np.bincount(group[true_pair], minlength=len(operations))
    by_chance = np.bincount(group[wrong_pair & shares], minlength=len(operations))
    wrong_trials = np.bincount(group[wrong_pair], minlength=len(operations))
    return MatchRates(operations, _rate(matches, trials), _chance(by_chance, wrong_trials))


def _operations(observations: Observations, pairs: Pairs) -> NDArray[np.int64]:
    """Which two operations each pair is of."""
    operation = observations.problem.operation
    return joint_key(operation[pairs.parent], operation[pairs.child])


def _rate(matches: NDArray[np.int64], trials: NDArray[np.int64]) -> NDArray[np.float64]:
    """How often true pairs share a value."""
    return (matches + DOUBT[0]) / (trials + sum(DOUBT))


def _chance(matches: NDArray[np.int64], trials: NDArray[np.int64]) -> NDArray[np.float64]:
    """How often wrong pairs share a value."""
    chance: NDArray[np.float64] = np.clip((matches + 0.1) / (trials + 2.0), 1e-3, 0.95)
    return chance


def match_weights(observations: Observations, pairs: Pairs, found: Match, rates: MatchRates) -> NDArray[np.float64]:
    """Log-likelihood ratio of each pair from what it shares, or fails to share."""
    nothing = np.zeros(1, np.int64)
    rate, chance = np.append(rates.rate, _rate(nothing, nothing)), np.append(rates.chance, _chance(nothing, nothing))
    without = np.minimum(np.log1p(-np.minimum(rate, 1 - 1e-4)) - np.log1p(-chance), 0.0)
    # What is not known stands last.
    at = find(rates.operations, _operations(observations, pairs))
    weight = np.where(found.comparable, without[at], 0.0)
    shares = np.flatnonzero((found.shared > 0) & found.comparable)
    weight[shares] = np.log(rate[at[shares]]) - np.log(np.maximum(found.chance[shares], 1e-6))
    return np.clip(weight, -MOST_NATS, MOST_NATS)
