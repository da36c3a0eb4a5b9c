"""What a server answers in TDS ([MS-TDS] 2.2.7): a stream of tokens, read for its end, its errors and its first row.

Rules: tokens are read one after the other while they are understood, and as long as there are few rows. An answer that is
longer, or holds what is not understood, is judged by its end: it closes with a DONE token, whose size is known, and an error
stands in front of that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wiretrace.protocols.sql_message import shown
from wiretrace.protocols.tds_types import LONG, Reader, Type, Unreadable, integer, text_of, utf8

if TYPE_CHECKING:
    from wiretrace.protocols.tds_session import Session

_COLUMNS, _ROW, _ROW_WITH_NULLS, _RETURN_STATUS, _OFFSET = 0x81, 0xD1, 0xD2, 0x79, 0x78
_ERROR, _RETURN_VALUE, _ENVIRONMENT, _FEATURES = 0xAA, 0xAC, 0xE3, 0xAE
_DONE, _DONE_PROCEDURE, _DONE_IN_PROCEDURE = 0xFD, 0xFE, 0xFF
_SHORT = frozenset({0xAA, 0xAB, 0xAD, 0xE3, 0xA9, 0xA4, 0xA5, 0xED, 0xE2, 0xE5, 0xA6, 0xE6, 0x65})
"""Tokens with a length of two bytes."""
_LONG = frozenset({0xEE, 0xE4})
"""Tokens with a length of four bytes."""
_FAILED, _COUNTED, _ATTENTION = 0x0002, 0x0010, 0x0020
"""Bits of the status of a DONE token."""
_SELECT = 0x00C1
_DATABASE, _BEGUN, _COMMITTED, _ROLLED_BACK, _ENDED = 1, 8, 9, 10, 17
"""Kinds of ENVCHANGE."""
_NO_COLUMNS = 0xFFFF
_MOST_ROWS = 24
_ERROR_CLASS = 11
"""Messages of a lower class inform."""
_TAIL_BYTES = 4096


@dataclass(slots=True)
class Answer:
    """What the tokens said."""

    rows: int = 0
    error: int = 0
    """Number of the first error."""
    error_class: int = 0
    message: bytes = b""
    values: bytes = b""
    attention: bool = False
    """The server acknowledges that the client called the request off."""
    transaction: int = 0
    """1: ended, 2: begun."""
    database: str = ""
    handle: int = -1
    """The first value that the server returned, where that is a number: the handle of what it prepared."""
    columns: list[Type] = field(default_factory=list)


def read_answer(head: bytes, tail: bytes, session: Session, room: int) -> Answer:
    """Read an answer of which `head` is the beginning; `tail` is its end where that lies behind, else b""."""
    answer = Answer()
    reader = Reader(head)
    whole = False
    try:
        rows = 0
        while reader.at < len(head) and rows < _MOST_ROWS:
            rows += _token(reader, answer, session, room)
        whole = reader.at >= len(head) and not tail
    except Unreadable:
        pass
    if not whole:
        _read_end(tail or head, answer, session)
    return answer


def _token(reader: Reader, answer: Answer, session: Session, room: int) -> int:
    """One token. Returns whether it was a row."""
    token = reader.number(1)
    if token in (_ROW, _ROW_WITH_NULLS):
        _row(reader, answer, token == _ROW_WITH_NULLS, room)
        return 1
    if token in (_DONE, _DONE_PROCEDURE, _DONE_IN_PROCEDURE):
        _done(reader.take(12 if session.wide else 8), answer)
    elif token in _SHORT:
        content = reader.take(reader.number(2))
        if token == _ERROR:
            _error(content, answer)
        elif token == _ENVIRONMENT:
            _environment(content, answer)
    elif token == _COLUMNS:
        _columns(reader, answer, session)
    elif token in _LONG:
        reader.take(reader.number(4))
    elif token in (_RETURN_STATUS, _OFFSET):
        reader.take(4)
    elif token == _RETURN_VALUE:
        reader.take(2)
        reader.text(1)
        reader.take((5 if session.wide else 3) + 2)
        kind = reader.type(in_columns=False)
        value = reader.value(kind)
        if answer.handle < 0:
            answer.handle = integer(value)
    elif token == _FEATURES:
        while reader.number(1) != 0xFF:
            reader.take(reader.number(4))
    else:
        raise Unreadable
    return 0


def _columns(reader: Reader, answer: Answer, session: Session) -> None:
    count = reader.number(2)
    if count == _NO_COLUMNS:
        return
    answer.columns = []
    for _ in range(count):
        reader.take(6 if session.wide else 4)
        kind = reader.type(in_columns=True)
        if kind.code in LONG:
            for _ in range(reader.number(1) if session.wide else 1):
                reader.text(2)
        reader.text(1)
        answer.columns.append(kind)


def _row(reader: Reader, answer: Answer, with_nulls: bool, room: int) -> None:
    columns = answer.columns
    nulls = reader.take((len(columns) + 7) // 8) if with_nulls else b""
    found: list[bytes] = []
    for index, kind in enumerate(columns):
        if nulls and nulls[index >> 3] >> (index & 7) & 1:
            continue
        value = reader.value(kind)
        if not answer.values:
            text = text_of(kind, value)
            if text:
                found.append(text)
    if found:
        answer.values = b" ".join(found)[:room]


def _done(content: bytes, answer: Answer) -> None:
    status = int.from_bytes(content[:2], "little")
    if status & _COUNTED and int.from_bytes(content[2:4], "little") == _SELECT:
        answer.rows += int.from_bytes(content[4:], "little")
    answer.attention |= bool(status & _ATTENTION)
    if status & _FAILED and not answer.error:
        answer.error = -1


def _error(content: bytes, answer: Answer) -> None:
    if len(content) >= 8 and content[5] >= _ERROR_CLASS and answer.error <= 0:
        answer.error = int.from_bytes(content[:4], "little")
        answer.error_class = content[5]
        length = int.from_bytes(content[6:8], "little")
        answer.message = utf8(content[8 : 8 + 2 * length])


def _environment(content: bytes, answer: Answer) -> None:
    kind = content[0] if content else 0
    if kind == _DATABASE and len(content) > 1:
        answer.database = shown(utf8(content[2 : 2 + 2 * content[1]]))
    elif kind == _BEGUN:
        answer.transaction = 2
    elif kind in (_COMMITTED, _ROLLED_BACK, _ENDED):
        answer.transaction = 1


def _read_end(tail: bytes, answer: Answer, session: Session) -> None:
    """Judge an answer by its end: a DONE token, and an error in front of it."""
    size = 13 if session.wide else 9
    if len(tail) < size or tail[-size] not in (_DONE, _DONE_PROCEDURE, _DONE_IN_PROCEDURE):
        return
    answer.rows = 0
    _done(tail[-size + 1 :], answer)
    at = max(0, len(tail) - _TAIL_BYTES)
    while answer.error <= 0 and (at := tail.find(bytes((_ERROR,)), at)) >= 0:
        length = int.from_bytes(tail[at + 1 : at + 3], "little")
        content = tail[at + 3 : at + 3 + length]
        if len(content) == length >= 14 and _closes(tail, at + 3 + length, size):
            _error(content, answer)
        at += 1


def _closes(tail: bytes, at: int, size: int) -> bool:
    """Whether nothing but short tokens stands between `at` and the last DONE token."""
    while at < len(tail):
        token = tail[at]
        if token in (_DONE, _DONE_PROCEDURE, _DONE_IN_PROCEDURE):
            at += size
        elif token in _SHORT:
            at += 3 + int.from_bytes(tail[at + 1 : at + 3], "little")
        elif token == _RETURN_STATUS:
            at += 5
        else:
            return False
    return at == len(tail)
