"""Oracle's Transparent Network Substrate, in outline: there is no public manual of what it carries.

Follows what Oracle says of connect descriptors ("Net Services Reference") and of errors ("Database Error Messages"), and
what is commonly known of packets: a length of two bytes (four from version 315 on), a type, and data.

Rules: a connection is an exchange with its answer; behind it, what a client sends at once is a request, and what the server
sends at once an answer. A packet that is as long as the agreed unit (SDU) is continued by the next one. The text of a
statement is taken where it stands in clear, and an error by its words.
"""

from __future__ import annotations

import itertools
import re
import struct
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from wiretrace.model.message import Message, Result, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, Protocol, Violation
from wiretrace.protocols.sql import Dialect
from wiretrace.protocols.sql_message import Description, describe, shown

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECT, ACCEPT, REFUSE, REDIRECT, DATA, RESEND = 1, 2, 4, 5, 6, 11
_CONTROLS = frozenset({3, 7, 12, 13, 14})
"""Acknowledgements, markers and the like: part of no exchange."""
_ABORT = 9
_FROM = (
    frozenset({CONNECT, DATA, _ABORT}) | _CONTROLS,
    frozenset({ACCEPT, REFUSE, REDIRECT, DATA, RESEND, _ABORT}) | _CONTROLS,
)
"""By side: the types of its packets."""
_SYSTEM = "oracle.db"
_ATTRIBUTES: dict[str, str | int] = {"db.system.name": _SYSTEM}
_HEADER_BYTES = 8
_LONGEST = 2 << 20
_READ_BYTES = 1 << 16
_KEPT_BYTES = 16 << 10
_DATA_FLAGS_BYTES = 2
_USUAL_UNIT = 8192
_FUNCTIONS = {
    0x02: "OPEN", 0x03: "PARSE", 0x04: "EXECUTE", 0x05: "FETCH", 0x09: "LOGOFF", 0x0C: "AUTOCOMMIT ON",
    0x0D: "AUTOCOMMIT OFF", 0x0E: "COMMIT", 0x0F: "ROLLBACK", 0x14: "CANCEL", 0x3B: "VERSION", 0x4E: "FETCH",
    0x5E: "EXECUTE", 0x60: "LOB", 0x73: "login", 0x76: "login step", 0x93: "PING",
}  # fmt: skip
"""What a client calls, by the byte behind the 3 that begins a call."""
_BEGINNINGS = {0x01: "protocol", 0x02: "data types", 0xDE: "options"}
"""What a client says before its first call, by its first byte."""
_CALL, _PIGGYBACK = 0x03, 0x11
_SECRET = frozenset({"login", "login step"})
_STATEMENT = re.compile(
    rb"(?i)(?:SELECT|INSERT|UPDATE|DELETE|MERGE|BEGIN|DECLARE|CALL|CREATE|ALTER|DROP|TRUNCATE|WITH|LOCK|EXPLAIN|GRANT"
    rb"|REVOKE|COMMENT|ANALYZE|RENAME|SAVEPOINT|SET)[\s(/]"
)
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]{0,8192}+")
_IN_PARTS = 0xFE
_MOST_TRIES = 8
"""Words that begin statements which are looked at in one message."""
_ERROR = re.compile(rb"(?:ORA|TNS)-[0-9]{5}(?=:)")
_REFUSED = re.compile(rb"\(ERR=([0-9]{1,5})\)")
_END_OF_FETCH = b"ORA-01403"
_SERVICE = re.compile(rb"\((?:SERVICE_NAME|SID)=([^()]{1,200})\)", re.IGNORECASE)
_PROGRAM = re.compile(rb"\(PROGRAM=([^()]{1,200})\)", re.IGNORECASE)
_DESCRIPTOR = re.compile(rb"\((?:DESCRIPTION|CONNECT_DATA|ADDRESS)\s*=", re.IGNORECASE)


class Packet(NamedTuple):
    """The header of a packet."""

    kind: int
    end: int
    """Index behind the packet."""


