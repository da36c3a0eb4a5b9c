"""n-plus-one: a request that asks the same thing of the same service again and again, one after the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Evidence, Told
from wiretrace.diagnosis.distribution import Distributions
from wiretrace.diagnosis.portion import groups_of
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.siblings import repeated_siblings
from wiretrace.model.finding import Severity
from wiretrace.model.words import counted, duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

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

    def __init__(self, whole: Whole) -> None:
        super().__init__(whole)
        self._loops: dict[tuple[int, int], _Loop] = {}
        """By the kind of the parent, and of what it repeats."""

    def see_trees(self, portion: Portion) -> None:
        """Look for calls that repeat."""
        found = repeated_siblings(portion, FEWEST_REPEATS)
        pair = portion.kind[found.parent].astype(np.int64) * self.whole.kinds + portion.kind[found.first]
        for one, places in groups_of(pair, np.arange(len(pair))):
            loop = self._loops.setdefault(divmod(one, self.whole.kinds), _Loop())
            parents, counts = found.parent[places], found.often[places]
            loop.evidence.add(portion, parents, -counts)
            loop.repeats += int(counts.sum())
            loop.spent += int(found.spent[places].sum())
            loop.whole += int(portion.duration[parents].sum())
            loop.counts.add(np.zeros(len(places), np.int64), counts)
            loop.times.add(np.zeros(len(places), np.int64), found.spent[places])

    def claims(self) -> Iterator[Claim]:
        """One claim for each kind of parent and of repeated call."""
        for (above, kind), loop in self._loops.items():
            most = -loop.evidence.shown[0][0]
            if loop.evidence.occurrences >= FEWEST_PARENTS or most >= MANY_REPEATS:
                yield self._claim(above, kind, loop, most)

    def _claim(self, above: int, kind: int, loop: _Loop, most: int) -> Claim:
        name = self.whole.told_kind(kind)
        spent, many = loop.spent / max(loop.whole, 1), int(loop.counts.of(0).median)

        def tell(evidence: Evidence) -> Told:
            return Told(
                Severity.WARNING if spent >= WORTH_MENDING or many >= MANY_REPEATS else Severity.INFO,
                f"{self.whole.told_kind(above)} asks for {name} {many} times in a row, once for each item.",
                f"{counted(evidence.occurrences, 'call')} made {loop.repeats:,} such calls, up to {most:,} each, and spent "
                f"{percent(spent)} of their time on them: {duration(int(loop.times.of(0).median))} in the middle.",
                self.whole.show_step(evidence.first),
                loop.repeats,
            )

        return Claim((self.whole.component_kind(kind), name), tell, evidence=loop.evidence)


@dataclass(slots=True)
class _Loop:
    """Calls of one kind that calls of one kind repeat."""

    evidence: Evidence = field(default_factory=Evidence)
    """The calls that repeat, those that do most often first."""
    repeats: int = 0
    spent: int = 0
    """Nanoseconds that the repeated calls took together, ..."""
    whole: int = 0
    """... and those that the calls took that repeat."""
    counts: Distributions = field(default_factory=Distributions)
    """How often each repeats."""
    times: Distributions = field(default_factory=Distributions)
    """How long what each repeats took."""
