"""Transactions, connections and workers."""

from __future__ import annotations

import handlers
import numpy as np
from simulator import accuracy, simulate

from wiretrace.linking.linker import link


def test_statements_of_a_transaction_have_one_parent() -> None:
    """Only one statement of three carries a value, and all three are linked by it."""
    world = simulate(handlers.in_transaction, rate=600, count=300)
    problem = world.problem()
    solution = link(problem)
    assert accuracy(solution, world.truth()) >= 0.99
    for number in np.unique(problem.transaction[problem.transaction >= 0]).tolist():
        assert len(set(solution.parent[problem.transaction == number].tolist())) == 1
    assert any(item.detail == "same database transaction as 2 other calls" for item in solution.evidence)


def _worker(world, call) -> float:
    """Each incoming connection has a worker of its own, with a database connection of its own."""
    number = int(world.random.integers(0, 8))
    begin = max(call.arrive, world.busy_until.get(str(number), 0.0))
    call.connection = number
    start = begin + float(world.random.uniform(0, 5e-3))
    end = world.call(call.callee, "db", "SELECT", start, call, connection=100 + number).end
    world.busy_until[str(number)] = end + float(world.random.uniform(0, 3e-3))
    return world.busy_until[str(number)]


def test_workers_that_own_their_connections_are_recognised() -> None:
    """The pairs of connections of the plain links decide the contested ones; without them most is guessed."""
    world = simulate(_worker, rate=250, count=500)
    problem = world.problem()
    with_connections = accuracy(link(problem), world.truth())
    problem.connection[:] = -1
    without = accuracy(link(problem), world.truth())
    assert with_connections >= 0.98
    assert with_connections > without + 0.02


def test_a_shared_pool_is_no_evidence() -> None:
    """Connections that go from request to request by chance change hardly any link."""
    world = simulate(handlers.sequential, rate=300, count=300)
    for call in world.calls:
        call.connection = int(world.random.integers(0, 10))
    with_pool = link(world.problem())
    for call in world.calls:
        call.connection = -1
    assert (with_pool.parent == link(world.problem()).parent).mean() >= 0.985
