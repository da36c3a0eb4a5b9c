"""Cassandra's messages ("CQL binary protocol", versions 3 to 5): headers, notations, and where messages begin.

Nothing here remembers anything. A message has a version, flags, the number of its stream, an operation and a length.
"""

from __future__ import annotations

import re
import struct
import uuid

from wiretrace.model.side import Side

HEADER = struct.Struct(">BBhBI")
"""Version with direction, flags, stream, operation, length of the body."""
HEADER_BYTES = 9
RESPONSE_BIT = 0x80
VERSIONS = (3, 4, 5)
COMPRESSED, TRACED, WITH_PAYLOAD, WITH_WARNINGS = 1, 2, 4, 8
"""Flags of a message."""
LONGEST_BODY = 256 << 20
FRAMED_FROM = 5
"""The version from which on frames carry messages."""

ERROR, STARTUP, READY, AUTHENTICATE, OPTIONS, SUPPORTED, QUERY, RESULT = 0, 1, 2, 3, 5, 6, 7, 8
PREPARE, EXECUTE, REGISTER, EVENT, BATCH, CHALLENGE, AUTH_RESPONSE, AUTH_SUCCESS = 9, 10, 11, 12, 13, 14, 15, 16
OPERATIONS = (
    frozenset({STARTUP, OPTIONS, QUERY, PREPARE, EXECUTE, REGISTER, BATCH, AUTH_RESPONSE}),
    frozenset({ERROR, READY, AUTHENTICATE, SUPPORTED, RESULT, EVENT, CHALLENGE, AUTH_SUCCESS}),
)
"""By side: what it sends."""
_OPENING = frozenset({STARTUP, OPTIONS, READY, AUTHENTICATE, SUPPORTED, ERROR})
NAMES = {
    STARTUP: "STARTUP", OPTIONS: "OPTIONS", REGISTER: "REGISTER", AUTH_RESPONSE: "AUTH_RESPONSE", READY: "READY",
    AUTHENTICATE: "AUTHENTICATE", SUPPORTED: "SUPPORTED", CHALLENGE: "AUTH_CHALLENGE", AUTH_SUCCESS: "AUTH_SUCCESS",
}  # fmt: skip
CONSISTENCIES = (
    "any", "one", "two", "three", "quorum", "all", "local_quorum", "each_quorum", "serial", "local_serial", "local_one",
)  # fmt: skip
"""As OpenTelemetry spells them, by number."""
ERRORS = {
    0x0000: "Server_error", 0x000A: "Protocol_error", 0x0100: "Bad_credentials", 0x1000: "Unavailable",
    0x1001: "Overloaded", 0x1002: "Is_bootstrapping", 0x1003: "Truncate_error", 0x1100: "Write_timeout",
    0x1200: "Read_timeout", 0x1300: "Read_failure", 0x1400: "Function_failure", 0x1500: "Write_failure",
    0x1600: "CDC_write_failure", 0x1700: "CAS_write_unknown", 0x2000: "Syntax_error", 0x2100: "Unauthorized",
    0x2200: "Invalid", 0x2300: "Config_error", 0x2400: "Already_exists", 0x2500: "Unprepared",
}  # fmt: skip
_STREAM_STARTS = re.compile(rb"[\x03-\x05\x83-\x85][\x00-\x1f]")
_TEXT_TYPES = frozenset({0x01, 0x0A, 0x0D})
_INTEGER_TYPES = frozenset({0x02, 0x05, 0x09, 0x0E, 0x13, 0x14})
_UUID_TYPES = frozenset({0x0C, 0x0F})
_UNKNOWN_TYPE = -1
LONGEST_VALUE = 128
_DEEPEST_TYPE = 8


