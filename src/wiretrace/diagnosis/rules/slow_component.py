"""slow-component: a service, instance, host, operation or statement that itself loses the time of slow requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import conclude, show_step, slow_harm, touched
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.spectrum import Scope
from wiretrace.model.words import counted, duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.model.finding import Finding


class SlowComponent(Rule):
    """A component in which slow requests lose their time."""

    code = "slow-component"
    title = "Slow requests lose their time here"
    page = Page(
        finds="A service, instance, host, operation or statement that took far longer than usual by itself (not in the "
        "calls that it made), in requests that were slow for it. Of all components through which these calls go, it is "
        "the one that explains them best: what goes through it is slow, and what does not is not.",
        matters="Whatever waits for a slow component is slow as well, and looks guilty. This is where the time is lost.",
        confirm="Compare one of the calls with a good one of its kind: 'wiretrace show CASE ID'. On the component's host, "
        "look at processor, disk, locks, garbage collection and pools at the time of the finding.",
        false_alarm="Every busy system has a tail: where less than a fifth of the calls are slow, it is told for "
        "information. Where some requests are slow by nature (a report, a cold cache) and share a component. Where the "
        "component's own calls were not captured, their time counts as its own: the detail says what was captured.",
    )

    def find(self, observed: Observed) -> Iterator[Finding]:
        """One finding for each cause that is slow rather than failing."""
        symptoms = observed.suspicion.symptoms
        for cause in observed.suspicion.causes:
            if cause.scope is not Scope.CALLEE:
                continue
            of_cause = cause.routes[observed.routes.of_call]
            rows = np.flatnonzero(of_cause & symptoms.slow & ~symptoms.failed)
            if not len(rows) or len(rows) < int((of_cause & symptoms.failed).sum()):
                continue
            rows = rows[np.argsort(-symptoms.lost[rows], kind="stable")]
            requests = touched(observed, rows)
            through = int((of_cause & symptoms.judged).sum())
            lost = int(np.median(symptoms.lost[rows]))
            same = (
                f" The same calls go through {', '.join(cause.also)}: nothing tells them apart." if cause.also else ""
            )
            yield conclude(
                observed,
                self,
                slow_harm(observed, rows, through),
                f"{cause.kind.value.capitalize()} {cause.name} is slow: it alone costs a slow request "
                f"{duration(lost)} more than usual.",
                f"{len(rows):,} of {counted(through, 'call')} through it ({percent(len(rows) / through)}) took far longer "
                f"than usual by themselves; {counted(requests, 'request')} waited for them.{same}",
                (cause.kind, cause.name),
                rows,
                show_step(observed, int(rows[0])),
            )
