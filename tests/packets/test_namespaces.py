"""A bridge of the kernel's own, recorded on its `any` device: every packet is seen at both ports, some in a VXLAN, too."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from tests.support.command_line import COMMAND_SECONDS

from wiretrace.model.limits import Limits
from wiretrace.model.note import Notes
from wiretrace.packets.columns import FlowTable
from wiretrace.packets.reader import CaptureReader
from wiretrace.tcp.reassembly import Reassembler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PREFIX = f"wtp{os.getpid() % 10_000}"
CLIENT, BRIDGE, SERVER = (f"{PREFIX}{letter}" for letter in "abc")
PORT = 8000
SERVE = f"""
import socket
server = socket.create_server(("::", {PORT}), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True:
    peer, _ = server.accept()
    peer.recv(100)
    peer.sendall(b"x" * 300000)
    peer.close()
"""
ASK = f"""
import socket, sys
for address in sys.argv[1:]:
    with socket.create_connection((address, {PORT}), timeout=10) as peer:
        peer.sendall(b"give")
        assert sum(iter(lambda: len(peer.recv(65536)), 0)) == 300000
"""


def ip(*arguments: str) -> None:
    """Run ip(8)."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=10)


@contextmanager
def in_namespace(namespace: str, *command: str) -> Iterator[subprocess.Popen[str]]:
    """A program in a namespace, until the block ends."""
    process = subprocess.Popen(
        ["ip", "netns", "exec", namespace, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=10)


@pytest.fixture
def bridge() -> Iterator[None]:
    """Two hosts with addresses of both versions on one bridge, and a VXLAN between them."""
    names = (CLIENT, BRIDGE, SERVER)
    try:
        for name in names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", BRIDGE, "link", "add", "br0", "type", "bridge")
        ip("-n", BRIDGE, "link", "set", "br0", "up")
        for number, host in ((1, CLIENT), (2, SERVER)):
            ip("link", "add", "eth0", "netns", host, "type", "veth", "peer", "name", f"port{number}", "netns", BRIDGE)
            ip("-n", BRIDGE, "link", "set", f"port{number}", "master", "br0", "up")
            ip("-n", host, "link", "set", "eth0", "up")
            ip("-n", host, "addr", "add", f"10.99.0.{number}/24", "dev", "eth0")
            ip("-n", host, "addr", "add", f"fd99::{number}/64", "dev", "eth0", "nodad")
            other = f"10.99.0.{3 - number}"
            ip(
                "-n",
                host,
                "link",
                "add",
                "vx0",
                "type",
                "vxlan",
                "id",
                "7",
                "remote",
                other,
                "dev",
                "eth0",
                "dstport",
                "4789",
            )
            ip("-n", host, "link", "set", "vx0", "up")
            ip("-n", host, "addr", "add", f"10.98.0.{number}/24", "dev", "vx0")
        yield
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=10, check=False)


def streams(path: Path) -> tuple[list[int], int, int]:
    """Bytes of each stream, retransmitted segments, and copies."""
    reader = CaptureReader(path, FlowTable(), Limits(), Notes())
    reassembler, copies = Reassembler(Limits(), Notes()), 0
    for columns in reader.chunks():
        copies += int(columns.copy.sum())
        reassembler.feed(columns)
    reassembler.finish()
    table = reassembler.connections
    known = slice(2 * table.count)
    assert not table.lost_of[known].any()
    return sorted(table.bytes_of[known].tolist()), int(table.retransmitted_of[known].sum()), copies


@pytest.mark.lab
def test_the_any_device_of_a_bridge_shows_what_one_port_shows(bridge: None, tmp_path: Path) -> None:
    """The same streams and retransmissions, and copies; so does a host that sees its VXLAN inside and out."""
    files = {name: tmp_path / f"{name}.pcap" for name in ("any", "port", "host")}
    record = ("tcpdump", "-U", "-p", "-w")
    with (
        in_namespace(SERVER, sys.executable, "-c", SERVE) as server,
        in_namespace(BRIDGE, *record, str(files["any"]), "-i", "any"),
        in_namespace(BRIDGE, *record, str(files["port"]), "-i", "port1"),
        in_namespace(CLIENT, *record, str(files["host"]), "-i", "any"),
    ):
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        until = time.monotonic() + 20
        while not all(path.exists() and path.stat().st_size for path in files.values()) and time.monotonic() < until:
            time.sleep(0.05)
        command = ["ip", "netns", "exec", CLIENT, sys.executable, "-c", ASK, "10.99.0.2", "fd99::2", "10.98.0.2"]
        subprocess.run(command, check=True, timeout=COMMAND_SECONDS)
        time.sleep(1)
    expected, retransmitted, copies = streams(files["port"])
    assert (expected, copies) == ([4] * 3 + [300_000] * 3, 0)
    for name, least in (("any", 3 * 10), ("host", 10)):
        found, repeated, copies = streams(files[name])
        assert (found, repeated) == (expected, retransmitted)
        assert copies >= least
