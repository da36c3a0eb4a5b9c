"""response-contract: from some moment on, or from some instance, a kind of call is answered in another form."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass, field
from heapq import nlargest, nsmallest
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Told
from wiretrace.diagnosis.distribution import Distributions, Values, joined
from wiretrace.diagnosis.names import Names, numbered
from wiretrace.diagnosis.portion import groups_of
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.model.finding import Severity
from wiretrace.model.words import counted, percent, size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.conclude import Evidence
    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

FEWEST = 10
"""Answers in each form, at least."""
TIMES_SIZE = 1.5
"""The larger form is so many times as large as the smaller, at least."""
STATUSES = 1000
"""Statuses of HTTP are below it."""


class ResponseContract(Rule):
    """Another form of answer."""

    code = "response-contract"
    title = "A service answers in another form than before"
    page = Page(
        finds="A kind of call over HTTP that succeeds before and after some moment (or at two instances), but with another "
        "status, or with sizes that do not overlap: the smallest answer of one side is larger than the largest "
        "of the other. "
        "It is a warning where the caller fails more often afterwards.",
        matters="A deployment changed the answer. The service reports success, and its callers break.",
        confirm="Compare two of the calls, one of each form, and the deployments of that time. Bodies are not kept in the "
        "case: look at the packets of the frames that are listed.",
        false_alarm="Where the data changed and not the form: an entry that was filled, a list that grew once.",
    )

    def __init__(self, whole: Whole) -> None:
        super().__init__(whole)
        endings = whole.vocabulary.endings
        self._is_web = np.array([ending.protocol in ("http", "http2") for ending in endings], np.bool_)
        self._status = np.array([_number_of(ending.status) for ending in endings], np.int64)
        self._often = np.zeros(whole.kinds, np.int64)
        """Answers of each kind that succeeded."""
        self._instances = Names[int]()
        """A kind and a place that answers, as one number."""
        self._sizes = Distributions()
        self._statuses: dict[int, set[int]] = {}
        """Sizes and statuses of the answers, by instance."""
        self._series: dict[int, _Series] = {}
        """The answers of each kind as they went by in order."""

    def see_trees(self, portion: Portion) -> None:
        """Count answers by instance."""
        places = np.flatnonzero(self._well(portion))
        self._often += np.bincount(portion.kind[places], minlength=len(self._often))
        instance = portion.kind[places].astype(np.int64) * len(self.whole.vocabulary.places)
        number = numbered(self._instances, instance + portion.callee_place[places])
        self._sizes.add(number, portion.response_bytes[places])
        pairs = np.unique(number * STATUSES + self._status[portion.ending[places]])
        for pair in pairs.tolist():
            self._statuses.setdefault(pair // STATUSES, set()).add(pair % STATUSES)

    def see_in_order(self, portion: Portion) -> None:
        """Look for moments from which on the form is another."""
        wanted = (self._often >= 2 * FEWEST) & self.whole.countable
        places = np.flatnonzero(self._well(portion) & wanted[portion.kind])
        for kind, of_kind in groups_of(portion.kind, places):
            self._series.setdefault(kind, _Series()).go_on(
                portion.response_bytes[of_kind], self._status[portion.ending[of_kind]], portion, of_kind
            )

    def claims(self) -> Iterator[Claim]:
        """One claim for each kind of call whose answers changed."""
        by_kind: dict[int, dict[int, int]] = {}
        for number, pair in enumerate(self._instances.things):
            kind, place = divmod(pair, len(self.whole.vocabulary.places))
            by_kind.setdefault(kind, {})[place] = number
        for kind, series in sorted(self._series.items()):
            cut = series.cut()
            if cut is not None:
                yield self._claim(kind, cut.is_new, "from some moment on", cut.how)
                continue
            found = self._by_instance(dict(sorted(by_kind[kind].items())))
            if found is not None:
                place, how = found
                name = f"by instance {self.whole.vocabulary.places[place].instance}"
                yield self._claim(kind, functools.partial(_is_at, place), name, how)

    def _claim(self, kind: int, is_new: Callable[[Portion], NDArray[np.bool_]], when: str, how: str) -> Claim:
        name = self.whole.told_kind(kind)
        forms = (_Form(), _Form())
        sizes = Distributions()

        def gather(portion: Portion, evidence: Evidence) -> None:
            places = np.flatnonzero(self._well(portion) & (portion.kind == kind))
            new = is_new(portion)[places]
            sizes.add(new.astype(np.int64), portion.response_bytes[places])
            for form, of_form in zip(forms, (places[~new], places[new]), strict=True):
                form.add(portion, of_form)
            evidence.add(portion, places[new], portion.start[places[new]])

        def tell(evidence: Evidence) -> Told:
            before, after = (form.failing for form in forms)
            breaks = after > before + 0.1
            told = (
                f" Its callers fail in {percent(after)} of the cases, and in {percent(before)} before."
                if breaks
                else " Its callers do not fail for it."
            )
            words = how or f"{_middle(sizes.of(0))} before, {_middle(sizes.of(1))} after"
            return Told(
                Severity.WARNING if breaks else Severity.INFO,
                f"{name} is answered in another form {when}: {words}.",
                f"{counted(forms[0].answers, 'answer')} in the one form, {forms[1].answers:,} in the other; all report "
                f"success.{told}",
                self.whole.show_step(evidence.first),
            )

        return Claim((self.whole.component_kind(kind), name), tell, gather)

    def _by_instance(self, instances: dict[int, int]) -> tuple[int, str] | None:
        """An instance that answers in another form than all others, and how; `instances` are numbers by place."""
        if len(instances) < 2:
            return None
        values = {place: self._sizes.of(number) for place, number in instances.items()}
        total = sum(each.total for each in values.values())
        smallest = nsmallest(2, instances, key=lambda place: values[place].lowest)
        largest = nlargest(2, instances, key=lambda place: values[place].highest)
        holders = Counter(status for number in instances.values() for status in self._statuses[number])
        for place, number in instances.items():
            one = values[place]
            if one.total < FEWEST or total - one.total < FEWEST:
                continue
            lowest = values[smallest[smallest[0] == place]].lowest
            highest = values[largest[largest[0] == place]].highest
            if one.lowest >= TIMES_SIZE * max(highest, 1) or lowest >= TIMES_SIZE * max(one.highest, 1):
                other = joined([values[each] for each in instances if each != place])
                return place, f"{_middle(one)}, and {_middle(other)} by the others"
            here = self._statuses[number]
            there = [status for status, often in holders.items() if often > (status in here)]
            if len(here) == 1 == len(there) and there[0] not in here:
                return place, f"status {min(here)}, and {there[0]} by the others"
        return None

    def _well(self, portion: Portion) -> NDArray[np.bool_]:
        return portion.in_request & ~portion.not_ok & ~portion.unknown & self._is_web[portion.ending]


@dataclass(slots=True)
class _Form:
    """Answers in one form."""

    answers: int = 0
    called: int = 0
    """Those for which there is a caller, ..."""
    failed: int = 0
    """... and those of these whose caller failed."""

    def add(self, portion: Portion, places: NDArray[np.int64]) -> None:
        """Count the calls at some places."""
        self.answers += len(places)
        self.called += int(portion.has_parent[places].sum())
        self.failed += int(portion.parent_failed[places].sum())

    @property
    def failing(self) -> float:
        """Share of the callers that failed."""
        return self.failed / self.called if self.called else 0.0


@dataclass(slots=True)
class _Cut:
    """A moment that may divide the answers into two forms."""

    number: int
    """Answers before it."""
    start_ns: int
    row: int
    """Of the first answer in the new form."""
    low: float
    high: float
    """All sizes from then on are within these bounds."""
    how: str = ""
    """How the forms differ; empty where it is by size."""

    def is_new(self, portion: Portion) -> NDArray[np.bool_]:
        """Which calls are not before it."""
        is_same = portion.start == self.start_ns
        found: NDArray[np.bool_] = (portion.start > self.start_ns) | (is_same & (portion.row >= self.row))
        return found


@dataclass(slots=True)
class _Series:
    """Sizes and statuses of the answers of one kind, as they go by in order; only cuts that may hold are remembered.

    Each cut by size takes a jump of `TIMES_SIZE` beyond all sizes before: there can not be many.
    """

    count: int = 0
    low: int = 0
    high: int = 0
    """The smallest and the largest answer so far."""
    cuts: list[_Cut] = field(default_factory=list)
    status: int = -1
    """The latest."""
    changes: int = 0
    change: _Cut | None = None
    """Changes of the status, and the first of them."""

    def go_on(
        self, sizes: NDArray[np.int64], statuses: NDArray[np.int64], portion: Portion, places: NDArray[np.int64]
    ) -> None:
        """Look at the next answers, those at `places` of a portion. Shapes (m,); there is at least one."""
        self._see_statuses(statuses, portion, places)
        smallest, largest = int(sizes.min()), int(sizes.max())
        self.cuts = [cut for cut in self.cuts if cut.low <= smallest and largest <= cut.high]
        first = int(sizes[0])
        low = np.minimum.accumulate(np.append(self.low if self.count else first, sizes))
        high = np.maximum.accumulate(np.append(self.high if self.count else first, sizes))
        low_after = np.minimum.accumulate(sizes[::-1])[::-1]
        high_after = np.maximum.accumulate(sizes[::-1])[::-1]
        number = self.count + np.arange(len(sizes))
        grows = low_after >= TIMES_SIZE * np.maximum(high[:-1], 1)
        shrinks = low[:-1] >= TIMES_SIZE * np.maximum(high_after, 1)
        for at in np.flatnonzero((number >= FEWEST) & (grows | shrinks)).tolist():
            bounds = (TIMES_SIZE * max(int(high[at]), 1), np.inf) if grows[at] else (0.0, int(low[at]) / TIMES_SIZE)
            place = places[at]
            self.cuts.append(_Cut(int(number[at]), int(portion.start[place]), int(portion.row[place]), *bounds))
        self.count += len(sizes)
        self.low, self.high = int(low[-1]), int(high[-1])

    def cut(self) -> _Cut | None:
        """The moment that divides the answers; all of them went by."""
        fits = [cut for cut in self.cuts if self.count - cut.number >= FEWEST]
        if fits:
            return fits[0]
        if self.changes == 1 and self.change and FEWEST <= self.change.number <= self.count - FEWEST:
            return self.change
        return None

    def _see_statuses(self, statuses: NDArray[np.int64], portion: Portion, places: NDArray[np.int64]) -> None:
        before = np.append(self.status if self.count else statuses[0], statuses[:-1])
        changes = np.flatnonzero(before != statuses)
        if len(changes) and self.change is None:
            at = int(changes[0])
            place, how = places[at], f"status {before[at]} before, {statuses[at]} after"
            self.change = _Cut(self.count + at, int(portion.start[place]), int(portion.row[place]), 0.0, np.inf, how)
        self.changes += len(changes)
        self.status = int(statuses[-1])


def _is_at(place: int, portion: Portion) -> NDArray[np.bool_]:
    """Which calls an instance answers."""
    return np.equal(portion.callee_place, place)


def _middle(sizes: Values) -> str:
    return size(int(sizes.median))


def _number_of(status: str) -> int:
    """A status of HTTP as a number; 0 for what is none."""
    return int(status) if status.isascii() and status.isdigit() and len(status) == 3 else 0
