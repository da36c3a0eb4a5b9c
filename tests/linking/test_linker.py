"""The linker as a whole, on simulated services whose true parents are known."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

import handlers
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator import Simulation, accuracy, calibration_error, false_links, simulate

from wiretrace.linking.candidates import find_candidates, outgoing_kind
from wiretrace.linking.canonical import reordered
from wiretrace.linking.linker import _link_last, link
from wiretrace.linking.links import Links
from wiretrace.linking.observations import observe
from wiretrace.linking.trees import grow_trees
from wiretrace.linking.units import form_units
from wiretrace.model.link_problem import MISSING, LinkProblem

if TYPE_CHECKING:
    from wiretrace.linking.problem import LinkSolution

QUIET = (handlers.sequential, handlers.parallel, handlers.cached, handlers.not_waited_for, handlers.left_behind)


@pytest.mark.parametrize("handler", [*QUIET, handlers.repeated], ids=lambda handler: handler.__name__)
def test_requests_that_hardly_overlap_are_linked_right(handler) -> None:
    """At one request in ten overlapping, practically every link is right whatever the shape of the requests."""
    world = simulate(handler, rate=20)
    solution = link(world.problem())
    assert accuracy(solution, world.truth()) >= 0.99
    assert false_links(solution, world.truth()) == 0.0


@pytest.mark.parametrize("handler", QUIET, ids=lambda handler: handler.__name__)
def test_overlapping_requests_are_told_apart_by_their_delays(handler) -> None:
    """With requests that overlap all the time most links are right, and the confidence says how many."""
    world = simulate(handler, rate=400)
    solution, truth = link(world.problem()), world.truth()
    assert accuracy(solution, truth) >= 0.95
    assert calibration_error(solution, truth) <= 0.03
    sure = (solution.confidence >= 0.95) & (solution.parent >= 0)
    assert (solution.parent == truth)[sure].mean() >= 0.99


def test_repeated_calls_are_shared_out_among_overlapping_requests() -> None:
    """Loops of one to five equal calls are linked, though two requests run at once half of the time."""
    world = simulate(handlers.repeated, rate=200)
    assert accuracy(link(world.problem()), world.truth()) >= 0.97


def test_calls_without_a_parent_stay_without() -> None:
    """A timer's calls, of the same operation as those of requests, become roots."""
    world = simulate(handlers.cached, rate=100)
    for tick in np.arange(0.0, 4.0, 0.05):
        world.call("app", "db", "PING", float(tick) + world.work(1e-3))
    solution = link(world.problem())
    assert false_links(solution, world.truth()) <= 0.03
    assert accuracy(solution, world.truth()) >= 0.98


def test_instances_are_told_apart_and_clocks_may_disagree() -> None:
    """Each instance is judged by its own clock: offsets of a second change nothing."""
    world = simulate(handlers.sequential, rate=200, instances=("app#1", "app#2", "app#3"))
    world.clock_offset = {"app#1": 0.3, "app#2": -0.05, "db": 1.0}
    assert accuracy(link(world.problem()), world.truth()) >= 0.99


def test_times_of_the_other_side_stand_in_with_the_clock_error() -> None:
    """Where the application's host was not captured its neighbours' times are used, wide enough for their clocks."""
    world = simulate(handlers.sequential, rate=20)
    world.blind, world.clock_offset, world.clock_error = {"app"}, {"client": 0.4e-3, "db": -0.4e-3}, 1e-3
    assert accuracy(link(world.problem()), world.truth()) >= 0.95


def test_children_that_were_not_captured_leave_the_others_in_place() -> None:
    """Half of the cache's calls are missing from the problem, and the rest is linked as before."""
    world = simulate(handlers.sequential, rate=200)
    problem = world.problem()
    kept = np.array([call.callee != "cache" or call.number % 2 == 0 for call in world.calls])
    rows = np.flatnonzero(kept)
    renumbered = np.full(len(kept) + 1, -1)
    renumbered[rows] = np.arange(len(rows))
    truth = renumbered[world.truth()[rows]]
    assert accuracy(link(reordered(problem, rows)), truth) >= 0.98


def test_same_input_gives_same_links_in_any_order_of_rows() -> None:
    """Shuffled rows give the same parents, confidences, evidence and runners-up."""
    problem = simulate(handlers.cached, rate=400, count=150).problem()
    first, again = link(problem), link(problem)
    assert np.array_equal(first.parent, again.parent)
    assert first.evidence == again.evidence
    order = np.random.default_rng(5).permutation(len(problem))
    shuffled = link(reordered(problem, order))
    expected = np.where(first.parent[order] >= 0, np.argsort(order)[first.parent[order]], -1)
    assert np.array_equal(shuffled.parent, expected)
    assert np.array_equal(shuffled.confidence, first.confidence[order])
    names = np.argsort(order)
    told = {(int(names[item.child]), int(names[item.parent]), item.kind, item.detail) for item in first.evidence}
    assert told == {(item.child, item.parent, item.kind, item.detail) for item in shuffled.evidence}


def test_every_link_has_evidence_and_runners_up_are_ordered() -> None:
    """Each chosen parent is backed by an item that names it, and alternatives come best first."""
    problem = simulate(handlers.parallel, rate=800, count=200).problem()
    solution = link(problem)
    backed = {(item.child, item.parent) for item in solution.evidence}
    for child in np.flatnonzero(solution.parent >= 0).tolist():
        assert (child, int(solution.parent[child])) in backed
    assert solution.alternatives
    ranks = [(child, -share) for child, _, share in solution.alternatives]
    assert ranks == sorted(ranks)
    assert all(parent != solution.parent[child] for child, parent, _ in solution.alternatives)


