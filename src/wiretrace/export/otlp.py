"""OTLP/JSON: lines of `resourceSpans`, as the file exporter of OpenTelemetry writes and its collectors read them.

Facts: opentelemetry-proto 1.9.0, docs/specification.md. Ids are hexadecimal, 64-bit integers are decimal strings, enums
are numbers.
"""

from itertools import islice
from typing import Any, BinaryIO

import msgspec

from wiretrace import __version__
from wiretrace.case.forest import FOLLOWS
from wiretrace.case.reader import Case
from wiretrace.export.contract import VALUES_KEPT, Exporter
from wiretrace.export.span import Span, Value, spans

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
KIND_SERVER = 2
STATUS_ERROR = 2
SPANS_OF_A_LINE = 2048
"""Spans of one line: receivers read a line at once."""


class OpenTelemetry(Exporter):
    """Spans for OpenTelemetry."""

    name = "otlp"
    sentence = "OpenTelemetry spans as OTLP/JSON lines, for collectors and trace back-ends."

    def write(self, case: Case, stream: BinaryIO) -> None:
        """Write the calls of the case as spans."""
        encoder = msgspec.json.Encoder()
        every = spans(case)
        of_case = [_attribute(VALUES_KEPT, True)] if case.manifest.keeps_values else []
        while some := list(islice(every, SPANS_OF_A_LINE)):
            by_service: dict[str, list[dict[str, Any]]] = {}
            for span in some:
                by_service.setdefault(span.service, []).append(_span(span))
            line = {
                "resourceSpans": [
                    {
                        "resource": {"attributes": [_attribute("service.name", service), *of_case]},
                        "scopeSpans": [
                            {
                                "scope": {"name": "wiretrace", "version": __version__},
                                "spans": of_service,
                                "schemaUrl": SCHEMA_URL,
                            }
                        ],
                        "schemaUrl": SCHEMA_URL,
                    }
                    for service, of_service in by_service.items()
                ]
            }
            stream.write(encoder.encode(line) + b"\n")


def _span(span: Span) -> dict[str, Any]:
    call = span.call
    made: dict[str, Any] = {"traceId": span.trace.zfill(32), "spanId": call.id}
    if span.parent is not None:
        made["parentSpanId"] = span.parent
    made |= {
        "name": call.operation,
        "kind": KIND_SERVER,
        "startTimeUnixNano": str(call.start_ns),
        "endTimeUnixNano": str(call.end_ns),
        "attributes": [_attribute(name, value) for name, value in span.attributes.items()],
    }
    links = [
        {
            "traceId": other.trace.zfill(32),
            "spanId": other.id,
            "attributes": [
                _attribute("wiretrace.alternative_parent", True),
                _attribute("wiretrace.link.confidence", other.confidence),
            ],
        }
        for other in span.others
    ]
    links += [
        {
            "traceId": other.trace.zfill(32),
            "spanId": other.id,
            "attributes": [
                _attribute("wiretrace.link.relation", FOLLOWS),
                _attribute("wiretrace.link.confidence", other.confidence),
            ],
        }
        for other in span.followed
    ]
    if links:
        made["links"] = links
    if span.is_error:
        made["status"] = {"code": STATUS_ERROR}
    return made


def _attribute(name: str, value: Value) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"key": name, "value": {"boolValue": value}}
    if isinstance(value, int):
        return {"key": name, "value": {"intValue": str(value)}}
    if isinstance(value, float):
        return {"key": name, "value": {"doubleValue": value}}
    return {"key": name, "value": {"stringValue": value}}
