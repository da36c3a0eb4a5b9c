"""missing-call: a call that requests of a kind always make, and that some did not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Told
from wiretrace.diagnosis.distribution import Distributions
from wiretrace.diagnosis.names import Names, numbered
from wiretrace.diagnosis.rowset import RowSet
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.model.finding import Severity
from wiretrace.model.words import counted, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.conclude import Evidence
    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

FEWEST = 20
"""Calls of a kind from which it is said what they always do."""
ALWAYS = 0.9
"""Share of them that make a call from which on it belongs to them."""

FEWEST_LACKING, FEWEST_WARNING = 2, 3
"""Calls that lack a step, at least, and from which on that is a warning: one may be what the capture's ends cut off."""
SURE = 0.99
"""Confidence of a link above which a call is its parent's, and nobody else's."""
MOST_MISTAKES = 0.5
"""More calls lack the step than so many times the links to it that are wrong, by their own confidence."""
DOUBT = 1e-9
"""Unit in which doubts are added up: whole numbers give the same sum in any order."""
AROUND_NS = 100_000_000
"""A call that was made so long before or after may be the missing one as well."""


class MissingCall(Rule):
    """A step left out."""

    code = "missing-call"
    title = "A usual call is missing"
    page = Page(
        finds="Calls that succeeded without making a call that nine in ten of their kind, at least, make: a step was left "
        "out. Calls that failed do not count, nor those around which a call of the missing kind was made whose cause is "
        "not sure.",
        matters="An e-mail is not sent, stock is not reserved, an audit entry is not written: nothing failed, and still "
        "something did not happen.",
        confirm="Compare one of the calls with one of its kind that has the step. Look whether its host was captured "
        "without loss at that time: what the capture lacks, it lacks here as well.",
        false_alarm="Where the step is left out by design in rare cases (a cache that is nearly always cold, a feature "
        "flag), or where the linker gave it to another call.",
    )

    def __init__(self, whole: Whole) -> None:
        super().__init__(whole)
        kinds = whole.kinds
        self._often = np.zeros(kinds, np.int64)
        """Calls of each kind that succeeded."""
        self._loose = np.zeros(kinds, np.int64)
        """Calls of each kind without a parent."""
        self._doubt = np.zeros(kinds, np.int64)
        """Sum of the probabilities that the links to them are wrong, in units of `DOUBT`."""
        self._pairs = Names[int]()
        """A kind of call and a kind that it makes, as one number."""
        self._made_by: list[int] = []
        self._made: list[int] = []
        """Calls that succeeded and make it, and how many they make."""
        self._times = Distributions()
        """How many each call makes, by pair."""
        self._steps: list[_Step] | None = None

    def see_trees(self, portion: Portion) -> None:
        """Count what calls make."""
        kinds = self.whole.kinds
        well = self._well(portion)
        self._often += np.bincount(portion.kind[well], minlength=kinds)
        self._loose += np.bincount(portion.kind[~portion.has_parent], minlength=kinds)
        doubt = np.round((1.0 - portion.confidence.astype(np.float64)) / DOUBT).astype(np.int64)
        np.add.at(self._doubt, portion.kind, doubt)
        child = np.flatnonzero(portion.has_parent & self.whole.countable[portion.kind] & portion.in_request)
        parent = portion.parent[child].astype(np.int64)
        key = parent * kinds + portion.kind[child]
        order = np.argsort(key)
        first = order[np.flatnonzero(np.diff(key[order], prepend=-1))]
        child, parent = child[first], parent[first]
        pair = numbered(self._pairs, portion.parent_kind[child].astype(np.int64) * kinds + portion.kind[child])
        self._times.add(pair, portion.siblings[child])
        for counts, weights in ((self._made_by, well[parent]), (self._made, well[parent] * portion.siblings[child])):
            counts += [0] * (len(self._pairs.things) - len(counts))
            found = np.bincount(pair, weights, len(counts)).astype(np.int64).tolist()
            counts[:] = [one + other for one, other in zip(counts, found, strict=True)]

    def see_in_order(self, portion: Portion) -> None:
        """Look for calls that lack a step, while their process made none that may be theirs."""
        if self._steps is None:
            self._steps = list(self._usual_steps())
        well = self._well(portion)
        for step in self._steps:
            step.go_on(portion, well)

    def claims(self) -> Iterator[Claim]:
        """One claim for each step that some calls left out."""
        for step in self._steps or ():
            step.settle(np.iinfo(np.int64).max)
            wrong_links = float(self._doubt[step.kind]) * DOUBT
            missing = self._often[step.above] * step.usually - step.made - self._loose[step.kind]
            # Where as many were made as there should be, none is missing: some have the wrong parent.
            if step.lacking >= FEWEST_LACKING and missing >= step.lacking > MOST_MISTAKES * wrong_links:
                yield self._claim(step, int(self._often[step.above]))

    def _claim(self, step: _Step, often: int) -> Claim:
        above, name = self.whole.told_kind(step.above), self.whole.told_kind(step.kind)

        def gather(portion: Portion, evidence: Evidence) -> None:
            places = np.flatnonzero((portion.kind == step.above) & step.rows.has(portion.row))
            evidence.add(portion, places, portion.start[places])

        def tell(evidence: Evidence) -> Told:
            return Told(
                Severity.WARNING if evidence.occurrences >= FEWEST_WARNING else Severity.INFO,
                f"{counted(evidence.occurrences, 'call')} of {above} did not ask for {name}, which the others do.",
                f"{step.made_by:,} of {often:,} calls of this kind ({percent(step.made_by / often)}) made it; those that "
                "did not make it succeeded all the same.",
                self.whole.show_step(evidence.first),
            )

        return Claim((self.whole.component_kind(step.kind), name), tell, gather)

    def _usual_steps(self) -> Iterator[_Step]:
        """Steps that nearly all calls of a kind make."""
        kinds, bits = self.whole.kinds, self.whole.steps
        usual_times = [self._times.of(number).median for number in range(len(self._pairs.things))]
        # A parent has too many calls of a step where it has more than its kind usually has, or its kind usually has none.
        most: dict[int, NDArray[np.float64]] = {}
        for pair, made_by, times in zip(self._pairs.things, self._made_by, usual_times, strict=True):
            above, kind = divmod(pair, kinds)
            is_usual = made_by >= ALWAYS * self._often[above]
            most.setdefault(kind, np.full(kinds, np.inf))[above] = times if is_usual else 0.0
        for number, pair in enumerate(self._pairs.things):
            above, kind = divmod(pair, kinds)
            often, made_by, bit = int(self._often[above]), self._made_by[number], bits.bit(above, kind)
            if often >= FEWEST and ALWAYS * often <= made_by < often and bit:
                rows = RowSet(self.whole.calls)
                yield _Step(above, kind, bit, made_by, self._made[number], usual_times[number], most[kind], rows)

    def _well(self, portion: Portion) -> NDArray[np.bool_]:
        return portion.in_request & ~portion.not_ok & ~portion.unknown & self.whole.countable[portion.kind]


