"""Leases: a pool lends a connection to one request, and calls that follow each other on it mostly have one parent.

Rules: how often two operations that follow each other on a connection share their parent is learned from what the
joint assignment believes, by expectation maximisation, and from how seldom the parent of the first call responds
before the second starts: where it is as chance would have it, nothing changes. A call is judged by the call before it
only where that one's parent is sure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.linking.arrays import find, joint_key, look_up, number_groups, ranges
from wiretrace.linking.habits import Leases

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.joint import Posterior
    from wiretrace.linking.links import Links
    from wiretrace.linking.observations import Observations
    from wiretrace.linking.service import Service
    from wiretrace.linking.units import Units

SURE_BEFORE = 0.9
"""Confidence of the parent of the call before, from which it is asked."""
LONGEST_CHAIN = 4
"""Calls in turn that are decided one by the other."""
LEAST_CASES = 20
"""Calls of two operations in turn that are needed to learn how often they share their parent."""
ITERATIONS = 30
"""Rounds of expectation maximisation."""
LEAST_SHARE = 0.02
"""The joint assignment, which knows nothing of leases, is not believed to rule out a parent further than this."""
SHUFFLES = 7
"""Other gaps that each parent's remaining time is compared with."""
SCATTER = 3.0
"""Standard deviations by which parents must outlive the next call more often than by chance."""
MOST_BOUND = 0.98
"""Share of one parent that is never exceeded by this."""
SECOND = (1 << 32) - 1
"""Bits of the number of a turn that tell the operation of the later call."""
IMAGINED = 2.0
"""Cases that are imagined to be as chance would have it."""


def decide_by_leases(
    observations: Observations,
    units: Units,
    weight: NDArray[np.float64],
    chosen: NDArray[np.int64],
    links: Links,
    known: Leases,
) -> NDArray[np.bool_]:
    """Decide in `links` those of the `chosen` units that practically always have the parent of the call before.

    Only where that parent is decided and may be theirs, and where the contents, whose `weight` (pairs,) is that of the
    pairs of `units`, leave it so. Returns which pairs of `units` rival a link decided so.
    """
    problem = observations.problem
    rivals = np.zeros(len(units.pair_unit), bool)
    bound = known.rate >= SURE_BEFORE
    turns, rates = known.turn[bound], known.rate[bound]
    if not len(turns) or not (problem.connection >= 0).any():
        return rivals
    before = _calls_before(observations)[units.first_call[chosen]]
    turn = joint_key(problem.operation[before], problem.operation[units.first_call[chosen]])
    rate = look_up(turns, rates, turn, np.float64(0.0))
    options = np.diff(units.offsets)[chosen]
    follows = (before >= 0) & (rate > 0) & (options > 1) & ~links.decided[units.first_call[chosen]]
    chosen, before, rate, options = chosen[follows], before[follows], rate[follows], options[follows]
    # A call may follow one that follows another.
    for _ in range(LONGEST_CHAIN):
        sure = links.decided[before] & (links.confidence[before] >= SURE_BEFORE) & (links.parent[before] >= 0)
        sure &= ~links.decided[units.first_call[chosen]]
        unit, parent = chosen[sure], links.parent[before[sure]]
        pair = ranges(units.offsets[unit], options[sure])
        of_pair = np.repeat(np.arange(len(unit)), options[sure])
        same = units.pair_parent[pair] == parent[of_pair]
        confidence = _believed(rate[sure], weight[pair], same, of_pair)
        decided = confidence >= SURE_BEFORE
        if not decided.any():
            break
        links.set_units(units, unit[decided], parent[decided], confidence[decided])
        rivals[pair[decided[of_pair] & ~same]] = True
    return rivals


