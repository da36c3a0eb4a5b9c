"""The two directions of a Cassandra connection: messages into requests and answers.

An answer has the number of the stream of its request. EXECUTE names a statement by what only the server's answer to PREPARE
tells: it is not read before that is, unless bytes are missing. A statement has the same name on every connection: those that
one connection prepared are known to all.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wiretrace.model.limits import Limits
from wiretrace.model.message import Message, Result, Role
from wiretrace.model.side import Side
from wiretrace.protocols.cassandra_wire import (
    BATCH,
    COMPRESSED,
    CONSISTENCIES,
    ERROR,
    ERRORS,
    EVENT,
    EXECUTE,
    FRAMED_FROM,
    HEADER,
    HEADER_BYTES,
    LONGEST_BODY,
    NAMES,
    OPERATIONS,
    PREPARE,
    QUERY,
    RESPONSE_BIT,
    RESULT,
    STARTUP,
    SUPPORTED,
    TRACED,
    VERSIONS,
    WITH_PAYLOAD,
    WITH_WARNINGS,
    Reader,
    text_of,
)
from wiretrace.protocols.compression import unpack
from wiretrace.protocols.contract import Violation
from wiretrace.protocols.sql import Dialect
from wiretrace.protocols.sql_message import Description, Statements, describe, prepared_before, returned_rows, shown

if TYPE_CHECKING:
    from wiretrace.protocols.contract import Context

SYSTEM = "cassandra"
_READ_BYTES = 1 << 16
_SHOWN_BYTES = 4096
_UNPACKED_BYTES = Limits().unpacked_bytes
_MOST_VALUES = 200
_MOST_IN_BATCH = 64
_PUSHED = 1 << 16
"""The key of what the server sends by itself: its stream has no number."""
_ROWS, _SET_KEYSPACE, _PREPARED = 2, 3, 4
"""Kinds of results."""
_GLOBAL_TABLE, _MORE_PAGES, _WITHOUT_METADATA, _CHANGED = 1, 2, 4, 8
"""Flags of the metadata of rows."""
_WITH_VALUES, _WITH_NAMES = 0x01, 0x40


@dataclass(slots=True)
class Session:
    """What the two directions tell each other. Limits bound every collection in it."""

    aligned: bool
    """Nothing is missing so far."""
    statements: dict[bytes, Description]
    """Prepared statements by their names, of all connections."""
    compression: str = ""
    """What STARTUP says of it."""
    namespace: str = ""
    """The present keyspace."""
    version: int = 0
    """Of the protocol, as STARTUP has it."""
    ended: list[bool] = field(default_factory=lambda: [False, False])
    """By side: nothing more will come."""
    preparing: dict[int, Description] = field(default_factory=dict)
    """By stream: statements whose name the server has not told yet."""
    starting: deque[int] = field(default_factory=lambda: deque(maxlen=4))
    """Streams of STARTUP that are not answered yet."""


class Messages:
    """One direction."""

    def __init__(self, context: Context, session: Session, side: Side, messages: list[Message]) -> None:
        self._context = context
        self._session = session
        self._side = side
        self._messages = messages
        self.framed_from = -1
        """Offset from which on frames carry the messages (version 5); -1: not so far."""
        self.framed = False
        """Frames were taken off: what is given is what they carried."""
        self._partial: tuple[int, bytes] = (0, b"")

    def parse(self, data: bytes, at: int, base: int) -> int:
        """As `Protocol.parse`."""
        size = len(data)
        side = self._side
        self._partial = (0, b"")
        while at + HEADER_BYTES <= size and (self.framed or self.framed_from < 0):
            version, _, _, operation, length = HEADER.unpack_from(data, at)
            if (
                version & 0x7F not in VERSIONS
                or bool(version & RESPONSE_BIT) is (side is Side.CLIENT)
                or operation not in OPERATIONS[side]
                or length > LONGEST_BODY
            ):
                raise Violation("not a message of Cassandra")
            end = at + HEADER_BYTES + length
            if end > size and size - at < _READ_BYTES:
                self._partial = (base + at, data[at : at + _SHOWN_BYTES])
                return at
            message = self._message(data, at, min(end, size, at + _READ_BYTES), base + at, base + end)
            if message is None:
                return at
            self._messages.append(message)
            at = end
        return at

    def break_off(self, end: int, lost: bool) -> None:
        """Nothing more comes, or bytes are missing: what is under construction ends at `end`."""
        start, data = self._partial
        self._partial = (0, b"")
        if len(data) >= HEADER_BYTES and start < end:
            self._session.preparing.clear()
            framed_from = self.framed_from
            message = self._message(data, 0, len(data), start, end)
            self.framed_from = framed_from
            if message is not None:
                message.damaged = True
                self._messages.append(message)

    def _message(self, data: bytes, at: int, end: int, start_offset: int, end_offset: int) -> Message | None:
        """One message; None: the server's word has to be read first."""
        version, flags, stream, operation, _ = HEADER.unpack_from(data, at)
        reader = self._body(data, at + HEADER_BYTES, end, flags, version & 0x7F)
        if self._side is Side.CLIENT:
            return self._request(reader, version, flags, stream, operation, start_offset, end_offset)
        if self._ahead(reader, flags, stream, operation):
            return None
        return self._response(reader, flags, stream, operation, start_offset, end_offset)

    def _ahead(self, reader: Reader, flags: int, stream: int, operation: int) -> bool:
        """Whether the client's side has to be read first: STARTUP, or the PREPARE that is answered."""
        session = self._session
        if not session.aligned or session.ended[Side.CLIENT]:
            return False
        if not session.version:
            return operation not in (SUPPORTED, ERROR)
        plain = operation == RESULT and not flags & (TRACED | WITH_WARNINGS | WITH_PAYLOAD)
        prepared = reader.data[reader.at : reader.at + 4] == _PREPARED.to_bytes(4, "big")
        return plain and prepared and stream not in session.preparing

    def _body(self, data: bytes, at: int, end: int, flags: int, version: int) -> Reader:
        """What a message holds, unpacked. Frames of version 5 are unpacked as a whole, and not here."""
        if not flags & COMPRESSED or version >= FRAMED_FROM:
            return Reader(data, at, end)
        form = self._session.compression or ("lz4" if data[at : at + 2] == b"\0\0" else "snappy")
        packed = data[at + 4 : end] if form == "lz4" else data[at:end]
        body = unpack(form, packed, _UNPACKED_BYTES) or b""
        return Reader(body, 0, len(body))

    def _request(
        self, reader: Reader, version: int, flags: int, stream: int, operation: int, start: int, end: int
    ) -> Message | None:
        session = self._session
        values = b""
        try:
            if flags & WITH_PAYLOAD:
                for _ in range(reader.number(2)):
                    reader.string()
                    reader.value()
            asked = self._asked(reader, version, stream, operation)
        except IndexError:
            asked = self._named(NAMES.get(operation, "CQL")), b""
        if asked is None:
            return None
        described, values = asked
        if operation == STARTUP:
            session.version = version
            session.starting.append(stream)
            if version >= FRAMED_FROM:
                self.framed_from = end
        return Message(
            Role.REQUEST,
            start,
            end,
            described.operation,
            described.summary,
            key=stream & 0xFFFF,
            values=b" ".join(filter(None, (described.literals, values)))[: self._context.value_bytes],
            identifiers=described.identifiers,
            attributes=described.attributes,
            notes=described.notes,
        )

    def _asked(self, reader: Reader, version: int, stream: int, operation: int) -> tuple[Description, bytes] | None:
        """What a request asks for, and its values; None: the server's word has to be read first."""
        session = self._session
        if operation == STARTUP:
            options = {reader.string().upper(): reader.string() for _ in range(reader.number(2))}
            session.compression = shown(options.get(b"COMPRESSION", b"")).lower()
        elif operation == QUERY:
            described = self._describe(reader.long_string())
            return self._with_parameters(described, reader, version)
        elif operation == PREPARE:
            described = self._describe(reader.long_string())
            session.preparing[stream] = described
            if len(session.preparing) > Limits().prepared_statements:
                del session.preparing[next(iter(session.preparing))]
            prepare = described._replace(
                operation=f"PREPARE {described.operation}", summary=f"PREPARE {described.summary}"
            )
            return prepare, b""
        elif operation == EXECUTE:
            name = reader.string()
            known = session.statements.get(name)
            if known is None and self._may_learn:
                return None
            if version >= FRAMED_FROM:
                reader.string()
            return self._with_parameters(known or prepared_before(name.hex()[:32], SYSTEM), reader, version)
        elif operation == BATCH:
            return self._batch(reader)
        return self._named(NAMES.get(operation, "CQL")), b""

    @property
    def _may_learn(self) -> bool:
        """Whether the server may still tell the name of a statement."""
        session = self._session
        return bool(session.preparing) and session.aligned and not session.ended[Side.SERVER]

    def _describe(self, text: bytes) -> Description:
        described = describe(text, Dialect.STANDARD, SYSTEM, self._session.namespace, self._context.keep_values)
        if described.operation[:4].upper() == "USE ":
            self._session.namespace = described.operation[4:]
        return described

    def _named(self, operation: str) -> Description:
        return Description(operation, operation, {"db.system.name": SYSTEM}, b"", (), 0)

    def _with_parameters(self, described: Description, reader: Reader, version: int) -> tuple[Description, bytes]:
        """Consistency and values, as they stand behind a statement."""
        try:
            consistency = reader.number(2)
            if consistency < len(CONSISTENCIES):
                attributes = {**described.attributes, "cassandra.consistency.level": CONSISTENCIES[consistency]}
                described = described._replace(attributes=attributes)
            flags = reader.number(4 if version >= FRAMED_FROM else 1)
            if flags & _WITH_VALUES:
                return described, self._values(reader, bool(flags & _WITH_NAMES))
        except IndexError:
            pass
        return described, b""

    def _values(self, reader: Reader, named: bool = False) -> bytes:
        found: list[bytes] = []
        room = self._context.value_bytes
        try:
            for _ in range(min(reader.number(2), _MOST_VALUES)):
                if named:
                    reader.string()
                text = text_of(reader.value())
                if text and room > 0:
                    found.append(text)
                    room -= len(text) + 1
        except IndexError:
            pass
        return b" ".join(found)

    def _batch(self, reader: Reader) -> tuple[Description, bytes] | None:
        """Statements one behind the other, by their text or by name."""
        session = self._session
        before = reader.at
        reader.number(1)
        count = reader.number(2)
        operations: dict[str, None] = {}
        summaries: dict[str, None] = {}
        values: list[bytes] = []
        notes: tuple[str, ...] = ()
        try:
            for _ in range(min(count, _MOST_IN_BATCH)):
                if reader.number(1):
                    name = reader.string()
                    known = session.statements.get(name)
                    if known is None and self._may_learn:
                        reader.at = before
                        return None
                    described = known or prepared_before(name.hex()[:32], SYSTEM)
                else:
                    described = self._describe(reader.long_string())
                operations[described.operation] = None
                summaries[described.summary] = None
                notes = notes or described.notes
                values += [described.literals, self._values(reader)]
        except IndexError:
            pass
        attributes: dict[str, str | int] = {"db.system.name": SYSTEM, "db.operation.batch.size": count}
        if session.namespace:
            attributes["db.namespace"] = session.namespace
        operation = "; ".join(list(operations)[:3])[:200]
        text = "; ".join(summaries)[:2000]
        attributes["db.query.summary"] = f"BATCH {operation}".rstrip()
        attributes["db.query.text"] = text
        return (
            Description(f"BATCH {operation}".rstrip(), f"BATCH {text}".rstrip(), attributes, b"", (), 0, notes),
            b" ".join(filter(None, values)),
        )

    def _response(self, reader: Reader, flags: int, stream: int, operation: int, start: int, end: int) -> Message:
        session = self._session
        status, result, values = NAMES.get(operation, "OK"), Result.OK, b""
        attributes: dict[str, str | int] | None = None
        pending = session.preparing.pop(stream, None) if stream >= 0 else None
        try:
            if flags & TRACED:
                reader.take(16)
            if flags & WITH_WARNINGS:
                for _ in range(reader.number(2)):
                    reader.string()
            if flags & WITH_PAYLOAD:
                for _ in range(reader.number(2)):
                    reader.string()
                    reader.value()
            if operation == ERROR:
                code = reader.number(4)
                status, result = ERRORS.get(code, f"0x{code:04x}"), Result.SERVER_ERROR
                attributes = {"db.system.name": SYSTEM, "db.response.status_code": f"0x{code:04x}"}
                if self._context.keep_values:
                    attributes["wiretrace.error.message"] = shown(reader.string())
            elif operation == RESULT:
                status = "OK"
                rows, values = self._result(reader, pending)
                attributes = returned_rows(rows) if rows else None
            elif operation == EVENT:
                status = ""
        except IndexError:
            pass
        if session.starting and stream == session.starting[0]:
            session.starting.popleft()
            if session.version >= FRAMED_FROM and operation != ERROR:
                self.framed_from = end
        name = "EVENT" if operation == EVENT else ""
        return Message(
            Role.PUSH if operation == EVENT else Role.RESPONSE,
            start,
            end,
            name,
            name,
            status=status,
            result=result,
            key=_PUSHED if operation == EVENT else stream & 0xFFFF,
            values=values,
            attributes=attributes,
        )

    def _result(self, reader: Reader, pending: Description | None) -> tuple[int, bytes]:
        """Rows of a result, and the values of the first one."""
        kind = reader.number(4)
        if kind == _SET_KEYSPACE:
            self._session.namespace = shown(reader.string())
        elif kind == _PREPARED and pending is not None:
            statements = self._session.statements
            name = reader.string()
            statements[name] = pending
            Statements.of(self._context).remember(self._context.pair, name.hex()[:32], -1, pending)
            if len(statements) > Limits().prepared_statements:
                del statements[next(iter(statements))]
        elif kind == _ROWS:
            return self._rows(reader)
        return 0, b""

    def _rows(self, reader: Reader) -> tuple[int, bytes]:
        flags, columns = reader.number(4), reader.number(4)
        if flags & _MORE_PAGES:
            reader.value()
        if flags & _CHANGED:
            reader.string()
        kinds: list[int] = []
        if not flags & _WITHOUT_METADATA:
            if flags & _GLOBAL_TABLE:
                reader.string()
                reader.string()
            for _ in range(columns):
                if not flags & _GLOBAL_TABLE:
                    reader.string()
                    reader.string()
                reader.string()
                kinds.append(reader.type())
        rows = reader.number(4)
        found: list[bytes] = []
        try:
            for index in range(min(columns, _MOST_VALUES) if rows else 0):
                value = reader.value()
                found.append(text_of(value, kinds[index]) if kinds else text_of(value))
        except IndexError:
            pass
        return rows, b" ".join(filter(None, found))[: self._context.value_bytes]
