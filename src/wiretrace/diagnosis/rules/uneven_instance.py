"""uneven-instance: one of several instances of a service is slower, or fails more often, than its siblings."""

from __future__ import annotations

from heapq import nlargest
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Told, harm
from wiretrace.diagnosis.distribution import Distributions, Values
from wiretrace.diagnosis.names import Names, numbered
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.statistics import rank_sum_p_of_values, table_p
from wiretrace.model.finding import ComponentKind
from wiretrace.model.words import counted, duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.conclude import Evidence
    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

FEWEST = 20
"""Calls of a kind that each of the two sides has, at least."""
SURE = 1e-4
"""Probability, over all comparisons made, below which a difference is no accident."""
TIMES_SLOWER = 1.5
"""An instance is slower where its middle call takes so many times as long, ..."""
SLOWER_NS = 5_000_000
"""... and so much longer."""
MOST_COMPARED = 64
"""Instances of one kind of call that are compared with their siblings: those whose middle call is slowest, and those that
fail most often. Where thousands of instances answer one kind of call, all would cost the square of their number."""
FAILS_MORE = 0.03
"""An instance fails more often where the shares of failures are so far apart."""


class UnevenInstance(Rule):
    """An instance unlike its siblings."""

    code = "uneven-instance"
    title = "One instance is worse than its siblings"
    page = Page(
        finds="For each kind of call that several instances of a service answer, an instance that is slower by itself "
        "(Mann-Whitney test) or fails more often (chi-square test) than the others together. The p-value is corrected for "
        "the number of comparisons, and the difference is large enough to matter.",
        matters="One in so many requests is bad, at random for the people who make them. Averages over all instances hide "
        "it. To take the instance out of service mends it at once.",
        confirm="Compare the instances: 'wiretrace show CASE --red'. Look at the host of the instance: its version, its "
        "load, its neighbours, its disk.",
        false_alarm="Where instances get different work (sharding, sticky sessions, one that also runs jobs), so that "
        "their calls are not alike though they are of one kind.",
    )

    def __init__(self, whole: Whole) -> None:
        super().__init__(whole)
        self._instances = Names[int]()
        """A kind of call and a place that answers it, as one number."""
        self._own = Distributions()
        """What the callee took by itself where it did not fail, by instance."""
        self._calls: list[int] = []
        self._failed: list[int] = []
        """Calls, and those that failed, by instance."""

    def see_trees(self, portion: Portion) -> None:
        """Learn how long each instance takes, and how often it fails."""
        places = np.flatnonzero(_counted(portion))
        pair = portion.kind[places].astype(np.int64) * len(self.whole.vocabulary.places) + portion.callee_place[places]
        number = numbered(self._instances, pair)
        failed = portion.failed[places]
        self._own.add(number[~failed], portion.own[places[~failed]])
        for counts, which in ((self._calls, number), (self._failed, number[failed])):
            counts += [0] * (len(self._instances.things) - len(counts))
            for one, count in zip(*np.unique(which, return_counts=True), strict=True):
                counts[one] += int(count)

    def claims(self) -> Iterator[Claim]:
        """One claim for each instance and the kind of call in which it differs most."""
        routes = self.whole.routes
        instances_of: dict[int, set[int]] = {}
        for kind, place in zip(routes.kind.tolist(), routes.place.tolist(), strict=True):
            instances_of.setdefault(kind, set()).add(place)
        shared = {kind: sorted(places) for kind, places in instances_of.items() if len(places) > 1}
        comparisons = 2 * sum(len(places) for places in shared.values())
        numbers = {pair: number for number, pair in enumerate(self._instances.things)}
        width = len(self.whole.vocabulary.places)
        worst: dict[str, tuple[float, Claim]] = {}
        for kind, places in shared.items():
            known = {numbers[kind * width + place]: place for place in places if kind * width + place in numbers}
            every = sum(self._calls[number] for number in known)
            for number, p, title, detail, is_failing in chain(
                self._slower(list(known)), self._failing_more(list(known))
            ):
                name = self.whole.vocabulary.places[known[number]].instance
                if p * comparisons < SURE and (name not in worst or p < worst[name][0]):
                    here = self._calls[number]
                    detail += f"; {counted(here, 'call')} here, {every - here:,} there"
                    detail += f"; p = {p * comparisons:.1e}."
                    worst[name] = p, self._claim((kind, known[number]), title, detail, is_failing)
        for _, claim in worst.values():
            yield claim

    def _claim(self, where: tuple[int, int], title: str, detail: str, is_failing: bool) -> Claim:
        whole, (kind, place) = self.whole, where
        name = whole.vocabulary.places[place].instance

        def gather(portion: Portion, evidence: Evidence) -> None:
            is_here = _counted(portion) & (portion.kind == kind) & (portion.callee_place == place)
            places = np.flatnonzero(is_here & (portion.failed == is_failing))
            evidence.add(portion, places, -portion.duration[places])

        def tell(evidence: Evidence) -> Told:
            return Told(
                harm(whole, evidence.requests),
                f"Instance {name} of {whole.vocabulary.kinds[kind].service} {title} than its siblings.",
                f"{whole.told_kind(kind)}: {detail}",
                f"Take {name} out of service and see whether requests recover. {whole.show_step(evidence.first)}",
            )

        return Claim((ComponentKind.INSTANCE, name), tell, gather)

    def _slower(self, numbers: list[int]) -> Iterator[tuple[int, float, str, str, bool]]:
        """Which instances of a kind of call are slower than the others together.

        Of each its number, the probability that it is no slower, and the words for it.
        """
        enough = [number for number in numbers if self._calls[number] - self._failed[number] >= FEWEST]
        own = {number: self._own.of(number) for number in enough}
        every, owner = self._own.together(np.array(numbers, np.int64))
        for number in nlargest(MOST_COMPARED, enough, key=lambda each: own[each].median):
            here, there = own[number], Values(*(column[owner != number] for column in every))
            if there.total < FEWEST:
                continue
            middle, usual = here.median, there.median
            if middle >= TIMES_SLOWER * usual and middle - usual >= SLOWER_NS:
                words = f"{duration(middle)} in the middle against {duration(usual)}"
                yield number, rank_sum_p_of_values(here, there), "is slower", words, False

    def _failing_more(self, numbers: list[int]) -> Iterator[tuple[int, float, str, str, bool]]:
        """Which instances of a kind of call fail more often than the others together; told as `_slower` does."""
        calls, failures = (sum(counts[number] for number in numbers) for counts in (self._calls, self._failed))
        enough = [number for number in numbers if FEWEST <= self._calls[number] <= calls - FEWEST]
        for number in nlargest(MOST_COMPARED, enough, key=lambda each: self._failed[each] / self._calls[each]):
            here, failed = self._calls[number], self._failed[number]
            share, usual = failed / here, (failures - failed) / (calls - here)
            if share - usual >= FAILS_MORE:
                table = np.array([[failed, here - failed], [failures - failed, calls - here - failures + failed]])
                told = f"{percent(share)} fail against {percent(usual)}"
                yield number, table_p(table), "fails more often", told, True


def _counted(portion: Portion) -> NDArray[np.bool_]:
    """Which calls count."""
    return portion.in_request & ~portion.unknown
