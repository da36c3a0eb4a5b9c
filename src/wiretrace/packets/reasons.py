"""Why a packet did not become a row: codes that fit an array, and their words.

A code is `Reason` in the low byte and, for the reasons that name a number, the number above it. 0 is no reason.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, overload

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Reason(enum.IntEnum):
    """Why a packet did not become a row."""

    CUT = 1
    """Too few of its bytes were captured to see its transport header."""
    LINK_TYPE = 2
    """A link type that is not read; with its number."""
    ETHERTYPE = 3
    """Not IP; with its ethertype."""
    LLC = 4
    """An IEEE 802.3 frame with a length in place of an ethertype."""
    LINK_HEADERS = 5
    """More VLAN tags, MPLS labels and the like before IP than are passed over."""
    ADDRESS_FAMILY = 6
    """A loopback frame of an address family that is not IP."""
    IP_VERSION = 7
    """Raw IP that is neither version 4 nor 6."""
    NETLINK = 8
    """A Linux netlink message."""
    IP_PROTOCOL = 9
    """IP that carries neither TCP nor UDP; with its protocol number."""
    MALFORMED_IPV4 = 10
    """Lengths of the IPv4 header contradict each other."""
    MALFORMED_IPV6 = 11
    """Lengths of the IPv6 headers contradict each other."""
    MALFORMED_TCP = 12
    """Lengths of the TCP header contradict each other."""
    MALFORMED_UDP = 13
    """Lengths of the UDP header contradict each other."""
    FRAGMENT_USED = 14
    """An IP fragment whose datagram was completed by a later packet, and is counted there."""
    FRAGMENT_ALONE = 15
    """An IP fragment whose siblings were not captured."""
    NO_INTERFACE = 16
    """A pcapng packet of an interface that the file does not describe."""
    EXTENSION_HEADERS = 17
    """More IPv6 extension headers than are passed over."""
    PPP = 18
    """PPP that carries no IP; with its protocol number."""
    WIFI_CONTROL = 19
    """An IEEE 802.11 frame without data."""
    WIFI_ENCRYPTED = 20
    """An IEEE 802.11 frame whose data is encrypted."""
    WIFI_PART = 21
    """An IEEE 802.11 frame that holds part of a packet, or several."""
    TUNNELS = 22
    """More tunnels inside of each other than are opened."""


SENTENCES = {
    Reason.CUT: "cut before the transport header",
    Reason.LLC: "IEEE 802.3 LLC",
    Reason.LINK_HEADERS: "too many VLAN tags or labels",
    Reason.ADDRESS_FAMILY: "loopback, not IP",
    Reason.IP_VERSION: "neither IPv4 nor IPv6",
    Reason.NETLINK: "netlink",
    Reason.MALFORMED_IPV4: "malformed IPv4",
    Reason.MALFORMED_IPV6: "malformed IPv6",
    Reason.MALFORMED_TCP: "malformed TCP",
    Reason.MALFORMED_UDP: "malformed UDP",
    Reason.FRAGMENT_USED: "IP fragment, joined to a later packet",
    Reason.FRAGMENT_ALONE: "IP fragment without its siblings",
    Reason.NO_INTERFACE: "unknown interface",
    Reason.EXTENSION_HEADERS: "too many IPv6 extension headers",
    Reason.WIFI_CONTROL: "802.11 without data",
    Reason.WIFI_ENCRYPTED: "802.11, encrypted",
    Reason.WIFI_PART: "802.11 fragment or aggregate",
    Reason.TUNNELS: "too many tunnels",
}
ETHERTYPES = {
    0x0806: "ARP",
    0x8035: "RARP",
    0x809B: "AppleTalk",
    0x8137: "IPX",
    0x8847: "MPLS",
    0x8848: "MPLS",
    0x8863: "PPPoE",
    0x8864: "PPPoE",
    0x888E: "EAPOL",
    0x88CC: "LLDP",
    0x8809: "LACP",
    0x88E5: "MACsec",
    0x8906: "FCoE",
}
"""IANA IEEE 802 numbers."""
PPP_PROTOCOLS = {
    0x003D: "PPP multilink",
    0x00FD: "PPP compressed",
    0x8021: "PPP IPCP",
    0x8057: "PPP IPV6CP",
    0x80FD: "PPP CCP",
    0xC021: "PPP LCP",
    0xC023: "PPP PAP",
    0xC223: "PPP CHAP",
}
"""IANA PPP numbers."""
IP_PROTOCOLS = {
    1: "ICMP",
    2: "IGMP",
    4: "IPv4 in IP",
    41: "IPv6 in IP",
    47: "GRE",
    50: "ESP",
    51: "AH",
    58: "ICMPv6",
    59: "IPv6 without next header",
    46: "RSVP",
    88: "EIGRP",
    89: "OSPF",
    103: "PIM",
    112: "VRRP",
    132: "SCTP",
}
"""IANA protocol numbers."""


@overload
def reason_code(reason: Reason, number: int) -> int: ...
@overload
def reason_code(reason: Reason, number: NDArray[np.unsignedinteger]) -> NDArray[np.int32]: ...
def reason_code(reason: Reason, number: int | NDArray[np.unsignedinteger]) -> int | NDArray[np.int32]:
    """The code of a reason that names a number (below 2**16, or cut to it); works on arrays, too."""
    if isinstance(number, int):
        return int(reason) | (number & 0xFFFF) << 8
    return int(reason) | (number.astype(np.int32) & 0xFFFF) << 8


def reason_words(code: int) -> str:
    """The words of a code, for a person."""
    reason, number = Reason(code & 0xFF), code >> 8
    if reason is Reason.LINK_TYPE:
        return f"link type {number}"
    if reason is Reason.ETHERTYPE:
        return ETHERTYPES.get(number, f"ethertype 0x{number:04x}")
    if reason is Reason.PPP:
        return PPP_PROTOCOLS.get(number, f"PPP protocol 0x{number:04x}")
    if reason is Reason.IP_PROTOCOL:
        return IP_PROTOCOLS.get(number, f"IP protocol {number}")
    return SENTENCES[reason]
