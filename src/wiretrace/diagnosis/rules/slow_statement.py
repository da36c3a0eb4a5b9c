"""slow-statement: the statements on which the requests spend most of their time, by fingerprint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import conclude, show_step
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.spectrum import told_kind
from wiretrace.diagnosis.usual import quantiles_of_groups
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.model.finding import Finding

LARGE_SHARE = 0.2
"""Share of the requests' time that calls of one statement take, at least."""
SLOW_NS = 100_000_000
"""Time of its 95th percentile, at least."""
VERY_SLOW_NS = 1_000_000_000
"""Time of its middle call from which on it is a warning."""
FEWEST = 5
"""Calls of a statement, at least."""


class SlowStatement(Rule):
    """Statements that take the time."""

    code = "slow-statement"
    title = "A statement takes much of the time"
    page = Page(
        finds="Statements and commands, by fingerprint (the text without its values), that take a fifth of the time of all "
        "requests or more, and whose 95th percentile is 100 ms or more.",
        matters="It is where the time goes even when nothing is broken: an index, a plan, or a cache there is "
        "worth more than "
        "anything else.",
        confirm="EXPLAIN the statement on the database, with values as the application uses them; "
        "'wiretrace query CASE \"SELECT * FROM calls\"' lists its calls.",
        false_alarm="Where reports run on purpose. Where the statement waits for locks, and not for its plan: "
        "see lock-wait.",
    )

    def find(self, observed: Observed) -> Iterator[Finding]:
        """One finding for each such statement."""
        calls = observed.calls
        is_statement = np.zeros(len(calls.kinds), np.bool_)
        is_statement[observed.routes.kind[observed.routes.is_statement]] = True
        well = observed.in_request & ~calls.unknown & is_statement[calls.kind] & ~calls.sets_up[calls.kind]
        kinds = len(calls.kinds)
        spent = np.bincount(calls.kind[well], observed.duration[well], kinds)
        whole = max(float(observed.duration[observed.entering].sum()), 1.0)
        known, (middle, high) = quantiles_of_groups(calls.kind[well], observed.duration[well], kinds, (0.5, 0.95))
        found = (spent >= LARGE_SHARE * whole) & (high >= SLOW_NS) & (known >= FEWEST)
        for kind in np.flatnonzero(found).tolist():
            rows = np.flatnonzero(well & (calls.kind == kind))
            rows = rows[np.argsort(-observed.duration[rows], kind="stable")]
            yield conclude(
                observed,
                self,
                Severity.WARNING if middle[kind] >= VERY_SLOW_NS else Severity.INFO,
                f"{told_kind(calls, kind)} takes {percent(min(spent[kind] / whole, 1.0))} of the time of all requests.",
                f"{counted(len(rows), 'call')}: {duration(int(middle[kind]))} in the middle, {duration(int(high[kind]))} at "
                f"the 95th percentile, {duration(int(observed.duration[rows[0]]))} at most.",
                (ComponentKind.STATEMENT, told_kind(calls, kind)),
                rows,
                f"EXPLAIN it on the database. {show_step(observed, int(rows[0]))}",
            )
