"""slow-edge: the way between two services or hosts, or to a host, on which slow requests lose their time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.slow_cause import slow_claim
from wiretrace.diagnosis.spectrum import Scope
from wiretrace.model.finding import ComponentKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.conclude import Claim
    from wiretrace.diagnosis.spectrum import Hypothesis


class SlowEdge(Rule):
    """A way on which slow requests lose their time."""

    code = "slow-edge"
    title = "Slow requests lose their time on the way"
    page = Page(
        finds="A pair of services or hosts, or a host, between which calls were far longer on their way than usual: what "
        "the caller waited, less what the callee took. Both ends were captured, so this is measured.",
        matters="Neither service is slow, and no change of theirs will help. A link, a network card, a firewall, a load "
        "balancer, packet loss, or a full buffer between the two is to be looked at.",
        confirm="Look at retransmissions and round-trip times of the connections: 'wiretrace query CASE \"SELECT * FROM "
        "connections ORDER BY retransmitted_segments DESC\"'. Ping between the two hosts.",
        false_alarm="Where one of the hosts was so busy that its packets waited inside of it: then the host is the cause, "
        "and is slow in what it does itself as well.",
    )

    def claims(self) -> Iterator[Claim]:
        """One claim for each cause that lies on the way."""
        for cause in self.whole.suspicion.causes:
            if cause.scope is Scope.WAY:
                yield self._claim(cause)

    def _claim(self, cause: Hypothesis) -> Claim:
        where = f"to and from host {cause.name}" if cause.kind is ComponentKind.HOST else cause.name
        return slow_claim(
            self.whole,
            cause,
            lambda symptoms: symptoms.delayed,
            lambda calls: (
                f"The network {where} is slow: a call that it delays is {calls.more} longer on its way than usual.",
                f"{calls.number} of {calls.through} on this way ({calls.share}) were late; {calls.requests} waited for "
                f"them. The callees answered as fast as ever.{calls.same}",
            ),
        )
