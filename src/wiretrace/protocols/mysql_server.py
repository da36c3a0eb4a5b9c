"""The server's direction of a MySQL connection: responses.

The first packet of a response has sequence number 1 and says by its first byte what follows ("COM_QUERY Response").
What one byte can not tell (the answers to COM_STMT_PREPARE, COM_STATISTICS, COM_STMT_FETCH) the client's command tells,
where it is known. Whether EOF packets stand between the parts of a result set (CLIENT_DEPRECATE_EOF) is told by their
form: an EOF packet has five bytes, the OK packet that replaces it at least seven.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from wiretrace.model.message import Message, Result, Role, Transaction
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Violation
from wiretrace.protocols.mysql_answer import (
    CURSOR,
    EOF,
    ERR,
    IN_TRANSACTION,
    MORE_RESULTS,
    OK,
    SHORTEST_OK,
    TYPE_FROM_END,
    plain_answer,
    row_values,
)
from wiretrace.protocols.mysql_wire import (
    BINLOG_DUMP,
    BINLOG_DUMP_GTID,
    CHANGE_USER,
    EXECUTE,
    FETCH,
    FIELD_LIST,
    HEADER,
    LENGTH,
    LOGIN,
    PREPARE,
    QUERY,
    READ_BYTES,
    STATISTICS,
    UINT16,
    UINT32,
    lenenc,
)
from wiretrace.protocols.sql_message import returned_rows, shown

if TYPE_CHECKING:
    from wiretrace.protocols.contract import Protocol
    from wiretrace.protocols.mysql_session import Session

_MORE_DATA, _LOCAL_INFILE = 0x01, 0xFB
"""First bytes of payloads, besides those of `mysql_answer`."""
_PROGRESS = 0xFFFF  # MariaDB: an ERR packet of this number reports progress
_ANY = -1
_UNKNOWN = -2
"""Stands for the command where the client's bytes are missing."""
_GREETING = 0x0A
_PLAINLY_ANSWERED = (QUERY, EXECUTE)
"""Commands that most often get a plain answer."""


class _Part(enum.IntEnum):
    """What the next packet of the response is."""

    FIRST = 0
    """The first packet of the response, or of its next result."""
    COLUMNS = 1
    """A column definition."""
    AFTER_COLUMNS = 2
    """An EOF packet, or already the first row."""
    ROWS = 3
    """A row, or the end of the rows."""
    LOGIN = 4
    """Part of an authentication, or its end."""
    PARAMETERS = 5
    """A definition in the answer to COM_STMT_PREPARE, or the EOF packet behind some."""
    UPLOAD = 6
    """The end of a LOCAL INFILE."""
    STREAM = 7
    """An event of a binary log: there is no end."""


_COLUMNS, _ROWS = _Part.COLUMNS, _Part.ROWS
_COUNTED = (_COLUMNS, _ROWS, _Part.PARAMETERS)
"""Parts whose packets have sequence numbers without holes: the client says nothing in between."""


_FIRST, _AFTER_COLUMNS, _LOGIN, _PARAMETERS, _UPLOAD, _STREAM, _RESPONSE, _SUCCESS, _UNTOLD, _OPEN, _IDLE = (
    _Part.FIRST,
    _Part.AFTER_COLUMNS,
    _Part.LOGIN,
    _Part.PARAMETERS,
    _Part.UPLOAD,
    _Part.STREAM,
    Role.RESPONSE,
    Result.OK,
    Transaction.UNKNOWN,
    Transaction.OPEN,
    Transaction.IDLE,
)
"""Members of enumerations by a short way: looking one up in its class takes longer than all else about a small packet."""


