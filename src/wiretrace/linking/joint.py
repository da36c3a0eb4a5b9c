"""The joint assignment of one service: learn its habits and weigh all assignments, by turns.

Rules: expectation maximisation over sampled assignments. Averages over assignments are learned from, never the single
best one, which would sharpen its own mistakes. The confidence of a link is the share of the draws that hold it. What
most draws hold and hardly any denies is chosen; else requests that compete get the likeliest assignment that was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from wiretrace.linking.arrays import distinct, ranges
from wiretrace.linking.densities import delay_bins
from wiretrace.linking.evidence.order import order_weight
from wiretrace.linking.initial import correlogram_model, first_assignment
from wiretrace.linking.request_model import RequestModel
from wiretrace.linking.sampler import Sampler, fill_slots

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.habits import ServiceHabits
    from wiretrace.linking.service import Service

ROUNDS = 8
"""Most rounds of drawing and learning."""
LEAST_ROUNDS = 4
"""Least rounds."""
CUE_ROUNDS = 2
"""What calls wait for is chosen anew in each of this many rounds."""
LEARNED = 0.01
"""A round that makes the requests likelier by less than this, in nats a request, is the last one."""
LEARNING_REQUESTS = 3200
"""Contested requests that a service is learned from."""
LEARNING_CHAINS = 2
"""Chains that are learned from: the others would say much the same."""
LEARNING_STRETCHES = 8
"""They are taken in this many stretches spread over the whole time."""
FIRST_SWEEPS = 4.0
"""Sweeps of the chains before the first round."""
ROUND_SWEEPS = 1.5
"""Sweeps of a round."""
SETTLED_ROUNDS = 4
"""A unit's parent is settled if all draws of this many rounds agree on it."""
SEED = 20240804
"""Of the draws: equal input gives equal output."""
MOST_CHAINS = 16
"""Chains of a small service."""
ENOUGH_ALONE = 200
"""Requests without competition from which the first model is learned; with fewer, the correlograms give it."""
FIRST_LOOK = 1.0
"""Sweeps after which the chains are compared, twice, to see which units do not move."""
MAJORITY = 0.5
"""What a larger share of the draws holds is chosen in place of what the likeliest assignment says, ..."""
FAR_LIKELIER = 4.0
"""... if that is held by so much fewer of them."""
UNSEEN_DRAWS = 0.25
"""Draws imagined for and against every link, so that no confidence is 0 or 1. With more, few draws would be too unsure."""


class Effort(NamedTuple):
    """How much is drawn."""

    columns: int
    """Columns that the chains of a service fill together where it is small: more chains, better averages."""
    least_chains: int
    """Chains of a large service."""
    settling: float
    """Sweeps with the learned model before draws count."""
    draws: int
    """Draws of every chain from which confidences are counted."""
    draw_sweeps: float
    """Sweeps between draws."""
    cooling: tuple[float, ...]
    """Temperatures at which the likeliest assignment is sought."""
    cooling_sweeps: float
    """Sweeps at each temperature, where the chains fill no more than `columns`; fewer where they fill more."""
    least_cooling_sweeps: float
    """Least sweeps at each temperature."""


THOROUGH = Effort(8_000, 4, 5.0, 20, 0.4, (0.5, 0.25, 0.1, 0.05, 0.02), 2.0, 0.6)
"""For a service that is learned."""
QUICK = Effort(4_000, 4, 6.0, 10, 0.4, (0.3, 0.05), 1.6, 1.6)
"""For a service in one of many stretches."""


@dataclass(slots=True)
class Posterior:
    """What the draws say of one service's units."""

    model: RequestModel
    """The habits that were learned."""
    contested: NDArray[np.bool_]
    """Units that had more than one possible place, shape (units,). The others are not told of here."""
    parent: NDArray[np.int64]
    """Chosen request of each unit, -1: none. Shape (units,)."""
    pair_share: NDArray[np.float64]
    """Share of the draws in which each candidate pair held, shape (pairs,)."""
    none_share: NDArray[np.float64]
    """Share of the draws in which the unit had no parent, shape (units,)."""


