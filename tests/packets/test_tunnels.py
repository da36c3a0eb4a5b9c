"""Packets inside of others are the rows that they would be alone: every tunnel, label and link layer, and any nest of them.

The bytes around the packets are made by scapy; tshark gives the second opinion.
"""

from __future__ import annotations

import ipaddress
import struct
import subprocess
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.contrib.erspan import ERSPAN_I, ERSPAN_II, ERSPAN_III
from scapy.contrib.geneve import GENEVE
from scapy.contrib.gtp import GTP_U_Header, GTPPDUSessionContainer
from scapy.contrib.mpls import MPLS, EoMCW
from scapy.layers.dot11 import Dot11, Dot11QoS, RadioTap
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.ipsec import AH
from scapy.layers.l2 import GRE, GRE_PPTP, LLC, SNAP, CookedLinux, CookedLinuxV2, Dot1AD, Dot1Q, Dot3, Ether
from scapy.layers.ppp import HDLC, PPP, PPPoE
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet as Layers
from scapy.packet import Raw
from tests.support import layers
from tests.support.captures import START_NS, Packet, TcpConversation, merge, udp_packet, write_pcap
from tests.support.command_line import COMMAND_SECONDS
from tests.support.packet_rows import read_rows

from wiretrace.model.limits import Limits
from wiretrace.model.note import Notes
from wiretrace.model.side import Side
from wiretrace.packets.columns import TCP as TCP_NUMBER
from wiretrace.packets.columns import FlowTable
from wiretrace.packets.reader import CaptureReader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MACS = {"src": "02:00:00:00:00:0a", "dst": "02:00:00:00:00:0b"}
ETHERNET, RADIOTAP, WIFI, SLL, SLL2, NULL, PPP_LINK, HDLC_LINK, NFLOG, PPPOE_LINK, PRISM, AVS = (
    1, 127, 105, 113, 276, 0, 9, 104, 239, 51, 119, 163,
)  # fmt: skip
OUTER = {"src": "192.0.2.1", "dst": "192.0.2.2"}
OUTER6 = {"src": "2001:db8::1", "dst": "2001:db8::2"}


def is_six(data: bytes) -> bool:
    return data[0] >> 4 == 6


def ethertype(data: bytes) -> int:
    return 0x86DD if is_six(data) else 0x0800


def frame(data: bytes) -> Layers:
    """Around an IP packet."""
    return Ether(**MACS, type=ethertype(data)) / Raw(data)


def udp(port: int) -> Layers:
    return Ether(**MACS) / IP(**OUTER) / UDP(sport=50000, dport=port)


def ip_protocol(number: int) -> Layers:
    return Ether(**MACS) / IP(**OUTER, proto=number)


def gre(data: bytes, **fields: int) -> Layers:
    return ip_protocol(47) / GRE(proto=ethertype(data), **fields) / Raw(data)


def erspan_3(data: bytes) -> Layers:
    return ip_protocol(47) / GRE(proto=0x22EB, seqnum_present=1) / ERSPAN_III(vlan=7) / frame(data)


def wifi(data: bytes, **fields: object) -> Layers:
    head = Dot11(type=2, addr1="02:00:00:00:00:01", addr2="02:00:00:00:00:02", addr3="02:00:00:00:00:03", **fields)
    return head / LLC() / SNAP(code=ethertype(data)) / Raw(data)


def quality_wifi(data: bytes) -> Layers:
    head = Dot11(type=2, subtype=8, FCfield="to_DS+from_DS", addr4="02:00:00:00:00:04")
    return head / Dot11QoS(TID=3) / LLC() / SNAP(code=ethertype(data)) / Raw(data)


def padded_wifi(data: bytes) -> Layers:
    """A header of 26 bytes that was padded to 28, behind a radio header that says so and a time."""
    head = bytes(Dot11(type=2, subtype=8, FCfield="to_DS") / Dot11QoS())
    radio = bytes.fromhex("0000 1100 03000000") + bytes(8) + b"\x20"
    return Raw(radio + head + bytes(2) + bytes(LLC() / SNAP(code=ethertype(data))) + data)


def nflog(data: bytes, order: str = "<") -> Layers:
    def item(kind: int, value: bytes) -> bytes:
        return struct.pack(order + "HH", len(value) + 4, kind) + value + bytes(-len(value) % 4)

    head = bytes([10 if is_six(data) else 2, 0, 0, 5])
    return Raw(head + item(1, bytes(4)) + item(10, b"log\0") + item(5, bytes(4)) + item(9, data))


