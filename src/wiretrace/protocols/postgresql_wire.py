"""PostgreSQL message formats (manual, "Message Formats"): what stands in single messages, and where messages begin.

Nothing here remembers anything. Names of messages are those of the manual; letters are byte values.
"""

import re
import struct
from typing import NamedTuple

SYSTEM = "postgresql"
ATTRIBUTES: dict[str, str | int] = {"db.system.name": SYSTEM}
READ_BYTES = 1 << 16
"""A longer message is read as far as this and passed over beyond."""

HEADER = struct.Struct(">BI")
"""Message type and length; the length counts itself and not the type."""
LENGTH = struct.Struct(">I")
COUNT = struct.Struct(">H")
LONGEST = 0x3FFFFFFF
"""The server refuses to send or read more in one message (PQ_LARGE_MESSAGE_LIMIT)."""
CLIENT_KINDS = frozenset(b"BCDEFHPQSXcdfp")
SERVER_KINDS = frozenset(b"123ACDEGHIKNRSTVWZcdnstv")

PROTOCOL_3 = 3
CANCEL, SSL, GSSENC = 80877102, 80877103, 80877104
"""Codes of the first message that are requests of their own (manual, "Message Formats", CancelRequest and so on)."""
STARTUP = struct.Struct(">IHH")
LONGEST_STARTUP = 10_000

_READY = re.compile(rb"Z\x00\x00\x00\x05[ITE]")
_REQUEST_START = re.compile(rb"[QPB]\x00[\x00-\x0f]|S\x00\x00\x00\x04")
_RESPONSE_STARTS = tuple(bytes((kind,)) for kind in b"12CTEIGHVntRW")
_LATER_AUTHENTICATION = tuple(bytes((0, 0, 0, code)) for code in (0, 8, 11, 12))
"""AuthenticationOk, GSSContinue, SASLContinue and SASLFinal: they follow what the server asked of a client that logs in.
AuthenticationOk may come first, too, and nothing in it tells."""
_UUID_BYTES = 16
_NULL = 0xFFFFFFFF
_FIRST_TEXT, _LAST_TEXT = 0x20, 0x7E
"""First bytes outside of these are those of a binary value, or of UTF-8."""
_CHAIN = 8
"""Messages that are looked at to believe in a boundary."""


class ErrorFields(NamedTuple):
    """An ErrorResponse."""

    severity: str
    code: str
    text: str
    """The message: it repeats values of the statement."""


def error_fields(body: bytes) -> ErrorFields:
    """The fields of an ErrorResponse. Fields that are missing are empty."""
    fields = {part[:1]: part[1:] for part in body.split(b"\0") if part}
    code = fields.get(b"C", b"")
    severity = fields.get(b"V", fields.get(b"S", b""))
    return ErrorFields(
        severity.decode("ascii", "replace") if severity.isalpha() and len(severity) <= 16 else "ERROR",
        code.decode("ascii") if len(code) == 5 and code.isalnum() and code.isascii() else "XX000",
        fields.get(b"M", b"").decode("utf-8", "replace"),
    )


def startup_parameters(body: bytes) -> dict[bytes, bytes]:
    """Names and values of a StartupMessage."""
    parts = body.split(b"\0")
    return dict(zip(parts[::2], parts[1::2], strict=False))


def bound_values(body: bytes, at: int, limit: int) -> tuple[int, bytes]:
    """Number of parameters of a Bind whose format codes begin at `at`, and their values as text, up to `limit` bytes.

    Formats are ignored: a binary integer or uuid shows itself, and what is text stays as it is.
    """
    size = len(body)
    if at + 2 > size:
        return 0, b""
    at += 2 + 2 * COUNT.unpack_from(body, at)[0]
    if at + 2 > size:
        return 0, b""
    count: int = COUNT.unpack_from(body, at)[0]
    return count, columns(body, at + 2, count, limit) if count else b""


def columns(body: bytes, at: int, count: int, limit: int) -> bytes:
    """The values at `at` (length and bytes each, as in Bind and DataRow) as text, separated by spaces."""
    size = len(body)
    most = limit
    found: list[bytes] = []
    while count and at + 4 < size:
        length = LENGTH.unpack_from(body, at)[0]
        at += 4
        count -= 1
        if length == _NULL:
            continue
        value = body[at : at + length] if length <= limit else body[at : at + limit]
        at += length
        if not value:
            continue
        first = value[0]
        if first < _FIRST_TEXT or first > _LAST_TEXT or (length == _UUID_BYTES and not value.isascii()):
            value = _binary(value)
        found.append(value)
        limit -= len(value) + 1
        if limit <= 0:
            break
    return b" ".join(found)[:most]


