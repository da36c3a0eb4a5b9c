"""lost-update: two writers of one row or key that both read it before either wrote, so that one write is lost."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Evidence, Told
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.written_rows import Access, WrittenRows
from wiretrace.model.finding import MOST_CALLS, Severity
from wiretrace.model.words import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

FEWEST_WARNING = 3
"""Updates that may be lost from which on it is a warning."""


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

    def __init__(self, whole: Whole) -> None:
        super().__init__(whole)
        self._written = WrittenRows(whole)

    def see_trees(self, portion: Portion) -> None:
        """Look for calls that read a row and then wrote it."""
        self._written.see_trees(portion)

    def claims(self) -> Iterator[Claim]:
        """One claim for each kind of write that lost updates."""
        lost: dict[int, list[tuple[Access, Access]]] = {}
        for history in self._written.histories():
            pairs = overlapping(history)
            if pairs:
                lost.setdefault(pairs[0][0].kind, []).extend(pairs)
        for kind, pairs in sorted(lost.items()):
            yield self._claim(kind, pairs)

    def _claim(self, kind: int, pairs: list[tuple[Access, Access]]) -> Claim:
        name = self.whole.told_kind(kind)
        apart = int(np.median([abs(other.write_start_ns - one.write_start_ns) for one, other in pairs]))
        accesses = [access for pair in pairs for access in pair]
        rows = [row for one, other in pairs for row in (one.read, other.read, one.write, other.write)]
        evidence = Evidence(
            len({access.request for access in accesses if access.request >= 0}),
            len(pairs),
            min(access.read_start_ns for access in accesses),
            max(max(access.write_ns, access.read_ns) for access in accesses),
            list(enumerate(dict.fromkeys(rows)))[:MOST_CALLS],
        )

        def tell(evidence: Evidence) -> Told:
            return Told(
                Severity.WARNING if len(pairs) >= FEWEST_WARNING else Severity.INFO,
                f"{name}: {counted(len(pairs), 'update')} may be lost, for two writers read the same row or "
                "key before either wrote it.",
                f"The two writes are {duration(apart)} apart in the middle.",
                f"Write with one statement, a lock or a version check. {self.whole.show_step(evidence.first)}",
            )

        return Claim((self.whole.component_kind(kind), name), tell, evidence=evidence)


def overlapping(history: list[Access]) -> list[tuple[Access, Access]]:
    """Pairs of accesses to one row, in order of their writes, of which the second read before the first had written."""
    return [
        (one, other)
        for one, other in pairwise(history)
        if other.parent != one.parent and other.read_ns < one.write_ns and one.read_ns < other.write_ns
    ]
