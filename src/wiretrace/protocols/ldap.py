"""LDAP, the Lightweight Directory Access Protocol (RFC 4511).

Rules that hold here:

- Messages are paired by their numbers. What a search found comes in messages of its own before its result: they are pieces
  of one answer, and other answers may lie between them.
- What is bound with SASL may be wrapped behind it (RFC 4513 section 5.2.1.6). What Kerberos only signs is read (RFC 4121
  section 4.2.4); everything else is encrypted as far as we know. StartTLS hands over to TLS.
- Results of operations are errors, but for those that answer a question (compareTrue, referral, a further step of a bind).
"""

from __future__ import annotations

import struct
from typing import ClassVar

from wiretrace.model.limits import Limits
from wiretrace.model.message import Message, Result, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, Protocol, Succession, Violation
from wiretrace.protocols.ldap_operations import FINE, START_TLS, entry_values, request, result
from wiretrace.protocols.ldap_wire import (
    ABANDON,
    ANSWERS,
    BIND,
    BIND_ANSWER,
    ENTRY,
    EXTENDED,
    EXTENDED_ANSWER,
    INTERMEDIATE,
    OPERATIONS,
    REFERENCE,
    SEQUENCE,
    UNBIND,
    Envelope,
    envelope,
    is_start,
)
from wiretrace.protocols.sql_message import returned_rows, shown

_READ_BYTES = 1 << 16
_LONGEST_HEAD = 24
_LONGEST_WRAPPED = 1 << 22
_TOKEN = struct.Struct(">HBxHH")
"""Of a token of Kerberos: its kind, flags, bytes of the checksum, and by how many bytes what follows is rotated."""
_WRAP_TOKEN, _SEALED = 0x0504, 0x02
_WRAPPED_HEAD = 4 + 16
_SEQUELS = (BIND_ANSWER, EXTENDED_ANSWER)
"""Answers behind which another protocol may take over."""
_SYSTEM: dict[str, str | int] = {"db.system.name": "ldap"}
_PENDING = Limits().pending_messages


