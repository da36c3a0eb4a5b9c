"""A packet that was captured twice is known as a copy; one that was sent twice is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import layers, pcapng
from tests.support.captures import START_NS, Packet, TcpConversation, udp_packet, write_pcap

from wiretrace.model.limits import Limits
from wiretrace.model.note import Notes
from wiretrace.model.side import Side
from wiretrace.packets.columns import FlowTable
from wiretrace.packets.copies import FARTHEST_PACKETS, repeated
from wiretrace.packets.reader import CaptureReader

if TYPE_CHECKING:
    from pathlib import Path

MILLISECOND = 1_000_000
CLIENT, SERVER = ("10.0.0.1", 40000), ("10.0.0.2", 80)
CLIENT6, SERVER6 = ("fd00::1", 40000), ("fd00::2", 80)


def copies(path: Path, limits: Limits | None = None) -> list[bool]:
    """Of each row, whether it is a copy."""
    reader = CaptureReader(path, FlowTable(), limits or Limits(), Notes())
    return [bool(copy) for columns in reader.chunks() for copy in columns.copy]


def identified(packets: list[Packet]) -> list[Packet]:
    """The IPv4 packets with identifications of their own, as hosts send them."""
    return [
        packet._replace(data=packet.data[:18] + (n + 7).to_bytes(2, "big") + packet.data[20:])
        for n, packet in enumerate(packets)
    ]


def dialogue(six: bool = False) -> list[Packet]:
    conversation = TcpConversation(*((CLIENT6, SERVER6) if six else (CLIENT, SERVER)), step_ns=MILLISECOND).open()
    for _ in range(3):
        conversation.send(Side.CLIENT, b"question").send(Side.SERVER, b"answer" * 400)
    packets = conversation.close().packets
    return packets if six else identified(packets)


def routed(packet: Packet) -> Packet:
    """One hop further: other MAC addresses, a shorter life."""
    data = bytearray(packet.data)
    data[:12] = bytes.fromhex("02aa00000001 02aa00000002")
    data[21 if data[20] >> 4 == 6 or data[14] >> 4 == 6 else 22] -= 1
    return packet._replace(data=bytes(data), time_ns=packet.time_ns + 20_000)


def twice(packets: list[Packet], other: list[Packet]) -> tuple[list[Packet], list[bool]]:
    """Each packet and then its copy; and of each whether it is one."""
    joined = [each for pair in zip(packets, other, strict=True) for each in pair]
    return joined, [False, True] * len(packets)


@pytest.mark.parametrize("six", [False, True])
@pytest.mark.parametrize("chunk", [64, 3000, 1 << 20])
def test_packets_seen_before_and_behind_a_router_are_copies(tmp_path: Path, six: bool, chunk: int) -> None:
    """Every second packet is a copy, however the file is cut into chunks."""
    packets = dialogue(six)
    joined, expected = twice(packets, [routed(packet) for packet in packets])
    assert copies(write_pcap(tmp_path / "a", joined), Limits(chunk_bytes=chunk)) == expected


def test_both_directions_of_a_mirror_show_in_the_identification(tmp_path: Path) -> None:
    """Equal frames, a moment apart: hosts never send one identification twice that soon."""
    packets = dialogue()
    joined, expected = twice(packets, [packet._replace(time_ns=packet.time_ns + 5_000) for packet in packets])
    assert copies(write_pcap(tmp_path / "a", joined)) == expected


@pytest.mark.parametrize("six", [False, True])
def test_interfaces_of_a_file_tell_copies_apart(tmp_path: Path, six: bool) -> None:
    """The same bytes on a veth and a bridge: without identification, too (IPv6)."""
    blocks = [pcapng.section_header("<"), pcapng.interface("<", resolution=9), pcapng.interface("<", resolution=9)]
    packets = dialogue(six)
    for packet in packets:
        blocks += [
            pcapng.enhanced_packet("<", packet.time_ns + 1000 * interface, packet.data, interface_id=interface)
            for interface in (0, 1)
        ]
    path = tmp_path / "a"
    path.write_bytes(b"".join(blocks))
    assert copies(path) == [False, True] * len(packets)


def test_the_any_device_shows_the_interface(tmp_path: Path) -> None:
    """Linux cooked frames of IPv6 that differ in nothing but their interface."""
    packets = dialogue(six=True)

    def cooked(packet: Packet, interface: int) -> Packet:
        head = b"\x86\xdd\0\0" + interface.to_bytes(4, "big") + b"\0\1\0\6" + bytes(8)
        return packet._replace(data=head + packet.data[14:])

    joined, expected = twice([cooked(packet, 2) for packet in packets], [cooked(packet, 7) for packet in packets])
    assert copies(write_pcap(tmp_path / "a", joined, link_type=276)) == expected


def test_a_tunnel_and_what_is_in_it_are_copies(tmp_path: Path) -> None:
    """The host of a container sees its packet on the veth, and again in VXLAN on the wire."""
    packets = dialogue(six=True)

    def tunnelled(packet: Packet) -> Packet:
        datagram = layers.udp(("192.0.2.1", 5), ("192.0.2.2", 4789), b"\x08\0\0\0\0\0\1\0" + packet.data)
        return packet._replace(data=layers.ethernet(layers.ipv4("192.0.2.1", "192.0.2.2", 17, datagram)))

    joined, expected = twice(packets, [tunnelled(packet) for packet in packets])
    assert copies(write_pcap(tmp_path / "a", joined)) == expected


@pytest.mark.parametrize("six", [False, True])
def test_what_was_sent_twice_is_no_copy(tmp_path: Path, six: bool) -> None:
    """A retransmission has an identification of its own; without one, equal packets in equal frames were sent twice."""
    packets = dialogue(six)
    repeated_packets = packets[:5] + [packet._replace(time_ns=packet.time_ns + MILLISECOND) for packet in packets[3:5]]
    if not six:
        repeated_packets = identified(repeated_packets)
    assert copies(write_pcap(tmp_path / "a", repeated_packets + packets[5:])) == [False] * (len(packets) + 2)


def test_an_identification_that_all_packets_have_says_nothing(tmp_path: Path) -> None:
    """Some hosts never change it; neither is one packet that comes again and again a copy of itself."""
    packets = [packet._replace(data=packet.data[:18] + b"\0\1" + packet.data[20:]) for packet in dialogue()]
    again = [*packets[:5], packets[4]._replace(time_ns=packets[4].time_ns + 50_000), *packets[5:]]
    assert not any(copies(write_pcap(tmp_path / "a", again)))
    assert not any(copies(write_pcap(tmp_path / "b", packets[3:4] * 30)))


@pytest.mark.parametrize("six", [False, True])
def test_a_retransmission_that_is_seen_twice_is_one_packet_and_its_copy(tmp_path: Path, six: bool) -> None:
    """Of four sightings two are copies: the second of the first, and the fourth of the third."""
    first, again = dialogue(six)[3], dialogue(six)[3]._replace(time_ns=dialogue(six)[3].time_ns + 3 * MILLISECOND)
    if not six:
        again = again._replace(data=again.data[:18] + b"\x12\x34" + again.data[20:])
    order = [first, routed(first), again, routed(again)]
    assert copies(write_pcap(tmp_path / "a", order)) == [False, True, False, True]


def test_what_comes_late_is_no_copy(tmp_path: Path) -> None:
    """Neither long after, nor many packets after."""
    packet = dialogue()[3]
    late = routed(packet)._replace(time_ns=packet.time_ns + 200 * MILLISECOND)
    assert copies(write_pcap(tmp_path / "a", [packet, late])) == [False, False]
    between = [udp_packet(CLIENT, SERVER, n.to_bytes(9, "big"), packet.time_ns) for n in range(FARTHEST_PACKETS)]
    assert not any(copies(write_pcap(tmp_path / "b", [packet, *between, routed(packet)])))
    assert sum(copies(write_pcap(tmp_path / "c", [packet, *between[1:], routed(packet)]))) == 1


def test_datagrams_are_told_apart_by_their_contents(tmp_path: Path) -> None:
    """Two questions of one length are two; the same one behind a router is a copy."""
    one = udp_packet(CLIENT6, SERVER6, b"question one", START_NS)
    two = udp_packet(CLIENT6, SERVER6, b"different ...", START_NS)
    three = udp_packet(CLIENT6, SERVER6, b"Question one", START_NS)
    assert copies(write_pcap(tmp_path / "a", [one, two, routed(three), routed(one)])) == [False, False, False, True]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 60), max_size=80), st.sampled_from([1, 1 << 16, 1 << 48, (1 << 48) + 1]))
def test_repeated_hashes_are_those_that_occur_twice(values: list[int], factor: int) -> None:
    """Against a plain count, also where hashes share their upper or lower bits."""
    hashes = np.array([value * factor for value in values], np.uint64)
    expected = [index for index, value in enumerate(values) if values.count(value) > 1]
    assert repeated(hashes).tolist() == expected
