"""Builders of single pcapng blocks (draft-ietf-opsawg-pcapng), for files of any shape: join what they return.

`byte_order` is that of struct: "<" or ">".
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from tests.support.layers import packed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def block(byte_order: str, kind: int, body: bytes) -> bytes:
    """A block of any type; its body is padded to 32 bits."""
    body += bytes(-len(body) % 4)
    length = struct.pack(byte_order + "I", len(body) + 12)
    return struct.pack(byte_order + "I", kind) + length + body + length


def option(byte_order: str, code: int, value: bytes) -> bytes:
    """One option, padded to 32 bits."""
    return struct.pack(byte_order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section_header(byte_order: str, *, comment: str = "") -> bytes:
    """A section header of unknown length."""
    body = struct.pack(byte_order + "IHHq", 0x1A2B3C4D, 1, 0, -1)
    if comment:
        body += option(byte_order, 1, comment.encode()) + option(byte_order, 0, b"")
    return block(byte_order, 0x0A0D0D0A, body)


def interface(
    byte_order: str,
    *,
    link_type: int = 1,
    snap_length: int = 0,
    resolution: int | None = None,
    offset_seconds: int = 0,
    comment: str = "",
) -> bytes:
    """An interface description; `resolution` is the byte of if_tsresol (None: microseconds by default)."""
    body = struct.pack(byte_order + "HHI", link_type, 0, snap_length)
    if comment:
        body += option(byte_order, 1, comment.encode())
    if resolution is not None:
        body += option(byte_order, 9, bytes([resolution]))
    if offset_seconds:
        body += option(byte_order, 14, struct.pack(byte_order + "q", offset_seconds))
    return block(byte_order, 1, body)


def enhanced_packet(
    byte_order: str,
    timestamp: int,
    data: bytes,
    *,
    interface_id: int = 0,
    original_length: int | None = None,
    dropped: int | None = None,
) -> bytes:
    """An enhanced packet; `timestamp` in units of its interface, `dropped` is epb_dropcount."""
    original = len(data) if original_length is None else original_length
    body = struct.pack(byte_order + "IIIII", interface_id, timestamp >> 32, timestamp & 0xFFFFFFFF, len(data), original)
    body += data + bytes(-len(data) % 4)
    if dropped is not None:
        body += option(byte_order, 4, struct.pack(byte_order + "Q", dropped))
    return block(byte_order, 6, body)


def simple_packet(byte_order: str, data: bytes, *, original_length: int | None = None) -> bytes:
    """A simple packet: interface 0, no time; `data` has to be what the interface's snap length leaves."""
    original = len(data) if original_length is None else original_length
    return block(byte_order, 3, struct.pack(byte_order + "I", original) + data)


def obsolete_packet(byte_order: str, timestamp: int, data: bytes, *, interface_id: int = 0, dropped: int = 0) -> bytes:
    """The obsolete packet block (type 2)."""
    head = struct.pack(
        byte_order + "HHIIII", interface_id, dropped, timestamp >> 32, timestamp & 0xFFFFFFFF, len(data), len(data)
    )
    return block(byte_order, 2, head + data)


def interface_statistics(
    byte_order: str, timestamp: int, *, interface_id: int = 0, counters: Mapping[int, int] | None = None
) -> bytes:
    """Interface statistics; `counters` maps option codes (5 isb_ifdrop, 7 isb_osdrop) to values."""
    body = struct.pack(byte_order + "III", interface_id, timestamp >> 32, timestamp & 0xFFFFFFFF)
    for code, value in (counters or {}).items():
        body += option(byte_order, code, struct.pack(byte_order + "Q", value))
    return block(byte_order, 5, body)


def name_resolution(byte_order: str, names: Mapping[str, Sequence[str]]) -> bytes:
    """Names of addresses."""
    body = b""
    for address, known in names.items():
        value = packed(address) + b"".join(name.encode() + b"\0" for name in known)
        body += option(byte_order, 2 if ":" in address else 1, value)
    return block(byte_order, 4, body + struct.pack(byte_order + "HH", 0, 0))
