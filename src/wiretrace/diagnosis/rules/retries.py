"""retries: calls that are made again after they failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import conclude, show_step
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.spectrum import told_kind
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.model.finding import Finding

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

    def find(self, observed: Observed) -> Iterator[Finding]:
        """One finding for each kind of call that is repeated."""
        calls, attempts = observed.calls, observed.attempts
        for kind in np.unique(calls.kind[attempts.later]).tolist():
            of_kind = calls.kind[attempts.later] == kind
            earlier, later = attempts.earlier[of_kind], attempts.later[of_kind]
            if len(later) < FEWEST:
                continue
            often = int((calls.kind == kind).sum())
            share = len(later) / often
            helped = int((~observed.failed[later] & ~observed.unanswered[later]).sum())
            pause = int(np.median(calls.start[later] - calls.end[earlier]))
            callers = sorted({calls.parties[code] for code in calls.caller[later].tolist()})
            yield conclude(
                observed,
                self,
                Severity.WARNING if share >= MANY else Severity.INFO,
                f"{', '.join(callers[:3])} repeats {told_kind(calls, kind)} after failures: "
                f"{counted(len(later), 'retry', 'retries')}.",
                f"{percent(share)} of {counted(often, 'call')} are repetitions; {helped:,} of them were answered. "
                f"The pause before a repetition is {duration(pause)} in the middle.",
                (ComponentKind.EDGE, f"{callers[0]} → {calls.kinds[kind].service}"),
                later,
                show_step(observed, int(later[0])),
            )