def solve(service: Service, known: ServiceHabits | None = None, quick: bool = False) -> Posterior:
    """Link the units of `service` to its requests, by habits that are `known`, or else learned.

    `quick`: less is drawn.
    """
    model = RequestModel(service) if known is None else RequestModel.knowing(service, known)
    counts = np.diff(service.offsets)
    may_be_alone = np.isfinite(model.background)[service.unit_class]
    contested = counts + (may_be_alone & ~service.settled) > 1
    pair_unit = np.repeat(np.arange(service.units), counts)
    in_contest = np.zeros(service.requests + 1, bool)
    in_contest[service.candidates[contested[pair_unit]]] = True
    in_contest[-1] = False
    active, alone = np.flatnonzero(in_contest), np.flatnonzero(~in_contest[:-1] & service.whole)
    fixed = np.where(contested, -1, service.candidates[np.minimum(service.offsets[:-1], len(pair_unit) - 1)])
    whole = np.flatnonzero(service.whole)
    generator = np.random.default_rng(SEED)
    effort = QUICK if quick else THOROUGH
    sampler = None
    if known is None:
        held_alone = hold(service, np.where(in_contest[fixed], -1, fixed), alone)
        enough = len(alone) >= ENOUGH_ALONE
        if enough:
            model.learn(held_alone, alone, np.ones(len(alone)))
        else:
            correlogram_model(service, model)
        parent = first_assignment(service, model)
        if not enough:
            first = hold(service, parent, whole)
            model.plan.learn(service, first, whole, np.ones(len(whole)))
            model.regroup(first, whole)
        sampler = _learn(service, model, parent, contested, active, held_alone, alone, effort, generator)
    if sampler is None or len(sampler.active) < len(active):
        parent = first_assignment(service, model)
        sampler = _sampler(service, model, parent, contested, active, _chains(active, effort), generator)
    _settle(sampler, effort.settling)
    pair_share, none_share = _count(service, sampler, pair_unit, contested, effort)
    chosen = np.where(contested, _likeliest(service, sampler, effort), fixed)
    chosen[~_are_candidates(service, pair_unit, chosen)] = -1
    _follow_majorities(service, chosen, contested, pair_unit, pair_share, none_share)
    _place_the_rest(service, model, chosen, contested, pair_unit, pair_share, none_share)
    return Posterior(model, contested, chosen, pair_share, none_share)


def _settle(sampler: Sampler, sweeps: float) -> None:
    """Let the chains follow the learned model, and find out which units do not move."""
    sampler.run(FIRST_LOOK)
    first = sampler.parents()
    sampler.run(FIRST_LOOK)
    both = np.concatenate((first, sampler.parents()))
    sampler.steady = (both == both[0]).all(axis=0)
    sampler.propose()
    sampler.run(sweeps - 2 * FIRST_LOOK)
    sampler.propose()


