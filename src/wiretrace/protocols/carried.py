"""A stream that is carried in frames of another: compressed packets of MySQL, frames of Cassandra's protocol version 5.

Rules: what is carried is read by the same code as what is not, in offsets of its own (*inner* offsets); the messages that it
finds get the offsets of the frames that carried them. A message that begins or ends inside a frame gets its share of the
frame, so that the spans of messages still tile. Frames that hold nothing but what is passed over are not unpacked.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

from wiretrace.model.message import Message, Role
from wiretrace.protocols.contract import Violation

if TYPE_CHECKING:
    from wiretrace.protocols.contract import Protocol as Owner

_INNER_TAIL = 64
_WINDOW = 1 << 18
"""Bytes that are unpacked before they are read."""

_BELIEVED_BYTES = 64 << 20
_BELIEVED_RATIO = 100
"""What a direction may unpack to: so many bytes, and so many times what it holds. Beyond it is made to harm."""


class Reader(Protocol):
    """Reads what is carried, as it reads what is not."""

    def parse(self, data: bytes, at: int, base: int) -> int:
        """As `Protocol.parse`."""

    def break_off(self, end: int, lost: bool) -> None:
        """Nothing more comes, or bytes are missing: what is under construction ends at `end`."""


class Frame(NamedTuple):
    """A frame that is all there."""

    end: int
    """Index behind it."""
    size: int
    """Bytes that it holds, unpacked."""
    packed: bytes
    """What it holds, as it is there."""


class Carried:
    """The bytes of one direction."""

    def __init__(self, offset: int, unread_bytes: int) -> None:
        """The first frame begins at stream offset `offset`; more than `unread_bytes` may not wait to be read."""
        self.outer_end = offset
        """Stream offset behind the last frame."""
        self.buffer = b""
        self.base = offset
        """Inner offset of ``buffer[0]``."""
        self.position = offset
        """Inner offset of the first byte that is not read; beyond `end`: bytes up to there are passed over."""
        self.end = offset
        """Inner offset behind the last frame."""
        self._unread_bytes = unread_bytes
        self._frames: deque[tuple[int, int, int, int]] = deque()
        """Frames of which something is unread: inner and outer start, inner and outer end."""
        self._last = (offset, offset)
        """Inner and outer end of the last message, where the next one begins."""
        self._held: list[Message] = []
        """Messages of which the end is still to come."""
        self._allowance = _BELIEVED_BYTES

    def wants(self, size: int) -> bool:
        """Whether the next frame, which holds `size` bytes, has to be unpacked."""
        return self.position < self.end + size

    def add(self, outer_start: int, outer_end: int, size: int, content: bytes) -> None:
        """Take the next frame; `content` may be empty where it is not wanted. Raises Violation."""
        self._frames.append((self.end, outer_start, self.end + size, outer_end))
        self.outer_end = outer_end
        if content:
            self._allowance += _BELIEVED_RATIO * (outer_end - outer_start) - size
            if self._allowance < 0 or len(self.buffer) + size > self._unread_bytes:
                raise Violation("unpacks to more than is believed")
            if not self.buffer:
                self.base = self.end
            self.buffer += content
        self.end += size

    def read(self, index: int, messages: list[Message], before: int) -> None:
        """What lies before `index` of the buffer was read; it gave the messages behind the first `before` of `messages`."""
        self.position = self.base + index
        found = messages[before:]
        del messages[before:]
        for message in found:
            inner_end = message.end
            message.start = self._outer(message.start)
            self._held.append(message)
            if inner_end > self.end:
                self._last = (inner_end, -1)
            else:
                message.end = self._outer(inner_end)
                self._last = (inner_end, message.end)
        self._release(messages)
        if index >= len(self.buffer):
            self.buffer = b""
        elif index > 0:
            self.buffer = self.buffer[index:]
            self.base = self.position

    def arrived(self, messages: list[Message]) -> None:
        """Frames were added: a message whose end has come now is handed out."""
        inner_end, outer_end = self._last
        if outer_end < 0 and inner_end <= self.end and self._held:
            self._last = (inner_end, self._outer(inner_end))
            self._held[-1].end = self._last[1]
            self._release(messages)

    def _release(self, messages: list[Message]) -> None:
        if self._last[1] >= 0:
            messages += self._held
            self._held = []
        else:
            messages += self._held[:-1]
            del self._held[:-1]
        while self._frames and self._frames[0][2] <= min(self.position, self.end) and self._last[1] >= 0:
            self._frames.popleft()

    @property
    def message_start(self) -> int:
        """Stream offset at which the next message begins."""
        return self._last[1]

    @property
    def unread(self) -> int:
        """Stream offset of the first frame that is not all read."""
        for _, outer_start, inner_end, _ in self._frames:
            if inner_end > self.position:
                return outer_start
        return self.outer_end

    def break_off(self, offset: int, messages: list[Message], before: int) -> None:
        """The direction ends at stream offset `offset`, or bytes are missing from there on.

        `messages` holds, behind the first `before`, what ended with it.
        """
        found = messages[before:]
        del messages[before:]
        for message in found:
            message.start = self._outer(message.start)
        found = self._held + found
        self._held = []
        if found:
            found[-1].end = max(offset, found[-1].start)
            found[-1].damaged = True
        messages += found

    def begin(self, offset: int) -> None:
        """Go on behind a gap, with the frame at stream offset `offset`."""
        self.end += 1
        self.outer_end, self.position, self.buffer, self.base = offset, self.end, b"", self.end
        self._frames.clear()
        self._last = (self.end, offset)

    def begin_message(self, index: int) -> None:
        """A message begins at `index` of the buffer; what lies before it can not be read."""
        inner = self.base + index
        self._last = (inner, self._outer(inner))
        self.read(index, [], 0)

    def _outer(self, inner: int) -> int:
        """The stream offset that stands for an inner one."""
        if inner == self._last[0] and self._last[1] >= 0:
            return self._last[1]
        for inner_start, outer_start, inner_end, outer_end in self._frames:
            if inner_start <= inner <= inner_end:
                size = inner_end - inner_start
                return outer_start + (inner - inner_start) * (outer_end - outer_start) // size if size else outer_end
        return self._last[1] if self._last[1] >= 0 else self.outer_end


class CarriedReader(ABC):
    """Reads one direction of a protocol that is carried in frames. A subclass knows the frames."""

    control_key: ClassVar[int] = -1
    """The key of what is part of no message: 0 where messages are paired by keys."""

    def __init__(self, owner: Owner, messages: list[Message], reader: Reader, offset: int) -> None:
        """The first frame begins at stream offset `offset`; `reader` appends to `messages`."""
        self._messages = messages
        self._reader = reader
        self._carried = Carried(offset, owner.context.unparsed_bytes)
        self._seeking = False
        """Where a message begins in what is carried is not known."""
        self._sought_from = offset
        """Stream offset from which on it is looked for."""

    @abstractmethod
    def frame(self, data: bytes, at: int) -> Frame | None:
        """The frame at `at`; None where its end has not arrived. Raises Violation."""

    @abstractmethod
    def unpack(self, frame: Frame) -> bytes:
        """What a frame holds. Raises Violation."""

    @abstractmethod
    def boundary(self, data: bytes, at: int) -> int | None:
        """Where a frame begins for certain, from `at` on."""

    @abstractmethod
    def inner_boundary(self, data: bytes) -> int | None:
        """Where a message begins in what frames behind a gap hold."""

    def parse(self, data: bytes, at: int, base: int) -> int:
        """As `Protocol.parse`."""
        carried = self._carried
        position = max(at, carried.outer_end - base)
        while (frame := self.frame(data, position)) is not None:
            content = self.unpack(frame) if carried.wants(frame.size) else b""
            carried.add(base + position, base + frame.end, frame.size, content)
            position = frame.end
            if len(carried.buffer) >= _WINDOW and not self._read():
                break
        self._read()
        return max(at, carried.unread - base)

    def _read(self) -> bool:
        """Read what was unpacked. False: nothing of it could be."""
        carried = self._carried
        carried.arrived(self._messages)
        if (self._seeking and not self._found()) or carried.position >= carried.base + len(carried.buffer):
            return True
        before, position = len(self._messages), carried.position
        index = max(0, position - carried.base)
        try:
            index = self._reader.parse(carried.buffer, index, carried.base)
        except Violation:
            carried.read(len(carried.buffer), self._messages, before)
            raise
        carried.read(index, self._messages, before)
        return carried.position > position

    def _found(self) -> bool:
        """Find where a message begins in what was unpacked behind a gap."""
        carried = self._carried
        index = self.inner_boundary(carried.buffer)
        if index is None:
            carried.begin_message(max(0, len(carried.buffer) - _INNER_TAIL))
            return False
        carried.begin_message(index)
        self._seeking = False
        self._pass(carried.message_start)
        return True

    def _pass(self, offset: int) -> None:
        """What was looked through up to stream offset `offset` belongs to a message whose beginning is missing."""
        if offset > self._sought_from:
            control = Message(Role.CONTROL, self._sought_from, offset, key=self.control_key, damaged=True)
            self._messages.append(control)
            self._sought_from = offset

    def resync(self, data: bytes, at: int, base: int) -> int | None:
        """As `Protocol.resync`."""
        found = self.boundary(data, at)
        if found is not None:
            self._carried.begin(base + found)
            self._seeking, self._sought_from = True, base + found
        return found

    def break_off(self, offset: int, lost: bool) -> None:
        """Nothing more comes, or bytes are missing from stream offset `offset` on."""
        if self._seeking:
            self._pass(min(offset, self._carried.outer_end))
        before = len(self._messages)
        self._reader.break_off(self._carried.end, lost)
        self._carried.break_off(offset, self._messages, before)
