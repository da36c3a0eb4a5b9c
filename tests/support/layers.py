"""Builders of packet layers from plain values: Ethernet, VLAN tags, IPv4, IPv6, fragments, TCP, UDP.

Each function returns the bytes of its header with the payload behind it, with correct lengths and checksums. Addresses are
text; an address with a colon is IPv6.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

TCP = 6
UDP = 17
ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_IPV6 = 0x86DD

CLIENT_MAC = bytes.fromhex("020000000001")
SERVER_MAC = bytes.fromhex("020000000002")


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packed(address: str) -> bytes:
    """An address as 4 or 16 bytes."""
    return ipaddress.ip_address(address).packed


def transport_checksum(source: str, destination: str, protocol: int, segment: bytes) -> int:
    """Checksum of a TCP or UDP segment over its pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1)."""
    if ":" in source:
        pseudo = packed(source) + packed(destination) + struct.pack(">II", len(segment), protocol)
    else:
        pseudo = packed(source) + packed(destination) + struct.pack(">HH", protocol, len(segment))
    return checksum(pseudo + segment)


def tcp(
    source: tuple[str, int],
    destination: tuple[str, int],
    *,
    seq: int,
    ack: int = 0,
    flags: int = 0x10,
    window: int = 65535,
    options: bytes = b"",
    payload: bytes = b"",
) -> bytes:
    """A TCP segment; `options` are padded with zeros to a multiple of 4."""
    options += bytes(-len(options) % 4)
    offset = (5 + len(options) // 4) << 4
    head = struct.pack(
        ">HHIIBBHHH", source[1], destination[1], seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, offset, flags, window, 0, 0
    )
    segment = head + options + payload
    value = transport_checksum(source[0], destination[0], TCP, segment)
    return segment[:16] + value.to_bytes(2, "big") + segment[18:]


def udp(source: tuple[str, int], destination: tuple[str, int], payload: bytes) -> bytes:
    """A UDP datagram."""
    datagram = struct.pack(">HHHH", source[1], destination[1], 8 + len(payload), 0) + payload
    value = transport_checksum(source[0], destination[0], UDP, datagram) or 0xFFFF
    return datagram[:6] + value.to_bytes(2, "big") + datagram[8:]


def ipv4(
    source: str,
    destination: str,
    protocol: int,
    payload: bytes,
    *,
    options: bytes = b"",
    identification: int = 0,
    fragment_offset: int = 0,
    more_fragments: bool = False,
    total_length: int | None = None,
) -> bytes:
    """An IPv4 packet. `fragment_offset` is in bytes; `total_length` overrides the true one (0 as in TSO captures)."""
    options += bytes(-len(options) % 4)
    length = 20 + len(options) + len(payload) if total_length is None else total_length
    fragment = fragment_offset // 8 | (0x2000 if more_fragments else 0)
    version = 0x40 | (5 + len(options) // 4)
    head = struct.pack(">BBHHHBBH", version, 0, length, identification, fragment, 64, protocol, 0)
    head += packed(source) + packed(destination) + options
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + payload


def ipv6(source: str, destination: str, next_header: int, payload: bytes) -> bytes:
    """An IPv6 packet; extension headers, if any, stand at the start of `payload`."""
    return struct.pack(">IHBB", 6 << 28, len(payload), next_header, 64) + packed(source) + packed(destination) + payload


def ipv6_options(next_header: int, length: int = 8) -> bytes:
    """A hop-by-hop or destination options header of `length` bytes (a multiple of 8), full of padding."""
    padding = b"\x01" + bytes([length - 4]) + bytes(length - 4)
    return bytes([next_header, length // 8 - 1]) + padding


def ipv6_fragment(next_header: int, identification: int, offset: int, more_fragments: bool) -> bytes:
    """A fragment header (RFC 8200 section 4.5); `offset` is in bytes."""
    return struct.pack(">BBHI", next_header, 0, offset | int(more_fragments), identification)


def ip(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    """An IPv4 or IPv6 packet without options, by the look of `source`."""
    return (ipv6 if ":" in source else ipv4)(source, destination, protocol, payload)


def fragments(
    source: str, destination: str, protocol: int, payload: bytes, size: int, identification: int = 1
) -> list[bytes]:
    """The packets of `payload` sent in fragments of at most `size` bytes (a multiple of 8), in order."""
    result = []
    for start in range(0, len(payload), size):
        piece, more = payload[start : start + size], start + size < len(payload)
        if ":" in source:
            head = ipv6_fragment(protocol, identification, start, more)
            result.append(ipv6(source, destination, 44, head + piece))
        else:
            result.append(
                ipv4(
                    source,
                    destination,
                    protocol,
                    piece,
                    identification=identification,
                    fragment_offset=start,
                    more_fragments=more,
                )
            )
    return result


def ethernet(payload: bytes, *, vlans: Sequence[tuple[int, int]] = (), from_client: bool = True) -> bytes:
    """An Ethernet frame around an IP packet, with VLAN tags as (ethertype of the tag, tag control information)."""
    head = SERVER_MAC + CLIENT_MAC if from_client else CLIENT_MAC + SERVER_MAC
    for tag_type, control in vlans:
        head += struct.pack(">HH", tag_type, control)
    return head + struct.pack(">H", ETHERTYPE_IPV6 if payload[0] >> 4 == 6 else ETHERTYPE_IPV4) + payload
