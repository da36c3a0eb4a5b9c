"""Kernel: IPv4 and IPv6. Where the transport header of each packet stands, and how long the segment is.

Rules: vectorised over one block; shapes are (n,). Fragments and extension headers are only marked here: `careful.py`
resolves them packet by packet and fills in the same columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.packets.columns import TCP, UDP
from wiretrace.packets.link import ETHERTYPE_IPV4
from wiretrace.packets.reasons import Reason, reason_code

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.packets.buffer import PacketBuffer

CAREFUL = -1
"""In place of a reason: to be resolved packet by packet."""
IPV4_HEADER_BYTES = 20
IPV6_HEADER_BYTES = 40
EXTENSION_HEADERS = (0, 43, 44, 51, 60, 135, 139, 140)
"""Hop-by-hop, routing, fragment, authentication, destination options, mobility, HIP, shim6 (IANA)."""


@dataclass(slots=True)
class Segments:
    """The transport layer of a block of packets. Shapes are all (n,); valid where `reason` is 0."""

    reason: NDArray[np.int32]
    """0, a reason code, or CAREFUL."""
    protocol: NDArray[np.uint8]
    """TCP or UDP."""
    offset: NDArray[np.int64]
    """Index in the buffer of the transport header."""
    captured: NDArray[np.int64]
    """Bytes of the segment, header included, that were captured."""
    wire: NDArray[np.int64]
    """Bytes of the segment, header included, that were on the wire."""


def locate_segments(
    buffer: PacketBuffer,
    network: NDArray[np.int64],
    ethertype: NDArray[np.uint16],
    reason: NDArray[np.int32],
    captured_end: NDArray[np.int64],
    wire_end: NDArray[np.int64],
) -> Segments:
    """Network headers -> segments. `captured_end` and `wire_end` are where the packet ends in the buffer, as captured and
    as it was on the wire."""
    is_ipv4 = ethertype == ETHERTYPE_IPV4
    if not reason.any() and is_ipv4.all():
        return _ipv4(buffer, network, captured_end, wire_end)
    count = len(network)
    segments = Segments(
        reason.copy(),
        np.zeros(count, np.uint8),
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
    )
    for rows, kernel in ((is_ipv4 & (reason == 0), _ipv4), (~is_ipv4 & (reason == 0), _ipv6)):
        part = kernel(buffer, network[rows], captured_end[rows], wire_end[rows])
        segments.reason[rows] = part.reason
        segments.protocol[rows] = part.protocol
        segments.offset[rows] = part.offset
        segments.captured[rows] = part.captured
        segments.wire[rows] = part.wire
    return segments


def _ipv4(
    buffer: PacketBuffer, network: NDArray[np.int64], captured_end: NDArray[np.int64], wire_end: NDArray[np.int64]
) -> Segments:
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
    reason = _by_protocol(protocol)
    fragment = (buffer.be16[network + 6] & 0x3FFF) != 0
    if fragment.any():
        reason[fragment] = CAREFUL
    odd = (first < 0x45) | (first > 0x4F) | (wire < 0) | (captured < 0)
    if odd.any():
        reason[odd] = Reason.MALFORMED_IPV4
        reason[network + IPV4_HEADER_BYTES > captured_end] = Reason.CUT
        reason[(captured < 0) & (wire >= 0) & (first >= 0x45) & (first <= 0x4F)] = Reason.CUT
    return Segments(reason, protocol, offset, captured, wire)


def _ipv6(
    buffer: PacketBuffer, network: NDArray[np.int64], captured_end: NDArray[np.int64], wire_end: NDArray[np.int64]
) -> Segments:
    """IPv6 (RFC 8200). A payload length of 0, of a jumbogram (RFC 2675) or of TSO, means the rest of the packet."""
    payload = buffer.be16[network + 4].astype(np.int64)
    protocol = buffer.u8[network + 6]
    offset = network + IPV6_HEADER_BYTES
    end = np.where(payload == 0, wire_end, offset + payload)
    captured = np.minimum(end, captured_end) - offset
    wire = end - offset
    reason = _by_protocol(protocol)
    reason[np.isin(protocol, EXTENSION_HEADERS)] = CAREFUL
    reason[wire < 0] = Reason.MALFORMED_IPV6
    reason[offset > captured_end] = Reason.CUT
    reason[buffer.u8[network] >> 4 != 6] = Reason.MALFORMED_IPV6
    return Segments(reason, protocol, offset, captured, wire)


def _by_protocol(protocol: NDArray[np.uint8]) -> NDArray[np.int32]:
    """(n,) protocol numbers -> (n,) reasons: 0 for TCP and UDP."""
    reason = np.zeros(len(protocol), np.int32)
    other = (protocol != TCP) & (protocol != UDP)
    if other.any():
        reason[other] = reason_code(Reason.IP_PROTOCOL, protocol[other])
    return reason