class LDAP(Protocol):
    """One connection to a directory server."""

    name = "ldap"
    ports: ClassVar[frozenset[int]] = frozenset({389, 3268})
    blocking = False
    interleaves = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._entries: dict[int, tuple[int, bytes]] = {}
        """By number: entries of a search so far, and values of the first one."""
        self._awaited: dict[int, tuple[int, str]] = {}
        """Binds and extended requests that are not answered yet, by number: offset behind each, and what may follow."""
        self._aligned = all(context.started)
        """Nothing is missing so far."""
        self._ended = [False, False]
        """By side: nothing more will come."""
        self._bound: tuple[int, int] | None = None
        """Offsets behind a bind by SASL that succeeded: what follows may be wrapped."""

    @classmethod
    def probe(cls, client: bytes, server: bytes) -> float:
        """See `Protocol.probe`."""
        asked, answered = _start(client, 0, Side.CLIENT), _start(server, 0, Side.SERVER)
        if (client and not asked) or (server and not answered):
            return 0.0
        return min(asked, answered) if client and server else max(asked, answered)

    def parse(self, side: Side, data: bytes, at: int, base: int) -> int:
        """See `Protocol.parse`."""
        size = len(data)
        messages = (self.requests, self.responses)[side]
        while at < size and self.succession is None:
            if data[at] != SEQUENCE:
                end = self._wrapped(side, data, at, base)
                if end == at:
                    return at
                at = end
                continue
            found = envelope(data, at)
            if found is None:
                if size - at >= _LONGEST_HEAD:
                    raise Violation("not a message of LDAP")
                return at
            if found.operation.tag not in (OPERATIONS, ANSWERS)[side]:
                raise Violation("not an operation of LDAP")
            if found.end > size and size - at < _READ_BYTES:
                return at
            if side is Side.SERVER and self._ahead(found):
                return at
            make = self._request if side is Side.CLIENT else self._response
            messages.append(make(data[at : min(found.end, at + _READ_BYTES)], 0, base + at))
            at = found.end
        return at

    def _ahead(self, found: Envelope) -> bool:
        """Whether the client's side has to be read before this answer: it may change what follows."""
        sequel = found.operation.tag in _SEQUELS and found.number > 0
        return sequel and found.number not in self._awaited and self._aligned and not self._ended[Side.CLIENT]

    def _wrapped(self, side: Side, data: bytes, at: int, base: int) -> int:
        """What a security layer wrapped: four bytes of length, a token, and messages if that only signs.

        Returns the index behind it; `at` where more bytes are needed, or where it can not be read.
        """
        start = at + _WRAPPED_HEAD
        if self._bound is None and self._awaited and side is Side.CLIENT and not self._ended[Side.SERVER]:
            return at
        if data[at] != 0 or (self._bound is None and all(self.context.started)):
            raise Violation("not a message of LDAP")
        if start > len(data):
            return at
        end = at + 4 + int.from_bytes(data[at : at + 4], "big")
        kind, flags, checksum, rotated = _TOKEN.unpack_from(data, at + 4)
        if kind != _WRAP_TOKEN or flags & _SEALED or end - at > _LONGEST_WRAPPED:
            if self._bound is None:
                raise Violation("not a message of LDAP")
            self.succession = Succession("sasl", *self._bound)
            return at
        if end > len(data):
            return at
        messages = (self.requests, self.responses)[side]
        first = len(messages)
        position = start + rotated
        last = end if rotated else end - checksum
        make = self._request if side is Side.CLIENT else self._response
        while position < last and data[position] == SEQUENCE and (found := envelope(data, position)) is not None:
            if found.end > last or found.operation.tag not in (OPERATIONS, ANSWERS)[side]:
                break
            messages.append(make(data[position : found.end], 0, base + position))
            position = found.end
        if len(messages) == first:
            messages.append(Message(Role.CONTROL, base + at, base + end, key=0))
        messages[first].start, messages[-1].end = base + at, base + end
        return end

    def _request(self, data: bytes, at: int, base: int) -> Message:
        found = envelope(data, at)
        assert found is not None
        tag = found.operation.tag
        number, start, end = found.number, base + at, base + found.end
        if tag == UNBIND:
            return Message(Role.CONTROL, start, end, key=0)
        asked = request(data, found.operation, self.context.keep_values, self.context.value_bytes)
        if tag == ABANDON:
            # It names another request, which gets no answer any more.
            named = int.from_bytes(data[found.operation.at : found.operation.end][:5], "big")
            return Message(Role.CANCEL, start, end, key=named)
        if tag in (BIND, EXTENDED):
            follows = "tls" if asked.operation == START_TLS else "sasl" if " SASL" in asked.summary else ""
            self._awaited[number] = end, follows
            if len(self._awaited) > _PENDING:
                del self._awaited[next(iter(self._awaited))]
        return Message(
            Role.REQUEST,
            start,
            end,
            asked.operation,
            asked.summary,
            key=number,
            values=asked.values,
            attributes={**_SYSTEM, "db.operation.name": asked.operation, **asked.attributes},
        )

    def _response(self, data: bytes, at: int, base: int) -> Message:
        found = envelope(data, at)
        assert found is not None
        tag = found.operation.tag
        number, start, end = found.number, base + at, base + found.end
        if tag in (ENTRY, REFERENCE, INTERMEDIATE):
            count, values = self._entries.get(number, (0, b""))
            if tag == ENTRY:
                values = values or entry_values(data, found.operation, self.context.value_bytes)
                count += 1
            self._entries[number] = count, values
            if len(self._entries) > _PENDING:
                del self._entries[next(iter(self._entries))]
            return Message(Role.PART, start, end, key=number)
        answered = result(data, found.operation)
        count, values = self._entries.pop(number, (0, b""))
        fine = answered.code in FINE
        attributes = returned_rows(count) if count else None
        if not fine and answered.code >= 0:
            attributes = {**_SYSTEM, "db.response.status_code": str(answered.code)}
            if self.context.keep_values and answered.message:
                attributes["wiretrace.error.message"] = shown(answered.message)
        asked_end, follows = self._awaited.pop(number, (0, "")) if tag in _SEQUELS else (0, "")
        if follows == "sasl" and answered.code == 0:
            self._bound = asked_end, end
        elif follows == "tls" and answered.code == 0:
            self.succession = Succession("tls", asked_end, end)
        pushed = number == 0
        return Message(
            Role.PUSH if pushed else Role.RESPONSE,
            start,
            end,
            "notice" if pushed else "",
            "notice" if pushed else "",
            status=answered.status,
            result=Result.OK if fine else Result.SERVER_ERROR,
            key=number,
            values=values,
            attributes=attributes,
        )

    def resync(self, side: Side, data: bytes, at: int, base: int) -> int | None:
        """See `Protocol.resync`."""
        return next((start for start in range(at, len(data)) if _start(data, start, side) >= 0.8), None)

    def lost(self, side: Side, start: int, end: int) -> None:
        """See `Protocol.lost`."""
        self._aligned = False
        if side is Side.SERVER:
            self._give_up(start)

    def finish(self, side: Side, offset: int) -> None:
        """See `Protocol.finish`."""
        self._ended[side] = True
        if side is Side.SERVER:
            self._give_up(offset)

    def _give_up(self, offset: int) -> None:
        """Answers of which entries were seen, and perhaps not the result, end as they stand."""
        for number, (count, values) in self._entries.items():
            attributes = returned_rows(count) if count else None
            self.responses.append(
                Message(
                    Role.RESPONSE, offset, offset, key=number, damaged=True, values=values, attributes=attributes,
                    result=Result.CUT_OFF,
                )
            )  # fmt: skip
        self._entries.clear()


def _start(data: bytes, at: int, side: Side) -> float:
    """How surely a message of `side`, or a token that signs one, begins at `at`."""
    if data[at : at + 1] == b"\x30":
        return is_start(data, at, side)
    if data[at : at + 1] != b"\0" or at + _WRAPPED_HEAD > len(data):
        return 0.0
    kind, flags, _, rotated = _TOKEN.unpack_from(data, at + 4)
    end = at + 4 + int.from_bytes(data[at : at + 4], "big")
    inner = at + _WRAPPED_HEAD + rotated
    if kind != _WRAP_TOKEN or flags & _SEALED or not inner < end <= at + _LONGEST_WRAPPED:
        return 0.0
    found = envelope(data, inner)
    return 0.9 if found is not None and found.operation.tag in (OPERATIONS, ANSWERS)[side] else 0.0
