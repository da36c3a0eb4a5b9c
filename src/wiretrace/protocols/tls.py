"""TLS 1.0 to 1.3 (RFC 2246, 4346, 5246, 8446): the handshake, and what is inside where the keys are known.

Rules of this file and of those whose names begin with ``tls_``:

- Keys come from a key log (``tls_key_log``) by the client's random. With them, records are opened and what they carry is
  handed over (`Protocol.carried`); a record counts as opened only if it is authentic.
- Without them, records of application data are told from the rest by kind and length, and become pieces of *opaque calls*:
  what the client sends until the server answers, and the answer. Lengths can deceive: each call has a note that says so.
- A handshake that succeeds is CONTROL. One that fails is an exchange of its own, with the alert as its status.
- Whichever it is, nothing of it is handed out before it is known: the first application data, or the end.
- Nothing secret leaves: keys stay in the openers, and what was opened is redacted by the protocol that reads it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, ClassVar

from wiretrace.model.message import Message, Result, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Carried, Context, Protocol, Violation
from wiretrace.protocols.tls_direction import Direction
from wiretrace.protocols.tls_handshake import FINISHED, HARMLESS, KEY_UPDATE, TLS_1_3, alert_name
from wiretrace.protocols.tls_session import Session
from wiretrace.protocols.tls_wire import (
    ALERT,
    APPLICATION_DATA,
    CHANGE_CIPHER_SPEC,
    CLIENT_HELLO,
    HANDSHAKE,
    HEADER_BYTES,
    SERVER_HELLO,
    boundary,
    probe_side,
    record_head,
)

if TYPE_CHECKING:
    from wiretrace.protocols.tls_unsealing import Opened

OPERATION = "opaque call"
HANDSHAKE_OPERATION = "handshake"
HELLOS = (CLIENT_HELLO, SERVER_HELLO)
"""By side: the handshake message that opens it."""
TICKET = "ticket"
"""Status of a server's piece that may be a session ticket, which answers nothing."""
FAREWELL = "farewell"
"""Status of a client's piece that may be its last word, which nobody answers."""
OPAQUE_NOTE = "encrypted: told by the sizes and directions of its records"
AMBIGUOUS_NOTE = "perhaps HTTP/2: several calls may be told as one"
UNNAMED_ALERT = "encrypted_alert"
WRONG_KEYS = 8
"""Records in a row that do not open, before any application data, after which the keys are taken for wrong."""