def _binary(value: bytes) -> bytes:
    """An integer or a uuid of the binary format as text; anything else as it is."""
    if len(value) in (2, 4, 8):
        return b"%d" % int.from_bytes(value, "big", signed=True)
    if len(value) == _UUID_BYTES:
        text = value.hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}".encode()
    return value


def chain(data: bytes, at: int, kinds: frozenset[int]) -> tuple[int, int]:
    """How many whole messages (at most 8) follow from `at`, and where the last one ends; (-1, at) if one is impossible."""
    size = len(data)
    count = 0
    while at + 5 <= size and count < _CHAIN:
        kind, length = HEADER.unpack_from(data, at)
        if kind not in kinds or not 4 <= length <= LONGEST or not plausible(data, at, kind, length, kinds):
            return -1, at
        if at + 1 + length > size:
            break
        at += 1 + length
        count += 1
    if at < size and data[at] not in kinds:
        return -1, at
    return count, at


def plausible(data: bytes, at: int, kind: int, length: int, kinds: frozenset[int]) -> bool:
    """Whether the message at `at`, as far as it is there, can be of its kind."""
    body = data[at + 5 : at + 1 + min(length, 4096)]
    whole = at + 1 + length <= len(data) and length <= 4096
    if kinds is CLIENT_KINDS:
        if kind in b"SHXc":
            return length == 4
        if kind == 0x51:  # Query
            return length > 4 and (body.find(b"\0") == length - 5 if whole else b"\0" not in body) and _readable(body)
        if kind == 0x50:  # Parse
            return length >= 8 and (not whole or body.count(b"\0") >= 2)
        if kind == 0x42:  # Bind
            return length >= 12 and (not whole or body.count(b"\0") >= 2)
        if kind == 0x45:  # Execute
            return length >= 9 and (not whole or body.find(b"\0") == length - 9)
        if kind in b"DC":  # Describe, Close
            return length >= 6 and body[:1] in (b"S", b"P", b"") and (not whole or body[-1:] == b"\0")
        return True
    if kind in b"123cnsI":
        return length == 4
    if kind == 0x5A:  # ReadyForQuery
        return length == 5 and body[:1] in (b"", b"I", b"T", b"E")
    if kind == 0x43:  # CommandComplete
        return 6 <= length < 100 and (not body or body[:1].isupper())
    if kind in b"EN":  # ErrorResponse, NoticeResponse
        return length >= 8 and body[:1] in (b"S", b"V", b"") and (not whole or body[-2:] == b"\0\0")
    if kind in b"TD":  # RowDescription, DataRow
        return length >= 6 and (len(body) < 2 or COUNT.unpack_from(body)[0] <= 1664)
    if kind == 0x52:  # Authentication
        return length >= 8 and body[:3] == b"\0\0\0"[: len(body)]
    return length >= 4


def _readable(text: bytes) -> bool:
    head = text[:64].lstrip()
    return bool(head) and (head[:1].isalpha() or head[:1] in (b"(", b"/", b"-", b";", b"\0")) and b"\x01" not in head


def client_boundary(data: bytes, at: int) -> int | None:
    """Where a request of its own begins: at Query, Parse or Bind in a chain of messages, or behind a Sync."""
    for found in _REQUEST_START.finditer(data, at):
        start = found.start()
        if data[start] == 0x53:
            start += 5
            if start == len(data):
                return start
        count, end = chain(data, start, CLIENT_KINDS)
        if (count >= 1 and data[start] == 0x51) or count >= 3 or (count >= 1 and end == len(data)):
            return start
    return None


def server_boundary(data: bytes, at: int) -> int | None:
    """Where a response of its own begins: at `at`, if a chain leads from there to ReadyForQuery; or behind one."""
    ready = _READY.search(data, at)
    begins = data[at : at + 1] in _RESPONSE_STARTS and (
        data[at] != 0x52 or data[at + 5 : at + 9] not in _LATER_AUTHENTICATION
    )
    if begins and (ready is None or ready.start() > at):
        start = at
        total = 0
        while start < len(data):
            count, end = chain(data, start, SERVER_KINDS)
            total += count
            if count < 0:
                break
            if ready is not None and end >= ready.end():
                return at
            if end == start or end == len(data):
                # Whole messages up to where the data end, or more of them than chance makes.
                if (end == len(data) and total > 0) or total >= _CHAIN:
                    return at
                break
            start = end
    while ready is not None:
        count, _ = chain(data, ready.end(), SERVER_KINDS)
        if count > 0 or ready.end() == len(data):
            return ready.end()
        ready = _READY.search(data, ready.end())
    return None
