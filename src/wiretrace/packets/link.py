"""Kernel: link layers. Where the network layer of each packet begins, and what it is.

Rules: vectorised; shapes are (n,) unless a docstring says otherwise. Headers are gathered first and what lies beyond the
captured bytes is masked afterwards (see `PacketBuffer`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.packets.reasons import Reason, reason_code

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.packets.buffer import PacketBuffer

NULL, ETHERNET, LOOP = 0, 1, 108
RAW = (12, 14, 101, 228, 229)
"""Raw IP: LINKTYPE_RAW, the values that BSDs wrote for it, and LINKTYPE_IPV4 and LINKTYPE_IPV6."""
LINUX_SLL, LINUX_SLL2 = 113, 276

ETHERTYPE_IPV4, ETHERTYPE_IPV6 = 0x0800, 0x86DD
VLAN_TAGS = (0x8100, 0x88A8, 0x9100, 0x9200)
"""IEEE 802.1Q, 802.1ad, and two that were in use for stacked tags before it."""
LOWEST_ETHERTYPE = 0x0600
"""Below it the field is a length (IEEE 802.3)."""
FAMILY_IPV4 = 2
FAMILIES_IPV6 = (10, 24, 28, 30)
"""AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, and Darwin."""
ARPHRD_NETLINK = 824


def locate_network(
    buffer: PacketBuffer,
    link_type: int,
    offset: NDArray[np.int64],
    captured: NDArray[np.int64],
    vlan_tags: int,
) -> tuple[NDArray[np.int64], NDArray[np.uint16], NDArray[np.int32]]:
    """Packets of one link type -> where their network layer begins, its ethertype, and why not (0: it does).

    An ethertype is valid only where the reason is 0. At most `vlan_tags` tags are passed over.
    """
    reason = np.zeros(len(offset), np.int32)
    end = offset + captured
    if link_type == ETHERNET:
        network = offset + 14
        ethertype = buffer.be16[offset + 12].astype(np.uint16)
    elif link_type == LINUX_SLL:
        network = offset + 16
        ethertype = buffer.be16[offset + 14].astype(np.uint16)
        reason[buffer.be16[offset + 2] == ARPHRD_NETLINK] = Reason.NETLINK
    elif link_type == LINUX_SLL2:
        network = offset + 20
        ethertype = buffer.be16[offset].astype(np.uint16)
        reason[buffer.be16[offset + 8] == ARPHRD_NETLINK] = Reason.NETLINK
    elif link_type in (NULL, LOOP):
        network = offset + 4
        word = buffer.be32[offset].astype(np.uint32)
        family = np.minimum(word, word.byteswap())  # NULL has the byte order of the host that captured
        ethertype = np.zeros(len(offset), np.uint16)
        ethertype[family == FAMILY_IPV4] = ETHERTYPE_IPV4
        ethertype[np.isin(family, FAMILIES_IPV6)] = ETHERTYPE_IPV6
        reason[ethertype == 0] = Reason.ADDRESS_FAMILY
    elif link_type in RAW:
        network = offset
        version = buffer.u8[offset] >> 4
        ethertype = np.zeros(len(offset), np.uint16)
        ethertype[version == 4] = ETHERTYPE_IPV4
        ethertype[version == 6] = ETHERTYPE_IPV6
        reason[ethertype == 0] = Reason.IP_VERSION
    else:
        reason[:] = reason_code(Reason.LINK_TYPE, link_type)
        return offset, np.zeros(len(offset), np.uint16), reason
    reason[network >= end] = Reason.CUT
    if not ((ethertype == ETHERTYPE_IPV4) | (ethertype == ETHERTYPE_IPV6)).all():
        _pass_tags(buffer, network, ethertype, reason, end, vlan_tags)
        other = (reason == 0) & (ethertype != ETHERTYPE_IPV4) & (ethertype != ETHERTYPE_IPV6)
        reason[other] = reason_code(Reason.ETHERTYPE, ethertype[other])
        reason[other & (ethertype < LOWEST_ETHERTYPE)] = Reason.LLC
    return network, ethertype, reason


def _pass_tags(
    buffer: PacketBuffer,
    network: NDArray[np.int64],
    ethertype: NDArray[np.uint16],
    reason: NDArray[np.int32],
    end: NDArray[np.int64],
    vlan_tags: int,
) -> None:
    """Move `network` and `ethertype` behind the VLAN tags, in place."""
    tagged = np.flatnonzero(np.isin(ethertype, VLAN_TAGS) & (reason == 0))
    for _ in range(vlan_tags):
        if not len(tagged):
            return
        behind = network[tagged] + 4
        inner = buffer.be16[behind - 2].astype(np.uint16)
        network[tagged] = behind
        ethertype[tagged] = inner
        cut = behind >= end[tagged]
        reason[tagged[cut]] = Reason.CUT
        tagged = tagged[np.isin(inner, VLAN_TAGS) & ~cut]
    reason[tagged] = Reason.VLAN_TAGS
