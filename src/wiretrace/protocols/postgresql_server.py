"""The server's direction of a PostgreSQL connection: responses.

A response runs to ReadyForQuery, or in a unit of several extended statements to the end of each statement's answer.
What the server sends while nothing is asked is a push (notifications, the end of an idle session) or control.
DataRow and CopyData are passed over header by header; the first row lends its values.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from wiretrace.model.message import Message, Result, Role, Transaction
from wiretrace.protocols.contract import Violation
from wiretrace.protocols.postgresql_wire import (
    ATTRIBUTES,
    COUNT,
    HEADER,
    LONGEST,
    READ_BYTES,
    SERVER_KINDS,
    columns,
    error_fields,
)
from wiretrace.protocols.sql_message import returned_rows, shown

if TYPE_CHECKING:
    from wiretrace.protocols.contract import Protocol

_TRANSACTIONS = {0x49: Transaction.IDLE, 0x54: Transaction.OPEN, 0x45: Transaction.FAILED}
_UNASKED = frozenset({"25P03", "57P05"})
"""idle_in_transaction_session_timeout and idle_session_timeout: errors that answer nothing."""
_ASYNCHRONOUS = frozenset(b"ANS")
"""NotificationResponse, NoticeResponse, ParameterStatus: may stand anywhere."""
_WITH_TEXT = frozenset(b"ENAC")
"""Messages that are read, not passed over."""
_EXTENDED = frozenset(b"123nst")
"""Messages that no answer to a simple Query has."""
_STEPS = (b"1\0\0\0\4", b"2\0\0\0\4", b"n\0\0\0\4")
"""ParseComplete, BindComplete and NoData, in the order in which they come."""
_READY = b"Z\0\0\0\5"
"""Header of ReadyForQuery."""
_REPEATED_BYTES = 512
"""Longest row whose reading is remembered."""

_RESPONSE, _SUCCESS, _UNTOLD = Role.RESPONSE, Result.OK, Transaction.UNKNOWN
"""Members of enumerations by a short way: looking one up in its class takes longer than all else about a small packet."""


@functools.lru_cache(maxsize=1024)
def _command_tag(tag: bytes) -> str:
    return shown(tag)


@functools.lru_cache(maxsize=4096)
def _known_row(body: bytes, limit: int) -> bytes:
    """The values of a DataRow as text, remembering the answer: the same rows are asked for again and again."""
    return columns(body, 2, COUNT.unpack_from(body)[0], limit) if len(body) >= COUNT.size else b""


class ServerReader:
    """Cuts what the server sends into responses."""

    def __init__(self, owner: Protocol, starting: bool) -> None:
        self._owner = owner
        self._context = owner.context
        self._negotiating = starting
        """The next byte may be the answer to SSLRequest or GSSENCRequest."""
        self._login = starting
        self.accepted_tls = False
        self.encrypted = False
        """GSSAPI encryption was accepted: nothing more can be read."""
        self._streaming = False
        """COPY BOTH: CopyData flows both ways until it is stopped."""
        self._stream = -1
        """Where a run of it begins."""
        self._start = -1
        """Where the response under construction begins; -1: none."""
        self._extended = False
        """The unit is one of the extended protocol."""
        self._described = False
        """A statement was described and nothing bound since."""
        self._complete = -1
        """Where the answer to an extended statement ends, if it is complete; -1: not yet."""
        self._reset()

    def _reset(self) -> None:
        self._start = self._complete = -1
        self._described = False
        self._status = ""
        self._error: dict[str, str | int] | None = None
        self._rows = 0
        self._values = b""

    def parse(self, data: bytes, at: int, base: int) -> int:
        """See `Protocol.parse`."""
        if self.encrypted or self.accepted_tls:
            return at
        size = len(data)
        while self._negotiating:
            after = self._parse_answer(data, at, base)
            if after == at or self.accepted_tls or self.encrypted:
                return after
            at = after
        read_header = HEADER.unpack_from
        try:
            while at + 5 <= size:
                if self._start < 0 and not (self._login or self._extended or self._streaming):
                    at = self._read_plain(data, at, base)
                    if at + 5 > size:
                        return at
                kind, length = read_header(data, at)
                if length < 4 or length > LONGEST or kind not in SERVER_KINDS:
                    raise Violation("not a PostgreSQL message of a server")
                end = at + 1 + length
                if kind == 0x44 and self._complete < 0 and not self._streaming:  # DataRow
                    if self._start < 0:
                        self._start = base + at
                    if not self._rows and self._context.value_bytes:
                        needed = min(end, at + 64 + 8 * self._context.value_bytes)
                        if needed > size:
                            return at
                        body = data[at + 5 : needed]
                        read = _known_row if len(body) <= _REPEATED_BYTES else _known_row.__wrapped__
                        self._values = read(body, self._context.value_bytes)
                    rows = 1
                    at = end
                    while at + 5 <= size and data[at] == 0x44:
                        length = read_header(data, at)[1]
                        if length < 4 or length > LONGEST:
                            break
                        at += 1 + length
                        rows += 1
                    self._rows += rows
                    continue
                if end > size and (kind == 0x5A or (kind in _WITH_TEXT and size - at < READ_BYTES)):
                    return at
                if self._streaming:
                    at = self._pass_stream(data, at, end, base)
                    continue
                if self._start < 0:
                    if kind in _ASYNCHRONOUS:
                        self._unasked(data, at, end, base)
                        at = end
                        continue
                    self._start = base + at
                if kind == 0x5A:  # ReadyForQuery
                    if length != 5:
                        raise Violation("not a PostgreSQL message of a server")
                    self._ready(base + end, _TRANSACTIONS.get(data[at + 5], _UNTOLD))
                    at = end
                    continue
                if self._complete >= 0:
                    if kind == 0x33 or kind in _ASYNCHRONOUS:  # CloseComplete
                        self._complete = base + end
                        at = end
                        continue
                    self._append(self._complete, False)
                    self._start = base + at
                    if kind == 0x44:
                        continue
                elif kind == 0x32 and self._described:  # BindComplete
                    self._append(base + at, False)
                    self._start = base + at
                self._read(kind, data, at, end, base)
                at = end
        except Violation:
            self.break_off(base + at, True)
            raise
        return at

    def _read_plain(self, data: bytes, at: int, base: int) -> int:
        """Whole answers to Query, or to one extended statement, that succeeded: as many as follow each other.

        The messages are those that `_read` and `_ready` make, one by one. Returns the index behind the last answer.
        """
        limit, read_header, begins, append = (
            self._context.value_bytes, HEADER.unpack_from, data.startswith, self._owner.responses.append
        )  # fmt: skip
        last = len(data) - 5
        while at <= last:
            start, rows, values = at, 0, b""
            kind = data[at]
            for step in _STEPS:
                if kind == step[0] and begins(step, at):
                    at += 5
                    if at > last:
                        return start
                    kind = data[at]
            extended = at > start
            while True:
                length = read_header(data, at)[1]
                if kind == 0x54:  # RowDescription
                    at += 1 + length
                    if at > last or not 4 <= length <= LONGEST:
                        return start
                    kind, length = read_header(data, at)
                if kind == 0x44 and not rows and limit:  # DataRow
                    if at + length >= last:
                        return start
                    body = data[at + 5 : at + min(1 + length, 64 + 8 * limit)]
                    values = (_known_row if len(body) <= _REPEATED_BYTES else _known_row.__wrapped__)(body, limit)
                while kind == 0x44:
                    at += 1 + length
                    rows += 1
                    if at > last or not 4 <= length <= LONGEST:
                        return start
                    kind, length = read_header(data, at)
                end = at + 1 + length
                if kind != 0x43 or end > last or length < 4:  # CommandComplete
                    return start
                if begins(_READY, end):
                    break
                if extended:
                    return start
                at, kind = end, data[end]
            if end + 6 > last + 5:
                return start
            status = _command_tag(data[at + 5 : end - 1]) or "READY"
            at = end + 6
            append(
                Message(
                    _RESPONSE,
                    base + start,
                    base + at,
                    "",
                    "",
                    status,
                    _SUCCESS,
                    True,
                    -1,
                    False,
                    values,
                    (),
                    returned_rows(rows) if rows else None,
                    _TRANSACTIONS.get(data[end + 5], _UNTOLD),
                )
            )
        return at

    def _read(self, kind: int, data: bytes, at: int, end: int, base: int) -> None:
        """One message of a response."""
        if kind == 0x54:  # RowDescription: the names of columns are not needed
            return
        if kind in _EXTENDED:
            self._extended = True
            if kind == 0x74:  # ParameterDescription
                self._described = True
                self._status = self._status or "PREPARE"
            elif kind == 0x73:  # PortalSuspended
                self._status = self._status or f"SUSPENDED {self._rows}"
                self._complete = base + end
            elif kind == 0x31:  # ParseComplete
                self._status = "PREPARE"
            elif kind == 0x32:  # BindComplete
                self._status = ""
            elif kind == 0x33:
                self._status = self._status or "CLOSE"
        elif kind == 0x43:  # CommandComplete
            if self._error is None:
                self._status = _command_tag(data[at + 5 : end - 1])
            if self._extended:
                self._complete = base + end
        elif kind == 0x49:  # EmptyQueryResponse
            self._status = self._status or "EMPTY"
            if self._extended:
                self._complete = base + end
        elif kind == 0x45:
            self._fail(data[at + 5 : min(end, at + READ_BYTES)], base + end)
        elif kind == 0x52:  # Authentication
            self._login = True
        elif kind == 0x56:  # FunctionCallResponse
            self._status = self._status or "OK"
        elif kind == 0x57:  # CopyBothResponse
            self._status = "COPY BOTH"
            self._append(base + end, True)
            self._streaming = True

    def _parse_answer(self, data: bytes, at: int, base: int) -> int:
        """An answer of one byte, if there is one; returns `at` to wait."""
        if at >= len(data):
            return at
        word = data[at : at + 1]
        if word not in b"SNG" or (word == b"N" and data[at + 1 : at + 2] == b"\0"):  # NoticeResponse
            self._negotiating = False
            return at
        self._owner.responses.append(
            Message(_RESPONSE, base + at, base + at + 1, status=word.decode(), attributes=ATTRIBUTES)
        )
        self.accepted_tls = word == b"S"
        self.encrypted = word == b"G"
        return at + 1

    def _ready(self, end: int, transaction: Transaction) -> None:
        if self._login:
            self._login = False
            self._status = self._status or "OK"
        self._append(end, True, transaction)
        self._extended = False

    def _append(self, end: int, closes: bool, transaction: Transaction = _UNTOLD, damaged: bool = False) -> None:
        error = self._error
        self._owner.responses.append(
            Message(
                _RESPONSE,
                self._start,
                end,
                status=self._status or "READY",
                result=_SUCCESS if error is None else Result.SERVER_ERROR,
                closes=closes,
                damaged=damaged,
                values=self._values,
                attributes=error or (returned_rows(self._rows) if self._rows else None),
                transaction=transaction,
            )
        )
        self._reset()

    def _fail(self, body: bytes, end: int) -> None:
        error = error_fields(body)
        if self._error is None:
            self._status = error.code
            self._error = {
                "db.system.name": "postgresql",
                "db.response.status_code": error.code,
                "wiretrace.error.severity": error.severity,
            }
            if self._context.keep_values:
                self._error["wiretrace.error.message"] = shown(error.text.encode())
        if self._login or error.severity in ("FATAL", "PANIC"):
            # The server closes the connection: no ReadyForQuery follows.
            self._append(end, True)
            if error.code in _UNASKED:
                message = self._owner.responses[-1]
                message.role = Role.PUSH
                message.operation = message.summary = f"{error.severity} {error.code}"

    def _unasked(self, data: bytes, at: int, end: int, base: int) -> None:
        """A message outside of any response."""
        if data[at] != 0x41:
            self._owner.responses.append(Message(Role.CONTROL, base + at, base + end))
            return
        body = data[at + 9 : min(end, at + READ_BYTES)]  # behind the process id
        channel, _, payload = body.partition(b"\0")
        operation = f"NOTIFY {shown(channel)}"
        self._owner.responses.append(
            Message(
                Role.PUSH,
                base + at,
                base + end,
                operation,
                operation,
                values=payload.rstrip(b"\0")[: self._context.value_bytes],
                attributes=ATTRIBUTES,
            )
        )

    def _pass_stream(self, data: bytes, at: int, end: int, base: int) -> int:
        """COPY BOTH: everything up to ReadyForQuery is one run that answers nothing."""
        if self._stream < 0:
            self._stream = base + at
        if data[at] == 0x5A:
            self._owner.responses.append(Message(Role.CONTROL, self._stream, base + end))
            self._stream = -1
            self._streaming = self._extended = False
        return end

    def break_off(self, end: int, lost: bool) -> None:
        """Nothing more comes, or bytes are missing: what is under construction ends at `end`."""
        if self._stream >= 0:
            self._owner.responses.append(Message(Role.CONTROL, self._stream, end))
            self._stream = -1
        if self._complete >= 0:
            # Most units are of one statement: what is missing was most likely its ReadyForQuery.
            self._append(self._complete, lost)
        elif 0 <= self._start < end and self._login and self._error is None and not lost:
            # What was asked of the client during its login is no answer to it.
            self._owner.responses.append(Message(Role.CONTROL, self._start, end))
        elif 0 <= self._start < end:
            self._append(end, True, damaged=True)
        self._reset()
        if lost:
            self._negotiating = self._login = self._streaming = self._extended = False
