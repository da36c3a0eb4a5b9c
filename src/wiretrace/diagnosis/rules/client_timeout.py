"""client-timeout: how long a caller waits before it gives up, read from when it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import conclude, harm, show_step, touched
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.model.finding import Finding

FEWEST = 3
"""Calls that were given up after the same wait, at least."""
SAME_WAIT = 1.05
"""Waits that differ by no more than this factor are the same."""
MOST_OF_THEM = 0.5
"""Share of the calls that were given up to which this wait has to belong."""
EARLY = 0.1
"""The timeout is what the first of these waits show: a busy caller notices late that the time is over, never early."""
SHORTEST_NS = 20_000_000
"""No timeout is shorter."""


class ClientTimeout(Rule):
    """A timeout of a caller."""

    code = "client-timeout"
    title = "A caller gives up after a fixed time"
    page = Page(
        finds="Calls that their caller gave up, again and again after the same wait: that wait is its timeout. "
        "The moment of "
        "giving up is the end of the connection, the next attempt, or the answer that the caller itself gave, "
        "whichever came "
        "first.",
        matters="Work that is given up is done in vain, and the caller answers with an error. A timeout that is "
        "shorter than "
        "the callee's usual worst case breaks good requests; one that is longer than its own caller's is never reached.",
        confirm="Compare with the caller's configuration. Compare with how long the callee takes when it is well: "
        "'wiretrace show CASE --red'.",
        false_alarm="Where people close their browser, the waits differ; equal waits are a program's.",
    )

    def find(self, observed: Observed) -> Iterator[Finding]:
        """One finding for each caller and callee."""
        calls = observed.calls
        given_up = np.flatnonzero(observed.given_up)
        if not len(given_up):
            return
        waits = observed.waits_until_given_up(given_up)
        callee = calls.callee_of_kind[calls.kind[given_up]]
        edge = calls.caller[given_up].astype(np.int64) * len(calls.parties) + callee
        for one in np.unique(edge).tolist():
            of_edge = np.flatnonzero((edge == one) & (waits >= SHORTEST_NS))
            same = largest_cluster(waits[of_edge])
            if len(same) < FEWEST or len(same) < MOST_OF_THEM * len(of_edge):
                continue
            rows = given_up[of_edge[same]]
            wait = int(np.quantile(waits[of_edge[same]], EARLY, method="inverted_cdf"))
            caller, name = calls.parties[one // len(calls.parties)], calls.parties[one % len(calls.parties)]
            grave = harm(observed, touched(observed, rows))
            yield conclude(
                observed,
                self,
                Severity.WARNING if grave is Severity.INFO else grave,
                f"{caller} gives up on {name} after {duration(wait)}: {counted(len(rows), 'call')}.",
                f"{len(rows):,} of {counted(len(of_edge), 'call')} that it gave up ended "
                f"{duration(int(waits[of_edge[same]].min()))} "
                f"to {duration(int(waits[of_edge[same]].max()))} after their request: the same wait again and again.",
                (ComponentKind.EDGE, f"{caller} → {name}"),
                rows,
                f"Find out why {name} takes longer than {duration(wait)}. {show_step(observed, int(rows[0]))}",
            )


def largest_cluster(waits: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices of the most waits that differ by no more than `SAME_WAIT`. Shape (m,)."""
    order = np.argsort(waits, kind="stable")
    ordered = waits[order].astype(float)
    last = np.searchsorted(ordered, ordered * SAME_WAIT, "right")
    size = last - np.arange(len(ordered))
    if not len(size):
        return order
    first = int(np.argmax(size))
    return order[first : int(last[first])]
