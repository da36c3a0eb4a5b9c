"""client-timeout: how long a caller waits before it gives up, read from when it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Told, harm
from wiretrace.diagnosis.distribution import Distributions, Values
from wiretrace.diagnosis.names import Names, numbered
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.conclude import Evidence
    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

FEWEST = 3
"""Calls that were given up after the same wait, at least."""
SAME_WAIT = 1.05
"""Waits that differ by no more than this factor are the same."""
MOST_OF_THEM = 0.5
"""Share of the calls that were given up to which this wait has to belong."""
EARLY = 10
"""The timeout is this percentile of these waits: a busy caller notices late that the time is over, never early."""
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

    def __init__(self, whole: Whole) -> None:
        super().__init__(whole)
        self._edges = Names[int]()
        self._waits = Distributions()

    def see_trees(self, portion: Portion) -> None:
        """Count the waits by caller and callee."""
        places = _given_up(portion)
        self._waits.add(numbered(self._edges, portion.edge[places]), portion.wait[places])

    def claims(self) -> Iterator[Claim]:
        """One claim for each caller and callee."""
        for number, edge in enumerate(self._edges.things):
            waits = self._waits.of(number)
            same = largest_cluster(waits)
            if same.total >= FEWEST and same.total >= MOST_OF_THEM * waits.total:
                yield self._claim(edge, same, waits.total)

    def _claim(self, edge: int, same: Values, every: int) -> Claim:
        caller, name = self.whole.ends_of_edge(edge)
        wait = same.percentile(EARLY)

        def gather(portion: Portion, evidence: Evidence) -> None:
            places = _given_up(portion)
            waits = portion.wait[places]
            is_same = (portion.edge[places] == edge) & (waits >= same.lowest) & (waits <= same.highest)
            evidence.add(portion, places[is_same], waits[is_same])

        def tell(evidence: Evidence) -> Told:
            grave = harm(self.whole, evidence.requests)
            return Told(
                Severity.WARNING if grave is Severity.INFO else grave,
                f"{caller} gives up on {name} after {duration(wait)}: {counted(evidence.occurrences, 'call')}.",
                f"{evidence.occurrences:,} of {counted(every, 'call')} that it gave up ended {duration(same.lowest)} "
                f"to {duration(same.highest)} after their request: the same wait again and again.",
                f"Find out why {name} takes longer than {duration(wait)}. {self.whole.show_step(evidence.first)}",
            )

        return Claim((ComponentKind.EDGE, f"{caller} → {name}"), tell, gather)


def _given_up(portion: Portion) -> NDArray[np.int64]:
    """Places of the calls that were given up after long enough a wait."""
    return np.flatnonzero(portion.given_up & (portion.wait >= SHORTEST_NS))


def largest_cluster(waits: Values) -> Values:
    """The most waits that differ by no more than `SAME_WAIT`."""
    last = np.searchsorted(waits.value.astype(float), waits.value * SAME_WAIT, "right")
    ends = np.append(0, np.cumsum(waits.often))
    size = ends[last] - ends[:-1]
    if not len(size):
        return waits
    first = int(np.argmax(size))
    return waits.part(first, int(last[first]))
