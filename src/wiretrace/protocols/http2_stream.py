"""One direction of one stream of HTTP/2, while its message is under construction, and the message that it becomes.

Rules: a half knows the fields and the beginning of the body of its message, and nothing of frames or offsets. What a head
lacks, because it was not captured, its message lacks too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wiretrace.model.message import Message, Result, Role
from wiretrace.protocols import grpc
from wiretrace.protocols.compression import can_unpack
from wiretrace.protocols.event_stream import EventCounter
from wiretrace.protocols.http2_fields import MALFORMED_NOTE, NOT_KNOWN, UNKNOWN_NOTE, Head, asked
from wiretrace.protocols.http_fields import NOT_UNPACKED, PACKED_BYTES, body_values
from wiretrace.protocols.http_semantics import (
    TOO_MANY_OPERATIONS,
    admitted,
    operations_of,
    response_attributes,
    result_of,
)

if TYPE_CHECKING:
    from wiretrace.protocols.contract import Context

HEAD_LOST = "its head was not captured"
MALFORMED_HEAD = Head()
"""Stands for a head that could not be read."""


class Half:
    """A request, a response, or a pushed response, under construction."""

    __slots__ = ("_values", "body", "damaged", "events", "grpc", "head", "notes", "promise", "role", "trailer")

    def __init__(self, role: Role, head: Head | None, context: Context, promise: Head | None = None) -> None:
        """`head` is None where it was not captured; `promise` is the request that a pushed response answers."""
        self.role = role
        self.head = head
        self.promise = promise
        self.trailer: Head | None = None
        self.damaged = head is None
        self.notes: tuple[str, ...] = (HEAD_LOST,) if head is None else ()
        self.grpc: grpc.MessageCounter | None = None
        self.events: EventCounter | None = None
        self.body = 0
        """Bytes of content so far."""
        self._values = b""
        if head is not None:
            self.answer(head, context)

    def answer(self, head: Head, context: Context) -> None:
        """Take the head."""
        self.head = head
        if head is MALFORMED_HEAD:
            self.damaged, self.notes = True, (*self.notes, MALFORMED_NOTE)
        if head.unknown:
            self.notes = (*self.notes, UNKNOWN_NOTE)
        if head.packed and not can_unpack(head.packed):
            self.notes = (*self.notes, NOT_UNPACKED)
        if head.grpc:
            self.grpc = grpc.MessageCounter(context.value_bytes)
        elif head.events:
            self.events = EventCounter()

    def end_with(self, trailer: Head) -> None:
        """Take the trailer."""
        self.trailer = trailer
        if trailer is MALFORMED_HEAD and MALFORMED_NOTE not in self.notes:
            self.notes = (*self.notes, MALFORMED_NOTE)
        if trailer.unknown and UNKNOWN_NOTE not in self.notes:
            self.notes = (*self.notes, UNKNOWN_NOTE)

    @property
    def is_read(self) -> bool:
        """Whether the body is looked into all along."""
        return self.grpc is not None or self.events is not None

    def feed(self, data: bytes, at: int, end: int) -> None:
        """Look into the bytes ``data[at:end]`` of a body that is read."""
        if self.grpc is not None:
            self.grpc.feed(data, at, end)
        elif self.events is not None:
            self.events.feed(data[at:end])

    def sample(self, data: bytes, at: int, end: int, room: int) -> None:
        """Keep the beginning of the body, as far as it is there, for the values in it."""
        if self.head is None or self.head.opaque:
            return
        if self.head.packed:
            room = PACKED_BYTES
        if len(self._values) < room:
            self._values += data[at : min(end, at + room - len(self._values))]

    def lose(self) -> None:
        """Bytes of it may be missing."""
        self.damaged = True
        if self.grpc is not None:
            self.grpc.give_up()
        if self.events is not None:
            self.events.give_up()

    def message(self, key: int, context: Context) -> Message:
        """The message that it has become; its span is still to be set."""
        if self.head is not None and self.head.packed and self._values:
            self._values = body_values(self.head.packed, self._values, context.value_bytes)
        made = self._request(context) if self.role is Role.REQUEST else self._response(context)
        made.key, made.notes = key, tuple(dict.fromkeys(self.notes))
        made.damaged = self.damaged
        return made

    def _request(self, context: Context) -> Message:
        head = self.head or MALFORMED_HEAD
        authority = head.authority or head.host
        target, attributes = asked(
            head.method, head.path, authority, head.user_agent, head.tunnelled, context.keep_values
        )
        operation, summary, protocol = target.operation, target.summary, ""
        values = target.values + b" " + self._values if self._values else target.values
        if self.grpc is not None:
            counter, protocol = self.grpc, "grpc"
            operation = summary = method = target.path.removeprefix("/") or NOT_KNOWN
            attributes = grpc.request_attributes(
                method, authority, head.user_agent, head.grpc_timeout, -1 if counter.lost else counter.count,
                counter.size, counter.compressed,
            )  # fmt: skip
            values = target.values + b" " + counter.values if counter.values else target.values
        operations, named = operations_of(context), f"gRPC {operation}" if protocol else operation
        if named not in operations and admitted(named, operations) != named:
            operation = f"{'gRPC' if protocol else head.method} /…"
            self.notes = (*self.notes, TOO_MANY_OPERATIONS)
        return Message(
            Role.REQUEST, 0, 0, operation, summary, values=values[: context.value_bytes], identifiers=head.identifiers,
            attributes=attributes, protocol=protocol, patience_ms=grpc.timeout_ms(head.grpc_timeout) if protocol else -1,
        )  # fmt: skip

    def _response(self, context: Context) -> Message:
        head = self.head or MALFORMED_HEAD
        trailer = self.trailer or head
        code = head.status
        status = str(code) if code > 0 else ""
        result = result_of(code)
        attributes = response_attributes(code) if code > 0 else None
        values, protocol = self._values, ""
        if self.grpc is not None or trailer.grpc_status is not None:
            counter, protocol = self.grpc or grpc.MessageCounter(0), "grpc"
            number = trailer.grpc_status
            if number is not None:
                status, result = grpc.status_name(number), grpc.result_of(number)
            known = self.grpc is not None and not counter.lost
            attributes = grpc.response_attributes(
                "" if number is None else status, code, counter.count if known else -1, counter.size, counter.compressed
            )
            if context.keep_values and trailer.grpc_message:
                attributes = {**attributes, "wiretrace.error.message": grpc.message_in_words(trailer)}
            values = counter.values
        if self.events is not None:
            attributes = self.events.told(attributes)
        made = Message(
            self.role, 0, 0, "", "", status, result, values=values, identifiers=head.identifiers, attributes=attributes,
            protocol=protocol,
        )  # fmt: skip
        if self.promise is not None:
            promise = self.promise
            target, promised = asked(
                promise.method, promise.path, promise.authority, promise.user_agent, "", context.keep_values
            )
            made.operation, made.summary = target.operation, target.summary
            made.attributes = {**promised, **(attributes or {})}
        return made


def failed(half: Half, key: int, context: Context, result: Result, word: str) -> Message:
    """The message of a half that was called off or given up, with the error code `word`."""
    message = half.message(key, context)
    message.result = result
    message.attributes = {**(message.attributes or {}), "error.type": word}
    if half.role is not Role.REQUEST and not message.status:
        message.status = word
    return message
