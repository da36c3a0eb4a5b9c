"""Leads all calls of a case past those who want to see them, a portion at a time, in memory that does not grow with them.

First come whole trees, twice; then the calls in the order of their start; then whole trees again. How the calls are cut into
portions is no matter of what is found: a tree is never cut, and calls that begin at once keep the order of the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.bins import Bins
from wiretrace.diagnosis.kinship import related
from wiretrace.diagnosis.portion import CALL, ORIGIN, Portion
from wiretrace.diagnosis.routes import RouteBook
from wiretrace.diagnosis.survey import SURVEYED, Survey
from wiretrace.diagnosis.symptoms import settled_calls
from wiretrace.diagnosis.usual import ValuesOverTime, usual_values
from wiretrace.memory import give_back_memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from wiretrace.case.reader import Case

PORTION_CALLS = 1 << 14
"""Calls of a portion, more or less: trees stay whole."""


class Examination:
    """The passes over the calls of a case; each is made once, in the order of the methods."""

    def __init__(self, case: Case, folder: Path, portion_calls: int = PORTION_CALLS, details: bool = True) -> None:
        """Look at the calls for the first time; files go to `folder`. Raises UserError if the case is damaged.

        `details`: whether more is asked than who caused whom, what failed, and what took how long.
        """
        count = int(case.group_starts("calls")[-1])
        number = max(round(count / portion_calls), 1)
        self._folder = folder
        self._surveyed = Bins(folder, "surveyed", SURVEYED, number)
        self._trees = Bins(folder, "trees", CALL, number)
        self._in_order = Bins(folder, "in_order", CALL, number)
        self.survey = Survey(case, number, details)
        for records, bins in self.survey.records():
            self._surveyed.add(records, bins)
            del records, bins
            give_back_memory()
        self.whole = self.survey.whole
        """What is known of all calls so far."""
        self._details = details
        starts = self.survey.starts
        self._bounds = starts[(np.arange(1, number) * len(starts)) // number]

    def trees(self) -> Iterator[Portion]:
        """Whole trees; what comes after them is known when all have gone by."""
        whole = self.whole
        book = RouteBook(whole.vocabulary, *self.survey.ends)
        connections = whole.connections()
        own, network = ValuesOverTime(), ValuesOverTime()
        for number in range(self._surveyed.count):
            portion = related(whole, book, self._surveyed.take(number), connections)
            whole.requests += int(portion.entering.sum())
            if self._details:
                settled, measured = settled_calls(portion)
                slices = whole.slice_of(portion.start)
                own.add(portion.kind[settled], portion.own[settled], slices[settled])
                network.add(portion.kind[measured], portion.network[measured], slices[measured])
            yield portion
            self._trees.put(number, portion.records)
            del portion
            give_back_memory()
        whole.routes = book.routes()
        whole.usual_own, whole.usual_network = (usual_values(each, whole.kinds) for each in (own, network))

    def trees_with_symptoms(self) -> Iterator[Portion]:
        """The same trees, now that it is known what is usual; only where details were asked for, as what follows."""
        for portion in self.trees_again():
            yield portion
            origin = portion.symptoms.in_callee | portion.symptoms.delayed
            portion.records["marks"] |= ORIGIN * origin.astype(np.uint16)
            self._in_order.add(portion.records, bins_of_starts(self._bounds, portion))

    def in_order(self) -> Iterator[Portion]:
        """All calls in the order of their start."""
        for number in range(self._in_order.count):
            records = self._in_order.take(number)
            yield Portion(self.whole, records[np.lexsort((records["row"], records["start"]))])
            del records
            give_back_memory()

    def trees_again(self) -> Iterator[Portion]:
        """The same trees once more."""
        for records in self._trees:
            yield Portion(self.whole, records)
            give_back_memory()


def bins_of_starts(bounds: NDArray[np.void], portion: Portion) -> NDArray[np.int64]:
    """How many of `bounds` (moments, rising) each call of a portion is at or after. Shape (n,)."""
    start = np.concatenate([bounds["start"], portion.start])
    row = np.concatenate([bounds["row"], portion.row])
    order = np.lexsort((row, start))
    passed = np.cumsum(order < len(bounds))
    found = np.empty(len(order), np.int64)
    found[order] = passed
    return found[len(bounds) :]
