"""The compressed protocol of MySQL and MariaDB ("Compression", in MySQL's manual of the protocol): packets around packets.

A compressed packet is a length, a sequence number, the length of what it holds once unpacked, and that: zlib or zstd, or
as it is where that length is 0. What it holds is a stream of usual packets, which may begin and end in any place of it.
Behind a gap the next compressed packet is found by what only one can be: its content unpacks to the length that it says, and
ends with its checksum; one that is not compressed holds whole packets.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

from wiretrace.model.side import Side
from wiretrace.protocols.carried import Carried
from wiretrace.protocols.compression import unpack
from wiretrace.protocols.contract import Violation
from wiretrace.protocols.mysql_wire import HEADER, LENGTH, client_boundary, is_command, server_boundary

if TYPE_CHECKING:
    from wiretrace.protocols.contract import Protocol
    from wiretrace.protocols.mysql_client import ClientReader
    from wiretrace.protocols.mysql_server import ServerReader

_OUTER_HEADER = 7
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_PACKED = re.compile(rb"\x78[\x01\x5e\x9c\xda]|\x28\xb5\x2f\xfd")
_PLAIN = re.compile(rb"(?=\x00\x00\x00)")
_INNER_TAIL = 64
_WINDOW = 1 << 18
"""Bytes that are unpacked before they are read."""


class Unpacking:
    """One direction behind the login of a compressed connection."""

    def __init__(self, owner: Protocol, side: Side, reader: ClientReader | ServerReader, offset: int) -> None:
        self._side = side
        self._reader = reader
        self._messages = (owner.requests, owner.responses)[side]
        self._carried = Carried(offset, owner.context.unparsed_bytes)
        self._seeking = False
        """Where a packet begins in what is carried is not known."""

    def parse(self, data: bytes, at: int, base: int) -> int:
        """As `Protocol.parse`."""
        carried = self._carried
        size = len(data)
        position = max(at, carried.outer_end - base)
        while True:
            after, inner_size, content = _packet(data, position, size, carried)
            if after < 0:
                break
            carried.add(base + position, base + after, inner_size, content)
            position = after
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
        """Find where a packet begins in what was unpacked behind a gap."""
        carried = self._carried
        index = (client_boundary, server_boundary)[self._side](carried.buffer, 0)
        if index is None:
            keep = max(0, len(carried.buffer) - _INNER_TAIL)
            carried.begin_message(keep)
            return False
        carried.begin_message(index)
        self._seeking = False
        return True

    def resync(self, data: bytes, at: int, base: int) -> int | None:
        """As `Protocol.resync`."""
        found = boundary(data, at, self._side)
        if found is not None:
            self._carried.begin(base + found)
            self._seeking = True
        return found

    def break_off(self, offset: int, lost: bool) -> None:
        """Nothing more comes, or bytes are missing from stream offset `offset` on."""
        before = len(self._messages)
        self._reader.break_off(self._carried.end, lost)
        self._carried.break_off(offset, self._messages, before)


def boundary(data: bytes, at: int, side: Side) -> int | None:
    """Where a compressed packet of `side` begins for certain."""
    places = {found.start() - _OUTER_HEADER for found in _PACKED.finditer(data, at + _OUTER_HEADER)}
    places.update(found.start() - 4 for found in _PLAIN.finditer(data, at + 4))
    return next((place for place in sorted(places) if place >= at and is_packet(data, place, side)), None)


def is_packet(data: bytes, at: int, side: Side) -> bool:
    """Whether a whole compressed packet of `side` stands at `at`."""
    size = len(data)
    if at + _OUTER_HEADER + 4 > size or (side is Side.CLIENT and data[at + 3] != 0):
        return False
    end = at + _OUTER_HEADER + (HEADER.unpack_from(data, at)[0] & LENGTH)
    inner = int.from_bytes(data[at + 4 : at + _OUTER_HEADER], "little")
    if end > size:
        return False
    if not inner:
        return _holds_packets(data, at + _OUTER_HEADER, end, side)
    content = data[at + _OUTER_HEADER : end]
    return _PACKED.match(content) is not None and inner < 1 << 20 and len(_unpacked(content, inner)) == inner


def _holds_packets(data: bytes, at: int, end: int, side: Side) -> bool:
    """Whether packets stand one behind the other, to the end."""
    if side is Side.CLIENT and not is_command(data, at):
        return False
    sequence = data[at + 3]
    while at + 4 < end and data[at + 3] == sequence:
        at += 4 + (HEADER.unpack_from(data, at)[0] & LENGTH)
        sequence = (sequence + 1) & 0xFF
    return at == end


def _packet(data: bytes, at: int, size: int, carried: Carried) -> tuple[int, int, bytes]:
    """The compressed packet at `at`: the index behind it, the size of what it holds, and that, where it is wanted.

    The index is -1 where the end of the packet has not arrived.
    """
    if at + _OUTER_HEADER > size:
        return -1, 0, b""
    length: int = HEADER.unpack_from(data, at)[0] & LENGTH
    start = at + _OUTER_HEADER
    end = start + length
    if end > size:
        return -1, 0, b""
    inner = int.from_bytes(data[at + 4 : start], "little")
    if not carried.wants(inner or length):
        return end, inner or length, b""
    if not inner:
        return end, length, data[start:end]
    content = _unpacked(data[start:end], inner)
    if len(content) != inner:
        raise Violation("a compressed packet of MySQL that does not unpack")
    return end, inner, content


def _unpacked(packed: bytes, size: int) -> bytes:
    """What `packed` holds, if it is `size` bytes and whole; b"" else."""
    if packed.startswith(_ZSTD_MAGIC):
        content = unpack("zstd", packed, size + 1) or b""
        return content if len(content) == size else b""
    decompressor = zlib.decompressobj()
    try:
        content = decompressor.decompress(packed, size + 1)
        if not decompressor.eof:
            content += decompressor.decompress(decompressor.unconsumed_tail, 1)
    except zlib.error:
        return b""
    return content if decompressor.eof and len(content) == size else b""
