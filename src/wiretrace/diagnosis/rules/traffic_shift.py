"""traffic-shift: the share of a service's calls that each instance gets changes while the capture runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Told
from wiretrace.diagnosis.portion import groups_of
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.statistics import table_p
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.time_parts import part_of_time
from wiretrace.model.words import counted, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.conclude import Evidence
    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

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

    def __init__(self, whole: Whole) -> None:
        super().__init__(whole)
        self._span: dict[int, tuple[int, int]] = {}
        """First and last start of the calls to each service, ..."""
        self._calls: dict[int, dict[int, NDArray[np.int64]]] = {}
        """... and how many are in each piece of that time, by place."""

    def see_trees(self, portion: Portion) -> None:
        """Learn from when to when each service is called, and where."""
        for service, places in groups_of(portion.callee, _eligible(portion)):
            first, last = int(portion.start[places].min()), int(portion.start[places].max())
            known = self._span.get(service, (first, last))
            self._span[service] = min(first, known[0]), max(last, known[1])
            of_place = self._calls.setdefault(service, {})
            for place in np.unique(portion.callee_place[places]).tolist():
                of_place.setdefault(place, np.zeros(BUCKETS, np.int64))

    def see_in_order(self, portion: Portion) -> None:
        """Count the calls to services of several instances."""
        for service, places in groups_of(portion.callee, _eligible(portion)):
            if len(self._calls[service]) < 2:
                continue
            piece = self._piece(portion, places, service)
            for place, of_place in groups_of(portion.callee_place[places], np.arange(len(places))):
                self._calls[service][place] += np.bincount(piece[of_place], minlength=BUCKETS)

    def claims(self) -> Iterator[Claim]:
        """One claim for each service whose traffic moved."""
        for service, of_place in sorted(self._calls.items()):
            counts = np.array([calls for _, calls in sorted(of_place.items())])
            if len(counts) < 2 or counts.sum() < 2 * FEWEST:
                continue
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
            if p * (BUCKETS - 1) < SURE and abs(change[most]) >= LARGE_CHANGE:
                yield self._claim(service, cut if counts[most, cut:].any() else 0, most, share, p)

    def _claim(self, service: int, cut: int, most: int, share: NDArray[np.float64], p: float) -> Claim:
        instances = sorted(self._calls[service])
        names = [self.whole.vocabulary.places[place].instance for place in instances]
        every = int(sum(int(calls.sum()) for calls in self._calls[service].values()))
        told = ", ".join(
            f"{name} {percent(before)} → {percent(now)}"
            for name, (before, now) in zip(names, share.tolist(), strict=True)
        )

        def gather(portion: Portion, evidence: Evidence) -> None:
            places = _eligible(portion)
            is_there = (portion.callee[places] == service) & (portion.callee_place[places] == instances[most])
            places = places[is_there]
            evidence.add(portion, places[self._piece(portion, places, service) >= cut])

        def tell(evidence: Evidence) -> Told:
            return Told(
                Severity.INFO,
                f"Traffic of {self.whole.parties[service]} moved between its instances: {names[most]} went from "
                f"{percent(share[most, 0])} to {percent(share[most, 1])}.",
                f"{counted(every, 'call')}: {told}; p = {p * (BUCKETS - 1):.1e}.",
                "Compare the moment with deployments and with the load balancer's log.",
            )

        return Claim((ComponentKind.INSTANCE, names[most]), tell, gather)

    def _piece(self, portion: Portion, places: NDArray[np.int64], service: int) -> NDArray[np.int64]:
        """The piece of time that each call to a service is in. Shape (m,)."""
        first, last = self._span[service]
        return part_of_time(portion.start[places], first, last, BUCKETS)


def _eligible(portion: Portion) -> NDArray[np.int64]:
    """Places of the calls that count."""
    return np.flatnonzero(portion.in_request & ~portion.is_probe)
