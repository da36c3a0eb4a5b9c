"""Routes: the calls of a case by who asks whom for what. There are few of them, however many calls there are.

A route is one caller, one instance that answers, and one kind of call. Where those who call and are never called are
many, they are one caller: the people outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wiretrace.diagnosis.names import Names, distinct

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from wiretrace.diagnosis.columns import Place, Vocabulary

OUTSIDE = "outside"
"""Name of all callers that nobody calls, where they are many."""
MOST_CALLERS = 64
"""Callers that nobody calls and that are told apart; more are one."""
DATA_PROTOCOLS = frozenset(
    {"postgresql", "mysql", "tds", "oracle", "cassandra", "redis", "memcached", "mongodb", "kafka", "amqp", "sqlite"}
)
"""Protocols whose operations are statements or commands."""


@dataclass(slots=True)
class Routes:
    """All routes, in the order of the first call that took each. Arrays have shape (routes,)."""

    kind: NDArray[np.int64]
    """Its kind of call, index into `Vocabulary.kinds`."""
    caller: NDArray[np.int64]
    """Its caller, index into `callers`."""
    place: NDArray[np.int64]
    """Its callee, index into `Vocabulary.places`."""
    callers: list[str]
    """Services that call."""
    caller_machine: NDArray[np.int64]
    """Host of the caller, index into `machines`; -1 outside."""
    callee_machine: NDArray[np.int64]
    """Host of the callee, index into `machines`."""
    machines: list[str]
    """Hosts by name, or by address."""
    protocol: list[str]
    """Protocol of the first call that took it."""
    numbers: NDArray[np.int64]
    """Index of each route by the number that `RouteBook.add` gave it."""

    @property
    def is_statement(self) -> NDArray[np.bool_]:
        """Whether its operation is a statement or command of a database, cache or queue."""
        return np.array([name in DATA_PROTOCOLS for name in self.protocol], np.bool_)


class RouteBook:
    """Numbers routes as calls come along, in any order."""

    def __init__(self, vocabulary: Vocabulary, callers: Iterable[int], callees: Iterable[int]) -> None:
        """`callers` and `callees` are the places that call and answer, by number."""
        self._vocabulary = vocabulary
        places = vocabulary.places
        known = {places[code].party for code in callees}
        outside = {places[code].party for code in callers} - known
        if len(outside) <= MOST_CALLERS:
            known |= outside
        self._machines = Names[str]()
        self._callers = Names[str]()
        self._of_place = [_caller(place, known, self._machines, self._callers) for place in places]
        ends = Names[tuple[int, int]]()
        self._end_of_place = np.array([ends.code(end) for end in self._of_place], np.int64)
        self._ends = ends.things
        self._known = Names[tuple[int, int, int]]()
        self._first: list[tuple[int, int]] = []

    def add(
        self,
        caller_place: NDArray[np.integer[Any]],
        callee_place: NDArray[np.integer[Any]],
        kind: NDArray[np.integer[Any]],
        ending: NDArray[np.integer[Any]],
        row: NDArray[np.integer[Any]],
    ) -> NDArray[np.int64]:
        """The number of the route of each call; `row` is rising. Shapes (n,)."""
        if not len(kind):
            return np.zeros(0, np.int64)
        columns = [self._end_of_place[caller_place], callee_place, kind]
        group, first = distinct(columns)
        codes = []
        for key, at, how in zip(
            zip(*(column[first].tolist() for column in columns), strict=True),
            row[first].tolist(),
            ending[first].tolist(),
            strict=True,
        ):
            code = self._known.code(key)
            if code == len(self._first):
                self._first.append((at, how))
            self._first[code] = min(self._first[code], (at, how))
            codes.append(code)
        return np.array(codes, np.int64)[group]

    def routes(self) -> Routes:
        """All routes so far."""
        places, endings = self._vocabulary.places, self._vocabulary.endings
        order = np.argsort(np.array([row for row, _ in self._first], np.int64), kind="stable")
        numbers = np.empty(len(order), np.int64)
        numbers[order] = np.arange(len(order))
        known = [self._known.things[number] for number in order.tolist()]
        ends = [self._ends[end] for end, _, _ in known]
        return Routes(
            np.array([kind for _, _, kind in known], np.int64),
            np.array([caller for caller, _ in ends], np.int64),
            np.array([place for _, place, _ in known], np.int64),
            self._callers.things,
            np.array([machine for _, machine in ends], np.int64),
            np.array([self._machines.code(places[place].machine) for _, place, _ in known], np.int64),
            self._machines.things,
            [endings[self._first[number][1]].protocol for number in order.tolist()],
            numbers,
        )


def _caller(place: Place, known: set[str], machines: Names[str], callers: Names[str]) -> tuple[int, int]:
    """Number of a caller and of its host."""
    if place.party not in known:
        return callers.code(OUTSIDE), -1
    return callers.code(place.party), machines.code(place.machine)
