"""slow-component: a service, instance, host, operation or statement that itself loses the time of slow requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Evidence, Told, felt_calls, slow_harm
from wiretrace.diagnosis.distribution import Distributions
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.spectrum import Scope
from wiretrace.model.words import counted, duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.spectrum import Hypothesis


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

    def claims(self) -> Iterator[Claim]:
        """One claim for each cause that is slow rather than failing."""
        for cause in self.whole.suspicion.causes:
            if cause.scope is Scope.CALLEE:
                yield self._claim(cause)

    def _claim(self, cause: Hypothesis) -> Claim:
        through = self.whole.suspicion.calls_through(cause)
        lost = Distributions()
        felt, failed = Evidence(), [0]

        def gather(portion: Portion, evidence: Evidence) -> None:
            symptoms = portion.symptoms
            of_cause = cause.routes[portion.route]
            places = np.flatnonzero(of_cause & symptoms.slow & ~symptoms.failed)
            failed[0] += int((of_cause & symptoms.failed).sum())
            lost.add(np.zeros(len(places), np.int64), symptoms.lost[places])
            evidence.add(portion, places, -symptoms.lost[places])
            felt.add(portion, felt_calls(portion, places))

        def tell(evidence: Evidence) -> Told | None:
            count = evidence.occurrences
            if count < failed[0]:
                return None
            more = duration(int(lost.of(0).median))
            same = (
                f" The same calls go through {', '.join(cause.also)}: nothing tells them apart." if cause.also else ""
            )
            return Told(
                slow_harm(self.whole, felt, through),
                f"{cause.kind.value.capitalize()} {cause.name} is slow: it alone costs a slow request {more} more than "
                "usual.",
                f"{count:,} of {counted(through, 'call')} through it ({percent(count / through)}) took far longer than "
                f"usual by themselves; {counted(evidence.requests, 'request')} waited for them.{same}",
                self.whole.show_step(evidence.first),
            )

        return Claim((cause.kind, cause.name), tell, gather)
