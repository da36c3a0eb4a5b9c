"""slow-statement: the statements on which the requests spend most of their time, by fingerprint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Told
from wiretrace.diagnosis.distribution import Distributions
from wiretrace.diagnosis.routes import DATA_PROTOCOLS
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.conclude import Evidence
    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

LARGE_SHARE = 0.2
"""Share of the requests' time that calls of one statement take, at least."""
SLOW_NS = 100_000_000
"""Time of its 95th percentile, at least."""
VERY_SLOW_NS = 1_000_000_000
"""Time of its middle call from which on it is a warning."""
FEWEST = 5
"""Calls of a statement, at least."""


class SlowStatement(Rule):
    """Statements that take the time."""

    code = "slow-statement"
    title = "A statement takes much of the time"
    page = Page(
        finds="Statements and commands, by fingerprint (the text without its values), that take a fifth of the time of all "
        "requests or more, and whose 95th percentile is 100 ms or more.",
        matters="It is where the time goes even when nothing is broken: an index, a plan, or a cache there is "
        "worth more than "
        "anything else.",
        confirm="EXPLAIN the statement on the database, with values as the application uses them; "
        "'wiretrace query CASE \"SELECT * FROM calls\"' lists its calls.",
        false_alarm="Where reports run on purpose. Where the statement waits for locks, and not for its plan: "
        "see lock-wait.",
    )

    def __init__(self, whole: Whole) -> None:
        super().__init__(whole)
        statements = [kind for kind, protocol in whole.protocol_of_kind.items() if protocol in DATA_PROTOCOLS]
        self._is_statement = np.isin(np.arange(whole.kinds), statements) & ~whole.sets_up
        self._times = Distributions()
        self._spent = np.zeros(whole.kinds, np.int64)
        """Time that the calls of each kind took."""
        self._all = 0
        """Time that all requests took."""

    def see_trees(self, portion: Portion) -> None:
        """Add up times."""
        places = self._statements(portion)
        kind, took = portion.kind[places], portion.duration[places]
        self._times.add(kind, took)
        np.add.at(self._spent, kind, took)
        self._all += int(portion.duration[portion.entering].sum())

    def claims(self) -> Iterator[Claim]:
        """One claim for each such statement."""
        kinds = self.whole.kinds
        middle, high = self._times.percentiles(kinds, (50, 95))
        share = self._spent / max(self._all, 1)
        found = (share >= LARGE_SHARE) & (high >= SLOW_NS) & (self._times.counts(kinds) >= FEWEST)
        for kind in np.flatnonzero(found).tolist():
            yield self._claim(kind, float(share[kind]), int(middle[kind]), int(high[kind]))

    def _claim(self, kind: int, share: float, middle: int, high: int) -> Claim:
        name = self.whole.told_kind(kind)

        def gather(portion: Portion, evidence: Evidence) -> None:
            places = self._statements(portion)
            places = places[portion.kind[places] == kind]
            evidence.add(portion, places, -portion.duration[places])

        def tell(evidence: Evidence) -> Told:
            return Told(
                Severity.WARNING if middle >= VERY_SLOW_NS else Severity.INFO,
                f"{name} takes {percent(min(share, 1.0))} of the time of all requests.",
                f"{counted(evidence.occurrences, 'call')}: {duration(middle)} in the middle, {duration(high)} at "
                f"the 95th percentile, {duration(-evidence.shown[0][0])} at most.",
                f"EXPLAIN it on the database. {self.whole.show_step(evidence.first)}",
            )

        return Claim((ComponentKind.STATEMENT, name), tell, gather)

    def _statements(self, portion: Portion) -> NDArray[np.int64]:
        return np.flatnonzero(portion.in_request & ~portion.unknown & self._is_statement[portion.kind])
