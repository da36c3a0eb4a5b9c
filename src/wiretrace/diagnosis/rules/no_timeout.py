"""no-timeout: a caller that waits without end for a callee that does not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import conclude, show_step
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.model.finding import Finding

FAR_TOO_LONG_NS = 30_000_000_000
"""A wait that nobody wants to be possible."""
TIMES_USUAL = 20
"""It is so many times as long as usual, too."""


class NoTimeout(Rule):
    """A caller without a timeout."""

    code = "no-timeout"
    title = "A caller waits without a timeout"
    page = Page(
        finds="Calls for which their caller waited half a minute or more, and twenty times as long as usual, without giving "
        "up, where it never gave up any call to that service after a fixed time.",
        matters="Each such call holds a thread and a connection. When the callee hangs, the caller hangs with it, and so "
        "does whoever calls that.",
        confirm="Look at the caller's configuration of the client for this service: many libraries wait for ever "
        "unless told "
        "otherwise.",
        false_alarm="Where the call is meant to be long: a report, an export, a long poll, an event stream. "
        "Where its timeout is "
        "longer than the capture shows.",
    )

    def find(self, observed: Observed) -> Iterator[Finding]:
        """One finding for each caller and callee."""
        calls = observed.calls
        waited = np.where(
            calls.unknown & (observed.exchange >= 0), calls.end.max(initial=0) - calls.start, observed.duration
        )
        beyond = (waited >= FAR_TOO_LONG_NS) & (waited >= TIMES_USUAL * observed.usual.typical[calls.kind])
        beyond &= observed.in_request & ~observed.given_up & (observed.usual.known[calls.kind] > 0)
        callee = calls.callee_of_kind[calls.kind]
        edge = calls.caller.astype(np.int64) * len(calls.parties) + callee
        patient = np.setdiff1d(np.unique(edge[beyond]), np.unique(edge[observed.given_up]))
        for one in patient.tolist():
            rows = np.flatnonzero(beyond & (edge == one))
            rows = rows[np.argsort(-waited[rows], kind="stable")]
            caller, name = calls.parties[one // len(calls.parties)], calls.parties[one % len(calls.parties)]
            yield conclude(
                observed,
                self,
                Severity.WARNING,
                f"{caller} has no timeout for {name}: it waited up to {duration(int(waited[rows[0]]))}.",
                f"{counted(len(rows), 'call')} waited for {duration(FAR_TOO_LONG_NS)} or more, and none was given up.",
                (ComponentKind.EDGE, f"{caller} → {name}"),
                rows,
                f"Give {caller} a timeout for {name}. {show_step(observed, int(rows[0]))}",
            )
