"""Unpacks the beginning of compressed bytes: bodies of HTTP, packets of databases. Shared by all protocols.

Rules: never more than asked for is unpacked, whatever the bytes claim, so that a bomb costs no more than any other body.
Bytes that are cut off or damaged give what came before. Nothing is raised.

zlib and gzip: RFC 1950 to 1952. zstd: RFC 8878. Brotli: RFC 7932 (only where the package ``brotli`` is installed). Snappy:
its "format description"; LZ4: its "block format". The last two are simple enough to be read here.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

try:
    import brotli
except ImportError:  # an extra: without it bodies in Brotli stay unread
    brotli = None
try:
    from compression import zstd  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable

_GZIP_OR_ZLIB = 47  # zlib.decompressobj: a window of 32 KiB; which of the two headers there is, the bytes tell
_RAW = -15
_BROTLI_PIECE = 256
_WINDOW_OF_256_KIB = 0b0011
"""The smallest of the windows that the header of a stream of Brotli says in four bits."""
_SMALL_WINDOW_BYTES = (1 << 18) - 16


def unpack(form: str, packed: bytes, most: int) -> bytes | None:
    """The first bytes, at most `most`, of what `packed` holds in `form`: gzip, deflate, zlib, zstd, br, snappy or lz4.

    None: the form is not known, or what reads it is not installed.
    """
    unpacker = _UNPACKERS.get(form)
    return None if unpacker is None else unpacker(packed, most)


def can_unpack(form: str) -> bool:
    """Whether `unpack` reads this form here."""
    return form in _UNPACKERS and (form != "br" or brotli is not None)


def _gzip(packed: bytes, most: int) -> bytes:
    try:
        return zlib.decompressobj(_GZIP_OR_ZLIB).decompress(packed, most)
    except zlib.error:
        return b""


def _deflate(packed: bytes, most: int) -> bytes:
    """RFC 9110 section 8.4.1.2: a zlib stream; some send the bare deflate data."""
    try:
        return zlib.decompressobj().decompress(packed, most)
    except zlib.error:
        pass
    try:
        return zlib.decompressobj(_RAW).decompress(packed, most)
    except zlib.error:
        return b""


def _zstd(packed: bytes, most: int) -> bytes:
    try:
        unpacked: bytes = zstd.ZstdDecompressor().decompress(packed, max_length=most)
    except (zstd.ZstdError, MemoryError):
        return b""
    return unpacked


def _brotli(packed: bytes, most: int) -> bytes | None:
    if brotli is None:
        return None
    decompressor = brotli.Decompressor()
    if most <= _SMALL_WINDOW_BYTES:
        packed = _with_small_window(packed)
    unpacked = b""
    try:
        # In small pieces: what a version without a limit unpacks at once is bounded by them.
        for at in range(0, len(packed), _BROTLI_PIECE):
            unpacked += decompressor.process(packed[at : at + _BROTLI_PIECE], output_buffer_limit=most)
            if len(unpacked) >= most:
                break
    except brotli.error:
        pass
    return unpacked[:most]


def _with_small_window(packed: bytes) -> bytes:
    """The same stream with the smallest window that its header has room for (RFC 7932 section 9.1).

    The decompressor fills its window before it gives anything out: of 25 bytes that unpack to millions, up to 16 MiB. To
    what lies within a smaller window it makes no difference.
    """
    if packed and packed[0] & 1 and packed[0] & 0b1110:
        return bytes((packed[0] & 0xF0 | _WINDOW_OF_256_KIB,)) + packed[1:]
    return packed


def _snappy(packed: bytes, most: int) -> bytes:
    """A raw block: its unpacked length, then literals and copies of what came before."""
    size = len(packed)
    at = 0
    while at < size and packed[at] & 0x80:
        at += 1
    at += 1
    out = bytearray()
    while at < size and len(out) < most:
        tag = packed[at]
        kind = tag & 3
        at += 1
        if kind == 0:
            length = tag >> 2
            if length >= 60:
                width = length - 59
                length = int.from_bytes(packed[at : at + width], "little")
                at += width
            length += 1
            out += packed[at : at + min(length, most)]
            at += length
            continue
        if kind == 1:
            length, width = (tag >> 2 & 7) + 4, 1
            offset = (tag >> 5) << 8 | (packed[at] if at < size else 0)
        else:
            length, width = (tag >> 2) + 1, 2 if kind == 2 else 4
            offset = int.from_bytes(packed[at : at + width], "little")
        at += width
        if at > size or not _copy(out, offset, length):
            break
    return bytes(out[:most])


def _lz4(packed: bytes, most: int) -> bytes:
    """A block: literals and copies in turn."""
    size = len(packed)
    at = 0
    out = bytearray()
    while at < size and len(out) < most:
        token = packed[at]
        at += 1
        length = token >> 4
        if length == 15:
            length, at = _lz4_length(packed, at)
        out += packed[at : at + min(length, most)]
        at += length
        if at + 2 > size:
            break
        offset = packed[at] | packed[at + 1] << 8
        at += 2
        length = token & 15
        if length == 15:
            length, at = _lz4_length(packed, at)
        if not _copy(out, offset, min(length + 4, most)):
            break
    return bytes(out[:most])


def _lz4_length(packed: bytes, at: int) -> tuple[int, int]:
    length = 15
    while at < len(packed):
        byte = packed[at]
        at += 1
        length += byte
        if byte != 255:
            break
    return length, at


def _copy(out: bytearray, offset: int, length: int) -> bool:
    """Append `length` bytes of what came `offset` bytes before, which may overlap the end. False: there is no such place."""
    start = len(out) - offset
    if offset <= 0 or start < 0:
        return False
    if offset >= length:
        out += out[start : start + length]
    else:
        out += (bytes(out[start:]) * (length // offset + 1))[:length]
    return True


_UNPACKERS: dict[str, Callable[[bytes, int], bytes | None]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "zlib": _deflate,
    "deflate": _deflate,
    "zstd": _zstd,
    "br": _brotli,
    "snappy": _snappy,
    "lz4": _lz4,
}
