"""memcached over UDP (protocol.txt, "UDP protocol"): a frame header of 8 bytes, and the text or binary protocol behind it.

Rules: requests and replies have the number of the header in common. A reply may come in several datagrams, of which the
first says what it is; a request is one datagram.
"""

from __future__ import annotations

import struct
from typing import ClassVar

from wiretrace.model.message import Message, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, DatagramProtocol, Violation
from wiretrace.protocols.memcached_binary import MAGIC, BinaryReader, next_header
from wiretrace.protocols.memcached_text import COMMAND_LINE, REPLY_LINE, TextReader

FRAME = struct.Struct(">HHHH")
"""Number of the request, number of the datagram, how many there are, and what should be zero, but is anything."""
FRAME_BYTES = 8
PORT = 11211


class MemcachedDatagrams(DatagramProtocol):
    """A memcached server and its clients over UDP."""

    name = "memcached"
    ports: ClassVar[frozenset[int]] = frozenset({PORT})

    @classmethod
    def probe(cls, datagram: bytes, ports: tuple[int, int]) -> float:
        """A frame header with a command or a reply behind it."""
        if len(datagram) <= FRAME_BYTES:
            return 0.0
        _, number, count, reserved = FRAME.unpack_from(datagram)
        side = _side(datagram)
        if number >= count or side is None or (reserved and PORT not in ports):
            return 0.0
        return 0.9 if datagram[FRAME_BYTES] in MAGIC or side is Side.CLIENT or PORT in ports else 0.6

    def read(self, datagram: bytes, length: int) -> Message | None:
        """One message a datagram, or a further part of a reply."""
        if len(datagram) <= FRAME_BYTES:
            return None
        request, number, count, _ = FRAME.unpack_from(datagram)
        if number >= count:
            return None
        if number:
            return Message(Role.RESPONSE, 0, length, key=request, closes=number + 1 == count)
        side = _side(datagram)
        message = None if side is None else self._first(datagram, side, length, whole=count == 1)
        if message is None:
            return None
        message.start, message.end, message.key, message.closes = 0, length, request, count == 1
        return message

    def _first(self, datagram: bytes, side: Side, length: int, *, whole: bool) -> Message | None:
        """The message that begins behind the frame header; None where there is none."""
        context = Context(keep_values=self.context.keep_values, value_bytes=self.context.value_bytes)
        found: tuple[list[Message], list[Message]] = ([], [])
        text, binary = TextReader(context, *found), BinaryReader(context, *found)
        # Whether a quiet command was answered can not be told of a datagram alone.
        text.lost(Side.SERVER, 0)
        try:
            if datagram[FRAME_BYTES] in MAGIC:
                binary.parse(side, datagram, FRAME_BYTES, 0)
            elif side is Side.CLIENT:
                text.parse_commands(datagram, FRAME_BYTES, 0)
            else:
                text.parse_replies(datagram, FRAME_BYTES, 0)
        except Violation:
            return None
        binary.end(side, length)
        text.finish(side, length)
        if found[side]:
            message = found[side][0]
            message.damaged = message.damaged and whole
            return message
        # More of it is to come, or it was cut: what it is shows in its first word.
        word = datagram[FRAME_BYTES:].split(None, 1)[0][:20].decode("ascii", "replace")
        return Message(Role.RESPONSE, 0, length, status=word) if side is Side.SERVER else None


def _side(datagram: bytes) -> Side | None:
    """Who sends such a datagram; None where it is none of memcached's."""
    if datagram[FRAME_BYTES] in MAGIC:
        return Side(MAGIC.index(datagram[FRAME_BYTES])) if next_header(datagram, FRAME_BYTES) else None
    if COMMAND_LINE.match(datagram, FRAME_BYTES):
        return Side.CLIENT
    return Side.SERVER if REPLY_LINE.match(datagram, FRAME_BYTES) else None