class ServerReader:
    """Cuts what the server sends into responses."""

    def __init__(self, owner: Protocol, session: Session, starting: bool) -> None:
        self._owner = owner
        self._context = owner.context
        self._session = session
        self._greeting = starting
        """The server's first packet comes next."""
        self._login = starting
        """The first response comes next: that to the login."""
        self.unpacked = False
        """What is given was unpacked."""
        self.packed_follows = False
        """What comes next has to be unpacked: behind the login everything is compressed."""
        self._deprecates_eof: bool | None = None
        """No EOF packets stand between the parts of a result set; None: not seen yet."""
        self._clear()

    def _clear(self) -> None:
        self._start = -1
        """Where the response under construction begins; -1: none."""
        self._command = _UNKNOWN
        self._part = _FIRST
        self._sequence = _ANY
        """The next packet's sequence number."""
        self._definitions = 0
        """Column or parameter definitions still to come."""
        self._later_definitions = 0
        """Column definitions behind the parameter definitions."""
        self._types: list[int] = []
        self._rows = 0
        self._results = 0
        self._values = b""
        self._continued = False
        """The last packet was full: the next one goes on with it."""

    def begin(self) -> None:
        """The direction was joined in front of the greeting after all."""
        self._greeting = self._login = True

    def parse(self, data: bytes, at: int, base: int) -> int:
        """See `Protocol.parse`."""
        size = len(data)
        read_header = HEADER.unpack_from
        try:
            while at + 4 <= size and (self.unpacked or not self.packed_follows):
                header: int = read_header(data, at)[0]
                length = header & LENGTH
                sequence = header >> 24
                end = at + 4 + length
                if self._continued:
                    self._continued = length == LENGTH
                    self._sequence = (sequence + 1) & 0xFF
                    at = end
                    continue
                if self._start < 0:
                    if (
                        sequence == 1
                        and not (self._login or self._greeting)
                        and (after := self._read_plain(data, at, base)) > at
                    ):
                        at = after
                        continue
                    if end > size and size - at < READ_BYTES:
                        return at
                    if self._greeting or (sequence == 0 and length and data[at + 4] == ERR):
                        self._unasked(data, at, end, base)
                        at = end
                        continue
                    if 0 < length < SHORTEST_OK and data[at + 4] == EOF and sequence > 1 and not self._login:
                        # Behind the definitions of a prepared statement, where it was not known that one would come.
                        self._owner.responses.append(Message(Role.CONTROL, base + at, base + end))
                        at = end
                        continue
                    if not self._begin(base + at):
                        return at
                    if sequence != 1 and self._command != LOGIN:
                        self._clear()
                        raise Violation("a MySQL packet of a server out of sequence")
                elif sequence != self._sequence and self._sequence != _ANY:
                    raise Violation("a MySQL packet of a server out of sequence")
                part = self._part
                if part is _COLUMNS or (part is _ROWS and self._rows):
                    after = (self._pass_definitions if part is _COLUMNS else self._pass_rows)(data, at)
                    if after > at:
                        at = after
                        continue
                if end > size and size - at < READ_BYTES:
                    return at
                self._read(data, at + 4, end, base + end)
                if length == LENGTH:
                    self._continued = True
                if self._sequence != _ANY or self._part in _COUNTED:
                    self._sequence = (sequence + 1) & 0xFF if self._start >= 0 else _ANY
                at = end
        except Violation:
            self.break_off(base + at, True)
            raise
        return at

    def _read_plain(self, data: bytes, at: int, base: int) -> int:
        """A plain answer to the command that is answered next; returns the index behind it, `at` where it is not plain."""
        session = self._session
        if not session.aligned or not session.asked or session.asked[0] not in _PLAINLY_ANSWERED:
            return at
        answer = plain_answer(data, at, session.asked[0] == EXECUTE, self._deprecates_eof, self._context.value_bytes)
        if answer is None:
            return at
        session.asked.popleft()
        end, rows, values, in_transaction, self._deprecates_eof = answer
        self._owner.responses.append(
            Message(
                _RESPONSE,
                base + at,
                base + end,
                "",
                "",
                "OK",
                _SUCCESS,
                True,
                -1,
                False,
                values,
                (),
                returned_rows(rows) if rows else None,
                _OPEN if in_transaction else _IDLE,
            )
        )
        return end

    def _begin(self, start: int) -> bool:
        """Take the command that is answered next. False: the client's side has to be read first."""
        session = self._session
        if session.aligned and not session.asked:
            if not session.ended[Side.CLIENT]:
                return False
            session.misalign()
        self._command = session.asked.popleft() if session.aligned else _UNKNOWN
        if self._login and self._command == _UNKNOWN:
            self._command = LOGIN
        self._login = False
        self._start = start
        if self._command in (LOGIN, CHANGE_USER):
            self._part = _LOGIN
        elif self._command == FIELD_LIST or self._command == FETCH:
            self._part = _ROWS
        return True

    def _read(self, data: bytes, at: int, end: int, after: int) -> None:
        """One packet of a response; `after` is the stream offset behind it."""
        part = self._part
        first = data[at] if at < end else _ANY
        length = end - at
        if first == ERR and length >= 3 and part is not _COLUMNS:
            self._fail(data[at : min(end, at + 1024)], after)
        elif part is _FIRST:
            self._read_first(data, at, end, after, first)
        elif part is _ROWS:
            if first == EOF and length < LENGTH:
                self._end_result(data, at, end, after)
            else:
                self._rows += 1
                if not self._values and self._context.value_bytes and self._command != FIELD_LIST:
                    self._values = self._row(data, at, min(end, at + READ_BYTES))
        elif part is _COLUMNS:
            raise Violation("not a MySQL column definition")
        elif part is _AFTER_COLUMNS:
            self._part = _ROWS
            self._deprecates_eof = not (first == EOF and length < SHORTEST_OK)
            if self._deprecates_eof:
                self._read(data, at, end, after)
            elif length == 5 and UINT16.unpack_from(data, at + 3)[0] & CURSOR:
                self._end_result(data, at, end, after)
        elif part is _PARAMETERS:
            self._read_definition(first, length, after)
        elif part is _LOGIN:
            if first == OK:
                self.packed_follows |= self._command == LOGIN and self._session.compressed
                self._end_result(data, at, end, after)
        elif part is _UPLOAD:
            self._part = _FIRST
            self._read_first(data, at, end, after, first)
        else:  # _STREAM
            self._owner.responses.append(Message(Role.CONTROL, after - length - 4, after))
            self._start = after

    def _pass_definitions(self, data: bytes, at: int) -> int:
        """Column definitions, as many as are there: of each only the type is needed. Returns where reading goes on."""
        size = len(data)
        remaining, sequence = self._definitions, self._sequence
        types = self._types
        while remaining and at + 4 <= size:
            header: int = HEADER.unpack_from(data, at)[0]
            end = at + 4 + (header & LENGTH)
            if end > size or header >> 24 != sequence or end - at <= 4 + TYPE_FROM_END:
                break
            types.append(data[end - TYPE_FROM_END])
            sequence = (sequence + 1) & 0xFF
            remaining -= 1
            at = end
        self._definitions, self._sequence = remaining, sequence
        if not remaining:
            self._part = _ROWS if self._deprecates_eof else _AFTER_COLUMNS
        return at

    def _pass_rows(self, data: bytes, at: int) -> int:
        """Rows that are only counted, as many as begin in the data. Returns where reading goes on."""
        size = len(data)
        rows, sequence = self._rows, self._sequence
        while at + 4 < size:
            header: int = HEADER.unpack_from(data, at)[0]
            length = header & LENGTH
            if data[at + 4] >= EOF or header >> 24 != sequence or not 0 < length < LENGTH:
                break
            sequence = (sequence + 1) & 0xFF
            rows += 1
            at += 4 + length
        self._rows, self._sequence = rows, sequence
        return at

    def _read_first(self, data: bytes, at: int, end: int, after: int, first: int) -> None:
        length = end - at
        command = self._command
        if command == STATISTICS:
            self._append(after, "OK")
        elif command in (BINLOG_DUMP, BINLOG_DUMP_GTID):
            self._append(after, "OK")
            self._start = after
            self._part = _STREAM
        elif first == OK and (command == PREPARE or (command == _UNKNOWN and length == 12 and not data[at + 9])):
            number, columns, parameters = (
                (
                    UINT32.unpack_from(data, at + 1)[0],
                    UINT16.unpack_from(data, at + 5)[0],
                    UINT16.unpack_from(data, at + 7)[0],
                )
                if length >= 9
                else (0, 0, 0)
            )
            self._session.prepared(number, parameters)
            self._definitions, self._later_definitions = parameters, columns
            self._part = _PARAMETERS
            if not parameters:
                self._definitions, self._later_definitions = columns, 0
            if not self._definitions:
                self._append(after, "OK")
        elif first == OK or (first == EOF and length < 9):
            self._end_result(data, at, end, after)
        elif first == _LOCAL_INFILE:
            self._part = _UPLOAD
            self._sequence = _ANY
        elif first == EOF or (first == _MORE_DATA and length > 9):
            self._part = _LOGIN  # an authentication whose command is not known
        else:
            columns, behind = lenenc(data, at)
            if columns <= 0 or end - behind > 1:
                raise Violation("not a MySQL response")
            self._types = []
            self._rows = 0 if not self._results else self._rows
            self._definitions = columns
            # A second byte says whether definitions follow (metadata that the client has kept are left out).
            with_definitions = end == behind or data[behind] != 0
            self._part = _COLUMNS if with_definitions else _AFTER_COLUMNS

    def _read_definition(self, first: int, length: int, after: int) -> None:
        """Definitions of parameters, then of columns, each kind with an EOF packet behind it unless that is deprecated."""
        if first == EOF and length < SHORTEST_OK:
            self._deprecates_eof = False
            if not self._definitions:
                self._definitions, self._later_definitions = self._later_definitions, 0
        else:
            if not self._definitions:
                self._deprecates_eof = True
                self._definitions, self._later_definitions = self._later_definitions, 0
            self._definitions -= 1
        if self._definitions <= 0 and not self._later_definitions:
            ended = first == EOF and length < SHORTEST_OK
            if ended or self._deprecates_eof is not False:
                self._append(after, "OK")

    def _end_result(self, data: bytes, at: int, end: int, after: int) -> None:
        """OK or EOF: the end of the response, or of one of its results."""
        first = data[at]
        values = b""
        if first == EOF and end - at < SHORTEST_OK:
            status: int = UINT16.unpack_from(data, at + 3)[0] if end - at == 5 else 0
        else:
            _, position = lenenc(data, at + 1)
            inserted, position = lenenc(data, position)
            status = UINT16.unpack_from(data, position)[0] if position + 2 <= min(end, len(data)) else 0
            values = b"%d" % inserted if inserted > 0 else b""
        self._values = self._values or values
        self._results += 1
        if status & MORE_RESULTS:
            self._part = _FIRST
            return
        self._append(after, "OK", transaction=_OPEN if status & IN_TRANSACTION else _IDLE)

    def _row(self, data: bytes, at: int, end: int) -> bytes:
        binary = self._command in (EXECUTE, FETCH) or (self._command == _UNKNOWN and at < end and data[at] == 0)
        types = tuple(bytes((kind,)) for kind in self._types) if binary else None
        return row_values(data[at:end], types, self._context.value_bytes)

    def _append(
        self,
        end: int,
        status: str,
        error: dict[str, str | int] | None = None,
        transaction: Transaction = _UNTOLD,
        damaged: bool = False,
    ) -> None:
        self._owner.responses.append(
            Message(
                _RESPONSE,
                self._start,
                end,
                status=status,
                result=_SUCCESS if error is None else Result.SERVER_ERROR,
                damaged=damaged,
                values=self._values,
                attributes=error or (returned_rows(self._rows) if self._rows else None),
                transaction=transaction,
            )
        )
        self._clear()

    def _fail(self, payload: bytes, after: int) -> None:
        number: int = UINT16.unpack_from(payload, 1)[0]
        if number == _PROGRESS:
            return
        if self._command == PREPARE and self._session.preparing:
            self._session.preparing.popleft()
        status, attributes = self._error(number, payload)
        self._append(after, status, attributes)

    def _error(self, number: int, payload: bytes) -> tuple[str, dict[str, str | int]]:
        attributes: dict[str, str | int] = {
            "db.system.name": self._session.system,
            "db.response.status_code": str(number),
        }
        state = payload[4:9]
        status = str(number)
        if payload[3:4] == b"#" and len(state) == 5 and state.isalnum() and state.isascii():
            attributes["wiretrace.sqlstate"] = state.decode("ascii")
            status = f"{number} ({state.decode('ascii')})"
        if self._context.keep_values:
            attributes["wiretrace.error.message"] = shown(payload[9:] if payload[3:4] == b"#" else payload[3:])
        return status, attributes

    def _unasked(self, data: bytes, at: int, end: int, base: int) -> None:
        """The greeting, or an error in its place or in an idle session."""
        payload = data[at + 4 : end]
        role, operation = Role.CONTROL, ""
        if payload[:1] == b"\xff" and len(payload) >= 3:
            role = Role.PUSH
            operation = f"ERROR {self._error(UINT16.unpack_from(payload, 1)[0], payload)[0]}"
        elif payload[:1] == bytes((_GREETING,)):
            self._session.system = "mariadb" if b"MariaDB" in payload[:60] else "mysql"
            self._session.greeting_end = base + end
        else:
            raise Violation("not a MySQL greeting")
        self._greeting = False
        self._owner.responses.append(Message(role, base + at, base + end, operation, operation))

    def break_off(self, end: int, lost: bool) -> None:
        """Nothing more comes, or bytes are missing: what is under construction ends at `end`."""
        if 0 <= self._start < end and self._part is not _STREAM:
            self._append(end, "", damaged=True)
        self._clear()
        if lost:
            self._greeting = self._login = False
