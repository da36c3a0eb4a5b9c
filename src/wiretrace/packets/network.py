"""Kernel: IPv4 and IPv6. Where the transport header of each packet stands, and how long the segment is.

Rules: vectorised over one block; shapes are (n,). IPv6 extension headers and the authentication header are passed over in
step; fragments are only marked here: `careful.py` puts them together and fills in the same columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.packets.columns import TCP, UDP
from wiretrace.packets.frames import ETHERTYPE_IPV4, Frames
from wiretrace.packets.reasons import Reason, reason_code

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.packets.buffer import PacketBuffer

FRAGMENT = -1
"""In place of a reason: to be put together with its siblings."""
EXTENDED = -3
"""In place of a reason: extension headers come before the transport header."""
IPV4_HEADER_BYTES = 20
IPV6_HEADER_BYTES = 40
FRAGMENT_HEADER = 44
AUTHENTICATION_HEADER = 51
EXTENSION_HEADERS = (0, 43, AUTHENTICATION_HEADER, 60, 135, 139, 140)
"""Hop-by-hop, routing, authentication, destination options, mobility, HIP, shim6 (IANA)."""


@dataclass(slots=True)
class Segments:
    """The transport layer of a block of packets. Shapes are all (n,); valid where `reason` is 0."""

    reason: NDArray[np.int32]
    """0, a reason code, FRAGMENT or EXTENDED."""
    protocol: NDArray[np.uint8]
    """TCP or UDP."""
    offset: NDArray[np.int64]
    """Index in the buffer of the transport header."""
    captured: NDArray[np.int64]
    """Bytes of the segment, header included, that were captured."""
    wire: NDArray[np.int64]
    """Bytes of the segment, header included, that were on the wire."""
    network: NDArray[np.int64]
    """Index in the buffer of the IP header."""
    is_ipv4: NDArray[np.bool_]
    """Whether that is version 4."""
    hardware: NDArray[np.int64]
    """Index in the buffer of the MAC address of the sender, or `NO_HARDWARE`."""

    def put(self, rows: NDArray[np.int64], part: Segments, chosen: NDArray[np.bool_]) -> None:
        """Replace those of `rows` (m,) that are `chosen` (m,) by the rows of `part` (m,)."""
        rows = rows[chosen]
        for name in Segments.__slots__:
            column = getattr(self, name)
            column[rows] = getattr(part, name)[chosen]


def locate_segments(buffer: PacketBuffer, frames: Frames) -> Segments:
    """Frames at their IP headers -> segments."""
    is_ipv4 = frames.ethertype == ETHERTYPE_IPV4
    unread = np.flatnonzero(frames.reason)
    kernel = _ipv4 if is_ipv4.any() else _ipv6
    parts = kernel(buffer, frames.offset, frames.captured_end, frames.wire_end)
    segments = Segments(*parts, frames.offset, is_ipv4, frames.hardware)
    if kernel is _ipv4 and not is_ipv4.all():
        # The kernel of the many has read all packets; those of the other version are read again.
        rows = np.flatnonzero(~is_ipv4)
        part = _ipv6(buffer, frames.offset[rows], frames.captured_end[rows], frames.wire_end[rows])
        segments.reason[rows], segments.protocol[rows], segments.offset[rows] = part[:3]
        segments.captured[rows], segments.wire[rows] = part[3:]
    if len(unread):
        segments.reason[unread] = frames.reason[unread]
        segments.protocol[unread] = 0
        for column in (segments.offset, segments.captured, segments.wire):
            column[unread] = 0
    return segments


Parts = tuple["NDArray[np.int32]", "NDArray[np.uint8]", "NDArray[np.int64]", "NDArray[np.int64]", "NDArray[np.int64]"]
"""The first five columns of Segments."""


def _ipv4(
    buffer: PacketBuffer, network: NDArray[np.int64], captured_end: NDArray[np.int64], wire_end: NDArray[np.int64]
) -> Parts:
    """IPv4 (RFC 791). A total length of 0 stands in packets that the sender's card was to cut up (TSO): the rest of the
    packet is meant."""
    first = buffer.u8[network]
    header = (first & 15).astype(np.int64) << 2
    total = buffer.be16[network + 2].astype(np.int64)
    protocol = buffer.u8[network + 9]
    offset = network + header
    unset = total == 0
    if unset.any():
        total[unset] = (wire_end - network)[unset]
    end = network + total
    captured = np.minimum(end, captured_end) - offset
    wire = end - offset
    reason = by_protocol(protocol)
    reason[protocol == AUTHENTICATION_HEADER] = EXTENDED
    fragment = (buffer.be16[network + 6] & 0x3FFF) != 0
    if fragment.any():
        reason[fragment] = FRAGMENT
    odd = (first < 0x45) | (first > 0x4F) | (wire < 0) | (captured < 0)
    if odd.any():
        reason[odd] = Reason.MALFORMED_IPV4
        reason[network + IPV4_HEADER_BYTES > captured_end] = Reason.CUT
        reason[(captured < 0) & (wire >= 0) & (first >= 0x45) & (first <= 0x4F)] = Reason.CUT
    return reason, protocol, offset, captured, wire


def _ipv6(
    buffer: PacketBuffer, network: NDArray[np.int64], captured_end: NDArray[np.int64], wire_end: NDArray[np.int64]
) -> Parts:
    """IPv6 (RFC 8200). A payload length of 0, of a jumbogram (RFC 2675) or of TSO, means the rest of the packet."""
    payload = buffer.be16[network + 4].astype(np.int64)
    protocol = buffer.u8[network + 6]
    offset = network + IPV6_HEADER_BYTES
    end = np.where(payload == 0, wire_end, offset + payload)
    captured = np.minimum(end, captured_end) - offset
    wire = end - offset
    reason = by_protocol(protocol)
    if reason.any():
        reason[np.isin(protocol, EXTENSION_HEADERS)] = EXTENDED
        reason[protocol == FRAGMENT_HEADER] = FRAGMENT
    reason[wire < 0] = Reason.MALFORMED_IPV6
    reason[offset > captured_end] = Reason.CUT
    reason[buffer.u8[network] >> 4 != 6] = Reason.MALFORMED_IPV6
    return reason, protocol, offset, captured, wire


def pass_extension_headers(buffer: PacketBuffer, segments: Segments, headers: int) -> None:
    """Move the rows whose reason is EXTENDED behind their extension headers (RFC 8200 section 4), at most `headers` each.

    Their reason becomes 0, FRAGMENT or a code. Of IPv4 only the authentication header (RFC 4302) is one.
    """
    rows = np.flatnonzero(segments.reason == EXTENDED)
    for _ in range(headers):
        if not len(rows):
            return
        short = segments.captured[rows] < 8
        if short.any():
            cut = segments.wire[rows] >= 8
            segments.reason[rows[short]] = np.where(cut, Reason.CUT, _malformed(segments, rows))[short]
            rows = rows[~short]
        at = segments.offset[rows]
        length = buffer.u8[at + 1].astype(np.int64)
        size = np.where(segments.protocol[rows] == AUTHENTICATION_HEADER, (length + 2) * 4, (length + 1) * 8)
        beyond = size > segments.captured[rows]
        if beyond.any():
            cut = size <= segments.wire[rows]
            segments.reason[rows[beyond]] = np.where(cut, Reason.CUT, _malformed(segments, rows))[beyond]
        rows, at, size = rows[~beyond], at[~beyond], size[~beyond]
        advance(segments, rows, buffer.u8[at], size)
        rows = rows[segments.reason[rows] == EXTENDED]
    segments.reason[rows] = Reason.EXTENSION_HEADERS


def advance(
    segments: Segments, rows: NDArray[np.int64], protocol: NDArray[np.uint8], size: NDArray[np.int64] | int
) -> None:
    """Pass over a header of `size` bytes that announces `protocol`, and give the reason that follows from that."""
    segments.protocol[rows] = protocol
    segments.offset[rows] += size
    segments.captured[rows] -= size
    segments.wire[rows] -= size
    segments.reason[rows] = reasons_of(protocol, segments.is_ipv4[rows])


def reasons_of(protocol: NDArray[np.uint8], is_ipv4: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(n,) protocol numbers -> (n,) reasons: 0 for TCP and UDP, EXTENDED, FRAGMENT, or a code."""
    reason = by_protocol(protocol)
    extended = np.isin(protocol, EXTENSION_HEADERS) & (~is_ipv4 | (protocol == AUTHENTICATION_HEADER))
    reason[extended] = EXTENDED
    reason[(protocol == FRAGMENT_HEADER) & ~is_ipv4] = FRAGMENT
    return reason


def _malformed(segments: Segments, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(segments.is_ipv4[rows], Reason.MALFORMED_IPV4, Reason.MALFORMED_IPV6)


def by_protocol(protocol: NDArray[np.uint8]) -> NDArray[np.int32]:
    """(n,) protocol numbers -> (n,) reasons: 0 for TCP and UDP."""
    reason = np.zeros(len(protocol), np.int32)
    other = (protocol != TCP) & (protocol != UDP)
    if other.any():
        reason[other] = reason_code(Reason.IP_PROTOCOL, protocol[other])
    return reason
