"""Kernel: link layers. Where the first header behind the link layer of each packet begins, and what it is.

Rules: vectorised; shapes are (n,) unless a docstring says otherwise. Headers are gathered first and what lies beyond the
captured bytes is masked afterwards (see `PacketBuffer`). Numbers of link types are those of tcpdump.org/linktypes.html.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.packets.frames import ETHERTYPE_IPV4, ETHERTYPE_IPV6, IP, PPP, PPPOE_SESSION, Frames, new_frames
from wiretrace.packets.reasons import Reason, reason_code
from wiretrace.packets.wifi import RADIO_HEADERS, pass_radio_header, pass_wifi

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from wiretrace.packets.buffer import PacketBuffer

NULL, ETHERNET, LOOP = 0, 1, 108
RAW = (12, 14, 101, 228, 229)
"""Raw IP: LINKTYPE_RAW, the values that BSDs wrote for it, and LINKTYPE_IPV4 and LINKTYPE_IPV6."""
LINUX_SLL, LINUX_SLL2 = 113, 276
IEEE802_11 = 105
PPP_PLAIN, PPP_HDLC, PPP_ETHER, CISCO_HDLC, PPP_DIRECTED = 9, 50, 51, 104, 204
NFLOG = 239

FAMILY_IPV4 = 2
FAMILIES_IPV6 = (10, 24, 28, 30)
"""AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, and Darwin."""
ARPHRD_NETLINK = 824
ARPHRD_OF_MAC = (1, 801, 802, 803)
"""Hardware types of Linux whose addresses are MAC addresses: Ethernet and wireless."""
NFLOG_PAYLOAD = 9
NFLOG_ITEMS = 64
"""Items of an NFLOG message that are looked through for the packet."""


def locate_frames(
    buffer: PacketBuffer,
    link_type: int,
    offset: NDArray[np.int64],
    captured: NDArray[np.int64],
    wire: NDArray[np.int64],
) -> Frames:
    """Packets of one link type -> frames at what is behind the link layer. `wire` are lengths, as `captured`."""
    frames = new_frames(offset.copy(), offset + captured, offset + wire)
    if link_type == ETHERNET:
        frames.hardware = offset + 6
        frames.offset = offset + 14
        frames.ethertype = buffer.be16[offset + 12].astype(np.uint16)
    elif link_type in RAW:
        frames.ethertype[:] = IP
    elif link_type in OTHERS:
        OTHERS[link_type](buffer, frames)
    elif link_type in RADIO_HEADERS:
        padded = pass_radio_header(buffer, frames, link_type)
        pass_wifi(buffer, frames, padded)
    else:
        frames.reason[:] = reason_code(Reason.LINK_TYPE, link_type)
        return frames
    cut = frames.offset >= frames.captured_end
    if cut.any():
        frames.reason[cut] = Reason.CUT
    return frames


def _sll(buffer: PacketBuffer, frames: Frames) -> None:
    """Linux cooked capture, 16 bytes: packet type, hardware type, address length, address, protocol."""
    at = frames.offset
    _cooked(buffer, frames, kind=at + 2, size=buffer.be16[at + 4], address=at + 6, protocol=at + 14, behind=at + 16)


def _sll2(buffer: PacketBuffer, frames: Frames) -> None:
    """Version 2, 20 bytes: protocol, reserved, interface, hardware type, packet type, address length, address."""
    at = frames.offset
    _cooked(buffer, frames, kind=at + 8, size=buffer.u8[at + 11], address=at + 12, protocol=at, behind=at + 20)


def _cooked(
    buffer: PacketBuffer,
    frames: Frames,
    *,
    kind: NDArray[np.int64],
    size: NDArray[np.unsignedinteger],
    address: NDArray[np.int64],
    protocol: NDArray[np.int64],
    behind: NDArray[np.int64],
) -> None:
    """Both versions: where their fields stand, and the length of the address."""
    hardware = buffer.be16[kind]
    frames.ethertype = buffer.be16[protocol].astype(np.uint16)
    has_mac = (size == 6) & np.isin(hardware, ARPHRD_OF_MAC)
    frames.hardware[has_mac] = address[has_mac]
    frames.offset = behind
    frames.reason[hardware == ARPHRD_NETLINK] = Reason.NETLINK


def _null(buffer: PacketBuffer, frames: Frames) -> None:
    """BSD loopback: an address family in the byte order of the host that captured, or of the network (LOOP)."""
    word = buffer.be32[frames.offset].astype(np.uint32)
    _family(frames, np.minimum(word, word.byteswap()), 4)


def _family(frames: Frames, family: NDArray[np.unsignedinteger], size: int) -> None:
    """Frames with an address family in a header of `size` bytes."""
    frames.offset = frames.offset + size
    frames.ethertype[family == FAMILY_IPV4] = ETHERTYPE_IPV4
    frames.ethertype[np.isin(family, FAMILIES_IPV6)] = ETHERTYPE_IPV6
    frames.reason[frames.ethertype == 0] = Reason.ADDRESS_FAMILY


def _ppp(buffer: PacketBuffer, frames: Frames) -> None:
    frames.ethertype[:] = PPP


def _ppp_directed(buffer: PacketBuffer, frames: Frames) -> None:
    """PPP behind a byte that says whether it was sent or received."""
    frames.offset = frames.offset + 1
    frames.ethertype[:] = PPP


def _hdlc(buffer: PacketBuffer, frames: Frames) -> None:
    """Cisco HDLC: address, control, ethertype. PPP in HDLC framing (RFC 1662) is told by its address."""
    framed = buffer.u8[frames.offset] == 0xFF
    frames.ethertype = np.where(framed, PPP, buffer.be16[frames.offset + 2]).astype(np.uint16)
    frames.offset = frames.offset + np.where(framed, 0, 4)


def _pppoe(buffer: PacketBuffer, frames: Frames) -> None:
    frames.ethertype[:] = PPPOE_SESSION


def _wifi(buffer: PacketBuffer, frames: Frames) -> None:
    pass_wifi(buffer, frames, np.zeros(len(frames), np.bool_))


def _nflog(buffer: PacketBuffer, frames: Frames) -> None:
    """Linux netfilter log: address family, version, resource, then items of length and type, both in the byte order of
    the host that captured; the packet is one of the items."""
    _family(frames, buffer.u8[frames.offset], 4)
    waiting = np.flatnonzero(frames.reason == 0)
    for _ in range(NFLOG_ITEMS):
        at = frames.offset[waiting]
        inside = at + 4 <= frames.captured_end[waiting]
        frames.reason[waiting[~inside]] = Reason.CUT
        waiting, at = waiting[inside], at[inside]
        if not len(waiting):
            return
        length, kind = buffer.be16[at].astype(np.int64), buffer.be16[at + 2].astype(np.int64)
        swapped = (kind & 0xFF) == 0  # types are below 256: the byte that is set tells the byte order
        length = np.where(swapped, _swapped(length), length)
        kind = np.where(swapped, _swapped(kind), kind)
        found = kind == NFLOG_PAYLOAD
        frames.offset[waiting] = at + np.where(found, 4, np.maximum(length, 4) + 3 & ~3)
        waiting = waiting[~found]
    frames.reason[waiting] = Reason.CUT


def _swapped(word: NDArray[np.int64]) -> NDArray[np.int64]:
    return (word & 0xFF) << 8 | word >> 8


OTHERS: dict[int, Callable[[PacketBuffer, Frames], None]] = {
    NULL: _null,
    LOOP: _null,
    LINUX_SLL: _sll,
    LINUX_SLL2: _sll2,
    PPP_PLAIN: _ppp,
    PPP_HDLC: _hdlc,
    PPP_ETHER: _pppoe,
    PPP_DIRECTED: _ppp_directed,
    CISCO_HDLC: _hdlc,
    NFLOG: _nflog,
    IEEE802_11: _wifi,
}
"""What passes over the link layer, by link type."""
