"""SOCKS: asking for a connection, what runs inside of it, either end as the client, and whatever bytes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.captures import TcpConversation
from tests.support.dissect import dissect
from tests.support.packets import Exchanges

from wiretrace.model.message import Result, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context
from wiretrace.protocols.socks import Socks

REQUEST, ANSWER = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"
IP4, NAME, IP6 = b"\x01\x0a\x00\x00\x09", b"\x03\x09shop.test", b"\x04" + bytes(15) + b"\x01"
GRANTED = b"\x05\x00\x00\x01" + bytes(6)
GRANTED_6 = b"\x05\x00\x00" + IP6 + b"\x00\x00"
SESSIONS = (
    ([b"\x05\x01\x00", b"\x05\x01\x00" + IP4 + b"\x00\x50"], [b"\x05\x00", GRANTED], "CONNECT 10.0.0.9:80"),
    ([b"\x05\x02\x00\x02", b"\x01\x04user\x06secret", b"\x05\x01\x00" + NAME + b"\x1f\x90"],
     [b"\x05\x02", b"\x01\x00", GRANTED], "CONNECT shop.test:8080"),
    ([b"\x05\x01\x00", b"\x05\x01\x00" + IP6 + b"\x00\x50"], [b"\x05\x00", GRANTED_6], "CONNECT [::1]:80"),
    ([b"\x04\x01\x00\x50\x0a\x00\x00\x09user\x00"], [b"\x00\x5a" + bytes(6)], "CONNECT 10.0.0.9:80"),
    ([b"\x04\x01\x00\x50\x00\x00\x00\x01\x00shop.test\x00"], [b"\x00\x5a" + bytes(6)], "CONNECT shop.test:80"),
)  # fmt: skip


@pytest.mark.parametrize(("client", "server", "asked"), SESSIONS)
def test_asking_for_a_connection_is_an_exchange(client: list[bytes], server: list[bytes], asked: str) -> None:
    for seed in range(10):
        found = dissect(Socks, b"".join(client), b"".join(server), splits=random.Random(seed))
        requests = [message for message in found.requests if message.role is Role.REQUEST]
        responses = [message for message in found.responses if message.role is Role.RESPONSE]
        assert [message.summary for message in requests] == [asked]
        assert [message.result for message in responses] == [Result.OK]
        assert found.unread == []
        assert found.succession is not None
        offsets = found.succession.client_offset, found.succession.server_offset
        assert offsets == (sum(map(len, client)), sum(map(len, server)))
        assert b"secret" not in b"".join(message.values for message in found.requests)


def test_a_refusal_is_an_error_and_leads_nowhere() -> None:
    client, _, _ = SESSIONS[0]
    found = dissect(Socks, b"".join(client), b"\x05\x00\x05\x05\x00\x01" + bytes(6))
    assert [(message.status, message.result) for message in found.responses[1:]] == [
        ("connection refused", Result.SERVER_ERROR)
    ]
    assert found.succession is None


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("client", "server", "asked"), SESSIONS)
def test_what_runs_inside_is_read_as_what_it_is(
    client: list[bytes], server: list[bytes], asked: str, reverse: bool
) -> None:
    """Also where the proxy opened the connection, and waits for its client to ask."""
    sides = (Side.SERVER, Side.CLIENT) if reverse else (Side.CLIENT, Side.SERVER)
    conversation = TcpConversation(("10.0.0.1", 40000), ("10.0.0.2", 1080)).open()
    for question, answer in zip(client, server, strict=True):
        conversation.send(sides[0], question).send(sides[1], answer)
    for _ in range(2):
        conversation.send(sides[0], REQUEST).send(sides[1], ANSWER)
    read = Exchanges(conversation.close().packets)
    assert read.unexplained == 0
    assert [(row["protocol"], row["summary"]) for row in read.rows] == [("socks", asked), *[("http", "GET /a")] * 2]
    assert {row["client_address"] for row in read.rows} == {"10.0.0.2" if reverse else "10.0.0.1"}
    assert all(asked.split(" ")[1] in row["attributes"] for row in read.rows)


def test_probes_know_socks_and_nothing_else() -> None:
    assert Socks.probe(b"\x05\x01\x00", b"\x05\x00") > 0.9
    assert Socks.probe(b"\x05\x01\x00", b"\x05\x02") == 0.0
    assert Socks.probe(b"\x05\x01\x00", b"HTTP/1.1 200") == 0.0
    for other in (b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"\x05\xff", b"\x04", b""):
        assert Socks.probe(other, b"") == 0.0


@given(st.binary(max_size=100), st.binary(max_size=100), st.sampled_from([b"", b"\x04", b"\x05\x01\x00\x05\x01\x00"]))
@settings(max_examples=150)
def test_no_bytes_break_it(client: bytes, server: bytes, opening: bytes) -> None:
    Socks.probe(opening + client, server)
    dissect(Socks, opening + client, server, context=Context())
