"""The chains settle on the posterior: small cases are compared with all assignments, one by one."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING

import handlers
import numpy as np
import pytest
from simulator import simulate
from solving import solved_services

from wiretrace.linking import joint
from wiretrace.linking import sampler as sampler_module
from wiretrace.linking.sampler import Sampler

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from simulator import Handler

    from wiretrace.linking.request_model import RequestModel
    from wiretrace.linking.service import Service

CHAINS = 16
DRAWS = 60
MOST_ASSIGNMENTS = 40
WINDOWS = 4
REQUESTS = 3


@functools.cache
def learned(handler: Handler) -> tuple[Service, RequestModel, NDArray[np.int64]]:
    """A service with this handler, what is learned of it, and the parents that are found."""
    service, posterior = solved_services(simulate(handler, rate=300, count=500))[0]
    posterior.model.order_weight = 0.0
    return service, posterior.model, posterior.parent


def probabilities(
    service: Service, model: RequestModel, active: list[int], units: NDArray[np.int64]
) -> dict[tuple[int, ...], float]:
    """The probability of each way to give `units` to the requests `active`, one by one."""
    unit = np.repeat(np.arange(service.units), np.diff(service.offsets))
    weight = dict(
        zip(zip(unit.tolist(), service.candidates.tolist(), strict=True), service.weights.tolist(), strict=True)
    )
    options = [[request for request in active if (one, request) in weight] for one in units.tolist()]
    if np.prod([len(option) for option in options]) > MOST_ASSIGNMENTS:
        return {}
    likelihood = {}
    for places in itertools.product(*options):
        parent = np.full(service.units, -1)
        parent[units] = places
        held = joint.hold(service, parent, np.array(active))
        if (held >= 0).sum() == len(units):
            given = sum(weight[pair] for pair in zip(units.tolist(), places, strict=True))
            likelihood[places] = float(model.log_likelihood(held, np.array(active)).sum()) + given
    if not likelihood:
        return {}
    most = max(likelihood.values())
    total = sum(np.exp(value - most) for value in likelihood.values())
    return {places: float(np.exp(value - most) / total) for places, value in likelihood.items()}


@pytest.mark.parametrize("redividing", [1, 10])
@pytest.mark.parametrize("handler", [handlers.sequential, handlers.cached, handlers.left_behind, handlers.repeated])
def test_draws_are_as_frequent_as_they_are_probable(
    handler: Handler, redividing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever proposals are made, and however seldom some units are tried; looked at where most is open."""
    monkeypatch.setattr(sampler_module, "REDIVIDING_STEPS", redividing)
    service, model, parent = learned(handler)
    busy = np.flatnonzero(np.bincount(parent[parent >= 0], minlength=service.requests) > 0)
    cases = []
    for at in range(0, len(busy) - REQUESTS, REQUESTS):
        active = busy[at : at + REQUESTS].tolist()
        units = np.flatnonzero(np.isin(parent, active))
        exact = probabilities(service, model, active, units)
        openness = -sum(share * np.log(share) for share in exact.values() if share > 0.0)
        cases.append((openness, active, units, exact))
    cases.sort(key=lambda case: -case[0])
    distances = []
    for number, (_, active, units, exact) in enumerate(cases[:WINDOWS]):
        chains = Sampler(service, model, np.array(active), units, CHAINS, np.random.default_rng(number))
        start = np.full(service.units, -1)
        start[units] = max(exact, key=lambda places: exact[places])
        chains.start(start)
        chains.steady = np.arange(service.units) % 2 == 0
        chains.propose()
        chains.run(8.0)
        chains.propose()
        drawn: dict[tuple[int, ...], float] = {}
        for _ in range(DRAWS):
            chains.run(2.0)
            for row in chains.parents()[:, units].tolist():
                drawn[tuple(row)] = drawn.get(tuple(row), 0.0) + 1.0 / (CHAINS * DRAWS)
        distances.append(0.5 * sum(abs(exact.get(places, 0.0) - drawn.get(places, 0.0)) for places in {*exact, *drawn}))
    assert len(distances) == WINDOWS
    assert np.mean(distances) < 0.06
    assert max(distances) < 0.2
