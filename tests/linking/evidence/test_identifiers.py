"""Identifiers left on the wire."""

from __future__ import annotations

import handlers
import numpy as np
from simulator import Simulation, simulate

from wiretrace.linking.linker import link


def _traced(world: Simulation, call) -> float:
    """Two calls at random moments, both carrying the request's identifier."""
    call.identifiers = [call.number + 1_000_000]
    ends = []
    for operation in ("GET", "SET"):
        start = call.arrive + float(world.random.uniform(0, 5e-3))
        ends.append(world.call(call.callee, "cache", operation, start, call, identifiers=call.identifiers).end)
    return max(ends) + float(world.random.uniform(0, 5e-3))


def test_an_identifier_names_the_parent_at_any_concurrency() -> None:
    """With ten requests at once whose delays tell nothing, every link is right, stated, and says why."""
    world = simulate(_traced, rate=2000, count=300)
    solution, truth = link(world.problem()), world.truth()
    children = truth >= 0
    assert np.array_equal(solution.parent, truth)
    assert (solution.basis[children] == 0).all()
    details = {item.detail for item in solution.evidence if item.kind == "identifiers"}
    assert details == {"carries the same traceparent as the request"}


def test_an_identifier_names_a_parent_that_has_responded() -> None:
    """A call one second after the response is linked by its identifier, past other requests that are live."""
    world = simulate(_traced, rate=200, count=100)
    parent = world.calls[0]
    world.call("app", "mail", "SEND", parent.respond + 0.1, parent, identifiers=parent.identifiers)
    solution = link(world.problem())
    assert solution.parent[-1] == parent.number
    assert solution.basis[-1] == 0


def test_without_identifiers_nothing_is_stated() -> None:
    """Links that rest on timing are inferred."""
    solution = link(simulate(handlers.cached, rate=20, count=30).problem())
    assert (solution.basis == 2).all()