def test_no_calls_no_links() -> None:
    """An empty problem has an empty solution."""
    assert len(link(_taken(simulate(handlers.cached, 10, 1), np.zeros(0, np.int64))).parent) == 0


def test_one_call_is_a_root() -> None:
    """A single call has no parent."""
    assert link(_taken(simulate(handlers.cached, 10, 1), np.array([0]))).parent.tolist() == [-1]


def test_calls_of_unknown_processes_are_roots() -> None:
    """Where nobody knows who called whom nothing is linked."""
    problem = simulate(handlers.cached, 10, 20).problem()
    problem.caller[:] = -1
    problem.callee[:] = -1
    assert (link(problem).parent == -1).all()


def test_calls_of_which_no_caller_is_known_are_roots_whatever_they_carry() -> None:
    """What a host asks everybody on its link is nobody's call; it has values and connections all the same."""
    world = Simulation()
    for number in range(5):
        world.call("app", "link", "QUERY", 0.1 * number, connection=number // 2, request_tokens=[77])
    problem = world.problem()
    problem.caller[:] = -1
    assert (link(problem).parent == -1).all()


def test_unfinished_requests_still_have_children() -> None:
    """A request whose response was never captured keeps the call that it made."""
    world = simulate(handlers.cached, 10, 40)
    problem = world.problem()
    roots = np.flatnonzero(world.truth() < 0)
    problem.callee_end_ns[roots[::2]] = MISSING
    problem.caller_end_ns[roots[::2]] = MISSING
    assert accuracy(link(problem), world.truth()) >= 0.95


def test_many_calls_of_one_instant_stay_bounded() -> None:
    """Ten thousand requests and calls at the same nanosecond are linked in seconds, without circles."""
    world = Simulation()
    for _ in range(5_000):
        root = world.call("client", "app", "REQUEST", 1.0)
        world.call("app", "app", "AGAIN", 1.0, root)
    problem = world.problem()
    for column in (problem.caller_start_ns, problem.caller_end_ns, problem.callee_start_ns, problem.callee_end_ns):
        column[:] = column[0]
    begin = time.process_time()
    solution = link(problem)
    assert time.process_time() - begin < 60
    _assert_forest(solution)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_whatever_the_times_there_are_no_circles(data: st.DataObject) -> None:
    """Calls among three processes at arbitrary times, some missing, give a forest and probabilities."""
    n = data.draw(st.integers(1, 12))
    problem = _taken(simulate(handlers.cached, 10, 25), np.arange(n))
    process = st.integers(-1, 2)
    for name in ("caller", "callee"):
        drawn = np.array(data.draw(st.lists(process, min_size=n, max_size=n)), np.int32)
        setattr(problem, name, drawn)
        setattr(problem, f"{name}_service", drawn.copy())
    moment = st.one_of(st.integers(0, 20), st.integers(0, 2**61), st.just(MISSING))
    for name in ("caller_start_ns", "caller_end_ns", "callee_start_ns", "callee_end_ns"):
        setattr(problem, name, np.array(data.draw(st.lists(moment, min_size=n, max_size=n)), np.int64))
    problem.clock_error_ns[:] = data.draw(st.integers(0, 30))
    problem.transaction[:] = data.draw(st.lists(st.integers(-1, 3), min_size=n, max_size=n))
    problem.process_names = problem.service_names = ["a", "b", "c"]
    solution = link(problem)
    _assert_forest(solution)
    assert ((solution.confidence >= 0) & (solution.confidence <= 1)).all()


def _taken(world: Simulation, rows: np.ndarray) -> LinkProblem:
    """The problem of some of a world's calls."""
    return dataclasses.replace(reordered(world.problem(), rows))


def _assert_forest(solution: LinkSolution) -> None:
    """No call is its own ancestor."""
    trees = grow_trees(solution.parent, solution.confidence)
    assert np.array_equal(trees.parent, solution.parent)


def test_a_call_whose_other_candidates_are_hopeless_gets_the_last_one() -> None:
    """One candidate is left, nothing comes without a parent: it is decided."""
    observations = observe(simulate(handlers.sequential, rate=400, count=50).problem())
    key, kind = np.unique(outgoing_kind(observations), return_inverse=True)
    units = form_units(observations, find_candidates(observations), key, kind, np.zeros(len(observations)))
    contested = np.flatnonzero(np.diff(units.offsets) > 1)
    assert len(contested)
    kept = np.ones(len(units.pair_unit), bool)
    kept[1:] = units.pair_unit[1:] != units.pair_unit[:-1]
    first = units.pair_parent[units.offsets[contested]]
    units.keep(kept)
    links = Links.none(len(observations))
    _link_last(units, np.zeros(len(units.kind_key)), links)
    assert links.parent[units.first_call[contested]].tolist() == first.tolist()
    assert links.decided[units.first_call[contested]].all()
    unsure = Links.none(len(observations))
    _link_last(units, np.ones(len(units.kind_key)), unsure)
    assert not unsure.decided.any()


@pytest.mark.parametrize("rate", [100, 600])
def test_where_connections_decide_all_nothing_is_left_to_weigh(rate: int) -> None:
    """A pool lends a connection for two calls, the first of which is known by a value: the second follows it."""
    world = simulate(handlers.on_a_lent_connection, rate=rate, count=200)
    assert accuracy(link(world.problem()), world.truth()) > 0.99