class TNS(Protocol):
    """One connection to an Oracle listener or database."""

    name = "tns"
    ports: ClassVar[frozenset[int]] = frozenset({1521, 1522, 2483})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._unit = _USUAL_UNIT
        """Longest packet, as the server says when it accepts."""
        self._told = not all(context.started)
        """The server has said how long that is, or will not."""
        self._connecting: list[int] = []
        """Where a connect began whose descriptor comes in the next packet; at most one."""
        self._start = [-1, -1]
        """By side: where the message under construction begins; -1: none."""
        self._held = [b"", b""]
        """By side: the first bytes of it."""

    @classmethod
    def probe(cls, client: bytes, server: bytes) -> float:
        """See `Protocol.probe`."""
        scores = [
            _looks(opening, 0, side) for side, opening in ((Side.CLIENT, client), (Side.SERVER, server)) if opening
        ]
        return max(scores, default=0.0) if all(scores) else 0.0

    def parse(self, side: Side, data: bytes, at: int, base: int) -> int:
        """See `Protocol.parse`."""
        size = len(data)
        take: Callable[[Packet, bytes, int, int], None] = (self._asked, self._answered)[side]
        while at + _HEADER_BYTES <= size:
            packet = _packet(data, at)
            if packet is None or packet.kind not in _FROM[side]:
                self._break_off(side, base + at)
                raise Violation("not a packet of TNS")
            if packet.end > size and size - at < _READ_BYTES:
                return at
            if not self._told and side is Side.CLIENT and packet.kind == DATA and not self._connecting:
                return at
            take(packet, data[at : min(packet.end, at + _READ_BYTES)], base + at, base + packet.end)
            at = packet.end
        return at

    def _asked(self, packet: Packet, content: bytes, start: int, end: int) -> None:
        """A packet of the client."""
        if packet.kind == CONNECT:
            at = int.from_bytes(content[26:28], "big")
            length = int.from_bytes(content[24:26], "big")
            if at + length > len(content) and at >= len(content) > 28:
                self._connecting = [start]
            else:
                self.requests.append(_connection(content[at : at + length], start, end))
        elif packet.kind == DATA and self._connecting:
            self.requests.append(_connection(content[_HEADER_BYTES + _DATA_FLAGS_BYTES :], self._connecting.pop(), end))
        elif packet.kind == DATA:
            self._data(Side.CLIENT, content, start, end)
        else:
            self._control(Side.CLIENT, start, end)

    def _answered(self, packet: Packet, content: bytes, start: int, end: int) -> None:
        """A packet of the server."""
        status, result = "", Result.OK
        attributes: dict[str, str | int] | None = None
        if packet.kind == DATA:
            self._data(Side.SERVER, content, start, end)
            return
        if packet.kind == ACCEPT:
            status = "accepted"
            self._told = True
            self._unit = max(512, int.from_bytes(content[12:14], "big"))
            if int.from_bytes(content[8:10], "big") >= 315 and len(content) >= 36:
                self._unit = max(self._unit, min(_LONGEST, struct.unpack_from(">I", content, 32)[0]))
        elif packet.kind == REDIRECT:
            status = "redirected"
        elif packet.kind == RESEND:
            status = "resend"
        elif packet.kind == REFUSE:
            found = _REFUSED.search(content)
            status = f"TNS-{int(found[1]):05d}" if found else "refused"
            result = Result.SERVER_ERROR
            attributes = {**_ATTRIBUTES, "db.response.status_code": status}
        else:
            self._control(Side.SERVER, start, end)
            return
        self.responses.append(Message(Role.RESPONSE, start, end, status=status, result=result, attributes=attributes))

    def _control(self, side: Side, start: int, end: int) -> None:
        self._break_off(side, start, damaged=False)
        (self.requests, self.responses)[side].append(Message(Role.CONTROL, start, end))

    def _data(self, side: Side, content: bytes, start: int, end: int) -> None:
        """A packet with data: it begins, goes on with, or ends a message."""
        if self._start[side] < 0:
            self._start[side] = start
        if len(self._held[side]) < _KEPT_BYTES:
            self._held[side] += content[_HEADER_BYTES + _DATA_FLAGS_BYTES :]
        if end - start < self._unit:
            self._finish_message(side, end)

    def _finish_message(self, side: Side, end: int, *, damaged: bool = False) -> None:
        start, content = self._start[side], self._held[side]
        self._start[side], self._held[side] = -1, b""
        message = self._call(content, start, end) if side is Side.CLIENT else self._reply(content, start, end)
        message.damaged = damaged
        (self.requests, self.responses)[side].append(message)

    def _call(self, content: bytes, start: int, end: int) -> Message:
        """What a client calls."""
        name = _function(content)
        described = Description(name, name, _ATTRIBUTES, b"", (), 0)
        if name not in _SECRET:
            statement = _statement(content)
            if statement:
                described = describe(statement, Dialect.STANDARD, _SYSTEM, "", self.context.keep_values)
        return Message(
            Role.REQUEST,
            start,
            end,
            described.operation,
            described.summary,
            values=described.literals[: self.context.value_bytes],
            identifiers=described.identifiers,
            attributes=described.attributes,
        )

    def _reply(self, content: bytes, start: int, end: int) -> Message:
        """What a server answers."""
        found = _ERROR.search(content)
        if found is None or found[0] == _END_OF_FETCH:
            return Message(Role.RESPONSE, start, end, status="OK")
        status = found[0].decode("ascii")
        attributes: dict[str, str | int] = {**_ATTRIBUTES, "db.response.status_code": status}
        if self.context.keep_values:
            attributes["wiretrace.error.message"] = shown(content[found.end() + 1 : found.end() + 300])
        return Message(Role.RESPONSE, start, end, status=status, result=Result.SERVER_ERROR, attributes=attributes)

    def resync(self, side: Side, data: bytes, at: int, base: int) -> int | None:
        """See `Protocol.resync`."""
        return next((start for start in range(at, len(data) - 10) if _looks(data, start, side) >= 0.6), None)

    def lost(self, side: Side, start: int, end: int) -> None:
        """See `Protocol.lost`."""
        self._told = True
        self._break_off(side, start)

    def finish(self, side: Side, offset: int) -> None:
        """See `Protocol.finish`."""
        self._told = True
        self._break_off(side, offset)

    def _break_off(self, side: Side, end: int, *, damaged: bool = True) -> None:
        """What is under construction ends at `end`."""
        if side is Side.CLIENT and self._connecting:
            start = self._connecting.pop()
            message = _connection(b"", start, end)
            message.damaged = True
            self.requests.append(message)
        elif 0 <= self._start[side] < end:
            self._finish_message(side, end, damaged=damaged)
        self._start[side], self._held[side] = -1, b""


