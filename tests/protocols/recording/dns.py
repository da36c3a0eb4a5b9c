"""DNS: dnsmasq asked by dig, over UDP and TCP."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

from tests.protocols.recording.loopback import recorded, wait_for

ANSWERS = (
    "--address=/shop.test/192.0.2.7",
    "--address=/shop.test/2001:db8::7",
    "--host-record=db.shop.test,192.0.2.8,60",
    "--cname=cache.shop.test,db.shop.test,30",
    "--srv-host=_http._tcp.shop.test,web1.shop.test,8080,10,5",
    "--ptr-record=7.2.0.192.in-addr.arpa,shop.test",
    "--mx-host=mail.test,mx.mail.test,10",
    "--txt-record=shop.test,verification=Zm9vYmFyYmF6cXV4,second",
    *(f"--host-record=many.test,192.0.2.{number}" for number in range(1, 120)),
)


def free_udp_port() -> int:
    """A port of 127.0.0.1 that nobody uses for UDP or TCP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    socket.create_server(("127.0.0.1", port)).close()
    return port


@contextlib.contextmanager
def dnsmasq(port: int) -> Iterator[None]:
    """A name server that knows some names of .test, and nothing else."""
    program = shutil.which("dnsmasq", path="/usr/sbin:/usr/bin")
    assert program is not None, "dnsmasq is needed: apt-get install dnsmasq-base"
    arguments = [
        program, "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces",
        "--listen-address=127.0.0.1", f"--port={port}", "--local=/test/", "--user=root", "--edns-packet-max=512", *ANSWERS,
    ]  # fmt: skip
    server = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield
    finally:
        server.terminate()
        server.wait(timeout=10)


def dig(port: int, *arguments: str) -> None:
    """Ask the server once, without a second attempt."""
    subprocess.run(
        ["dig", "@127.0.0.1", "-p", str(port), "+tries=1", "+time=1", *arguments],
        stdout=subprocess.DEVNULL,
        check=False,
    )


def dns_questions() -> None:
    """Questions of many kinds, names that are not there, a refusal, and an answer too long for a datagram."""
    port = free_udp_port()
    with dnsmasq(port), recorded("dns_questions", port, ""):
        for name, kind in (
            ("shop.test", "A"),
            ("shop.test", "AAAA"),
            ("cache.shop.test", "A"),
            ("_http._tcp.shop.test", "SRV"),
            ("7.2.0.192.in-addr.arpa", "PTR"),
            ("mail.test", "MX"),
            ("shop.test", "TXT"),
            ("nobody.test", "A"),
            ("www.example.com", "A"),
            ("many.test", "A"),
        ):
            dig(port, name, kind)
        dig(port, "+noedns", "db.shop.test", "A")
        dig(port, "+tcp", "+keepopen", "shop.test", "A", "db.shop.test", "A", "nobody.test", "A")


def dns_silence() -> None:
    """A server that answers once, and then says nothing: each question is asked three times."""
    port = free_udp_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, recorded("dns_silence", port, "udp"):
        server.bind(("127.0.0.1", port))
        server.settimeout(5)
        client = subprocess.Popen(
            ["dig", "@127.0.0.1", "-p", str(port), "+tries=3", "+time=1", "shop.test"], stdout=subprocess.DEVNULL
        )
        question, asker = server.recvfrom(512)
        server.recvfrom(512)
        reply = question[:2] + b"\x81\x82" + question[4:]
        server.sendto(reply, asker)
        client.wait(timeout=10)
        dig(port, "db.shop.test")
        time.sleep(0.2)


SCENARIOS = (dns_questions, dns_silence)
