"""The client's direction of a MySQL connection: commands, and the login.

A command is a packet with sequence number 0. Other packets of the client belong to the exchange that is going on
(authentication, LOCAL INFILE data) and are passed over unread. COM_STMT_EXECUTE names a statement by a number that only
the server's answer tells: it is not read before that answer is, unless bytes are missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wiretrace.model.message import Message, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Succession, Violation
from wiretrace.protocols.mysql_wire import (
    BULK_EXECUTE,
    CHANGE_USER,
    CLOSE,
    COMMANDS,
    EXECUTE,
    FETCH,
    HEADER,
    INIT_DB,
    LENGTH,
    LOGIN,
    PREPARE,
    QUERY,
    QUIT,
    READ_BYTES,
    SEND_LONG_DATA,
    UINT32,
    execute_values,
    is_command,
    lenenc,
    skip_query_attributes,
)
from wiretrace.protocols.sql import Dialect
from wiretrace.protocols.sql_message import Description, describe, prepared_before, shown

if TYPE_CHECKING:
    from wiretrace.protocols.contract import Protocol
    from wiretrace.protocols.mysql_session import Session

_CONNECT_WITH_DB, _COMPRESS, _PROTOCOL_41, _SSL, _SECURE, _LENENC_AUTH, _ZSTD = (
    0x8,
    0x20,
    0x200,
    0x800,
    0x8000,
    0x200000,
    0x4000000,
)
"""Capability flags of the handshake response."""
_SSL_REQUEST_BYTES = 32
_LAST_INSERTED = 0xFFFFFFFF  # MariaDB: "the statement that was prepared last"
_ONE_WAY = frozenset({SEND_LONG_DATA, CLOSE})
_BY_NUMBER = frozenset({EXECUTE, SEND_LONG_DATA, CLOSE, FETCH, 0x1A, BULK_EXECUTE})


_DIALECT = Dialect.MYSQL
_REQUEST, _CONTROL, _WITHOUT_ANSWER, _SERVER = Role.REQUEST, Role.CONTROL, Role.ONE_WAY, Side.SERVER
"""Members of enumerations by a short way: looking one up in its class takes longer than all else about a small packet."""


class ClientReader:
    """Cuts what the client sends into commands."""

    def __init__(self, owner: Protocol, session: Session, starting: bool) -> None:
        self._owner = owner
        self._context = owner.context
        self._session = session
        self._starting = starting
        """The handshake response comes next."""
        self._dialogue = starting
        """Packets of the client with other sequence numbers may follow."""
        self._continued: Message | None = None
        """A command whose packet was full: the next packet goes on with it."""
        self._attributes: dict[str, str | int] = {"db.system.name": session.system}
        self._partial: tuple[int, bytes] | None = None
        """Offset and first bytes of a command whose rest has not arrived."""

    def begin(self) -> None:
        """The direction was joined in front of the handshake response after all."""
        self._starting = self._dialogue = True

    def parse(self, data: bytes, at: int, base: int) -> int:
        """See `Protocol.parse`."""
        session = self._session
        self._partial = None
        if self._starting:
            after = self._parse_handshake(data, at, base)
            if self._starting or self._owner.succession is not None:
                return after
            at = after
        size = len(data)
        append = self._owner.requests.append
        read_header = HEADER.unpack_from
        try:
            while at + 4 <= size:
                header: int = read_header(data, at)[0]
                length = header & LENGTH
                end = at + 4 + length
                continued = self._continued
                if continued is not None:
                    if length < LENGTH:
                        continued.end = base + end
                        append(continued)
                        self._continued = None
                    at = end
                    continue
                if header > LENGTH:  # a sequence number other than 0
                    if not self._dialogue:
                        raise Violation("a MySQL packet of a client out of sequence")
                    append(Message(_CONTROL, base + at, base + end))
                    at = end
                    continue
                if session.compressed:
                    return at
                if end > size and size - at < READ_BYTES:
                    if at + 5 <= size and not is_command(data, at):
                        raise Violation("not a MySQL command")
                    self._partial = (base + at, data[at + 4 : at + READ_BYTES])
                    return at
                payload = data[at + 4 : min(end, at + READ_BYTES)]
                if not payload or payload[0] not in COMMANDS:
                    raise Violation("not a MySQL command")
                message = self._command(payload, base + at, base + end)
                if message is None:
                    return at
                if length == LENGTH:
                    self._continued = message
                else:
                    append(message)
                at = end
        except Violation:
            self.break_off(base + at, True)
            raise
        return at

    def _parse_handshake(self, data: bytes, at: int, base: int) -> int:
        """The handshake response, or the request to go on with TLS."""
        session = self._session
        if session.aligned and session.greeting_end < 0 and not session.ended[_SERVER]:
            return at
        size = len(data)
        if at + 8 > size:
            return at
        header: int = HEADER.unpack_from(data, at)[0]
        length = header & LENGTH
        end = at + 4 + length
        if header >> 24 == 0 or not 4 < length <= READ_BYTES:
            raise Violation("not a MySQL handshake response")
        if end > size:
            return at
        payload = data[at + 4 : end]
        capabilities: int = UINT32.unpack_from(payload)[0]
        self._attributes = {"db.system.name": session.system}
        if capabilities & _SSL and length == _SSL_REQUEST_BYTES:
            self._owner.requests.append(Message(_CONTROL, base + at, base + end))
            self._owner.succession = Succession("tls", base + end, max(session.greeting_end, 0), inside=self._owner)
            return end
        user, database = _credentials(payload, capabilities)
        session.namespace = shown(database)
        session.compressed = bool(capabilities & (_COMPRESS | _ZSTD)) and bool(capabilities & _PROTOCOL_41)
        attributes = dict(self._attributes)
        if session.namespace:
            attributes["db.namespace"] = session.namespace
        self._owner.requests.append(
            Message(
                _REQUEST,
                base + at,
                base + end,
                "login",
                f"login {shown(user)}".rstrip(),
                attributes=attributes,
                notes=("compressed",) if session.compressed else (),
            )
        )
        session.asked.append(LOGIN)
        self._starting = False
        return end

    def _command(self, payload: bytes, start: int, end: int) -> Message | None:
        """The message of a command; None: the server's word has to be read first."""
        session = self._session
        command = payload[0]
        values = b""
        if command in (QUERY, PREPARE):
            text_at, values = (
                skip_query_attributes(payload, self._context.value_bytes) if command == QUERY else (1, b"")
            )
            described = self._describe(payload[text_at:])
            if command == PREPARE:
                placeholders = described.summary.count("?")
                session.preparing.append(described._replace(placeholders=placeholders))
                prepare = f"PREPARE {described.operation}"
                described = described._replace(operation=prepare, summary=f"PREPARE {described.summary}")
            elif described.operation[:4].upper() == "USE ":
                session.namespace = described.operation[4:]
        elif command in _BY_NUMBER:
            if session.preparing and session.aligned and not session.ended[_SERVER] and command != CLOSE:
                return None
            described, values = self._numbered(command, payload)
        elif command == INIT_DB:
            session.namespace = shown(payload[1:])
            described = self._named(f"USE {session.namespace}")
        else:
            described = self._named(COMMANDS[command])
        if command == QUIT:
            return Message(_CONTROL, start, end)
        self._dialogue = command in (QUERY, CHANGE_USER)
        one_way = command in _ONE_WAY
        if not one_way:
            session.asked.append(command)
        if described.literals:
            values = (described.literals + b" " + values if values else described.literals)[: self._context.value_bytes]
        return Message(
            _WITHOUT_ANSWER if one_way else _REQUEST,
            start,
            end,
            described.operation,
            described.summary,
            values=values,
            identifiers=described.identifiers,
            attributes=described.attributes,
            notes=described.notes,
        )

    def _describe(self, text: bytes) -> Description:
        session = self._session
        return describe(text, _DIALECT, session.system, session.namespace, self._context.keep_values)

    def _named(self, operation: str) -> Description:
        return Description(operation, operation, self._attributes, b"", (), 0)

    def _numbered(self, command: int, payload: bytes) -> tuple[Description, bytes]:
        """A command that names its statement by number, and the values it carries."""
        session = self._session
        number: int = UINT32.unpack_from(payload, 1)[0] if len(payload) >= 5 else 0
        if number == _LAST_INSERTED and session.statements:
            number = next(reversed(session.statements))
        statement = session.statements.get(number)
        values = b""
        if command == EXECUTE and statement is not None:
            values, statement.types = execute_values(
                payload, statement.parameters, statement.types, self._context.value_bytes
            )
        if command == CLOSE:
            session.statements.pop(number, None)
        described = prepared_before(f"#{number}", session.system) if statement is None else statement.description
        if command not in (EXECUTE, BULK_EXECUTE):
            word = COMMANDS[command]
            operation = f"{word} {described.operation}" if command == FETCH else word
            described = described._replace(operation=operation, summary=f"{word} {described.summary}", literals=b"")
        return described, values

    def break_off(self, end: int, lost: bool) -> None:
        """Nothing more comes, or bytes are missing: what is under construction ends at `end`."""
        append = self._owner.requests.append
        partial, self._partial = self._partial, None
        if self._continued is not None:
            self._continued.end = end
            self._continued.damaged = True
            append(self._continued)
            self._continued = None
        elif partial is not None and partial[1]:
            start, payload = partial
            message = self._command(payload, start, end) if payload[0] in (QUERY, PREPARE) else None
            if message is None:
                message = Message(_REQUEST, start, end, "SQL", "SQL", attributes=self._attributes)
            message.damaged = True
            append(message)
        if lost:
            self._starting = False
            self._dialogue = True


def _credentials(payload: bytes, capabilities: int) -> tuple[bytes, bytes]:
    """User and default database of a handshake response; what lies between them is the password, and not read."""
    if not capabilities & _PROTOCOL_41:
        user, _, rest = payload[5:].partition(b"\0")
        return user, rest.partition(b"\0")[2].rstrip(b"\0") if capabilities & _CONNECT_WITH_DB else b""
    user_end = payload.find(b"\0", 32)
    if user_end < 0:
        return b"", b""
    user = payload[32:user_end]
    at = user_end + 1
    if capabilities & _LENENC_AUTH:
        length, at = lenenc(payload, at)
        at += max(length, 0)
    elif capabilities & _SECURE and at < len(payload):
        at += 1 + payload[at]
    else:
        at = payload.find(b"\0", at) + 1
    if not capabilities & _CONNECT_WITH_DB or at >= len(payload):
        return user, b""
    return user, payload[at:].partition(b"\0")[0]
