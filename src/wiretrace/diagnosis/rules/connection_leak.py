"""connection-leak: connections that are opened, used, and then neither used again nor closed, while new ones are opened."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Told, always
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.time_parts import part_of_time
from wiretrace.model.words import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.pools import Pool


FEWEST_LEAKED = 5
"""Connections that are forgotten, at least."""
FORGOTTEN = 0.3
"""Share of the time that a connection lies unused before it counts as forgotten, ..."""
SEVERAL_TIMES_IN_USE = 2.0
"""... and so many times as many are open in the end as were ever in use at once."""


class ConnectionLeak(Rule):
    """Connections that nobody gives back."""

    code = "connection-leak"
    title = "Connections are leaked"
    page = Page(
        finds="A caller that opens new connections to an instance although others lie unused, and does not close "
        "those: more "
        "and more are open, many more than are ever in use at once.",
        matters="It ends when the caller's pool or the server's limit of connections is reached: then nothing works any "
        "more, until a restart.",
        confirm="Count the connections on the server over the day (pg_stat_activity, SHOW PROCESSLIST): idle "
        "ones only grow. "
        "In the caller, look for a way out of a function that does not give the connection back, usually an error.",
        false_alarm="Where a pool was filled by a burst of load, and has a long idle time until it shrinks.",
    )

    def claims(self) -> Iterator[Claim]:
        """One claim for each caller and instance between which connections leak."""
        for pool in self.whole.pools:
            told = self._told(pool)
            if told is not None:
                component = (ComponentKind.EDGE, f"{pool.caller.partition(' on ')[0]} → {pool.callee}")
                yield Claim(component, always(told), functools.partial(pool.gather, latest_first=True))

    def _told(self, pool: Pool) -> Told | None:
        end = self.whole.last_ns
        span = max(end - pool.begin_ns, 1)
        forgotten = (pool.closed >= end) & (end - pool.last_used >= FORGOTTEN * span)
        if forgotten.sum() < FEWEST_LEAKED:
            return None
        still_open = int((pool.closed >= end).sum())
        # Each third of the time opens more, though those opened before lie unused.
        thirds = np.bincount(part_of_time(pool.opened, pool.begin_ns, pool.begin_ns + span, 3), minlength=3)
        if still_open < SEVERAL_TIMES_IN_USE * pool.most or not thirds[1:].all():
            return None
        idle = duration(float((end - pool.last_used[forgotten]).mean()))
        return Told(
            Severity.WARNING,
            f"{pool.caller} leaks connections to {pool.instance} ({pool.callee}): {still_open:,} are open, "
            f"and at most {pool.most:,} were in use at once.",
            f"{counted(int(forgotten.sum()), 'connection')} lie unused for {idle} on average, while new ones "
            "are opened: "
            f"{', '.join(f'{count:,}' for count in thirds.tolist())} in each third of the time.",
            f"Look in {pool.caller} for a way on which a connection is not given back, and restart it before "
            "it runs out.",
        )
