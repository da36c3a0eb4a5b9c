"""slow-component: a service, instance, host, operation or statement that itself loses the time of slow requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.slow_cause import slow_claim
from wiretrace.diagnosis.spectrum import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.conclude import Claim
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
        return slow_claim(
            self.whole,
            cause,
            lambda symptoms: symptoms.slow,
            lambda calls: (
                f"{cause.kind.value.capitalize()} {cause.name} is slow: it alone costs a slow request {calls.more} more "
                "than usual.",
                f"{calls.number} of {calls.through} through it ({calls.share}) took far longer than usual by themselves; "
                f"{calls.requests} waited for them.{calls.same}",
            ),
        )
