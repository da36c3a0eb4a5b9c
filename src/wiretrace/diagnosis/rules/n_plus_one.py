"""n-plus-one: a request that asks the same thing of the same service again and again, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import conclude, show_step
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.rules.first_cause import component_kind
from wiretrace.diagnosis.siblings import repeated_siblings
from wiretrace.diagnosis.spectrum import told_kind
from wiretrace.model.finding import Severity
from wiretrace.model.words import counted, duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.model.finding import Finding

FEWEST_REPEATS = 6
"""Calls of one kind that one call makes, one after the other, at least."""
FEWEST_PARENTS = 3
"""Calls that do so, at least, ..."""
MANY_REPEATS = 20
"""... or one that does so as often as this."""
WORTH_MENDING = 0.2
"""Share of the parents' time that the repeated calls take where it is worth a warning."""


class NPlusOne(Rule):
    """Queries in a loop."""

    code = "n-plus-one"
    title = "The same query runs in a loop (N+1)"
    page = Page(
        finds="A kind of call that makes another kind of call at least six times, one after the other: usually one query "
        "for a list, and then one for each of its items. Calls that run side by side, and repetitions of a call that "
        "failed, do not count.",
        matters="The time grows with the length of the list, and so does the load of the database. It is fast in a test "
        "with three rows, and slow in production.",
        confirm="Show one of the calls: the repeated calls stand below it in a row. In the application, fetch the items "
        "with one query (a join, IN, a batch or an eager load).",
        false_alarm="Where the calls depend on each other (pages of a listing, a poll until something is done) and can not "
        "be made at once.",
    )

    def find(self, observed: Observed) -> Iterator[Finding]:
        """One finding for each kind of parent and of repeated call."""
        calls = observed.calls
        for repeated in repeated_siblings(observed, FEWEST_REPEATS):
            if len(repeated.parents) < FEWEST_PARENTS and repeated.counts.max() < MANY_REPEATS:
                continue
            parents = repeated.parents[np.argsort(-repeated.counts, kind="stable")]
            above, kind = told_kind(calls, repeated.parent_kind), told_kind(calls, repeated.kind)
            spent = int(repeated.spent.sum()) / max(int(observed.duration[repeated.parents].sum()), 1)
            many = int(np.median(repeated.counts))
            yield conclude(
                observed,
                self,
                Severity.WARNING if spent >= WORTH_MENDING or many >= MANY_REPEATS else Severity.INFO,
                f"{above} asks for {kind} {many} times in a row, once for each item.",
                f"{counted(len(repeated.parents), 'call')} made {int(repeated.counts.sum()):,} such calls, up to "
                f"{int(repeated.counts.max()):,} each, and spent {percent(spent)} of their time on them: "
                f"{duration(int(np.median(repeated.spent)))} in the middle.",
                (component_kind(observed, int(repeated.example)), kind),
                parents,
                show_step(observed, int(parents[0])),
                occurrences=int(repeated.counts.sum()),
            )
