"""Kernel: the headers between the link layer and IP: VLAN tags, LLC, MPLS, PPPoE, PPP, ERSPAN, Ethernet in a tunnel.

Rules: vectorised; all packets that stand at headers of one kind pass over them together, and a packet passes over a
bounded number. Headers are gathered first and what lies beyond the captured bytes is masked afterwards (see
`PacketBuffer`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.packets.frames import (
    ERSPAN_2,
    ERSPAN_3,
    ETHERNET_FRAME,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    IP,
    LOWEST_ETHERTYPE,
    MPLS,
    PPP,
    PPPOE_SESSION,
    VLAN_TAGS,
    Frames,
)
from wiretrace.packets.reasons import Reason, reason_code

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from wiretrace.packets.buffer import PacketBuffer

    Rows = NDArray[np.int64]

SNAP_HEADER = 0xAAAA03
LLC_IPV4 = 0x060603
"""Destination and source access points and control of LLC: what follows is SNAP, or IPv4."""
USUAL_ETHERTYPES = (ETHERTYPE_IPV4, ETHERTYPE_IPV6, *VLAN_TAGS, *MPLS, 0x0806)
"""What an Ethernet frame in a tunnel carries: IP, tags, labels, ARP."""
PPP_ADDRESS = 0xFF03
PPP_ETHERTYPES = {0x0021: ETHERTYPE_IPV4, 0x0057: ETHERTYPE_IPV6, 0x0281: MPLS[0], 0x0283: MPLS[1]}
"""PPP protocol numbers (IANA) of what can be read on."""
PPPOE_DATA = 0x1100
"""Version 1, type 1, code 0 (RFC 2516 section 4)."""
ERSPAN_3_FRAME_IP = 2


def pass_shims(buffer: PacketBuffer, frames: Frames, headers: int) -> None:
    """Move `frames` up to their IP headers, over at most `headers` headers each."""
    pending = np.flatnonzero(_between(frames, slice(None)))
    for _ in range(headers):
        if not len(pending):
            return
        step_of = STEP_OF[frames.ethertype[pending]]
        for number in np.flatnonzero(np.bincount(step_of)).tolist():
            STEPS[number](buffer, frames, pending[step_of == number])
        pending = pending[_between(frames, pending)]
    frames.reason[pending] = Reason.LINK_HEADERS


def _between(frames: Frames, rows: Rows | slice) -> NDArray[np.bool_]:
    """Whether the frames stand at something else than IP."""
    ethertype = frames.ethertype[rows]
    between: NDArray[np.bool_] = (
        (frames.reason[rows] == 0) & (ethertype != ETHERTYPE_IPV4) & (ethertype != ETHERTYPE_IPV6)
    )
    return between


def _behind(frames: Frames, rows: Rows, size: NDArray[np.int64] | int, ethertype: NDArray[np.uint16] | int) -> None:
    """Move frames behind a header of `size` bytes that announces `ethertype`. One that ends there is cut."""
    frames.offset[rows] += size
    frames.ethertype[rows] = ethertype
    frames.reason[rows[frames.offset[rows] >= frames.captured_end[rows]]] = Reason.CUT


def _vlan(buffer: PacketBuffer, frames: Frames, rows: Rows) -> None:
    rows = rows[frames.whole(rows, 4)]
    _behind(frames, rows, 4, buffer.be16[frames.offset[rows] + 2].astype(np.uint16))


def _ethernet(buffer: PacketBuffer, frames: Frames, rows: Rows) -> None:
    rows = rows[frames.whole(rows, 14)]
    at = frames.offset[rows]
    frames.hardware[rows] = at + 6
    _behind(frames, rows, 14, buffer.be16[at + 12].astype(np.uint16))


def _llc(buffer: PacketBuffer, frames: Frames, rows: Rows) -> None:
    """IEEE 802.2, where SNAP (RFC 1042) or the access point of IP follows. Other organizations' numbers under SNAP are
    not ethertypes, but for 802.1H (0000F8)."""
    rows = rows[frames.whole(rows, 3)]
    head = buffer.be32[frames.offset[rows]] >> 8
    plain = rows[head == LLC_IPV4]
    _behind(frames, plain, 3, ETHERTYPE_IPV4)
    frames.reason[rows[(head != SNAP_HEADER) & (head != LLC_IPV4)]] = Reason.LLC
    rows = rows[head == SNAP_HEADER]
    rows = rows[frames.whole(rows, 8)]
    at = frames.offset[rows]
    organization = buffer.be32[at + 2] & 0xFFFFFF
    known = (organization == 0) | (organization == 0xF8)
    frames.reason[rows[~known]] = Reason.LLC
    _behind(frames, rows[known], 8, buffer.be16[at[known] + 6].astype(np.uint16))


def _mpls(buffer: PacketBuffer, frames: Frames, rows: Rows) -> None:
    """One label. Behind the last one nothing says what follows (RFC 4928 section 2): IP begins with its version, and
    anything else is taken for an Ethernet frame. One that begins with 0 may have the control word of a pseudowire
    (RFC 4385) before it: it does where the frame has no known ethertype otherwise."""
    rows = rows[frames.whole(rows, 4)]
    last = (buffer.u8[frames.offset[rows] + 2] & 1) == 1
    _behind(frames, rows, 4, frames.ethertype[rows])
    rows = rows[last]
    nibble = buffer.u8[frames.offset[rows]] >> 4
    frames.ethertype[rows] = ETHERNET_FRAME
    frames.ethertype[rows[nibble == 4]] = ETHERTYPE_IPV4
    frames.ethertype[rows[nibble == 6]] = ETHERTYPE_IPV6
    frames.reason[rows[(nibble == 1) & (frames.reason[rows] == 0)]] = reason_code(Reason.ETHERTYPE, MPLS[0])
    control = rows[(nibble == 0) & ~np.isin(buffer.be16[frames.offset[rows] + 12], USUAL_ETHERTYPES)]
    frames.offset[control] += 4


def _pppoe(buffer: PacketBuffer, frames: Frames, rows: Rows) -> None:
    rows = rows[frames.whole(rows, 6)]
    at = frames.offset[rows]
    data = buffer.be16[at] == PPPOE_DATA
    frames.reason[rows[~data]] = reason_code(Reason.ETHERTYPE, PPPOE_SESSION)
    rows, at = rows[data], at[data]
    end = at + 6 + buffer.be16[at + 4]
    frames.wire_end[rows] = np.minimum(frames.wire_end[rows], end)
    frames.captured_end[rows] = np.minimum(frames.captured_end[rows], end)
    _behind(frames, rows, 6, PPP)


def _ppp(buffer: PacketBuffer, frames: Frames, rows: Rows) -> None:
    """PPP (RFC 1661), also with the address and control bytes of HDLC framing and with a protocol of one byte."""
    framed = rows[buffer.be16[frames.offset[rows]] == PPP_ADDRESS]
    framed = framed[frames.whole(framed, 2)]
    frames.offset[framed] += 2
    rows = rows[frames.whole(rows, 2)]
    at = frames.offset[rows]
    short = (buffer.u8[at] & 1) == 1
    number = np.where(short, buffer.u8[at], buffer.be16[at]).astype(np.uint16)
    ethertype = np.zeros(len(rows), np.uint16)
    for protocol, known in PPP_ETHERTYPES.items():
        ethertype[number == protocol] = known
    other = ethertype == 0
    frames.reason[rows[other]] = reason_code(Reason.PPP, number[other])
    _behind(frames, rows[~other], np.where(short, 1, 2)[~other], ethertype[~other])


def _erspan_2(buffer: PacketBuffer, frames: Frames, rows: Rows) -> None:
    """Type II (draft-foschiano-erspan-03 section 4.2): 8 bytes, then the mirrored frame."""
    _behind(frames, rows[frames.whole(rows, 8)], 8, ETHERNET_FRAME)


def _erspan_3(buffer: PacketBuffer, frames: Frames, rows: Rows) -> None:
    """Type III (section 4.3): 12 bytes, 8 more where the last bit says so, then an Ethernet frame or an IP packet."""
    rows = rows[frames.whole(rows, 12)]
    word = buffer.be16[frames.offset[rows] + 10]
    size = np.where(word & 1, 20, 12)
    is_ip = (word >> 10 & 31) == ERSPAN_3_FRAME_IP
    _behind(frames, rows, size, np.where(is_ip, IP, ETHERNET_FRAME).astype(np.uint16))


def _ip(buffer: PacketBuffer, frames: Frames, rows: Rows) -> None:
    rows = rows[frames.whole(rows, 1)]
    version = buffer.u8[frames.offset[rows]] >> 4
    frames.ethertype[rows[version == 4]] = ETHERTYPE_IPV4
    frames.ethertype[rows[version == 6]] = ETHERTYPE_IPV6
    frames.reason[rows[(version != 4) & (version != 6)]] = Reason.IP_VERSION


def _unknown(buffer: PacketBuffer, frames: Frames, rows: Rows) -> None:
    frames.reason[rows] = reason_code(Reason.ETHERTYPE, frames.ethertype[rows])


STEPS: tuple[Callable[[PacketBuffer, Frames, Rows], None], ...] = (
    _unknown,
    _llc,
    _vlan,
    _mpls,
    _pppoe,
    _ppp,
    _ethernet,
    _erspan_2,
    _erspan_3,
    _ip,
)
STEP_OF = np.zeros(1 << 16, np.uint8)
"""Shape (65536,): by ethertype, which of `STEPS` passes over the header that it announces."""
STEP_OF[:LOWEST_ETHERTYPE] = STEPS.index(_llc)
STEP_OF[list(VLAN_TAGS)] = STEPS.index(_vlan)
STEP_OF[list(MPLS)] = STEPS.index(_mpls)
STEP_OF[PPPOE_SESSION] = STEPS.index(_pppoe)
STEP_OF[PPP] = STEPS.index(_ppp)
STEP_OF[ETHERNET_FRAME] = STEPS.index(_ethernet)
STEP_OF[ERSPAN_2] = STEPS.index(_erspan_2)
STEP_OF[ERSPAN_3] = STEPS.index(_erspan_3)
STEP_OF[IP] = STEPS.index(_ip)
