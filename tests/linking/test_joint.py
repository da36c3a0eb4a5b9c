"""Drawing assignments."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import handlers
import numpy as np
from simulator import Simulation, simulate
from solving import solved_services

from wiretrace.linking import joint, linker
from wiretrace.linking.initial import first_assignment
from wiretrace.linking.sampler import Sampler

if TYPE_CHECKING:
    import pytest
    from numpy.typing import NDArray

    from wiretrace.linking.habits import ServiceHabits
    from wiretrace.linking.service import Service


def given_up_early(seed: int) -> Simulation:
    """Requests that make one to four equal calls; half of them are over long before their calls are."""
    chance, world = random.Random(seed), Simulation()
    rows, at = [], 0.0
    for _ in range(40):
        at += chance.expovariate(20)
        rows.append((at, "REQUEST", chance.choice([0.02, 0.3])))
        rows += [(at + 0.25 * chance.random(), "SELECT", 0.002) for _ in range(chance.randint(1, 4))]
    for start, operation, took in sorted(rows):
        call = world.call(*(("client", "app") if operation == "REQUEST" else ("app", "db")), operation, start)
        call.respond = start + took
    return world


def test_no_call_gets_a_parent_that_may_not_have_caused_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain of calls begins with the parent of its first call; those that come too late for it get another, or none."""
    seen: list[tuple[Service, NDArray[np.int64], joint.Posterior]] = []

    def never_moved(service: Service, sampler: Sampler, *_: object) -> NDArray[np.int64]:
        drawn: NDArray[np.int64] = sampler.parents()[0]
        return drawn

    def solved(service: Service, known: ServiceHabits | None = None, quick: bool = False) -> joint.Posterior:
        start = first_assignment
        monkeypatch.setattr(Sampler, "run", lambda *_: None)
        posterior = solve(service, known, quick)
        seen.append((service, start(service, posterior.model), posterior))
        return posterior

    solve = joint.solve
    monkeypatch.setattr(joint, "_likeliest", never_moved)
    monkeypatch.setattr(linker, "solve", solved)
    linker.link(given_up_early(1).problem())
    assert seen
    for service, start, posterior in seen:
        unit = np.repeat(np.arange(service.units), np.diff(service.offsets))
        candidates = set(zip(unit.tolist(), service.candidates.tolist(), strict=True))
        assert not pairs_of(start) <= candidates
        assert pairs_of(posterior.parent) <= candidates


def test_calls_in_a_place_where_they_hardly_fit_find_the_plain_one() -> None:
    """However plain it is: most calls that are put elsewhere are back after the sweeps of a quick solution."""
    service, posterior = solved_services(simulate(handlers.cached, rate=300, count=2000))[0]
    counts = np.diff(service.offsets)
    unit = np.repeat(np.arange(service.units), counts)
    held = joint.hold(service, posterior.parent, np.arange(service.requests))
    room = held[np.searchsorted(service.slot_class, service.unit_class[unit]), service.candidates] < 0
    start = posterior.parent.copy()
    for pair in np.flatnonzero(room & (start[unit] >= 0)).tolist():
        start[unit[pair]] = service.candidates[pair]
    moved = np.flatnonzero(start != posterior.parent)
    requests = np.arange(service.requests)
    sampler = Sampler(
        service, posterior.model, requests, np.flatnonzero(counts > 1), 4, np.random.default_rng(joint.SEED)
    )
    sampler.start(start)
    displaced = moved[sampler.parents()[0][moved] == start[moved]]
    sampler.run(joint.QUICK.settling + joint.QUICK.draws * joint.QUICK.draw_sweeps)
    back = sampler.parents()[:, displaced] == posterior.parent[displaced]
    assert len(displaced) > 20
    assert back.mean() > 0.8


def test_a_call_without_a_parent_takes_what_most_draws_hold() -> None:
    """It claims no place, so nothing has to be four times as likely; what has a parent keeps it against a mere majority."""
    service = cast("Service", SimpleNamespace(candidates=np.array([0, 1, 0, 1])))
    unit, contested = np.array([0, 0, 1, 1]), np.ones(2, bool)
    chosen = np.array([-1, 0])
    joint._follow_majorities(service, chosen, contested, unit, np.array([0.6, 0.0, 0.4, 0.6]), np.array([0.4, 0.0]))
    assert chosen.tolist() == [0, 0]
    joint._follow_majorities(service, chosen, contested, unit, np.array([0.6, 0.0, 0.1, 0.9]), np.array([0.4, 0.0]))
    assert chosen.tolist() == [0, 1]


def test_the_best_parts_of_the_draws_are_put_together() -> None:
    """What is put together of several assignments is as likely as the best of them, often likelier, and as possible."""
    chance = np.random.default_rng(7)
    combined = 0
    for _ in range(200):
        draws, requests = int(chance.integers(2, 5)), int(chance.integers(2, 9))
        units = int(chance.integers(1, requests + 1))
        # One unit at most for a request, of its own or of a neighbour's.
        drawn = np.array([near_places(chance, units, requests) for _ in range(draws)])
        score = chance.normal(size=(requests, units + 1))
        alone = np.where(drawn < 0, chance.normal(size=units), 0.0)
        held = np.full((draws, requests), units)
        for one, places in zip(held, drawn, strict=True):
            one[places[places >= 0]] = np.flatnonzero(places >= 0)
        likelihood = score[np.arange(requests), held]
        found = joint.recombined(drawn, likelihood, alone)

        def total(places: NDArray[np.int64], score: NDArray[np.float64] = score, alone=alone, drawn=drawn) -> float:
            """The likelihood of one assignment, in plain Python."""
            requests, units = len(score), len(places)
            of_request = [units] * requests
            for unit, place in enumerate(places.tolist()):
                if place >= 0:
                    assert of_request[place] == units
                    of_request[place] = unit
            lone = [alone[drawn[:, unit] < 0, unit][0] for unit in range(units) if places[unit] < 0]
            return float(sum(score[request, unit] for request, unit in enumerate(of_request)) + sum(lone))

        every = [total(one) for one in drawn]
        assert total(found) >= max(every) - 1e-9
        combined += total(found) > max(every) + 1e-9
        assert all(found[unit] in drawn[:, unit] for unit in range(units))
    assert combined > 10


def near_places(chance: np.random.Generator, units: int, requests: int) -> NDArray[np.int64]:
    """A place for each unit: its own, swapped with a neighbour's now and then; or none."""
    places = np.arange(units)
    for first in range(units - 1):
        if chance.random() < 0.4:
            places[[first, first + 1]] = places[[first + 1, first]]
    if units < requests and chance.random() < 0.5:
        places[units - 1 if places[units - 1] == units - 1 else 0] = requests - 1 if chance.random() < 0.5 else -1
    return places


def pairs_of(parent: NDArray[np.int64]) -> set[tuple[int, int]]:
    """Units and their parents."""
    placed = np.flatnonzero(parent >= 0)
    return set(zip(placed.tolist(), parent[placed].tolist(), strict=True))
