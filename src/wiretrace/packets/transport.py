"""Kernel: TCP and UDP headers. Segments in, header columns out.

Rules: vectorised over one block; shapes are (n,).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.packets.columns import ACK, TCP
from wiretrace.packets.reasons import Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.packets.buffer import PacketBuffer
    from wiretrace.packets.network import Segments

TCP_HEADER_BYTES = 20
UDP_HEADER_BYTES = 8
ACK_SHIFT, DATA_OFFSET_SHIFT, FLAGS_SHIFT = np.uint64(32), np.uint64(26), np.uint64(16)
DATA_OFFSET_MASK = np.uint64(0x3C)
"""Where the fields stand in the second 8 bytes of a TCP header; the data offset, in words there, becomes bytes."""


@dataclass(slots=True)
class Headers:
    """TCP and UDP headers of the rows of a block that have one. Shapes are all (m,); see PacketColumns for the fields."""

    row: NDArray[np.int64]
    """Which packet of the block."""
    second: NDArray[np.uint64]
    """The second 8 bytes of the TCP header: acknowledgement number, data offset, flags, window; meaningless for UDP."""
    transport: NDArray[np.uint8]
    ports: NDArray[np.uint32]
    """Source port above, destination port below."""
    seq: NDArray[np.uint32]
    ack: NDArray[np.uint32]
    flags: NDArray[np.uint8]
    window: NDArray[np.uint16]
    header_offset: NDArray[np.int64]
    payload_offset: NDArray[np.int64]
    payload_length: NDArray[np.int64]
    wire_length: NDArray[np.int64]


def read_headers(buffer: PacketBuffer, segments: Segments) -> Headers:
    """Read the transport headers. Where there is none to read, the reason is put into `segments.reason`."""
    _judge(buffer, segments)
    row = np.flatnonzero(segments.reason == 0)
    whole = len(row) == len(segments.reason)
    offset = segments.offset if whole else segments.offset[row]
    captured = segments.captured if whole else segments.captured[row]
    wire = segments.wire if whole else segments.wire[row]
    transport = segments.protocol if whole else segments.protocol[row]
    seq = buffer.be32[offset + 4].astype(np.uint32)
    second = buffer.be64[offset + 8].astype(np.uint64)
    ack = (second >> ACK_SHIFT).astype(np.uint32)
    header = ((second >> DATA_OFFSET_SHIFT) & DATA_OFFSET_MASK).astype(np.int64)
    flags = (second >> FLAGS_SHIFT).astype(np.uint8)
    window = second.astype(np.uint16)
    silent = (flags & ACK) == 0
    if silent.any():
        ack[silent] = 0
    udp = transport != TCP
    if udp.any():
        header[udp] = UDP_HEADER_BYTES
        stated = buffer.be16[offset[udp] + 4].astype(np.int64)
        # 0: a jumbogram (RFC 2675), or a datagram that the card was to cut up (USO)
        wire = wire.copy()
        wire[udp] = np.where(stated == 0, wire[udp], np.minimum(stated, wire[udp]))
        seq[udp] = ack[udp] = 0
        flags[udp] = window[udp] = 0
    payload = offset + np.minimum(header, captured)
    return Headers(
        row=row,
        second=second,
        transport=transport,
        ports=buffer.be32[offset].astype(np.uint32),
        seq=seq,
        ack=ack,
        flags=flags,
        window=window,
        header_offset=offset,
        payload_offset=payload,
        payload_length=np.maximum(np.minimum(captured, wire) - header, 0),
        wire_length=wire - header,
    )


def _judge(buffer: PacketBuffer, segments: Segments) -> None:
    """Give a reason to the segments whose header was not captured, or contradicts itself."""
    tcp = segments.protocol == TCP
    readable = segments.reason == 0
    plain = bool(tcp.all()) and bool(readable.all())
    least = TCP_HEADER_BYTES if plain else np.where(tcp, TCP_HEADER_BYTES, UDP_HEADER_BYTES)
    short = segments.captured < least
    if not plain:
        short &= readable
    if short.any():
        malformed = np.where(tcp, Reason.MALFORMED_TCP, Reason.MALFORMED_UDP).astype(np.int32)
        segments.reason[short] = np.where(segments.wire < least, malformed, Reason.CUT)[short]
        readable &= ~short
        plain = False
    # A header that could not be read is looked for at offset 0, where it harms nothing.
    at = segments.offset if plain else np.where(readable, segments.offset, 0)
    header = (buffer.u8[at + 12] >> 4).astype(np.int64) << 2
    odd = (header < TCP_HEADER_BYTES) | (header > segments.wire)
    if plain:
        segments.reason[odd] = Reason.MALFORMED_TCP
        return
    segments.reason[odd & readable & tcp] = Reason.MALFORMED_TCP
    udp = readable & ~tcp
    if udp.any():
        stated = buffer.be16[at[udp] + 4]
        rows = np.flatnonzero(udp)
        segments.reason[rows[(stated != 0) & (stated < UDP_HEADER_BYTES)]] = Reason.MALFORMED_UDP
