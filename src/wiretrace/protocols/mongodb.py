"""MongoDB wire protocol (MongoDB's manual, "Wire Protocol"): OP_MSG, OP_COMPRESSED, and the messages before them.

Rules that hold here:

- An answer names its request (``responseTo``): messages are paired by that. A message of the client that asks for no answer
  (``moreToCome``, OP_INSERT, OP_UPDATE, OP_DELETE, OP_KILL_CURSORS) is one-way.
- Where one request brings several answers (``exhaust``), each names the one before it: the first answers the request, the
  others are pushes.
- Of a message the first bytes are read; the rest is passed over. A checksum is part of its message and not checked.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, ClassVar

from wiretrace.model.limits import Limits
from wiretrace.model.message import Message, Result, Role
from wiretrace.model.side import Side
from wiretrace.protocols.compression import unpack
from wiretrace.protocols.contract import Context, Protocol, Violation
from wiretrace.protocols.mongodb_bson import Outline
from wiretrace.protocols.mongodb_commands import Answered, Asked, answer, command, describe
from wiretrace.protocols.sql_message import shown

if TYPE_CHECKING:
    from collections.abc import Callable

REPLY, UPDATE, INSERT, QUERY, GET_MORE, DELETE, KILL_CURSORS = 1, 2001, 2002, 2004, 2005, 2006, 2007
COMMAND, COMMAND_REPLY, COMPRESSED, MSG = 2010, 2011, 2012, 2013
_FROM = (
    frozenset({UPDATE, INSERT, QUERY, GET_MORE, DELETE, KILL_CURSORS, COMMAND, COMPRESSED, MSG}),
    frozenset({REPLY, COMMAND_REPLY, COMPRESSED, MSG}),
)
"""By side: the operations that it sends."""
_ONE_WAY = frozenset({UPDATE, INSERT, DELETE, KILL_CURSORS})
_COMPRESSORS = {0: "", 1: "snappy", 2: "zlib", 3: "zstd"}
_CHECKSUM, _MORE_TO_COME, _EXHAUST_ALLOWED = 1, 2, 1 << 16
_FLAGS = _CHECKSUM | _MORE_TO_COME | _EXHAUST_ALLOWED
_QUERY_EXHAUST = 1 << 6
_CURSOR_NOT_FOUND, _QUERY_FAILURE = 1, 2
_HEADER = struct.Struct("<iIIi")
_UINT32 = struct.Struct("<I")
_INT32 = struct.Struct("<i")
_COMPRESSED_HEADER = struct.Struct("<iiB")
_REPLY_HEADER = struct.Struct("<IqiI")
_HEADER_BYTES = 16
_LONGEST = 64 << 20  # maxMessageSizeBytes is 48,000,000
_READ_BYTES = 1 << 16
_SHOWN_BYTES = 4096
_NO_ANSWER_TO = (0, 0xFFFFFFFF)  # responseTo of a request; the second is what old shells send
_OPERATION = re.compile(rb"[\xd1\xd2\xd4-\xd7\xda-\xdd]\x07\x00\x00|\x01\x00\x00\x00")
_SEQUENCES = {b"documents": "insert", b"updates": "update", b"deletes": "delete"}
_UNPACKED_BYTES = Limits().unpacked_bytes
_EXHAUSTING = Limits().pending_messages


class MongoDB(Protocol):
    """One connection to a server of MongoDB."""

    name = "mongodb"
    ports: ClassVar[frozenset[int]] = frozenset({27017, 27018, 27019})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._exhausting: dict[int, tuple[str, bool]] = {}
        """By the identifier of a message that several answers may follow: the operation, and whether it is an answer."""
        self._partial: list[tuple[int, bytes]] = [(0, b""), (0, b"")]
        """By side: offset and first bytes of a message whose rest has not arrived."""

    @classmethod
    def probe(cls, client: bytes, server: bytes) -> float:
        """See `Protocol.probe`."""
        scores = [_probe(opening, side) for side, opening in ((Side.CLIENT, client), (Side.SERVER, server)) if opening]
        return min(scores, default=0.0) if all(scores) else max(scores, default=0.0) * 0.7

    def parse(self, side: Side, data: bytes, at: int, base: int) -> int:
        """See `Protocol.parse`."""
        size = len(data)
        self._partial[side] = (0, b"")
        messages = (self.requests, self.responses)[side]
        make = self._request if side is Side.CLIENT else self._response
        while at + _HEADER_BYTES <= size:
            length, _, _, operation = _HEADER.unpack_from(data, at)
            if operation not in _FROM[side] or not _HEADER_BYTES < length <= _LONGEST:
                raise Violation("not a message of MongoDB")
            end = at + length
            if end > size and size - at < _READ_BYTES:
                self._partial[side] = (base + at, data[at : at + _SHOWN_BYTES])
                return at
            messages.append(make(data, at, min(end, size, at + _READ_BYTES), base + at, base + end))
            at = end
        return at

    def _request(self, data: bytes, at: int, end: int, start_offset: int, end_offset: int) -> Message:
        _, number, _, operation = _HEADER.unpack_from(data, at)
        data, at, end, operation = _unpacked(data, at + _HEADER_BYTES, end, operation)
        outline = Outline(self.context.value_bytes, self.context.keep_values)
        one_way = operation in _ONE_WAY
        exhausts = False
        if operation == MSG:
            flags = _UINT32.unpack_from(data, at)[0] if at + 4 <= end else 0
            one_way, exhausts = bool(flags & _MORE_TO_COME), bool(flags & _EXHAUST_ALLOWED)
            asked = _command_of(data, at + 4, end, outline)
        else:
            exhausts = operation == QUERY and bool(data[at : at + 1]) and bool(data[at] & _QUERY_EXHAUST)
            asked = _legacy(operation, data, at, end, outline)
        if exhausts:
            self._remember(number, asked.operation, False)
        return Message(
            Role.ONE_WAY if one_way else Role.REQUEST,
            start_offset,
            end_offset,
            asked.operation,
            asked.summary,
            key=number,
            values=asked.values,
            attributes=asked.attributes,
        )

    def _response(self, data: bytes, at: int, end: int, start_offset: int, end_offset: int) -> Message:
        _, number, answers_to, operation = _HEADER.unpack_from(data, at)
        data, at, end, operation = _unpacked(data, at + _HEADER_BYTES, end, operation)
        more = False
        room, keep_values = self.context.value_bytes, self.context.keep_values
        if operation == MSG:
            more = at + 4 <= end and bool(data[at] & _MORE_TO_COME)
            document = _body(data, at + 4, end)
            answered = answer(data, document, end, room, keep_values)
        elif operation == REPLY and at + 20 <= end:
            flags, cursor, _, count = _REPLY_HEADER.unpack_from(data, at)
            more = cursor != 0 and answers_to in self._exhausting
            answered = answer(data, at + 20, end, room, keep_values)
            if flags & _CURSOR_NOT_FOUND:
                answered = Answered("CursorNotFound", None, b"", True)
            elif flags & _QUERY_FAILURE:
                answered = answered._replace(failed=True)
            elif not answered.failed and count > 1:
                answered = answered._replace(attributes={"db.response.returned_rows": count})
        else:
            answered = answer(data, at, end, room, keep_values)
        stream = self._exhausting.pop(answers_to, None)
        if more:
            self._remember(number, stream[0] if stream else "answer", True)
        pushed = stream is not None and stream[1]
        operation_name = f"{stream[0]} (exhaust)" if stream is not None and pushed else ""
        return Message(
            Role.PUSH if pushed else Role.RESPONSE,
            start_offset,
            end_offset,
            operation_name,
            operation_name,
            status=answered.status,
            result=Result.SERVER_ERROR if answered.failed else Result.OK,
            key=answers_to,
            values=answered.values,
            attributes=answered.attributes,
        )

    def _remember(self, number: int, operation: str, answers: bool) -> None:
        self._exhausting[number] = (operation, answers)
        if len(self._exhausting) > _EXHAUSTING:
            del self._exhausting[next(iter(self._exhausting))]

    def resync(self, side: Side, data: bytes, at: int, base: int) -> int | None:
        """See `Protocol.resync`."""
        for found in _OPERATION.finditer(data, at + 12):
            start = found.start() - 12
            if start >= at and _is_message(data, start, side) >= 0.7:
                return start
        return None

    def lost(self, side: Side, start: int, end: int) -> None:
        """See `Protocol.lost`."""
        self._break_off(side, start)

    def finish(self, side: Side, offset: int) -> None:
        """See `Protocol.finish`."""
        self._break_off(side, offset)

    def _break_off(self, side: Side, end: int) -> None:
        """The message under construction ends at `end`."""
        start, data = self._partial[side]
        self._partial[side] = (0, b"")
        if len(data) >= _HEADER_BYTES and start < end:
            make = self._request if side is Side.CLIENT else self._response
            message = make(data, 0, len(data), start, end)
            message.damaged = True
            (self.requests, self.responses)[side].append(message)


def _unpacked(data: bytes, at: int, end: int, operation: int) -> tuple[bytes, int, int, int]:
    """The message inside OP_COMPRESSED, or the same as was given: data, where its body begins and ends, operation."""
    if operation != COMPRESSED or at + 9 > end:
        return data, at, end, operation
    original, _, compressor = _COMPRESSED_HEADER.unpack_from(data, at)
    form = _COMPRESSORS.get(compressor)
    if form is None:
        return b"", 0, 0, original
    body = data[at + 9 : end]
    if form:
        body = unpack(form, body, _UNPACKED_BYTES) or b""
    return body, 0, len(body), original


def _body(data: bytes, at: int, end: int) -> int:
    """Where the body (the section of kind 0) of OP_MSG begins; `end` where it is not there."""
    while at + 5 <= end and data[at] == 1:
        at += 1 + max(4, int(_INT32.unpack_from(data, at + 1)[0]))
    return at + 1 if at < end and data[at] == 0 else end


def _command_of(data: bytes, at: int, end: int, outline: Outline) -> Asked:
    """The command of OP_MSG: its body, and the sequences of documents that stand beside it, in any order."""
    guess = "command"
    body = end
    sequences: list[tuple[bytes, int, int]] = []
    while at + 5 <= end:
        kind = data[at]
        length = max(5, int(_INT32.unpack_from(data, at + 1)[0]))
        if kind == 1:
            name_end = data.find(b"\0", at + 5, min(end, at + 60))
            if name_end < 0:
                break
            name = data[at + 5 : name_end]
            guess = _SEQUENCES.get(name, guess)
            sequences.append((name, name_end + 1, min(at + 1 + length, end)))
        elif kind == 0:
            body = at + 1
        else:
            break
        at += 1 + length
    asked = command(data, body, end, outline, sequences=sequences) if body < end else None
    return asked or describe(guess, "", "", outline)


def _legacy(operation: int, data: bytes, at: int, end: int, outline: Outline) -> Asked:
    """A message of the protocol before OP_MSG."""
    if operation == COMMAND:
        database, after = _text(data, at, end)
        name, after = _text(data, after, end)
        return command(data, after, end, outline, database) or describe(name, database, "", outline)
    if operation == KILL_CURSORS:
        return describe("killCursors", "", "", outline)
    # Flags or a zero come first; in OP_GET_MORE, OP_UPDATE and OP_DELETE what follows the name are numbers.
    full_name, after = _text(data, at + 4, end)
    database, _, collection = full_name.partition(".")
    if operation == GET_MORE:
        return describe("getMore", database, collection, outline)
    if operation == INSERT:
        outline.add(data, after, end)
        return describe("insert", database, collection, outline)
    if operation in (UPDATE, DELETE):
        outline.add(data, after + 4, end)
        return describe("update" if operation == UPDATE else "delete", database, collection, outline)
    after += 8
    if collection == "$cmd":
        return command(data, after, end, outline, database) or describe("command", database, "", outline)
    outline.add(data, after, end)
    return describe("find", database, collection, outline)


def _text(data: bytes, at: int, end: int) -> tuple[str, int]:
    """A text that ends with a zero, and the index behind it."""
    zero = data.find(b"\0", at, end)
    return (shown(data[at:zero]), zero + 1) if zero >= 0 else ("", end)


def _probe(opening: bytes, side: Side) -> float:
    return _is_message(opening, 0, side) if len(opening) >= _HEADER_BYTES else 0.0


def _is_message(data: bytes, at: int, side: Side) -> float:
    """How surely a message of `side` begins at `at`."""
    if len(data) < at + _HEADER_BYTES + 5:
        return 0.0
    length, _, answers_to, operation = _HEADER.unpack_from(data, at)
    if operation not in _FROM[side] or not _HEADER_BYTES < length <= _LONGEST:
        return 0.0
    if (answers_to in _NO_ANSWER_TO) is (side is Side.SERVER):
        return 0.0
    return _LOOKS[operation](data, at + _HEADER_BYTES, length - _HEADER_BYTES)


def _looks_like_msg(data: bytes, at: int, length: int) -> float:
    flags: int = _UINT32.unpack_from(data, at)[0]
    if flags & ~_FLAGS or data[at + 4] not in (0, 1):
        return 0.0
    if len(data) < at + 9:
        return 0.6
    size: int = _INT32.unpack_from(data, at + 5)[0]
    return 0.95 if 5 <= size <= length - 5 else 0.0


def _looks_like_compressed(data: bytes, at: int, length: int) -> float:
    if len(data) < at + 9:
        return 0.6
    original, size, compressor = _COMPRESSED_HEADER.unpack_from(data, at)
    known = original in (_FROM[0] | _FROM[1]) - {COMPRESSED}
    return 0.95 if known and 0 <= size <= _LONGEST and compressor in _COMPRESSORS else 0.0


def _looks_like_query(data: bytes, at: int, length: int) -> float:
    """Flags or a zero, then 'database.collection'."""
    flags: int = _UINT32.unpack_from(data, at)[0]
    name_end = data.find(b"\0", at + 4, at + 4 + 200)
    name = data[at + 4 : name_end if name_end >= 0 else at + 60]
    return 0.9 if flags < 256 and b"." in name[1:] and name.isascii() and shown(name).isprintable() else 0.0


def _looks_like_command(data: bytes, at: int, length: int) -> float:
    names = data[at : at + 60].split(b"\0")
    return (
        0.8
        if names[0].decode("latin-1").isidentifier() and len(names) > 1 and names[1].decode("latin-1").isidentifier()
        else 0.0
    )


def _looks_like_reply(data: bytes, at: int, length: int) -> float:
    if len(data) < at + 24:
        return 0.0
    flags, _, first, count = _REPLY_HEADER.unpack_from(data, at)
    size: int = _INT32.unpack_from(data, at + 20)[0] if count else 5
    return 0.9 if flags < 16 and first >= 0 and count < 1 << 20 and 5 <= size <= max(5, length - 20) else 0.0


def _looks_like_document(data: bytes, at: int, length: int) -> float:
    return 0.8 if 5 <= _INT32.unpack_from(data, at)[0] <= length else 0.0


_LOOKS: dict[int, Callable[[bytes, int, int], float]] = {
    MSG: _looks_like_msg,
    COMPRESSED: _looks_like_compressed,
    REPLY: _looks_like_reply,
    COMMAND: _looks_like_command,
    COMMAND_REPLY: _looks_like_document,
    KILL_CURSORS: lambda data, at, length: 0.8 if length >= 8 and (length - 8) % 8 == 0 else 0.0,
    **dict.fromkeys((UPDATE, INSERT, QUERY, GET_MORE, DELETE), _looks_like_query),
}
