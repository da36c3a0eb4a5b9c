"""MQTT: packets of versions 3.1.1 and 5, qualities of service, and whatever bytes. Real traffic: test_recorded.py."""

from __future__ import annotations

import struct

import dpkt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocols.expectations import CAPTURES
from tests.support.dissect import Dissection, dissect
from tests.support.replay import check_bears_anything, check_splits_change_nothing, streams_of

from wiretrace.model.identifier import IdentifierKind
from wiretrace.model.message import Result, Role
from wiretrace.protocols.contract import Context
from wiretrace.protocols.mqtt import MQTT

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def text(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


def packet(first: int, body: bytes) -> bytes:
    length, size = b"", len(body)
    while True:
        size, digit = divmod(size, 128)
        length += bytes((digit | (0x80 if size else 0),))
        if not size:
            return bytes((first,)) + length + body


def connect(version: int = 4, client: bytes = b"shop-1") -> bytes:
    credentials = text(b"mary") + text(b"correct horse")
    properties = b"\0" if version == 5 else b""
    return packet(0x10, text(b"MQTT") + bytes((version, 0xC2, 0, 60)) + properties + text(client) + credentials)


def publish(topic: bytes, payload: bytes, quality: int = 0, number: int = 7, properties: bytes | None = None) -> bytes:
    head = text(topic) + (struct.pack(">H", number) if quality else b"")
    if properties is not None:
        head += bytes((len(properties),)) + properties
    return packet(0x30 | quality << 1, head + payload)


def read(client: bytes, server: bytes = b"") -> Dissection:
    found = dissect(MQTT, client, server)
    assert found.violations == []
    assert found.unread == []
    return found


def test_credentials_are_not_read() -> None:
    [message] = read(connect()).requests
    assert (message.operation, message.values) == ("connect", b"")
    assert message.attributes is not None
    assert message.attributes["messaging.client.id"] == "shop-1"
    assert "horse" not in str(message)


@pytest.mark.parametrize(
    ("version", "code", "status", "result"),
    [
        (4, 0, "ok", Result.OK),
        (4, 4, "bad user name or password", Result.CLIENT_ERROR),
        (4, 3, "server unavailable", Result.SERVER_ERROR),
        (5, 0x86, "Bad User Name or Password", Result.CLIENT_ERROR),
        (5, 0x89, "Server busy", Result.SERVER_ERROR),
    ],
)
def test_refusals_are_told_by_name(version: int, code: int, status: str, result: Result) -> None:
    found = read(connect(version), packet(0x20, bytes((0, code)) + (b"\0" if version == 5 else b"")))
    assert (found.responses[0].status, found.responses[0].result) == (status, result)
    assert found.responses[0].key == found.requests[0].key


@pytest.mark.parametrize(("quality", "answer"), [(1, 0x40), (2, 0x50)])
def test_a_published_message_is_answered_by_its_number(quality: int, answer: int) -> None:
    """What ends the delivery of quality 2 is no exchange of its own."""
    client = connect() + publish(b"orders/42/new", b"paint", quality) + packet(0x62, b"\0\7")
    found = read(client, packet(0x20, b"\0\0") + packet(answer, b"\0\7") + packet(0x70, b"\0\7"))
    asked, released = found.requests[1:]
    assert (asked.role, asked.operation, asked.summary) == (
        Role.REQUEST,
        "publish orders/{id}/new",
        "publish orders/42/new",
    )
    assert released.role is Role.CONTROL
    assert found.responses[1].key == asked.key
    assert found.responses[2].role is Role.CONTROL


@pytest.mark.parametrize(("code", "status"), [(b"", "ok"), (b"\0\0", "ok"), (b"\x10\0", "No matching subscribers")])
def test_a_message_that_nobody_subscribes_to_is_no_error_and_says_so(code: bytes, status: str) -> None:
    """Reason code 0x10 of version 5 (section 3.4.2.1)."""
    client = connect(5) + publish(b"orders/new", b"paint", 1, properties=b"")
    found = read(client, packet(0x20, b"\0\0\0") + packet(0x40, b"\0\7" + code))
    assert (found.responses[1].status, found.responses[1].result) == (status, Result.OK)


def test_a_delivered_message_is_known_as_the_one_that_was_published() -> None:
    """It is a request of the server, answered by the client; numbers of the two sides do not meet."""
    sent = read(connect() + publish(b"orders", b"paint" * 300, 1)).requests[1]
    found = read(connect() + packet(0x40, b"\0\7"), packet(0x20, b"\0\0") + publish(b"orders", b"paint" * 300, 1))
    delivered, acknowledged = found.responses[1], found.requests[1]
    assert (delivered.role, acknowledged.role) == (Role.REQUEST, Role.RESPONSE)
    assert delivered.key == acknowledged.key != sent.key
    assert sent.messaging is not None and delivered.messaging is not None
    assert sent.messaging.sent == delivered.messaging.received


def test_without_quality_of_service_nothing_is_answered() -> None:
    assert read(connect() + publish(b"orders", b"x")).requests[1].role is Role.ONE_WAY


def test_properties_hold_breadcrumbs_and_aliases() -> None:
    user = b"\x26" + text(b"traceparent") + text(TRACE)
    first = publish(b"orders", b"x", properties=b"\x23\0\5" + user + b"\x09" + text(b"question-17"))
    found = read(connect(5) + first + publish(b"", b"y", properties=b"\x23\0\5"))
    assert found.requests[1].identifiers == ((IdentifierKind.TRACEPARENT, b"0af7651916cd43dd8448eb211c80319c"),)
    assert [each.summary for each in found.requests[1:]] == ["publish orders"] * 2
    assert found.requests[2].values == b"orders y"


def test_a_subscription_that_is_refused_is_an_error() -> None:
    client = connect() + packet(0x82, b"\0\1" + text(b"orders/#") + b"\1")
    found = read(client, packet(0x20, b"\0\0") + packet(0x90, b"\0\1\x80"))
    assert found.requests[1].operation == "subscribe orders/#"
    assert found.responses[1].result is Result.SERVER_ERROR


def test_pings_are_exchanges_and_goodbyes_are_not() -> None:
    found = read(connect() + b"\xc0\0\xe0\0", packet(0x20, b"\0\0") + b"\xd0\0")
    assert [each.role for each in found.requests[1:]] == [Role.REQUEST, Role.CONTROL]
    assert found.responses[1].key == found.requests[1].key


@pytest.fixture(scope="module")
def conversations() -> list[tuple[bytes, bytes]]:
    path = CAPTURES / "mqtt_messages.pcap"
    with path.open("rb") as file:
        _, data = next(iter(dpkt.pcap.Reader(file)))
    return streams_of(path, dpkt.ethernet.Ethernet(data).data.data.dport)


def test_splits_change_nothing(conversations: list[tuple[bytes, bytes]]) -> None:
    for streams in conversations:
        check_splits_change_nothing(MQTT, streams)


def test_real_conversations_are_recognised(conversations: list[tuple[bytes, bytes]]) -> None:
    for client, server in conversations:
        assert MQTT.probe(client, server) == 1.0
        assert MQTT.probe(server, client) < 0.5


def test_no_damage_breaks_it(conversations: list[tuple[bytes, bytes]]) -> None:
    for streams in conversations:
        check_bears_anything(MQTT, streams, 60)


@given(st.binary(max_size=200), st.binary(max_size=200), st.sampled_from([4, 5]), st.booleans())
@settings(max_examples=150)
def test_no_bytes_break_it(client: bytes, server: bytes, version: int, whole: bool) -> None:
    MQTT.probe(client, server)
    dissect(MQTT, connect(version) + client, server, context=Context(started=(whole, whole)))


@given(st.integers(1, 15), st.integers(0, 15), st.binary(max_size=60), st.sampled_from([4, 5]))
@settings(max_examples=150)
def test_no_packets_break_it(kind: int, flags: int, body: bytes, version: int) -> None:
    """Any body in a packet of any kind, of either side."""
    odd = packet(kind << 4 | flags, body)
    dissect(MQTT, connect(version) + odd, odd)
