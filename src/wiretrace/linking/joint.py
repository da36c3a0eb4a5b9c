"""The joint assignment of one service: learn its habits and weigh all assignments, by turns.

Rules: expectation maximisation over sampled assignments. Averages over assignments are learned from, never the single
best one, which would sharpen its own mistakes. The confidence of a link is the share of the draws that hold it; the
chosen links are, for requests that compete with each other, those of the likeliest assignment that was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from wiretrace.linking.densities import delay_bins
from wiretrace.linking.evidence.order import order_weight
from wiretrace.linking.initial import correlogram_model, first_assignment
from wiretrace.linking.request_model import RequestModel
from wiretrace.linking.sampler import Sampler, fill_slots

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.service import Service

ROUNDS = 14
"""Rounds of drawing and learning."""
FEW_ROUNDS = 5
"""Rounds where the requests without competition outnumber the others and have already taught the model."""
LITTLE_TO_LEARN = 3.0
"""They must outnumber them by this."""
FIRST_SWEEPS = 3
"""Sweeps of the chains before the first round."""
SETTLED_ROUNDS = 6
"""A unit's parent is settled if all draws of this many rounds agree on it."""
SEED = 20240804
"""Of the draws: equal input gives equal output."""
COLUMNS = 8000
"""Columns that the chains of a service fill together where it is small: more chains, better averages."""
MOST_CHAINS = 16
"""Chains of a small service."""
LEAST_CHAINS = 4
"""Chains of a large service."""
FULL_EFFORT_COLUMNS = 24_000
"""Columns up to which the chains take all their steps."""
LEAST_EFFORT = 0.25
"""Share of the steps that are left where there are many more columns."""
LEARNING_COLUMNS = 20_000
"""Columns that a round learns from."""
DRAWS = 40
"""Draws of every chain from which confidences are counted."""
ENOUGH_ALONE = 200
"""Requests without competition from which the first model is learned; with fewer, the correlograms give it."""
COOLING = (0.5, 0.25, 0.1, 0.05, 0.02)
"""Temperatures at which the likeliest assignment is sought."""
ACCEPTED_PROPOSALS = 0.35
"""Proposals of a step that are not dropped because they meet, as a share of the active requests."""
UNSEEN_DRAWS = 0.5
"""Draws imagined for and against every link, so that no confidence is 0 or 1."""


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