KINDS: dict[str, tuple[int, Callable[[bytes], Layers]]] = {
    "VLAN": (ETHERNET, lambda d: Ether(**MACS) / Dot1Q(vlan=5, type=ethertype(d)) / Raw(d)),
    "stacked VLANs": (
        ETHERNET,
        lambda d: Ether(**MACS) / Dot1AD(vlan=5) / Dot1Q(vlan=6) / Dot1Q(vlan=7, type=ethertype(d)) / Raw(d),
    ),
    "LLC and SNAP": (ETHERNET, lambda d: Dot3(**MACS) / LLC() / SNAP(code=ethertype(d)) / Raw(d)),
    "MPLS": (
        ETHERNET,
        lambda d: Ether(**MACS, type=0x8847) / MPLS(label=16, s=0) / MPLS(label=17, s=0) / MPLS(s=1) / Raw(d),
    ),
    "MPLS, Ethernet": (ETHERNET, lambda d: Ether(**MACS, type=0x8847) / MPLS(label=16, s=1) / Raw(bytes(frame(d)))),
    "MPLS, control word": (
        ETHERNET,
        lambda d: Ether(**MACS, type=0x8847) / MPLS(label=16, s=1) / EoMCW() / Raw(bytes(frame(d))),
    ),
    "PPPoE": (
        ETHERNET,
        lambda d: Ether(**MACS) / PPPoE(sessionid=9) / PPP(proto=0x57 if is_six(d) else 0x21) / Raw(d),
    ),
    "GRE": (ETHERNET, gre),
    "GRE with all fields": (
        ETHERNET,
        lambda d: gre(d, chksum_present=1, key_present=1, seqnum_present=1, key=7, sequence_number=9),
    ),
    "GRE, Ethernet": (ETHERNET, lambda d: ip_protocol(47) / GRE(proto=0x6558) / frame(d)),
    "GRE over IPv6": (ETHERNET, lambda d: Ether(**MACS) / IPv6(**OUTER6, nh=47) / GRE(proto=ethertype(d)) / Raw(d)),
    "PPTP": (
        ETHERNET,
        lambda d: (
            ip_protocol(47)
            / GRE_PPTP(seqnum_present=1, acknum_present=1, sequence_number=1, ack_number=1)
            / HDLC()
            / PPP(proto=0x57 if is_six(d) else 0x21)
            / Raw(d)
        ),
    ),
    "ERSPAN I": (ETHERNET, lambda d: ip_protocol(47) / GRE(proto=0x88BE) / ERSPAN_I() / frame(d)),
    "ERSPAN II": (
        ETHERNET,
        lambda d: ip_protocol(47) / GRE(proto=0x88BE, seqnum_present=1) / ERSPAN_II(vlan=7) / frame(d),
    ),
    "ERSPAN III": (ETHERNET, erspan_3),
    "ERSPAN III, longer": (
        ETHERNET,
        lambda d: (
            ip_protocol(47)
            / GRE(proto=0x22EB, seqnum_present=1)
            / Raw(bytes(ERSPAN_III(o=1))[:12] + bytes(8))
            / frame(d)
        ),
    ),
    "IP in IP": (ETHERNET, lambda d: ip_protocol(41 if is_six(d) else 4) / Raw(d)),
    "IP in IPv6": (
        ETHERNET,
        lambda d: Ether(**MACS) / IPv6(**OUTER6, nh=41 if is_six(d) else 4) / Raw(d),
    ),
    "MPLS in IP": (ETHERNET, lambda d: ip_protocol(137) / MPLS(s=1) / Raw(d)),
    "EtherIP": (ETHERNET, lambda d: ip_protocol(97) / Raw(b"\x30\0") / frame(d)),
    "VXLAN": (ETHERNET, lambda d: udp(4789) / VXLAN(vni=77, flags=8) / frame(d)),
    "VXLAN, old port": (ETHERNET, lambda d: udp(8472) / VXLAN(vni=77, flags=8) / frame(d)),
    "VXLAN with a group policy": (ETHERNET, lambda d: udp(4789) / Raw(b"\x88\0\0\x09\0\0\x07\0") / frame(d)),
    "VXLAN-GPE": (
        ETHERNET,
        lambda d: udp(4790) / Raw(b"\x0c\0\0" + (b"\2" if is_six(d) else b"\1") + b"\0\0\7\0") / Raw(d),
    ),
    "Geneve": (ETHERNET, lambda d: udp(6081) / GENEVE(vni=7, proto=0x6558) / frame(d)),
    "Geneve with options": (
        ETHERNET,
        lambda d: udp(6081) / Raw(b"\x02\x40" + ethertype(d).to_bytes(2, "big") + b"\0\0\7\0" + bytes(8)) / Raw(d),
    ),
    "GTP-U": (ETHERNET, lambda d: udp(2152) / GTP_U_Header(teid=1, gtp_type=255) / Raw(d)),
    "GTP-U with extensions": (
        ETHERNET,
        lambda d: (
            udp(2152)
            / GTP_U_Header(teid=1, gtp_type=255, E=1, S=1, next_ex=0x85)
            / GTPPDUSessionContainer(QFI=3)
            / Raw(d)
        ),
    ),
    "authentication header": (
        ETHERNET,
        lambda d: (
            Ether(**MACS)
            / IPv6(**OUTER6, nh=51)
            / AH(nh=41 if is_six(d) else 4, payloadlen=4, spi=1, seq=1, icv=bytes(12))
            / Raw(d)
        ),
    ),
    "authentication header of IPv4": (
        ETHERNET,
        lambda d: ip_protocol(51) / AH(nh=41 if is_six(d) else 4, payloadlen=4, spi=1, seq=1, icv=bytes(12)) / Raw(d),
    ),
    "IPv6 extension headers": (
        ETHERNET,
        lambda d: (
            Ether(**MACS)
            / IPv6(**OUTER6)
            / IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(12))])
            / IPv6ExtHdrRouting(addresses=["2001:db8::9"])
            / IPv6ExtHdrDestOpt(nh=41 if is_six(d) else 4, options=[PadN(optdata=bytes(4))])
            / Raw(d)
        ),
    ),
    "atomic fragment": (
        ETHERNET,
        lambda d: Ether(**MACS) / IPv6(**OUTER6) / IPv6ExtHdrFragment(nh=41 if is_six(d) else 4) / Raw(d),
    ),
    "radiotap": (RADIOTAP, lambda d: RadioTap() / wifi(d, FCfield="to_DS")),
    "radiotap, padded": (RADIOTAP, padded_wifi),
    "802.11 between access points": (WIFI, quality_wifi),
    "802.11": (WIFI, wifi),
    "Prism": (PRISM, lambda d: Raw(b"\0\0\0\x44" + bytes(140)) / wifi(d)),
    "AVS": (AVS, lambda d: Raw(bytes.fromhex("80211001 00000040") + bytes(56)) / wifi(d)),
    "cooked": (SLL, lambda d: CookedLinux(proto=ethertype(d), src=b"\2\0\0\0\0\1\0\0") / Raw(d)),
    "cooked, version 2": (SLL2, lambda d: CookedLinuxV2(proto=ethertype(d), ifindex=3) / Raw(d)),
    "cooked, VLAN": (SLL2, lambda d: CookedLinuxV2(proto=0x8100) / Dot1Q(vlan=3, type=ethertype(d)) / Raw(d)),
    "BSD loopback": (NULL, lambda d: Raw((30 if is_six(d) else 2).to_bytes(4, "little")) / Raw(d)),
    "NFLOG": (NFLOG, nflog),
    "NFLOG of a big-endian host": (NFLOG, lambda d: nflog(d, ">")),
    "PPP": (PPP_LINK, lambda d: PPP(proto=0x57 if is_six(d) else 0x21) / Raw(d)),
    "PPP in HDLC": (HDLC_LINK, lambda d: HDLC() / PPP(proto=0x57 if is_six(d) else 0x21) / Raw(d)),
    "Cisco HDLC": (HDLC_LINK, lambda d: Raw(b"\x0f\0" + ethertype(d).to_bytes(2, "big") + d)),
    "PPPoE link": (PPPOE_LINK, lambda d: PPPoE(sessionid=9) / PPP(proto=0x57 if is_six(d) else 0x21) / Raw(d)),
}
"""Link type, and what is put around an IP packet."""
NOT_TSHARK = {"VXLAN-GPE", "MPLS, control word", "MPLS, Ethernet", "PPP in HDLC"}
"""tshark needs a setting for these."""
NOT_TSHARK_LINKS = {PPPOE_LINK, PRISM, AVS, NFLOG}
"""tshark lacks these link types, or wants fields in them that are not made here."""


