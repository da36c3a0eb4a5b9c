"""Session Multiplex Protocol ([MC-SMP]): several sessions of TDS on one connection (MARS of SQL Server).

Rules: it takes over behind the login of TDS, and is never found by probing. A frame holds packets of one session; messages
of sessions come in pieces between those of others, and each exchange has a number of its own: the session's and a count.
Behind a gap it is not known which answer belongs to which request: both stay halves.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from wiretrace.model.limits import Limits
from wiretrace.model.message import Message, Role
from wiretrace.protocols.contract import Context, Protocol, Violation
from wiretrace.protocols.tds_messages import ClientMessages, ServerMessages
from wiretrace.protocols.tds_session import Session

if TYPE_CHECKING:
    from wiretrace.model.side import Side
    from wiretrace.protocols.tds_messages import Messages

_HEADER = struct.Struct("<BBHI")
_HEADER_BYTES = 16
_MAGIC = 0x53
_SYN, _ACK, _FIN, _DATA = 1, 2, 4, 8
_FLAGS = (_SYN, _ACK, _FIN, _DATA)
_LONGEST_FRAME = 1 << 16
_MOST_SESSIONS = Limits().open_streams


@dataclass(slots=True)
class _Multiplexed:
    """One session."""

    session: Session
    readers: tuple[Messages, Messages]
    counts: list[int]
    """By side: requests and answers so far."""


class SMP(Protocol):
    """A connection to SQL Server, behind a login that agreed on several requests at once."""

    name = "smp"
    ports: ClassVar[frozenset[int]] = frozenset({1433, 1434})
    interleaves = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._sessions: dict[int, _Multiplexed] = {}
        self._epoch = 0
        """How often bytes were missing: numbers of exchanges before and behind a gap differ."""
        self._ended = [False, False]

    @classmethod
    def probe(cls, client: bytes, server: bytes) -> float:
        """See `Protocol.probe`."""
        return 0.0

    def parse(self, side: Side, data: bytes, at: int, base: int) -> int:
        """See `Protocol.parse`."""
        messages = (self.requests, self.responses)[side]
        size = len(data)
        while at + _HEADER_BYTES <= size:
            magic, flags, number, length = _HEADER.unpack_from(data, at)
            if magic != _MAGIC or flags not in _FLAGS or not _HEADER_BYTES <= length <= _LONGEST_FRAME:
                raise Violation("not a frame of SMP")
            end: int = at + length
            if end > size:
                return at
            if flags == _DATA and length > _HEADER_BYTES:
                message = self._content(side, number, data[at:end], 0, base + at)
                if message is None:
                    return at
                messages.append(message)
            else:
                messages.append(Message(Role.CONTROL, base + at, base + end, key=0))
            at = end
        return at

    def _content(self, side: Side, number: int, data: bytes, at: int, base: int) -> Message | None:
        """The piece of a message that the frame at `at` holds; None: the other side has to be read first."""
        multiplexed = self._session(number)
        reader = multiplexed.readers[side]
        found: list[Message] = []
        position, end = at + _HEADER_BYTES, len(data)
        while position + 8 <= end:
            after = reader.packet(data, position, base, found)
            if after == position:
                break
            position = after
        if position < end:
            if position == at + _HEADER_BYTES and reader.waits:
                return None
            raise Violation("a frame of SMP that ends inside a packet")
        key = (self._epoch * (1 << 16) + number + 1) << 32 | multiplexed.counts[side] + side * self._apart
        if not found:
            return Message(Role.PART, base + at, base + end, key=key)
        message = found[-1]
        message.start, message.end = base + at, base + end
        message.protocol = "tds"
        if message.role is Role.CONTROL:
            message.key = 0
        else:
            message.key = key
            multiplexed.counts[side] += 1
        return message

    @property
    def _apart(self) -> int:
        """What sets the numbers of answers apart from those of requests: they are not to be paired behind a gap."""
        return 1 << 31 if self._epoch else 0

    def _session(self, number: int) -> _Multiplexed:
        found = self._sessions.get(number)
        if found is None:
            opened_by = self.context.opened_by
            login = (opened_by.attributes or {}) if opened_by is not None else {}
            session = Session(aligned=not self._epoch, namespace=str(login.get("db.namespace", "")))
            session.ended = self._ended
            readers = (ClientMessages(self.context, session), ServerMessages(self.context, session))
            found = self._sessions[number] = _Multiplexed(session, readers, [0, 0])
            if len(self._sessions) > _MOST_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
        return found

    def resync(self, side: Side, data: bytes, at: int, base: int) -> int | None:
        """See `Protocol.resync`."""
        start = data.find(_MAGIC, at)
        while 0 <= start <= len(data) - _HEADER_BYTES:
            _, flags, _, length = _HEADER.unpack_from(data, start)
            end = start + length
            if flags in _FLAGS and _HEADER_BYTES <= length <= _LONGEST_FRAME and data[end : end + 1] in (b"", b"\x53"):
                return start
            start = data.find(_MAGIC, start + 1)
        return None

    def lost(self, side: Side, start: int, end: int) -> None:
        """See `Protocol.lost`."""
        self._break_off(side, start)
        self._epoch += 1
        self._sessions.clear()

    def finish(self, side: Side, offset: int) -> None:
        """See `Protocol.finish`."""
        self._ended[side] = True
        self._break_off(side, offset)

    def _break_off(self, side: Side, offset: int) -> None:
        """The messages under construction end with the pieces that were read."""
        messages = (self.requests, self.responses)[side]
        for number, multiplexed in self._sessions.items():
            found: list[Message] = []
            multiplexed.readers[side].break_off(offset, found)
            for message in found:
                message.start = message.end = offset
                message.key = (self._epoch * (1 << 16) + number + 1) << 32 | multiplexed.counts[
                    side
                ] + side * self._apart
                message.protocol = "tds"
                messages.append(message)
