"""Heads of HTTP/1 messages: start line and header fields, as far as framing and exchanges need them (RFC 9112).

Rules: a head is complete when it comes here, and nothing here knows streams or offsets. Reading is lazy: a header line that
matters to nobody costs one look-up. Lines and blocks repeat from message to message, so their reading is remembered in
bounded caches; long ones, which could fill the memory, are read afresh.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from wiretrace.model.message import Message, Result, Role
from wiretrace.protocols.compression import can_unpack
from wiretrace.protocols.http_fields import (
    CODING,
    EVENT_STREAM,
    GRPC,
    HOST,
    IRREGULAR,
    LENGTH,
    MALFORMED,
    NOT_UNPACKED,
    OPAQUE,
    PACKED,
    UPGRADE,
    Meaning,
    read_field,
    stated_once,
)
from wiretrace.protocols.http_semantics import (
    Target,
    read_target,
    request_attributes,
    response_attributes,
    result_of,
)

if TYPE_CHECKING:
    from wiretrace.model.identifier import IdentifierKind

UNDECLARED = -1
"""No length is declared: a request has no body, a response ends with the connection."""
CHUNKED = -2
"""The body comes in chunks."""
UNTIL_CLOSE = -3
"""The body ends with the connection, whatever lengths are declared."""

CACHED_LINE_BYTES = 512
"""Longest header or start line whose reading is remembered."""
CACHED_BLOCK_BYTES = 2048
"""Longest header block whose reading is remembered."""
LINES_OF_HEAD = re.compile(rb"\r?\n")
FOLDED_LINE = re.compile(rb"\r?\n[ \t]+")
REQUEST_LINE = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([^\x00-\x20\x7f](?:[^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?) HTTP/1\.([01])\Z"
)
"""A target with spaces in it is wrong, and common."""
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [^\r\n]*)?\Z")
CUT_REQUEST = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([^\x00-\x20\x7f]+)( )?")


class RequestLine(msgspec.Struct, gc=False):
    """A request line (RFC 9112 section 3)."""

    method: bytes
    target: Target
    version: str
    host: str = ""
    """Host for which `attributes` was made."""
    user_agent: str = ""
    """User agent for which `attributes` was made."""
    attributes: dict[str, str | int] | None = None
    """Shared by the messages that have this request line in succession, from the same host and user agent."""

    def attributes_for(self, host: str, user_agent: str) -> dict[str, str | int]:
        """OpenTelemetry attributes of a request with this line; nobody may change them."""
        if self.attributes is None or self.host != host or self.user_agent != user_agent:
            self.host, self.user_agent = host, user_agent
            self.attributes = request_attributes(self.target, host, user_agent, self.version)
        return self.attributes


class StatusLine(NamedTuple):
    """A status line (RFC 9112 section 4)."""

    code: int
    status: str
    result: Result


class Fields(msgspec.Struct, frozen=True, gc=False):
    """What a header block says."""

    length: int = UNDECLARED
    """Of the body: bytes, or UNDECLARED, CHUNKED, UNTIL_CLOSE."""
    host: str = ""
    user_agent: str = ""
    upgrade: str = ""
    """First protocol of the Upgrade field, in lower case."""
    opaque: bool = False
    """Whether no values can be read in the body."""
    events: bool = False
    """Whether the body is a stream of events."""
    identifiers: tuple[tuple[IdentifierKind, bytes], ...] = ()
    damaged: bool = False
    notes: tuple[str, ...] = ()
    packed: str = ""
    """How the body is compressed, where it can be unpacked."""


NO_FIELDS = Fields()


def read_request_line(line: bytes, keep_values: bool) -> RequestLine | None:
    """Read a request line without its line end; None if it is not one."""
    return (known_request_line if len(line) <= CACHED_LINE_BYTES else known_request_line.__wrapped__)(line, keep_values)


@lru_cache(maxsize=8192)
def known_request_line(line: bytes, keep_values: bool) -> RequestLine | None:
    """As `read_request_line`, remembering the answer."""
    found = REQUEST_LINE.match(line)
    if found is None:
        return None
    target = read_target.__wrapped__(found[1], found[2], keep_values)
    return RequestLine(found[1], target, "1.1" if found[3] == b"1" else "1.0")


def read_status_line(line: bytes) -> StatusLine | None:
    """Read a status line without its line end; None if it is not one."""
    return (known_status_line if len(line) <= CACHED_LINE_BYTES else known_status_line.__wrapped__)(line)


@lru_cache(maxsize=512)
def known_status_line(line: bytes) -> StatusLine | None:
    """As `read_status_line`, remembering the answer."""
    found = STATUS_LINE.match(line)
    if found is None:
        return None
    code = int(found[2])
    return StatusLine(code, str(code), result_of(code))


def normalised_head(head: bytes) -> bytes:
    """A head with folded lines joined and every line end CRLF (RFC 9112 sections 2.2 and 5.2)."""
    return b"\r\n".join(LINES_OF_HEAD.split(FOLDED_LINE.sub(b" ", head)))


def read_fields(block: bytes) -> Fields | None:
    """Read header lines separated by CRLF; None if the block must be normalised first."""
    if not block:
        return NO_FIELDS
    return (known_fields if len(block) <= CACHED_BLOCK_BYTES else known_fields.__wrapped__)(block)


@lru_cache(maxsize=2048)
def known_fields(block: bytes) -> Fields | None:
    """As `read_fields`, remembering the answer."""
    length = UNDECLARED
    coded = chunked = damaged = opaque = events = False
    host = user_agent = upgrade = packed = ""
    identifiers: list[tuple[IdentifierKind, bytes]] = []
    notes: list[str] = []
    read = known_field if len(block) <= CACHED_BLOCK_BYTES else known_field.__wrapped__
    for effect, value in filter(None, map(read, block.split(b"\r\n"))):
        if effect == LENGTH:
            assert isinstance(value, int)
            if value < 0:
                damaged = True
                notes.append("Content-Length is not a length")
            elif length not in (UNDECLARED, value):
                damaged = True
                notes.append("Content-Length is given twice and differs")
            else:
                length = value
        elif effect in (OPAQUE, GRPC):
            opaque = True
        elif effect == EVENT_STREAM:
            events = True
        elif isinstance(value, str):
            if effect == HOST:
                host = value
            elif effect == PACKED:
                # Two codings, one around the other, are not unpacked.
                opaque |= bool(packed)
                packed = value
            elif effect == UPGRADE:
                upgrade = upgrade or value
            else:
                user_agent = value
        elif isinstance(value, tuple):
            if value not in identifiers:
                identifiers.append(value)
        elif effect == CODING:
            coded, chunked = True, value == 1
        elif effect == IRREGULAR:
            return None
        else:
            damaged = True
            notes.append("a header line has no name")
    if coded:
        if length != UNDECLARED:
            notes.append("both Transfer-Encoding and Content-Length")
        length = CHUNKED if chunked else UNTIL_CLOSE
    elif length == UNDECLARED and damaged and "Content-Length is not a length" in notes:
        length = UNTIL_CLOSE
    stated = stated_once(identifiers) if identifiers else ()
    if packed and not can_unpack(packed):
        opaque = True
        notes.append(NOT_UNPACKED)
    noted = tuple(dict.fromkeys(notes)) if notes else ()
    return Fields(length, host, user_agent, upgrade, opaque, events, stated, damaged, noted, packed)


@lru_cache(maxsize=4096)
def known_field(line: bytes) -> Meaning | None:
    """What one header line means, remembering the answer; None if it does not matter."""
    if b"\n" in line or line[:1] in (b" ", b"\t"):
        return IRREGULAR, 0
    name, colon, value = line.partition(b":")
    name = name.rstrip().lower()
    if not colon or not name:
        return MALFORMED, 0
    return read_field(name, value)


def cut_request(start: int, line: bytes, whole: bool, keep_values: bool) -> Message | None:
    """A damaged request, at stream offset `start`, of which only the start line, or less of it, was captured.

    Of a target that is cut off itself, what stands before its last slash or question mark is kept: the rest may be wrong.
    None where not even the method is there.
    """
    request = read_request_line(line, keep_values) if whole else None
    if request is not None:
        target = request.target
        attributes = request_attributes(target, "", "", request.version)
        return Message(
            Role.REQUEST, start, start, target.operation, target.summary, values=target.values, attributes=attributes,
            notes=("cut off",),
        )  # fmt: skip
    found = CUT_REQUEST.match(line)
    if found is None:
        return None
    asked = found[2]
    if found[3] is None:
        cut_at = asked.find(b"?") + 1 or asked.rfind(b"/") + 1
        asked = asked[:cut_at].removesuffix(b"?") + "…".encode()
    target = read_target.__wrapped__(found[1], asked, keep_values)
    return Message(Role.REQUEST, start, start, target.operation, target.summary, notes=("cut off",))


def cut_response(start: int, line: bytes) -> Message | None:
    """A damaged response, at stream offset `start`, of which only the start was captured; None without its status."""
    found = read_status_line(line[:12])
    if found is None:
        return None
    return Message(
        Role.RESPONSE, start, start, status=found.status, result=found.result, attributes=response_attributes(found.code),
        notes=("cut off",),
    )  # fmt: skip
