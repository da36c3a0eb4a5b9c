"""Requests that are passed on."""

from __future__ import annotations

import numpy as np
from simulator import accuracy, simulate

from wiretrace.linking.linker import link


def _proxy(world, call) -> float:
    """Pass the request on after a random time."""
    call.digest = call.number + 77
    start = call.arrive + float(world.random.uniform(0, 10e-3))
    return world.call(call.callee, "backend", "REQUEST AGAIN", start, call, digest=call.digest).end


def test_a_request_that_is_passed_on_is_measured() -> None:
    """Ten requests at once, in random order: equal bytes tell which is which, and the basis says so."""
    world = simulate(_proxy, rate=1000, count=300)
    solution, truth = link(world.problem()), world.truth()
    assert accuracy(solution, truth) == 1.0
    assert (solution.basis[truth >= 0] == 1).all()
    assert any("method, path and body are equal" in item.detail for item in solution.evidence)


def test_a_request_that_all_repeat_says_nothing() -> None:
    """Where all requests are equal byte for byte no link is measured."""
    world = simulate(_proxy, rate=1000, count=200)
    problem = world.problem()
    problem.request_digest[:] = np.uint64(5)
    solution = link(problem)
    contested = np.bincount([child for child, _, _ in solution.alternatives], minlength=len(problem)) > 0
    assert (solution.basis[contested] == 2).all()
