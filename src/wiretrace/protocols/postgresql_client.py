"""The client's direction of a PostgreSQL connection: requests.

A request is a Query, a FunctionCall, the login, or in the extended protocol everything up to an Execute; what stands
behind the last Execute of a unit (Close, Flush, Sync) belongs to it. Statements that are prepared and not executed at
once are a request of their own, 'PREPARE ...'. Passwords and CopyData are passed over unread.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeVar

from wiretrace.model.limits import Limits
from wiretrace.model.message import Message, Role
from wiretrace.protocols.contract import Violation
from wiretrace.protocols.postgresql_wire import (
    ATTRIBUTES,
    CANCEL,
    CLIENT_KINDS,
    GSSENC,
    HEADER,
    LONGEST,
    LONGEST_STARTUP,
    PROTOCOL_3,
    READ_BYTES,
    SSL,
    STARTUP,
    SYSTEM,
    bound_values,
    startup_parameters,
)
from wiretrace.protocols.sql import Dialect
from wiretrace.protocols.sql_message import Description, Statements, describe, prepared_before, shown

if TYPE_CHECKING:
    from wiretrace.protocols.contract import Protocol

_Value = TypeVar("_Value")
_REMEMBERED = Limits().prepared_statements
_NOT_CAPTURED = Description("EXECUTE", "<not captured>", ATTRIBUTES, b"", (), 0, ("statement not captured",))
"""An unnamed statement or portal whose Parse or Bind is missing: they stand in the same unit, so that was not captured."""
_WITH_TEXT = frozenset(b"QPBEDCF")
"""Messages that are read, not passed over."""
_EXECUTIONS = tuple(describe + b"E\0\0\0\t\0\0\0\0\0S\0\0\0\4" for describe in (b"D\0\0\0\6P\0", b""))
"""Most units end so: Describe of the unnamed portal, perhaps, its Execute for all rows, Sync."""
_AFTER_BIND = (b"D", b"E")
"""Types that such an end begins with."""
_REPEATED_BYTES = 512
"""Longest parameters of a Bind whose reading is remembered."""

_DIALECT = Dialect.STANDARD
_REQUEST, _CONTROL = Role.REQUEST, Role.CONTROL
"""Members of enumerations by a short way: looking one up in its class takes longer than all else about a small packet."""


_known_values = functools.lru_cache(maxsize=4096)(bound_values)
"""As `bound_values`, remembering the answer: clients ask for the same things again and again."""


class ClientReader:
    """Cuts what the client sends into requests, and remembers its statements and portals."""

    def __init__(self, owner: Protocol, starting: bool) -> None:
        self._owner = owner
        self._context = owner.context
        self._starting = starting
        """The next message is one without a type."""
        self.negotiations = 0
        """SSLRequest and GSSENCRequest seen."""
        self._namespace = ""
        self._statements: dict[bytes, Description] = {}
        self._portals: dict[bytes, tuple[Description, bytes]] = {}
        self._shared = Statements.of(owner.context)
        self._segment = -1
        """Where the extended messages begin that belong to the next Execute; -1: none."""
        self._segment_operation = ""
        self._segment_statement: Description | None = None
        self._described = False
        """A Describe of a statement ended the preparing part of the segment."""
        self._executed: Message | None = None
        """An Execute that may still be given its Sync."""
        self._unclosed = False
        """Requests of the unit were appended, and its Sync was not."""
        self._copying = -1
        """Where a run of CopyData begins; -1: none."""
        self._copied = False
        """The run has just ended."""
        self._partial: tuple[int, int, bytes] | None = None
        """Offset, type and first bytes of a message whose rest has not arrived."""

    def begin(self) -> None:
        """The direction was joined in front of the StartupMessage after all."""
        self._starting = True

    @property
    def encrypted(self) -> bool:
        """Whether what follows can only be read by whoever reads TLS or GSSAPI."""
        return self._starting and self.negotiations > 0

    def break_off(self, end: int, lost: bool) -> None:
        """Nothing more comes, or bytes are missing: what is under construction ends at `end`."""
        partial, self._partial = self._partial, None
        if self._copying >= 0:
            # A message that has only begun is one of its own; one that had begun before takes in the run.
            if not 0 <= self._segment < self._copying:
                self._owner.requests.append(Message(_CONTROL, self._copying, end if partial is None else partial[0]))
            self._copying = -1
        if self._executed is not None:
            self._close_unit(lost)  # most units are of one statement: what is missing was most likely its Sync
        if 0 <= self._segment < end:
            self._prepared(end, True, damaged=True)
        elif partial is not None:
            start, kind, body = partial
            if kind == 0x51:
                message = self._query(body, start, end)
            else:
                message = Message(_REQUEST, start, end, "SQL", "SQL", attributes=ATTRIBUTES)
            message.damaged = True
            self._owner.requests.append(message)
        self._segment = -1
        if lost:
            self._starting = self._unclosed = False
            self._statements.pop(b"", None)
            self._portals.clear()

    def parse(self, data: bytes, at: int, base: int) -> int:
        """See `Protocol.parse`."""
        size = len(data)
        self._partial = None
        while self._starting:
            after = self._parse_startup(data, at, base)
            if after == at:
                return at
            at = after
        append = self._owner.requests.append
        read_header = HEADER.unpack_from
        try:
            while at + 5 <= size:
                kind, length = read_header(data, at)
                if length < 4 or length > LONGEST or kind not in CLIENT_KINDS:
                    raise Violation("not a PostgreSQL message of a client")
                end = at + 1 + length
                if end > size and size - at < READ_BYTES and kind in _WITH_TEXT:
                    self._partial = (base + at, kind, data[at + 5 : at + 5 + READ_BYTES])
                    return at
                start, after = base + at, base + end
                if self._copying >= 0 and kind != 0x64:
                    after_copy = after if kind in b"cf" else start
                    append(Message(_CONTROL, self._copying, after_copy))
                    self._copying = -1
                    self._copied = True
                    if kind in b"cf":
                        at = end
                        continue
                if kind == 0x53:  # Sync
                    self._sync(start, after)
                elif kind == 0x45:  # Execute
                    if self._executed is not None:
                        self._close_unit(False)
                    self._execute(data, at, start, after)
                elif kind == 0x42:  # Bind
                    if self._executed is not None:
                        self._close_unit(False)
                    elif self._described:
                        self._prepared(start, False)
                    if self._segment < 0:
                        self._segment = start
                    self._bind(data, at + 5, min(end, at + READ_BYTES))
                    if data[end : end + 1] in _AFTER_BIND and not data[at + 5]:
                        for execution in _EXECUTIONS:
                            if data.startswith(execution, end):
                                end += len(execution)
                                self._run(self._portals[b""], start, base + end)
                                self._sync(start, base + end)
                                break
                elif kind == 0x50:  # Parse
                    if self._executed is not None:
                        self._close_unit(False)
                    if self._segment < 0:
                        self._segment = start
                    self._prepare(data, at + 5, min(end, at + READ_BYTES))
                elif kind == 0x51:  # Query
                    self._leave_segment(start)
                    append(self._query(data[at + 5 : min(end - 1, at + READ_BYTES)], start, after))
                elif self._executed is not None and kind in b"CH":
                    self._executed.end = after
                    if kind == 0x43:
                        self._deallocate(data, at + 5, end)
                elif kind in b"DC" or (kind == 0x48 and self._segment >= 0):
                    if self._executed is not None:
                        self._close_unit(False)
                    if self._segment < 0:
                        self._segment = start
                    if kind == 0x44:
                        self._described = data[at + 5 : at + 6] == b"S"
                        self._segment_operation = self._segment_operation or "DESCRIBE"
                    elif kind == 0x43:
                        self._deallocate(data, at + 5, end)
                        self._segment_operation = self._segment_operation or "DEALLOCATE"
                elif kind == 0x64:  # CopyData
                    self._leave_segment(start)
                    if self._copying < 0:
                        self._copying = start
                elif kind == 0x46:  # FunctionCall
                    self._leave_segment(start)
                    append(Message(_REQUEST, start, after, "FUNCTION CALL", "FUNCTION CALL", attributes=ATTRIBUTES))
                else:  # PasswordMessage and what has its type, Flush, Terminate, CopyDone, CopyFail
                    self._leave_segment(start)
                    append(Message(_CONTROL, start, after))
                at = end
        except Violation:
            self.break_off(base + at, True)
            raise
        return at

    def _parse_startup(self, data: bytes, at: int, base: int) -> int:
        """The messages before the first one with a type: returns where the next begins, or `at` to wait."""
        if at < len(data) and data[at] == 0x16 and self.negotiations:
            return at  # TLS: the server's answer hands the connection over
        if at + 8 > len(data):
            return at
        length: int
        length, major, minor = STARTUP.unpack_from(data, at)
        code = major << 16 | minor
        if not 8 <= length <= LONGEST_STARTUP:
            raise Violation("not a PostgreSQL startup message")
        end = at + length
        start, after = base + at, base + end
        if code in (SSL, GSSENC):
            word = "SSLRequest" if code == SSL else "GSSENCRequest"
            self.negotiations += 1
            self._owner.requests.append(Message(_REQUEST, start, after, word, word, attributes=ATTRIBUTES))
        elif code == CANCEL:
            self._owner.requests.append(Message(Role.ONE_WAY, start, after, "CANCEL", "CANCEL", attributes=ATTRIBUTES))
        elif major == PROTOCOL_3:
            if end > len(data):
                return at
            parameters = startup_parameters(data[at + 8 : end])
            user = shown(parameters.get(b"user", b""))
            self._namespace = shown(parameters.get(b"database", b"")) or user
            attributes = {**ATTRIBUTES, "db.namespace": self._namespace} if self._namespace else ATTRIBUTES
            summary = f"login {user}".rstrip()
            self._owner.requests.append(Message(_REQUEST, start, after, "login", summary, attributes=attributes))
            self._starting = False
        else:
            raise Violation("not a PostgreSQL startup message")
        return end

    def _query(self, text: bytes, start: int, after: int) -> Message:
        described = self._describe(text)
        return Message(
            _REQUEST,
            start,
            after,
            described.operation,
            described.summary,
            values=described.literals[: self._context.value_bytes],
            identifiers=described.identifiers,
            attributes=described.attributes,
        )

    def _describe(self, text: bytes) -> Description:
        return describe(text, _DIALECT, SYSTEM, self._namespace, self._context.keep_values)

    def _prepare(self, data: bytes, at: int, end: int) -> None:
        name_end = data.find(b"\0", at, end)
        if name_end < 0:
            raise Violation("a Parse message without a statement name")
        text_end = data.find(b"\0", name_end + 1, end)
        described = self._describe(data[name_end + 1 : text_end if text_end >= 0 else end])
        name = data[at:name_end]
        _remember(self._statements, name, described)
        self._segment_statement = described
        if name:
            self._shared.remember(self._context.pair, shown(name), described.placeholders, described)

    def _bind(self, data: bytes, at: int, end: int) -> None:
        portal_end = data.find(b"\0", at, end)
        name_end = data.find(b"\0", portal_end + 1, end)
        if portal_end < 0 or name_end < 0:
            raise Violation("a Bind message without names")
        name = data[portal_end + 1 : name_end]
        limit = self._context.value_bytes
        body = data[name_end + 1 : min(end, name_end + 1 + 8 * limit)]
        count, values = (_known_values if len(body) <= _REPEATED_BYTES else bound_values)(body, 0, limit)
        described = self._statements.get(name)
        if described is None:
            described = self._unknown(name, count)
        if described.literals:
            values = (described.literals + b" " + values if values else described.literals)[:limit]
        _remember(self._portals, data[at:portal_end], (described, values))
        self._segment_operation = self._segment_operation or "BIND"

    def _unknown(self, name: bytes, count: int) -> Description:
        if not name:
            return _NOT_CAPTURED
        described = prepared_before(shown(name), SYSTEM, count)
        _remember(self._statements, name, described)
        return described

    def _execute(self, data: bytes, at: int, start: int, after: int) -> None:
        name_end = data.find(b"\0", at + 5, at + 5 + READ_BYTES)
        if name_end < 0:
            raise Violation("an Execute message without a portal name")
        bound = self._portals.get(data[at + 5 : name_end])
        if bound is None:
            name = shown(data[at + 5 : name_end])
            bound = (prepared_before(name, SYSTEM) if name else _NOT_CAPTURED, b"")
        self._run(bound, start, after)

    def _run(self, bound: tuple[Description, bytes], start: int, after: int) -> None:
        """What is bound is executed by a message that ends at `after`, and begins at `start` if nothing came before."""
        described, values = bound
        self._executed = Message(
            _REQUEST,
            start if self._segment < 0 else self._segment,
            after,
            described.operation,
            described.summary,
            closes=False,
            damaged=described is _NOT_CAPTURED,
            values=values,
            identifiers=described.identifiers,
            attributes=described.attributes,
            notes=described.notes,
        )
        self._segment = -1
        self._segment_operation = ""
        self._segment_statement = None
        self._described = False

    def _sync(self, start: int, after: int) -> None:
        if self._executed is not None:
            self._executed.end = after
            self._close_unit(True)
        elif self._segment >= 0:
            self._prepared(after, True)
        elif self._copied and not self._unclosed:
            # The server ignored the Sync that came before the data (manual, "COPY Operations"): this one repeats it.
            self._owner.requests.append(Message(_CONTROL, start, after))
        else:
            self._unclosed = False
            self._owner.requests.append(Message(_REQUEST, start, after, "SYNC", "SYNC", attributes=ATTRIBUTES))
        self._copied = False

    def _close_unit(self, closes: bool) -> None:
        if self._executed is not None:
            self._executed.closes = closes
            self._unclosed = not closes
            self._owner.requests.append(self._executed)
            self._executed = None

    def _prepared(self, end: int, closes: bool, damaged: bool = False) -> None:
        """Append the segment as a request of its own: statements were prepared, described or closed, none executed."""
        described = self._segment_statement
        operation = summary = self._segment_operation or "PARSE"
        attributes = ATTRIBUTES
        if described is not None:
            operation, summary = f"PREPARE {described.operation}", f"PREPARE {described.summary}"
            attributes = described.attributes
        self._owner.requests.append(
            Message(
                _REQUEST,
                self._segment,
                end,
                operation,
                summary,
                closes=closes,
                damaged=damaged,
                attributes=attributes,
            )
        )
        self._unclosed = not closes
        self._segment = -1
        self._segment_operation = ""
        self._segment_statement = None
        self._described = False

    def _leave_segment(self, start: int) -> None:
        """Another kind of message begins where a unit has not been closed."""
        if self._executed is not None:
            self._close_unit(False)
        if self._segment >= 0:
            self._prepared(start, False)

    def _deallocate(self, data: bytes, at: int, end: int) -> None:
        name = data[at + 1 : min(end - 1, at + READ_BYTES)]
        if data[at : at + 1] == b"S":
            self._statements.pop(name, None)
        else:
            self._portals.pop(name, None)


def _remember(known: dict[bytes, _Value], name: bytes, value: _Value) -> None:
    known[name] = value
    if len(known) > _REMEMBERED:
        del known[next(iter(known))]
