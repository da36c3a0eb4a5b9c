"""Batches: calls that one packet brought have one parent, unless their connection is shared."""

from __future__ import annotations

import numpy as np
from simulator import Simulation

from wiretrace.linking.batches import find_batches
from wiretrace.linking.linker import link
from wiretrace.linking.observations import observe


def pipelined(shared: bool) -> Simulation:
    """Twenty requests, one after the other, of which each writes three calls at once; on a `shared` connection other calls
    begin while one is under way."""
    world = Simulation()
    for number in range(20):
        at = float(number)
        request = world.call("client", "app", "REQUEST", at)
        request.respond = at + 0.5
        for operation in ("LPUSH", "LTRIM", "EXPIRE"):
            world.call("app", "db", operation, at + 0.1, connection=7).end = at + 0.3
        if shared:
            world.call("app", "db", "GET", at + 0.2, connection=7).end = at + 0.4
    return world


def batches(world: Simulation) -> list[list[str]]:
    """The operations of each batch."""
    found = find_batches(observe(world.problem()))
    return [
        [world.calls[call].operation for call in np.flatnonzero(found == one).tolist()]
        for one in np.unique(found[found >= 0]).tolist()
    ]


def test_what_is_written_at_once_is_a_batch() -> None:
    """Three calls of equal start on one connection are one batch; calls to other servers or at other times are none."""
    world = pipelined(shared=False)
    world.call("app", "db", "GET", 0.35, connection=7)
    world.call("app", "other", "GET", 0.1, connection=8)
    assert batches(world) == [["LPUSH", "LTRIM", "EXPIRE"]] * 20


def test_a_shared_connection_has_no_batches() -> None:
    """Where calls begin while others are under way, a packet may carry what two requests ask."""
    assert batches(pipelined(shared=True)) == []


def test_calls_of_a_batch_have_one_parent_and_say_why() -> None:
    """Two requests are served at the same time: what the first call of a batch tells of its parent, it tells of all."""
    world = Simulation()
    for number in range(40):
        at = float(number)
        for other in range(2):
            request = world.call("client", "app", "REQUEST", at + 0.001 * other)
            request.respond = at + 0.5
            request.request_tokens = [1000 + 2 * number + other]
            for operation in ("LPUSH", "LTRIM"):
                call = world.call("app", "db", operation, at + 0.1 + 0.01 * other, connection=7 + other, parent=request)
                call.end = at + 0.3
                call.request_tokens = [1000 + 2 * number + other] if operation == "LPUSH" else []
    solution = link(world.problem())
    operations = np.array([call.operation for call in world.calls])
    assert (solution.parent[operations == "LPUSH"] == solution.parent[operations == "LTRIM"]).all()
    assert (solution.parent == world.truth()).all()
    assert any(item.detail == "sent in one packet with 1 other call" for item in solution.evidence)
