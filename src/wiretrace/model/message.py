"""Messages: what a protocol reads out of the bytes of one direction.

Offsets are stream offsets: 0 is the first byte after the SYN (or the first byte seen, in a connection that was joined
midway; bytes before it have negative offsets). Spans of the messages of one direction tile its stream: a message ends
where the next one begins, so that every payload byte is in a message or in a named gap. A message whose bytes lie between
those of others (a stream of HTTP/2) comes in pieces, which tile like messages do: each but the last one has role PART.
"""

import enum
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from wiretrace.model.identifier import IdentifierKind

KEY_GROUP_BITS = 40
"""Lowest bits of the key of a message that are its number in a group (the messages of one channel)."""


class Role(enum.IntEnum):
    """What part a message plays in an exchange.

    A server may ask, too: a broker that delivers a message to its client. Then the request (or what is one way) is on the
    server's side and its response, the client's acknowledgement, on the client's, and they are paired by `Message.key`.
    """

    REQUEST = 0
    """Asks for a response."""
    ONE_WAY = 1
    """Asks for nothing: the exchange is complete without a response (noreply commands, MySQL COM_STMT_CLOSE)."""
    RESPONSE = 2
    """Answers a request."""
    PUSH = 3
    """Sent by the server without having been asked (pub/sub messages, notifications)."""
    CONTROL = 4
    """Bytes that are part of the protocol and of no exchange (a goodbye, padding). Counted, never shown."""
    PART = 5
    """A piece of a message whose last piece is still to come. The pieces of one message have the same `key` and side; the
    last one has the message's own role and says all else. It may be empty: then it ends where the piece before it did."""
    CANCEL = 6
    """The client's word that it no longer waits for the answer to the request with the same `key`."""


class Result(enum.IntEnum):
    """How a response judges its request."""

    OK = 0
    """The request was carried out."""
    CLIENT_ERROR = 1
    """The server says that the client is at fault (HTTP 4xx)."""
    SERVER_ERROR = 2
    """The server says that it failed, or a database refused a statement."""
    CANCELLED = 3
    """The client called the exchange off, and the connection goes on. Also of a request that it called off."""
    ABANDONED = 4
    """The server gave the exchange up without a whole answer, and the connection goes on. Also of a request."""
    CUT_OFF = 5
    """The connection ended before the answer did."""
    TIMED_OUT = 6
    """The client called the exchange off when the time was over that it had said it would wait. Also of a request."""
    TLS_FAILED = 7
    """The TLS handshake came to nothing: an end sent an alert. Also of a request that nothing but an alert followed."""
    UNREADABLE = 8
    """It is encrypted: there is an answer, and whether it is an error is not known."""


class Transaction(enum.IntEnum):
    """The state of the database session once a response is complete."""

    UNKNOWN = 0
    """The protocol has no transactions, or did not say."""
    IDLE = 1
    """No transaction is open."""
    OPEN = 2
    """A transaction is open: the next statement on this connection belongs to it."""
    FAILED = 3
    """A transaction is open and has failed: it can only be rolled back."""


class QueuedMessage(NamedTuple):
    """A message of applications that goes through a broker, as it is known where it is put and where it is taken off."""

    destination: bytes
    """Where it was put: topic, channel, key of a list, exchange and routing key. Equal at both places."""
    content: bytes
    """What is equal at both places and tells it from others: its own identifier, or the beginning of its body; empty:
    not known."""
    named: bool = False
    """Whether `content` is an identifier that no other message of the destination has."""


class Messaging(msgspec.Struct, frozen=True):
    """What a message of the protocol puts on queues, and takes off them."""

    sent: tuple[QueuedMessage, ...] = ()
    """What it puts there."""
    received: tuple[QueuedMessage, ...] = ()
    """What it brings to the client."""
    taken: Callable[[bytes], tuple[QueuedMessage, ...]] | None = None
    """Requests whose answer does not say what it is an answer to: what it brings to the client, by its `values`."""


class Message(msgspec.Struct, gc=False):
    """One request, response or push. Text fields are structurally redacted by the protocol that made them."""

    role: Role
    """What part it plays."""
    start: int
    """Stream offset of its first byte."""
    end: int
    """Stream offset behind its last byte. May lie beyond what has arrived: the bytes between are passed over."""
    operation: str = ""
    """Requests and pushes: what is asked for, in few distinct forms ('GET', 'SELECT orders', 'HGET'). A response that has
    one and `messaging` is a message of its own where it answers nothing that was seen."""
    summary: str = ""
    """Requests and pushes: one line for a person, literals redacted ('GET /orders/42?token=[redacted]')."""
    status: str = ""
    """Responses: the protocol's own word ('200', 'SELECT 3', '40P01', 'OK', 'WRONGTYPE')."""
    result: Result = Result.OK
    """Responses: whether it is an error."""
    closes: bool = True
    """False for a message inside a unit that is paired as a whole: the next message with True on the same side ends the
    unit. A closing response answers everything up to the next closing request (PostgreSQL: statements up to Sync)."""
    key: int = -1
    """An identifier that pairs the message within its connection (HTTP/2 stream, correlation id); -1: paired by order."""
    damaged: bool = False
    """Bytes of it are missing from the capture, or it breaks the rules of its protocol."""
    values: bytes = b""
    """Raw bytes in which values may stand that link it to other calls (path, keys, literals, the start of a body), at
    most `Limits.value_bytes`. Hashed by the exchanges floor and never kept."""
    identifiers: tuple[tuple[IdentifierKind, bytes], ...] = ()
    """Identifiers that other tools left in it."""
    attributes: dict[str, str | int] | None = None
    """OpenTelemetry attributes, values redacted. Share one dict between equal messages where that is cheap."""
    transaction: Transaction = Transaction.UNKNOWN
    """Responses of databases: the state of the session behind it."""
    notes: tuple[str, ...] = ()
    """What could not be read of it, each a short fixed phrase ('prepared before the capture')."""
    protocol: str = ""
    """The protocol of its exchange, where that is not the connection's: 'grpc' inside HTTP/2."""
    patience_ms: int = -1
    """Requests: how many milliseconds the client says that it will wait for the answer; -1: it does not say."""
    messaging: Messaging | None = None
    """What it puts on queues and takes off them, in protocols of brokers."""
    cumulative: bool = False
    """Responses: it answers all that waits with a key up to its own that differs in its lowest `KEY_GROUP_BITS` alone."""
