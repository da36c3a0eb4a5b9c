"""Tabular Data Stream, the protocol of SQL Server ([MS-TDS]), and of its older relatives as far as they are alike.

Rules that hold here and in ``tds_messages``:

- A message is one or more packets; PRELOGIN and what it carries of a TLS handshake is control.
- Answers come in order. An attention is control: the answer to what it called off is marked as cancelled.
- Where the two ends agree on encryption, TLS takes over, and TDS goes on inside of it. Where only the login is encrypted, it
  is passed over.
- Where they agree on several requests at once (MARS), the session multiplex protocol takes over behind the login (``smp``).
"""

from __future__ import annotations

from typing import ClassVar

from wiretrace.model.message import Message, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, Protocol, Succession
from wiretrace.protocols.tds_messages import ClientMessages, ServerMessages, is_start
from wiretrace.protocols.tds_session import ENCRYPT_NOT_SUPPORTED, ENCRYPT_OFF, LOGIN, Session
from wiretrace.protocols.tls_wire import boundary

SMP_MAGIC = 0x53
_TLS_RECORDS = range(0x14, 0x18)
_TLS_HEADER = 5


class TDS(Protocol):
    """One connection to SQL Server."""

    name = "tds"
    ports: ClassVar[frozenset[int]] = frozenset({1433, 1434})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._session = Session(aligned=all(context.started))
        self._readers = (ClientMessages(context, self._session), ServerMessages(context, self._session))
        self._handed_over = [-1, -1]
        """By side: offset from which on another protocol speaks; -1: not reached."""

    @classmethod
    def probe(cls, client: bytes, server: bytes) -> float:
        """See `Protocol.probe`."""
        asked, answered = is_start(client, 0, Side.CLIENT), is_start(server, 0, Side.SERVER)
        if (client and not asked) or (server and not answered):
            return 0.0
        return max(asked, answered) if not (client and server) else 0.95

    def parse(self, side: Side, data: bytes, at: int, base: int) -> int:
        """See `Protocol.parse`."""
        reader = self._readers[side]
        messages = (self.requests, self.responses)[side]
        size = len(data)
        while at + 8 <= size:
            if not reader.inside:
                first = data[at]
                if first == SMP_MAGIC or (first in _TLS_RECORDS and data[at + 1] == 3):
                    passed = self._foreign(side, data, at, base)
                    if passed == at:
                        return at
                    at = passed
                    continue
            end = reader.packet(data, at, base, messages)
            if end <= at:
                return at
            at = end
        return at

    def _foreign(self, side: Side, data: bytes, at: int, base: int) -> int:
        """What begins at `at` is of another protocol. Returns the index behind what was passed over."""
        session = self._session
        multiplexed = data[at] == SMP_MAGIC
        if not multiplexed and session.encryption < 0 and session.aligned and not session.ended[side.other]:
            return at
        if not multiplexed and session.encryption in (-1, ENCRYPT_OFF, ENCRYPT_NOT_SUPPORTED):
            return self._pass_record(side, data, at, base)
        self._handed_over[side] = base + at
        if min(self._handed_over) >= 0 or session.ended[side.other]:
            # Who is not there yet, or never was, has nothing to say before the other protocol begins.
            client, server = (max(0, offset) for offset in self._handed_over)
            self._handed_over = [-1, -1]
            asked, answered = self._readers
            if multiplexed:
                self.succession = Succession("smp", client, server, asked.login)
            else:
                prologue = bytes(asked.handshake), bytes(answered.handshake)
                self.succession = Succession("tls", client, server, inside=self, prologue=prologue)
        return at

    def _pass_record(self, side: Side, data: bytes, at: int, base: int) -> int:
        """A TLS record that holds the login, or a part of it."""
        end = at + _TLS_HEADER + int.from_bytes(data[at + 3 : at + 5], "big")
        if end > len(data):
            return at
        messages = (self.requests, self.responses)[side]
        login = side is Side.CLIENT and not self._session.encrypted_login
        role = Role.REQUEST if login else Role.CONTROL
        notes = ("the login is encrypted",) if login else ()
        operation = "login" if login else ""
        messages.append(Message(role, base + at, base + end, operation, operation, notes=notes))
        if login:
            self._session.encrypted_login = True
            self._session.asked.append(LOGIN)
        return end

    def resync(self, side: Side, data: bytes, at: int, base: int) -> int | None:
        """See `Protocol.resync`."""
        own = next((start for start in range(at, len(data) - 8) if is_start(data, start, side) >= 0.6), None)
        if self._session.encryption in (-1, ENCRYPT_OFF, ENCRYPT_NOT_SUPPORTED):
            return own
        record = boundary(data, at)
        return record if own is None or (record is not None and record < own) else own

    def lost(self, side: Side, start: int, end: int) -> None:
        """See `Protocol.lost`."""
        self._readers[side].break_off(start, (self.requests, self.responses)[side])
        self._session.misalign()

    def finish(self, side: Side, offset: int) -> None:
        """See `Protocol.finish`."""
        self._readers[side].break_off(offset, (self.requests, self.responses)[side])
        self._session.ended[side] = True
