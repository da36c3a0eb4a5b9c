"""pool-size: how many connections a pool has, seen from how many are ever in use at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wiretrace.diagnosis.conclude import Claim, Told, always
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.pools import Pool

OFTEN_FULL = 3
"""Times that all connections of a pool were in use, at least, before its size is told."""
SHARE_HANDED_ON = 0.02
"""Share of the uses that had to wait for a connection, at least: proof that there are no more."""


def is_limited(pool: Pool) -> bool:
    """Whether the pool was seen at its limit, so that its size is known: all that are open are in use, and awaited."""
    at_limit = pool.full_times >= OFTEN_FULL and pool.handed_on >= SHARE_HANDED_ON
    return at_limit and 2 <= pool.open_at_once <= pool.most


class PoolSize(Rule):
    """The size of a pool."""

    code = "pool-size"
    title = "A connection pool was seen at its limit"
    page = Page(
        finds="A caller that keeps connections to one instance and never has more than a certain number of them in use, "
        "reaches that number again and again, and takes a connection as soon as another is given back: that number is the "
        "size of its pool. It is read from the wire; no configuration is needed.",
        matters="A pool at its limit is where requests queue in the caller, out of sight of the service that it calls.",
        confirm="Compare with the caller's configuration (maximum pool size).",
        false_alarm="Where the caller has as many threads as that, or the load has as many users, the limit is theirs.",
    )

    def claims(self) -> Iterator[Claim]:
        """One claim for each pool that was seen at its limit."""
        for pool in self.whole.pools:
            if not is_limited(pool):
                continue
            told = Told(
                Severity.INFO,
                f"The pool of {pool.caller} to {pool.instance} ({pool.callee}) has {counted(pool.most, 'connection')}.",
                f"All were in use {counted(pool.full_times, 'time')}, "
                f"{percent(pool.full_ns / max(pool.span_ns, 1))} of the time; "
                f"{percent(pool.handed_on)} of {counted(pool.uses, 'use')} waited for one to be given back.",
                f"Compare with the pool that {pool.caller} is configured with.",
            )
            component = (ComponentKind.EDGE, f"{pool.caller.partition(' on ')[0]} → {pool.callee}")
            yield Claim(component, always(told), pool.gather)
