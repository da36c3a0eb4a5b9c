"""circuit-breaker: a caller that stopped asking a service after a run of failures, and answers without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import conclude, show_step
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.model.finding import Finding

RUN_OF_FAILURES = 3
"""Failures in a row before the caller stops, at least."""
WITHOUT = 5
"""Calls that the caller answers without asking, at least, which usually ask."""
USUALLY = 0.8
"""Share of the caller's calls of a kind that ask the service while it is well."""


class CircuitBreaker(Rule):
    """A circuit breaker that opened."""

    code = "circuit-breaker"
    title = "A circuit breaker opened"
    page = Page(
        finds="A caller that asks a service in most of its calls, had several failures in a row from it, and then answered "
        "at least five calls without asking it at all: a circuit breaker, or something that acts like one. It tells after "
        "how many failures it opened, and for how long.",
        matters="While it is open, requests fail (or get a fallback) at once, whatever the service does by now. "
        "What is to be "
        "mended are the failures before it.",
        confirm="Look at the calls that are listed: the failures before it opened. Compare with the caller's configuration.",
        false_alarm="Where the caller's requests of that time did not need the service (other parameters, a warm cache).",
    )

    def find(self, observed: Observed) -> Iterator[Finding]:
        """One finding for each caller (an instance of it) and callee."""
        calls = observed.calls
        judged = observed.in_request & ~calls.unknown
        callee = calls.callee_of_kind[calls.kind]
        wrong = judged & (observed.failed | observed.unanswered) & (observed.parent >= 0)
        width = len(calls.parties)
        edge = calls.caller_place.astype(np.int64) * width + callee
        for one in np.unique(edge[wrong]).tolist():
            rows = np.flatnonzero(judged & (edge == one) & (observed.parent >= 0))
            if int(wrong[rows].sum()) < RUN_OF_FAILURES:
                continue
            yield from self._openings(observed, rows[np.argsort(calls.start[rows], kind="stable")], wrong)

    def _openings(self, observed: Observed, rows: NDArray[np.int64], wrong: NDArray[np.bool_]) -> Iterator[Finding]:
        """The longest time in which the calls `rows` of one edge stop after failures."""
        calls = observed.calls
        parents = observed.parent[rows]
        kinds = np.unique(calls.kind[parents])
        place = np.unique(calls.callee_place[parents])
        above = np.flatnonzero(np.isin(calls.kind, kinds) & np.isin(calls.callee_place, place) & ~calls.unknown)
        above = above[np.argsort(calls.start[above], kind="stable")]
        asks = np.isin(above, parents)
        runs = np.flatnonzero(np.diff(asks.astype(np.int8), prepend=1) == -1)
        best: tuple[int, int, int] | None = None
        for first in runs.tolist():
            ends = np.flatnonzero(asks[first:])
            last = first + (int(ends[0]) if len(ends) else len(asks) - first)
            began = int(calls.start[above[first]])
            before = rows[calls.start[rows] < began]
            failures = int(np.argmin(np.append(wrong[before][::-1], False)))
            usual = asks[:first].mean() if first else 0.0
            if last - first >= WITHOUT and failures >= RUN_OF_FAILURES and usual >= USUALLY:
                best = max(best or (0, 0, 0), (last - first, first, failures))
        if best is None:
            return
        count, first, failures = best
        began, ended = int(calls.start[above[first]]), int(calls.end[above[first + count - 1]])
        before = rows[calls.start[rows] < began][::-1][:failures]
        caller = calls.places[int(calls.caller_place[rows[0]])].party
        name = calls.kinds[int(calls.kind[rows[0]])].service
        yield conclude(
            observed,
            self,
            Severity.WARNING,
            f"{caller} stopped asking {name} after {counted(failures, 'failure')} in a row: a circuit breaker opened.",
            f"For {duration(ended - began)} it answered {counted(count, 'call')} without asking {name}, which it does "
            "otherwise.",
            (ComponentKind.EDGE, f"{caller} → {name}"),
            before,
            f"Find out why {name} failed before. {show_step(observed, int(before[0]))}",
        )
