"""Zipkin v2: an array of spans, as `POST /api/v2/spans` takes it.

Times are microseconds, at least 1. Names are lower-case, tags are strings, and a port of 0 is left out.
"""

from contextlib import suppress
from ipaddress import ip_address
from typing import Any, BinaryIO

import msgspec

from wiretrace.case.calls import Party
from wiretrace.case.reader import Case
from wiretrace.export.contract import VALUES_KEPT, Exporter
from wiretrace.export.span import Span, spans


class Zipkin(Exporter):
    """Spans for Zipkin."""

    name = "zipkin"
    sentence = "Spans as Zipkin v2 JSON, for Zipkin and what reads its format."

    def write(self, case: Case, stream: BinaryIO) -> None:
        """Write the calls of the case as spans."""
        encoder = msgspec.json.Encoder()
        stream.write(b"[")
        before = b""
        of_case = {VALUES_KEPT: "true"} if case.manifest.keeps_values else {}
        for span in spans(case):
            stream.write(before + encoder.encode(_span(span, of_case)))
            before = b",\n"
        stream.write(b"]\n")


def _span(span: Span, of_case: dict[str, str]) -> dict[str, Any]:
    call = span.call
    tags = {name: str(value) for name, value in span.attributes.items()} | of_case
    if span.is_error:
        tags["error"] = tags["error.type"]
    made: dict[str, Any] = {"traceId": span.trace, "id": call.id}
    if span.parent is not None:
        made["parentId"] = span.parent
    return made | {
        "name": call.operation.lower(),
        "kind": "SERVER",
        "timestamp": call.start_ns // 1000,
        "duration": max(-(-(call.end_ns - call.start_ns) // 1000), 1),
        "localEndpoint": _endpoint(span.service, call.server),
        "remoteEndpoint": _endpoint(span.caller, call.client),
        "annotations": [
            {
                "timestamp": call.start_ns // 1000,
                "value": f"may have been caused by {other.id} instead ({other.confidence:.0%})",
            }
            for other in span.others
        ],
        "tags": tags,
    }


def _endpoint(name: str, party: Party) -> dict[str, Any]:
    endpoint: dict[str, Any] = {"serviceName": name.lower()}
    with suppress(ValueError):  # what is no address is left out: the name says all that is known
        endpoint[f"ipv{ip_address(party.address).version}"] = party.address
    if party.port > 0:
        endpoint["port"] = party.port
    return endpoint
