"""What the calls of requests contribute is summed up at once for all kinds of request, as it is for each by itself."""

from __future__ import annotations

import random
from collections import defaultdict

import numpy as np
from tests.support.system import System

from wiretrace.diagnosis.comparison import compare
from wiretrace.diagnosis.contributions import PARTS
from wiretrace.diagnosis.measured import Measured, Step
from wiretrace.diagnosis.observed import Observed


def measured(seed: int, operations: int = 6, requests: int = 90) -> Measured:
    """Requests for several operations, each of which makes calls for several others."""
    chance, made = random.Random(seed), System()
    for number in range(requests):
        at = number * 100.0
        web = made.call(None, ("client", "web1"), f"GET /{chance.randrange(operations)}", at, 30 + chance.random() * 9)
        for query in range(chance.randrange(1, 4)):
            name = f"SELECT {chance.randrange(operations)}"
            made.call(web, ("web1", "pg1"), name, at + 2 + query * 7, 3 + chance.random(), protocol="postgresql")
    return Measured(Observed(made.case()))


def plain(side: Measured, weight_of: dict[int, float]) -> dict[tuple[Step, str], float]:
    """The weighted sum call by call, in their order; `weight_of` tells the weight of some requests."""
    found: dict[tuple[Step, str], float] = defaultdict(float)
    for part, name in enumerate(PARTS):
        for call, request in enumerate(side.request_of.tolist()):
            value = float(side.parts[part, call])
            found[side.steps[side.step_of[call]], name] += value * weight_of.get(request, 0.0)
    return {key: value for key, value in found.items() if value}


def test_groups_are_split_as_each_would_be_alone() -> None:
    """To the last bit: what is summed up beside a group does not change it."""
    side = measured(1)
    groups = [side.of_kind(kind)[:5] for kind in side.kinds]
    weights = np.array([1 / (3 + number) for number in range(len(groups))])
    for rows, weight, found in zip(groups, weights.tolist(), side.profiles_of(groups, weights), strict=True):
        assert found == plain(side, dict.fromkeys(rows.tolist(), weight))


def test_the_profile_of_all_is_the_sum_over_all() -> None:
    side = measured(2)
    weights = np.linspace(0.1, 2, len(side.requests))
    profile = side.profile(weights)
    expected = plain(side, dict(enumerate(weights.tolist())))
    found = {
        (step, name): float(profile[part, number])
        for part, name in enumerate(PARTS)
        for number, step in enumerate(side.steps)
    }
    assert {key: value for key, value in found.items() if value} == expected
    by_callee = side.by_callee(weights)
    assert np.isclose(by_callee["pg"], sum(value for (step, _), value in expected.items() if step.callee == "pg"))


def test_requests_are_of_the_kind_that_they_ask_for_in_their_order() -> None:
    side = measured(3)
    rows = [side.of_kind(kind).tolist() for kind in side.kinds]
    assert sorted(row for each in rows for row in each) == list(range(len(side.requests)))
    assert all(each == sorted(each) for each in rows)
    assert [each[0] for each in rows] == sorted(each[0] for each in rows)


def test_what_many_operations_cost_grows_with_their_number(monkeypatch) -> None:
    """The contributions of all calls are summed up a few times, however many kinds of request there are."""
    counted = []
    bincount = np.bincount

    def counting(*arguments, **named):
        counted.append(len(arguments[0]))
        return bincount(*arguments, **named)

    sides = [measured(seed, operations=40, requests=400) for seed in (4, 5)]
    monkeypatch.setattr(np, "bincount", counting)
    compare(*sides)
    calls = len(sides[0].request_of) + len(sides[1].request_of)
    assert sum(counted) < 100 * calls
