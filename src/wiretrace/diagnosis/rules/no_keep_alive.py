"""no-keep-alive: a connection is set up for every single call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Told
from wiretrace.diagnosis.names import Names, numbered
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.conclude import Evidence
    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

FEWEST = 20
"""Connections between a caller and a callee, at least."""
SHARE = 0.9
"""Share of them that carried a single call."""


class NoKeepAlive(Rule):
    """Chatty set-up of connections."""

    code = "no-keep-alive"
    title = "A new connection for every call"
    page = Page(
        finds="A service that opens a connection for nine in ten of its calls to another, or more, though it calls it again "
        "and again: no keep-alive, no pool. Requests of people outside do not count; set-up and login belong to the "
        "connection, and do not count as calls.",
        matters="Each call pays for a handshake (and TLS, and a login), ports run out under load, and the server does more "
        "set-up than work.",
        confirm="'wiretrace query CASE \"SELECT exchanges, count(*) FROM connections GROUP BY ALL\"'. Use a "
        "session, a client "
        "that is kept, or a pool.",
        false_alarm="Where calls are so rare that an idle connection would be closed between them.",
    )

    def __init__(self, whole: Whole) -> None:
        super().__init__(whole)
        self._edges = Names[int]()
        self._calls: list[int] = []
        """Calls of each edge."""
        connections = int(whole.case.group_starts("connections")[-1])
        self._carried = np.zeros(connections, np.int32)
        """Calls that each connection carried."""
        self._edge = np.full(connections, -1, np.int32)
        """The edge that each connection belongs to."""

    def see_trees(self, portion: Portion) -> None:
        """Count what the connections carry."""
        places = _counted(portion)
        edge = numbered(self._edges, portion.edge[places])
        self._calls += [0] * (len(self._edges.things) - len(self._calls))
        for number, count in zip(*np.unique(edge, return_counts=True), strict=True):
            self._calls[number] += int(count)
        np.add.at(self._carried, portion.connection[places], 1)
        self._edge[portion.connection[places]] = edge

    def claims(self) -> Iterator[Claim]:
        """One claim for each caller and callee."""
        is_used = self._carried > 0
        used = np.bincount(self._edge[is_used], minlength=len(self._calls))
        single = np.bincount(self._edge[is_used & (self._carried == 1)], minlength=len(self._calls))
        for number, edge in enumerate(self._edges.things):
            connections, calls = int(used[number]), self._calls[number]
            share = float(single[number] / connections) if connections else 0.0
            if connections >= FEWEST and share >= SHARE and calls <= 2 * connections:
                yield self._claim(edge, connections, share)

    def _claim(self, edge: int, connections: int, share: float) -> Claim:
        caller, name = self.whole.ends_of_edge(edge)

        def gather(portion: Portion, evidence: Evidence) -> None:
            places = _counted(portion)
            evidence.add(portion, places[portion.edge[places] == edge])

        def tell(evidence: Evidence) -> Told:
            return Told(
                Severity.INFO,
                f"{caller} opens a new connection to {name} for nearly every call.",
                f"{counted(evidence.occurrences, 'call')} over {counted(connections, 'connection')}; {percent(share)} of "
                "these carried a single call.",
                f"Let {caller} keep its connections to {name}.",
            )

        return Claim((ComponentKind.EDGE, f"{caller} → {name}"), tell, gather)


def _counted(portion: Portion) -> NDArray[np.int64]:
    """Places of the calls that count."""
    return np.flatnonzero(portion.in_request & portion.has_parent & (portion.connection >= 0) & ~portion.sets_up)