def dialogue(turns: int = 3, port: int = 40000) -> list[Packet]:
    """Conversations of both IP versions, and a datagram."""
    packets = []
    for client, server in (("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")):
        conversation = TcpConversation((client, port), (server, 80)).open()
        for turn in range(turns):
            conversation.send(Side.CLIENT, b"GET /%d" % turn * 20).send(Side.SERVER, bytes([turn]) * 700)
        packets.append(conversation.close().packets)
    return merge(*packets, [udp_packet(("10.0.0.1", 5353), ("10.0.0.2", 53), b"question", START_NS + 50_000)])


def wrapped(packets: list[Packet], kind: str) -> tuple[list[Packet], int]:
    """The packets inside of something, and the link type that they have then."""
    link_type, wrap = KINDS[kind]
    return [packet._replace(data=bytes(wrap(packet.data[14:]))) for packet in packets], link_type


def by_tshark(path: Path) -> tuple[Counter[frozenset[tuple[str, int]]], int]:
    """TCP payload bytes by flow (ends) as tshark reads the file, and the packets that are TCP."""
    fields = ("ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "tcp.srcport", "tcp.dstport", "tcp.len", "frame.protocols")
    command = ["tshark", "-n", "-r", str(path), "-Y", "tcp", "-T", "fields", "-E", "separator=|"]
    command += ["-d", "udp.port==8472,vxlan"]
    command += [part for field in fields for part in ("-e", field)]
    lines = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=COMMAND_SECONDS
    ).stdout.splitlines()
    found: Counter[frozenset[tuple[str, int]]] = Counter()
    for line in lines:
        source, destination, source6, destination6, *ports, length, protocols = line.split("|")
        stack = protocols.split(":")
        six = [each for each in stack[: stack.index("tcp")] if each in ("ip", "ipv6")][-1] == "ipv6"
        ends = (source6, destination6) if six else (source, destination)
        found[frozenset((end.split(",")[-1], int(port)) for end, port in zip(ends, ports, strict=True))] += int(length)
    return found, len(lines)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_inside_reads_as_if_it_were_alone(tmp_path: Path, kind: str) -> None:
    """The same rows and flows as without anything around them."""
    expected = read_rows(write_pcap(tmp_path / "plain", dialogue()))
    packets, link_type = wrapped(dialogue(), kind)
    path = write_pcap(tmp_path / "wrapped", packets, link_type=link_type)
    reading = read_rows(path)
    assert reading.rows == expected.rows
    assert reading.flows.keys == expected.flows.keys
    assert reading.notes.counts == {}


