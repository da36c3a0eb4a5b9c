"""gRPC over HTTP/2: the messages in a body, the status of a call, and what of both an exchange tells.

Follows the protocol's own description (grpc/doc/PROTOCOL-HTTP2.md) and its status codes (grpc/doc/statuscodes.md). Rules:

- A body is a sequence of messages, each behind five bytes: whether it is compressed, and its length. Only those five bytes
  and the beginning of the first message are read; the rest is passed over.
- More than one message in a direction means that the direction streams. One message does not mean that it does not: only
  the schema tells, and it is not on the wire.
- The status comes in the trailer, or in the head where there is nothing but a head. What it says in words
  (``grpc-message``) may hold anything, and is shown only where the user keeps values.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

from wiretrace.model.message import Result
from wiretrace.protocols.protobuf import values_in

if TYPE_CHECKING:
    from wiretrace.protocols.http2_fields import Head

PREFIX_BYTES = 5
"""What stands before each message: a flag, and the length as four bytes."""
STATUS_NAMES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
"""By their numbers."""
SERVER_AT_FAULT = frozenset({2, 4, 12, 13, 14, 15})
"""Statuses that OpenTelemetry's conventions hold against the server."""
TIMEOUT_UNITS = {"H": 3_600_000, "M": 60_000, "S": 1000, "m": 1}
"""Milliseconds of each unit of ``grpc-timeout``; a microsecond and a nanosecond are less than one."""


class MessageCounter:
    """Counts the messages of one direction of a call."""

    __slots__ = ("_left", "_prefix", "_room", "compressed", "count", "lost", "size", "values")

    def __init__(self, room: int) -> None:
        """`room`: most bytes of values that are kept."""
        self._left = 0
        """Bytes of the present message that have not come."""
        self._prefix = b""
        """The beginning of a prefix that is not complete."""
        self._room = room
        self.count = 0
        """Messages that began."""
        self.size = 0
        """Bytes in them, as their prefixes say."""
        self.compressed = False
        """Whether one of them is compressed."""
        self.lost = False
        """Whether bytes are missing, so that messages can not be counted on."""
        self.values = b""
        """What was read in the first message."""

    @property
    def skippable(self) -> int:
        """How many of the next bytes belong to a message, and need not be read."""
        return 1 << 62 if self.lost else self._left

    def skip(self, count: int) -> None:
        """Pass over bytes of a message."""
        if not self.lost:
            self._left -= count

    def feed(self, data: bytes, at: int, end: int) -> None:
        """Take the bytes ``data[at:end]`` of the body."""
        if self.lost:
            return
        while at < end:
            if self._left:
                taken = min(self._left, end - at)
                self._left -= taken
                at += taken
                continue
            wanted = PREFIX_BYTES - len(self._prefix)
            prefix = self._prefix + data[at : min(at + wanted, end)]
            at += wanted
            if len(prefix) < PREFIX_BYTES:
                self._prefix = prefix
                return
            self._prefix = b""
            self._left = int.from_bytes(prefix[1:], "big")
            self.count += 1
            self.size += self._left
            if prefix[0] & 1:
                self.compressed = True
            elif not self.values and self._left:
                self.values = values_in(data[at : min(at + self._left, end, at + 2 * self._room)], self._room)

    def give_up(self) -> None:
        """Bytes of the body are missing."""
        self.lost = True


def timeout_ms(text: str) -> int:
    """Milliseconds of a ``grpc-timeout``; -1 where it is none, 0 where it is less than one."""
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdigit() and len(number) <= 8 and unit in "HMSmun" and unit):
        return -1
    factor = TIMEOUT_UNITS.get(unit)
    return int(number) * factor if factor is not None else int(number) // (1000 if unit == "u" else 1_000_000)


@lru_cache(maxsize=4096)
def request_attributes(
    method: str, authority: str, user_agent: str, timeout: str, count: int, size: int, compressed: bool
) -> dict[str, str | int]:
    """OpenTelemetry attributes of a call; `count` is -1 where its messages are not known. Nobody may change them."""
    attributes: dict[str, str | int] = {"rpc.system.name": "grpc", "rpc.method": method}
    name, colon, port = authority.rpartition(":")
    if colon and port.isascii() and port.isdigit() and len(port) <= 5:
        attributes["server.address"], attributes["server.port"] = name.strip("[]"), int(port)
    elif authority:
        attributes["server.address"] = authority.strip("[]")
    if user_agent:
        attributes["user_agent.original"] = user_agent
    attributes["network.protocol.version"] = "2"
    milliseconds = timeout_ms(timeout)
    if milliseconds >= 0:
        attributes["wiretrace.grpc.timeout_ms"] = milliseconds
    if count >= 0:
        attributes["wiretrace.grpc.request.messages"] = count
        attributes["wiretrace.grpc.request.message_bytes"] = size
    if compressed:
        attributes["wiretrace.grpc.request.compressed"] = 1
    return attributes


@lru_cache(maxsize=4096)
def response_attributes(status: str, http_status: int, count: int, size: int, compressed: bool) -> dict[str, str | int]:
    """OpenTelemetry attributes of a call's answer; `count` is -1 where its messages are not known."""
    attributes: dict[str, str | int] = {}
    if status:
        attributes["rpc.response.status_code"] = status
    if http_status >= 0:
        attributes["http.response.status_code"] = http_status
    if count >= 0:
        attributes["wiretrace.grpc.response.messages"] = count
        attributes["wiretrace.grpc.response.message_bytes"] = size
    if compressed:
        attributes["wiretrace.grpc.response.compressed"] = 1
    return attributes


def status_name(number: int) -> str:
    """The name of a status; one that is not defined, as a number."""
    return STATUS_NAMES[number] if 0 <= number < len(STATUS_NAMES) else str(number)


def result_of(number: int) -> Result:
    """How a status judges the call; one that is not defined counts as UNKNOWN."""
    if number == 0:
        return Result.OK
    if number in SERVER_AT_FAULT or not 0 <= number < len(STATUS_NAMES):
        return Result.SERVER_ERROR
    return Result.CLIENT_ERROR


def message_in_words(head: Head) -> str:
    """The text of ``grpc-message``, which is percent-encoded."""
    return unquote(head.grpc_message, errors="replace")
