"""Calls that requests leave behind, found by the values that both carry."""

from __future__ import annotations

import handlers
import numpy as np
from simulator import Simulation, accuracy, simulate

from wiretrace.linking.arrays import number_groups
from wiretrace.linking.candidates import outgoing_kind
from wiretrace.linking.leftovers import follow_values
from wiretrace.linking.linker import link
from wiretrace.linking.observations import observe


def _found(world: Simulation):
    """The operations that are believed to be left behind, and the proposed pairs."""
    observations = observe(world.problem())
    key, kind = number_groups(outgoing_kind(observations))
    believed, pairs = follow_values(observations, kind, len(key))
    operations = {call.operation for call in world.calls if believed[kind[call.number]]}
    return operations, set(zip(pairs.child.tolist(), pairs.parent.tolist(), strict=True))


def test_calls_after_the_response_are_traced_by_their_values() -> None:
    """Events that leave long after the response, while other requests are served, get the request that they name."""
    world = simulate(handlers.left_behind_with_values, rate=400)
    operations, pairs = _found(world)
    assert operations == {"PUBLISH"}
    events = [call for call in world.calls if call.operation == "PUBLISH"]
    assert np.mean([(call.number, call.parent) in pairs for call in events]) >= 0.99
    assert accuracy(link(world.problem()), world.truth()) >= 0.98


def test_values_of_a_session_prove_nothing() -> None:
    """Requests of a few users follow each other, each with a call that carries the user: none is left behind."""
    world = Simulation(7)

    def by_user(simulation: Simulation, call) -> float:
        time = call.arrive + simulation.work(0.3e-3)
        user = call.request_tokens[0]
        return simulation.call(call.callee, "db", "SELECT", time, call, request_tokens=[user]).end

    world.handlers["REQUEST"] = by_user
    for time in world.arrivals(300, 600):
        world.call("client", "app", "REQUEST", time, request_tokens=[int(world.random.integers(1, 30))])
    operations, pairs = _found(world)
    assert not operations
    assert not pairs


def test_calls_whose_own_request_carries_their_value_are_not_left_behind() -> None:
    """An order is charged and then announced: the call of the announcement belongs to it, not to the charge before."""
    world = Simulation(5)

    def announce(simulation: Simulation, call) -> float:
        tokens = list(call.request_tokens)
        time = call.arrive + simulation.work(0.3e-3)
        return simulation.call(call.callee, "cache", "PUSH", time, call, request_tokens=tokens).end

    world.handlers["ANNOUNCE"] = announce
    for number, time in enumerate(world.arrivals(200, 300)):
        charge = world.call("client", "app", "CHARGE", time, request_tokens=[number + 100])
        world.call("client", "app", "ANNOUNCE", charge.end + 1e-3, request_tokens=[number + 100])
    assert _found(world)[0] == set()
    assert accuracy(link(world.problem()), world.truth()) >= 0.99