def _believed(
    rate: NDArray[np.float64], weight: NDArray[np.float64], same: NDArray[np.bool_], unit: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Probability that each unit has the parent of the call before, shape (units,); 0 where that is no candidate.

    `rate` (units,) is how often such units do. `weight` (pairs,) is what the contents say of the candidates, `same`
    (pairs,) which of them is that parent, `unit` (pairs,) whose they are: each unit has several.
    """
    likelihood = np.exp(weight)
    mine, all_of = (np.bincount(unit, weights=each, minlength=len(rate)) for each in (same * likelihood, likelihood))
    others = np.bincount(unit, weights=~same, minlength=len(rate))
    follows = rate * mine
    by_chance = (1.0 - rate) * (all_of - mine) / np.maximum(others, 1.0)
    # Without a word of the contents it is as usual; they make it no surer than it usually is.
    return np.minimum(rate, follows / np.maximum(follows + by_chance, 1e-300))


def follow_leases(
    observations: Observations,
    units: Units,
    solved: list[tuple[Service, Posterior]],
    links: Links,
    known: list[Leases | None],
) -> list[Leases | None]:
    """Let the posteriors in `solved` follow the calls before on the same connections (in place).

    Returns what connections tell of each service: `known`, or what was learned where that is None.
    """
    problem = observations.problem
    if not (problem.connection >= 0).any():
        return known
    parent = np.where(links.decided & (links.confidence >= SURE_BEFORE), links.parent, -1)
    for service, posterior in solved:
        unit, pair = _held_pairs(service, posterior)
        sure = posterior.pair_share[pair] >= SURE_BEFORE
        number = np.full(len(units) + 1, -1, np.int64)
        number[service.unit_number[unit[sure]]] = service.request_call[service.candidates[pair[sure]]]
        of_call = number[units.of_call]
        parent = np.where(of_call >= 0, of_call, parent)
    before = _calls_before(observations)
    parent_before = np.where(before >= 0, parent[before], -1)
    return [
        _follow(observations, units, service, posterior, before, parent_before, leases)
        for (service, posterior), leases in zip(solved, known, strict=True)
    ]


def _held_pairs(service: Service, posterior: Posterior) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Contested units that have a parent, and the candidate pair that says so."""
    pair_unit = np.repeat(np.arange(service.units), np.diff(service.offsets))
    held = posterior.contested[pair_unit] & (service.candidates == posterior.parent[pair_unit])
    pair = np.flatnonzero(held)
    return pair_unit[pair], pair


def _calls_before(observations: Observations) -> NDArray[np.int64]:
    """The call before each call on the same connection, -1: none. Shape (n,)."""
    connection = observations.problem.connection
    calls = np.flatnonzero((connection >= 0) & ~np.isnan(observations.starts))
    calls = calls[np.lexsort((observations.starts[calls], connection[calls]))]
    same = connection[calls[1:]] == connection[calls[:-1]]
    before = np.full(len(connection), -1, np.int64)
    before[calls[1:][same]] = calls[:-1][same]
    return before


def _follow(
    observations: Observations,
    units: Units,
    service: Service,
    posterior: Posterior,
    before: NDArray[np.int64],
    parent_before: NDArray[np.int64],
    known: Leases | None,
) -> Leases | None:
    """Learn from, and change, the posterior of one service."""
    options = np.diff(service.offsets)
    pair_unit = np.repeat(np.arange(service.units), options)
    call = units.first_call[service.unit_number]
    pair = np.flatnonzero(
        posterior.contested[pair_unit]
        & (options[pair_unit] > 1)
        & (service.request_call[service.candidates] == parent_before[call][pair_unit])
    )
    if not len(pair):
        return known
    unit = pair_unit[pair]
    turn = joint_key(observations.problem.operation[before], observations.problem.operation)
    least = _least_shares(service.apart, pair_unit)[pair]
    share = np.clip(posterior.pair_share[pair], least, 1.0 - 1e-4)
    base = 1.0 / options[unit]
    if known is None:
        known = _learn(share, base, turn[call[unit]], _outlived(observations, before, parent_before, call, turn))
    at = find(known.turn, turn[call[unit]])
    tells = at >= 0
    pair, unit, share, base = pair[tells], unit[tells], share[tells], base[tells]
    followed = _followed(share, base, known.rate[at[tells]])
    scale = np.ones(service.units)
    scale[unit] = (1.0 - followed) / (1.0 - np.minimum(posterior.pair_share[pair], 1.0 - 1e-4))
    posterior.pair_share *= scale[pair_unit]
    posterior.none_share *= scale
    posterior.pair_share[pair] = followed
    chosen = followed > 0.5
    posterior.parent[unit[chosen]] = service.candidates[pair[chosen]]
    return known


def _least_shares(weight: NDArray[np.float64], unit: NDArray[np.int64]) -> NDArray[np.float64]:
    """How far the joint assignment may rule out each pair (pairs,), which is of `unit`: further where the contents do.

    `weight` (pairs,) is what the contents say, apart from connections.
    """
    best = np.full(int(unit.max(initial=-1)) + 1, -np.inf)
    np.maximum.at(best, unit, weight)
    least: NDArray[np.float64] = LEAST_SHARE * np.exp(weight - best[unit])
    return least


def _followed(share: NDArray[np.float64], base: NDArray[np.float64], rate: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability that calls have the parent of the call before.

    `share` is what the joint assignment says, `base` what chance says, `rate` how often such calls do.
    """
    agree = share * rate / base
    followed: NDArray[np.float64] = agree / (agree + (1.0 - share) * (1.0 - rate) / (1.0 - base))
    return followed


def _learn(
    share: NDArray[np.float64], base: NDArray[np.float64], turn: NDArray[np.int64], outlived: dict[int, float]
) -> Leases:
    """How often two calls in turn have one parent, where that is more often than by chance.

    `share`, `base` and `turn` are of calls; `outlived` bounds the rates of turns from below.
    """
    turns, group = number_groups(turn)
    bound = np.array([outlived.get(one, 0.0) for one in turns.tolist()])
    cases = np.bincount(group)
    by_chance = np.bincount(group, weights=share) / cases
    rate = by_chance.copy()
    for _ in range(ITERATIONS):
        followed = _followed(share, base, rate[group])
        rate = (np.bincount(group, weights=followed) + IMAGINED * by_chance) / (cases + IMAGINED)
        rate = np.maximum(rate, bound)
    learned = ((cases >= LEAST_CASES) | (bound > 0)) & (rate > by_chance)
    return Leases(turns[learned], rate[learned])


def _outlived(
    observations: Observations,
    before: NDArray[np.int64],
    parent_before: NDArray[np.int64],
    call: NDArray[np.int64],
    turns: NDArray[np.int64],
) -> dict[int, float]:
    """For each of `turns` (n,), the share of the calls whose start the parent of the call before must have waited for.

    If the next call had nothing to do with that parent, the parent would respond before it as often as the gaps of
    other calls say. Where it would wait anyhow, it is as with other turns to the same operation: a pool cleans up
    whatever came before. `call` (calls,) are the calls of a service.
    """
    known = call[parent_before[call] >= 0]
    remaining = observations.responds[parent_before[known]] - observations.ends[before[known]]
    gap = observations.starts[known] - observations.ends[before[known]]
    values, group = number_groups(turns[known])
    found: dict[int, float] = {}
    silent: dict[int, float] = {}
    told: dict[int, list[tuple[int, float]]] = {}
    for number, turn in enumerate(values.tolist()):
        mine = np.flatnonzero(group == number)
        outlives = float((remaining[mine] >= gap[mine]).mean())
        silent[turn] = outlives
        if len(mine) < LEAST_CASES:
            continue
        others = np.linspace(1, len(mine) - 1, SHUFFLES).astype(np.int64)
        by_chance = float(np.mean([(remaining[mine] >= np.roll(gap[mine], step)).mean() for step in others.tolist()]))
        if outlives - by_chance > SCATTER * np.sqrt(by_chance * (1.0 - by_chance) / len(mine)):
            found[turn] = min(MOST_BOUND, (outlives - by_chance) / (1.0 - by_chance))
            told.setdefault(turn & SECOND, []).append((len(mine), found[turn]))
            del silent[turn]
    for turn, outlives in silent.items():
        cases = told.get(turn & SECOND, [])
        rate = sum(count * share for count, share in cases) / max(sum(count for count, _ in cases), 1)
        if rate and outlives >= rate:
            found[turn] = rate
    return found
