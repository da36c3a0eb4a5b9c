"""The server's direction of Redis: replies, and what the server sends unasked.

Rules: a value is read without recursion and without a stack: it is complete when the count of values that are still to
come reaches zero. Bulk strings are passed over; only the first `value_bytes` of a reply are looked at.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from wiretrace.model.message import Message, Result, Role, Transaction
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, Violation
from wiretrace.protocols.redis_queues import delivered
from wiretrace.protocols.redis_requests import COMMAND_NAME, LENGTHS, SHOWN_BYTES, readable

if TYPE_CHECKING:
    from wiretrace.protocols.redis_requests import CommandReader

CRLF = b"\r\n"
LINE_BYTES = 64 << 10
"""Longest line that is believed."""
LENGTH_DIGITS = 10
"""Most digits of a length: Redis allows 512 MiB of a bulk string and 2^31 elements."""
CHANNELS = 10_000
"""Channels whose subscription is remembered."""

ERROR_PREFIX = re.compile(rb"[A-Z][A-Z0-9_]{0,31}")
STATUS_WORD = re.compile(rb"[A-Za-z]{1,24}")
MONITOR_LINE = re.compile(rb"\+\d{9,11}\.\d{6} \[")
REPLICATION_BEGINS = re.compile(rb"\+(?:FULLRESYNC [0-9a-f]{40} -?\d+|CONTINUE(?: [0-9a-f]{40})?)\Z")
PUBLISHED = {b"message": 1, b"pmessage": 2, b"smessage": 1}
"""Pushes of pub/sub, with the position of the channel among their elements."""
CONFIRMATION = {
    name: name.upper().decode()
    for name in (b"subscribe", b"unsubscribe", b"psubscribe", b"punsubscribe", b"ssubscribe", b"sunsubscribe")
}
LONGEST_PUBSUB_WORD = 14
SCALARS = {43: "", 45: "", 58: "integer", 95: "nil", 35: "boolean", 44: "double", 40: "big number"}
"""Types of one line, by their first byte (+ - : _ # , open parenthesis), with their word for the status."""
BULKS = {36: "string", 61: "string", 33: ""}
"""Types with a length and that many bytes ($ = !)."""
AGGREGATES = {42: "array", 126: "set", 62: "push", 37: "map", 124: ""}
"""Types that hold other values (* ~ > % and the attribute |)."""
REPLY_START = re.compile(
    rb"\+(?:OK|PONG|QUEUED)\r\n|-[A-Z]{2,32} [ -~]{0,200}\r\n|:-?\d{1,19}\r\n|_\r\n|\$-1\r\n|\$\d{1,9}\r\n|\*-1\r\n"
    rb"|[*%~>]\d{1,9}\r\n(?:[+:$*%~,#_(=]|\Z)|\*0\r\n"
)
"""A reply as servers write it: stricter than what `parse` bears."""
NOT_REPLICATING, REPLICATION_INTERRUPTED = -1, -2
RESPONSE, PUSH, ONE_WAY = Role.RESPONSE, Role.PUSH, Role.ONE_WAY


class OpenReply:
    """An aggregate of which more is to come."""

    __slots__ = ("budget", "described", "message", "pending", "values")

    def __init__(self, message: Message, pending: int, budget: int, described: bool) -> None:
        self.message = message
        self.pending = pending
        self.values: list[bytes] = []
        self.budget = budget
        self.described = described
        """False while only attributes were read, which stand before the value itself."""


class ReplyReader:
    """Reads the replies and pushes of one connection into `responses`."""

    def __init__(self, context: Context, responses: list[Message], commands: CommandReader) -> None:
        self.context = context
        self.responses = responses
        self.commands = commands
        self.followed = context.started[Side.SERVER]
        """Whether every reply since the beginning was read."""
        self._reply: OpenReply | None = None
        self._confirmations: Message | None = None
        """The confirmations of a subscription of several channels, of which more are to come: they are one reply."""
        self._channels: dict[str, set[bytes]] = {}
        self._in_transaction = False
        self._replication_start = NOT_REPLICATING

    def parse(self, data: bytes, at: int, base: int) -> int:
        """Read replies from `data[at:]`; returns the index behind them, as `Protocol.parse` does."""
        size = len(data)
        position = at
        find = data.find
        append = self.responses.append
        value_bytes = self.context.value_bytes
        if self._replication_start >= 0:
            return size
        while position < size:
            if self._reply is not None:
                position = self._parse_elements(self._reply, data, position, base)
                if self._reply is not None:
                    return position
                continue
            line_end = find(CRLF, position, position + LINE_BYTES)
            if line_end < 0:
                self._check_begun(data, position)
                return position
            kind = data[position]
            end = line_end + 2
            start = base + position
            if kind == 36:
                digits = data[position + 1 : line_end]
                if digits == b"-1":
                    message = Message(RESPONSE, start, base + end, status="nil")
                else:
                    length = LENGTHS.get(digits)
                    if length is None:
                        length = self._length(digits)
                    taken = length if length < value_bytes else value_bytes
                    if end + taken > size:
                        return position
                    values = data[end : end + taken]
                    end += length + 2
                    message = Message(RESPONSE, start, base + end, status="string", values=values)
            elif kind in SCALARS:
                if kind == 43 and data[position:line_end] == b"+OK":
                    message = Message(RESPONSE, start, base + end, status="OK")
                else:
                    message = self._scalar(kind, data[position:line_end], start, base + end)
            elif kind in AGGREGATES or kind in BULKS:
                if not self._open_reply(data, position, line_end, base):
                    return position
                position = position if kind in BULKS else end
                continue
            else:
                self._violate()
            if self._in_transaction:
                self._close_transaction(message)
            append(message)
            position = end
            if self._replication_start >= 0:
                return size
        return position

    def _check_begun(self, data: bytes, position: int) -> None:
        """The line at `position` is not complete: it must be able to become the head of a value."""
        if len(data) - position >= LINE_BYTES or not is_type(data[position]):
            self._violate()

    def _length(self, digits: bytes) -> int:
        if not digits.isdigit() or len(digits) > LENGTH_DIGITS:
            self._violate()
        return int(digits)

    def _scalar(self, kind: int, line: bytes, start: int, end: int) -> Message:
        """A reply of one line."""
        message = Message(RESPONSE, start, end, status=SCALARS[kind])
        if kind == 43:
            word = STATUS_WORD.match(line, 1)
            message.status = word[0].decode() if word is not None else "string"
            if message.status == "QUEUED":
                self._in_transaction = True
                message.transaction = Transaction.OPEN
            elif MONITOR_LINE.match(line) is not None:
                message.role = PUSH
                message.operation = message.summary = "MONITOR"
            elif REPLICATION_BEGINS.match(line) is not None:
                self._replication_start = end
        elif kind == 45:
            message.status = error_prefix(line, 1)
            message.result = Result.SERVER_ERROR
        elif kind == 58:
            message.values = line[1:21]
        return message

    def _open_reply(self, data: bytes, position: int, line_end: int, base: int) -> bool:
        """Begin a reply that is more than one line. False: more bytes are needed to know what it is."""
        kind = data[position]
        message = Message(RESPONSE, base + position, base + position)
        budget = self.context.value_bytes
        if kind in BULKS:
            self._reply = OpenReply(message, 1, budget, False)
            return True
        digits = data[position + 1 : line_end]
        if digits == b"-1":
            message.status, message.end = "nil", base + line_end + 2
            self._finish_reply(message)
            return True
        count = self._length(digits)
        message.status = AGGREGATES[kind]
        if kind == 62 or (kind == 42 and count in (3, 4)):
            verdict = self._pubsub(data, line_end + 2, kind, message)
            if not verdict:
                return False
        reply = OpenReply(message, element_count(kind, count), budget, kind != 124)
        if reply.pending == 0:
            message.end = base + line_end + 2
            self._finish_reply(message)
        else:
            self._reply = reply
        return True

    def _pubsub(self, data: bytes, position: int, kind: int, message: Message) -> bool:
        """Recognise pushes and confirmations of pub/sub by their first elements. False: more bytes are needed."""
        word, after = short_string(data, position, LONGEST_PUBSUB_WORD)
        if after < 0:
            return False
        channel = b""
        published = PUBLISHED.get(word, 0)
        confirmed = CONFIRMATION.get(word)
        if published or confirmed is not None:
            for _ in range(published or 1):
                channel, after = short_string(data, after, SHOWN_BYTES)
                if after < 0:
                    return False
        if confirmed is not None:
            return self._confirm(confirmed, channel, kind, message)
        subscribed = any(self._channels.values()) or not self.followed
        if kind == 62 or (published and subscribed):
            name = word.decode("ascii", "replace") if COMMAND_NAME.fullmatch(word) is not None else "push"
            message.role = ONE_WAY if published else PUSH
            message.status = ""
            message.operation = name
            message.summary = f"{name} {readable(channel)}" if published else name
            message.attributes = {"db.system.name": "redis", "db.operation.name": name}
        return True

    def _confirm(self, operation: str, channel: bytes, kind: int, message: Message) -> bool:
        """Count the confirmations of a subscription: the last one answers its command. False: that is not read yet."""
        awaited = self.commands.awaited
        if self.commands.followed:
            while awaited and awaited[0][0] != operation:
                awaited.popleft()
            if not awaited:
                return False
        channels = self._channels.setdefault(operation.replace("UNSUB", "SUB"), set())
        if awaited and awaited[0][0] == operation:
            expected = awaited[0][1] or max(1, len(channels))
            awaited[0] = (operation, expected - 1)
            if expected > 1:
                self._confirmations = self._confirmations or message
            else:
                awaited.popleft()
                if self._confirmations is not None:
                    message.start, self._confirmations = self._confirmations.start, None
        if "UNSUB" in operation:
            channels.discard(channel)
        elif len(channels) < CHANNELS:
            channels.add(channel)
        message.status = "OK"
        return True

    def _parse_elements(self, reply: OpenReply, data: bytes, at: int, base: int) -> int:
        """Go on with the values of `reply`; `self._reply` is None when the last one has been read."""
        size = len(data)
        position = at
        find = data.find
        pending = reply.pending
        budget = reply.budget
        while pending and position < size:
            line_end = find(CRLF, position, position + LINE_BYTES)
            kind = data[position]
            if line_end < 0:
                self._check_begun(data, position)
                break
            after = line_end + 2
            following = pending - 1
            if kind not in SCALARS:
                digits = data[position + 1 : line_end]
                length = 0 if digits == b"-1" else self._length(digits)
                if kind in BULKS:
                    if digits != b"-1":
                        taken = length if length < budget else budget
                        if after + taken > size:
                            break
                        if taken:
                            reply.values.append(data[after : after + taken])
                            budget -= taken
                        after += length + 2
                elif kind in AGGREGATES:
                    following += element_count(kind, length)
                else:
                    self._violate()
            if not reply.described and pending == 1 and kind != 124:
                reply.described = True
                describe(reply.message, kind, data[position:line_end], reply.values)
            position = after
            pending = following
        reply.pending = pending
        reply.budget = budget
        if not pending:
            self._reply = None
            reply.message.end = base + position
            reply.message.values = b" ".join(reply.values)
            if reply.message.role == ONE_WAY:
                reply.message.messaging = delivered(reply.values)
            self._finish_reply(reply.message)
        return position

    def _finish_reply(self, message: Message) -> None:
        if self._in_transaction and message.role == RESPONSE:
            self._close_transaction(message)
        if self._confirmations is None:
            self.responses.append(message)
        else:
            self._confirmations.end = message.end

    def _close_transaction(self, message: Message) -> None:
        """A reply within MULTI that is not QUEUED ends the transaction, but for a command that could not be queued."""
        if message.role != RESPONSE or message.transaction == Transaction.OPEN:
            return
        if message.result == Result.OK or message.status == "EXECABORT":
            self._in_transaction = False
            message.transaction = Transaction.IDLE
        else:
            message.transaction = Transaction.FAILED

    def _violate(self) -> NoReturn:
        self._reply = None
        raise Violation("not a reply of Redis")

    def resync(self, data: bytes, at: int, base: int, fresh: bool) -> int | None:
        """The first index that looks like the beginning of a reply; at `at` itself only if it is `fresh`, behind a gap.

        A string or number behind a gap may still be an element of an array whose head is lost: acknowledgement decides
        in the pairing what it can answer.
        """
        if self._replication_start == REPLICATION_INTERRUPTED:
            self._replication_start = base + at
            return at
        if fresh and REPLY_START.match(data, at) is not None:
            return at
        position = at
        while True:
            line_end = data.find(CRLF, position)
            if line_end < 0:
                return None
            position = line_end + 2
            found = REPLY_START.match(data, position)
            if found is not None and (data[position] != 36 or ends_like_bulk(data, found)):
                return position

    def lost(self, start: int) -> None:
        """Bytes from stream offset `start` on are missing."""
        self._give_up(start, damaged=True)
        self.followed = False
        self._in_transaction = False

    def finish(self, offset: int) -> None:
        """Nothing comes behind stream offset `offset`."""
        self._give_up(offset, damaged=False)

    def _give_up(self, offset: int, damaged: bool) -> None:
        if self._replication_start >= 0:
            if offset > self._replication_start:
                self.responses.append(
                    Message(
                        PUSH,
                        self._replication_start,
                        offset,
                        operation="replication",
                        summary="replication stream",
                        damaged=damaged,
                    )
                )
            self._replication_start = REPLICATION_INTERRUPTED
        elif self._reply is not None or self._confirmations is not None:
            message = self._confirmations or (self._reply.message if self._reply is not None else None)
            self._reply = self._confirmations = None
            if message is not None:
                message.end = offset
                message.damaged = True
                self.responses.append(message)


def is_type(first: int) -> bool:
    """Whether a value of RESP can begin with this byte."""
    return first in SCALARS or first in BULKS or first in AGGREGATES


def element_count(kind: int, count: int) -> int:
    """How many values follow the head of an aggregate. An attribute stands before a value that it is no part of."""
    if kind == 37:
        return 2 * count
    return 2 * count + 1 if kind == 124 else count


def error_prefix(line: bytes, at: int) -> str:
    """The first word of an error, which is its code."""
    prefix = ERROR_PREFIX.match(line, at)
    return prefix[0].decode() if prefix is not None else "ERR"


def describe(message: Message, kind: int, line: bytes, values: list[bytes]) -> None:
    """Set the status of a reply whose value begins here, behind its attributes or with a length."""
    message.status = SCALARS.get(kind) or BULKS.get(kind) or AGGREGATES.get(kind) or ""
    if line[1:] == b"-1":
        message.status = "nil"
    elif kind == 43:
        word = STATUS_WORD.match(line, 1)
        message.status = word[0].decode() if word is not None else "string"
    elif kind in (33, 45):
        message.status = error_prefix(line, 1) if kind == 45 else error_prefix(values[-1] if values else b"", 0)
        message.result = Result.SERVER_ERROR


def short_string(data: bytes, position: int, most: int) -> tuple[bytes, int]:
    """The first `most` bytes of the string at `position`, and the index behind it; -1: more bytes are needed.

    Anything that is not a string gives no bytes, and its own index.
    """
    line_end = data.find(CRLF, position, position + LINE_BYTES)
    if line_end < 0:
        return b"", (-1 if len(data) - position < LINE_BYTES else position)
    if data[position] == 43:
        return data[position + 1 : min(line_end, position + 1 + most)], line_end + 2
    digits = data[position + 1 : line_end]
    if data[position] != 36 or not digits.isdigit() or len(digits) > LENGTH_DIGITS:
        return b"", position
    length = int(digits)
    body = line_end + 2
    if body + min(length, most) > len(data):
        return b"", -1
    return data[body : body + min(length, most)], body + length + 2


def ends_like_bulk(data: bytes, head: re.Match[bytes]) -> bool:
    """Whether the bulk string behind this head ends where its length says, as far as it is here."""
    end = head.end() + int(head[0][1:-2]) if head[0] != b"$-1\r\n" else head.end() - 2
    return data[end : end + 2] == CRLF
