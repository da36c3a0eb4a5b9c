"""The compressed protocol of MySQL and MariaDB ("Compression", in MySQL's manual of the protocol): packets around packets.

A compressed packet is a length, a sequence number, the length of what it holds once unpacked, and that: zlib or zstd, or
as it is where that length is 0. What it holds is a stream of usual packets, which may begin and end in any place of it.
Behind a gap the next compressed packet is found by what only one can be: its content unpacks to the length that it says, and
ends with its checksum; one that is not compressed holds whole packets.
"""

from __future__ import annotations

import heapq
import re
import zlib
from itertools import islice
from typing import TYPE_CHECKING

from wiretrace.model.side import Side
from wiretrace.protocols.carried import CarriedReader, Frame
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
_PACKED_MORE = 1024
"""Bytes that packing adds at most to what it can not make smaller (zlib: 5 for 16 KiB, and 18 around)."""
PLACES_TRIED = 20_000
"""Places in one run of bytes that are tried as the beginning of a packet; beyond it the run is passed over."""


class Unpacking(CarriedReader):
    """One direction behind the login of a compressed connection."""

    def __init__(self, owner: Protocol, side: Side, reader: ClientReader | ServerReader, offset: int) -> None:
        super().__init__(owner, (owner.requests, owner.responses)[side], reader, offset)
        self._side = side

    def frame(self, data: bytes, at: int) -> Frame | None:
        """See `CarriedReader.frame`."""
        start = at + _OUTER_HEADER
        if start > len(data):
            return None
        length: int = HEADER.unpack_from(data, at)[0] & LENGTH
        end = start + length
        if end > len(data):
            return None
        inner = int.from_bytes(data[at + 4 : start], "little")
        return Frame(end, inner or length, data[at + 4 : end])

    def unpack(self, frame: Frame) -> bytes:
        """See `CarriedReader.unpack`."""
        packed = frame.packed[3:]
        if not any(frame.packed[:3]):
            return packed
        content = _unpacked(packed, frame.size)
        if len(content) != frame.size:
            raise Violation("a compressed packet of MySQL that does not unpack")
        return content

    def boundary(self, data: bytes, at: int) -> int | None:
        """See `CarriedReader.boundary`."""
        return boundary(data, at, self._side)

    def inner_boundary(self, data: bytes) -> int | None:
        """See `CarriedReader.inner_boundary`."""
        return (client_boundary, server_boundary)[self._side](data, 0)


def boundary(data: bytes, at: int, side: Side) -> int | None:
    """Where a compressed packet of `side` begins for certain."""
    packed = (found.start() - _OUTER_HEADER for found in _PACKED.finditer(data, at + _OUTER_HEADER))
    plain = (found.start() - 4 for found in _PLAIN.finditer(data, at + 4))
    # One by one: mostly the first is right, and all of them would be looked for behind each of many violations.
    places = islice(heapq.merge(packed, plain), PLACES_TRIED)
    return next((place for place in places if is_packet(data, place, side)), None)


def is_packet(data: bytes, at: int, side: Side) -> bool:
    """Whether a whole compressed packet of `side` stands at `at`."""
    size = len(data)
    if at + _OUTER_HEADER + 4 > size or (side is Side.CLIENT and data[at + 3] != 0):
        return False
    end = at + _OUTER_HEADER + (HEADER.unpack_from(data, at)[0] & LENGTH)
    inner = int.from_bytes(data[at + 4 : at + _OUTER_HEADER], "little")
    if end > size or end < at + _OUTER_HEADER + 5:
        return False
    if not inner:
        return _holds_packets(data, at + _OUTER_HEADER, end, side)
    if (
        end - at - _OUTER_HEADER > inner + _PACKED_MORE
        or inner >= 1 << 20
        or _PACKED.match(data, at + _OUTER_HEADER) is None
    ):
        return False
    return len(_unpacked(data[at + _OUTER_HEADER : end], inner)) == inner


def _holds_packets(data: bytes, at: int, end: int, side: Side) -> bool:
    """Whether packets stand one behind the other, to the end."""
    if side is Side.CLIENT and not is_command(data, at):
        return False
    sequence = data[at + 3]
    while at + 4 < end and data[at + 3] == sequence:
        at += 4 + (HEADER.unpack_from(data, at)[0] & LENGTH)
        sequence = (sequence + 1) & 0xFF
    return at == end


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
