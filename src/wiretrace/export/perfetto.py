"""Chrome trace events, which Perfetto (ui.perfetto.dev) and chrome://tracing open.

A service is a process there, and slices of one track must nest: calls that overlap are put on lanes of their own.
Arrows lead from a call to what it caused. Times are microseconds since the first call, because microseconds since the
epoch do not fit a double to the nanosecond.
"""

from heapq import heappop, heappush
from typing import Any, BinaryIO

import msgspec
import pyarrow.compute as pc

from wiretrace.case.reader import Case
from wiretrace.export.contract import Exporter
from wiretrace.export.span import Span, spans


class Perfetto(Exporter):
    """A timeline for Perfetto."""

    name = "perfetto"
    sentence = "A timeline of services as Chrome trace events, for Perfetto and chrome://tracing."

    def write(self, case: Case, stream: BinaryIO) -> None:
        """Write the calls of the case as slices, and their links as arrows."""
        encoder = msgspec.json.Encoder()
        base = pc.min(case.table("calls").column("start_ns")).as_py() or 0
        every = sorted(spans(case), key=lambda span: (span.call.start_ns, -span.call.end_ns, span.call.id))
        tracks = _tracks(every)
        by_id = {span.call.id: span for span in every}
        stream.write(b'{"displayTimeUnit":"ms","traceEvents":[')
        before = b""
        for event in _events(every, tracks, by_id, base):
            stream.write(before + encoder.encode(event))
            before = b",\n"
        stream.write(b"]}\n")


def _tracks(every: list[Span]) -> dict[str, tuple[int, int]]:
    """Process and lane of each call, by id: the lowest lane of its service that is free when the call begins."""
    processes: dict[str, int] = {}
    free: dict[int, list[int]] = {}
    busy: dict[int, list[tuple[int, int]]] = {}
    tracks = {}
    for span in every:
        process = processes.setdefault(span.service, len(processes) + 1)
        free_here, busy_here = free.setdefault(process, []), busy.setdefault(process, [])
        while busy_here and busy_here[0][0] <= span.call.start_ns:
            heappush(free_here, heappop(busy_here)[1])
        lane = heappop(free_here) if free_here else len(busy_here) + 1
        heappush(busy_here, (max(span.call.end_ns, span.call.start_ns + 1), lane))
        tracks[span.call.id] = (process, lane)
    return tracks


def _events(
    every: list[Span], tracks: dict[str, tuple[int, int]], by_id: dict[str, Span], base: int
) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    names = {tracks[span.call.id][0]: span.service for span in every}
    for process, name in sorted(names.items()):
        events.append({"ph": "M", "name": "process_name", "pid": process, "tid": 0, "args": {"name": name}})
    for span in every:
        call = span.call
        process, lane = tracks[call.id]
        place = {"pid": process, "tid": lane}
        start = (call.start_ns - base) / 1000
        length = max(call.end_ns - call.start_ns, 1) / 1000
        arguments = {"id": call.id, "status": call.status, **span.attributes}
        events.append(
            {
                "ph": "X",
                "name": call.operation,
                "cat": call.protocol,
                "ts": start,
                "dur": length,
                "args": arguments,
                **place,
            }
        )
        parent = by_id.get(span.parent) if span.parent else None
        if parent is not None:
            # An arrow has to begin inside the slice that it leaves.
            left = min(max(call.start_ns, parent.call.start_ns), max(parent.call.end_ns - 1, parent.call.start_ns))
            arrow = {"name": "caused", "cat": call.basis or "", "id": call.id}
            parent_process, parent_lane = tracks[parent.call.id]
            events.append({"ph": "s", "ts": (left - base) / 1000, "pid": parent_process, "tid": parent_lane, **arrow})
            events.append({"ph": "f", "bp": "e", "ts": start, **place, **arrow})
    return events