def solve(service: Service) -> Posterior:
    """Link the units of `service` to its requests."""
    model = RequestModel(service)
    counts = np.diff(service.offsets)
    may_be_alone = np.isfinite(model.background)[service.unit_class]
    contested = counts + may_be_alone > 1
    pair_unit = np.repeat(np.arange(service.units), counts)
    in_contest = np.zeros(service.requests + 1, bool)
    in_contest[service.candidates[contested[pair_unit]]] = True
    in_contest[-1] = False
    active, alone = np.flatnonzero(in_contest), np.flatnonzero(~in_contest[:-1])
    fixed = np.where(contested, -1, service.candidates[np.minimum(service.offsets[:-1], len(pair_unit) - 1)])
    everybody = np.arange(service.requests)
    held_alone = hold(service, np.where(in_contest[fixed], -1, fixed), alone)
    enough = len(alone) >= ENOUGH_ALONE
    if enough:
        model.learn(held_alone, alone, np.ones(len(alone)))
    else:
        correlogram_model(service, model)
    parent = first_assignment(service, model)
    if not enough:
        first = hold(service, parent, everybody)
        model.plan.learn(service, first, everybody, np.ones(service.requests))
        model.regroup(first, everybody)
    chains = int(np.clip(COLUMNS // len(active), LEAST_CHAINS, MOST_CHAINS))
    sampler = Sampler(service, model, active, np.flatnonzero(contested), chains, np.random.default_rng(SEED))
    sampler.start(parent)
    options = float((counts + may_be_alone)[contested].sum())
    # Many requests teach as much in fewer steps, and their links are told apart by as few draws.
    effort = float(np.clip(FULL_EFFORT_COLUMNS / (chains * len(active)), LEAST_EFFORT, 1.0))
    sweep = int(np.ceil(effort * options / (ACCEPTED_PROPOSALS * len(active)))) + 4
    # The first model is worth more than the first assignment: let the draws follow it before anything is learned.
    sampler.run(FIRST_SWEEPS * sweep)
    recent: list[NDArray[np.int64]] = []
    for _ in range(ROUNDS if len(alone) < LITTLE_TO_LEARN * len(active) else FEW_ROUNDS):
        sampler.run(max(sweep // 2, 4))
        _learn(model, sampler, held_alone, alone)
        recent = [*recent[1 - SETTLED_ROUNDS :], sampler.parents()]
        drawn = np.concatenate(recent)
        settled = np.where(contested, np.where((drawn == drawn[0]).all(axis=0), drawn[0], -1), fixed)
        model.order_weight = order_weight(service, hold(service, settled, everybody))
        sampler.refresh()
    pair_share, none_share = _count(service, sampler, pair_unit, contested, sweep)
    chosen = np.where(contested, _likeliest(service, sampler, pair_unit, sweep), fixed)
    _place_the_rest(service, model, chosen, contested, pair_unit, pair_share, none_share)
    return Posterior(model, contested, chosen, pair_share, none_share)


def hold(service: Service, parent: NDArray[np.int64], requests: NDArray[np.int64]) -> NDArray[np.int64]:
    """What `requests` hold if unit u has the parent parent[u], shape (slots, requests)."""
    held = np.full((service.slots, service.requests), -1, np.int64)
    fill_slots(service, held, parent)
    return held[:, requests]


def _learn(model: RequestModel, sampler: Sampler, held_alone: NDArray[np.int64], alone: NDArray[np.int64]) -> None:
    """Learn from the present state of the chains, and from the requests that nothing competes with."""
    width = len(sampler.active)
    chains = int(np.clip(LEARNING_COLUMNS // width, 1, sampler.chains))
    held = np.concatenate((held_alone, sampler.held[:, : chains * width]), axis=1)
    request = np.concatenate((alone, np.tile(sampler.active, chains)))
    weights = np.concatenate((np.ones(len(alone)), np.full(chains * width, 1.0 / chains)))
    model.learn(held, request, weights)


def _count(
    service: Service, sampler: Sampler, pair_unit: NDArray[np.int64], contested: NDArray[np.bool_], sweep: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw from the learned model; shares of the draws of each candidate pair, and of no parent for each unit."""
    key = pair_unit * np.int64(service.requests) + service.candidates
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    counts, none = np.zeros(len(key)), np.zeros(service.units)
    units = np.flatnonzero(contested)
    for _ in range(DRAWS):
        sampler.run(max(sweep // 4, 2))
        drawn = sampler.parents()[:, units]
        none[units] += (drawn < 0).sum(axis=0)
        chain, at = np.nonzero(drawn >= 0)
        position = np.searchsorted(ordered, units[at] * np.int64(service.requests) + drawn[chain, at])
        counts += np.bincount(order[position], minlength=len(key))
    total = DRAWS * sampler.chains + 2 * UNSEEN_DRAWS
    options = np.diff(service.offsets)
    share = (counts + 2 * UNSEEN_DRAWS / np.maximum(options, 1)[pair_unit]) / total
    return share, none / total


def _likeliest(service: Service, sampler: Sampler, pair_unit: NDArray[np.int64], sweep: int) -> NDArray[np.int64]:
    """The likeliest assignment found: for each set of requests that compete, the best chain's. Shape (units,)."""
    for temperature in COOLING:
        sampler.run(max(sweep // 2, 4), temperature)
    links = csr_matrix(
        (np.ones(len(pair_unit), np.int8), (pair_unit, service.units + service.candidates)),
        shape=(service.units + service.requests,) * 2,
    )
    _, component = connected_components(links, directed=False)
    width = len(sampler.active)
    of_request = component[service.units + sampler.active]
    components = int(component.max()) + 1
    likelihood = sampler.likelihood[:-1].reshape(sampler.chains, width)
    drawn = sampler.parents()
    total = np.zeros((sampler.chains, components))
    for chain, row in enumerate(likelihood):
        total[chain] = np.bincount(of_request, weights=row, minlength=components)
    if sampler.model.weighted:
        total += sampler.weight_by(component, components)
    best: NDArray[np.int64] = drawn[np.argmax(total, axis=0)[component[: service.units]], np.arange(service.units)]
    return best


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
