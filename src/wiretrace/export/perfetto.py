"""Chrome trace events, which Perfetto (ui.perfetto.dev) and chrome://tracing open.

A service is a process there, and slices of one track must nest: calls that overlap are put on lanes of their own.
Arrows lead from a call to what it caused. Times are microseconds since the first call, because microseconds since the
epoch do not fit a double to the nanosecond.
"""

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Any, BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from wiretrace.case.forest import FOLLOWS, Forest, calls_in_order
from wiretrace.case.reader import Case
from wiretrace.diagnosis.columns import UNKNOWN_PARTY, CallColumns
from wiretrace.export.contract import VALUES_KEPT, Exporter
from wiretrace.export.span import UNKNOWN_SERVICE, Span, spans

PLACED_AT_ONCE = 1 << 16
"""Calls that are placed as Python numbers at once."""


class Perfetto(Exporter):
    """A timeline for Perfetto."""

    name = "perfetto"
    sentence = "A timeline of services as Chrome trace events, for Perfetto and chrome://tracing."

    def write(self, case: Case, stream: BinaryIO) -> None:
        """Write the calls of the case as slices, and their links as arrows."""
        encoder = msgspec.json.Encoder()
        layout = _Layout(case)
        stream.write(b'{"displayTimeUnit":"ms",')
        if case.manifest.keeps_values:
            stream.write(b'"otherData":' + encoder.encode({VALUES_KEPT: "true"}) + b",")
        stream.write(b'"traceEvents":[')
        before = b""
        for event in layout.names():
            stream.write(before + encoder.encode(event))
            before = b",\n"
        for row, span in zip(layout.order.tolist(), spans(case, layout.order), strict=True):
            for event in layout.events(row, span):
                stream.write(before + encoder.encode(event))
                before = b",\n"
        stream.write(b"]}\n")


class _Layout:
    """Where each call is drawn, by row of `calls`."""

    def __init__(self, case: Case) -> None:
        columns = CallColumns(case)
        self._start, self._end = columns.start, columns.end
        self._parent = Forest.without_questions(case).parent
        by_start = calls_in_order(case)
        self.order = by_start[np.lexsort((-self._end[by_start], self._start[by_start]))]
        """Rows in the order of their start; of calls that begin together, the longest first."""
        self._base = int(self._start[self.order[0]]) if len(self.order) else 0
        self._services: dict[int, int] = {}
        self._parties = columns.parties
        self._process = np.zeros(len(self.order), np.int32)
        self._lane = np.zeros(len(self.order), np.int32)
        self._place(columns.callee_of_kind[columns.kind])

    def names(self) -> Iterator[dict[str, Any]]:
        """The events that name the services."""
        for party, process in self._services.items():
            name = self._parties[party]
            name = UNKNOWN_SERVICE if name == UNKNOWN_PARTY else name
            yield {"ph": "M", "name": "process_name", "pid": process, "tid": 0, "args": {"name": name}}

    def events(self, row: int, span: Span) -> Iterator[dict[str, Any]]:
        """The slice of a call, and the arrow from its parent."""
        call = span.call
        place = {"pid": int(self._process[row]), "tid": int(self._lane[row])}
        start = (call.start_ns - self._base) / 1000
        yield {
            "ph": "X",
            "name": call.operation,
            "cat": call.protocol,
            "ts": start,
            "dur": max(call.end_ns - call.start_ns, 1) / 1000,
            "args": {"id": call.id, "status": call.status, **span.attributes},
            **place,
        }
        parent = int(self._parent[row])
        if parent >= 0:
            # An arrow has to begin inside the slice that it leaves.
            first, last = int(self._start[parent]), int(self._end[parent]) - 1
            left = min(max(call.start_ns, first), max(last, first))
            arrow = {
                "name": "followed" if call.relation == FOLLOWS else "caused",
                "cat": call.basis or "",
                "id": call.id,
            }
            from_place = {"pid": int(self._process[parent]), "tid": int(self._lane[parent])}
            yield {"ph": "s", "ts": (left - self._base) / 1000, **from_place, **arrow}
            yield {"ph": "f", "bp": "e", "ts": start, **place, **arrow}

    def _place(self, callee: NDArray[np.int64]) -> None:
        """Give each call the lowest lane of its service that is free when the call begins."""
        free: dict[int, list[int]] = {}
        busy: dict[int, list[tuple[int, int]]] = {}
        for begin in range(0, len(self.order), PLACED_AT_ONCE):
            rows = self.order[begin : begin + PLACED_AT_ONCE]
            times = (callee[rows].tolist(), self._start[rows].tolist(), self._end[rows].tolist())
            for row, party, start, end in zip(rows.tolist(), *times, strict=True):
                process = self._services.setdefault(party, len(self._services) + 1)
                free_here, busy_here = free.setdefault(process, []), busy.setdefault(process, [])
                while busy_here and busy_here[0][0] <= start:
                    heappush(free_here, heappop(busy_here)[1])
                lane = heappop(free_here) if free_here else len(busy_here) + 1
                heappush(busy_here, (max(end, start + 1), lane))
                self._process[row], self._lane[row] = process, lane
