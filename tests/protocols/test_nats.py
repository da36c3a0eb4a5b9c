"""NATS: lines and payloads, inboxes, headers, errors, and whatever bytes. Real traffic: test_recorded.py."""

from __future__ import annotations

import dpkt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocols.expectations import CAPTURES
from tests.support.dissect import Dissection, dissect
from tests.support.replay import check_bears_anything, check_splits_change_nothing, streams_of

from wiretrace.model.identifier import IdentifierKind
from wiretrace.model.message import Result, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context
from wiretrace.protocols.nats import NATS

INFO = b'INFO {"server_id":"N1","version":"2.9.10","headers":true}\r\n'
CONNECT = b'CONNECT {"user":"mary","pass":"correct horse"}\r\nPING\r\n'
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def line(words: bytes, payload: bytes, headers: bytes = b"") -> bytes:
    sizes = b"%d %d" % (len(headers), len(headers) + len(payload)) if headers else b"%d" % len(payload)
    return words + b" " + sizes + b"\r\n" + headers + payload + b"\r\n"


def read(client: bytes, server: bytes = INFO) -> Dissection:
    found = dissect(NATS, client, server)
    assert found.violations == []
    assert found.unread == []
    return found


def test_what_is_published_asks_for_nothing() -> None:
    [message] = read(line(b"PUB orders.4711.new", b"order-42")).requests
    assert (message.role, message.operation, message.summary) == (
        Role.ONE_WAY,
        "publish orders.{id}.new",
        "publish orders.4711.new",
    )
    assert message.values == b"orders.4711.new order-42"


def test_a_request_is_answered_by_the_message_to_its_inbox() -> None:
    found = read(line(b"PUB prices _INBOX.abc.1", b"paint"), INFO + line(b"MSG _INBOX.abc.1 1", b"12"))
    assert (found.requests[0].role, found.requests[0].operation) == (Role.REQUEST, "request prices")
    assert found.responses[1].role is Role.RESPONSE
    assert found.responses[1].key == found.requests[0].key


def test_a_delivered_request_is_answered_by_what_its_receiver_publishes() -> None:
    found = read(line(b"PUB _INBOX.abc.1", b"12"), INFO + line(b"MSG prices 1 _INBOX.abc.1", b"paint"))
    assert (found.responses[1].role, found.responses[1].operation) == (Role.REQUEST, "process prices")
    assert found.requests[0].role is Role.RESPONSE
    assert found.requests[0].key == found.responses[1].key


def test_a_published_and_a_delivered_message_are_known_as_one() -> None:
    sent = read(line(b"PUB orders", b"x" * 2000)).requests[0].messaging
    received = read(b"", INFO + line(b"MSG orders 1", b"x" * 2000)).responses[1].messaging
    assert sent is not None and received is not None
    assert sent.sent == received.received


def test_headers_hold_breadcrumbs_and_the_status_of_a_reply() -> None:
    headers = b"NATS/1.0\r\nTraceparent: " + TRACE + b"\r\n\r\n"
    nobody = line(b"HMSG _INBOX.abc.1 1", b"", b"NATS/1.0 503\r\n\r\n")
    found = read(line(b"HPUB prices _INBOX.abc.1", b"paint", headers), INFO + nobody)
    assert found.requests[0].identifiers == ((IdentifierKind.TRACEPARENT, b"0af7651916cd43dd8448eb211c80319c"),)
    assert found.requests[0].values == b"prices paint"
    assert (found.responses[1].status, found.responses[1].result) == ("503", Result.SERVER_ERROR)


def test_credentials_are_not_read_and_errors_are_told_without_names() -> None:
    found = read(CONNECT, INFO + b"-ERR 'Permissions Violation for Publish to \"mary.secret\"'\r\n")
    assert found.requests[0].role is Role.CONTROL
    assert "horse" not in str(found.requests[0])
    assert (found.responses[1].role, found.responses[1].status) == (Role.PUSH, "Permissions Violation")


def test_pings_of_the_client_are_exchanges() -> None:
    found = read(CONNECT + b"PONG\r\n", INFO + b"PONG\r\nPING\r\n")
    assert [each.role for each in found.requests] == [Role.CONTROL, Role.REQUEST, Role.CONTROL]
    assert [each.role for each in found.responses] == [Role.CONTROL, Role.RESPONSE, Role.CONTROL]


def test_behind_a_gap_reading_goes_on_at_the_next_line() -> None:
    first, second = line(b"PUB a", b"1" * 50), line(b"PUB b", b"2") + line(b"PUB c", b"3")
    found = dissect(NATS, [first[:3], len(first), second[3:]], INFO)
    assert [each.summary for each in found.requests] == ["publish c"]
    assert found.unread[0] == (Side.CLIENT, 0, 3)


def test_a_long_payload_is_passed_over_where_it_is_missing() -> None:
    """The head is enough: what lies in a gap is part of the message."""
    message = line(b"PUB a", b"x" * 5000)
    found = dissect(NATS, [message[:1000], 3000, message[4000:] + line(b"PUB b", b"2")], INFO)
    assert [each.summary for each in found.requests] == ["publish a", "publish b"]


@pytest.fixture(scope="module")
def conversations() -> list[tuple[bytes, bytes]]:
    path = CAPTURES / "nats_messages.pcap"
    with path.open("rb") as file:
        _, data = next(iter(dpkt.pcap.Reader(file)))
    found = streams_of(path, dpkt.ethernet.Ethernet(data).data.data.dport)
    return [streams for streams in found if streams[0]]


def test_splits_change_nothing(conversations: list[tuple[bytes, bytes]]) -> None:
    for streams in conversations:
        check_splits_change_nothing(NATS, streams)


def test_real_conversations_are_recognised(conversations: list[tuple[bytes, bytes]]) -> None:
    for client, server in conversations:
        assert NATS.probe(client, server) == 1.0
        assert NATS.probe(client, b"") >= 0.5
        assert NATS.probe(server, client) == 0.0


def test_no_damage_breaks_it(conversations: list[tuple[bytes, bytes]]) -> None:
    for streams in conversations:
        check_bears_anything(NATS, streams, 60)


@given(st.binary(max_size=200), st.binary(max_size=200), st.booleans())
@settings(max_examples=100)
def test_no_bytes_break_it(client: bytes, server: bytes, whole: bool) -> None:
    NATS.probe(client, server)
    dissect(NATS, CONNECT + client, INFO + server, context=Context(started=(whole, whole)))


@given(
    st.sampled_from([b"PUB", b"HPUB", b"SUB", b"MSG", b"HMSG", b"-ERR", b"+OK"]),
    st.text("ab .*>0129'\r\n", max_size=30),
)
@settings(max_examples=150)
def test_no_lines_break_it(word: bytes, rest: str) -> None:
    odd = word + b" " + rest.encode() + b"\r\n"
    dissect(NATS, odd + CONNECT, odd + INFO)
