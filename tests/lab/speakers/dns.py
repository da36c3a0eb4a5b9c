"""DNS: dnspython asks dnsmasq, over UDP and TCP: names that exist and do not, several types, several questions at once."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING

import dns.message
import dns.query
import dns.rcode
from tests.lab.speakers.diary import CLIENTS, Diary, Scenario, at_once
from tests.protocols.recording.dns import dnsmasq, free_udp_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUESTIONS = (
    ("nonce{}.shop.test", "A"),
    ("nonce{}.shop.test", "AAAA"),
    ("nonce{}.missing.test", "A"),
    ("cache.shop.test", "A"),
    ("_http._tcp.shop.test", "SRV"),
    ("7.2.0.192.in-addr.arpa", "PTR"),
    ("mail.test", "MX"),
    ("shop.test", "TXT"),
    ("nonce{}.example.com", "A"),
    ("many.test", "A"),
)
"""The names of shop.test all exist; others of .test do not, and of others the server knows nobody to ask."""
SECONDS = 10.0


@contextlib.contextmanager
def server(_folder: Path) -> Iterator[int]:
    """A name server."""
    port = free_udp_port()
    with dnsmasq(port):
        yield port


def note(diary: Diary, name: str, kind: str, answer: dns.message.Message, own: int) -> None:
    """Write a question down."""
    status = dns.rcode.to_text(answer.rcode())
    nonce = int(name[5:10]) if name.startswith("nonce") else 0
    diary.note(kind, status, "ok" if status == "NOERROR" else "dns_failed", nonce=nonce, connection=own)


def speak_datagrams(port: int, diary: Diary, calls: int) -> None:
    """Over UDP, every question from another port, and some from one."""
    at_once(lambda _: visit_by_datagrams(port, diary, max(1, calls // CLIENTS // len(QUESTIONS))))


def visit_by_datagrams(port: int, diary: Diary, rounds: int) -> None:
    """One client."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as often:
        often.setblocking(False)
        often.bind(("127.0.0.1", 0))
        for number in range(rounds):
            for text, kind in QUESTIONS:
                name = text.format(diary.nonce())
                question = dns.message.make_query(name, kind)
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as once:
                    once.setblocking(False)
                    once.bind(("127.0.0.1", 0))
                    asking = often if number % 2 else once
                    answer = dns.query.udp(question, "127.0.0.1", SECONDS, port, sock=asking, ignore_trailing=False)
                    note(diary, name, kind, answer, asking.getsockname()[1])


def speak_streams(port: int, diary: Diary, calls: int) -> None:
    """Over TCP, many questions on a connection."""
    at_once(lambda _: visit_by_stream(port, diary, max(1, calls // CLIENTS // len(QUESTIONS))))


def visit_by_stream(port: int, diary: Diary, rounds: int) -> None:
    """One client: one question after the other, then all before the first answer (RFC 7766 section 6.2.1.1)."""
    for number in range(rounds):
        asked = {}
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as stream:
            own = stream.getsockname()[1]
            for text, kind in QUESTIONS:
                name = text.format(diary.nonce())
                question = dns.message.make_query(name, kind)
                asked[question.id, question.question[0].name] = name, kind
                dns.query.send_tcp(stream, question, time.time() + SECONDS)
                if number % 2:
                    answer, _ = dns.query.receive_tcp(stream, time.time() + SECONDS)
                    note(diary, *asked[answer.id, answer.question[0].name], answer, own)
            for _ in QUESTIONS if not number % 2 else ():
                answer, _ = dns.query.receive_tcp(stream, time.time() + SECONDS)
                note(diary, *asked[answer.id, answer.question[0].name], answer, own)


SCENARIOS = (
    Scenario("DNS over UDP", server, speak_datagrams),
    Scenario("DNS over TCP", server, speak_streams),
)
