"""Makes findings: what a rule claims, what its evidence is, and how grave it is.

A claim says which calls show it. These are gathered while whole trees go by, in memory that does not grow with their
number: how many they are, how many requests they touch, when they were, and those that show most.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wiretrace.diagnosis.distribution import Distributions
from wiretrace.model.finding import MOST_CALLS, ComponentKind, Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

CRITICAL_SHARE = 0.10
"""Share of the requests from which on harm is critical."""
WARNING_SHARE = 0.01
"""Share of the requests from which on harm is worth a warning, ..."""
WARNING_REQUESTS = 3
"""... and the requests that it takes at least."""

LARGE_SLOW_SHARE = 0.2
"""Share of a component's calls that are slow where it is more than the tail that every busy system has, ..."""
NOTICED_NS = 100_000_000
"""... or so much longer the requests take, in the middle: up to a tenth of a second an answer feels immediate (Miller, as
below). A link that loses one packet in a hundred delays few of its calls, and each by 200 ms."""

FELT = 2
"""A request that took so many times as long as usual has been felt to be slow."""
INTERRUPTS_NS = 1_000_000_000
"""Slow requests that do not fail are critical where they take so much longer, in the middle: a wait of a second interrupts
whoever waits (R. Miller, "Response time in man-computer conversational transactions", 1968)."""


@dataclass(slots=True)
class Evidence:
    """The calls that show something, gathered from portions of whole trees."""

    requests: int = 0
    """Requests that they belong to."""
    occurrences: int = 0
    """How many calls they are."""
    first_ns: int = -1
    """Start of the earliest; -1 where there is none."""
    last_ns: int = -1
    """End of the latest."""
    shown: list[tuple[int, int]] = field(default_factory=list)
    """Ranks and rows of those that show most, the lowest rank first; at most `MOST_CALLS`."""

    def add(
        self, portion: Portion, places: NDArray[np.integer[Any]], rank: NDArray[np.integer[Any]] | None = None
    ) -> None:
        """Add calls at `places` of a portion. The lowest `rank` shows most; without, the first in the table. Shapes (n,)."""
        if not len(places):
            return
        earliest, latest = int(portion.start[places].min()), int(portion.end[places].max())
        self.first_ns = earliest if not self.occurrences else min(self.first_ns, earliest)
        self.last_ns = latest if not self.occurrences else max(self.last_ns, latest)
        self.requests += portion.touched(places)
        self.occurrences += len(places)
        rows = portion.row[places]
        ranks = rows if rank is None else rank
        best = np.lexsort((rows, ranks))[:MOST_CALLS]
        both = [*self.shown, *zip(ranks[best].tolist(), rows[best].tolist(), strict=True)]
        self.shown = sorted(both)[:MOST_CALLS]

    @property
    def rows(self) -> tuple[int, ...]:
        """Rows of the calls that show most."""
        return tuple(row for _, row in self.shown)

    @property
    def first(self) -> int:
        """Row of the call that shows most."""
        return self.shown[0][1]


class Told(NamedTuple):
    """What a claim says once its evidence is known."""

    severity: Severity
    title: str
    detail: str
    next_step: str
    occurrences: int = -1
    """How many calls show it, where that is not the number of those that were gathered."""


def always(told: Told) -> Callable[[Evidence], Told]:
    """What is said whatever the evidence."""
    return lambda _: told


@dataclass(slots=True)
class Claim:
    """What a rule claims, after it saw all calls."""

    component: tuple[ComponentKind, str]
    tell: Callable[[Evidence], Told | None]
    """Puts it into words; None where the evidence says otherwise. There is at least one call of evidence."""
    gather: Callable[[Portion, Evidence], None] | None = None
    """Adds the calls of a portion of whole trees that show it; None where the evidence is there already."""
    evidence: Evidence = field(default_factory=Evidence)

    def finding(self, code: str) -> Finding | None:
        """The finding of the rule `code`; None where there is none."""
        evidence = self.evidence
        told = self.tell(evidence) if evidence.occurrences else None
        if told is None:
            return None
        return Finding(
            code,
            told.severity,
            told.title,
            told.detail,
            *self.component,
            evidence.requests,
            evidence.occurrences if told.occurrences < 0 else told.occurrences,
            evidence.rows,
            evidence.first_ns,
            evidence.last_ns,
            told.next_step,
        )


def harm(whole: Whole, requests: int) -> Severity:
    """How grave it is that so many requests failed or waited."""
    share = requests / max(whole.requests, 1)
    if requests < WARNING_REQUESTS or share < WARNING_SHARE:
        return Severity.INFO
    return Severity.CRITICAL if share >= CRITICAL_SHARE else Severity.WARNING


@dataclass(slots=True)
class Felt:
    """Those of some slow calls whose requests failed, or felt that they were slow."""

    calls: int = 0
    requests: int = 0
    failed: int = 0
    """Those of the requests that failed."""
    delays: Distributions = field(default_factory=Distributions)
    """How much longer than usual the others took."""

    def add(self, portion: Portion, places: NDArray[np.int64]) -> None:
        """Add slow calls of a portion of whole trees."""
        request = portion.request[places]
        usual = portion.whole.usual.typical[portion.kind]
        is_felt = portion.failed[request] | (portion.duration[request] >= FELT * usual[request])
        touched = np.unique(request[is_felt])
        touched = touched[portion.entering[touched]]
        failed = portion.failed[touched]
        self.calls += int(is_felt.sum())
        self.requests += len(touched)
        self.failed += int(failed.sum())
        slow = touched[~failed]
        self.delays.add(np.zeros(len(slow), np.int64), portion.duration[slow] - usual[slow])

    def harm(self, whole: Whole, through: int) -> Severity:
        """How grave it is that these, of `through` calls of a component, were slow."""
        grave = harm(whole, self.requests)
        delay = self.delays.of(0).median if self.requests > self.failed else 0
        if self.calls < LARGE_SLOW_SHARE * through and delay < NOTICED_NS:
            return Severity.INFO
        if grave is not Severity.CRITICAL or harm(whole, self.failed) is Severity.CRITICAL:
            return grave
        return Severity.CRITICAL if delay >= INTERRUPTS_NS else Severity.WARNING
