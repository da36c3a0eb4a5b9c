"""What all versions of HTTP share (RFC 9110): targets, operations, status classes, and breadcrumbs in header fields.

Rules: functions of bytes, cached where their arguments repeat; nothing here knows framing. Text is redacted by the names of
query keys unless the user keeps values. Attribute names are those of the OpenTelemetry semantic conventions 1.44; a path is
never called a route there, because only an application knows its routes.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from wiretrace.model.identifier import IdentifierKind
from wiretrace.model.message import Result
from wiretrace.protocols.sensitive import REDACTED, redact_query

if TYPE_CHECKING:
    from collections.abc import Callable

    from wiretrace.protocols.contract import Context

KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
"""Methods that OpenTelemetry reports by name (RFC 9110 section 9 and RFC 5789)."""
LONGEST_PATH = 2000
"""Characters of a path or query that are kept; the rest is cut off and shown as '…'."""
LONGEST_SEGMENT = 64
"""Characters of a segment that may name a kind of request; a longer one is an identifier."""
DEEPEST_TEMPLATE = 12
"""Segments of a path that an operation keeps."""
DISTINCT_OPERATIONS = 2000
"""Operations that are told apart; beyond it a new path is shown as 'GET /…'."""
TOO_MANY_OPERATIONS = "more distinct operations than are told apart"
"""Note of a message whose operation stands for others, too."""
CACHED_TARGETS = 8192
"""Targets whose reading is remembered."""

VARIABLE_MARK = "{id}"
VARIABLE = re.compile(
    r"""(?<![A-Za-z0-9])(?:
      [0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}  # a UUID
    | [0-9]+
    | (?=[a-fA-F]*[0-9]) [0-9a-fA-F]{8,}                                           # a hexadecimal number
    | (?=(?:[A-Za-z]*[0-9]){4}) [A-Za-z0-9]{5,}                                    # user88123
    | (?=[A-Z0-9]*[a-z]) (?=[a-z0-9]*[A-Z]) (?=(?:[A-Za-z]*[0-9]){2}) [A-Za-z0-9]{8,}  # base 62
    | (?=[A-Za-z]*[0-9]) [A-Za-z0-9]{20,}
    )(?![A-Za-z0-9])""",
    re.VERBOSE,
)
"""The parts of a path that vary from request to request of one kind."""
VARIABLE_RUN = re.compile(r"\{id\}(?:[-_.:,~+]*\{id\})+")
AFTER_AUTHORITY = re.compile(rb"[/?]")
MATRIX_PARAMETERS = re.compile(r";[^/]*")


class Target(msgspec.Struct, frozen=True, gc=False):
    """What a request asks for."""

    method: str
    operation: str
    """'GET /orders/{id}'."""
    summary: str
    """'GET /orders/42?token=[redacted]'."""
    path: str
    query: str
    """Redacted; empty if there is none."""
    authority: str
    """Host, and port if given, of an absolute or CONNECT target, without user information; else empty."""
    values: bytes
    """Path and query as they stood, for linking."""


def path_template(path: str) -> str:
    """`path` with everything that looks like an identifier replaced: '/orders/42/items' gives '/orders/{id}/items'."""
    segments = [
        segment
        if segment.isalpha() or not segment
        else VARIABLE_MARK
        if segment.isdigit()
        else segment_template(segment)
        for segment in path.split("/")
    ]
    if len(segments) > DEEPEST_TEMPLATE + 1:
        segments[DEEPEST_TEMPLATE + 1 :] = ["…"]
    return "/".join(segments)


@lru_cache(maxsize=CACHED_TARGETS)
def segment_template(segment: str) -> str:
    """One segment of a path, with everything that looks like an identifier replaced.

    A segment with percent-encoding is a title or a text, one with @ an address: neither names a kind of request.
    """
    segment = segment.partition(";")[0]
    if "%" in segment or "@" in segment or len(segment) > LONGEST_SEGMENT:
        return VARIABLE_MARK
    template = VARIABLE.sub(VARIABLE_MARK, segment)
    return VARIABLE_RUN.sub(VARIABLE_MARK, template) if "}" in template else template


def clipped(text: str) -> str:
    """`text`, cut off behind the longest path that is kept."""
    return text if len(text) <= LONGEST_PATH else text[:LONGEST_PATH] + "…"


@lru_cache(maxsize=CACHED_TARGETS)
def read_target(method: bytes, target: bytes, keep_values: bool) -> Target:
    """Read a request target in any of its four forms (RFC 9112 section 3.2; the pseudo-headers of HTTP/2 give the first)."""
    verb = method.decode("latin-1")
    authority = ""
    values = target
    if not target.startswith((b"/", b"*")):
        if verb == "CONNECT":
            authority = without_user(target)
            return Target(verb, verb, f"{verb} {authority}", "", "", authority, authority.encode())
        _, scheme, rest = target.partition(b"://")
        if scheme:
            path_at = AFTER_AUTHORITY.search(rest)
            host, path = (rest[: path_at.start()], rest[path_at.start() :]) if path_at else (rest, b"")
            authority = without_user(host)
            values = path if path.startswith(b"/") else b"/" + path
    path_text, _, query_text = values.decode("utf-8", "replace").partition("?")
    if len(values) > LONGEST_PATH:
        path_text, query_text = clipped(path_text), clipped(query_text)
    operation = f"{verb} {path_template(path_text)}"
    if not keep_values:
        if query_text:
            query_text = redact_query(query_text)
        if ";" in path_text:
            path_text = MATRIX_PARAMETERS.sub(lambda part: redact_query(part[0]), path_text)
    shown = f"{authority}{path_text}?{query_text}" if query_text else authority + path_text
    return Target(verb, operation, f"{verb} {shown}", path_text, query_text, authority, values)


def without_user(authority: bytes) -> str:
    """An authority with its user information, which holds passwords, replaced."""
    text = clipped(authority.decode("utf-8", "replace"))
    _, at_sign, host = text.rpartition("@")
    return f"{REDACTED}@{host}" if at_sign else text


def request_attributes(target: Target, host: str, user_agent: str, version: str) -> dict[str, str | int]:
    """OpenTelemetry attributes of a request."""
    authority = target.authority.rpartition("@")[2] or host
    attributes = common_attributes(target.method, authority, user_agent, version).copy()
    if target.path:
        attributes["url.path"] = target.path
    if target.query:
        attributes["url.query"] = target.query
    return attributes


@lru_cache(maxsize=1024)
def common_attributes(method: str, authority: str, user_agent: str, version: str) -> dict[str, str | int]:
    """Attributes that many requests share; equal arguments give the same dict, which nobody may change."""
    attributes: dict[str, str | int] = {"http.request.method": method if method in KNOWN_METHODS else "_OTHER"}
    if method not in KNOWN_METHODS:
        attributes["http.request.method_original"] = method
    if authority:
        name, colon, port = authority.rpartition(":")
        if colon and port.isascii() and port.isdigit() and len(port) <= 5:
            attributes["server.address"] = name.strip("[]")
            attributes["server.port"] = int(port)
        else:
            attributes["server.address"] = authority.strip("[]")
    if user_agent:
        attributes["user_agent.original"] = user_agent
    attributes["network.protocol.version"] = version
    return attributes


def admitted(operation: str, operations: set[str]) -> str:
    """`operation`, or what stands for it where there are too many, made a member of `operations`."""
    if len(operations) >= DISTINCT_OPERATIONS:
        return operation.partition(" ")[0] + " /…"
    operations.add(operation)
    return operation


def operations_of(context: Context) -> set[str]:
    """The operations seen on all connections of a protocol."""
    operations = context.shared.setdefault("operations", set())
    assert isinstance(operations, set)
    return operations


@lru_cache(maxsize=1000)
def response_attributes(code: int) -> dict[str, str | int]:
    """OpenTelemetry attributes of a response; equal arguments give the same dict, which nobody may change."""
    return {"http.response.status_code": code}


def result_of(code: int) -> Result:
    """How a status judges the request (RFC 9110 section 15)."""
    return Result.OK if code < 400 else Result.CLIENT_ERROR if code < 500 else Result.SERVER_ERROR


HEXADECIMAL_DIGITS = b"0123456789abcdef"
NO_TRACE, NO_SPAN = b"0" * 32, b"0" * 16
HEXADECIMAL_ID = re.compile(rb"(?!0+\Z)(?:[0-9a-f]{1,32})\Z")
AMAZON_ROOT = re.compile(rb"(?:^|;)\s*Root=([0-9A-Za-z-]{8,80})", re.IGNORECASE)
DECIMAL_ID = re.compile(rb"(?!0+\Z)[0-9]{1,20}\Z")
REQUEST_ID = re.compile(rb"[!-~]{4,128}\Z")


def request_id(value: bytes) -> bytes | None:
    """A request or correlation id, which may be any short visible text."""
    return value if REQUEST_ID.match(value) else None


def traceparent_id(value: bytes) -> bytes | None:
    """The trace id of ``traceparent`` (W3C Trace Context section 3.2); of a later version, its first four fields count."""
    fields = value.split(b"-", 4)
    if len(fields) < 4 or (len(fields) == 5 and fields[0] == b"00"):
        return None
    version, trace_id, span_id, flags = fields[:4]
    if len(version) != 2 or len(trace_id) != 32 or len(span_id) != 16 or len(flags) != 2:
        return None
    if (version + trace_id + span_id + flags).translate(None, HEXADECIMAL_DIGITS):
        return None
    return None if version == b"ff" or trace_id == NO_TRACE or span_id == NO_SPAN else trace_id


def padded_id(trace_id: bytes) -> bytes | None:
    """A hexadecimal trace id of up to 128 bits, in lower case and padded, so that its 64-bit and 128-bit form are equal."""
    trace_id = trace_id.lower()
    return trace_id.rjust(32, b"0") if HEXADECIMAL_ID.match(trace_id) else None


def zipkin_trace_id(value: bytes) -> bytes | None:
    """The trace id of ``b3`` or ``x-b3-traceid``; a lone sampling decision holds none."""
    return None if value == b"d" else padded_id(value.partition(b"-")[0])


def jaeger_trace_id(value: bytes) -> bytes | None:
    """The trace id of ``uber-trace-id``, whose colons may be percent-encoded."""
    return padded_id(value.replace(b"%3A", b":").replace(b"%3a", b":").partition(b":")[0])


def amazon_trace_id(value: bytes) -> bytes | None:
    """The Root of ``x-amzn-trace-id``."""
    found = AMAZON_ROOT.search(value)
    return found[1] if found else None


def datadog_trace_id(value: bytes) -> bytes | None:
    """The decimal trace id of ``x-datadog-trace-id``."""
    return value if DECIMAL_ID.match(value) else None


def google_trace_id(value: bytes) -> bytes | None:
    """The trace id of ``x-cloud-trace-context``."""
    return padded_id(value.partition(b"/")[0])


def skywalking_trace_id(value: bytes) -> bytes | None:
    """The trace id of ``sw8``: the second of its fields, in base 64."""
    fields = value[:2048].split(b"-")
    if len(fields) < 8:
        return None
    try:
        trace_id = base64.b64decode(fields[1], validate=True)
    except binascii.Error:
        return None
    return trace_id if REQUEST_ID.match(trace_id) else None


BREADCRUMBS: dict[bytes, tuple[IdentifierKind, Callable[[bytes], bytes | None]]] = {
    b"traceparent": (IdentifierKind.TRACEPARENT, traceparent_id),
    b"b3": (IdentifierKind.B3, zipkin_trace_id),
    b"x-b3-traceid": (IdentifierKind.B3, zipkin_trace_id),
    b"uber-trace-id": (IdentifierKind.UBER_TRACE_ID, jaeger_trace_id),
    b"sw8": (IdentifierKind.SW8, skywalking_trace_id),
    b"x-amzn-trace-id": (IdentifierKind.AMZN_TRACE_ID, amazon_trace_id),
    b"x-datadog-trace-id": (IdentifierKind.DATADOG, datadog_trace_id),
    b"x-cloud-trace-context": (IdentifierKind.CLOUD_TRACE, google_trace_id),
    b"x-request-id": (IdentifierKind.REQUEST_ID, request_id),
    b"x-correlation-id": (IdentifierKind.REQUEST_ID, request_id),
    b"request-id": (IdentifierKind.REQUEST_ID, request_id),
    b"correlation-id": (IdentifierKind.REQUEST_ID, request_id),
}
"""Header fields, in lower case, that name the request to which a message belongs: the kind of identifier, and how to read
it from the value, stripped. What is read is in one canonical form; None where the value holds no identifier."""
