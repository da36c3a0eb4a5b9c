"""slow-edge: the way between two services or hosts, or to a host, on which slow requests lose their time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Evidence, Told, felt_calls, slow_harm
from wiretrace.diagnosis.distribution import Distributions
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.spectrum import Scope
from wiretrace.model.finding import ComponentKind
from wiretrace.model.words import counted, duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.portion import Portion
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
        through = self.whole.suspicion.calls_through(cause)
        lost = Distributions()
        felt, failed = Evidence(), [0]

        def gather(portion: Portion, evidence: Evidence) -> None:
            symptoms = portion.symptoms
            of_cause = cause.routes[portion.route]
            places = np.flatnonzero(of_cause & symptoms.delayed & ~symptoms.failed)
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
            where = f"to and from host {cause.name}" if cause.kind is ComponentKind.HOST else cause.name
            return Told(
                slow_harm(self.whole, felt, through),
                f"The network {where} is slow: a call that it delays is {more} longer on its way than usual.",
                f"{count:,} of {counted(through, 'call')} on this way ({percent(count / through)}) were late; "
                f"{counted(evidence.requests, 'request')} waited for them. The callees answered as fast as ever.{same}",
                self.whole.show_step(evidence.first),
            )

        return Claim((cause.kind, cause.name), tell, gather)
