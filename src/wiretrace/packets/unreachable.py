"""ICMP errors that say that something can not be reached: which packet they answer, from the header that they quote.

Rules: errors are few, and read one by one, at most `Limits.icmp_errors` of a file. What is quoted is the packet as its
sender sent it. A quotation that is too short, or of another transport, is none.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from wiretrace.packets.columns import TCP, UDP, FlowKey

ICMP, ICMP_VERSION_6 = 1, 58
IPV4_ERRORS = {
    0x300: "network unreachable",
    0x301: "host unreachable",
    0x302: "protocol unreachable",
    0x303: "port unreachable",
    0x306: "network unknown",
    0x307: "host unknown",
    0x309: "network prohibited",
    0x30A: "host prohibited",
    0x30D: "prohibited by a filter",
    0xB00: "too many hops",
}
"""Type and code (RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1). That a packet is too large is not here."""
IPV6_ERRORS = {
    0x100: "no route",
    0x101: "prohibited by a filter",
    0x103: "address unreachable",
    0x104: "port unreachable",
    0x105: "prohibited by a filter",
    0x106: "route rejected",
    0x300: "too many hops",
}
"""Type and code (RFC 4443 section 3)."""
VERSION_6 = 1 << 16
"""Added to the codes of ICMPv6."""


class Unreachable(NamedTuple):
    """One error."""

    time_ns: int
    frame: int
    code: int
    """Type and code, and `VERSION_6` for ICMPv6."""
    key: FlowKey
    """The flow of the packet that it answers."""


def unreachable_words(code: int) -> str:
    """What an error says, in words."""
    errors = IPV6_ERRORS if code & VERSION_6 else IPV4_ERRORS
    return errors.get(code & 0xFFFF, "unreachable")


def is_refusal(code: int) -> bool:
    """Whether the host itself says that nobody listens at the port."""
    return code in (0x303, VERSION_6 | 0x104)


def read_error(packet: bytes, is_ipv4: bool, time_ns: int, frame: int) -> Unreachable | None:
    """The error in a packet, which begins with its IP header and is ICMP; None where it is not of this kind."""
    header = 4 * (packet[0] & 15) if is_ipv4 and packet else 40
    if len(packet) < header + 8:
        return None
    code = packet[header] << 8 | packet[header + 1]
    if code not in (IPV4_ERRORS if is_ipv4 else IPV6_ERRORS):
        return None
    key = _quoted(packet[header + 8 :], is_ipv4)
    return None if key is None else Unreachable(time_ns, frame, code if is_ipv4 else code | VERSION_6, key)


def _quoted(packet: bytes, is_ipv4: bool) -> FlowKey | None:
    if is_ipv4:
        header = 4 * (packet[0] & 15) if packet else 0
        addresses, transport_at, width = 12, 9, 4
    else:
        header, addresses, transport_at, width = 40, 8, 6, 16
    if header < addresses + 2 * width or len(packet) < header + 4:
        return None
    transport = packet[transport_at]
    if transport not in (TCP, UDP):
        return None
    source, destination = struct.unpack_from(">HH", packet, header)
    one = (packet[addresses : addresses + width], source)
    other = (packet[addresses + width : addresses + 2 * width], destination)
    (address_a, port_a), (address_b, port_b) = sorted((one, other))
    return FlowKey(transport, address_a, port_a, address_b, port_b)
