"""The two directions of a TDS connection, or of one session of several on it: packets into messages.

A packet has a type, a status of which one bit ends the message, its length, and a number that begins with 1 in each message.
Of a message the first bytes are kept, and of an answer its last packets, because its end judges it.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from wiretrace.model.limits import Limits
from wiretrace.model.message import Message, Result, Role, Transaction
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Violation
from wiretrace.protocols.sql_message import returned_rows, shown
from wiretrace.protocols.tds_requests import request
from wiretrace.protocols.tds_session import (
    ATTENTION,
    BATCH,
    BULK,
    FEDERATED,
    LOGIN,
    OLD_LOGIN,
    OLD_QUERY,
    PRELOGIN,
    RPC,
    SSPI,
    SYSTEM,
    TABULAR,
    TRANSACTION,
)
from wiretrace.protocols.tds_tokens import Answer, read_answer

if TYPE_CHECKING:
    from wiretrace.protocols.contract import Context
    from wiretrace.protocols.tds_session import Session

_HEADER = struct.Struct(">BBHHBB")
_HEADER_BYTES = 8
_END, _IGNORE = 0x01, 0x02
_LONGEST_PACKET = 32767
_KEPT_BYTES = 32 << 10
LONGEST_HANDSHAKE = Limits().tls_handshake_bytes
_TLS_HANDSHAKE = b"\x16\x03"
_FROM = (
    frozenset(
        {
            BATCH, OLD_LOGIN, RPC, ATTENTION, BULK, FEDERATED, TRANSACTION, OLD_QUERY, LOGIN, SSPI, PRELOGIN,
        }
    ),
    frozenset({TABULAR, PRELOGIN}),
)  # fmt: skip
"""By side: the types of its packets."""
_ENCRYPTION = 1
"""The option of PRELOGIN that speaks of it; 0xFF ends the options."""
_FIRST_TOKENS = frozenset(
    {
        0x00, 0x81, 0xAA, 0xAB, 0xAC, 0xAD, 0xAE, 0xE3, 0xE5, 0xE2, 0xED, 0xEE, 0xFD, 0xFE, 0xFF, 0x79, 0xA6, 0xE4, 0xD1,
    }
)  # fmt: skip
"""What an answer begins with; 0 is the first option of an answer to PRELOGIN."""
_GOES_ON = (OLD_LOGIN, OLD_QUERY)
"""In TDS 5.0 a login goes on with a packet of the other type."""
_STATES = (Transaction.UNKNOWN, Transaction.IDLE, Transaction.OPEN)


class Messages(ABC):
    """One direction."""

    def __init__(self, context: Context, session: Session, side: Side) -> None:
        self.context = context
        self.session = session
        self._side = side
        self.handshake = bytearray()
        """The records of a TLS handshake that messages of the pre-login carried ([MS-TDS] 3.2.5.1)."""
        self._types = _FROM[side]
        self._clear()

    def _clear(self) -> None:
        self._start = -1
        self._kind = 0
        self._head = b""
        self._tail: list[bytes] = []

    login: Message | None = None
    """The client's login."""
    waits = False
    """Whether the last packet was not read because the other side's word is needed first."""

    @property
    def inside(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._start >= 0

    def packet(self, data: bytes, at: int, base: int, messages: list[Message]) -> int:
        """Read the packet at `at`, if it is all there; returns the index behind it, or `at`. Appends a message that ends."""
        kind, status, length, _, _, window = _HEADER.unpack_from(data, at)
        if kind not in self._types or not _HEADER_BYTES <= length <= _LONGEST_PACKET or window:
            self.break_off(base + at, messages)
            raise Violation("not a packet of TDS")
        end: int = at + length
        if end > len(data):
            return at
        if self._start < 0:
            self.waits = self._must_wait(kind)
            if self.waits:
                return at
            self._start, self._kind = base + at, kind
        elif kind != self._kind and (self._kind, kind) != _GOES_ON:
            self.break_off(base + at, messages)
            raise Violation("a message of TDS with packets of several types")
        if kind == PRELOGIN and (self.handshake or data.startswith(_TLS_HANDSHAKE, at + _HEADER_BYTES)):
            self.handshake += data[at + _HEADER_BYTES : end][: LONGEST_HANDSHAKE - len(self.handshake)]
        final = bool(status & _END) or kind == ATTENTION
        keep = (self._start, self._head, self._tail[:])
        if len(self._head) < _KEPT_BYTES and kind != BULK:
            self._head += data[at + _HEADER_BYTES : end]
        else:
            self._tail = [*self._tail[-1:], data[at + _HEADER_BYTES : end]]
        if final:
            message = self._message(base + end, ignored=bool(status & _IGNORE))
            self.waits = message is None
            if message is None:
                self._start, self._head, self._tail = keep
                if base + at == self._start:
                    self._clear()
                return at
            messages.append(message)
            self._clear()
        return end

    def break_off(self, end: int, messages: list[Message]) -> None:
        """Nothing more comes, or bytes are missing: what is under construction ends at `end`."""
        if 0 <= self._start < end:
            message = self._message(end, ignored=False, cut=True)
            if message is not None:
                message.damaged = True
                messages.append(message)
        self._clear()

    def _must_wait(self, kind: int) -> bool:
        """Whether a message that begins with a packet of `kind` can only be read once the other side was."""
        return False

    @abstractmethod
    def _message(self, end: int, *, ignored: bool, cut: bool = False) -> Message | None:
        """The message under construction; None: the other side's word has to be read first."""


class ClientMessages(Messages):
    """What the client sends."""

    def __init__(self, context: Context, session: Session) -> None:
        super().__init__(context, session, Side.CLIENT)

    def _message(self, end: int, *, ignored: bool, cut: bool = False) -> Message | None:
        """The message under construction; None: the server's word has to be read first."""
        session, kind = self.session, self._kind
        if kind == PRELOGIN:
            if not self.handshake:
                session.asked.append(PRELOGIN)
            return Message(Role.CONTROL, self._start, end)
        if kind == ATTENTION:
            session.asked.append(ATTENTION)
            return Message(Role.CONTROL, self._start, end)
        asked = request(kind, self._head, session, self.context)
        if asked is None:
            if not cut:
                return None
            session.preparing.clear()
            asked = request(kind, self._head, session, self.context)
            assert asked is not None
        described = asked.described
        if not cut:
            session.asked.append(kind)
        message = Message(
            Role.ONE_WAY if ignored else Role.REQUEST,
            self._start,
            end,
            described.operation,
            described.summary,
            values=asked.values,
            identifiers=described.identifiers,
            attributes=described.attributes,
            notes=described.notes,
        )
        if kind == LOGIN:
            self.login = message
        return message


class ServerMessages(Messages):
    """What the server sends."""

    def __init__(self, context: Context, session: Session) -> None:
        super().__init__(context, session, Side.SERVER)

    def _must_wait(self, kind: int) -> bool:
        session = self.session
        # Records of the TLS handshake come in packets of the pre-login, and answer nothing that was asked.
        if session.aligned and not session.asked and kind != PRELOGIN:
            if not session.ended[Side.CLIENT]:
                return True
            session.misalign()
        return False

    def _message(self, end: int, *, ignored: bool, cut: bool = False) -> Message | None:
        session = self.session
        if self._kind == PRELOGIN:
            return Message(Role.CONTROL, self._start, end)
        asked = session.asked.popleft() if session.aligned and session.asked else 0
        if asked == PRELOGIN or (not asked and self._head[:1] == b"\0"):
            session.encryption = _encryption(self._head)
            return Message(Role.CONTROL, self._start, end)
        tail = b"".join(self._tail)
        answer = read_answer(self._head, tail, session, self.context.value_bytes)
        if answer.attention:
            if asked == ATTENTION:
                return Message(Role.CONTROL, self._start, end)
            if session.asked and session.asked[0] == ATTENTION:
                session.asked.popleft()
        if answer.database:
            session.namespace = answer.database
        if session.preparing and asked == RPC and answer.handle >= 0:
            session.prepared(answer.handle)
        elif session.preparing and asked == RPC and answer.error:
            session.preparing.popleft()
        return self._response(answer, end)

    def _response(self, answer: Answer, end: int) -> Message:
        session = self.session
        attributes: dict[str, str | int] | None = None
        status, result = "OK", Result.OK
        if answer.error:
            status, result = str(answer.error) if answer.error > 0 else "error", Result.SERVER_ERROR
            attributes = {"db.system.name": SYSTEM}
            if answer.error > 0:
                attributes["db.response.status_code"] = status
                attributes["wiretrace.tds.class"] = answer.error_class
            if self.context.keep_values and answer.message:
                attributes["wiretrace.error.message"] = shown(answer.message)
        elif answer.rows:
            attributes = returned_rows(answer.rows)
        if answer.attention:
            status, result = "cancelled", Result.CANCELLED
        session.in_transaction = answer.transaction or session.in_transaction
        return Message(
            Role.RESPONSE,
            self._start,
            end,
            status=status,
            result=result,
            values=answer.values,
            attributes=attributes,
            transaction=_STATES[session.in_transaction],
        )


def _encryption(options: bytes) -> int:
    """What an answer to PRELOGIN says of encryption; -1: nothing."""
    at = 0
    while at + 5 <= len(options) and options[at] != 0xFF:
        place = int.from_bytes(options[at + 1 : at + 3], "big")
        if options[at] == _ENCRYPTION and place < len(options):
            return options[place]
        at += 5
    return -1


def is_start(data: bytes, at: int, side: Side) -> float:
    """How surely the first packet of a message of `side` begins at `at`."""
    size = len(data)
    if at + _HEADER_BYTES + 1 > size:
        return 0.0
    kind, status, length, _, number, window = _HEADER.unpack_from(data, at)
    if kind not in _FROM[side] or length < _HEADER_BYTES or length > _LONGEST_PACKET or window or number > 1:
        return 0.0
    if status & ~0x1F or (length == _HEADER_BYTES and kind != ATTENTION):
        return 0.0
    if not _LOOKS.get(kind, _looks_known)(data, at + _HEADER_BYTES, length - _HEADER_BYTES):
        return 0.0
    end = at + length
    if end + 4 <= size:
        following = data[end] in _FROM[side] and int.from_bytes(data[end + 2 : end + 4], "big") >= _HEADER_BYTES
        return 0.85 if following or data[end] in (0x53, 0x17) else 0.0
    # Where nothing but its head is there, a type whose content is known has to be told by that.
    return 0.8 if end == size else 0.6 if kind in _LOOKS else 0.4


def _looks_known(data: bytes, at: int, length: int) -> bool:
    return True


def _looks_like_answer(data: bytes, at: int, length: int) -> bool:
    return data[at] in _FIRST_TOKENS


def _looks_like_prelogin(data: bytes, at: int, length: int) -> bool:
    return data[at] == 0x16 or (data[at] == 0 and data[at + 1 : at + 2] in (b"", b"\0"))


def _looks_like_login(data: bytes, at: int, length: int) -> bool:
    """Its length, and a version of TDS 7."""
    return int.from_bytes(data[at : at + 4], "little") <= 1 << 17 and data[at + 7 : at + 8] in b"\x70\x71\x72\x73\x74"


def _looks_like_batch(data: bytes, at: int, length: int) -> bool:
    """ALL_HEADERS, or text in UTF-16 or (before TDS 7) in one byte a character."""
    total = int.from_bytes(data[at : at + 4], "little")
    return total in (22, 0x12) or data[at + 1 : at + 2] == b"\0" or data[at : at + 4].isascii()


def _looks_empty(data: bytes, at: int, length: int) -> bool:
    return length == 0


_LOOKS = {
    TABULAR: _looks_like_answer,
    PRELOGIN: _looks_like_prelogin,
    LOGIN: _looks_like_login,
    BATCH: _looks_like_batch,
    RPC: _looks_like_batch,
    ATTENTION: _looks_empty,
}
