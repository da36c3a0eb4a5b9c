"""Transactions, connections and workers."""

from __future__ import annotations

import handlers
import numpy as np
from simulator import accuracy, simulate

from wiretrace.linking.candidates import find_candidates
from wiretrace.linking.evidence import sessions
from wiretrace.linking.evidence.contract import MOST_NATS, UNDECIDED, Pairs
from wiretrace.linking.linker import link
from wiretrace.linking.observations import observe


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


def plain_ownership(problem, pairs, known) -> list[float]:
    """What connections say, pair by pair: a link does not speak for itself."""
    connection, caller = problem.connection.tolist(), problem.caller.tolist()
    links = [
        (child, parent)
        for child, parent in enumerate(known.tolist())
        if parent >= 0 and connection[child] >= 0 and connection[parent] >= 0
    ]
    weights = []
    for child, parent in zip(pairs.child.tolist(), pairs.parent.tolist(), strict=True):
        if connection[child] < 0 or connection[parent] < 0:
            weights.append(0.0)
            continue
        others = [each for each in links if each != (child, parent)]
        outgoing = [each for each in others if connection[each[0]] == connection[child]]
        together = sum(connection[each[1]] == connection[parent] for each in outgoing)
        incoming = sum(connection[each[1]] == connection[parent] for each in others)
        total = max(sum(caller[each[0]] == caller[child] for each in links), 1)
        base = (incoming + 0.5) / (total + 0.5)
        weight = np.log((together + sessions.PRIOR_LINKS * base) / (len(outgoing) + sessions.PRIOR_LINKS) / base)
        weights.append(float(np.clip(weight, -MOST_NATS, MOST_NATS)))
    return weights


def test_connections_weigh_the_same_pair_by_pair() -> None:
    """Weighed once for each two connections, pairs weigh what they do one by one, also where a connection is unknown."""
    world = simulate(_worker, rate=250, count=60)
    problem = world.problem()
    problem.connection[::7] = -1
    observations = observe(problem)
    candidates = find_candidates(observations)
    pairs = Pairs(candidates.child, candidates.parent)
    # Every third call's parent is known: any of its candidates.
    known = np.full(len(problem), UNDECIDED)
    known[pairs.child[::3]] = pairs.parent[::3]
    linked = np.flatnonzero((known >= 0) & (problem.connection >= 0))
    weights = sessions._ownership(observations, pairs, known, linked)
    assert np.allclose(weights, plain_ownership(problem, pairs, known))
    assert (weights != 0).any()
