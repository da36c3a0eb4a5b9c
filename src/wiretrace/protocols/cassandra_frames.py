"""The frames of Cassandra's protocol version 5 (section 2 of its specification): what carries messages behind STARTUP.

A frame has a header with its lengths and a checksum of 24 bits over that, what it carries, and a checksum of 32 bits. Where
LZ4 was agreed on the header has two lengths. A frame that is *self-contained* begins with a message.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from wiretrace.protocols.carried import CarriedReader, Frame
from wiretrace.protocols.compression import unpack
from wiretrace.protocols.contract import Violation

if TYPE_CHECKING:
    from wiretrace.model.message import Message
    from wiretrace.protocols.carried import Reader
    from wiretrace.protocols.contract import Protocol

_LENGTH = 0x1FFFF
_LENGTH_BITS = 17
_CRC24_BYTES, _CRC32_BYTES = 3, 4
_FRAME_AHEAD = re.compile(rb"(?=..[\x02\x03]|....[\x04-\x07])", re.DOTALL)
"""Where the flags of a self-contained frame may stand behind its lengths, without or with compression."""
_FLAGS_AT_MOST = 5
PLACES_TRIED = 20_000
"""Places in one run of bytes that are tried as the beginning of a frame; beyond it the run is passed over."""
_CRC24_START, _CRC24_POLYNOMIAL = 0x875060, 0x1974F0B


class Frames(CarriedReader):
    """One direction behind STARTUP."""

    control_key = 0

    def __init__(
        self, owner: Protocol, messages: list[Message], reader: Reader, offset: int, compressed: bool | None
    ) -> None:
        """`compressed`: whether LZ4 was agreed on; None: not known."""
        super().__init__(owner, messages, reader, offset)
        self.compressed = compressed

    def frame(self, data: bytes, at: int) -> Frame | None:
        """See `CarriedReader.frame`."""
        head = 5 if self.compressed else 3
        start = at + head + _CRC24_BYTES
        if start > len(data):
            return None
        word = int.from_bytes(data[at : at + head], "little")
        if crc24(data[at : at + head]) != int.from_bytes(data[at + head : start], "little"):
            raise Violation("not a frame of Cassandra")
        length = word & _LENGTH
        end = start + length + _CRC32_BYTES
        if end > len(data):
            return None
        unpacked = word >> _LENGTH_BITS & _LENGTH if self.compressed else 0
        return Frame(end, unpacked or length, data[at + head : end])

    def unpack(self, frame: Frame) -> bytes:
        """See `CarriedReader.unpack`."""
        packed = frame.packed[_CRC24_BYTES:-_CRC32_BYTES]
        if len(packed) == frame.size:
            return packed
        content = unpack("lz4", packed, frame.size) or b""
        if len(content) != frame.size:
            raise Violation("a frame of Cassandra that does not unpack")
        return content

    def boundary(self, data: bytes, at: int) -> int | None:
        """See `CarriedReader.boundary`."""
        return self.first_frame(data, at, len(data))

    def first_frame(self, data: bytes, at: int, behind: int) -> int | None:
        """Where a frame begins for certain, from `at` on and before `behind`."""
        last = min(behind, len(data) - 12)
        for found in islice(_FRAME_AHEAD.finditer(data, at, max(last + _FLAGS_AT_MOST, 0)), PLACES_TRIED):
            start = found.start()
            if start >= last:
                return None
            for compressed in (False, True) if self.compressed is None else (self.compressed,):
                if is_frame(data, start, compressed):
                    self.compressed = compressed
                    return start
        return None

    def inner_boundary(self, data: bytes) -> int | None:
        """See `CarriedReader.inner_boundary`: a self-contained frame begins with a message."""
        return 0 if data else None


def is_frame(data: bytes, at: int, compressed: bool) -> bool:
    """Whether a self-contained frame begins at `at`: its lengths are what its checksum says."""
    head = 5 if compressed else 3
    if at + head + _CRC24_BYTES > len(data):
        return False
    word = int.from_bytes(data[at : at + head], "little")
    bits = 2 * _LENGTH_BITS if compressed else _LENGTH_BITS
    if word >> bits != 1 or not word & _LENGTH:
        return False
    return crc24(data[at : at + head]) == int.from_bytes(data[at + head : at + head + _CRC24_BYTES], "little")


def crc24(data: bytes) -> int:
    """The checksum of a header."""
    value = _CRC24_START
    for byte in data:
        value ^= byte << 16
        for _ in range(8):
            value <<= 1
            if value & 0x1000000:
                value ^= _CRC24_POLYNOMIAL
    return value