@pytest.mark.parametrize("link_type", sorted({link_type for link_type, _ in KINDS.values()} - NOT_TSHARK_LINKS))
def test_tshark_finds_the_same_flows_and_bytes(tmp_path: Path, link_type: int) -> None:
    """A second opinion, on the bytes that were made here: one file of all kinds, each with flows of its own."""
    kinds = [kind for kind, (link, _) in KINDS.items() if link == link_type and kind not in NOT_TSHARK]
    packets = [each for port, kind in enumerate(kinds, 40000) for each in wrapped(dialogue(port=port), kind)[0]]
    path = write_pcap(tmp_path / "wrapped", packets, link_type=link_type)
    ours: Counter[frozenset[tuple[str, int]]] = Counter()
    tcp = [row for row in read_rows(path).rows if row.transport == TCP_NUMBER]
    for row in tcp:
        ends = (row.source, row.source_port), (row.destination, row.destination_port)
        ours[frozenset((str(ipaddress.ip_address(address)), port) for address, port in ends)] += row.wire_length
    assert len(ours) == 2 * len(kinds)
    assert (ours, len(tcp)) == by_tshark(path)


def test_tunnels_in_tunnels(tmp_path: Path) -> None:
    """GRE in VXLAN in IPv6 with VLANs around it; another link type carries it in Geneve in GRE."""
    plain = read_rows(write_pcap(tmp_path / "plain", dialogue()))
    nested = [
        packet._replace(
            data=bytes(
                Ether(**MACS)
                / Dot1Q(vlan=3)
                / IPv6(**OUTER6)
                / UDP(sport=1, dport=4789)
                / VXLAN(vni=1, flags=8)
                / Ether(**MACS)
                / IP(**OUTER, proto=47)
                / GRE(proto=ethertype(packet.data[14:]))
                / Raw(packet.data[14:])
            )
        )
        for packet in dialogue()
    ]
    assert read_rows(write_pcap(tmp_path / "nested", nested)).rows == plain.rows
    cooked = [
        packet._replace(
            data=bytes(
                CookedLinuxV2(proto=0x0800)
                / IP(**OUTER, proto=47)
                / GRE(proto=0x6558)
                / Ether(**MACS)
                / IP(**OUTER)
                / UDP(sport=1, dport=6081)
                / GENEVE(vni=1, proto=0x6558)
                / frame(packet.data[14:])
            )
        )
        for packet in dialogue()
    ]
    assert read_rows(write_pcap(tmp_path / "cooked", cooked, link_type=SLL2)).rows == plain.rows


