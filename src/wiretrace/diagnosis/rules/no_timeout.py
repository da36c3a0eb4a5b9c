"""no-timeout: a caller that waits without end for a callee that does not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Evidence, Told
from wiretrace.diagnosis.portion import groups_of
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

FAR_TOO_LONG_NS = 30_000_000_000
"""A wait that nobody wants to be possible."""
TIMES_USUAL = 20
"""It is so many times as long as usual, too."""


class NoTimeout(Rule):
    """A caller without a timeout."""

    code = "no-timeout"
    title = "A caller waits without a timeout"
    page = Page(
        finds="Calls for which their caller waited half a minute or more, and twenty times as long as usual, without giving "
        "up, where it never gave up any call to that service after a fixed time.",
        matters="Each such call holds a thread and a connection. When the callee hangs, the caller hangs with it, and so "
        "does whoever calls that.",
        confirm="Look at the caller's configuration of the client for this service: many libraries wait for ever "
        "unless told "
        "otherwise.",
        false_alarm="Where the call is meant to be long: a report, an export, a long poll, an event stream. "
        "Where its timeout is "
        "longer than the capture shows.",
    )

    def __init__(self, whole: Whole) -> None:
        super().__init__(whole)
        self._waited: dict[int, Evidence] = {}
        """Calls that were waited for far too long, by caller and callee; the longest waits first."""
        self._impatient: set[int] = set()
        """Callers and callees where some call was given up."""

    def see_trees(self, portion: Portion) -> None:
        """Look for long waits, and for calls that were given up."""
        usual = self.whole.usual
        is_open = portion.unknown & (portion.exchange >= 0)
        waited = np.where(is_open, self.whole.last_ns - portion.start, portion.duration)
        beyond = (waited >= FAR_TOO_LONG_NS) & (waited >= TIMES_USUAL * usual.typical[portion.kind])
        beyond &= portion.in_request & ~portion.given_up & (usual.known[portion.kind] > 0)
        self._impatient.update(np.unique(portion.edge[portion.given_up]).tolist())
        for edge, places in groups_of(portion.edge, np.flatnonzero(beyond)):
            self._waited.setdefault(edge, Evidence()).add(portion, places, -waited[places])

    def claims(self) -> Iterator[Claim]:
        """One claim for each caller and callee."""
        for edge, evidence in self._waited.items():
            if edge not in self._impatient:
                yield self._claim(edge, evidence)

    def _claim(self, edge: int, evidence: Evidence) -> Claim:
        caller, name = self.whole.ends_of_edge(edge)

        def tell(evidence: Evidence) -> Told:
            return Told(
                Severity.WARNING,
                f"{caller} has no timeout for {name}: it waited up to {duration(-evidence.shown[0][0])}.",
                f"{counted(evidence.occurrences, 'call')} waited for {duration(FAR_TOO_LONG_NS)} or more, and none was "
                "given up.",
                f"Give {caller} a timeout for {name}. {self.whole.show_step(evidence.first)}",
            )

        return Claim((ComponentKind.EDGE, f"{caller} → {name}"), tell, evidence=evidence)