def _packet(data: bytes, at: int) -> Packet | None:
    """The packet whose header is at `at`; None: it is none."""
    length = int.from_bytes(data[at : at + 2], "big")
    if length < _HEADER_BYTES:
        length = int.from_bytes(data[at : at + 4], "big")
    elif data[at + 2] or data[at + 3]:
        return None  # a checksum, which nobody sends
    if not _HEADER_BYTES <= length <= _LONGEST:
        return None
    return Packet(data[at + 4], at + length)


def _connection(descriptor: bytes, start: int, end: int) -> Message:
    """What a client wants to be connected to."""
    attributes: dict[str, str | int] = dict(_ATTRIBUTES)
    service = _SERVICE.search(descriptor)
    program = _PROGRAM.search(descriptor)
    name = shown(service[1]) if service else ""
    if name:
        attributes["db.namespace"] = name
    if program:
        attributes["wiretrace.tns.program"] = shown(program[1])
    return Message(Role.REQUEST, start, end, "connect", f"connect {name}".rstrip(), attributes=attributes)


def _function(content: bytes) -> str:
    """What a client calls, by the first bytes of what it sends."""
    first = content[:1]
    if first and first[0] in _BEGINNINGS:
        return _BEGINNINGS[first[0]]
    if first and first[0] == _PIGGYBACK:
        # Something that is sent along, and needs no answer, comes first.
        at = content.find(b"\x03\x5e", 1, 200)
        return _FUNCTIONS[0x5E] if at >= 0 else "CALL"
    if first and first[0] == _CALL and len(content) > 1:
        return _FUNCTIONS.get(content[1], "CALL")
    return "CALL"


def _statement(content: bytes) -> bytes:
    """The text of a statement that stands in clear, behind its length or in parts with a length each."""
    for found in itertools.islice(_STATEMENT.finditer(content), _MOST_TRIES):
        at = found.start()
        before = content[max(0, at - 2) : at]
        if len(before) == 2 and before[0] == _IN_PARTS:
            return _joined(content, at - 1)
        run = _TEXT.match(content, at)
        text = run[0] if run else b""
        if before and 0 < before[-1] <= len(text):
            return text[: before[-1]]
        if not before[-1:].isalnum():
            return text
    return b""


def _joined(content: bytes, at: int) -> bytes:
    """Parts with a length each, up to an empty one."""
    text = b""
    while at < len(content) and (length := content[at]):
        text += content[at + 1 : at + 1 + length]
        at += 1 + length
    return text


def _looks(data: bytes, at: int, side: Side) -> float:
    """How surely a packet of `side` begins at `at`."""
    size = len(data)
    if at + _HEADER_BYTES + 2 > size:
        return 0.0
    packet = _packet(data, at)
    if packet is None or packet.kind not in _FROM[side] or data[at + 5] & ~0x3F or data[at + 6] or data[at + 7]:
        return 0.0
    if packet.end < size:
        following = _packet(data, packet.end) if packet.end + _HEADER_BYTES <= size else packet
        if following is None or following.kind not in _FROM[side]:
            return 0.0
    if packet.kind == CONNECT:
        version = int.from_bytes(data[at + 8 : at + 10], "big")
        if not 256 <= version <= 512:
            return 0.0
        return 0.95 if _DESCRIPTOR.search(data, at, min(packet.end + 400, size)) else 0.6
    if packet.kind == ACCEPT:
        return 0.8 if 256 <= int.from_bytes(data[at + 8 : at + 10], "big") <= 512 else 0.0
    if packet.kind in (REFUSE, REDIRECT):
        return 0.9 if b"(" in data[at + 10 : at + 14] else 0.0
    if packet.kind == RESEND:
        return 0.6 if packet.end - at == _HEADER_BYTES else 0.0
    if packet.kind != DATA or data[at + 8] or data[at + 9] & ~0x60:
        return 0.0
    first = data[at + 10 : at + 12]
    known = (
        first[:1] == b"\x03" and first[-1] in _FUNCTIONS
        if side is Side.CLIENT
        else first[:1] in b"\x04\x06\x08\x10\x17"
    )
    return 0.65 if known and len(first) == 2 and packet.end <= size else 0.0
