"""How far one direction of an HTTP/2 connection was read: the pieces of its messages, and whole header blocks.

Rules: pieces tile the stream, in order. Nothing is kept of what was read but what is open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wiretrace.model.limits import Limits
from wiretrace.model.message import Message, Role
from wiretrace.protocols.contract import Violation
from wiretrace.protocols.http2_frames import (
    CONTINUATION,
    END_HEADERS,
    HEAD,
    HEAD_BYTES,
    HEADERS,
    PADDED,
    STREAM,
    block_of,
)
from wiretrace.protocols.http2_hpack import FieldDecoder

if TYPE_CHECKING:
    from wiretrace.protocols.http2_stream import Half

LONGEST_BLOCK = Limits().header_block_bytes
CONNECTION = 0
"""The stream of frames that belong to none, and the key of CONTROL messages."""
NOBODY = -1
"""Nothing is under construction."""


class Direction:
    """How far one side was read, and what of it is open."""

    __slots__ = (
        "aligned", "decoder", "halves", "last", "left", "messages", "opening", "owner", "partial", "reached",
        "reading", "sound", "tile",
    )  # fmt: skip

    def __init__(self, messages: list[Message], *, started: bool, opening: bool) -> None:
        self.messages = messages
        """Where what is read goes."""
        self.decoder = FieldDecoder(from_the_start=started)
        self.halves: dict[int, Half] = {}
        """Messages under construction, by stream, the oldest first."""
        self.sound: dict[int, Half] = {}
        """Those of them that were begun since bytes were lost, so that each loss is told only to what it concerns."""
        self.last = 0
        """The highest stream on which a message began."""
        self.partial = not started
        """Whether bytes are missing, so that streams may be open of which nothing is known."""
        self.opening = opening
        """Whether the preface must come first."""
        self.left = 0
        """Content of the present DATA frame that was not read yet, where it is looked into."""
        self.reading = (NOBODY, 0)
        """Stream and flags of that frame."""
        self.aligned = -1
        """Stream offset behind a gap where a frame is known to begin; -1: none."""
        self.reached = 0
        """Stream offset behind the last frame that was read."""
        self.tile = 0
        """Stream offset where the present piece begins."""
        self.owner = NOBODY
        """Stream of the present piece."""

    def turn(self, owner: int, offset: int) -> None:
        """What comes at `offset` belongs to `owner`: finish the piece before it if that belongs to another."""
        if owner != self.owner:
            if offset > self.tile and self.owner != NOBODY:
                role = Role.PART if self.owner else Role.CONTROL
                self.messages.append(Message(role, self.tile, offset, key=self.owner))
            self.owner, self.tile = owner, offset

    def complete(self, message: Message, end: int) -> None:
        """Append a message whose last piece is the present one, which ends at `end`."""
        message.start, message.end = self.tile, end
        self.messages.append(message)
        self.owner, self.tile = NOBODY, end


def header_block(data: bytes, at: int, end: int, kind: int, flags: int, stream: int) -> tuple[bytes, int]:
    """The whole header block that begins in the frame at `at`, and the index behind it; -1: it is not all there.

    Of a PUSH_PROMISE, the block begins with the number of the promised stream (section 6.6).
    """
    size, most = len(data), LONGEST_BLOCK
    if end - at > most:
        raise Violation("header fields too long")
    if end > size:
        return b"", -1
    block = block_of(data, at, end, flags if kind == HEADERS else flags & PADDED)
    pieces, total = [block], len(block)
    while not flags & END_HEADERS:
        if size - end < HEAD_BYTES:
            return b"", -1
        high, low, kind, flags, of = HEAD.unpack_from(data, end)
        if kind != CONTINUATION or of & STREAM != stream:
            raise Violation("header fields are not continued")
        start = end + HEAD_BYTES
        end = start + (high << 8 | low)
        total += end - start + HEAD_BYTES
        if total > most:
            raise Violation("header fields too long")
        if end > size:
            return b"", -1
        pieces.append(data[start:end])
    return (block if len(pieces) == 1 else b"".join(pieces)), end
