"""The encoding of AMQP 0-9-1: strings, tables, content headers, and the names of methods and reply codes.

Rules: readers take the bytes of one whole frame, and raise `Violation` where these end too early. Of a table the strings on
its first level are read, all else is passed over by its size.
Facts: AMQP 0-9-1 specification, sections 2.3.5 (frames), 4.2.5 (tables), 4.2.6.1 (content headers); RabbitMQ's errata for
the types of table fields; class and method numbers from amqp0-9-1.xml.
"""

from __future__ import annotations

import struct

from wiretrace.protocols.contract import Violation

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
FRAME_END = 0xCE

CONNECTION, CHANNEL, EXCHANGE, QUEUE, BASIC, CONFIRM, TX = 10, 20, 40, 50, 60, 85, 90

METHODS: dict[tuple[int, int], str] = {
    (CONNECTION, 10): "connection.start",
    (CONNECTION, 11): "connection.start-ok",
    (CONNECTION, 20): "connection.secure",
    (CONNECTION, 21): "connection.secure-ok",
    (CONNECTION, 30): "connection.tune",
    (CONNECTION, 31): "connection.tune-ok",
    (CONNECTION, 40): "connection.open",
    (CONNECTION, 41): "connection.open-ok",
    (CONNECTION, 50): "connection.close",
    (CONNECTION, 51): "connection.close-ok",
    (CONNECTION, 60): "connection.blocked",
    (CONNECTION, 61): "connection.unblocked",
    (CONNECTION, 70): "connection.update-secret",
    (CONNECTION, 71): "connection.update-secret-ok",
    (CHANNEL, 10): "channel.open",
    (CHANNEL, 11): "channel.open-ok",
    (CHANNEL, 20): "channel.flow",
    (CHANNEL, 21): "channel.flow-ok",
    (CHANNEL, 40): "channel.close",
    (CHANNEL, 41): "channel.close-ok",
    (EXCHANGE, 10): "exchange.declare",
    (EXCHANGE, 11): "exchange.declare-ok",
    (EXCHANGE, 20): "exchange.delete",
    (EXCHANGE, 21): "exchange.delete-ok",
    (EXCHANGE, 30): "exchange.bind",
    (EXCHANGE, 31): "exchange.bind-ok",
    (EXCHANGE, 40): "exchange.unbind",
    (EXCHANGE, 51): "exchange.unbind-ok",
    (QUEUE, 10): "queue.declare",
    (QUEUE, 11): "queue.declare-ok",
    (QUEUE, 20): "queue.bind",
    (QUEUE, 21): "queue.bind-ok",
    (QUEUE, 30): "queue.purge",
    (QUEUE, 31): "queue.purge-ok",
    (QUEUE, 40): "queue.delete",
    (QUEUE, 41): "queue.delete-ok",
    (QUEUE, 50): "queue.unbind",
    (QUEUE, 51): "queue.unbind-ok",
    (BASIC, 10): "basic.qos",
    (BASIC, 11): "basic.qos-ok",
    (BASIC, 20): "basic.consume",
    (BASIC, 21): "basic.consume-ok",
    (BASIC, 30): "basic.cancel",
    (BASIC, 31): "basic.cancel-ok",
    (BASIC, 40): "basic.publish",
    (BASIC, 50): "basic.return",
    (BASIC, 60): "basic.deliver",
    (BASIC, 70): "basic.get",
    (BASIC, 71): "basic.get-ok",
    (BASIC, 72): "basic.get-empty",
    (BASIC, 80): "basic.ack",
    (BASIC, 90): "basic.reject",
    (BASIC, 100): "basic.recover-async",
    (BASIC, 110): "basic.recover",
    (BASIC, 111): "basic.recover-ok",
    (BASIC, 120): "basic.nack",
    (CONFIRM, 10): "confirm.select",
    (CONFIRM, 11): "confirm.select-ok",
    (TX, 10): "tx.select",
    (TX, 11): "tx.select-ok",
    (TX, 20): "tx.commit",
    (TX, 21): "tx.commit-ok",
    (TX, 30): "tx.rollback",
    (TX, 31): "tx.rollback-ok",
}
"""Names of methods by the numbers of their class and their own."""

NUMBERS = {name: number for number, name in METHODS.items()}

ONLY_SERVER = frozenset(
    {"connection.start", "connection.secure", "connection.tune", "connection.blocked", "connection.unblocked",
     "basic.deliver", "basic.return", "basic.get-empty"}
)  # fmt: skip
"""Methods of a server that are no answers by their names."""
ONLY_CLIENT = frozenset({"connection.start-ok", "connection.secure-ok", "connection.tune-ok"})
"""Answers that only a client gives."""
EITHER = frozenset(
    {"connection.close", "connection.close-ok", "channel.close", "channel.close-ok", "channel.flow", "channel.flow-ok",
     "basic.cancel", "basic.cancel-ok", "basic.ack", "basic.nack"}
)  # fmt: skip
"""Methods of both sides."""
CLIENT_WORDS = (
    frozenset(name for name in METHODS.values() if not name.endswith("-ok")) - ONLY_SERVER | ONLY_CLIENT | EITHER
)
"""Methods that a client may send."""
SERVER_WORDS = frozenset(METHODS.values()) - CLIENT_WORDS | EITHER
"""Methods that a server may send."""
WORDS = (CLIENT_WORDS, SERVER_WORDS)
"""By side."""