class Reader:
    """Goes through a body; raises IndexError where it ends. Notations as in section 3 of the protocol."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self.data = data
        self.at = at
        self.end = min(end, len(data))

    def take(self, count: int) -> bytes:
        """The next bytes."""
        end = self.at + count
        if count < 0 or end > self.end:
            raise IndexError
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def number(self, size: int) -> int:
        """[byte], [short], [int]: unsigned."""
        return int.from_bytes(self.take(size), "big")

    def string(self) -> bytes:
        """[string] and [short bytes]."""
        return self.take(self.number(2))

    def long_string(self) -> bytes:
        """[long string], as far as it is there."""
        length = self.number(4)
        taken = self.data[self.at : min(self.at + length, self.end)]
        self.at += length
        return taken

    def value(self) -> bytes:
        """[bytes] and [value]; b"" for null."""
        length = int.from_bytes(self.take(4), "big", signed=True)
        return self.take(length) if length > 0 else b""

    def type(self, depth: int = 0) -> int:
        """[option]: the number of a type; what a type consists of is passed over."""
        number = self.number(2)
        if depth > _DEEPEST_TYPE:
            raise IndexError
        if number == 0:
            self.string()
        elif number in (0x20, 0x22):
            self.type(depth + 1)
        elif number == 0x21:
            self.type(depth + 1)
            self.type(depth + 1)
        elif number == 0x30:
            self.string()
            self.string()
            for _ in range(self.number(2)):
                self.string()
                self.type(depth + 1)
        elif number == 0x31:
            for _ in range(self.number(2)):
                self.type(depth + 1)
        return number


def text_of(value: bytes, kind: int = _UNKNOWN_TYPE) -> bytes:
    """A value as text, by its type, or where that is not known by its looks; b"" where it can not link anything."""
    size = len(value)
    if kind in _TEXT_TYPES or (kind == _UNKNOWN_TYPE and _is_text(value)):
        return value[:LONGEST_VALUE]
    if size == 16 and (kind in _UUID_TYPES or kind == _UNKNOWN_TYPE):
        return str(uuid.UUID(bytes=value)).encode()
    if size in (1, 2, 4, 8) and (kind in _INTEGER_TYPES or (kind == _UNKNOWN_TYPE and size >= 4)):
        return b"%d" % int.from_bytes(value, "big", signed=True)
    return b""


def _is_text(value: bytes) -> bool:
    if not 0 < len(value) <= LONGEST_VALUE:
        return False
    try:
        return value.decode().isprintable()
    except UnicodeDecodeError:
        return False


def is_message(data: bytes, at: int, side: Side) -> float:
    """How surely a message of `side` begins at `at`."""
    size = len(data)
    if at + HEADER_BYTES > size:
        return 0.0
    version, flags, stream, operation, length = HEADER.unpack_from(data, at)
    if version & 0x7F not in VERSIONS or bool(version & RESPONSE_BIT) is (side is Side.CLIENT):
        return 0.0
    if operation not in OPERATIONS[side] or flags & ~0x1F or length > LONGEST_BODY:
        return 0.0
    if stream < 0 and (side is Side.CLIENT or operation != EVENT):
        return 0.0
    body = at + HEADER_BYTES
    if not flags & COMPRESSED and not flags & (TRACED | WITH_PAYLOAD | WITH_WARNINGS):
        if operation in (QUERY, PREPARE) and body + 4 <= size:
            text = int.from_bytes(data[body : body + 4], "big")
            if not 0 < text <= length - 4:
                return 0.0
        if operation == STARTUP and data[body : body + 2] not in (b"", b"\0") and b"CQL_VERSION" not in data[body:]:
            return 0.0
        if operation == RESULT and body + 4 <= size and not 1 <= int.from_bytes(data[body : body + 4], "big") <= 5:
            return 0.0
        if operation in (OPTIONS, READY) and length:
            return 0.0
        if operation == ERROR and body + 4 <= size and int.from_bytes(data[body : body + 4], "big") not in ERRORS:
            return 0.0
    end = body + length
    if end + HEADER_BYTES <= size:
        following = data[end] == version and data[end + 4] in OPERATIONS[side] and data[end + 1] <= 0x1F
        return 0.9 if following else 0.0
    return 0.85 if end == size else 0.6


def boundary(data: bytes, at: int, side: Side) -> int | None:
    """Where a message of `side` begins behind which the data end, or another one begins.

    In version 5 only those that open a connection stand outside of frames.
    """
    for found in _STREAM_STARTS.finditer(data, at):
        start = found.start()
        if is_message(data, start, side) >= 0.8 and (data[start] & 0x7F < FRAMED_FROM or data[start + 4] in _OPENING):
            return start
    return None
