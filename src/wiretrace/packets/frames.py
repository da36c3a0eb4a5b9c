"""Frames: where the next header of each packet of a block stands, while the layers are taken off one by one.

Rules: what a header announces is always an ethertype (IEEE 802). The numbers that GRE (RFC 2784) gives to what it carries
are ethertypes, too, so that a frame inside of a tunnel is read by the same kernels as one from the wire. A header moves a
frame only where all of it was captured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.packets.reasons import Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

ETHERTYPE_IPV4, ETHERTYPE_IPV6 = 0x0800, 0x86DD
LLC = 0x0004
"""An IEEE 802.2 header comes next. On Ethernet every number below `LOWEST_ETHERTYPE`, a length, says so."""
LOWEST_ETHERTYPE = 0x0600
VLAN_TAGS = (0x8100, 0x88A8, 0x9100, 0x9200)
"""IEEE 802.1Q, 802.1ad, and two that were in use for stacked tags before it."""
MPLS = (0x8847, 0x8848)
"""RFC 3032; the second was for multicast until RFC 5332."""
PPP = 0x880B
PPPOE_SESSION = 0x8864
ETHERNET_FRAME = 0x6558
"""Transparent Ethernet bridging (RFC 1701)."""
ERSPAN_2, ERSPAN_3 = 0x88BE, 0x22EB
IP = 0xFFFF
"""IP of either version, as its first four bits say. A reserved number, which no packet states with that meaning."""
NO_HARDWARE = -1


@dataclass(slots=True)
class Frames:
    """A block of packets, each at one of its headers. Shapes are all (n,). Kernels change the arrays in place."""

    offset: NDArray[np.int64]
    """Index in the buffer of the next header."""
    ethertype: NDArray[np.uint16]
    """What that header is; valid where `reason` is 0."""
    reason: NDArray[np.int32]
    """0, or the code of the reason why no further header can be read."""
    captured_end: NDArray[np.int64]
    """Index behind the last byte of the packet that was captured."""
    wire_end: NDArray[np.int64]
    """Where that would be, had the packet been captured whole."""
    hardware: NDArray[np.int64]
    """Index of the MAC address (6 bytes) of the sender, or `NO_HARDWARE`."""

    def __len__(self) -> int:
        return len(self.offset)

    def whole(self, rows: NDArray[np.int64], size: NDArray[np.int64] | int) -> NDArray[np.bool_]:
        """(m,) rows -> (m,) bool: whether `size` bytes of the next header were captured; the others end as cut."""
        whole: NDArray[np.bool_] = self.offset[rows] + size <= self.captured_end[rows]
        if not whole.all():
            self.reason[rows[~whole]] = Reason.CUT
        return whole


def new_frames(offset: NDArray[np.int64], captured_end: NDArray[np.int64], wire_end: NDArray[np.int64]) -> Frames:
    """Frames at `offset` of which nothing is known yet."""
    count = len(offset)
    return Frames(
        offset,
        np.zeros(count, np.uint16),
        np.zeros(count, np.int32),
        captured_end,
        wire_end,
        np.full(count, NO_HARDWARE, np.int64),
    )
