"""NATS: lines with payloads behind them: published and delivered messages, requests and their replies, headers.

Rules:

- A message that names an inbox to reply to is a request, answered by the message to that inbox. A message that the server
  delivers and that names one is a request of the *server*, answered by what the client publishes to it; acknowledgements of
  JetStream, too, are published to such a subject. Inboxes are random names, so a hash of one is its key. What is
  published to an inbox that nobody named before stands alone.
- All other messages ask for nothing. Payloads are passed over behind their beginning.
Facts: "NATS Protocol" (client protocol), ADR-4 (headers), "JetStream wire API".
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import ClassVar

from wiretrace.model.message import Message, Messaging, Result, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, Protocol, Violation
from wiretrace.protocols.messaging import breadcrumbs, operation_on, queued_body, readable

WORDS = (
    (b"PUB", b"HPUB", b"SUB", b"UNSUB", b"CONNECT", b"PING", b"PONG"),
    (b"MSG", b"HMSG", b"INFO", b"+OK", b"-ERR", b"PING", b"PONG"),
)
"""By side: what a line begins with."""
LINES = (
    re.compile(rb"(H?PUB|SUB|UNSUB|CONNECT|PING|PONG)(?:[ \t]+([^\r\n]*))?\r\n", re.IGNORECASE),
    re.compile(rb"(H?MSG|INFO|\+OK|-ERR|PING|PONG)(?:[ \t]+([^\r\n]*))?\r\n", re.IGNORECASE),
)
LONGEST_LINE = 1 << 20
"""A line that is longer is not believed; those with options are the longest."""
LONGEST_PAYLOAD = 1 << 30
SIZE = re.compile(rb"[0-9]{1,10}\Z")
ANSWERED = (b"_INBOX.", b"_R_.", b"$JS.ACK.")
"""Beginnings of subjects that are published to in answer to one message."""
STATUS = re.compile(rb"NATS/1\.0 +([0-9]{3})")
REFUSAL = re.compile(rb"'?([A-Za-z][A-Za-z ]{2,60}?)(?: for [^\r\n]*| to [^\r\n]*)?'?\Z")
HEADER_BYTES = 4096
"""Bytes of headers that are read."""
PING = 1 << 60
"""Added to the number of a ping, for its key."""
NO_RESPONDERS = "503"


class NATS(Protocol):
    """One connection of a client to a NATS server.

    Sees published and delivered messages, requests with their replies, subscriptions, pings, headers with breadcrumbs and
    status codes, errors. Does not see: payloads; credentials in CONNECT (passed over unread); replies to subjects that are
    no inboxes, which stand alone; the second of several replies; routes between servers; TLS.
    """

    name: ClassVar[str] = "nats"
    ports: ClassVar[frozenset[int]] = frozenset({4222})
    blocking: ClassVar[bool] = False
    keyed: ClassVar[bool] = True
    overtakes: ClassVar[bool] = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._pings: list[int] | None = [0, 0] if all(context.started) else None
        """By side: pings or their answers that were read; None: behind lost bytes they are not counted any more."""

    @classmethod
    def probe(cls, client: bytes, server: bytes) -> float:
        """The server's INFO is unmistakable; a line with its payload is likely."""
        if server[:6].upper() == b"INFO {":
            return 1.0 if not client or starts(Side.CLIENT, client) else 0.0
        if client[:9].upper() == b"CONNECT {":
            return 0.9
        if not all(not opening or starts(side, opening) for side, opening in zip(Side, (client, server), strict=True)):
            return 0.0
        placed = [whole(side, opening, 0) for side, opening in zip(Side, (client, server), strict=True) if opening]
        return 0.8 if any(placed) else 0.0

    def parse(self, side: Side, data: bytes, at: int, base: int) -> int:
        """Read lines and payloads; see the contract."""
        size = len(data)
        pattern = LINES[side]
        while at < size:
            line = pattern.match(data, at)
            if line is None:
                begun = starts(side, data[at : at + 8])
                if not begun or data.find(b"\n", at, at + LONGEST_LINE) >= 0 or size - at >= LONGEST_LINE:
                    raise Violation("not a line of NATS")
                return at
            word = line[1].upper()
            if word in (b"PUB", b"HPUB", b"MSG", b"HMSG"):
                end = self._message(side, word, line, data, base)
                if end < 0:
                    return at
            else:
                end = line.end()
                message = self._line(side, word, line[2] or b"")
                message.start, message.end = base + at, base + end
                self._messages(side).append(message)
            at = end
        return at

    def _messages(self, side: Side) -> list[Message]:
        return (self.requests, self.responses)[side]

    def _line(self, side: Side, word: bytes, rest: bytes) -> Message:
        """A line without a payload."""
        if self._pings is not None and word == (b"PING", b"PONG")[side]:
            self._pings[side] += 1
            key = PING + self._pings[side]
            if side is Side.SERVER:
                return Message(Role.RESPONSE, 0, 0, status="PONG", key=key)
            return Message(
                Role.REQUEST, 0, 0, operation="ping", summary="ping", key=key, attributes=attributes_of("ping")
            )
        if word == b"SUB":
            subject = rest.split(maxsplit=1)[0] if rest else b""
            shown = readable(subject)
            attributes = attributes_of("subscribe")
            attributes["messaging.destination.name"] = shown
            return Message(
                Role.ONE_WAY, 0, 0, operation=operation_on(self.context, "subscribe", shown), summary=f"subscribe {shown}",
                values=subject, attributes=attributes,
            )  # fmt: skip
        if word == b"-ERR":
            known = REFUSAL.match(rest.strip())
            status = known[1].decode() if known is not None else "error"
            return Message(Role.PUSH, 0, 0, operation="error", summary="error", status=status, result=Result.CLIENT_ERROR,
                           attributes=attributes_of("error"))  # fmt: skip
        return Message(Role.CONTROL, 0, 0)

    def _message(self, side: Side, word: bytes, line: re.Match[bytes], data: bytes, base: int) -> int:
        """A message with its payload, whose end is returned; -1: more bytes are needed."""
        shape = read_shape(word, line[2] or b"")
        if shape is None:
            raise Violation("not a line of NATS")
        subject, reply, header_size, total = shape
        start, body = line.start(), line.end()
        end = body + total + 2
        seen = min(total, min(header_size, HEADER_BYTES) + self.context.value_bytes)
        if body + seen > len(data):
            return -1
        if end <= len(data) and data[end - 2 : end] != b"\r\n":
            raise Violation("not a message of NATS: it does not end as one")
        headers = data[body : body + min(header_size, HEADER_BYTES)]
        payload = data[body + header_size : body + min(total, header_size + self.context.value_bytes)]
        message = self._meaning(side, subject, reply, payload, total - header_size)
        status = STATUS.match(headers)
        if status is not None and message.role is Role.RESPONSE:
            message.status = status[1].decode()
            message.result = Result.SERVER_ERROR if message.status == NO_RESPONDERS else Result.OK
        if header_size:
            pairs = (each.partition(b":")[::2] for each in headers.split(b"\r\n")[1:])
            message.identifiers = breadcrumbs((name.strip(), value) for name, value in pairs)
        message.start, message.end = base + start, base + end
        self._messages(side).append(message)
        return end

    def _meaning(self, side: Side, subject: bytes, reply: bytes, payload: bytes, length: int) -> Message:
        """What a message is to its connection: an answer, a request, or neither."""
        asks = reply.startswith(ANSWERED)
        delivered = side is Side.SERVER
        if subject.startswith(ANSWERED):
            word, shown = "process" if delivered else "publish", readable(subject)
            return Message(
                Role.RESPONSE, 0, 0, operation=operation_on(self.context, word, shown), summary=f"{word} {shown}",
                status="ok", key=key_of(subject), values=payload, messaging=Messaging(),
            )  # fmt: skip
        word = "process" if delivered else "request" if asks else "publish"
        shown = readable(subject)
        attributes = attributes_of(word)
        attributes["messaging.operation.type"] = "process" if delivered else "send"
        attributes["messaging.destination.name"] = shown
        attributes["messaging.message.body.size"] = length
        queued = (queued_body(subject, payload, length),)
        return Message(
            Role.REQUEST if asks else Role.ONE_WAY, 0, 0, operation=operation_on(self.context, word, shown),
            summary=f"{word} {shown}", key=key_of(reply) if asks else -1, values=b"%b %b" % (subject, payload),
            attributes=attributes, messaging=Messaging(received=queued) if delivered else Messaging(sent=queued),
        )  # fmt: skip

    def resync(self, side: Side, data: bytes, at: int, base: int) -> int | None:
        """A line in the words of this side, at `at` or behind the end of a line, with its payload where that is here."""
        place = at
        while place >= 0:
            if whole(side, data, place):
                return place
            found = data.find(b"\n", place)
            place = found + 1 if 0 <= found < len(data) - 1 else -1
        return None

    def lost(self, side: Side, start: int, end: int) -> None:
        """A message whose beginning was read is appended already; pings are not counted any more."""
        self._pings = None

    def finish(self, side: Side, offset: int) -> None:
        """Nothing ends with the connection."""


