"""Which host recorded a capture, and which addresses are its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.support import dns
from tests.support.captures import START_NS, TcpConversation, udp_packet, write_pcap
from tests.support.cases import analyzed

from wiretrace.hosts.vantage import (
    NO_HOST,
    CaptureInfo,
    Hosts,
    Sightings,
    host_label,
    is_group,
    is_loopback,
    recognise_hosts,
)
from wiretrace.model.settings import Settings
from wiretrace.model.side import Side

if TYPE_CHECKING:
    from pathlib import Path

Seen = tuple[int, str, str]
"""Capture, client, server."""


def recognise(seen: list[Seen], captures: list[CaptureInfo], waiting: list[float] | None = None) -> Hosts:
    """Hosts from connections; equal ends are the same connection."""
    addresses = sorted({address for _, client, server in seen for address in (client, server)})
    place = {address: number for number, address in enumerate(addresses)}
    clients = np.array([place[client] for _, client, _ in seen], dtype=np.int32)
    servers = np.array([place[server] for _, _, server in seen], dtype=np.int32)
    sightings = Sightings(
        capture=np.array([capture for capture, _, _ in seen], dtype=np.int32),
        client=clients,
        server=servers,
        ends=(clients.astype(np.uint64) << np.uint64(8)) + servers.astype(np.uint64),
        addresses=addresses,
        waiting_ns=np.array(waiting or [np.nan] * len(captures)),
    )
    return recognise_hosts(sightings, captures, addresses)


CLIENT, WEB, APP, DATABASE = "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"


def test_the_address_in_every_connection_is_the_hosts() -> None:
    hosts = recognise([(0, CLIENT, WEB), (0, WEB, APP), (0, WEB, DATABASE)], [CaptureInfo("web1")])
    assert hosts.names[hosts.of_capture[0]] == "web1"
    assert hosts.of_address[WEB] == hosts.of_capture[0]
    assert {hosts.names[hosts.of_address[address]] for address in (CLIENT, APP, DATABASE)} == {CLIENT, APP, DATABASE}


def test_a_capture_between_hosts_has_no_host() -> None:
    hosts = recognise([(0, CLIENT, WEB), (0, APP, DATABASE), (0, WEB, APP)], [CaptureInfo("bridge")])
    assert hosts.of_capture == [NO_HOST]
    assert sorted(hosts.names) == [CLIENT, WEB, APP, DATABASE]


ONE_MAC = {"02:00:00:00:00:01": 5}


def test_addresses_of_one_mac_are_one_host() -> None:
    """A host of a bridge has an address of each version."""
    web6, app6 = "fd00::2", "fd00::3"
    hardware = {WEB: ONE_MAC, web6: ONE_MAC, APP: {"02:00:00:00:00:02": 1}, app6: {"02:00:00:00:00:03": 1}}
    seen = [(0, CLIENT, WEB), (0, web6, app6), (0, APP, DATABASE)]
    hosts = recognise(seen, [CaptureInfo("bridge", names={web6: "web1"}, hardware=hardware)])
    assert hosts.of_address[WEB] == hosts.of_address[web6] != hosts.of_address[APP]
    assert hosts.names[hosts.of_address[WEB]] == "web1"
    assert hosts.of_address[APP] != hosts.of_address[app6]


def test_a_mac_of_many_addresses_is_that_of_a_router() -> None:
    """So is one that shares an address with another."""
    seen = [(0, CLIENT, WEB), (0, APP, DATABASE), (0, WEB, APP)]
    many = dict.fromkeys((CLIENT, WEB, APP), ONE_MAC)
    hosts = recognise(seen, [CaptureInfo("bridge", hardware=many)])
    assert sorted(hosts.names) == [CLIENT, WEB, APP, DATABASE]
    shared = {CLIENT: ONE_MAC, WEB: ONE_MAC, APP: {**ONE_MAC, "02:00:00:00:00:02": 1}}
    hosts = recognise(seen, [CaptureInfo("bridge", hardware=shared)])
    assert sorted(hosts.names) == [CLIENT, WEB, APP, DATABASE]


def test_in_the_capture_of_one_host_the_gateway_is_not_taken_for_a_host() -> None:
    """Two addresses of one version behind one MAC are two hosts there, and may be one where all hosts are seen."""
    hardware = dict.fromkeys((APP, DATABASE), ONE_MAC)
    hosts = recognise([(0, CLIENT, WEB), (0, WEB, APP), (0, WEB, DATABASE)], [CaptureInfo("web1", hardware=hardware)])
    assert hosts.of_address[APP] != hosts.of_address[DATABASE]
    seen = [(0, CLIENT, WEB), (0, WEB, APP), (0, APP, "10.0.0.5"), (0, DATABASE, "10.0.0.5")]
    hosts = recognise(seen, [CaptureInfo("bridge", hardware=hardware)])
    assert hosts.of_address[APP] == hosts.of_address[DATABASE]


def test_addresses_of_a_link_and_of_loopback_say_nothing() -> None:
    """Every host has them."""
    hardware = dict.fromkeys(("fe80::1", "127.0.0.1", WEB), ONE_MAC)
    hosts = recognise([(0, CLIENT, WEB), (0, "fe80::1", "fe80::2")], [CaptureInfo("bridge", hardware=hardware)])
    assert hosts.of_address[WEB] != hosts.of_address["fe80::1"]


def test_stray_connections_do_not_hide_the_host() -> None:
    seen = [(0, CLIENT, WEB), (0, WEB, APP)] * 60 + [(0, CLIENT, DATABASE)]
    hosts = recognise(seen, [CaptureInfo("web1")])
    assert hosts.names[hosts.of_address[WEB]] == "web1"


def test_a_capture_of_one_pair_is_decided_by_the_others() -> None:
    """The database only ever talks to the application, whose own capture shows which of the two that is."""
    seen = [(0, WEB, APP), (0, APP, DATABASE), (1, APP, DATABASE)]
    hosts = recognise(seen, [CaptureInfo("app1"), CaptureInfo("db1")])
    assert hosts.names[hosts.of_address[APP]] == "app1"
    assert hosts.names[hosts.of_address[DATABASE]] == "db1"


def test_two_captures_of_one_pair_are_told_apart_by_the_waiting() -> None:
    """The client waits for the server and for both ways, the server only for itself."""
    seen = [(0, CLIENT, WEB), (1, CLIENT, WEB)]
    hosts = recognise(seen, [CaptureInfo("b"), CaptureInfo("a")], waiting=[1000.0, 1300.0])
    assert hosts.names[hosts.of_address[CLIENT]] == "a"
    assert hosts.names[hosts.of_address[WEB]] == "b"


def test_captures_of_one_pair_at_different_times_stay_undecided() -> None:
    seen = [(0, CLIENT, WEB), (1, WEB, CLIENT)]
    hosts = recognise(seen, [CaptureInfo("b"), CaptureInfo("a")], waiting=[1000.0, 1300.0])
    assert hosts.of_capture == [NO_HOST, NO_HOST]


def test_name_records_and_host_comments_are_believed() -> None:
    """The capture says its host; a name record says which of two addresses that is, and names another host."""
    capture = CaptureInfo("eth0", host="web1", names={WEB: "web1", CLIENT: "laptop"})
    hosts = recognise([(0, CLIENT, WEB)], [capture])
    assert hosts.names[hosts.of_capture[0]] == "web1"
    assert hosts.of_address[WEB] == hosts.of_capture[0]
    assert hosts.names[hosts.of_address[CLIENT]] == "laptop"


def test_both_families_belong_to_one_host_each_recognised_on_its_own() -> None:
    """IPv4 shows the host at once; of the one IPv6 pair, the other capture's host has the other address."""
    seen = [(0, CLIENT, APP), (0, APP, DATABASE), (0, "fd00::3", "fd00::9"), (1, "fd00::3", "fd00::9")]
    seen += [(1, "fd00::2", "fd00::9")]
    hosts = recognise(seen, [CaptureInfo("app1"), CaptureInfo("price1")])
    assert hosts.addresses[hosts.of_capture[0]] == [APP, "fd00::3"]
    assert hosts.addresses[hosts.of_capture[1]] == ["fd00::9"]


