"""Kernel: tunnels. Segments that carry another packet -> frames at what is inside, all packets of a block at once.

Rules: a tunnel over IP (GRE, IP in IP, MPLS, EtherIP) is one by its protocol number. A tunnel over UDP (VXLAN, Geneve,
GTP-U) is one only where the port is its own, its header is valid, and what is inside can be a packet: where not, the
datagram stays one of UDP, and nothing of it is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.packets.columns import UDP
from wiretrace.packets.frames import (
    ERSPAN_2,
    ETHERNET_FRAME,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    IP,
    MPLS,
    NO_HARDWARE,
    Frames,
)
from wiretrace.packets.reasons import ETHERTYPES, Reason, reason_code

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from wiretrace.packets.buffer import PacketBuffer
    from wiretrace.packets.network import Segments

    Opened = tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.uint16]]
    """Of (m,) rows: whether they are tunnels, the size of the header, and the ethertype of what is inside."""

IPV4_IN_IP, IPV6_IN_IP, GRE, ETHER_IP, MPLS_IN_IP = 4, 41, 47, 97, 137
VXLAN_PORTS = (4789, 8472)
"""IANA's, and the one that Linux used before there was one."""
VXLAN_GPE_PORT, GENEVE_PORT, GTP_PORT = 4790, 6081, 2152
UDP_HEADER_BYTES = 8

GRE_CHECKSUM, GRE_ROUTING, GRE_KEY, GRE_SEQUENCE, GRE_ACKNOWLEDGED = 0x8000, 0x4000, 0x2000, 0x1000, 0x0080
"""Bits that say which fields are in a GRE header (RFC 2784, 2890; RFC 1701 and 2637 for the second and the last)."""
GRE_VERSION = 0x0007
VXLAN_VALID = 0x08
"""Flag: the network identifier is valid."""
GPE_FLAGS = 0x0C
GPE_NEXT = {1: ETHERTYPE_IPV4, 2: ETHERTYPE_IPV6, 3: ETHERNET_FRAME}
"""What is inside of VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe), by its next protocol."""
GTP_PACKET = 255
"""Message type of GTP-U that carries a packet (3GPP TS 29.281 section 7.1)."""
GTP_VERSION = 0x30
"""Version 1, protocol type GTP, in the upper bits of the first byte; bit 3 is spare."""
GTP_OPTIONS, GTP_EXTENSION = 0x07, 0x04
GTP_EXTENSIONS = 8
"""Extension headers of one GTP-U header that are passed over."""


def tunnel_frames(buffer: PacketBuffer, segments: Segments) -> tuple[NDArray[np.int64], Frames] | None:
    """The rows that carry another packet, and frames at what is inside; None where there is none."""
    found: list[tuple[NDArray[np.int64], Opened, int]] = []
    if segments.reason.any():
        for number, kernel in OVER_IP.items():
            rows = np.flatnonzero(segments.reason == reason_code(Reason.IP_PROTOCOL, number))
            if len(rows):
                found.append((rows, kernel(buffer, segments, rows), 0))
    datagrams = np.flatnonzero((segments.protocol == UDP) & (segments.reason == 0) & (segments.captured > 8))
    if len(datagrams):
        at = segments.offset[datagrams]
        source, destination = buffer.be16[at], buffer.be16[at + 2]
        for port, kernel in OVER_UDP.items():
            rows = datagrams[(source == port) | (destination == port)]
            if len(rows):
                found.append((rows, kernel(buffer, segments, rows), UDP_HEADER_BYTES))
    parts = [
        (rows[is_one], head + size[is_one], ethertype[is_one])
        for rows, (is_one, size, ethertype), head in found
        if is_one.any()
    ]
    if not parts:
        return None
    rows, size, ethertype = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(rows, kind="stable")
    rows, size, ethertype = rows[order], size[order], ethertype[order]
    begin = segments.offset[rows]
    frames = Frames(
        begin + size,
        ethertype,
        np.zeros(len(rows), np.int32),
        begin + segments.captured[rows],
        begin + segments.wire[rows],
        np.full(len(rows), NO_HARDWARE, np.int64),
    )
    frames.reason[frames.offset >= frames.captured_end] = Reason.CUT
    return rows, frames


def is_no_packet(inner: Frames, part: Segments) -> NDArray[np.bool_]:
    """(m,) bool: whether what was found at the frames `inner` of datagrams is no packet, and the datagram no tunnel.

    Such are ethertypes and versions that nobody uses, lengths that contradict each other, and IP packets that are longer
    than the datagram. `part` is what the frames were read as; a datagram rebuilt from fragments stands elsewhere.
    """
    kind, number = part.reason & 0xFF, part.reason >> 8
    unknown = (kind == Reason.ETHERTYPE) & ~np.isin(number, list(ETHERTYPES))
    inside = (part.offset >= inner.offset) & (part.offset < inner.captured_end)
    longer = inside & (part.offset + part.wire > inner.wire_end)
    no_packet: NDArray[np.bool_] = longer | ((part.reason > 0) & (unknown | np.isin(kind, IMPLAUSIBLE)))
    return no_packet


IMPLAUSIBLE = (
    Reason.IP_VERSION,
    Reason.LLC,
    Reason.PPP,
    Reason.LINK_HEADERS,
    Reason.MALFORMED_IPV4,
    Reason.MALFORMED_IPV6,
)


