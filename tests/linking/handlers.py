"""Handlers for the simulator: what a request makes its service do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator import Call, Simulation


def sequential(world: Simulation, call: Call) -> float:
    """Look into the cache, read the database, write it."""
    time = call.arrive + world.work(0.3e-3)
    for callee, operation in (("cache", "GET"), ("db", "SELECT"), ("db", "UPDATE")):
        time = world.call(call.callee, callee, operation, time, call).end + world.work(0.2e-3)
    return time


def parallel(world: Simulation, call: Call) -> float:
    """Ask three services at once, and wait for all."""
    time = call.arrive + world.work(0.3e-3)
    ends = [world.call(call.callee, name, "READ", time + world.work(0.02e-3), call).end for name in "abc"]
    return max(ends) + world.work(0.3e-3)


def cached(world: Simulation, call: Call) -> float:
    """Look into the cache; on a miss read the database and fill the cache."""
    time = world.call(call.callee, "cache", "GET", call.arrive + world.work(0.3e-3), call).end + world.work(0.2e-3)
    if world.random.random() < 0.4:
        for callee, operation in (("db", "SELECT"), ("cache", "SET")):
            time = world.call(call.callee, callee, operation, time, call).end + world.work(0.2e-3)
    return time


def repeated(world: Simulation, call: Call) -> float:
    """Read one row after the other: one to five of them."""
    time = call.arrive + world.work(0.3e-3)
    for _ in range(int(world.random.integers(1, 6))):
        time = world.call(call.callee, "db", "SELECT", time, call).end + world.work(0.1e-3)
    return time + world.work(0.3e-3)


def some_left_out(world: Simulation, call: Call) -> float:
    """Read the rows of two tables, as many as there are, one after the other; then write one."""
    time = call.arrive + world.work(0.3e-3)
    for operation in ("SELECT items", "SELECT prices"):
        for _ in range(int(world.random.integers(1, 4))):
            time = world.call(call.callee, "db", operation, time, call).end + world.work(0.1e-3)
    return world.call(call.callee, "db", "INSERT", time, call).end + world.work(0.2e-3)


def not_waited_for(world: Simulation, call: Call) -> float:
    """Read the database, then respond without waiting for the message that is published."""
    time = world.call(call.callee, "db", "SELECT", call.arrive + world.work(0.3e-3), call).end + world.work(0.2e-3)
    world.call(call.callee, "queue", "PUBLISH", time, call)
    return time + world.work(0.1e-3)


def left_behind(world: Simulation, call: Call) -> float:
    """Read the database and respond; send a mail afterwards."""
    time = world.call(call.callee, "db", "SELECT", call.arrive + world.work(0.3e-3), call).end + world.work(0.2e-3)
    world.call(call.callee, "mail", "SEND", time + world.work(0.4e-3), call)
    return time


def with_values(world: Simulation, call: Call) -> float:
    """Pass a key on to two calls at once whose delays tell nothing."""
    key = int(world.random.integers(1, 2**63))
    call.request_tokens = [key, int(world.random.integers(1, 20))]
    ends = []
    for operation in ("GET", "SET"):
        start = call.arrive + float(world.random.uniform(0, 5e-3))
        ends.append(world.call(call.callee, "cache", operation, start, call, request_tokens=[key]).end)
    return max(ends) + float(world.random.uniform(0, 5e-3))


def in_transaction(world: Simulation, call: Call) -> float:
    """Run a transaction of three statements; only the second carries a value of the request."""
    key = int(world.random.integers(1, 2**63))
    call.request_tokens = [key]
    number = len(world.calls)
    time = call.arrive + float(world.random.uniform(0, 3e-3))
    for operation in ("BEGIN", "UPDATE", "COMMIT"):
        tokens = [key] if operation == "UPDATE" else []
        statement = world.call(call.callee, "db", operation, time, call, transaction=number, request_tokens=tokens)
        time = statement.end + float(world.random.uniform(0, 3e-3))
    return time + float(world.random.uniform(0, 3e-3))


def in_turn(world: Simulation, call: Call) -> float:
    """A single worker: requests are taken one at a time, so their calls leave in the order of arrival."""
    free = world.busy_until.get(call.callee, 0.0)
    time = max(call.arrive, free) + float(world.random.exponential(2e-3))
    world.busy_until[call.callee] = time
    return world.call(call.callee, "disk", "READ", time, call).end + float(world.random.exponential(4e-3))


def left_behind_with_values(world: Simulation, call: Call) -> float:
    """Read the database by a key and respond; publish an event of that key at any time afterwards."""
    key = int(world.random.integers(1, 2**63))
    call.request_tokens = [key, int(world.random.integers(1, 6))]
    time = call.arrive + world.work(0.3e-3)
    end = world.call(call.callee, "db", "SELECT", time, call, request_tokens=[key]).end + world.work(5e-3)
    later = end + float(world.random.uniform(0, 4e-3))
    world.call(call.callee, "queue", "PUBLISH", later, call, request_tokens=[key, int(world.random.integers(1, 6))])
    return end


def on_a_lent_connection(world: Simulation, call: Call) -> float:
    """Ask the database on a connection of a pool, by a value of the request, and clean the connection up."""
    key = int(world.random.integers(1, 2**63))
    call.request_tokens = [key]
    connection = next(n for n in range(1000) if world.busy_until.get(f"connection {n}", 0.0) <= call.arrive)
    time = call.arrive + float(world.random.uniform(0, 3e-3))
    for operation, tokens in (("SELECT", [key]), ("RESET", [])):
        statement = world.call(call.callee, "db", operation, time, call, connection=connection, request_tokens=tokens)
        time = statement.end + float(world.random.uniform(0, 1e-3))
    world.busy_until[f"connection {connection}"] = time
    return time + float(world.random.uniform(0, 3e-3))
