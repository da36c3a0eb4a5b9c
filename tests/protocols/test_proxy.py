"""The PROXY protocol: both versions before other protocols, whatever bytes, and links by the connection that it names."""

from __future__ import annotations

import random
import socket
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.captures import START_NS, Packet, TcpConversation, write_pcap
from tests.support.cases import analyzed
from tests.support.dissect import dissect
from tests.support.packets import Exchanges

from wiretrace.model.message import Role
from wiretrace.model.settings import Settings
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context
from wiretrace.protocols.proxy import SIGNATURE, Proxy

if TYPE_CHECKING:
    from pathlib import Path

REQUEST, ANSWER = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"
GREETING = b"220 mail.test ESMTP\r\n"


def version_2(client: str, server: str, ports: tuple[int, int], command: int = 0x21, more: bytes = b"") -> bytes:
    family = socket.AF_INET6 if ":" in client else socket.AF_INET
    block = b"".join(socket.inet_pton(family, each) for each in (client, server)) + struct.pack(">HH", *ports) + more
    return SIGNATURE + bytes([command, 0x21 if ":" in client else 0x11]) + struct.pack(">H", len(block)) + block


HEADERS = (
    (b"PROXY TCP4 10.0.0.7 10.0.0.2 40000 443\r\n", "10.0.0.7:40000>10.0.0.2:443"),
    (b"PROXY TCP6 2001:DB8::7 2001:db8::2 40000 443\r\n", "2001:db8::7:40000>2001:db8::2:443"),
    (version_2("10.0.0.7", "10.0.0.2", (40000, 443)), "10.0.0.7:40000>10.0.0.2:443"),
    (version_2("2001:db8::7", "2001:db8::2", (40000, 443), more=b"\x04\x00\x01x"), "2001:db8::7:40000>2001:db8::2:443"),
)
SILENT = (
    b"PROXY UNKNOWN\r\n",
    b"PROXY UNKNOWN whatever it says here\r\n",
    b"PROXY TCP4 10.0.0.7 10.0.0.2 99999 443\r\n",
    version_2("10.0.0.7", "10.0.0.2", (1, 2), command=0x20),
    SIGNATURE + b"\x21\x00\x00\x00",
)


@pytest.mark.parametrize(("header", "ends"), HEADERS)
def test_a_header_names_the_connection_that_is_passed_on(header: bytes, ends: str) -> None:
    for seed in range(10):
        found = dissect(Proxy, header + REQUEST, b"", splits=random.Random(seed))
        assert [(message.role, message.end) for message in found.requests] == [(Role.CONTROL, len(header))]
        assert found.succession is not None
        assert (found.succession.protocol, found.succession.client_offset) == ("", len(header))
        assert [value.decode() for _, value in found.succession.identifiers] == [ends]


@pytest.mark.parametrize("header", SILENT)
def test_a_header_that_names_nobody_is_passed_over(header: bytes) -> None:
    found = dissect(Proxy, header + REQUEST, b"")
    assert found.succession is not None
    assert found.succession.identifiers == ()
    assert not found.succession.attributes


@pytest.mark.parametrize("header", [header for header, _ in HEADERS] + list(SILENT))
def test_what_stands_behind_a_header_is_read_as_what_it_is(header: bytes) -> None:
    """Requests, and a server that greets before it has seen the header; what the header says is told of every request."""
    web = TcpConversation(("10.0.0.3", 50000), ("10.0.0.9", 8080)).open().send(Side.CLIENT, header)
    for _ in range(2):
        web.send(Side.CLIENT, REQUEST).send(Side.SERVER, ANSWER)
    mail = TcpConversation(("10.0.0.3", 50001), ("10.0.0.9", 2525)).open().send(Side.SERVER, GREETING)
    mail.send(Side.CLIENT, header).send(Side.CLIENT, b"EHLO a.test\r\n").send(Side.SERVER, b"250 mail.test\r\n")
    for conversation in (web, mail):
        read = Exchanges(conversation.close().packets)
        assert read.unexplained == 0
        assert {row["outcome"] for row in read.rows} == {"ok"}
        told = dict(HEADERS).get(header)
        assert {tuple(row["identifiers"]) for row in read.rows} == {(f"proxied-connection:{told}",) if told else ()}
        assert ('"client.port":40000' in read.rows[0]["attributes"]) is (told is not None)
    assert [row["protocol"] for row in Exchanges(web.packets).rows] == ["http", "http"]
    assert [row["protocol"] for row in Exchanges(mail.packets).rows] == ["smtp"]


def test_a_header_is_seen_though_the_server_is_known_to_speak_something_else() -> None:
    """HTTP bears with empty lines in front of a request, and version 2 begins with two of them."""
    plain = TcpConversation(("10.0.0.3", 50000), ("10.0.0.9", 8080)).open()
    plain.send(Side.CLIENT, REQUEST).send(Side.SERVER, ANSWER).close()
    proxied = TcpConversation(("10.0.0.3", 50001), ("10.0.0.9", 8080), start_ns=plain.now_ns).open()
    proxied.send(Side.CLIENT, HEADERS[2][0] + REQUEST).send(Side.SERVER, ANSWER).close()
    read = Exchanges(plain.packets + proxied.packets)
    assert [len(row["identifiers"]) for row in read.rows] == [0, 1]
    assert "malformed" not in read.accounting


def test_headers_without_end_cost_no_more_than_their_bytes() -> None:
    """A hostile client repeats the header: the last one counts."""
    conversation = TcpConversation().open().send(Side.CLIENT, HEADERS[0][0] * 300 + REQUEST).send(Side.SERVER, ANSWER)
    read = Exchanges(conversation.close().packets)
    assert [len(row["identifiers"]) for row in read.rows] == [1]


def test_a_proxied_request_is_linked_by_the_connection_that_the_header_names(tmp_path: Path) -> None:
    """Many clients at once ask for the same through one proxy: nothing but the header tells which request is whose."""
    packets: list[Packet] = []
    chooser = random.Random(3)
    for number in range(30):
        client, at = ("10.0.0.7", 40000 + number), START_NS + number * 1_000_000
        begins = at + chooser.randrange(1, 20) * 1_000_000
        outer = TcpConversation(client, ("10.0.0.2", 80), start_ns=at).open().send(Side.CLIENT, REQUEST)
        packets += outer.wait(60_000_000).send(Side.SERVER, ANSWER).close().packets
        header = f"PROXY TCP4 10.0.0.7 10.0.0.2 {client[1]} 80\r\n".encode()
        inner = TcpConversation(("10.0.0.2", 50000 + number), ("10.0.0.9", 8080), start_ns=begins).open()
        packets += inner.send(Side.CLIENT, header + REQUEST).send(Side.SERVER, ANSWER).close().packets
    path = write_pcap(tmp_path / "proxy1.pcap", sorted(packets))
    calls = analyzed(tmp_path / "a.case", [path], Settings(jobs=1)).table("calls").to_pylist()
    by_id = {call["id"]: call for call in calls}
    inner_calls = [call for call in calls if call["server_port"] == 8080]
    assert len(inner_calls) == 30
    for call in inner_calls:
        assert by_id[call["parent"]]["client_port"] == call["client_port"] - 10000
        assert call["basis"] == "stated"


@given(st.binary(max_size=200), st.binary(max_size=50), st.booleans())
@settings(max_examples=100)
def test_no_bytes_break_it(client: bytes, server: bytes, signed: bool) -> None:
    client = SIGNATURE + client if signed else b"PROXY " + client
    Proxy.probe(client, server)
    dissect(Proxy, client, server, context=Context())
