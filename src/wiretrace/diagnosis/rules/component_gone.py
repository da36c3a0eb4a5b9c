"""component-gone: an instance or host that answered, and from some moment on answers nobody any more."""

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

FEWEST_UNANSWERED = 3
"""Calls in a row, up to the last one, that got no answer."""


class ComponentGone(Rule):
    """A host or instance that is gone."""

    code = "component-gone"
    title = "A host or instance is gone"
    page = Page(
        finds="An instance that answered, and to which all calls from some moment on, three at least, were refused, reset "
        "or not answered up to the end of the capture. Where all instances of a host are gone, the host is told.",
        matters="A process has ended, a host has lost power or network. What is balanced over it fails in part; what "
        "needs it fails altogether.",
        confirm="Look whether the process runs and the port is open on the host. Refused means that the host is there and "
        "the process is not; no answer at all means that the host or the way to it is gone.",
        false_alarm="Where the capture ended while the instance was being restarted.",
    )

    def find(self, observed: Observed) -> Iterator[Finding]:
        """One finding for each host, or instance, that is gone."""
        calls = observed.calls
        dead = np.flatnonzero(observed.unanswered)
        gone: dict[int, int] = {}
        places = np.unique(calls.callee_place[dead]).tolist()
        instances = {calls.places[place].instance: [] for place in places}  # type: dict[str, list[int]]
        for place in places:
            instances[calls.places[place].instance].append(place)
        every = np.unique(calls.callee_place).tolist()
        alive_on: dict[str, set[int]] = {}
        for place in every:
            alive_on.setdefault(calls.places[place].machine, set()).add(place)
        rows_of: dict[int, NDArray[np.int64]] = {}
        for place in places:
            rows = np.flatnonzero((calls.callee_place == place) & ~calls.unknown)
            rows = rows[np.argsort(calls.start[rows], kind="stable")]
            answered = np.flatnonzero(~observed.unanswered[rows])
            since = int(answered[-1]) + 1 if len(answered) else 0
            if len(rows) - since >= FEWEST_UNANSWERED:
                gone[place] = since
                rows_of[place] = rows[since:]
        told: set[int] = set()
        for machine, there in alive_on.items():
            lost = [place for place in there if place in gone]
            if lost and len(lost) == len(there):
                told.update(lost)
                rows = np.concatenate([rows_of[place] for place in lost])
                yield self._finding(observed, (ComponentKind.HOST, machine), rows[np.argsort(calls.start[rows])])
        for place, rows in rows_of.items():
            if place not in told:
                yield self._finding(observed, (ComponentKind.INSTANCE, calls.places[place].instance), rows)

    def _finding(self, observed: Observed, component: tuple[ComponentKind, str], rows: NDArray[np.int64]) -> Finding:
        calls = observed.calls
        answered = (calls.start < calls.start[rows[0]]) & ~observed.unanswered
        before = answered & np.isin(calls.callee_place, np.unique(calls.callee_place[rows]))
        last = int(calls.end[before].max()) if before.any() else -1
        how = sorted({calls.endings[code].word for code in calls.ending[rows].tolist()})
        since = (
            f" Its last answer came {duration(int(calls.start[rows[-1]]) - last)} before the last attempt."
            if last >= 0
            else " It never answered while the capture ran."
        )
        silence = int(calls.start[rows[-1]] - calls.start[rows[0]])
        return conclude(
            observed,
            self,
            Severity.CRITICAL,
            f"{component[0].value.capitalize()} {component[1]} is gone: it answers nobody any more.",
            f"The last {counted(len(rows), 'call')} to it, over {duration(silence)}, were not answered "
            f"({', '.join(how)}).{since}",
            component,
            rows,
            show_step(observed, int(rows[0])),
        )
