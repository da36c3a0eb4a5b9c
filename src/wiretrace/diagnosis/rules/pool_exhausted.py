"""pool-exhausted: all connections of a pool are in use for much of the time, and requests wait for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wiretrace.diagnosis.conclude import Claim, Told, always
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.rules.pool_size import is_limited
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterator


FULL_SHARE = 0.2
"""Share of the time in which no connection is free, from which on a pool is exhausted."""
WAITING_SHARE = 0.1
"""Share of the uses that waited, at least."""


class PoolExhausted(Rule):
    """A pool without a free connection."""

    code = "pool-exhausted"
    title = "A connection pool is exhausted"
    page = Page(
        finds="A pool at its limit (see pool-size) that has no free connection for a fifth of the time or more, while a "
        "tenth of its uses or more begin the moment that another ends: requests queue for connections inside the caller.",
        matters="The caller is slow and its database is not: the time passes in a queue that neither measures. More load "
        "makes it worse at once.",
        confirm="Show a slow request: there is a gap in the caller before its calls. Look for what holds connections for "
        "long (slow statements, transactions that wait for other services), before making the pool larger.",
        false_alarm="Where a batch job uses all connections of its own pool on purpose.",
    )

    def claims(self) -> Iterator[Claim]:
        """One claim for each exhausted pool."""
        for pool in self.whole.pools:
            share = pool.full_ns / max(pool.span_ns, 1)
            if not is_limited(pool) or share < FULL_SHARE or pool.handed_on < WAITING_SHARE:
                continue
            told = Told(
                Severity.WARNING,
                f"The pool of {pool.caller} to {pool.instance} ({pool.callee}) is exhausted: all "
                f"{pool.most} connections are in use {percent(share)} of the time.",
                f"{percent(pool.handed_on)} of {counted(pool.uses, 'use')} waited for another to end; a connection is "
                f"held for {duration(pool.held_ns / pool.uses)} on average.",
                f"Find what holds the connections of {pool.caller} for long, or make its pool larger than {pool.most}.",
            )
            component = (ComponentKind.EDGE, f"{pool.caller.partition(' on ')[0]} → {pool.callee}")
            yield Claim(component, always(told), pool.gather)
