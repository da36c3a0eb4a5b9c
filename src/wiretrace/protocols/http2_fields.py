"""Header fields of HTTP/2 and what they say together: heads of requests and responses, and trailers (RFC 9113 section 8).

Rules: functions of fields, nothing here knows frames. A field that was not captured is *unknown*: what it may have said is
left open, with a note, and never guessed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from wiretrace.protocols.compression import can_unpack
from wiretrace.protocols.http_fields import (
    EVENT_STREAM,
    GRPC,
    HOST,
    OPAQUE,
    PACKED,
    USER_AGENT,
    Meaning,
    read_field,
    stated_once,
)
from wiretrace.protocols.http_semantics import Target, read_target, request_attributes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wiretrace.model.identifier import IdentifierKind

METHOD = 20
"""Effect of ``:method``; the value is its text in bytes, as that of the other pseudo-fields."""
PATH = 21
"""``:path``."""
AUTHORITY = 22
"""``:authority``; the value is text."""
SCHEME = 23
"""``:scheme``."""
STATUS = 24
"""``:status``; the value is the number, 0 where it is none."""
TUNNELLED = 25
"""``:protocol`` of an extended CONNECT (RFC 8441); the value is text."""
GRPC_STATUS = 26
"""``grpc-status``; the value is the number, -1 where it is none."""
GRPC_MESSAGE = 27
"""``grpc-message``."""
GRPC_TIMEOUT = 28
"""``grpc-timeout``."""
UNKNOWN = 29
"""A field that was sent before the capture, or in lost bytes."""
UNKNOWN_FIELD: Meaning = (UNKNOWN, 0)

LONGEST_PROTOCOL = 40
PARTS_OF_PATH = 8000
"""Bytes of a path that are read."""
BYTES_OF_GRPC_MESSAGE = 1024
NOT_KNOWN = "(not known)"
"""Stands for a method or path that was not captured."""
UNKNOWN_NOTE = "header fields of it are not known: they refer to earlier ones that were not captured"
MALFORMED_NOTE = "its header fields are malformed"


def meaning_of(name: bytes, value: bytes) -> Meaning | None:
    """What a field of HTTP/2 means to an exchange; None: nothing."""
    if name[:1] == b":":
        match name:
            case b":method":
                return METHOD, value[:32].decode("latin-1")
            case b":path":
                return PATH, value[:PARTS_OF_PATH].decode("latin-1")
            case b":authority":
                return AUTHORITY, value[:255].rpartition(b"@")[2].decode("utf-8", "replace")
            case b":scheme":
                return SCHEME, value[:LONGEST_PROTOCOL].decode("latin-1")
            case b":status":
                return STATUS, int(value) if len(value) == 3 and value.isdigit() else 0
            case b":protocol":
                return TUNNELLED, value[:LONGEST_PROTOCOL].decode("utf-8", "replace")
        return None
    if name[:5] == b"grpc-":
        match name:
            case b"grpc-status":
                return GRPC_STATUS, int(value) if value.isdigit() and len(value) <= 3 else -1
            case b"grpc-message":
                return GRPC_MESSAGE, value[:BYTES_OF_GRPC_MESSAGE].decode("utf-8", "replace")
            case b"grpc-timeout":
                return GRPC_TIMEOUT, value[:10].decode("latin-1")
        return None
    return read_field(name.lower(), value)


class Head(msgspec.Struct, gc=False):
    """What the fields of one header block say."""

    method: str = ""
    path: str = ""
    authority: str = ""
    host: str = ""
    status: int = -1
    """-1 where there is none."""
    tunnelled: str = ""
    """Protocol of an extended CONNECT."""
    user_agent: str = ""
    opaque: bool = False
    """Whether no values can be read in the body."""
    packed: str = ""
    """How the body is compressed, where it can be unpacked."""
    events: bool = False
    """Whether the body is a stream of events."""
    grpc: bool = False
    """Whether it belongs to a gRPC call."""
    grpc_status: int | None = None
    grpc_message: str = ""
    grpc_timeout: str = ""
    identifiers: tuple[tuple[IdentifierKind, bytes], ...] = ()
    unknown: bool = False
    """Whether a field of it is not known."""

    @property
    def asks(self) -> bool:
        """Whether it is the head of a request, as far as is known."""
        return bool(self.method or self.path)


def read_head(fields: Iterable[Meaning]) -> Head:
    """Read the fields of one header block. Of one that comes twice, the first counts."""
    head = Head()
    identifiers: list[tuple[IdentifierKind, bytes]] = []
    for effect, value in fields:
        if isinstance(value, tuple):
            if value not in identifiers:
                identifiers.append(value)
        elif isinstance(value, str):
            if effect == METHOD:
                head.method = head.method or value
            elif effect == PATH:
                head.path = head.path or value
            elif effect == AUTHORITY:
                head.authority = head.authority or value
            elif effect == HOST:
                head.host = head.host or value
            elif effect == PACKED:
                # Two codings, one around the other, are not unpacked; nor is what nothing here unpacks.
                head.opaque |= bool(head.packed) or not can_unpack(value)
                head.packed = value
            elif effect == USER_AGENT:
                head.user_agent = value
            elif effect == TUNNELLED:
                head.tunnelled = value
            elif effect == GRPC_MESSAGE:
                head.grpc_message = value
            elif effect == GRPC_TIMEOUT:
                head.grpc_timeout = value
        elif effect == STATUS:
            head.status = value
        elif effect == GRPC:
            head.grpc = True
        elif effect == GRPC_STATUS:
            head.grpc_status = value
        elif effect == OPAQUE:
            head.opaque = True
        elif effect == EVENT_STREAM:
            head.events = True
        elif effect == UNKNOWN:
            head.unknown = True
    if identifiers:
        head.identifiers = stated_once(identifiers)
    return head


@lru_cache(maxsize=8192)
def asked(
    method: str, path: str, authority: str, user_agent: str, tunnelled: str, keep_values: bool
) -> tuple[Target, dict[str, str | int]]:
    """What a request asks for, and its OpenTelemetry attributes, which nobody may change."""
    if tunnelled and path:
        # An extended CONNECT names a resource as other methods do (RFC 8441 section 4).
        target = read_target.__wrapped__(b"CONNECT", path.encode("latin-1"), keep_values)
    elif not path or not method:
        known = path.encode("latin-1") if path else authority.encode()
        if method == "CONNECT" or path:
            target = read_target.__wrapped__(method.encode("latin-1") or NOT_KNOWN.encode(), known, keep_values)
        else:
            text = f"{method} {NOT_KNOWN}" if method else NOT_KNOWN
            target = Target(method or NOT_KNOWN, text, text, "", "", "", b"")
    else:
        target = read_target.__wrapped__(method.encode("latin-1"), path.encode("latin-1"), keep_values)
    attributes = request_attributes(target, authority, user_agent, "2")
    if not method:
        attributes.pop("http.request.method", None)
        attributes.pop("http.request.method_original", None)
    if tunnelled:
        attributes["network.protocol.name"] = "http"
        attributes["wiretrace.http.connect_protocol"] = tunnelled
    return target, attributes
