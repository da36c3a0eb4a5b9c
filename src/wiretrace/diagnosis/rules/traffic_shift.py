"""traffic-shift: the share of a service's calls that each instance gets changes while the capture runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import conclude
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.statistics import table_p
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.model.finding import Finding

BUCKETS = 8
"""Pieces of time between which a change is looked for."""
FEWEST = 30
"""Calls on each side of the change, at least."""
SURE = 1e-3
"""Probability, over all changes that are tried, below which it is no accident."""
LARGE_CHANGE = 0.15
"""Change of an instance's share that is worth telling."""


class TrafficShift(Rule):
    """Calls that went to other instances from some moment on."""

    code = "traffic-shift"
    title = "Traffic moved between instances"
    page = Page(
        finds="A service whose instances got other shares of its calls after some moment than before (chi-square test over "
        "instances and the two times). The moment is the one of seven that tells most.",
        matters="A load balancer took an instance out or in, a client lost its connections, a deployment moved along. What "
        "is slow or fails after the moment may be so because of it.",
        confirm="Compare the moment with deployments and with the load balancer's log.",
        false_alarm="Where few clients keep few connections, their calls come and go with them.",
    )

    def find(self, observed: Observed) -> Iterator[Finding]:
        """One finding for each service whose traffic moved."""
        calls = observed.calls
        service = calls.callee_of_kind[calls.kind]
        eligible = observed.in_request & ~observed.probe_kinds[calls.kind]
        for one in np.unique(service[eligible]).tolist():
            rows = np.flatnonzero(eligible & (service == one))
            places, instance = np.unique(calls.callee_place[rows], return_inverse=True)
            if len(places) < 2 or len(rows) < 2 * FEWEST:
                continue
            first, last = int(calls.start[rows].min()), int(calls.start[rows].max())
            bucket = (calls.start[rows] - first) * BUCKETS // max(last - first + 1, 1)
            counts = np.zeros((len(places), BUCKETS), np.int64)
            np.add.at(counts, (instance, bucket), 1)
            tried = []
            for cut in range(1, BUCKETS):
                table = np.stack([counts[:, :cut].sum(axis=1), counts[:, cut:].sum(axis=1)], axis=1)
                if table.sum(axis=0).min() >= FEWEST:
                    tried.append((table_p(table), cut, table))
            if not tried:
                continue
            p, cut, table = min(tried, key=lambda each: each[0])
            share = table / table.sum(axis=0)
            change = share[:, 1] - share[:, 0]
            most = int(np.argmax(np.abs(change)))
            if p * (BUCKETS - 1) >= SURE or abs(change[most]) < LARGE_CHANGE:
                continue
            name = calls.places[int(places[most])].instance
            after = rows[(instance == most) & (bucket >= cut)]
            shown = after if len(after) else rows[instance == most]
            told = ", ".join(
                f"{calls.places[int(place)].instance} {percent(before)} → {percent(now)}"
                for place, (before, now) in zip(places.tolist(), share.tolist(), strict=True)
            )
            yield conclude(
                observed,
                self,
                Severity.INFO,
                f"Traffic of {calls.parties[one]} moved between its instances: {name} went from "
                f"{percent(share[most, 0])} to {percent(share[most, 1])}.",
                f"{counted(len(rows), 'call')}: {told}; p = {p * (BUCKETS - 1):.1e}.",
                (ComponentKind.INSTANCE, name),
                shown,
                "Compare the moment with deployments and with the load balancer's log.",
            )
