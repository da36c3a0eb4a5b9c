"""MAC addresses are learned for the addresses that they belong to, and for no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support import layers
from tests.support.captures import START_NS, Packet, TcpConversation, write_pcap
from tests.support.packet_rows import read_rows

from wiretrace.model.limits import Limits
from wiretrace.model.note import NoteKind
from wiretrace.packets.columns import FlowTable
from wiretrace.packets.hardware import hardware_addresses

if TYPE_CHECKING:
    from pathlib import Path

CLIENT_MAC, SERVER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"


def learned(path: Path, limits: Limits | None = None) -> dict[str, list[str]]:
    """MAC addresses by address."""
    flows = FlowTable()
    read_rows(path, limits, flows)
    return {address: sorted(known) for address, known in hardware_addresses(flows).items()}


def handshake(client: str, server: str, port: int = 40000) -> list[Packet]:
    return TcpConversation((client, port), (server, 80)).open().packets


def test_both_ends_of_a_flow_have_the_mac_that_they_sent_with(tmp_path: Path) -> None:
    """Of both IP versions."""
    packets = handshake("10.0.0.1", "10.0.0.2") + handshake("fd00::1", "fd00::2")
    assert learned(write_pcap(tmp_path / "a", packets)) == {
        "10.0.0.1": [CLIENT_MAC],
        "10.0.0.2": [SERVER_MAC],
        "fd00::1": [CLIENT_MAC],
        "fd00::2": [SERVER_MAC],
    }


def test_what_a_router_passed_on_has_no_mac_of_its_own(tmp_path: Path) -> None:
    """One hop taken from the time to live is enough to tell."""
    packets = [
        packet._replace(data=packet.data[:22] + b"\x3f" + packet.data[23:])
        for packet in handshake("10.0.0.1", "10.0.0.2")
    ]
    assert learned(write_pcap(tmp_path / "a", packets)) == {}


def test_what_has_no_link_layer_has_no_mac(tmp_path: Path) -> None:
    """Raw IP, and IP that came through a tunnel; a bridged tunnel has the MAC of the frame inside."""
    inner = handshake("10.0.0.1", "10.0.0.2")
    raw = [packet._replace(data=packet.data[14:]) for packet in inner]
    assert learned(write_pcap(tmp_path / "raw", raw, link_type=101)) == {}

    def tunnelled(protocol: int, data: bytes) -> Packet:
        return Packet(START_NS, layers.ethernet(layers.ipv4("192.0.2.1", "192.0.2.2", protocol, data)))

    routed = [tunnelled(4, packet.data[14:]) for packet in inner]
    assert learned(write_pcap(tmp_path / "routed", routed)) == {}
    bridged = [tunnelled(47, b"\0\0\x65\x58" + packet.data) for packet in inner]
    assert learned(write_pcap(tmp_path / "bridged", bridged)) == {"10.0.0.1": [CLIENT_MAC], "10.0.0.2": [SERVER_MAC]}


def test_cooked_frames_have_the_mac_of_the_sender(tmp_path: Path) -> None:
    """Linux cooked captures, both versions; loopback's zeros are none."""
    for number, (link_type, head) in enumerate(
        (
            (113, b"\0\0\0\1\0\6" + bytes.fromhex("020000000009") + b"\0\0\x08\0"),
            (276, b"\x08\0\0\0\0\0\0\2\0\1\0\6" + bytes.fromhex("020000000009") + b"\0\0"),
        )
    ):
        packets = [packet._replace(data=head + packet.data[14:]) for packet in handshake("10.0.0.1", "10.0.0.2")[:1]]
        path = write_pcap(tmp_path / f"{number}", packets, link_type=link_type)
        assert learned(path) == {"10.0.0.1": ["02:00:00:00:00:09"]}
        packets = [
            packet._replace(data=packet.data.replace(bytes.fromhex("020000000009"), bytes(6))) for packet in packets
        ]
        assert learned(write_pcap(tmp_path / f"{number}", packets, link_type=link_type)) == {}


def test_what_is_learned_is_bounded(tmp_path: Path) -> None:
    """Addresses beyond the limit are left out, with a note."""
    packets = [packet for n in range(1, 30) for packet in handshake(f"10.0.0.{n}", "10.0.1.1", 40000 + n)]
    reading = read_rows(write_pcap(tmp_path / "a", packets), Limits(hardware_addresses=10))
    assert len(reading.flows.hardware) == 10
    assert reading.notes.counts[NoteKind.LIMIT_REACHED, "hardware_addresses"] == 1
    changing = [
        packet._replace(data=packet.data[:6] + b"\2\0\0\0\1" + bytes([n]) + packet.data[12:])
        for n in range(60)
        for packet in handshake("10.0.0.1", "10.0.1.1", 40000 + n)[:1]
    ]
    assert len(learned(write_pcap(tmp_path / "b", changing))["10.0.0.1"]) == 8
