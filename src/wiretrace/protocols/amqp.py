"""AMQP 0-9-1, as RabbitMQ speaks it: connections, channels, methods, published and delivered messages.

Rules:

- What a client asks is a request, paired with its answer by channel and kind of method: a channel does one at a time.
- A published message asks for nothing, unless its channel is in confirm mode: then its number in the channel is its key.
- A delivered message is a request of the *server*, answered by the client's acknowledgement with its delivery tag; one of a
  consumer that does not acknowledge asks for nothing.
- An exception (channel.close, connection.close) answers the method that it names.
- A content is a method, a header and bodies, one after the other. Where frames of another channel lie between them, the
  message ends there, and a note says so. Bodies are passed over behind their beginning.
Sections are those of the AMQP 0-9-1 specification.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, ClassVar

from wiretrace.model.identifier import IdentifierKind
from wiretrace.model.message import Message, Messaging, QueuedMessage, Role
from wiretrace.protocols.amqp_methods import Channels, Meaning
from wiretrace.protocols.amqp_wire import (
    BODY,
    FRAME_END,
    HEADER,
    HEARTBEAT,
    METHOD,
    METHODS,
    WORDS,
    Properties,
)
from wiretrace.protocols.contract import Context, Protocol, Violation
from wiretrace.protocols.http_semantics import request_id
from wiretrace.protocols.messaging import breadcrumbs, queued_body, readable

if TYPE_CHECKING:
    from wiretrace.model.side import Side

GREETING = b"AMQP\x00\x00\x09\x01"
"""What a client opens a connection with (section 4.2.2), and a server answers that speaks another version."""
OLDER_GREETINGS = (b"AMQP\x01\x01\x00\x09", b"AMQP\x01\x01\x09\x01", b"AMQP\x01\x01\x08\x00")
"""The same of versions 0-9 and 0-8, which name their classes and methods alike."""
HEAD = struct.Struct(">BHI")
"""Kind, channel and length of a frame (section 2.3.5)."""
HEAD_BYTES = 7
LONGEST_FRAME = 1 << 22
"""A method or header that is longer is not believed."""
LONGEST_BODY = 1 << 31
FRAME_AHEAD = re.compile(rb"(?=[\x01\x02\x03\x08][\x00-\xff]{2}[\x00-\x7f])")
PLACES_TRIED = 20_000
"""Places in one run of bytes that are tried as the beginning of a frame; beyond it the run is passed over."""
SPLIT_NOTE = "frames of another channel lie within it, and what follows them was not read"


class Content:
    """A message that carries content, of which more is to come."""

    __slots__ = ("body", "channel", "end", "left", "meaning", "properties", "start")

    def __init__(self, start: int, end: int, channel: int, meaning: Meaning) -> None:
        self.start, self.end, self.channel, self.meaning = start, end, channel, meaning
        self.properties: Properties | None = None
        self.left = 0
        """Bytes of body still to come."""
        self.body = b""
        """Its beginning."""


class AMQP(Protocol):
    """One connection of AMQP 0-9-1 (specification of 2008, with RabbitMQ's extensions: confirms, basic.nack).

    Sees methods with their answers, published messages with their confirmation, deliveries with their acknowledgement,
    exceptions with their reply code, returns, breadcrumbs in headers, message and correlation ids. Does not see: content;
    credentials (passed over unread); which publish an exception is about; AMQP 1.0.
    """

    name: ClassVar[str] = "amqp"
    ports: ClassVar[frozenset[int]] = frozenset({5672})
    blocking: ClassVar[bool] = False
    keyed: ClassVar[bool] = True
    overtakes: ClassVar[bool] = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._channels = Channels(context)
        self._content: list[Content | None] = [None, None]
        """By side: the content whose end has not come."""
        self._over = [False, False]
        """By side: whether nothing more comes."""

    @classmethod
    def probe(cls, client: bytes, server: bytes) -> float:
        """The greeting is unmistakable; so are whole frames, where the connection was joined midway."""
        if client[:8] == GREETING or client[:8] in OLDER_GREETINGS:
            return 1.0
        if client[:4] == b"AMQP":
            return 0.0
        frames = 0
        for opening, words in zip((client, server), WORDS, strict=True):
            count = chain(opening, 0, words)
            if count < 0:
                return 0.0
            frames += count
        return (0.0, 0.7, 0.9)[min(frames, 2)]

    def parse(self, side: Side, data: bytes, at: int, base: int) -> int:
        """Read frames; see the contract."""
        if self._over[side]:
            return at
        try:
            return self._read(side, data, at, base)
        except Violation:
            # What was read of a content is read: reading goes on behind it.
            content = self._content[side]
            if content is not None:
                self._give_up(side, content.end)
            raise

    def _read(self, side: Side, data: bytes, at: int, base: int) -> int:
        size = len(data)
        wanted = self.context.value_bytes
        unpack = HEAD.unpack_from
        while size - at >= HEAD_BYTES:
            kind, channel, length = unpack(data, at)
            payload = at + HEAD_BYTES
            end = payload + length + 1
            content = self._content[side]
            if kind == BODY:
                if length > LONGEST_BODY:
                    raise Violation("not an AMQP frame")
                if content is not None and content.channel == channel and content.properties is not None:
                    beginning = min(length, wanted - len(content.body))
                    if payload + beginning > size:
                        return at
                    content.body += data[payload : payload + beginning]
                    content.left -= length
                    content.end = base + end
                    if content.left <= 0:
                        self._complete(side, content)
                else:
                    self._interrupt(side, base + at)
                    self._control(side, base + at, base + end)
                at = end
                continue
            if data.startswith(b"AMQP", at):
                # The protocol header, which is eight bytes and no frame.
                if size - at == HEAD_BYTES:
                    return at
                self._control(side, base + at, base + at + 8)
                at += 8
                continue
            if length > LONGEST_FRAME or kind not in (METHOD, HEADER, HEARTBEAT):
                raise Violation("not an AMQP frame")
            if end > size:
                return at
            if data[end - 1] != FRAME_END:
                raise Violation("not an AMQP frame: it does not end as one")
            if kind == HEADER and content is not None and content.channel == channel and content.properties is None:
                content.properties = Properties(data, payload, end - 1)
                content.left, content.end = content.properties.body_bytes, base + end
                if not content.left:
                    self._complete(side, content)
            else:
                self._interrupt(side, base + at)
                if kind == METHOD:
                    if not self._method(side, channel, data, at, end, base):
                        return at
                else:
                    self._control(side, base + at, base + end)
            at = end
        return at

    def _method(self, side: Side, channel: int, data: bytes, at: int, end: int, base: int) -> bool:
        """Read one method frame, whose first byte is at `at`. False: the other side's word on it has not come yet."""
        meaning = self._channels.read(side, channel, data, at + HEAD_BYTES, end - 1)
        if meaning is None:
            return False
        if meaning.content:
            self._content[side] = Content(base + at, base + end, channel, meaning)
        else:
            self._append(side, meaning, base + at, base + end)
        return True

    def _append(self, side: Side, meaning: Meaning, start: int, end: int) -> Message:
        message = Message(
            meaning.role, start, end, operation=meaning.operation, summary=meaning.summary, status=meaning.status,
            result=meaning.result, key=meaning.key, cumulative=meaning.cumulative, attributes=meaning.attributes,
            values=meaning.values,
        )  # fmt: skip
        self._messages(side).append(message)
        return message

    def _control(self, side: Side, start: int, end: int) -> None:
        self._messages(side).append(Message(Role.CONTROL, start, end))

    def _messages(self, side: Side) -> list[Message]:
        return (self.requests, self.responses)[side]

    def _complete(self, side: Side, content: Content) -> None:
        """The content has come to its end."""
        self._content[side] = None
        meaning, properties = content.meaning, content.properties
        message = self._append(side, meaning, content.start, content.end)
        if properties is None:
            return
        attributes = dict(meaning.attributes or {})
        identifiers = list(breadcrumbs(properties.headers))
        if properties.message_id:
            attributes["messaging.message.id"] = readable(properties.message_id)
        if properties.correlation_id:
            attributes["messaging.message.conversation_id"] = readable(properties.correlation_id)
            conversation = request_id(properties.correlation_id)
            if conversation is not None:
                identifiers.append((IdentifierKind.REQUEST_ID, conversation))
        attributes["messaging.message.body.size"] = properties.body_bytes
        message.attributes, message.identifiers = attributes, tuple(identifiers)
        message.values = content.body
        if properties.message_id:
            queued = QueuedMessage(meaning.destination, properties.message_id, named=True)
        else:
            queued = queued_body(meaning.destination, content.body, properties.body_bytes)
        if meaning.sends:
            message.messaging = Messaging(sent=(queued,))
        elif meaning.brings:
            message.messaging = Messaging(received=(queued,))

    def _interrupt(self, side: Side, offset: int) -> None:
        """A frame that is no part of the content comes at `offset`: what is known of the content has to do."""
        content = self._content[side]
        if content is not None:
            content.end = offset
            properties = content.properties
            if properties is not None and properties.body_bytes and not content.body:
                # Without its beginning a body is like any other.
                properties.body_bytes = 0
            self._complete(side, content)
            message = self._messages(side)[-1]
            message.notes = (SPLIT_NOTE,)

    def resync(self, side: Side, data: bytes, at: int, base: int) -> int | None:
        """Where frames begin that end as frames do, up to the end of what there is, or three in a row."""
        if data.startswith(GREETING, at):
            return at
        for count, found in enumerate(FRAME_AHEAD.finditer(data, at)):
            if count >= PLACES_TRIED:
                break
            frames = chain(data, found.start(), WORDS[side])
            if frames >= (1 if found.start() == at else 2):
                return found.start()
        return None

    def lost(self, side: Side, start: int, end: int) -> None:
        """What was counted on that side is not known any more."""
        self._give_up(side, start)
        self._channels.lost(side)

    def finish(self, side: Side, offset: int) -> None:
        """A content that has not come to its end is finished as it stands."""
        self._give_up(side, offset)
        self._over[side] = True
        self._channels.over(side)

    def _give_up(self, side: Side, offset: int) -> None:
        content = self._content[side]
        if content is not None:
            content.end = max(content.start, offset)
            self._complete(side, content)
            self._messages(side)[-1].damaged = True


CHAIN = 3
"""Frames in a row that are enough to recognise the protocol."""


NUMBER = struct.Struct(">HH")
"""Class and number of a method."""


def chain(data: bytes, at: int, words: frozenset[str]) -> int:
    """How many frames stand at `at` in a row, at most CHAIN; -1 where one is none, or a method is not among `words`.

    The last one may be cut off by the end of `data`: then it does not count.
    """
    count = 0
    size = len(data)
    while count < CHAIN and at < size:
        if data[at] not in (METHOD, HEADER, BODY, HEARTBEAT):
            return -1
        if size - at < HEAD_BYTES:
            break
        kind, channel, length = HEAD.unpack_from(data, at)
        end = at + HEAD_BYTES + length + 1
        if kind == METHOD and size - at >= HEAD_BYTES + NUMBER.size:
            number: tuple[int, int] = NUMBER.unpack_from(data, at + HEAD_BYTES)
            if METHODS.get(number) not in words:
                return -1
        if length > (LONGEST_BODY if kind == BODY else LONGEST_FRAME) or (kind == HEARTBEAT and (length or channel)):
            return -1
        if end > size:
            break
        if data[end - 1] != FRAME_END:
            return -1
        count += 1
        at = end
    return count
