"""What the rules look at: all calls of a case as columns, who caused whom, and which calls are requests.

Everything is read or counted when it is first asked for, and once. Of a call only numbers are in memory.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from wiretrace.case.forest import topmost_calls
from wiretrace.case.rows import RowReader
from wiretrace.diagnosis.ancestry import Ancestry, ancestry_of_calls
from wiretrace.diagnosis.attempts import Attempts, attempts_of
from wiretrace.diagnosis.columns import CallColumns
from wiretrace.diagnosis.parts import Parts, parts_of_calls
from wiretrace.diagnosis.pools import Pool, pools_of
from wiretrace.diagnosis.requests import entering_calls
from wiretrace.diagnosis.routes import Routes, routes_of_calls
from wiretrace.diagnosis.suspects import Suspicion, suspicion_of
from wiretrace.diagnosis.usual import SLICES, Usual, usual_values
from wiretrace.diagnosis.waits import waits_until_given_up
from wiretrace.model.outcome import Outcome

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from wiretrace.case.reader import Case

PROBE = re.compile(
    r"""(?:GET|HEAD|OPTIONS)\ /(?:[\w.-]+/)*
        (?:_?health(?:z|[-_]?check)?|livez?|liveness|readyz?|readiness|alive|ping|status|heartbeat|up|startupz?)/?$
      | .*grpc\.health\.v1\.Health/(?:Check|Watch)$""",
    re.VERBOSE | re.IGNORECASE,
)
"""Operations by which load balancers and orchestrators ask whether a service is well."""


NO_ANSWER = (
    Outcome.REQUEST_LOST,
    Outcome.RESPONSE_LOST,
    Outcome.SERVER_SILENT,
    Outcome.SERVER_RESET,
    Outcome.SERVER_CLOSED,
    Outcome.CLIENT_ABORTED,
    Outcome.CLIENT_TIMEOUT,
    Outcome.REFUSED,
    Outcome.UNREACHABLE,
)
"""Outcomes of calls whose caller got no whole answer."""
SET_UP_PARTS = ("lookup_ns", "connect_ns", "tls_ns")
"""Columns of what comes before a call."""


class Observed:
    """A case, as the rules see it. Arrays have one entry a call unless they say otherwise."""

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
    def duration(self) -> NDArray[np.int64]:
        """What the caller waited, in nanoseconds."""
        found: NDArray[np.int64] = np.maximum(self.calls.end - self.calls.start, 0)
        return found

    @cached_property
    def probe_kinds(self) -> NDArray[np.bool_]:
        """Which kinds of call are health checks. Shape (kinds,)."""
        found = [PROBE.match(kind.operation) is not None for kind in self.calls.kinds]
        return np.array(found, np.bool_)

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
    def in_request(self) -> NDArray[np.bool_]:
        """Which calls are requests, or were made for one."""
        found: NDArray[np.bool_] = self.entering[self.request]
        return found

    @cached_property
    def refused(self) -> NDArray[np.bool_]:
        """Which calls the server called wrong (HTTP 4xx but 408 and 429): no failure of the system."""
        wrong = [each.is_client_error and each.status not in ("408", "429") for each in self.calls.endings]
        found: NDArray[np.bool_] = np.array(wrong, np.bool_)[self.calls.ending]
        return found

    @cached_property
    def failed(self) -> NDArray[np.bool_]:
        """Which calls failed; what the server called wrong did not, and what sets up a connection does not count."""
        return self.calls.failed & ~self.refused & ~self.calls.sets_up[self.calls.kind]

    @cached_property
    def unanswered(self) -> NDArray[np.bool_]:
        """Which calls their caller gave up, or got no whole answer to."""
        found: NDArray[np.bool_] = np.array([each.outcome in NO_ANSWER for each in self.calls.endings], np.bool_)
        return found[self.calls.ending]

    @cached_property
    def given_up(self) -> NDArray[np.bool_]:
        """Which calls their caller gave up before it had an answer, also where the server would never have answered."""
        words = [each.outcome in (Outcome.CLIENT_ABORTED, Outcome.CLIENT_TIMEOUT) for each in self.calls.endings]
        silent = np.array([each.outcome == Outcome.SERVER_SILENT for each in self.calls.endings], np.bool_)
        found: NDArray[np.bool_] = np.array(words, np.bool_)[self.calls.ending]
        return found | (silent[self.calls.ending] & (self.of_exchange("given_up_ns") >= 0))

    def waits_until_given_up(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """How long the callers of some calls waited before they gave up, in nanoseconds. Shape (m,).

        The end of the connection, the next call for the same parent, or the parent's end, whichever came first.
        """
        return waits_until_given_up(self, rows)

    @cached_property
    def attempts(self) -> Attempts:
        """Repetitions of calls after failures."""
        return attempts_of(self)

    @cached_property
    def failed_first(self) -> NDArray[np.bool_]:
        """Which calls failed without that a call that they caused had failed: where a failure began."""
        above = self.parent[self.failed & (self.parent >= 0)]
        caused = np.zeros(len(self), np.bool_)
        caused[above] = True
        return self.failed & ~caused

    @cached_property
    def parts(self) -> Parts:
        """Where the time of the calls went."""
        server_start, server_end = self.numbers("server_start_ns"), self.numbers("server_end_ns")
        set_up = sum((self.numbers(name) for name in SET_UP_PARTS), np.zeros(len(self), np.int64))
        return parts_of_calls(self.calls.start, self.calls.end, server_start, server_end, set_up, self.parent)

    @cached_property
    def usual(self) -> Usual:
        """What the calls of each kind usually take, from those that did not fail. Arrays of shape (kinds,)."""
        known = ~self.calls.failed & ~self.calls.unknown
        return usual_values(self.calls.kind[known], self.duration[known], self.slices[known], len(self.calls.kinds))

    @cached_property
    def slices(self) -> NDArray[np.int8]:
        """In which of `SLICES` stretches of equal length each call began."""
        start = self.calls.start
        if not len(start):
            return np.zeros(0, np.int8)
        begin = int(start.min())
        length = (int(start.max()) - begin) // SLICES + 1
        return ((start - begin) // length).astype(np.int8)

    @cached_property
    def slow(self) -> NDArray[np.bool_]:
        """Which calls took far longer than is usual for their kind."""
        return self.duration > self.usual.limit[self.calls.kind]

    @cached_property
    def bad_request(self) -> NDArray[np.bool_]:
        """Which requests are bad: they failed, or were slow against their own usual. False for other calls."""
        return self.entering & (self.failed | (self.slow & ~self.calls.unknown))

    @cached_property
    def routes(self) -> Routes:
        """The calls by who asks whom for what."""
        return routes_of_calls(self.calls)

    @cached_property
    def pools(self) -> list[Pool]:
        """Connections that are kept and used again."""
        return list(pools_of(self))

    @cached_property
    def suspicion(self) -> Suspicion:
        """What may have caused the bad requests."""
        return suspicion_of(self)

    @cached_property
    def by_start(self) -> NDArray[np.int64]:
        """Rows of all calls in the order of their start."""
        start = self.calls.start
        if (start[1:] >= start[:-1]).all():
            return np.arange(len(start))
        return np.argsort(start, kind="stable")

    def in_order(self, is_wanted: NDArray[np.bool_], codes: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Rows of the wanted calls, by their `codes` (0 and above) and then by their start; `codes` has shape (n,)."""
        rows = self.by_start[is_wanted[self.by_start]]
        wanted = codes[rows]
        # Numbers of two bytes are sorted by digits, in one go (NumPy's stable sort).
        small = wanted.astype(np.uint16) if wanted.max(initial=0) <= np.iinfo(np.uint16).max else wanted
        return rows[np.argsort(small, kind="stable")]

    @cached_property
    def exchange(self) -> NDArray[np.int64]:
        """Row in `exchanges` of the caller's view of each call, or of the callee's; -1 where there is neither."""
        rows = self.case.columns("calls", ["client_exchange", "server_exchange"])
        client, server = (rows.column(name).to_numpy() for name in rows.column_names)
        found: NDArray[np.int64] = np.where(client >= 0, client, server)
        return found

    @cached_property
    def confidence(self) -> NDArray[np.float64]:
        """Probability that the parent is right; 1 for a root."""
        column = self.case.columns("calls", ["confidence"]).column("confidence")
        return column.fill_null(1.0).to_numpy()  # type: ignore[no-any-return]

    @cached_property
    def connection(self) -> NDArray[np.int64]:
        """Row in `connections` of the connection that carried each call, as `exchange` shows it; -1 if not known."""
        numbers = self.connections("connection")
        named = self.of_exchange("connection")
        order = np.argsort(numbers, kind="stable")
        if not len(order):
            return np.full(len(self), -1, np.int64)
        place = np.minimum(np.searchsorted(numbers[order], named), len(order) - 1)
        found: NDArray[np.int64] = np.where(numbers[order][place] == named, order[place], -1)
        return found

    def connections(self, column: str) -> NDArray[np.int64]:
        """A column of whole numbers of `connections`. Shape (connections,)."""
        return self.case.columns("connections", [column]).column(column).to_numpy()  # type: ignore[no-any-return]

    def call_id(self, row: int) -> str:
        """The id of a call."""
        return str(self._ids.take(np.array([row])).column("id")[0].as_py())

    @cached_property
    def _ids(self) -> RowReader:
        return RowReader(self.case, "calls", ["id"])

    def numbers(self, column: str) -> NDArray[np.int64]:
        """A column of whole numbers of `calls`; 0 where it says nothing."""
        return self.case.columns("calls", [column]).column(column).fill_null(0).to_numpy()  # type: ignore[no-any-return]

    def of_exchange(self, column: str, missing: int = -1) -> NDArray[np.int64]:
        """A column of whole numbers of `exchanges`, by call."""
        values = self._exchanges(column).to_numpy()
        if not len(values):
            return np.full(len(self), missing, values.dtype)
        within = (self.exchange >= 0) & (self.exchange < len(values))
        return np.where(within, values[np.where(within, self.exchange, 0)], missing)

    def _exchanges(self, column: str) -> pa.ChunkedArray:
        return self.case.columns("exchanges", [column]).column(column)
