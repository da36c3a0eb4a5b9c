"""retries: calls that are made again after they failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Told
from wiretrace.diagnosis.distribution import Distributions
from wiretrace.diagnosis.portion import groups_of
from wiretrace.diagnosis.rowset import RowSet
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.conclude import Evidence
    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

FEWEST = 2
"""Repetitions of one kind of call, at least."""
MANY = 0.05
"""Share of the calls of a kind that are repetitions from which on they are worth a warning."""


class Retries(Rule):
    """Repetitions."""

    code = "retries"
    title = "Calls are repeated after they failed"
    page = Page(
        finds="The same request, made again by the same caller for the same call after the earlier attempt had failed or "
        "was given up. It tells how often, after which pause, and how often the repetition helped.",
        matters="Retries hide failures from people, and cost time and load. Without a pause that grows, they keep a "
        "service down that is about to recover.",
        confirm="Show one of the calls: its attempts stand below the same parent. Compare the pauses with what is "
        "configured in the caller.",
        false_alarm="Where somebody asks for the same thing again on purpose, such as a poll that treats 404 as 'not yet'; "
        "answers that blame the request do not count, so this is rare.",
    )

    def __init__(self, whole: Whole) -> None:
        super().__init__(whole)
        self._rows = RowSet(whole.calls)
        """Repetitions."""
        self._often = np.zeros(whole.kinds, np.int64)
        self._helped = np.zeros(whole.kinds, np.int64)
        """Repetitions of each kind, and those that were answered."""
        self._pauses = Distributions()
        self._callers: dict[int, set[int]] = {}
        """Pauses before repetitions, and who makes them, by kind."""

    def see_in_order(self, portion: Portion) -> None:
        """Count repetitions."""
        attempts = self.whole.attempts
        self._rows.add(portion.row[attempts.later])
        helped = ~portion.failed & ~portion.unanswered
        kind = portion.kind[attempts.later]
        self._pauses.add(kind, portion.start[attempts.later] - attempts.ended)
        for one, later in groups_of(portion.kind, attempts.later):
            self._often[one] += len(later)
            self._helped[one] += int(helped[later].sum())
            self._callers.setdefault(one, set()).update(portion.caller[later].tolist())

    def claims(self) -> Iterator[Claim]:
        """One claim for each kind of call that is repeated."""
        for kind in np.flatnonzero(self._often >= FEWEST).tolist():
            yield self._claim(kind)

    def _claim(self, kind: int) -> Claim:
        whole, name = self.whole, self.whole.told_kind(kind)
        often, helped = int(whole.often[kind]), int(self._helped[kind])
        share = int(self._often[kind]) / often
        callers = sorted(whole.parties[code] for code in self._callers[kind])
        pause = int(self._pauses.of(kind).median)

        def gather(portion: Portion, evidence: Evidence) -> None:
            places = np.flatnonzero((portion.kind == kind) & self._rows.has(portion.row))
            evidence.add(portion, places, portion.start[places])

        def tell(evidence: Evidence) -> Told:
            return Told(
                Severity.WARNING if share >= MANY else Severity.INFO,
                f"{', '.join(callers[:3])} repeats {name} after failures: "
                f"{counted(evidence.occurrences, 'retry', 'retries')}.",
                f"{percent(share)} of {counted(often, 'call')} are repetitions; {helped:,} of them were answered. "
                f"The pause before a repetition is {duration(pause)} in the middle.",
                whole.show_step(evidence.first),
            )

        component = (ComponentKind.EDGE, f"{callers[0]} → {whole.vocabulary.kinds[kind].service}")
        return Claim(component, tell, gather)