REPLY_CODES = {
    200: "REPLY_SUCCESS", 311: "CONTENT_TOO_LARGE", 312: "NO_ROUTE", 313: "NO_CONSUMERS", 320: "CONNECTION_FORCED",
    402: "INVALID_PATH", 403: "ACCESS_REFUSED", 404: "NOT_FOUND", 405: "RESOURCE_LOCKED", 406: "PRECONDITION_FAILED",
    501: "FRAME_ERROR", 502: "SYNTAX_ERROR", 503: "COMMAND_INVALID", 504: "CHANNEL_ERROR", 505: "UNEXPECTED_FRAME",
    506: "RESOURCE_ERROR", 530: "NOT_ALLOWED", 540: "NOT_IMPLEMENTED", 541: "INTERNAL_ERROR",
}  # fmt: skip
"""Names of reply codes (section 1.5.2)."""

FIELD_BYTES = {
    ord("t"): 1, ord("b"): 1, ord("B"): 1, ord("s"): 2, ord("U"): 2, ord("u"): 2, ord("I"): 4, ord("i"): 4,
    ord("L"): 8, ord("l"): 8, ord("f"): 4, ord("d"): 8, ord("D"): 5, ord("T"): 8, ord("V"): 0,
}  # fmt: skip
"""Length of the fields of a table that have one length, by their type."""
LONG_FIELDS = frozenset(b"SAFx")
"""Types of fields that begin with their length."""
TEXT_FIELDS = frozenset(b"Sx")
MOST_FIELDS = 64
"""Fields of a table that are looked at."""

CONTENT_TYPE, CONTENT_ENCODING, HEADERS, DELIVERY_MODE, PRIORITY, CORRELATION_ID, REPLY_TO, EXPIRATION, MESSAGE_ID = (
    1 << bit for bit in range(15, 6, -1)
)
"""Flags of the properties of a message that are read, in the order in which they stand (section 4.2.6.1)."""
OCTETS = frozenset({DELIVERY_MODE, PRIORITY})
SHORT_PROPERTIES = (CONTENT_TYPE, CONTENT_ENCODING)
UNPACK_HEADER = struct.Struct(">HHQH").unpack_from
"""Class, weight, length of the body, flags of the properties."""


class Arguments:
    """Reads the arguments of a method, or the properties of a content, one after the other."""

    __slots__ = ("at", "data", "end")

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self.data, self.at, self.end = data, at, end

    def number(self, size: int) -> int:
        """An unsigned number of `size` bytes."""
        at = self.at
        self.at = at + size
        if self.at > self.end:
            raise Violation("not an AMQP frame: it ends within an argument")
        return int.from_bytes(self.data[at : at + size], "big")

    def text(self) -> bytes:
        """A short string."""
        at = self.at
        if at >= self.end:
            raise Violation("not an AMQP frame: it ends within an argument")
        self.at = at + 1 + self.data[at]
        if self.at > self.end:
            raise Violation("not an AMQP frame: it ends within an argument")
        return self.data[at + 1 : self.at]

    def table(self) -> list[tuple[bytes, bytes]]:
        """The names and values of the strings on the first level of a table."""
        behind = self.number(4) + self.at
        if behind > self.end:
            raise Violation("not an AMQP frame: it ends within an argument")
        fields = Arguments(self.data, self.at, behind)
        self.at = behind
        found: list[tuple[bytes, bytes]] = []
        for _ in range(MOST_FIELDS):
            if fields.at >= behind:
                break
            name, kind = fields.text(), fields.number(1)
            size = FIELD_BYTES.get(kind, -1)
            if size < 0:
                if kind not in LONG_FIELDS:
                    break
                size = fields.number(4)
            start = fields.at
            fields.at += size
            if fields.at > behind:
                raise Violation("not an AMQP frame: it ends within an argument")
            if kind in TEXT_FIELDS:
                found.append((name, self.data[start : fields.at]))
        return found


class Properties:
    """What is read of the properties of a message."""

    __slots__ = ("body_bytes", "correlation_id", "headers", "message_id", "reply_to")

    def __init__(self, data: bytes, at: int, end: int) -> None:
        """Read the payload of a content header; raises Violation if it is none."""
        if end - at < 14:
            raise Violation("not an AMQP content header")
        class_number, _, self.body_bytes, flags = UNPACK_HEADER(data, at)
        if class_number != BASIC or self.body_bytes >> 53:
            raise Violation("not an AMQP content header")
        self.headers: list[tuple[bytes, bytes]] = []
        self.correlation_id = self.reply_to = self.message_id = b""
        if flags & 1:
            return
        arguments = Arguments(data, at + 14, end)
        for flag in SHORT_PROPERTIES:
            if flags & flag:
                arguments.text()
        if flags & HEADERS:
            self.headers = arguments.table()
        for flag in OCTETS:
            if flags & flag:
                arguments.number(1)
        if flags & CORRELATION_ID:
            self.correlation_id = arguments.text()
        if flags & REPLY_TO:
            self.reply_to = arguments.text()
        if flags & EXPIRATION:
            arguments.text()
        if flags & MESSAGE_ID:
            self.message_id = arguments.text()


def reply_code(code: int) -> str:
    """'404 NOT_FOUND'."""
    return f"{code} {REPLY_CODES[code]}" if code in REPLY_CODES else str(code)
