"""AMQP 0-9-1: what methods mean, contents in frames, channels, and whatever bytes. Real traffic: test_recorded.py."""

from __future__ import annotations

import random
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
from wiretrace.model.side import Side
from wiretrace.protocols.amqp import AMQP, GREETING, SPLIT_NOTE
from wiretrace.protocols.amqp_wire import NUMBERS
from wiretrace.protocols.contract import Context

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def method(name: str, arguments: bytes = b"", channel: int = 1) -> bytes:
    return frame(1, channel, struct.pack(">HH", *NUMBERS[name]) + arguments)


def short(text: bytes) -> bytes:
    return bytes((len(text),)) + text


def content(body: bytes, channel: int = 1, flags: int = 0, properties: bytes = b"", pieces: int = 1) -> bytes:
    header = frame(2, channel, struct.pack(">HHQH", 60, 0, len(body), flags) + properties)
    size = -(-len(body) // pieces) or 1
    return header + b"".join(frame(3, channel, body[at : at + size]) for at in range(0, len(body), size))


def publish(routing_key: bytes, body: bytes, channel: int = 1, **more: int) -> bytes:
    head = method("basic.publish", b"\0\0" + short(b"") + short(routing_key) + b"\0", channel)
    return head + content(body, channel, **more)


def deliver(tag: int, routing_key: bytes, body: bytes, channel: int = 1) -> bytes:
    arguments = short(b"consumer") + struct.pack(">QB", tag, 0) + short(b"") + short(routing_key)
    return method("basic.deliver", arguments, channel) + content(body, channel)


def consume(queue: bytes, tag: bytes, flags: int = 0) -> bytes:
    return method("basic.consume", b"\0\0" + short(queue) + short(tag) + bytes((flags,)) + b"\0\0\0\0")


LOGIN = b"\0\0\0\0" + short(b"PLAIN") + b"\0\0\0\4\0a\0b" + short(b"")


def read(client: bytes, server: bytes = b"", **context: tuple[bool, bool]) -> Dissection:
    found = dissect(AMQP, client, server, context=Context(**context))  # type: ignore[arg-type]
    assert found.violations == []
    return found


def test_methods_and_their_answers_have_one_key_per_channel_and_kind() -> None:
    client = method("channel.open", short(b"")) + method("queue.purge", b"\0\0" + short(b"orders") + b"\0")
    server = method("channel.open-ok", b"\0\0\0\0") + method("queue.purge-ok", b"\0\0\0\0")
    found = read(GREETING + client, server)
    assert found.requests[0].role is Role.CONTROL
    assert [each.key for each in found.requests[1:]] == [each.key for each in found.responses]
    assert [each.operation for each in found.requests[1:]] == ["channel.open", "queue.purge orders"]
    assert read(method("channel.open", short(b""), 2)).requests[0].key != found.requests[1].key


def test_a_method_that_wants_no_answer_is_one_way() -> None:
    [message] = read(method("queue.purge", b"\0\0" + short(b"orders") + b"\1")).requests
    assert (message.role, message.key) == (Role.ONE_WAY, -1)


def test_a_message_is_published_in_frames() -> None:
    """Its values are the beginning of the body, which is never shown; destination and body tell it from others."""
    [message] = read(publish(b"orders", b"order-42" * 200, pieces=3)).requests
    assert (message.role, message.operation, message.summary) == (Role.ONE_WAY, "publish orders", "publish orders")
    assert message.values == (b"order-42" * 200)[:512]
    assert message.attributes is not None
    assert message.attributes["messaging.message.body.size"] == 1600
    assert message.messaging is not None
    assert message.messaging.sent[0].destination == b"\0orders"


def test_a_published_and_a_delivered_message_are_known_as_one() -> None:
    sent = read(publish(b"orders", b"order-42")).requests[0].messaging
    received = read(b"", deliver(1, b"orders", b"order-42")).responses[0].messaging
    other = read(b"", deliver(1, b"orders", b"order-43")).responses[0].messaging
    assert sent is not None and received is not None and other is not None
    assert sent.sent == received.received != other.received


def test_identifiers_of_tracers_and_of_messages_are_read() -> None:
    table = short(b"n") + b"I\0\0\0\1" + short(b"traceparent") + b"S" + struct.pack(">I", len(TRACE)) + TRACE
    properties = struct.pack(">I", len(table)) + table + short(b"abcd-1") + short(b"m-1")
    [message] = read(publish(b"orders", b"", flags=0x2000 | 0x0400 | 0x0080, properties=properties)).requests  # type: ignore[arg-type]
    assert message.identifiers == (
        (IdentifierKind.TRACEPARENT, b"0af7651916cd43dd8448eb211c80319c"),
        (IdentifierKind.REQUEST_ID, b"abcd-1"),
    )
    assert message.messaging is not None
    assert message.messaging.sent[0].named


def test_confirmed_messages_are_paired_by_their_number() -> None:
    client = method("confirm.select", b"\0") + publish(b"a", b"1") + publish(b"a", b"2") + publish(b"a", b"3")
    server = method("confirm.select-ok") + method("basic.ack", struct.pack(">QB", 2, 1))
    server += method("basic.nack", struct.pack(">QB", 3, 0))
    found = read(client, server)
    assert [each.role for each in found.requests] == [Role.REQUEST] * 4
    assert found.responses[1].cumulative
    assert found.responses[1].key == found.requests[2].key
    assert (found.responses[2].key, found.responses[2].result) == (found.requests[3].key, Result.SERVER_ERROR)


def test_behind_lost_bytes_confirmations_are_not_counted() -> None:
    """How many messages were published is not known any more, so none is paired with a confirmation."""
    begun = method("confirm.select", b"\0") + publish(b"a", b"1")
    found = dissect(AMQP, [begun, 100, publish(b"a", b"2") + publish(b"a", b"3")], b"")
    assert [each.role for each in found.requests] == [Role.REQUEST, Role.REQUEST, Role.ONE_WAY, Role.ONE_WAY]


@pytest.mark.parametrize(("flags", "role"), [(0, Role.REQUEST), (2, Role.ONE_WAY)])
def test_a_delivery_asks_for_an_acknowledgement_if_its_consumer_gives_any(flags: int, role: Role) -> None:
    client = consume(b"orders", b"", flags) + method("basic.ack", struct.pack(">QB", 7, 0))
    confirmed = method("basic.consume-ok", short(b"consumer"))
    found = read(client, confirmed + deliver(7, b"orders", b"order-42"))
    assert found.responses[1].role is role
    assert found.responses[1].operation == "process orders"
    if role is Role.REQUEST:
        assert found.requests[1].role is Role.RESPONSE
        assert found.requests[1].key == found.responses[1].key


def got(tag: int, body: bytes) -> bytes:
    arguments = struct.pack(">QB", tag, 0) + short(b"") + short(b"orders") + b"\0\0\0\0"
    return method("basic.get-ok", arguments) + content(body, 1)


def acknowledge(tag: int) -> bytes:
    return method("basic.ack", struct.pack(">QB", tag, 0))


@pytest.mark.parametrize("seed", range(5))
def test_a_single_message_is_acknowledged_without_an_answer_also_beside_a_consumer(seed: int) -> None:
    """Deliveries and single messages are numbered in turn: which of both a tag was, the server has told."""
    client = GREETING + method("channel.open", short(b"")) + consume(b"orders", b"")
    client += method("basic.get", b"\0\0" + short(b"orders") + b"\0") + acknowledge(2) + acknowledge(1)
    server = method("channel.open-ok", b"\0\0\0\0") + method("basic.consume-ok", short(b"consumer"))
    server += deliver(1, b"orders", b"order-42") + got(2, b"order-43")
    found = dissect(AMQP, client, server, splits=random.Random(seed))
    assert (found.violations, found.unread) == ([], [])
    single, delivered = found.requests[-2:]
    assert (single.role, single.operation) == (Role.ONE_WAY, "basic.ack")
    assert (delivered.role, delivered.key) == (Role.RESPONSE, found.responses[2].key)
    assert dissect(AMQP, client, b"", context=Context(started=(True, False))).unread == []


def test_a_channel_that_was_closed_says_nothing_of_the_next_one_of_its_number() -> None:
    """The client's side is read ahead: what it did on the next channel is not forgotten by the end of the one before."""
    reason = struct.pack(">H", 404) + short(b"") + struct.pack(">HH", *NUMBERS["queue.bind"])
    first = method("channel.open", short(b"")) + method("queue.bind", b"\0\0" + short(b"q") * 3 + b"\0" + bytes(4))
    then = method("channel.close-ok") + method("channel.open", short(b"")) + method("confirm.select", b"\0")
    protocol = AMQP(Context(started=(True, True)))
    for side, data in (
        (Side.CLIENT, GREETING + method("connection.start-ok", LOGIN, 0) + first + then),
        (Side.SERVER, method("channel.open-ok", bytes(4)) + method("channel.close", reason)),
        (Side.CLIENT, publish(b"a", b"1")),
    ):
        assert protocol.parse(side, data, 0, 0) == len(data)
    assert (protocol.requests[-1].role, protocol.requests[-1].operation) == (Role.REQUEST, "publish a")


def test_an_exception_answers_the_method_that_it_names() -> None:
    reason = (
        struct.pack(">H", 404) + short(b"NOT_FOUND - no queue of mary") + struct.pack(">HH", *NUMBERS["queue.bind"])
    )
    bind = method("queue.bind", b"\0\0" + short(b"q") + short(b"x") + short(b"") + b"\0" + b"\0\0\0\0")
    found = read(bind, method("channel.close", reason), started=(False, True))
    assert (found.responses[0].status, found.responses[0].result) == ("404 NOT_FOUND", Result.CLIENT_ERROR)
    assert found.responses[0].key == found.requests[0].key


def test_an_exception_because_of_a_message_stands_alone() -> None:
    reason = struct.pack(">H", 404) + short(b"") + struct.pack(">HH", *NUMBERS["basic.publish"])
    [message] = read(publish(b"x", b"1"), method("channel.close", reason), started=(False, True)).responses
    assert (message.role, message.summary) == (Role.PUSH, "channel.close basic.publish")


def test_a_refused_login_is_an_error() -> None:
    login = method("connection.start-ok", LOGIN, 0)
    reason = struct.pack(">H", 403) + short(b"ACCESS_REFUSED") + b"\0\0\0\0"
    found = read(GREETING + login, method("connection.close", reason, 0))
    assert found.responses[0].key == found.requests[1].key
    assert found.responses[0].status == "403 ACCESS_REFUSED"
    assert found.requests[1].values == b""


def test_frames_of_another_channel_end_a_content() -> None:
    """The message stands up to there, with a note; the rest of its body is no message of its own."""
    head = method("basic.publish", b"\0\0" + short(b"") + short(b"a") + b"\0")
    head += frame(2, 1, struct.pack(">HHQH", 60, 0, 10, 0))
    client = head + publish(b"b", b"2", channel=2) + frame(3, 1, b"0123456789")
    found = read(client)
    assert [each.summary for each in found.requests] == ["publish a", "publish b", ""]
    assert found.requests[0].notes == (SPLIT_NOTE,)


def test_generated_names_make_no_operations_of_their_own() -> None:
    [message] = read(publish(b"amq.gen-Iq95Zja_wgS1oeYQv1bfSg", b"1")).requests
    assert message.operation == "publish amq.gen-{id}"


def server_port(name: str) -> int:
    """The port of the broker: the first packet of the capture goes there."""
    with (CAPTURES / f"{name}.pcap").open("rb") as file:
        _, data = next(iter(dpkt.pcap.Reader(file)))
    port: int = dpkt.ethernet.Ethernet(data).data.data.dport
    return port


@pytest.fixture(scope="module")
def conversations() -> list[tuple[bytes, bytes]]:
    return [
        each
        for name in ("amqp_messages", "amqp_rpc")
        for each in streams_of(CAPTURES / f"{name}.pcap", server_port(name))
    ]


def test_splits_change_nothing(conversations: list[tuple[bytes, bytes]]) -> None:
    for streams in conversations:
        check_splits_change_nothing(AMQP, streams)


def test_real_conversations_are_recognised_and_told_from_their_reverse(
    conversations: list[tuple[bytes, bytes]],
) -> None:
    """Also without their greeting: then by whole frames, and by methods that only one side sends."""
    for client, server in conversations:
        assert AMQP.probe(client, server) == 1.0
        assert AMQP.probe(client[8:], server) > AMQP.probe(server, client[8:])
        assert AMQP.probe(client[8:], b"") >= 0.5


def test_no_damage_breaks_it(conversations: list[tuple[bytes, bytes]]) -> None:
    for streams in conversations:
        check_bears_anything(AMQP, streams, 60)


@given(st.binary(max_size=300), st.binary(max_size=300), st.booleans())
@settings(max_examples=100)
def test_no_bytes_break_it(client: bytes, server: bytes, whole: bool) -> None:
    AMQP.probe(client, server)
    dissect(AMQP, client, server, context=Context(started=(whole, whole)))


def test_after_a_gap_reading_goes_on_at_the_next_frame() -> None:
    first, second = publish(b"a", b"1" * 50), publish(b"b", b"2") + publish(b"c", b"3")
    found = dissect(AMQP, [first[:10], len(first) - 10, second[5:]], b"")
    assert [each.summary for each in found.requests if each.role is not Role.CONTROL] == ["publish c"]
    assert found.unread[0] == (Side.CLIENT, 0, 10)
