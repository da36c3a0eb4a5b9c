"""All calls of a case in memory at once, as columns: for comparisons of cases and figures that somebody asks for.

Everything is read or counted when it is first asked for, and once. Of a call only numbers are in memory. The diagnosis looks
at portions of calls instead, so that its memory does not grow with them.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.case.forest import following, topmost_calls
from wiretrace.diagnosis.ancestry import Ancestry, ancestry_of_calls
from wiretrace.diagnosis.columns import CallColumns
from wiretrace.diagnosis.requests import entering_calls
from wiretrace.diagnosis.routes import RouteBook, Routes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.case.reader import Case


class Observed:
    """A case. Arrays have one entry a call unless they say otherwise."""

    def __init__(self, case: Case) -> None:
        self.case = case
        """The case itself."""

    def __len__(self) -> int:
        return int(self.case.group_starts("calls")[-1])

    @cached_property
    def calls(self) -> CallColumns:
        """The calls."""
        return CallColumns(self.case)

    @cached_property
    def ancestry(self) -> Ancestry:
        """Who caused whom."""
        return ancestry_of_calls(self.case)

    @property
    def parent(self) -> NDArray[np.int32]:
        """Row of the parent; -1 where there is none, or where it is only a question."""
        return self.ancestry.parent

    @cached_property
    def took_off(self) -> NDArray[np.bool_]:
        """Which calls took off a queue what their parents had put there: nobody waited for them."""
        return following(self.case.columns("calls", ["relation"]).column("relation"))

    @cached_property
    def duration(self) -> NDArray[np.int64]:
        """What the caller waited, in nanoseconds."""
        found: NDArray[np.int64] = np.maximum(self.calls.end - self.calls.start, 0)
        return found

    @cached_property
    def probe_kinds(self) -> NDArray[np.bool_]:
        """Which kinds of call are health checks. Shape (kinds,)."""
        return self.calls.vocabulary.probes

    @cached_property
    def request(self) -> NDArray[np.int32]:
        """Row of the topmost call above each call."""
        found: NDArray[np.int32] = topmost_calls(self.parent)
        return found

    @cached_property
    def entering(self) -> NDArray[np.bool_]:
        """Which calls are requests that enter the system, health checks left out."""
        return entering_calls(self.calls) & ~self.probe_kinds[self.calls.kind]

    @cached_property
    def failed(self) -> NDArray[np.bool_]:
        """Which calls failed; what the server called wrong did not, and what sets up a connection does not count."""
        refused = self.calls.vocabulary.ended(lambda ending: ending.is_refused)[self.calls.ending]
        return self.calls.failed & ~refused & ~self.calls.sets_up[self.calls.kind]

    @cached_property
    def failed_first(self) -> NDArray[np.bool_]:
        """Which calls failed without that a call that they caused had failed: where a failure began."""
        above = self.parent[self.failed & (self.parent >= 0)]
        caused = np.zeros(len(self), np.bool_)
        caused[above] = True
        return self.failed & ~caused

    @cached_property
    def _book(self) -> tuple[RouteBook, NDArray[np.int64]]:
        calls = self.calls
        ends = (np.unique(place).tolist() for place in (calls.caller_place, calls.callee_place))
        book = RouteBook(calls.vocabulary, *ends)
        rows = np.arange(len(calls))
        return book, book.add(calls.caller_place, calls.callee_place, calls.kind, calls.ending, rows)

    @cached_property
    def routes(self) -> Routes:
        """The routes of the calls: who asks whom for what."""
        return self._book[0].routes()

    @cached_property
    def route(self) -> NDArray[np.int64]:
        """The route of each call, by its number in `routes`."""
        found: NDArray[np.int64] = self.routes.numbers[self._book[1]]
        return found

    def numbers(self, column: str) -> NDArray[np.int64]:
        """A column of whole numbers of `calls`; 0 where it says nothing."""
        return self.case.columns("calls", [column]).column(column).fill_null(0).to_numpy()  # type: ignore[no-any-return]
