"""What header fields mean to an exchange, in any version of HTTP (RFC 9110): lengths, names, kinds of content, breadcrumbs.

Rules: a field comes as its name in lower case and its value; what it means is an effect and a value. A field that matters to
nobody means nothing. Framing, and the syntax of field lines, are the business of each version.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from wiretrace.model.identifier import IdentifierKind
from wiretrace.model.limits import Limits
from wiretrace.protocols.compression import unpack
from wiretrace.protocols.http_semantics import BREADCRUMBS

if TYPE_CHECKING:
    from collections.abc import Callable

LENGTH = 0
"""Effect of a header line: Content-Length; the value is the length, or -1 where it is not one number."""
CODING = 1
"""Transfer-Encoding; the value is 1 if chunked is its last coding."""
HOST = 2
"""Host; the value is its text."""
UPGRADE = 3
"""Upgrade; the value is the first protocol, in lower case."""
OPAQUE = 4
"""The body is compressed in an unknown way, or is not text: no values are looked for in it."""
USER_AGENT = 5
"""User-Agent; the value is its text."""
IDENTIFIER = 6
"""A breadcrumb; the value is a pair of kind and identifier."""
IRREGULAR = 7
"""The line is folded, or has a bare LF: the block must be normalised first."""
MALFORMED = 8
"""Not a header line."""
EVENT_STREAM = 9
"""The body is a stream of server-sent events."""
GRPC = 10
"""The body holds the messages of a gRPC call."""

PACKED = 11
"""The body is compressed in a way that can be unpacked; the value is its name."""

Meaning = tuple[int, int | str | tuple[IdentifierKind, bytes]]
"""The effect of a field, and its value."""

LONGEST_BODY = 1 << 53
"""A declared length from here on is not believed."""
LONGEST_USER_AGENT = 200
CODINGS = frozenset({b"gzip", b"x-gzip", b"deflate", b"br", b"zstd"})
"""Content codings that can be unpacked."""
PACKED_BYTES = Limits().packed_body_bytes
NOT_UNPACKED = "its body is in Brotli, which needs the package brotli"
"""The note of a message whose body would be unpacked if that were there."""

LENGTHS = re.compile(rb"([0-9]{1,30})(?:[ \t]*,[ \t]*\1)*\Z")
OPAQUE_TYPE = re.compile(
    rb"(?:image|audio|video|font)/|text/(?:css|javascript)|application/(?:octet-stream|zip|gzip|pdf|wasm|x?-?javascript)"
)


def read_field(name: bytes, value: bytes) -> Meaning | None:
    """What one header field means; None if it does not matter. `name` is in lower case."""
    reader = READERS.get(name)
    if reader is not None:
        return reader(value.strip(b" \t"))
    breadcrumb = BREADCRUMBS.get(name)
    if breadcrumb is None:
        return None
    identifier = breadcrumb[1](value.strip())
    return None if identifier is None else (IDENTIFIER, (breadcrumb[0], identifier))


def stated_once(identifiers: list[tuple[IdentifierKind, bytes]]) -> tuple[tuple[IdentifierKind, bytes], ...]:
    """The identifiers, without traceparents that contradict each other (W3C Trace Context section 3.2: ignore them)."""
    if len(identifiers) > 1 and [kind for kind, _ in identifiers].count(IdentifierKind.TRACEPARENT) > 1:
        identifiers = [pair for pair in identifiers if pair[0] is not IdentifierKind.TRACEPARENT]
    return tuple(identifiers)


def read_length(value: bytes) -> Meaning:
    """Content-Length; a list of equal numbers is one number (RFC 9112 section 6.3)."""
    found = LENGTHS.match(value)
    length = int(found[1]) if found else -1
    return LENGTH, length if length < LONGEST_BODY else -1


def read_coding(value: bytes) -> Meaning:
    """Transfer-Encoding: whether its last coding is chunked (RFC 9112 section 6.1)."""
    return CODING, int(value.lower().rpartition(b",")[2].strip() == b"chunked")


def read_host(value: bytes) -> Meaning:
    """Host (RFC 9112 section 3.2); never holds user information."""
    return HOST, value[:255].rpartition(b"@")[2].decode("utf-8", "replace")


def read_upgrade(value: bytes) -> Meaning:
    """Upgrade (RFC 9110 section 7.8): its first protocol."""
    return UPGRADE, value[:64].partition(b",")[0].strip().lower().decode("latin-1")


def read_user_agent(value: bytes) -> Meaning:
    """User-Agent, cut to a length that is worth keeping."""
    return USER_AGENT, value[:LONGEST_USER_AGENT].decode("utf-8", "replace")


def read_content_encoding(value: bytes) -> Meaning | None:
    """Content-Encoding (RFC 9110 section 8.4): one that is known can be unpacked, several at once are not."""
    coding = value.lower()
    if coding in (b"", b"identity"):
        return None
    return (PACKED, coding.decode("ascii")) if coding in CODINGS else (OPAQUE, 0)


def body_values(packed: str, content: bytes, room: int) -> bytes:
    """The beginning of a body, at most `room` bytes; `content` is what of it is there, in the coding `packed`."""
    return (unpack(packed, content, room) or b"") if packed else content[:room]


def read_content_type(value: bytes) -> Meaning | None:
    """Content-Type: media, archives, style sheets and programs hold no values of a request."""
    kind = value.lower()
    if kind.startswith(b"application/grpc"):
        # Of the dialects, gRPC-Web has frames of another kind.
        return (GRPC, 0) if kind[16:17] in (b"", b"+", b";", b" ") else (OPAQUE, 0)
    if kind.startswith(b"text/event-stream"):
        return EVENT_STREAM, 0
    return (OPAQUE, 0) if OPAQUE_TYPE.match(kind) else None


READERS: dict[bytes, Callable[[bytes], Meaning | None]] = {
    b"content-length": read_length,
    b"transfer-encoding": read_coding,
    b"host": read_host,
    b"upgrade": read_upgrade,
    b"user-agent": read_user_agent,
    b"content-encoding": read_content_encoding,
    b"content-type": read_content_type,
}
"""Header fields, in lower case, that matter beside breadcrumbs, and how to read their values."""