def _chains(active: NDArray[np.int64], effort: Effort) -> int:
    """How many chains over the requests `active` are drawn from."""
    return int(np.clip(effort.columns // len(active), effort.least_chains, MOST_CHAINS))


def _sampler(
    service: Service,
    model: RequestModel,
    parent: NDArray[np.int64],
    contested: NDArray[np.bool_],
    active: NDArray[np.int64],
    chains: int,
    generator: np.random.Generator,
) -> Sampler:
    """So many `chains` over the requests `active` and the contested units that they hold, or may hold, in `parent`."""
    inside = np.zeros(service.requests + 1, bool)
    inside[active] = True
    pair_unit = np.repeat(np.arange(service.units), np.diff(service.offsets))
    reachable = np.bincount(pair_unit, weights=inside[service.candidates], minlength=service.units) > 0
    movable = np.flatnonzero(contested & np.where(parent < 0, reachable, inside[parent]))
    sampler = Sampler(service, model, active, movable, chains, generator)
    sampler.start(np.where(inside[parent], parent, -1))
    return sampler


def _learn(
    service: Service,
    model: RequestModel,
    parent: NDArray[np.int64],
    contested: NDArray[np.bool_],
    active: NDArray[np.int64],
    held_alone: NDArray[np.int64],
    alone: NDArray[np.int64],
    effort: Effort,
    generator: np.random.Generator,
) -> Sampler:
    """Teach `model` the habits of the service from a bounded sample of its requests; returns the chains over them."""
    learned_from = _stretches(active)
    # Chains over a sample are not drawn from later.
    chains = _chains(active, effort) if len(learned_from) == len(active) else LEARNING_CHAINS
    sampler = _sampler(service, model, parent, contested, learned_from, chains, generator)
    # The first model is worth more than the first assignment: let the draws follow it before anything is learned.
    sampler.run(FIRST_SWEEPS)
    width, chains = len(sampler.active), min(LEARNING_CHAINS, sampler.chains)
    column = np.flatnonzero(np.tile(service.whole[sampler.active], chains))
    request = np.concatenate((alone, np.tile(sampler.active, chains)[column]))
    weights = np.concatenate((np.ones(len(alone)), np.full(len(column), 1.0 / chains)))
    movable = np.zeros(service.units, bool)
    movable[sampler.movable] = True
    single = np.where(contested, -1, parent)
    recent: list[NDArray[np.int64]] = []
    before = -np.inf
    for number in range(ROUNDS):
        sampler.run(ROUND_SWEEPS)
        held = np.concatenate((held_alone, sampler.held[:, column]), axis=1)
        model.learn(held, request, weights, choose_cues=number % CUE_ROUNDS == 0)
        recent = [*recent[1 - SETTLED_ROUNDS :], sampler.parents()]
        drawn = np.concatenate(recent)
        settled = np.where(movable, np.where((drawn == drawn[0]).all(axis=0), drawn[0], -1), single)
        looked_at = np.sort(np.concatenate((alone, sampler.active)))
        held = hold(service, settled, np.arange(service.requests))
        model.order_weight = order_weight(service, held, looked_at)
        sampler.refresh()
        now = float(sampler.likelihood.sum() + sampler.weight.sum()) / (sampler.chains * width)
        if number + 1 >= LEAST_ROUNDS and now < before + LEARNED:
            break
        before = max(now, before)
    return sampler


def _stretches(active: NDArray[np.int64]) -> NDArray[np.int64]:
    """At most `LEARNING_REQUESTS` of the requests `active`, in stretches of neighbours."""
    if len(active) <= LEARNING_REQUESTS:
        return active
    length = LEARNING_REQUESTS // LEARNING_STRETCHES
    first = np.linspace(0, len(active) - length, LEARNING_STRETCHES).astype(np.int64)
    return active[distinct(ranges(first, np.full(LEARNING_STRETCHES, length)))]


def hold(service: Service, parent: NDArray[np.int64], requests: NDArray[np.int64]) -> NDArray[np.int64]:
    """What `requests` hold if unit u has the parent parent[u], shape (slots, requests)."""
    held = np.full((service.slots, service.requests), -1, np.int64)
    fill_slots(service, held, parent)
    return held[:, requests]


def _count(
    service: Service, sampler: Sampler, pair_unit: NDArray[np.int64], contested: NDArray[np.bool_], effort: Effort
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw from the learned model; shares of the draws of each candidate pair, and of no parent for each unit."""
    key = pair_unit * np.int64(service.requests) + service.candidates
    counts, none = np.zeros(len(key)), np.zeros(service.units)
    units = np.flatnonzero(contested)
    for _ in range(effort.draws):
        sampler.run(effort.draw_sweeps)
        drawn = sampler.parents()[:, units]
        none[units] += (drawn < 0).sum(axis=0)
        chain, at = np.nonzero(drawn >= 0)
        wanted = units[at] * np.int64(service.requests) + drawn[chain, at]
        position = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
        # A unit that no draw has moved may be where the first assignment put it, with the others of a chain of calls.
        counts += np.bincount(position[key[position] == wanted], minlength=len(key))
    total = effort.draws * sampler.chains + 2 * UNSEEN_DRAWS
    options = np.diff(service.offsets)
    share = (counts + 2 * UNSEEN_DRAWS / np.maximum(options, 1)[pair_unit]) / total
    return share, none / total


def _likeliest(service: Service, sampler: Sampler, effort: Effort) -> NDArray[np.int64]:
    """The likeliest assignment found, put together from the best parts of the chains. Shape (units,)."""
    columns = sampler.chains * len(sampler.active)
    sweeps = max(effort.least_cooling_sweeps, effort.cooling_sweeps * min(1.0, effort.columns / columns))
    for temperature in effort.cooling:
        sampler.run(sweeps, temperature)
    drawn = sampler.parents()
    likelihood = np.zeros((sampler.chains, service.requests))
    likelihood[:, sampler.active] = (sampler.likelihood + sampler.weight)[:-1].reshape(sampler.chains, -1)
    alone = np.where(drawn < 0, sampler.model.background[service.unit_class], 0.0)
    return recombined(drawn, likelihood, np.where(np.isfinite(alone), alone, 0.0))


def recombined(
    drawn: NDArray[np.int64], likelihood: NDArray[np.float64], alone: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The best assignment that parts of several ones make, shape (units,): partition crossover.

    `drawn` (assignments, units) is the request of each unit, -1: none; `likelihood` (assignments, requests) that of what
    each request holds, `alone` (assignments, units) that of having none. Requests between which no unit is placed
    otherwise by another assignment have nothing to do with each other: each set of the others takes what is best for it.
    Source: Whitley, Hains & Howe, Tunneling between optima: partition crossover for the traveling salesman problem, 2009.
    """
    requests = likelihood.shape[1]
    # Where a unit is in any of the assignments; those that never have a request are left alone.
    first = drawn.max(axis=0)
    placed = np.flatnonzero(first >= 0)
    _, unit = np.nonzero(drawn[:, placed] >= 0)
    elsewhere = drawn[:, placed][drawn[:, placed] >= 0]
    links = csr_matrix((np.ones(len(unit), np.int8), (first[placed[unit]], elsewhere)), shape=(requests, requests))
    parts, part = connected_components(links, directed=False)
    best = np.zeros(parts, np.int64)
    most = np.full(parts, -np.inf)
    for number, (of_requests, of_units) in enumerate(zip(likelihood, alone, strict=True)):
        total = np.bincount(part, weights=of_requests, minlength=parts)
        total += np.bincount(part[first[placed]], weights=of_units[placed], minlength=parts)
        better = total > most
        best[better], most[better] = number, total[better]
    chosen = np.full(drawn.shape[1], -1, np.int64)
    chosen[placed] = drawn[best[part[first[placed]]], placed]
    return chosen


def _follow_majorities(
    service: Service,
    chosen: NDArray[np.int64],
    contested: NDArray[np.bool_],
    pair_unit: NDArray[np.int64],
    pair_share: NDArray[np.float64],
    none_share: NDArray[np.float64],
) -> None:
    """Choose what most draws hold where hardly any holds what was chosen (in place).

    Two majorities never claim one place: some draw holds both.
    """
    held = np.where(chosen < 0, none_share, 0.0)
    own = service.candidates == chosen[pair_unit]
    held[pair_unit[own]] = pair_share[own]
    # What has no parent claims no place.
    least = np.where(chosen < 0, MAJORITY, np.maximum(MAJORITY, FAR_LIKELIER * held))
    pairs = np.flatnonzero((pair_share > least[pair_unit]) & contested[pair_unit])
    chosen[pair_unit[pairs]] = service.candidates[pairs]
    chosen[contested & (chosen >= 0) & (none_share > least)] = -1


def _are_candidates(service: Service, pair_unit: NDArray[np.int64], parent: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the parent of each unit is one that may have caused it. Shapes (units,)."""
    found = np.zeros(service.units, bool)
    found[pair_unit[service.candidates == parent[pair_unit]]] = True
    return found


def _place_the_rest(
    service: Service,
    model: RequestModel,
    chosen: NDArray[np.int64],
    contested: NDArray[np.bool_],
    pair_unit: NDArray[np.int64],
    pair_share: NDArray[np.float64],
    none_share: NDArray[np.float64],
) -> None:
    """Judge units one by one for which no request had room, by the time since the arrival alone (in place)."""
    no_background = ~np.isfinite(model.background)[service.unit_class]
    rest = contested & (chosen < 0) & no_background
    pairs = np.flatnonzero(rest[pair_unit])
    if not len(pairs):
        return
    unit, request = pair_unit[pairs], service.candidates[pairs]
    slot = np.searchsorted(service.slot_class, service.unit_class[unit])
    bins, stretch = delay_bins(service.starts[unit] - service.arrives[request], service.resolution)
    score = model.delays.table[service.kind[request], service.slots + slot, bins] - stretch + service.weights[pairs]
    score = np.exp(score - np.maximum.reduceat(score, _firsts(unit))[np.cumsum(_starts(unit)) - 1])
    pair_share[pairs] = score / np.add.reduceat(score, _firsts(unit))[np.cumsum(_starts(unit)) - 1]
    none_share[rest] = 0.0
    order = np.lexsort((-request, pair_share[pairs], unit))
    chosen[unit[order]] = request[order]


def _starts(groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where a run of equal numbers begins."""
    return np.concatenate(([True], groups[1:] != groups[:-1]))


def _firsts(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices where runs of equal numbers begin."""
    return np.flatnonzero(_starts(groups))