def test_two_captures_of_one_host_are_one_host() -> None:
    """Two interfaces, or the same capture twice: equal addresses are one host."""
    seen = [(0, CLIENT, WEB), (0, WEB, APP), (1, CLIENT, WEB), (1, WEB, APP)]
    hosts = recognise(seen, [CaptureInfo("web1"), CaptureInfo("web1-again")])
    assert hosts.of_capture[0] == hosts.of_capture[1]
    assert hosts.captures[hosts.of_capture[0]] == ["web1", "web1-again"]


def test_a_capture_of_loopback_alone_has_its_host() -> None:
    hosts = recognise([(0, "127.0.0.1", "127.0.0.1")], [CaptureInfo("web1")])
    assert hosts.names[hosts.of_loopback[0]] == "web1"


@pytest.mark.parametrize("name", ["any", "br0", "bridge", "eth0", "docker0", "capture1", "mirror.pcap"])
def test_names_of_interfaces_are_not_hosts(name: str) -> None:
    assert host_label(name) == ""


def test_suffixes_of_files_are_not_part_of_a_host() -> None:
    assert host_label("web1.pcap.gz") == "web1"
    assert host_label("brussels1") == "brussels1"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("::2", False),
        ("127.x", False),
    ],
)
def test_loopback_is_recognised(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("224.0.0.251", True),
        ("239.255.255.250", True),
        ("ff02::fb", True),
        ("255.255.255.255", True),
        ("10.0.0.255", True),
        ("0.0.0.0", True),
        ("::", True),
        ("10.0.0.1", False),
        ("240.0.0.1", False),
        ("fe80::1", False),
    ],
)
def test_groups_of_hosts_are_recognised(address: str, expected: bool) -> None:
    assert is_group(address) is expected


def test_what_others_send_to_everybody_does_not_hide_whose_capture_it_is(tmp_path: Path) -> None:
    """Half of the conversations in it are announcements of neighbours on the link."""
    packets = [
        udp_packet(
            (f"10.0.0.{50 + number}", 5353), ("224.0.0.251", 5353), dns.query(0, "printer.local"), START_NS + number
        )
        for number in range(20)
    ]
    for number in range(20):
        server = f"10.0.1.{number}"
        conversation = TcpConversation(("10.0.0.1", 40000 + number), (server, 80), start_ns=START_NS + number).open()
        conversation.send(Side.CLIENT, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        packets += conversation.send(Side.SERVER, b"HTTP/1.1 204 No Content\r\n\r\n").close().packets
    path = write_pcap(tmp_path / "web1.pcap", sorted(packets))
    case = analyzed(tmp_path / "a.case", [path], Settings(jobs=1))
    hosts = {host["host"]: host for host in case.table("hosts").to_pylist()}
    assert hosts["web1"]["addresses"] == ["10.0.0.1"]
    assert hosts["web1"]["captures"] == ["web1"]


def test_hosts_never_share_a_name() -> None:
    hosts = recognise(
        [(0, CLIENT, WEB), (0, WEB, APP), (1, CLIENT, APP), (1, APP, DATABASE)],
        [CaptureInfo("web1"), CaptureInfo("web1.pcap")],
    )
    assert len(set(hosts.names)) == len(hosts.names)
