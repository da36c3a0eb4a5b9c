"""Routes: the calls of a case by who asks whom for what. There are few of them, however many calls there are.

A route is one caller, one instance that answers, and one kind of call. Where those who call and are never called are
many, they are one caller: the people outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wiretrace.diagnosis.names import Names, distinct

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.diagnosis.columns import CallColumns, Place

OUTSIDE = "outside"
"""Name of all callers that nobody calls, where they are many."""
MOST_CALLERS = 64
"""Callers that nobody calls and that are told apart; more are one."""
DATA_PROTOCOLS = frozenset(
    {"postgresql", "mysql", "tds", "oracle", "cassandra", "redis", "memcached", "mongodb", "kafka", "amqp", "sqlite"}
)
"""Protocols whose operations are statements or commands."""


class Routes(NamedTuple):
    """All routes. Arrays have shape (routes,) unless they say otherwise."""

    of_call: NDArray[np.int64]
    """The route of each call, shape (n,)."""
    calls: NDArray[np.int64]
    """Calls that took it."""
    kind: NDArray[np.int64]
    """Its kind of call, index into `CallColumns.kinds`."""
    caller: NDArray[np.int64]
    """Its caller, index into `callers`."""
    place: NDArray[np.int64]
    """Its callee, index into `CallColumns.places`."""
    callers: list[str]
    """Services that call."""
    caller_machine: NDArray[np.int64]
    """Host of the caller, index into `machines`; -1 outside."""
    callee_machine: NDArray[np.int64]
    """Host of the callee, index into `machines`."""
    machines: list[str]
    """Hosts by name, or by address."""
    is_statement: NDArray[np.bool_]
    """Whether its operation is a statement or command of a database, cache or queue."""


def routes_of_calls(calls: CallColumns) -> Routes:
    """Find the routes of all calls."""
    places, answers = calls.places, {calls.places[code] for code in np.unique(calls.callee_place).tolist()}
    known = {place.party for place in answers}
    outside = {places[code].party for code in np.unique(calls.caller_place).tolist()} - known
    if len(outside) <= MOST_CALLERS:
        known |= outside
    machines = Names[str]()
    callers = Names[str]()
    of_place = np.array([_caller(place, known, machines, callers) for place in places] or [(0, 0)], np.int64)
    ends = Names[tuple[int, int]]()
    end_of_place = np.array([ends.code((who, at)) for who, at in of_place.tolist()], np.int64)
    group, first = distinct([end_of_place[calls.caller_place], calls.callee_place, calls.kind])
    caller = of_place[calls.caller_place[first]]
    place = calls.callee_place[first].astype(np.int64)
    machine_of_place = np.array([machines.code(each.machine) for each in places] or [0], np.int64)
    protocol = [calls.endings[code].protocol for code in calls.ending[first].tolist()]
    return Routes(
        group,
        np.bincount(group, minlength=len(first)),
        calls.kind[first].astype(np.int64),
        caller[:, 0],
        place,
        callers.things,
        caller[:, 1],
        machine_of_place[place],
        machines.things,
        np.array([name in DATA_PROTOCOLS for name in protocol], np.bool_),
    )


def _caller(place: Place, known: set[str], machines: Names[str], callers: Names[str]) -> tuple[int, int]:
    """Number of a caller and of its host."""
    if place.party not in known:
        return callers.code(OUTSIDE), -1
    return callers.code(place.party), machines.code(place.machine)


def statement_or_operation(routes: Routes, kinds: int) -> NDArray[np.bool_]:
    """Whether each kind of call is a statement or command. Shape (kinds,)."""
    found: NDArray[Any] = np.zeros(kinds, np.bool_)
    found[routes.kind[routes.is_statement]] = True
    return found