def test_depth_is_bounded(tmp_path: Path) -> None:
    """IP in IP many times over is given up with a reason; up to the limit it is read."""
    packet = layers.ipv4("10.0.0.1", "10.0.0.2", 17, layers.udp(("10.0.0.1", 5), ("10.0.0.2", 6), b"deep"))
    packets = []
    for _ in range(30):
        packets.append(Packet(START_NS, layers.ethernet(packet)))
        packet = layers.ipv4("10.1.0.1", "10.1.0.2", 4, packet)
    reading = read_rows(write_pcap(tmp_path / "a", packets))
    assert [row.payload for row in reading.rows] == [b"deep"] * (Limits().tunnels + 1)
    assert list(reading.summary.not_decoded) == ["too many tunnels"]


@pytest.mark.parametrize("kind", ["VXLAN", "GRE", "IP in IPv6", "Geneve", "GTP-U"])
@pytest.mark.parametrize("six", [False, True])
def test_fragments_of_tunnels_and_in_tunnels(tmp_path: Path, kind: str, six: bool) -> None:
    """Outer fragments of a tunnel, and tunnels that carry fragments: both in reverse order."""
    ends = (("fd00::1", 5), ("fd00::2", 6)) if six else (("10.0.0.1", 5), ("10.0.0.2", 6))
    payload = bytes(range(256)) * 6
    datagram = layers.udp(*ends, payload)
    link_type, wrap = KINDS[kind]
    pieces = layers.fragments(ends[0][0], ends[1][0], layers.UDP, datagram, 512)
    inside = [Packet(START_NS + n, bytes(wrap(piece))) for n, piece in enumerate(reversed(pieces))]
    rows = read_rows(write_pcap(tmp_path / "inside", inside, link_type=link_type)).rows
    assert [(row.frame, row.source_port, row.payload) for row in rows] == [(len(pieces), 5, payload)]

    whole = bytes(wrap(layers.ip(ends[0][0], ends[1][0], layers.UDP, datagram)))[14:]
    protocol, head = (whole[6], 40) if whole[0] >> 4 == 6 else (whole[9], 20)
    outer = ("2001:db8::1", "2001:db8::2") if head == 40 else ("192.0.2.1", "192.0.2.2")
    pieces = layers.fragments(*outer, protocol, whole[head:], 512)
    outside = [Packet(START_NS + n, layers.ethernet(piece)) for n, piece in enumerate(reversed(pieces))]
    rows = read_rows(write_pcap(tmp_path / "outside", outside)).rows
    assert [(row.frame, row.source_port, row.payload) for row in rows] == [(len(pieces), 5, payload)]


