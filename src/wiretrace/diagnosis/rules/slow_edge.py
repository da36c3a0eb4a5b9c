"""slow-edge: the way between two services or hosts, or to a host, on which slow requests lose their time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import conclude, show_step, slow_harm, touched
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.spectrum import Scope
from wiretrace.model.finding import ComponentKind
from wiretrace.model.words import counted, duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.model.finding import Finding


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

    def find(self, observed: Observed) -> Iterator[Finding]:
        """One finding for each cause that lies on the way."""
        symptoms = observed.suspicion.symptoms
        for cause in observed.suspicion.causes:
            if cause.scope is not Scope.WAY:
                continue
            of_cause = cause.routes[observed.routes.of_call]
            rows = np.flatnonzero(of_cause & symptoms.delayed & ~symptoms.failed)
            if not len(rows) or len(rows) < int((of_cause & symptoms.failed).sum()):
                continue
            rows = rows[np.argsort(-symptoms.lost[rows], kind="stable")]
            requests = touched(observed, rows)
            through = int((of_cause & symptoms.measured).sum())
            lost = duration(int(np.median(symptoms.lost[rows])))
            where = f"to and from host {cause.name}" if cause.kind is ComponentKind.HOST else cause.name
            same = (
                f" The same calls go through {', '.join(cause.also)}: nothing tells them apart." if cause.also else ""
            )
            yield conclude(
                observed,
                self,
                slow_harm(observed, rows, through),
                f"The network {where} is slow: a call that it delays is {lost} longer on its way than usual.",
                f"{len(rows):,} of {counted(through, 'call')} on this way ({percent(len(rows) / through)}) were late; "
                f"{counted(requests, 'request')} waited for them. The callees answered as fast as ever.{same}",
                (cause.kind, cause.name),
                rows,
                show_step(observed, int(rows[0])),
            )
