"""Jaeger JSON: what the Jaeger UI opens from a file, without a server.

Times are microseconds. A span of 0 µs can not be seen there, so that the shortest is 1 µs. Set Jaeger's
`max_clock_skew_adjust` to 0s: times are corrected already, and Jaeger would move them again.
"""

from itertools import groupby
from typing import Any, BinaryIO

import msgspec

from wiretrace.case.forest import FOLLOWS
from wiretrace.case.reader import Case
from wiretrace.export.contract import VALUES_KEPT, Exporter
from wiretrace.export.span import Span, Value, spans


class Jaeger(Exporter):
    """Traces for the Jaeger UI."""

    name = "jaeger"
    sentence = "Traces as Jaeger JSON, which the Jaeger UI opens from a file."

    def write(self, case: Case, stream: BinaryIO) -> None:
        """Write the calls of the case as traces."""
        encoder = msgspec.json.Encoder()
        stream.write(b'{"data":[')
        before = b""
        of_case = [_tag(VALUES_KEPT, True)] if case.manifest.keeps_values else []
        for trace, of_trace in groupby(spans(case), key=lambda span: span.trace):
            stream.write(before + encoder.encode(_trace(trace, list(of_trace), of_case)))
            before = b",\n"
        stream.write(b"]}\n")


def _trace(trace: str, of_trace: list[Span], of_case: list[dict[str, Any]]) -> dict[str, Any]:
    processes: dict[str, str] = {}
    for span in of_trace:
        processes.setdefault(span.service, f"p{len(processes) + 1}")
    return {
        "traceID": trace,
        "spans": [_span(span, processes[span.service]) for span in of_trace],
        "processes": {key: {"serviceName": service, "tags": of_case} for service, key in processes.items()},
    }


def _span(span: Span, process: str) -> dict[str, Any]:
    call = span.call
    tags = [_tag(name, value) for name, value in span.attributes.items()]
    tags.append(_tag("span.kind", "server"))
    if span.is_error:
        tags.append(_tag("error", True))
    references = [{"refType": "FOLLOWS_FROM", "traceID": other.trace, "spanID": other.id} for other in span.followed]
    if span.parent is not None and call.relation != FOLLOWS:
        references.append({"refType": "CHILD_OF", "traceID": span.trace, "spanID": span.parent})
    warnings = [f"may have been caused by {other.id} instead ({other.confidence:.0%})" for other in span.others]
    return {
        "traceID": span.trace,
        "spanID": call.id,
        "operationName": call.operation,
        "references": references,
        "startTime": call.start_ns // 1000,
        "duration": max(-(-(call.end_ns - call.start_ns) // 1000), 1),
        "tags": tags,
        "logs": [],
        "processID": process,
        "warnings": warnings or None,
    }


def _tag(name: str, value: Value) -> dict[str, Any]:
    kinds = {bool: "bool", int: "int64", float: "float64"}
    return {"key": name, "type": kinds.get(type(value), "string"), "value": value}