@dataclass(slots=True)
class _Step:
    """A step that calls of a kind usually make, and those that lack it, as calls go by in order."""

    above: int
    """Kind of the calls that make it."""
    kind: int
    """Its own kind."""
    bit: int
    """Its bit in `Portion.made`."""
    made_by: int
    made: int
    """Calls that make it, and how many they make."""
    usually: float
    """How many a call usually makes."""
    most: NDArray[np.float64]
    """More of them than these are too many, by the kind of the parent."""
    rows: RowSet
    """Calls that lack it for sure."""
    lacking: int = 0
    """How many these are."""
    _open: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, 0), np.int64))
    """Start, end and row of calls that lack it, unless one of those to come is theirs."""
    _doubtful: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Starts of the latest steps that may be anybody's: without a sure parent, or with one that has too many."""

    def go_on(self, portion: Portion, well: NDArray[np.bool_]) -> None:
        """Look at a portion; `well` tells which calls succeeded, shape (n,)."""
        if not len(portion):
            return
        lacks = np.flatnonzero(well & (portion.kind == self.above) & ((portion.made & np.uint64(self.bit)) == 0))
        found = np.stack([portion.start[lacks], portion.end[lacks], portion.row[lacks].astype(np.int64)])
        self._open = np.concatenate([self._open, found], axis=1)
        steps = np.flatnonzero(portion.kind == self.kind)
        has_too_many = portion.siblings[steps] > self.most[np.maximum(portion.parent_kind[steps], 0)]
        is_doubtful = ~portion.has_parent[steps] | has_too_many | (portion.confidence[steps] < SURE)
        self._doubtful = np.append(self._doubtful, portion.start[steps[is_doubtful]])
        self.settle(int(portion.start[-1]))

    def settle(self, now: int) -> None:
        """Leave out the calls around which a step was made that may be theirs; nothing is to come that began before now."""
        start, end, row = self._open
        first = np.searchsorted(self._doubtful, start - AROUND_NS)
        last = np.searchsorted(self._doubtful, end + AROUND_NS, "right")
        is_sure = first == last
        is_over = is_sure & (end < now - AROUND_NS)
        self.rows.add(row[is_over])
        self.lacking += int(is_over.sum())
        self._open = self._open[:, is_sure & ~is_over]
        self._doubtful = self._doubtful[self._doubtful >= now - AROUND_NS]
