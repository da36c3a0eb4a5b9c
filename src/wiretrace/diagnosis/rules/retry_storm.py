"""retry-storm: more repetitions than requests, so that they are the load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import conclude
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.spectrum import told_kind
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.model.finding import Finding

WINDOW_NS = 1_000_000_000
"""Calls are counted by the second."""
FEWEST = 10
"""Repetitions of one kind of call in a storm, at least."""
MOST_HELPED = 0.5
"""Share of the repetitions that help beyond which it is no storm."""


class RetryStorm(Rule):
    """A storm of repetitions."""

    code = "retry-storm"
    title = "Retries are most of the load"
    page = Page(
        finds="Seconds in which a kind of call was repeated after failures more often than it was made anew, while most "
        "repetitions failed as well.",
        matters="The repetitions are the load now. The service can not recover while they last, even when what broke it "
        "is long over.",
        confirm="Look at the rate of calls per second: 'wiretrace show CASE --red'. Switch off the retries of the caller, "
        "or let it shed load, and see whether the service recovers.",
        false_alarm="Where very few requests are made at all, a few persistent retries outnumber them without harm.",
    )

    def find(self, observed: Observed) -> Iterator[Finding]:
        """One finding for each kind of call with a storm."""
        calls, attempts = observed.calls, observed.attempts
        if not len(attempts.later):
            return
        origin = int(calls.start.min())
        for kind in np.unique(calls.kind[attempts.later]).tolist():
            later = attempts.later[calls.kind[attempts.later] == kind]
            helped = int((~observed.failed[later] & ~observed.unanswered[later]).sum())
            if len(later) < FEWEST or helped > MOST_HELPED * len(later):
                continue
            second = (calls.start[later] - origin) // WINDOW_NS
            every = (calls.start[calls.kind == kind] - origin) // WINDOW_NS
            seconds = int(every.max()) + 1
            repeated, made = np.bincount(second, minlength=seconds), np.bincount(every, minlength=seconds)
            storm = (repeated > made - repeated) & (repeated >= 2)
            in_storm = later[storm[second]]
            if len(in_storm) < FEWEST:
                continue
            callers = sorted({calls.parties[code] for code in calls.caller[in_storm].tolist()})
            yield conclude(
                observed,
                self,
                Severity.CRITICAL,
                f"Retry storm: in {counted(int(storm.sum()), 'second')}, {', '.join(callers[:3])} repeats "
                f"{told_kind(calls, kind)} more often than it asks anew.",
                f"{counted(len(in_storm), 'repetition')} in these seconds, for {int((made - repeated)[storm].sum()):,} "
                f"first attempts; {helped:,} of all repetitions were answered. It lasted "
                f"{duration(int(calls.end[in_storm].max() - calls.start[in_storm].min()))}.",
                (ComponentKind.EDGE, f"{callers[0]} → {calls.kinds[kind].service}"),
                in_storm,
                f"Stop the retries of {callers[0]}, or lengthen their pauses, until {calls.kinds[kind].service} answers.",
            )