def _always(ethertype: int, size: int) -> Callable[[PacketBuffer, Segments, NDArray[np.int64]], Opened]:
    """A tunnel whose header has `size` bytes and carries `ethertype`."""

    def opened(buffer: PacketBuffer, segments: Segments, rows: NDArray[np.int64]) -> Opened:
        count = len(rows)
        return np.ones(count, np.bool_), np.full(count, size, np.int64), np.full(count, ethertype, np.uint16)

    return opened


def _gre(buffer: PacketBuffer, segments: Segments, rows: NDArray[np.int64]) -> Opened:
    """Versions 0 and 1 (PPTP). One that carries nothing, as keep-alives and acknowledgements do, stays a packet of GRE."""
    at = segments.offset[rows]
    flags, ethertype = buffer.be16[at], buffer.be16[at + 2].astype(np.uint16)
    version = flags & GRE_VERSION
    size = np.full(len(rows), 4, np.int64)
    for bit in (GRE_CHECKSUM, GRE_KEY, GRE_SEQUENCE):
        size += np.where(flags & bit, 4, 0)
    size += np.where((version == 1) & ((flags & GRE_ACKNOWLEDGED) != 0), 4, 0)
    # ERSPAN type I has no sequence number and no header of its own.
    plain = (ethertype == ERSPAN_2) & ((flags & GRE_SEQUENCE) == 0)
    ethertype[plain] = ETHERNET_FRAME
    is_one = (version <= 1) & ((flags & GRE_ROUTING) == 0) & (ethertype != 0) & (segments.wire[rows] > size)
    return is_one, size, ethertype


def _vxlan(buffer: PacketBuffer, segments: Segments, rows: NDArray[np.int64]) -> Opened:
    """RFC 7348: the network identifier is valid. Reserved bits mean nothing here, and extensions use them."""
    at = segments.offset[rows] + UDP_HEADER_BYTES
    valid = (buffer.u8[at] & VXLAN_VALID != 0) & (segments.wire[rows] > UDP_HEADER_BYTES + 8)
    return valid, np.full(len(rows), 8, np.int64), np.full(len(rows), ETHERNET_FRAME, np.uint16)


def _vxlan_gpe(buffer: PacketBuffer, segments: Segments, rows: NDArray[np.int64]) -> Opened:
    at = segments.offset[rows] + UDP_HEADER_BYTES
    following = buffer.u8[at + 3]
    ethertype = np.zeros(len(rows), np.uint16)
    for number, known in GPE_NEXT.items():
        ethertype[following == number] = known
    valid = (buffer.be32[at] >> 8 == GPE_FLAGS << 16) & (ethertype != 0) & (buffer.u8[at + 7] == 0)
    return valid, np.full(len(rows), 8, np.int64), ethertype


def _geneve(buffer: PacketBuffer, segments: Segments, rows: NDArray[np.int64]) -> Opened:
    """RFC 8926: version 0, length of the options in words; two flags, and reserved bits that are 0."""
    at = segments.offset[rows] + UDP_HEADER_BYTES
    first = buffer.u8[at]
    size = 8 + (first & 0x3F).astype(np.int64) * 4
    valid = (first < 0x40) & (buffer.u8[at + 1] & 0x3F == 0) & (buffer.u8[at + 7] == 0)
    valid &= segments.wire[rows] > UDP_HEADER_BYTES + size
    return valid, size, buffer.be16[at + 2].astype(np.uint16)


def _gtp(buffer: PacketBuffer, segments: Segments, rows: NDArray[np.int64]) -> Opened:
    """3GPP TS 29.281 section 5: 8 bytes, 4 more where an option is there, then extension headers that name the next."""
    at = segments.offset[rows] + UDP_HEADER_BYTES
    end = segments.offset[rows] + segments.captured[rows]
    first = buffer.u8[at]
    size = np.where(first & GTP_OPTIONS, 12, 8).astype(np.int64)
    valid = (first & 0xF8 == GTP_VERSION) & (buffer.u8[at + 1] == GTP_PACKET)
    valid &= 8 + buffer.be16[at + 2].astype(np.int64) == segments.wire[rows] - UDP_HEADER_BYTES
    extended = valid & (first & GTP_EXTENSION != 0) & (at + 12 <= end)
    following = np.where(extended, buffer.u8[at + 11], 0)
    for _ in range(GTP_EXTENSIONS):
        extended = following != 0
        if not extended.any():
            break
        header = np.where(extended, at + size, at)
        words = buffer.u8[header].astype(np.int64)
        behind = header + 4 * words
        valid &= ~extended | ((words > 0) & (behind <= end))
        extended &= valid
        size[extended] += 4 * words[extended]
        following = np.where(extended, buffer.u8[np.where(extended, behind - 1, 0)], 0)
    valid &= following == 0
    return valid, size, np.full(len(rows), IP, np.uint16)


OVER_IP: dict[int, Callable[[PacketBuffer, Segments, NDArray[np.int64]], Opened]] = {
    IPV4_IN_IP: _always(ETHERTYPE_IPV4, 0),
    IPV6_IN_IP: _always(ETHERTYPE_IPV6, 0),
    GRE: _gre,
    ETHER_IP: _always(ETHERNET_FRAME, 2),
    MPLS_IN_IP: _always(MPLS[0], 0),
}
OVER_UDP: dict[int, Callable[[PacketBuffer, Segments, NDArray[np.int64]], Opened]] = {
    **dict.fromkeys(VXLAN_PORTS, _vxlan),
    VXLAN_GPE_PORT: _vxlan_gpe,
    GENEVE_PORT: _geneve,
    GTP_PORT: _gtp,
}