def attributes_of(word: str) -> dict[str, str | int]:
    """OpenTelemetry attributes of a line that is about no message."""
    return {"messaging.system": "nats", "messaging.operation.name": word}


def key_of(subject: bytes) -> int:
    """The key of what is answered by a message to `subject`."""
    return int.from_bytes(blake2b(subject, digest_size=7).digest(), "big")


def starts(side: Side, opening: bytes) -> bool:
    """Whether `opening` begins, or may go on to begin, with a word of `side`."""
    upper = opening[:8].upper()
    return any(upper.startswith(word) or word.startswith(upper) for word in WORDS[side])


def read_shape(word: bytes, rest: bytes) -> tuple[bytes, bytes, int, int] | None:
    """Subject, subject to reply to (empty: none), bytes of headers and bytes in all; None: not such a line."""
    parts = rest.split()
    sizes = 2 if word[:1] == b"H" else 1
    named = 2 if word.endswith(b"MSG") else 1
    if not named + sizes <= len(parts) <= named + sizes + 1 or not all(SIZE.match(part) for part in parts[-sizes:]):
        return None
    total = int(parts[-1])
    header_size = int(parts[-2]) if sizes == 2 else 0
    if header_size > total or total > LONGEST_PAYLOAD:
        return None
    reply = parts[named] if len(parts) > named + sizes else b""
    return parts[0], reply, header_size, total


def whole(side: Side, data: bytes, at: int) -> bool:
    """Whether a line of `side` stands at `at`, and its payload ends as it should, as far as that is here."""
    line = LINES[side].match(data, at)
    if line is None:
        return False
    word = line[1].upper()
    if word not in (b"PUB", b"HPUB", b"MSG", b"HMSG"):
        return True
    shape = read_shape(word, line[2] or b"")
    if shape is None:
        return False
    end = line.end() + shape[3]
    return end + 2 > len(data) or data[end : end + 2] == b"\r\n"
