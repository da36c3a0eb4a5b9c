"""Values that flow through requests."""

from __future__ import annotations

import handlers
import numpy as np
from simulator import Simulation, accuracy, simulate

from wiretrace.linking.evidence import values
from wiretrace.linking.evidence.contract import UNDECIDED, Pairs
from wiretrace.linking.linker import link
from wiretrace.linking.observations import observe


def test_a_rare_value_decides_where_delays_tell_nothing() -> None:
    """Ten requests at once with random delays: the key that parent and child share links all of them."""
    world = simulate(handlers.with_values, rate=1500, count=150)
    problem = world.problem()
    solution = link(problem)
    assert accuracy(solution, world.truth()) >= 0.995
    assert any(item.detail == "shares 1 rare value with the request" for item in solution.evidence)
    problem.request_tokens.values[:] = np.arange(len(problem.request_tokens.values))
    assert accuracy(link(problem), world.truth()) < 0.6


def test_common_values_decide_nothing() -> None:
    """If every request carries the same value the links are as unsure as without it."""
    world = simulate(handlers.with_values, rate=1500, count=100)
    problem = world.problem()
    problem.request_tokens.values[:] = 7
    solution = link(problem)
    assert accuracy(solution, world.truth()) < 0.6
    assert not any(item.kind == "values" for item in solution.evidence)


def _answering(world, call) -> float:
    """The child's answer holds a value that comes back in the answer to the request."""
    key = int(world.random.integers(1, 2**63))
    call.response_tokens = [key]
    start = call.arrive + float(world.random.uniform(0, 10e-3))
    end = world.call(call.callee, "db", "SELECT", start, call, response_tokens=[key]).end
    return end + float(world.random.uniform(0, 10e-3))


def test_the_answer_to_a_child_comes_back_in_the_answer_to_the_parent() -> None:
    """Responses link what requests do not."""
    world = simulate(_answering, rate=1000, count=300)
    solution = link(world.problem())
    assert accuracy(solution, world.truth()) >= 0.995
    assert any("response to the request" in item.detail for item in solution.evidence)


def _looking_up(world, call) -> float:
    """The first call answers with an id that the second one asks with."""
    name, identity = (int(number) for number in world.random.integers(1, 2**63, 2))
    call.request_tokens = [name]
    start = call.arrive + float(world.random.uniform(0, 5e-3))
    first = world.call(call.callee, "db", "FIND", start, call, request_tokens=[name], response_tokens=[identity])
    start = first.end + float(world.random.uniform(0, 5e-3))
    return world.call(call.callee, "db", "READ", start, call, request_tokens=[identity]).end + 1e-3


def test_an_earlier_answer_gives_a_later_question_its_value() -> None:
    """The second call shares nothing with the request, only with what the first call was answered."""
    world = simulate(_looking_up, rate=1000, count=300)
    solution = link(world.problem())
    assert accuracy(solution, world.truth()) >= 0.99
    assert any("earlier call" in item.detail for item in solution.evidence)


def _finding_the_same(world, call) -> float:
    """Two requests at a time look for the same name; what one of them finds is what it reads then."""
    number = len([one for one in world.calls if one.operation == call.operation])
    call.request_tokens = [number // 2 * 2 + 1]
    start = call.arrive + float(world.random.uniform(0, 20e-3))
    first = world.call(
        call.callee,
        "db",
        "FIND",
        start,
        call,
        request_tokens=call.request_tokens,
        response_tokens=[number // 2 * 2 + 2],
    )
    start = first.end + float(world.random.uniform(0, 20e-3))
    return world.call(call.callee, "db", "READ", start, call, request_tokens=[number // 2 * 2 + 2]).end + 1e-3


def test_an_answer_that_one_of_two_requests_got_is_told_to_both() -> None:
    """Whose the first call is stays open between two: so is the second one, and no other request gets it."""
    world = simulate(_finding_the_same, rate=1000, count=300)
    problem = world.problem()
    solution, truth = link(problem), np.array(world.truth())
    reads = np.array([one.operation == "READ" for one in world.calls])
    linked = reads & (solution.parent >= 0)
    assert linked.sum() >= 0.99 * reads.sum()
    names = [one.request_tokens for one in world.calls]
    same = [names[found] == names[right] for found, right in zip(solution.parent[linked], truth[linked], strict=True)]
    assert np.mean(same) >= 0.99


def _asking_for_many(world, call) -> float:
    """Requests ask for eight of sixty things: each of these is asked for by many, all eight together by hardly any two."""
    call.request_tokens = sorted(int(number) + 1 for number in world.random.choice(60, 8, replace=False))
    start = call.arrive + float(world.random.uniform(0, 20e-3))
    child = world.call(call.callee, "db", "SELECT", start, call, request_tokens=call.request_tokens)
    return child.end + float(world.random.uniform(0, 20e-3))


def test_many_common_values_together_are_rare() -> None:
    """Where no single value decides, sharing most of them does."""
    world = simulate(_asking_for_many, rate=1000, count=600)
    assert accuracy(link(world.problem()), world.truth()) >= 0.98


def test_what_an_answer_only_repeats_is_no_second_hint() -> None:
    """A value that comes back with the answer is shared with the request that brought it, and only with that."""
    world = Simulation()
    for start, answer in ((0.0, 7), (0.01, 8)):
        request = world.call("client", "app", "REQUEST", start, request_tokens=[7], response_tokens=[answer])
        request.respond = 0.1
    child = world.call("app", "db", "SELECT", 0.5, request_tokens=[7, 8])
    observations = observe(world.problem())
    pairs = Pairs(np.array([child.number] * 2), np.array([0, 1]))
    shared = {
        number: found.pair.tolist()
        for number, found in values._flows(observations, pairs, np.full(len(world.calls), UNDECIDED))
    }
    assert shared[0] == [0, 1]
    assert shared[3] == [1]
