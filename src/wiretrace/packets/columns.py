"""PacketColumns: the packets of one chunk of a capture, one NumPy array per header field.

Rules: all arrays have the same length n, one entry per TCP or UDP packet, in file order. Bytes are never copied per
packet: `payload_offset` points into `buffer`, which also holds (behind the chunk itself) the payloads of packets that
had to be rebuilt, from fragments or tunnels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wiretrace.packets.unreachable import Unreachable

TCP = 6
UDP = 17

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
"""TCP flag bits (RFC 9293 section 3.1)."""


class FlowKey(NamedTuple):
    """The two ends of a flow, in a fixed order (`a` is the smaller of (address bytes, port)), and its transport.

    Addresses are packed: 4 bytes for IPv4, 16 for IPv6.
    """

    transport: int
    address_a: bytes
    port_a: int
    address_b: bytes
    port_b: int


@dataclass(slots=True)
class FlowTable:
    """All flows met so far at one vantage point. A flow's number is its index in `keys`, and never changes."""

    keys: list[FlowKey] = field(default_factory=list)
    numbers: dict[tuple[int, ...], int] = field(default_factory=dict, repr=False)
    """Number of each flow by its packed key; kept by `packets/flows.py` for the next file of the vantage point."""
    hardware: dict[bytes, dict[int, int]] = field(default_factory=dict)
    """By packed address: the MAC addresses that its packets carried when they came straight from it, and how many of the
    packets looked at did. Only samples are looked at: packets of flows that are met."""


@dataclass(slots=True)
class PacketColumns:
    """One chunk of packets. Shapes are all (n,)."""

    buffer: bytearray | memoryview
    """The bytes that `payload_offset` and `header_offset` point into. Valid until the next chunk: copy what stays."""
    time_ns: NDArray[np.int64]
    """Capture time: nanoseconds since the epoch, UTC, as written in the file."""
    frame: NDArray[np.int64]
    """Number of the packet in its file, from 1, as Wireshark counts."""
    flow: NDArray[np.int32]
    """Index into the FlowTable."""
    direction: NDArray[np.uint8]
    """0: sent by end `a` of the flow, 1: sent by end `b`."""
    transport: NDArray[np.uint8]
    """TCP (6) or UDP (17)."""
    seq: NDArray[np.uint32]
    """TCP sequence number; 0 for UDP."""
    ack: NDArray[np.uint32]
    """TCP acknowledgement number; 0 for UDP and without the ACK flag."""
    flags: NDArray[np.uint8]
    """TCP flags; 0 for UDP."""
    window: NDArray[np.uint16]
    """TCP window as sent, unscaled; 0 for UDP."""
    header_offset: NDArray[np.int64]
    """Index in `buffer` of the TCP or UDP header (its options stand up to `payload_offset`)."""
    payload_offset: NDArray[np.int64]
    """Index in `buffer` of the first payload byte."""
    payload_length: NDArray[np.int32]
    """Payload bytes that were captured."""
    wire_length: NDArray[np.int32]
    """Payload bytes that the packet had on the wire; more than `payload_length` where the snap length cut it."""
    copy: NDArray[np.bool_]
    """Whether the packet is one that was captured before, on another interface or at the other side of a mirror."""
    unreachable: list[Unreachable] = field(default_factory=list, kw_only=True)
    """ICMP errors among the packets of the chunk, in file order; they have no rows."""

    def __len__(self) -> int:
        return len(self.time_ns)
