"""Calls as their processes see them."""

from __future__ import annotations

import handlers
import numpy as np
from simulator import simulate

from wiretrace.linking.observations import observe, observe_stretches
from wiretrace.model.link_problem import MISSING


def test_each_side_is_seen_by_its_own_clock() -> None:
    """An offset of the callee's clock moves arrivals and no starts."""
    world = simulate(handlers.sequential, rate=20, count=10)
    plain = observe(world.problem())
    world.clock_offset = {"db": 0.5}
    moved = observe(world.problem())
    at_db = np.array([call.callee == "db" for call in world.calls])
    assert np.allclose(moved.arrives - plain.arrives, np.where(at_db, 0.5e9, 0.0), atol=2)
    assert np.allclose(moved.starts, plain.starts, atol=2)
    assert not moved.start_slack.any()


def test_the_other_side_stands_in_with_slack() -> None:
    """Without the caller's times the callee's are used, as far off as the clocks may be."""
    world = simulate(handlers.sequential, rate=20, count=10)
    world.blind, world.clock_error = {"app"}, 1e-3
    seen = observe(world.problem())
    by_app = np.array([call.caller == "app" for call in world.calls])
    assert np.array_equal(seen.starts[by_app], seen.arrives[by_app])
    assert (seen.start_slack[by_app] == 1e6).all()
    assert not seen.start_slack[~by_app].any()


def test_a_missing_response_leaves_the_request_open_for_a_while() -> None:
    """It may have had calls in flight longer than any request that was answered."""
    problem = simulate(handlers.sequential, rate=20, count=10).problem()
    problem.callee_end_ns[0] = MISSING
    seen = observe(problem)
    assert not seen.responded[0]
    durations = (seen.responds - seen.arrives)[seen.responded]
    assert seen.responds[0] - seen.arrives[0] > durations.max()


def test_a_coarse_clock_is_recognised() -> None:
    """Times in whole milliseconds are taken for what they are."""
    problem = simulate(handlers.sequential, rate=20, count=10).problem()
    assert observe(problem).resolution_ns == 1e3
    for column in (problem.caller_start_ns, problem.caller_end_ns, problem.callee_start_ns, problem.callee_end_ns):
        column -= column % 1_000_000
    assert observe(problem).resolution_ns == 1e6


def test_times_of_any_distance_do_not_overflow() -> None:
    """The first and the last representable moment are ordered."""
    problem = simulate(handlers.sequential, rate=20, count=1).problem()
    problem.callee_start_ns[0], problem.callee_end_ns[0] = -(2**63) + 1, 2**63 - 1
    seen = observe(problem)
    assert 0.0 <= seen.arrives[0] < seen.responds[0] <= 2.0**64


def test_requests_that_a_stretch_cuts_off_are_not_whole() -> None:
    """What began before the stretch, or is answered when none of its calls starts any more, may have caused more."""
    problem = simulate(handlers.sequential, rate=20, count=60).problem()
    middle = int(np.median(problem.callee_start_ns))
    started = problem.caller_start_ns >= problem.caller_start_ns.min() + 200_000_000
    seen = observe_stretches(problem, (problem.callee_start_ns > middle).astype(np.int64), started)
    assert not seen.whole[~started].any()
    for half in (problem.callee_start_ns <= middle, problem.callee_start_ns > middle):
        last = np.fmax(problem.caller_start_ns, problem.callee_start_ns)[half].max()
        assert np.array_equal(seen.whole[half & started], problem.callee_end_ns[half & started] <= last)
    assert 0.8 < seen.whole[started].mean() < 1.0
    assert observe(problem).whole.all()