@pytest.mark.parametrize("port", [4789, 8472, 4790, 6081, 2152])
@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"x",
        b"an ordinary datagram that is no tunnel at all, whatever its port says",
        b"\x08\0\0\0\0\0\7\0" + b"behind a valid header of VXLAN comes text",
        b"\x0c\0\0\3\0\0\7\0" + b"behind a valid header of VXLAN-GPE comes text",
        b"\0\0\x65\x58\0\0\7\0" + b"behind a valid header of Geneve comes text",
        b"\x30\xff\0\x2a\0\0\0\1" + b"behind a valid header of GTP-U comes text.",
        b"\x36\xff\0\x0e\0\0\0\1\0\0\0\x85" + b"\x00" * 10,
        bytes(60),
        b"\xff" * 60,
    ],
)
def test_datagrams_that_only_look_like_tunnels_stay_datagrams(tmp_path: Path, port: int, payload: bytes) -> None:
    """The port and the header are not enough: what is inside has to be a packet, or the datagram is what it was."""
    packets = [
        udp_packet(("10.0.0.1", 999), ("10.0.0.2", port), payload),
        udp_packet(("10.0.0.2", port), ("10.0.0.1", 9), payload),
    ]
    rows = read_rows(write_pcap(tmp_path / "a", packets)).rows
    assert [row.payload for row in rows] == [payload] * 2


def test_other_packets_in_tunnels_are_counted_as_what_they_are(tmp_path: Path) -> None:
    """ARP in VXLAN, ICMP in GRE, a keep-alive of GRE, an encrypted and a beacon frame."""
    icmp = layers.ipv4("10.0.0.1", "10.0.0.2", 1, bytes(8))
    arp = bytes(udp(4789) / VXLAN(vni=1, flags=8) / Ether(**MACS, type=0x0806) / Raw(bytes(28)))
    packets = [arp, bytes(gre(icmp)), bytes(ip_protocol(47) / GRE(proto=0))]
    reading = read_rows(write_pcap(tmp_path / "a", [Packet(START_NS, data) for data in packets]))
    assert {reason: count.packets for reason, count in reading.summary.not_decoded.items()} == {
        "ARP": 1,
        "ICMP": 1,
        "GRE": 1,
    }
    frames = [
        bytes(RadioTap() / Dot11(type=0, subtype=8) / Raw(bytes(40))),
        bytes(RadioTap() / Dot11(type=2, FCfield="protected") / Raw(bytes(40))),
        bytes(RadioTap() / Dot11(type=2, FCfield="MF") / Raw(bytes(40))),
        bytes(RadioTap() / Dot11(type=2, subtype=8) / Raw(b"\x80\0" + bytes(40))),
    ]
    reading = read_rows(write_pcap(tmp_path / "b", [Packet(START_NS, data) for data in frames], link_type=RADIOTAP))
    assert {reason: count.packets for reason, count in reading.summary.not_decoded.items()} == {
        "802.11 without data": 1,
        "802.11, encrypted": 1,
        "802.11 fragment or aggregate": 2,
    }


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(sorted(KINDS)),
    share=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(1, 255)), max_size=3),
)
def test_any_cut_or_change_of_a_tunnelled_packet_is_read_or_counted(
    tmp_path: Path, kind: str, share: float, flips: list[tuple[float, int]]
) -> None:
    """Nothing raises, every packet is accounted for, and what lies behind a packet has no influence on it."""
    link_type, wrap = KINDS[kind]
    data = bytearray(wrap(dialogue()[10].data[14:]).build())
    for place, change in flips:
        data[int(place * len(data))] ^= change
    packet = Packet(START_NS, bytes(data[: round(share * len(data))]), len(data))
    followed = [packet, Packet(START_NS, b"\xff" * 200), packet, Packet(START_NS, bytes(200))]
    alone = read_rows(write_pcap(tmp_path / "alone", [packet], link_type=link_type))
    among = read_rows(write_pcap(tmp_path / "among", followed, link_type=link_type))
    assert alone.summary.packets == 1
    assert [row[1:] for row in among.rows if row.frame in (1, 3)] == [row[1:] for row in alone.rows] * 2


def test_a_capture_of_tunnels_is_decoded_for_whole_blocks(tmp_path: Path) -> None:
    """No Python runs per packet: a tunnelled packet costs a few times a plain one, not fifty times."""
    costs = []
    for data in (dialogue()[5].data, bytes(udp(4789) / VXLAN(vni=1, flags=8) / Raw(dialogue()[5].data))):
        path = write_pcap(tmp_path / "many", [Packet(START_NS + n * 1_000_000, data) for n in range(30_000)])
        begun = time.process_time()
        reader = CaptureReader(path, FlowTable(), Limits(), Notes())
        assert sum(map(len, reader.chunks())) == 30_000
        costs.append(time.process_time() - begun)
    assert costs[1] < 10 * costs[0]
