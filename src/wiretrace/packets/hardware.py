"""MAC addresses: which of them the packets of an IP address carried, where the packet came straight from its host.

Rules: looked at where a flow is met, not at every packet. A router puts its own MAC address on what it passes on, but
takes one from the time to live: only packets that still have one of the values that hosts begin with are believed. What
is kept is bounded.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.packets.frames import NO_HARDWARE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.model.limits import Limits
    from wiretrace.packets.buffer import PacketBuffer
    from wiretrace.packets.columns import FlowTable
    from wiretrace.packets.network import Segments

FIRST_LIVES = (64, 128, 255)
"""Times to live that hosts send with: Linux and BSD, Windows, network equipment."""
GROUP_BIT = np.uint64(1 << 40)
"""Set in MAC addresses of groups (IEEE 802 section 8.2), which send nothing."""
SHIFT_16 = np.uint64(16)
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
MOST_OF_ADDRESS = 8
"""MAC addresses that are kept of one address: one that has more says nothing."""


def learn_hardware(
    table: FlowTable, limits: Limits, buffer: PacketBuffer, segments: Segments, rows: NDArray[np.int64]
) -> bool:
    """Count in `table.hardware` the MAC addresses of the senders of `rows`. False if the limit left one out."""
    rows = rows[segments.hardware[rows] != NO_HARDWARE]
    is_ipv4, network = segments.is_ipv4[rows], segments.network[rows]
    life = buffer.u8[network + np.where(is_ipv4, 8, 7)]
    mac = buffer.be64[segments.hardware[rows]].astype(np.uint64) >> SHIFT_16
    straight = np.isin(life, FIRST_LIVES) & (mac != 0) & (mac & GROUP_BIT == 0)
    mac, network, is_ipv4 = mac[straight], network[straight], is_ipv4[straight]
    source = np.where(is_ipv4, network + 12, network + 8)
    address = np.where(
        is_ipv4,
        buffer.be32[source].astype(np.uint64),
        buffer.be64[source].astype(np.uint64) * MULTIPLIER + buffer.be64[source + 8].astype(np.uint64),
    )
    mixed = (address * MULTIPLIER) ^ mac
    _, first, counts = np.unique(mixed, return_index=True, return_counts=True)
    view, complete = buffer.view, True
    sizes = np.where(is_ipv4[first], 4, 16).tolist()
    for begin, size, number, count in zip(
        source[first].tolist(), sizes, mac[first].tolist(), counts.tolist(), strict=True
    ):
        key = bytes(view[begin : begin + size])
        known = table.hardware.get(key)
        if known is None:
            if len(table.hardware) >= limits.hardware_addresses:
                complete = False
                continue
            known = table.hardware[key] = {}
        if number in known or len(known) < MOST_OF_ADDRESS:
            known[number] = known.get(number, 0) + count
    return complete


def hardware_addresses(table: FlowTable) -> dict[str, dict[str, int]]:
    """By address: the MAC addresses that its packets carried when they came straight from it, with counts of samples."""
    return {
        str(ipaddress.ip_address(address)): {
            number.to_bytes(6, "big").hex(":"): count for number, count in known.items()
        }
        for address, known in table.hardware.items()
    }
