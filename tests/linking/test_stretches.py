"""Learning from a part of a capture, and linking it in stretches of time."""

from __future__ import annotations

import pickle

import handlers
import numpy as np
import pytest
from simulator import Simulation, accuracy, simulate

from wiretrace.linking.canonical import reordered
from wiretrace.linking.linker import learn, link
from wiretrace.linking.stretches import link_in_stretches

NOT_WORSE = 0.003
"""Share of the links by which linking in stretches may be worse than linking the whole at once."""


def _several(count: int) -> Simulation:
    """Requests of three kinds, one of them with a timer beside it, that overlap all the time."""
    world = Simulation(3)
    for operation in ("sequential", "cached", "parallel"):
        world.handlers[operation.upper()] = getattr(handlers, operation)
    for number, time in enumerate(world.arrivals(300, count)):
        world.call("client", f"app#{number % 2}", ("SEQUENTIAL", "CACHED", "PARALLEL")[number % 3], time)
    for tick in np.arange(0.0, count / 300, 0.05):
        world.call("app#0", "db", "PING", float(tick) + world.work(1e-3))
    return world


def test_stretches_with_habits_of_a_part_link_as_well_as_the_whole_at_once() -> None:
    """Learned from a quarter of the calls and linked in four stretches, as many links are right."""
    world = _several(3000)
    problem, truth = world.problem(), world.truth()
    whole = accuracy(link(problem), truth)
    parts = accuracy(link_in_stretches(problem, calls=3000, learning_calls=3000), truth)
    assert whole >= 0.97
    assert parts >= whole - NOT_WORSE


def test_the_same_links_whatever_links_the_stretches() -> None:
    """Habits that went through a pickle and stretches that are linked last to first give the same links."""
    problem = _several(600).problem()

    def backwards(function, tasks):
        return [function(pickle.loads(pickle.dumps(task))) for task in list(tasks)[::-1]][::-1]

    one = link_in_stretches(problem, calls=1000, learning_calls=1200)
    other = link_in_stretches(problem, backwards, calls=1000, learning_calls=1200)
    assert np.array_equal(one.parent, other.parent)
    assert np.array_equal(one.confidence, other.confidence)
    assert one.evidence == other.evidence
    assert one.alternatives == other.alternatives


def test_habits_of_the_whole_give_the_links_of_the_whole() -> None:
    """Learning first and linking then is as good as doing both at once."""
    world = simulate(handlers.cached, rate=400)
    problem = world.problem()
    assert accuracy(link(problem, learn(problem)), world.truth()) >= accuracy(link(problem), world.truth()) - 0.01


def test_only_what_is_to_be_decided_is_told() -> None:
    """Context takes part, but has neither evidence nor runners-up; the rest has both."""
    problem = simulate(handlers.parallel, rate=800, count=200).problem()
    decide = np.arange(len(problem)) % 2 == 0
    solution = link(problem, learn(problem), decide)
    assert {item.child % 2 for item in solution.evidence} == {0}
    assert {child % 2 for child, _, _ in solution.alternatives} == {0}
    told = {item.child for item in solution.evidence}
    assert told == set(np.flatnonzero(decide & (solution.parent >= 0)).tolist())


def test_habits_are_not_changed_by_linking() -> None:
    """What a stretch learns of what the habits lack stays with it."""
    habits = learn(simulate(handlers.sequential, rate=100, count=100).problem())
    before = pickle.dumps(habits)
    link(_several(100).problem(), habits)
    assert pickle.dumps(habits) == before


@pytest.mark.parametrize("handler", [handlers.cached, handlers.repeated], ids=lambda handler: handler.__name__)
def test_what_the_habits_do_not_know_is_linked_all_the_same(handler) -> None:
    """Services, operations and kinds of calls that were not seen in learning are linked nearly as well."""
    world = simulate(handler, rate=100)
    problem = world.problem()
    empty = learn(reordered(problem, np.zeros(0, np.int64)))
    assert accuracy(link(problem, empty), world.truth()) >= 0.98
    mixed = _several(600)
    problem, truth = mixed.problem(), mixed.truth()
    unseen = {call.number for call in mixed.calls if call.operation == "CACHED"}
    unseen |= {call.number for call in mixed.calls if call.parent in unseen}
    seen = np.array([call.number for call in mixed.calls if call.number not in unseen and call.operation != "READ"])
    assert accuracy(link(problem, learn(reordered(problem, seen))), truth) >= 0.9


def test_stretches_of_time_that_lie_apart_are_not_idle_time_between() -> None:
    """The rate of a timer is learned from two stretches with an hour between them as from one."""
    world = simulate(handlers.sequential, rate=50, count=300)
    for tick in np.arange(0.0, 6.0, 0.05):
        world.call("app", "db", "PING", float(tick))
    problem = world.problem()
    late = np.array([call.start > 3.0 for call in world.calls])
    whole = learn(problem)
    for column in (problem.caller_start_ns, problem.caller_end_ns, problem.callee_start_ns, problem.callee_end_ns):
        column[late] += 3_600_000_000_000
    apart = learn(problem, late.astype(np.int64))
    at = int(np.argmax(whole.kinds.rate))
    assert apart.kinds.rate[at] == pytest.approx(whole.kinds.rate[at], rel=0.3)
