"""Two requests divide anew what they hold."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import handlers
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator import simulate
from solving import solved_services

from wiretrace.linking import joint
from wiretrace.linking.moves import Held
from wiretrace.linking.redivide import pooled, redivided

if TYPE_CHECKING:
    from wiretrace.linking.request_model import RequestModel
    from wiretrace.linking.service import Service


@functools.cache
def learned() -> tuple[Service, joint.Posterior]:
    """Requests that read one to five rows each, one after the other, and what is learned of them."""
    return solved_services(simulate(handlers.repeated, rate=100, count=600))[0]


def redrawn(
    service: Service, model: RequestModel, before: Held, requests: list[int], draws: int, seed: int = 1
) -> tuple[Held, np.ndarray]:
    """So many draws of how `requests` divide what they hold `before` (one proposal)."""
    many = Held(before.source.repeat(draws, 1), before.target.repeat(draws, 1), before.fits.repeat(draws))
    pool, both = pooled(many), np.repeat(np.array(requests)[:, None], draws, axis=1)
    candidate = np.zeros((service.units + 1, service.requests), bool)
    candidate[np.repeat(np.arange(service.units), np.diff(service.offsets)), service.candidates] = True
    weight = np.where(candidate[pool.unit[None], both[:, None, :]], 0.0, -np.inf)
    return redivided(service, model, pool, both, weight, np.random.default_rng(seed))


def entangled() -> tuple[list[int], Held, list[set[int]]]:
    """Two requests with several calls each, all of which either may have made, after they exchanged every other one."""
    service, posterior = learned()
    owner = posterior.parent
    for first in range(service.requests - 1):
        ours, theirs = np.flatnonzero(owner == first), np.flatnonzero(owner == first + 1)
        shared = [
            unit
            for unit in (*ours, *theirs)
            if {first, first + 1} <= set(service.candidates[service.offsets[unit] : service.offsets[unit + 1]].tolist())
        ]
        if min(len(ours), len(theirs)) >= 3 and len(shared) >= 4:
            swapped = owner.copy()
            for unit in shared[::2]:
                swapped[unit] = 2 * first + 1 - owner[unit]
            held = joint.hold(service, swapped, np.array([first, first + 1]))
            before = Held(held[:, :1], held[:, 1:], np.ones(1, bool))
            return [first, first + 1], before, [set(ours.tolist()), set(theirs.tolist())]
    raise AssertionError("no two requests of the simulation compete")


def test_two_strands_are_told_apart_in_one_step() -> None:
    """However they got entangled: each call follows the one that was over just before it."""
    service, posterior = learned()
    requests, before, strands = entangled()
    after, back = redrawn(service, posterior.model, before, requests, 400)
    apart = [
        [set(held[held >= 0].tolist()) for held in (after.source[:, at], after.target[:, at])] == strands
        for at in range(400)
    ]
    assert np.mean(apart) > 0.1
    # What stood there before would hardly ever be drawn.
    assert back[np.flatnonzero(apart)[0]] < -3.0


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.data())
def test_nothing_is_lost_and_nobody_gets_what_may_not_be_theirs(seed: int, data: st.DataObject) -> None:
    """Whatever two requests hold: the same units after it, in the order of their starts, with candidates alone."""
    service, posterior = learned()
    unit = data.draw(st.sampled_from(np.flatnonzero(np.diff(service.offsets) > 1).tolist()))
    requests = service.candidates[service.offsets[unit] : service.offsets[unit + 1]][:2].tolist()
    held = joint.hold(service, posterior.parent, np.array(requests))
    before = Held(held[:, :1], held[:, 1:], np.ones(1, bool))
    after, back = redrawn(service, posterior.model, before, requests, 20, seed)
    assert after.fits.any()
    for at in np.flatnonzero(after.fits).tolist():
        parts = [part[:, at][part[:, at] >= 0].tolist() for part in (after.source, after.target)]
        assert sorted(parts[0] + parts[1]) == sorted(held[held >= 0].tolist())
        for request, part in zip(requests, parts, strict=True):
            assert part == sorted(part)
            for one in part:
                assert request in service.candidates[service.offsets[one] : service.offsets[one + 1]]
        assert not np.isnan(back[at])


def test_nothing_held_is_nothing_to_divide() -> None:
    """Two requests without calls stay without calls."""
    service, posterior = learned()
    nothing = np.full((service.slots, 1), -1, np.int64)
    after, back = redrawn(service, posterior.model, Held(nothing, nothing, np.ones(1, bool)), [0, 1], 3)
    assert (after.source < 0).all() and (after.target < 0).all()
    assert back.tolist() == [0.0, 0.0, 0.0]
