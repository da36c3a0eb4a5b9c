"""lost-update: two writers of one row or key that both read it before either wrote, so that one write is lost."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import conclude, show_step
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.spectrum import told_kind
from wiretrace.diagnosis.written_rows import Access, accesses_of
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.model.finding import Finding


class LostUpdate(Rule):
    """Updates that overwrite each other."""

    code = "lost-update"
    title = "Concurrent writers of one row or key"
    page = Page(
        finds="Two parents (requests of a service) that each read a row or key and then wrote it, and of which the second "
        "read before the first had written: what the first wrote is overwritten by what the second made of the old value. "
        "Rows and keys are known by the keyed hash of their identifier; statements by their table.",
        matters="Stock, balances and counters drift, without any error. It happens under load, and never in a test.",
        confirm="Look at the listed calls in order of time: read, read, write, write of the same row. Use one statement "
        "(SET n = n - 1), a lock (SELECT ... FOR UPDATE), a version column, or WATCH.",
        false_alarm="Where the write does not depend on what was read, or where the rows differ and only share "
        "an identifier, "
        "such as a customer's number in two of its rows. Reads with FOR UPDATE wait for each other, and do not "
        "overlap like this.",
    )

    def find(self, observed: Observed) -> Iterator[Finding]:
        """One finding for each kind of write that lost updates."""
        calls = observed.calls
        lost: dict[int, list[tuple[Access, Access]]] = {}
        for history in accesses_of(observed):
            pairs = overlapping(history)
            if pairs:
                lost.setdefault(int(calls.kind[pairs[0][0].write]), []).extend(pairs)
        for kind, pairs in sorted(lost.items()):
            rows = np.array([row for one, other in pairs for row in (one.read, other.read, one.write, other.write)])
            apart = int(
                np.median([abs(int(calls.start[other.write] - calls.start[one.write])) for one, other in pairs])
            )
            is_statement = observed.routes.is_statement[observed.routes.of_call[rows[2]]]
            yield conclude(
                observed,
                self,
                Severity.WARNING,
                f"{told_kind(calls, kind)}: {counted(len(pairs), 'update')} may be lost, for two writers read the "
                "same row or "
                "key before either wrote it.",
                f"The two writes are {duration(apart)} apart in the middle.",
                (ComponentKind.STATEMENT if is_statement else ComponentKind.OPERATION, told_kind(calls, kind)),
                rows,
                f"Write with one statement, a lock or a version check. {show_step(observed, int(rows[0]))}",
                occurrences=len(pairs),
            )


def overlapping(history: list[Access]) -> list[tuple[Access, Access]]:
    """Pairs of accesses to one row, in order of their writes, of which the second read before the first had written."""
    return [
        (one, other)
        for one, other in pairwise(history)
        if other.parent != one.parent and other.read_ns < one.write_ns and one.read_ns < other.write_ns
    ]
