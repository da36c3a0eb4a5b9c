"""no-keep-alive: a connection is set up for every single call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import conclude
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.model.finding import Finding

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

    def find(self, observed: Observed) -> Iterator[Finding]:
        """One finding for each caller and callee."""
        calls = observed.calls
        connection = observed.connection
        counted_calls = observed.in_request & (observed.parent >= 0) & (connection >= 0) & ~calls.sets_up[calls.kind]
        rows = np.flatnonzero(counted_calls)
        if not len(rows):
            return
        callee = calls.callee_of_kind[calls.kind[rows]]
        edge = calls.caller[rows].astype(np.int64) * len(calls.parties) + callee
        carried = np.bincount(connection[rows], minlength=int(connection.max()) + 1)
        for one in np.unique(edge).tolist():
            of_edge = rows[edge == one]
            used = np.unique(connection[of_edge])
            single = carried[used] == 1
            if len(used) < FEWEST or single.mean() < SHARE or len(of_edge) > 2 * len(used):
                continue
            caller, name = calls.parties[one // len(calls.parties)], calls.parties[one % len(calls.parties)]
            yield conclude(
                observed,
                self,
                Severity.INFO,
                f"{caller} opens a new connection to {name} for nearly every call.",
                f"{counted(len(of_edge), 'call')} over {counted(len(used), 'connection')}; "
                f"{percent(float(single.mean()))} of "
                "these carried a single call.",
                (ComponentKind.EDGE, f"{caller} → {name}"),
                of_edge,
                f"Let {caller} keep its connections to {name}.",
            )
