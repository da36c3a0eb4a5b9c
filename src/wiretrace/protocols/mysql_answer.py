"""Plain answers of a MySQL server, each read at once: an OK packet, or one result set that is there to its end.

Rules: what an answer says is exactly what `mysql_server.ServerReader` reads of it packet by packet. Whatever is not plain
(errors, several results, cursors, packets out of sequence, an end that has not come) is left to it, and nothing is kept.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from wiretrace.protocols.mysql_wire import HEADER, LENGTH, READ_BYTES, UINT16, binary_values, lenenc, text_row

OK, EOF, ERR = 0x00, 0xFE, 0xFF
"""First bytes of payloads."""
IN_TRANSACTION, MORE_RESULTS, CURSOR = 0x0001, 0x0008, 0x0040
"""Status flags (SERVER_STATUS_IN_TRANS, SERVER_MORE_RESULTS_EXISTS, SERVER_STATUS_CURSOR_EXISTS)."""
SHORTEST_OK = 7
"""Bytes of an OK packet that replaces EOF; an EOF packet has five, before MySQL 4.1 one."""
TYPE_FROM_END = 6
"""Where the type of a column definition stands: type, flags (2), decimals, filler (2)."""
MOST_COLUMNS = 250
"""Columns that one byte counts."""
REPEATED_BYTES = 512
"""Longest row whose values are remembered: the same rows are asked for again and again."""


class PlainAnswer(NamedTuple):
    """What a plain answer says."""

    end: int
    """Index behind its last byte."""
    rows: int
    values: bytes
    """Those of its first row, or the row number that an INSERT has given."""
    in_transaction: bool
    deprecates_eof: bool | None
    """Whether no EOF packets stand between the parts of a result set; None: it does not show."""


def plain_answer(data: bytes, at: int, binary: bool, deprecates_eof: bool | None, limit: int) -> PlainAnswer | None:
    """The answer that begins at `at`, where a packet header is; None where it is not plain.

    `binary`: its rows are those of a prepared statement. `deprecates_eof` is what earlier answers showed. Values are given
    up to `limit` bytes.
    """
    size, read_header = len(data), HEADER.unpack_from
    header: int = read_header(data, at)[0]
    length, end = header & LENGTH, at + 4 + (header & LENGTH)
    if header >> 24 != 1 or not 0 < length < LENGTH or end > size:
        return None
    columns = data[at + 4]
    if columns == OK:
        return _ended(data, at + 4, end, 0, b"", deprecates_eof)
    if columns > MOST_COLUMNS or length > 2:
        return None
    defined = length == 1 or data[at + 5] != 0
    at, sequence = end, 2
    types = []
    for _ in range(columns if defined else 0):
        if at + 4 > size:
            return None
        header = read_header(data, at)[0]
        end = at + 4 + (header & LENGTH)
        if end > size or header >> 24 != sequence or end - at <= 4 + TYPE_FROM_END:
            return None
        types.append(data[end - TYPE_FROM_END : end - TYPE_FROM_END + 1])
        sequence = (sequence + 1) & 0xFF
        at = end
    if at + 5 > size:
        return None
    if not (defined and deprecates_eof):
        header = read_header(data, at)[0]
        length, end = header & LENGTH, at + 4 + (header & LENGTH)
        deprecates_eof = not (data[at + 4] == EOF and 0 < length < SHORTEST_OK)
        if not deprecates_eof:
            cursor = length == 5 and end <= size and UINT16.unpack_from(data, at + 7)[0] & CURSOR
            if header >> 24 != sequence or end + 5 > size or cursor:
                return None
            sequence = (sequence + 1) & 0xFF
            at = end
    rows, values = 0, b""
    while True:
        header = read_header(data, at)[0]
        length, end = header & LENGTH, at + 4 + (header & LENGTH)
        if header >> 24 != sequence or not 0 < length < LENGTH or end > size or data[at + 4] == ERR:
            return None
        if data[at + 4] == EOF:
            return _ended(data, at + 4, end, rows, values, deprecates_eof)
        if end + 5 > size:
            return None
        if not rows and limit:
            values = row_values(data[at + 4 : min(end, at + 4 + READ_BYTES)], tuple(types) if binary else None, limit)
        rows += 1
        sequence = (sequence + 1) & 0xFF
        at = end


def _ended(data: bytes, at: int, end: int, rows: int, values: bytes, deprecates_eof: bool | None) -> PlainAnswer | None:
    """The answer whose last payload, OK or EOF, is ``data[at:end]``; None where another result follows."""
    if data[at] == EOF and end - at < SHORTEST_OK:
        status: int = UINT16.unpack_from(data, at + 3)[0] if end - at == 5 else 0
    else:
        _, position = lenenc(data, at + 1)
        inserted, position = lenenc(data, position)
        status = UINT16.unpack_from(data, position)[0] if position + 2 <= end else 0
        values = values or (b"%d" % inserted if inserted > 0 else b"")
    if status & MORE_RESULTS:
        return None
    return PlainAnswer(end, rows, values, bool(status & IN_TRANSACTION), deprecates_eof)


def row_values(row: bytes, types: tuple[bytes, ...] | None, limit: int) -> bytes:
    """The values of a row as text, up to `limit` bytes; `types` are those of its columns in a row of binary values."""
    return (_known_values if len(row) <= REPEATED_BYTES else _known_values.__wrapped__)(row, types, limit)


@functools.lru_cache(maxsize=4096)
def _known_values(row: bytes, types: tuple[bytes, ...] | None, limit: int) -> bytes:
    """As `row_values`, remembering the answer."""
    if types is None:
        return text_row(row, 0, len(row), limit)
    behind = 1 + (len(types) + 9) // 8  # the bitmap of a row begins at its third bit
    return binary_values(row, behind, b"".join(kind + b"\0" for kind in types), row[1:behind], 2, limit)