class Tls(Protocol):
    """One TLS connection, or what follows STARTTLS.

    Sees, in clear: server name, offered and chosen versions, cipher suite, ALPN and the certificate's names up to TLS 1.2,
    alerts; with keys: all that is inside, ALPN and certificate of TLS 1.3 as well. Does not see: what is inside without the
    keys; SSL 2.0 and 3.0, compression, DTLS and QUIC; encrypted ClientHello.
    """

    name: ClassVar[str] = "tls"
    ports: ClassVar[frozenset[int]] = frozenset({443, 465, 636, 853, 990, 993, 995, 5061, 5671, 6443, 8443, 8883, 9443})
    turns: ClassVar[bool] = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._session = Session(context)
        self._directions = (Direction(Side.CLIENT, context.started[0]), Direction(Side.SERVER, context.started[1]))
        self._established = not any(context.started)
        """Whether the handshake is over, because application data were seen, or because it was before the capture."""
        self._failure: tuple[Side, str] | None = None
        """Who sent the alert that ended the handshake, and its name."""
        self._refused: tuple[int, int] | None = None
        """Start and end of the record with the server's alert, before anything else was heard inside."""
        self._attributes: dict[str, str | int] = {}
        """Those of the messages of its own."""
        if any(context.prologue):
            self._take_prologue(context.prologue)

    @classmethod
    def probe(cls, client: bytes, server: bytes) -> float:
        """A hello is unmistakable; the head of a record in the middle is likely; see `Protocol.probe`."""
        asked, answered = probe_side(client, CLIENT_HELLO), probe_side(server, SERVER_HELLO)
        if (len(client) > HEADER_BYTES and not asked) or (len(server) > HEADER_BYTES and not answered):
            # A server that does not speak TLS answers a ClientHello in its own words.
            return 0.8 if asked == 1.0 or answered == 1.0 else 0.0
        return max(asked, answered)

    def parse(self, side: Side, data: bytes, at: int, base: int) -> int:
        """Read records; see the contract."""
        direction, session = self._directions[side], self._session
        size, began = len(data), at
        if direction.held < 0:
            direction.held = direction.reached = base + at
            direction.opened = direction.opened if direction.opened >= 0 else base + at
        while at + HEADER_BYTES <= size:
            kind, length = record_head(data, at)
            if kind < 0:
                if at > began:
                    return at  # what was read counts; the next call begins here
                raise Violation("not a TLS record")
            end = at + HEADER_BYTES + length
            protected = direction.is_protected(kind, session.version)
            if protected and not (self._decided(direction) and (side is Side.SERVER or self._server_is_ready())):
                return at
            if (not protected or session.keyed) and end > size:
                direction.next_record = base + end
                return at
            if not protected:
                self._read_clear(direction, kind, data[at + HEADER_BYTES : end], base + end)
            elif not session.keyed or not self._open(direction, data[at:end], base + at):
                self._read_lengths(direction, kind, length, base + at)
            direction.behind_gap = False
            at = end
        return at

    def resync(self, side: Side, data: bytes, at: int, base: int) -> int | None:
        """The record that follows a damaged one, if its place is known; else the first of several that fit."""
        known = self._directions[side].next_record - base
        if known < at:
            return boundary(data, at)
        return known if known <= len(data) else None

    def lost(self, side: Side, start: int, end: int) -> None:
        """A handshake message may be incomplete; a protected record can not be opened."""
        direction = self._directions[side]
        self._tell_pieces(direction)
        self._flush(direction, direction.reached)
        direction.forget(end)
        direction.held = -1
        if not self._established and not direction.protected:
            self._established = True

    def finish(self, side: Side, offset: int) -> None:
        """Tell a handshake that came to nothing, once both directions are over."""
        direction = self._directions[side]
        direction.ended = True
        if self._directions[side.other].ended:
            self._conclude()

    def _take_prologue(self, prologue: tuple[bytes, bytes]) -> None:
        """Read a handshake that another protocol carried, whose messages have its bytes."""
        read = [0, 0]
        with contextlib.suppress(Violation):
            for side in (Side.CLIENT, Side.SERVER, Side.CLIENT, Side.SERVER):
                read[side] = self.parse(side, prologue[side], read[side], -len(prologue[side]))
        missing = read != [len(part) for part in prologue] or not (
            self._session.client_hello and self._session.server_hello
        )
        self._established = missing
        for direction in self._directions:
            direction.held = direction.opened = -1
            direction.doubtful.clear()
            direction.complete &= not missing
        self.requests.clear()
        self.responses.clear()

    def _decided(self, direction: Direction) -> bool:
        """Whether it is known how to read a protected record of this direction."""
        session = self._session
        if session.keyed is None:
            hellos = (session.client_hello, session.server_hello)
            waits = any(
                hello is None and not each.ended and (each.complete or (each.opened < 0 and any(hellos)))
                for hello, each in zip(hellos, self._directions, strict=True)
            )
            if waits:
                return False
            session.decide()
        if session.keyed and direction.unsealer is None:
            direction.unsealer = session.unsealer(direction.side)
        return True

    def _server_is_ready(self) -> bool:
        """Whether the server's part of the handshake was read, which tells more of the connection."""
        session, server = self._session, self._directions[Side.SERVER]
        if server.ended or not server.complete:
            return True
        if session.version < TLS_1_3:
            return server.changed
        opens = server.unsealer
        return not session.keyed or server.said_finished or (opens is not None and opens.carries_data)

    def _read_clear(self, direction: Direction, kind: int, payload: bytes, end: int) -> None:
        """A record whose payload stands in clear."""
        side = direction.side
        direction.reached = direction.opened = end
        if kind == HANDSHAKE:
            if payload[0] == HELLOS[side] and not direction.complete and not direction.gapped:
                # No SYN was captured, and yet it is captured from its beginning.
                direction.complete, self._established = True, False
            for message, body in direction.messages(payload):
                self._session.hear(side, message, body)
        elif kind == CHANGE_CIPHER_SPEC:
            direction.changed = True
        elif kind == ALERT and len(payload) == 2:
            self._alert(side, payload[1])
        if self._established:
            self._flush(direction, end)

    def _open(self, direction: Direction, record: bytes, start: int) -> bool:
        """A record for which there are keys. False: the keys turned out to be wrong."""
        unsealer, end = direction.unsealer, start + len(record)
        assert unsealer is not None
        header, payload = record[:HEADER_BYTES], record[HEADER_BYTES:]
        gap = start - direction.opened
        opened = unsealer.open(header, payload, gap)
        direction.protected += 1
        if opened is None:
            direction.unopened += 1
            if not self._established and direction.unopened >= WRONG_KEYS:
                self._session.keyed = False
                return False
            if not self._established and not gap:
                # Under keys of the handshake that the log lacks.
                direction.opened = end
            else:
                self._carry(direction, Carried(start, end, start + HEADER_BYTES, b""))
            direction.reached = end
            return True
        body = start + HEADER_BYTES + opened.body
        direction.opened, direction.unopened = end, 0
        if opened.kind == APPLICATION_DATA:
            direction.data_records += bool(opened.content)
            self._carry(direction, Carried(start, end, body, opened.content, opened.missing))
            direction.reached = end
            return True
        fatal = self._take_control(direction, opened)
        direction.reached = end
        if fatal and direction.side is Side.SERVER and not direction.data_records:
            self._refused = (start, end)
        if self._established and self._refused == (start, end):
            self._refuse()
        elif self._established:
            self._carry(direction, Carried(start, end, body, b"", opened.missing))
        return True

    def _take_control(self, direction: Direction, opened: Opened) -> bool:
        """A record that was opened and carries no application data. Whether it is a fatal alert."""
        side = direction.side
        if opened.kind == HANDSHAKE:
            for message, body in direction.messages(opened.content):
                self._session.hear(side, message, body)
                direction.said_finished |= message == FINISHED
                if message == KEY_UPDATE and self._session.version >= TLS_1_3 and direction.unsealer is not None:
                    direction.unsealer.update()
        elif opened.kind == CHANGE_CIPHER_SPEC:
            # A handshake inside of the connection is over: new keys from here on.
            direction.unsealer = self._session.unsealer(side) or direction.unsealer
        elif opened.kind == ALERT and len(opened.content) == 2:
            return self._alert(side, opened.content[1])
        return False

    def _alert(self, side: Side, number: int) -> bool:
        """Whether an alert ends the connection as a failure; the first one tells why."""
        if number in HARMLESS:
            return False
        self._failure = self._failure or (side, alert_name(number))
        return True

    def _carry(self, direction: Direction, unit: Carried) -> None:
        """Hand over a unit; what was held before it is the handshake."""
        if self.carried is None:
            self.carried = ([], [])
        self._establish()
        self._flush(direction, unit.start)
        self.carried[direction.side].append(unit)
        direction.held = unit.end

    def _read_lengths(self, direction: Direction, kind: int, length: int, start: int) -> None:
        """A protected record for which there are no keys."""
        session = self._session
        end = start + HEADER_BYTES + length
        if not self._established and direction.is_failure(session, kind, length):
            self._failure = self._failure or (direction.side, UNNAMED_ALERT)
        is_data = direction.is_data(session, kind, length)
        if is_data or direction.finished is None:
            direction.doubtful.append((start, end))
        else:
            direction.doubtful.clear()
        if is_data:
            self._establish()
            self._tell_pieces(direction)
        direction.reached = end
        if self._established and not direction.doubtful:
            self._flush(direction, end)

    def _tell_pieces(self, direction: Direction) -> None:
        """The records of which it was not sure are data."""
        for start, end in direction.doubtful:
            if not direction.asks(self._session, end - start - HEADER_BYTES):
                continue
            if direction.held < start:
                self._messages(direction.side).append(Message(Role.CONTROL, direction.held, start))
            self._messages(direction.side).append(self._piece(direction, start, end))
            direction.held = end
            direction.data_records += 1
        direction.doubtful.clear()

    def _piece(self, direction: Direction, start: int, end: int) -> Message:
        session, length = self._session, end - start - HEADER_BYTES
        if direction.side is Side.SERVER:
            status = TICKET if direction.may_be_ticket(session, length) else ""
            return Message(
                Role.PART, start, end, status=status, result=Result.UNREADABLE, closes=not direction.behind_gap
            )
        return Message(
            Role.PART, start, end, OPERATION, session.named(OPERATION, "to"),
            FAREWELL if direction.may_be_farewell(session, length) else "",
            attributes=self._told({"wiretrace.opaque": True}), closes=not direction.behind_gap,
            notes=(OPAQUE_NOTE, AMBIGUOUS_NOTE) if session.may_be_http2 else (OPAQUE_NOTE,),
        )  # fmt: skip

    def _told(self, more: dict[str, str | int]) -> dict[str, str | int]:
        """Attributes of the connection with some more: one dict for all equal ones."""
        wanted = {**self._session.attributes(), **more}
        if self._attributes != wanted:
            self._attributes = wanted
        return self._attributes

    def _establish(self) -> None:
        """Application data were seen: the handshake has done its work, and is part of no exchange."""
        if not self._established:
            self._established = True
            if self._refused is not None:
                self._refuse()
            for direction in self._directions:
                self._flush(direction, direction.reached)
        if self._session.keyed and self.carried_attributes is None:
            self.carried_attributes = self._session.attributes()

    def _refuse(self) -> None:
        """The server's alert answers what the client has sent since: it found out only then what is wrong (TLS 1.3)."""
        assert self._refused is not None
        server = self._directions[Side.SERVER]
        self._flush(server, self._refused[0])
        self.responses.append(self._refusal(*self._refused))
        server.held = self._refused[1]

    def _flush(self, direction: Direction, end: int) -> None:
        """What is held up to `end`, but for what it is not sure of, is part of no exchange."""
        if direction.doubtful:
            end = min(end, direction.doubtful[0][0])
        if 0 <= direction.held < end:
            self._messages(direction.side).append(Message(Role.CONTROL, direction.held, end))
            direction.held = end

    def _messages(self, side: Side) -> list[Message]:
        return (self.requests, self.responses)[side]

    def _refusal(self, start: int, end: int) -> Message:
        """The answer that an alert is."""
        assert self._failure is not None
        sender, name = self._failure
        return Message(
            Role.RESPONSE, start, end, HANDSHAKE_OPERATION, self._session.named(HANDSHAKE_OPERATION, "with"), name,
            Result.TLS_FAILED,
            attributes={
                "error.type": f"tls_alert_{name}",
                "tls.established": False,
                "wiretrace.tls.alert.sender": sender.name.lower(),
            },
        )  # fmt: skip

    def _conclude(self) -> None:
        """Both directions are over: a handshake that did not lead to anything is an exchange, or nothing if it was whole."""
        client, server = self._directions
        if client.doubtful and self._failure is None:
            # Its handshake was one record: had it been several, one would have had the length of Finished.
            self._establish()
        asked, answered = 0 <= client.held < client.reached, 0 <= server.held < server.reached
        whole = client.protected > 0 and server.protected > 0
        if self._established or not asked or (whole and self._failure is None):
            for direction in self._directions:
                if self._established:
                    self._tell_pieces(direction)
                direction.doubtful.clear()
                self._flush(direction, direction.reached)
            return
        request = Message(
            Role.REQUEST, client.held, client.reached, HANDSHAKE_OPERATION,
            self._session.named(HANDSHAKE_OPERATION, "with"),
            attributes=self._told({"tls.established": False}),
        )  # fmt: skip
        self.requests.append(request)
        if answered:
            refusal = Message(Role.RESPONSE, server.held, server.reached, result=Result.CUT_OFF)
            self.responses.append(refusal if self._failure is None else self._refusal(server.held, server.reached))
        elif self._failure is not None:
            request.result = Result.TLS_FAILED
            request.attributes = {**(request.attributes or {}), **(self._refusal(0, 0).attributes or {})}
        client.held, server.held = client.reached, server.reached
