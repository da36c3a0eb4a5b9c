"""One direction of a TLS connection: how far its handshake is, and which of its protected records are application data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wiretrace.model.limits import Limits
from wiretrace.model.side import Side
from wiretrace.protocols.tls_handshake import TLS_1_0, TLS_1_3
from wiretrace.protocols.tls_key_schedule import HASH_BYTES
from wiretrace.protocols.tls_wire import APPLICATION_DATA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.protocols.tls_handshake import ServerHello
    from wiretrace.protocols.tls_session import Session
    from wiretrace.protocols.tls_unsealing import Unsealer

LONGEST_HANDSHAKE = Limits().tls_handshake_bytes
MESSAGE_HEADER = 4
FINISHED_EXTRA = MESSAGE_HEADER + 1
"""Bytes of a record with Finished beside the hash and the tag: the message's header, and the content type."""
ALERT_CONTENT = 2 + 1
"""Bytes of an alert of TLS 1.3 beside the tag."""
END_OF_EARLY_DATA = MESSAGE_HEADER + 1
LONGEST_FLIGHT = (4, 6)
"""By side: records that the protected part of the handshake has at most: certificate, its verification, Finished, ..."""
MOST_TICKETS = 4
TICKET_BYTES = range(60, 4096)
"""Records behind the handshake that may be session tickets: so many, so long."""
HTTP_2_CONTROL = frozenset({9, 13, 17})
"""Bytes of frames of HTTP/2 that ask for nothing: SETTINGS with ACK, WINDOW_UPDATE, PING."""
CONTINUE_BYTES = len(b"HTTP/1.1 100 Continue\r\n\r\n")
LONGEST_FAREWELL = 5
"""Bytes by which clients take leave: PostgreSQL's Terminate, MySQL's COM_QUIT."""
EXPLICIT_NONCE = 8


class Direction:
    """One side."""

    def __init__(self, side: Side, started: bool) -> None:
        self.side = side
        self.complete = started
        """Whether nothing of its handshake is missing."""
        self.ended = False
        self.changed = False
        """Whether it has sent ChangeCipherSpec."""
        self.unsealer: Unsealer | None = None
        self.held = -1
        """Stream offset from which on its bytes are in no message yet; -1: before the first record."""
        self.reached = 0
        """Stream offset behind the last record that was read."""
        self.opened = -1
        """Stream offset behind the last record that was opened, or that needed no opening; -1: before the first one."""
        self.protected = 0
        """Protected records that were read."""
        self.finished: bool | None = False
        """Whether its part of the handshake is over, as far as the lengths of its records tell; None: it may be."""
        self.doubtful: list[tuple[int, int]] = []
        """Records that are part of the handshake if its end is still to come, and else are data: start and end of each."""
        self.unopened = 0
        """Records in a row that did not open."""
        self.said_finished = False
        """Whether its Finished was opened."""
        self.data_records = 0
        """Records of application data that were read."""
        self.behind_gap = not started
        """Whether bytes are missing, or may be, before what comes next."""
        self.gapped = False
        """Whether bytes of it are missing."""
        self.next_record = -1
        """Where the record behind a damaged one begins, if that is known."""
        self._fragments = b""

    def messages(self, fragment: bytes) -> Iterator[tuple[int, bytes]]:
        """The handshake messages that are complete with these bytes: kind and body."""
        if not self.complete:
            return
        data = self._fragments + fragment
        at = 0
        while at + MESSAGE_HEADER <= len(data):
            end = at + MESSAGE_HEADER + int.from_bytes(data[at + 1 : at + MESSAGE_HEADER], "big")
            if end - at > LONGEST_HANDSHAKE:
                self.complete, self._fragments = False, b""
                return
            if end > len(data):
                break
            yield data[at], data[at + MESSAGE_HEADER : end]
            at = end
        self._fragments = data[at:]

    def forget(self, end: int) -> None:
        """Bytes up to `end` are missing: the message under construction will never be complete."""
        if self.next_record < end:
            self.next_record = -1
        self._fragments = b""
        self.behind_gap = self.gapped = True
        if not self.protected:
            self.complete = False

    def is_protected(self, kind: int, version: int) -> bool:
        """Whether a record of this kind comes under the keys; where `version` is not known, whether it may."""
        if version >= TLS_1_3:
            return kind == APPLICATION_DATA
        return self.changed or kind == APPLICATION_DATA

    def is_data(self, session: Session, kind: int, length: int) -> bool:
        """Whether a protected record that can not be opened carries application data, by its length."""
        self.protected += 1
        hello = session.server_hello
        if kind != APPLICATION_DATA:
            return False
        if session.version < TLS_1_3 or hello is None:
            self.finished = True
            return not (hello is not None and _is_empty(hello, length)) and self.asks(session, length)
        content = length - (8 if hello.suite.way == "ccm8" else 16)
        if content == ALERT_CONTENT:
            return False
        if self.finished:
            return self.asks(session, length)
        if content == HASH_BYTES[hello.suite.digest] + FINISHED_EXTRA:
            self.finished = True
            return False
        if self.side is Side.CLIENT and session.client_hello is not None and session.client_hello.early_data:
            return content != END_OF_EARLY_DATA
        # The handshake may have come as one record, this one or an earlier one, or be still going on.
        self.finished = True if self.protected > LONGEST_FLIGHT[self.side] else None if self.protected > 1 else False
        return self.finished is True

    def is_failure(self, session: Session, kind: int, length: int) -> bool:
        """Whether a protected record can only be an alert before the handshake is over (TLS 1.3)."""
        return (
            session.version >= TLS_1_3 and kind == APPLICATION_DATA and not self.finished and not self.data_records
            and length == ALERT_CONTENT + 16
        )  # fmt: skip

    def may_be_farewell(self, session: Session, length: int) -> bool:
        """Whether a record may be a client's last word, which nobody answers."""
        return self.side is Side.CLIENT and 0 <= _content(session, length) <= LONGEST_FAREWELL

    def may_be_ticket(self, session: Session, length: int) -> bool:
        """Whether a record that looks like data may be a session ticket: among the first behind the server's handshake."""
        return (
            self.side is Side.SERVER
            and session.version >= TLS_1_3
            and self.data_records < MOST_TICKETS
            and length in TICKET_BYTES
        )

    def asks(self, session: Session, length: int) -> bool:
        """Whether a record may be more than housekeeping of HTTP/2, or an interim answer of HTTP/1.1."""
        content = _content(session, length)
        interim = self.side is Side.SERVER and content == CONTINUE_BYTES and session.may_be_http1
        return not interim and not (session.may_be_http2 and content in HTTP_2_CONTROL)


def _is_empty(hello: ServerHello, length: int) -> bool:
    """Whether it is an empty record that TLS 1.0 sends ahead of data (against CVE-2011-3389): a MAC and its padding."""
    suite = hello.suite
    if hello.version != TLS_1_0 or not suite.mac or not suite.fixed_bytes:
        return False
    mac, block = HASH_BYTES[suite.mac], suite.fixed_bytes
    return length == (block + mac if hello.encrypt_then_mac else (mac // block + 1) * block)


def _content(session: Session, length: int) -> int:
    """Bytes of content of a record under AEAD, without padding."""
    hello = session.server_hello
    if hello is None or not hello.suite.is_aead:
        return -1
    tag = 8 if hello.suite.way == "ccm8" else 16
    if session.version >= TLS_1_3:
        return length - tag - 1
    return length - tag - (0 if hello.suite.way == "chacha" else EXPLICIT_NONCE)
