"""MySQL and MariaDB packets: lengths, values, and where packets begin ("MySQL Client/Server Protocol", basic data types).

Nothing here remembers anything. A packet is a length of three bytes, a sequence number, and that many bytes of payload.
"""

import re
import struct

HEADER = struct.Struct("<I")
"""Length and, in the highest byte, sequence number."""
LENGTH = 0xFFFFFF
"""Mask of the length; a payload of exactly this length goes on in the next packet."""
UINT16 = struct.Struct("<H")
UINT32 = struct.Struct("<I")
READ_BYTES = 1 << 16
"""A longer packet is read as far as this and passed over beyond."""

QUIT, INIT_DB, QUERY, FIELD_LIST, STATISTICS, CHANGE_USER = 0x01, 0x02, 0x03, 0x04, 0x09, 0x11
BINLOG_DUMP, PREPARE, EXECUTE, SEND_LONG_DATA, CLOSE, FETCH = 0x12, 0x16, 0x17, 0x18, 0x19, 0x1C
BINLOG_DUMP_GTID, BULK_EXECUTE = 0x1E, 0xFA
LOGIN = -1
"""Stands for the handshake, which has no command byte."""
COMMANDS = {
    0x01: "QUIT",
    0x02: "USE",
    0x03: "QUERY",
    0x04: "FIELD LIST",
    0x05: "CREATE DATABASE",
    0x06: "DROP DATABASE",
    0x07: "REFRESH",
    0x08: "SHUTDOWN",
    0x09: "STATISTICS",
    0x0A: "PROCESS INFO",
    0x0C: "PROCESS KILL",
    0x0D: "DEBUG",
    0x0E: "PING",
    0x11: "CHANGE USER",
    0x12: "BINLOG DUMP",
    0x13: "TABLE DUMP",
    0x15: "REGISTER REPLICA",
    0x16: "PREPARE",
    0x17: "EXECUTE",
    0x18: "SEND LONG DATA",
    0x19: "CLOSE STATEMENT",
    0x1A: "RESET STATEMENT",
    0x1B: "SET OPTION",
    0x1C: "FETCH",
    0x1E: "BINLOG DUMP GTID",
    0x1F: "RESET CONNECTION",
    0xFA: "BULK EXECUTE",
}
"""Command bytes ("Command Phase"), and what MariaDB adds (COM_STMT_BULK_EXECUTE)."""
_EXACT = {0x01: 1, 0x09: 1, 0x0A: 1, 0x0D: 1, 0x0E: 1, 0x0C: 5, 0x19: 5, 0x1A: 5, 0x1B: 3, 0x1C: 9, 0x1F: 1}
_LEAST = {0x17: 10, 0x18: 7, 0xFA: 7}

_FIXED = {0x01: 1, 0x02: 2, 0x0D: 2, 0x03: 4, 0x09: 4, 0x08: 8}
"""Integer types and their sizes in the binary protocol."""
_FLOATS = {0x04: struct.Struct("<f"), 0x05: struct.Struct("<d")}
_DATES = frozenset({0x07, 0x0A, 0x0C})
_TIME, _NULL = 0x0B, 0x06
_UNSIGNED = 0x80
_NULL_VALUE = 0xFB  # as the length of a value; above it lengths of more bytes begin

_COMMAND = re.compile(rb"\x00[\x01-\x1f\xfa]")
_ANSWER = re.compile(
    rb"\x01\x00\x00\x01[\x01-\xfa](?=...\x02\x03def)|\x02\x00\x00\x01[\x01-\xfa][\x00\x01](?=...\x02\x03def)"
    rb"|.[\x00\x01]\x00\x01\xff..\#[0-9A-Z]{5}|[\x07-\x60]\x00\x00\x01\x00[\x00-\xfa][\x00-\xfa].[\x00-\x43].\x00"
    rb"|\x0c\x00\x00\x01\x00.{8}\x00",
    re.DOTALL,
)


