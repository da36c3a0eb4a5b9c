"""The joint assignment of one service: learn its habits and weigh all assignments, by turns.

Rules: expectation maximisation over sampled assignments. Averages over assignments are learned from, never the single
best one, which would sharpen its own mistakes. The confidence of a link is the share of the draws that hold it; the
chosen links are those of the likeliest assignment as a whole where draws agree on nothing better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.linking.evidence.order import order_weight
from wiretrace.linking.initial import correlogram_model, first_assignment
from wiretrace.linking.request_model import RequestModel
from wiretrace.linking.sampler import Sampler, fill_slots

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.service import Service

ROUNDS = 14
"""Rounds of drawing and learning."""
SEED = 20240804
"""Of the draws: equal input gives equal output."""
SETTLED_ROUNDS = 6
"""A unit's parent is settled if all draws of this many rounds agree on it."""
COLUMNS = 8000
"""Columns that the chains of a service fill together where it is small: more chains, better averages."""
MOST_CHAINS = 16
LEAST_CHAINS = 4
LEARNING_COLUMNS = 20_000
"""Columns that a round learns from."""
DRAWS = 40
"""Draws of every chain from which confidences are counted."""
ENOUGH_ALONE = 200
"""Requests without competition from which the first model is learned; with fewer, the correlograms give it."""


@dataclass(slots=True)
class Posterior:
    """What the draws say of one service's units."""

    model: RequestModel
    """The habits that were learned."""
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
    movable = np.flatnonzero(counts + may_be_alone > 1)
    fixed = np.where(counts > 0, service.candidates[np.minimum(service.offsets[:-1], len(service.candidates) - 1)], -1)
    pair_unit = np.repeat(np.arange(service.units), counts)
    contested = np.zeros(service.requests, bool)
    contested[service.candidates[(counts + may_be_alone > 1)[pair_unit]]] = True
    active, alone = np.flatnonzero(contested), np.flatnonzero(~contested)
    held_alone = _hold(service, np.where(contested[fixed] | (fixed < 0), -1, fixed), alone)
    if len(alone) >= ENOUGH_ALONE:
        model.learn(held_alone, alone, np.ones(len(alone)))
    else:
        correlogram_model(service, model)
    parent = first_assignment(service, model)
    chains = int(np.clip(COLUMNS // max(len(active), 1), LEAST_CHAINS, MOST_CHAINS))
    sampler = Sampler(service, model, active, movable, chains, np.random.default_rng(SEED))
    if len(alone) < ENOUGH_ALONE:
        first = _hold(service, parent, np.arange(service.requests))
        model.plan.learn(service, first, np.arange(service.requests), np.ones(service.requests))
        model.regroup(first, np.arange(service.requests))
    sampler.start(parent)
    options = counts[movable].mean() if len(movable) else 0.0
    sweep = int(np.ceil(len(movable) * options / (0.35 * max(len(active), 1)))) + 4
    recent: list[NDArray[np.int64]] = []
    for _ in range(ROUNDS):
        sampler.run(max(sweep // 2, 4))
        _learn(model, sampler, held_alone, alone)
        recent = [*recent[1 - SETTLED_ROUNDS :], sampler.parents()]
        drawn = np.concatenate(recent)
        settled = np.where((drawn == drawn[0]).all(axis=0), drawn[0], -1)
        settled = np.where((settled < 0) & (counts == 1), fixed, settled)
        model.order_weight = order_weight(service, _hold(service, settled, np.arange(service.requests)))
        sampler.refresh()
    import os
    if os.environ.get('V'): print(service.name, 'order', model.order_weight, 'cue', model.delays.cue.tolist(), model.delays.closing.tolist(), 'alone', len(alone))
    return _count(service, model, sampler, sweep)


def _hold(service: Service, parent: NDArray[np.int64], requests: NDArray[np.int64]) -> NDArray[np.int64]:
    """What `requests` hold if unit u has the parent parent[u], shape (slots, requests)."""
    held = np.full((service.slots, service.requests), -1, np.int64)
    fill_slots(service, held, parent)
    return held[:, requests]


def _learn(model: RequestModel, sampler: Sampler, held_alone: NDArray[np.int64], alone: NDArray[np.int64]) -> None:
    """Learn from the present state of the chains, and from the requests that nothing competes with."""
    width = len(sampler.active)
    chains = int(np.clip(LEARNING_COLUMNS // max(width, 1), 1, sampler.chains))
    held = np.concatenate((held_alone, sampler.held[:, : chains * width]), axis=1)
    request = np.concatenate((alone, np.tile(sampler.active, chains)))
    weights = np.concatenate((np.ones(len(alone)), np.full(chains * width, 1.0 / chains)))
    model.learn(held, request, weights)


def _count(service: Service, model: RequestModel, sampler: Sampler, sweep: int) -> Posterior:
    """Draw from the learned model and count, then choose."""
    pairs = len(service.candidates)
    pair_unit = np.repeat(np.arange(service.units), np.diff(service.offsets))
    key = pair_unit * np.int64(service.requests) + service.candidates
    order = np.argsort(key, kind="stable")
    counts, none = np.zeros(pairs), np.zeros(service.units)
    units = np.arange(service.units)
    for _ in range(DRAWS):
        sampler.run(max(sweep // 4, 2))
        for drawn in sampler.parents():
            with_parent = drawn >= 0
            none += ~with_parent
            position = np.searchsorted(key[order], units[with_parent] * np.int64(service.requests) + drawn[with_parent])
            counts[order[np.minimum(position, pairs - 1)]] += 1.0
    total = DRAWS * sampler.chains
    # requests outside the competition keep their only candidates
    share = counts / total
    single = np.diff(service.offsets) == 1
    untouched = single & (none == total)
    share[np.repeat(untouched, np.diff(service.offsets))] = 1.0
    none_share = np.where(untouched, 0.0, none / total)
    best = np.zeros(service.units, np.int64)
    for t in (0.5, 0.25, 0.1, 0.05, 0.02):
        sampler.run(max(sweep // 2, 4), t)
    width = len(sampler.active)
    totals = sampler.likelihood[:-1].reshape(sampler.chains, width).sum(axis=1)
    best = sampler.parents()[int(np.argmax(totals))]
    best = np.where(untouched, service.candidates[np.minimum(service.offsets[:-1], pairs - 1)], best)
    import os
    if os.environ.get('MARG'):
        o=np.lexsort((share,pair_unit)); last=np.append(pair_unit[o][1:]!=pair_unit[o][:-1],True)
        b2=np.full(service.units,-1); b2[pair_unit[o][last]]=service.candidates[o][last]; best=b2
    return Posterior(model, best, share, none_share)