def lenenc(data: bytes, at: int) -> tuple[int, int]:
    """A length-encoded integer and the index behind it; -1 for NULL and for what is none or is cut."""
    if at >= len(data):
        return -1, at
    first = data[at]
    if first < 0xFB:
        return first, at + 1
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first, 0)
    if not size or at + 1 + size > len(data):
        return -1, at + 1
    return int.from_bytes(data[at + 1 : at + 1 + size], "little"), at + 1 + size


def text_row(data: bytes, at: int, end: int, limit: int) -> bytes:
    """The columns of a row of the text protocol, separated by spaces, up to `limit` bytes."""
    found: list[bytes] = []
    most = limit
    end = min(end, len(data))
    while at < end:
        length = data[at]
        at += 1
        if length >= _NULL_VALUE:
            length, at = lenenc(data, at - 1)
        if length > 0:
            found.append(data[at : min(at + length, end, at + limit)])
            at += length
            limit -= length + 1
            if limit <= 0:
                break
    return b" ".join(found)[:most]


def binary_values(data: bytes, at: int, types: bytes, nulls: bytes, offset: int, limit: int) -> bytes:
    """Values of the binary protocol as text, separated by spaces, up to `limit` bytes.

    `types` holds two bytes a value (type and flags); `nulls` is the bitmap, whose first bit stands at `offset`.
    """
    found: list[bytes] = []
    total = 0
    for index in range(len(types) // 2):
        bit = index + offset
        if bit >> 3 < len(nulls) and nulls[bit >> 3] >> (bit & 7) & 1:
            continue
        if at >= len(data) or total >= limit:
            break
        kind = types[2 * index]
        value, at = _binary_value(data, at, kind, bool(types[2 * index + 1] & _UNSIGNED), limit - total)
        if value:
            found.append(value)
            total += len(value) + 1
    return b" ".join(found)[:limit]


def _binary_value(data: bytes, at: int, kind: int, unsigned: bool, limit: int) -> tuple[bytes, int]:
    size = _FIXED.get(kind)
    if size is not None:
        return b"%d" % int.from_bytes(data[at : at + size], "little", signed=not unsigned), at + size
    number = _FLOATS.get(kind)
    if number is not None:
        if at + number.size > len(data):
            return b"", len(data)
        return repr(number.unpack_from(data, at)[0]).encode(), at + number.size
    if kind == _NULL:
        return b"", at
    if kind in _DATES or kind == _TIME:
        size = data[at]
        return _moment(data[at + 1 : at + 1 + size], kind == _TIME), at + 1 + size
    length, at = lenenc(data, at)
    if length < 0:
        return b"", len(data)
    return data[at : at + min(length, limit)], at + length


def _moment(parts: bytes, is_time: bool) -> bytes:
    """A date, datetime or time as SQL writes it."""
    if is_time:
        if len(parts) < 8:
            return b""
        hours = UINT32.unpack_from(parts, 1)[0] * 24 + parts[5]
        return b"%s%02d:%02d:%02d" % (b"-" if parts[0] else b"", hours, parts[6], parts[7])
    if len(parts) < 4:
        return b""
    date = b"%04d-%02d-%02d" % (UINT16.unpack_from(parts)[0], parts[2], parts[3])
    return date + (b" %02d:%02d:%02d" % (parts[4], parts[5], parts[6]) if len(parts) >= 7 else b"")


def skip_query_attributes(payload: bytes, limit: int) -> tuple[int, bytes]:
    """Where the text of a COM_QUERY begins, and the values of its query attributes as text.

    Attributes are told by the bytes alone: SQL does not begin with a control character (COM_QUERY, CLIENT_QUERY_ATTRIBUTES).
    """
    if len(payload) < 3 or payload[1] >= 9 or payload[2] != 1:
        return 1, b""
    count = payload[1]
    if count == 0:
        return 3, b""
    at = 3 + (count + 7) // 8
    nulls = payload[3:at]
    types, at = _named_types(payload, at + 1, count)
    after = at
    for index in range(count):
        if not nulls[index >> 3] >> (index & 7) & 1 and after < len(payload):
            _, after = _binary_value(payload, after, types[2 * index], False, limit)
    return min(after, len(payload)), binary_values(payload, at, types, nulls, 0, limit)


def _named_types(payload: bytes, at: int, count: int) -> tuple[bytes, int]:
    types = b""
    for _ in range(count):
        types += payload[at : at + 2].ljust(2, b"\x06")
        length, at = lenenc(payload, at + 2)
        at += max(length, 0)
    return types, at


def execute_values(payload: bytes, parameters: int, known_types: bytes, limit: int) -> tuple[bytes, bytes]:
    """Values of a COM_STMT_EXECUTE as text, and the types of its parameters (`known_types` where it sends none)."""
    at = 10
    named = len(payload) > 10 and payload[5] & 0x08
    if named:  # PARAMETER_COUNT_AVAILABLE
        parameters, at = lenenc(payload, at)
    if not 0 < parameters <= 0xFFFF:
        return b"", known_types
    size = (parameters + 7) // 8
    nulls = payload[at : at + size]
    at += size + 1
    if at > len(payload):
        return b"", known_types
    types = known_types
    if payload[at - 1] == 1:
        if named:
            types, at = _named_types(payload, at, parameters)
        else:
            types = payload[at : at + 2 * parameters]
            at += 2 * parameters
    if len(types) != 2 * parameters:
        return b"", known_types
    return binary_values(payload, at, types, nulls, 0, limit), types


def is_command(data: bytes, at: int) -> bool:
    """Whether a command of the client can begin at `at`, as far as it is there."""
    if at + 5 > len(data) or data[at + 3] != 0:
        return False
    length: int = HEADER.unpack_from(data, at)[0] & LENGTH
    command = data[at + 4]
    if (
        command not in COMMANDS
        or length < 1
        or length != _EXACT.get(command, length)
        or length < _LEAST.get(command, 1)
    ):
        return False
    if command in (QUERY, PREPARE):
        text = data[at + 5 : at + min(4 + length, 40)]
        if command == QUERY and text[1:2] == b"\x01" and text[0] < 9:
            return length > 4
        text = text.lstrip()
        return length > 2 and (not text or text[:1].isalpha() or text[:1] in (b"/", b"(", b"-", b"#", b"`", b"@"))
    # COM_FIELD_LIST names a table.
    return command != FIELD_LIST or data[at + 5 : at + 6] != b"\0"


def client_boundary(data: bytes, at: int) -> int | None:
    """Where a command begins that ends where the data ends, or that two more follow, or that is unmistakable SQL."""
    size = len(data)
    for found in _COMMAND.finditer(data, at + 3):
        start = found.start() - 3
        if start < at or not is_command(data, start):
            continue
        position = start
        count = 0
        while count < 3 and is_command(data, position):
            position += 4 + (HEADER.unpack_from(data, position)[0] & LENGTH)
            count += 1
        if position == size or count == 3:
            return start
        full = data[start : start + 3] == b"\xff\xff\xff"
        if start == at and (position > size or full) and data[start + 4] in (QUERY, PREPARE):
            return start
    return None


def server_boundary(data: bytes, at: int) -> int | None:
    """Where a response begins: a first packet of a known form, behind which the data end or packets go on."""
    size = len(data)
    for found in _ANSWER.finditer(data, at):
        start = found.start()
        position = start
        sequence = 1
        count = 0
        while count < 3 and position + 4 <= size and data[position + 3] in (sequence, 1):
            sequence = (data[position + 3] + 1) & 0xFF
            position += 4 + (HEADER.unpack_from(data, position)[0] & LENGTH)
            count += 1
        if position == size or count == 3:
            return start
    return None
