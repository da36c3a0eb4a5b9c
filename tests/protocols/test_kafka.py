"""Kafka: records in all formats, flexible and plain encodings, errors, and whatever bytes. Real client: test_recorded.py."""

from __future__ import annotations

import struct

import dpkt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocols.expectations import CAPTURES
from tests.support.dissect import Dissection, dissect
from tests.support.kafka_broker import compact, plain_bytes, plain_text, varint
from tests.support.replay import check_bears_anything, check_splits_change_nothing, streams_of

from wiretrace.model.identifier import IdentifierKind
from wiretrace.model.message import Result, Role
from wiretrace.protocols.contract import Context
from wiretrace.protocols.kafka import Kafka
from wiretrace.protocols.kafka_apis import APIS, NUMBERS
from wiretrace.protocols.kafka_messages import CUT_NOTE
from wiretrace.protocols.kafka_wire import BATCH, Records

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def zigzag(value: int) -> bytes:
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)


def record(value: bytes, key: bytes = b"", headers: dict[bytes, bytes] | None = None) -> bytes:
    body = b"\0" + zigzag(0) + zigzag(0) + (zigzag(len(key)) + key if key else zigzag(-1)) + zigzag(len(value)) + value
    body += zigzag(len(headers or {}))
    for name, content in (headers or {}).items():
        body += zigzag(len(name)) + name + zigzag(len(content)) + content
    return zigzag(len(body)) + body


def batch(*records: bytes, attributes: int = 0, checksum: int = 7, offset: int = 0) -> bytes:
    body = b"".join(records)
    head = BATCH.pack(
        offset, BATCH.size - 12 + len(body), 0, 2, checksum, attributes, len(records) - 1, 1000, 1000, -1, -1, -1,
        len(records),
    )  # fmt: skip
    return head + body


def message_set(value: bytes, magic: int) -> bytes:
    body = struct.pack(">IBB", 99, magic, 0) + (struct.pack(">q", 1000) if magic else b"")
    body += plain_bytes(b"key-77") + plain_bytes(value)
    return struct.pack(">qi", 0, len(body)) + body


def framed(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


def request(api: str, version: int, body: bytes, correlation: int = 5) -> bytes:
    head = struct.pack(">hhi", NUMBERS[api], version, correlation) + plain_text(b"shop")
    return framed(head + (b"\0" if version >= APIS[NUMBERS[api]][1] else b"") + body)


def response(body: bytes, correlation: int = 5, *, flexible: bool = False) -> bytes:
    return framed(struct.pack(">i", correlation) + (b"\0" if flexible else b"") + body)


def produce(records: bytes, version: int = 3, acks: int = 1) -> bytes:
    head = b"\xff\xff" if version >= 3 else b""
    body = head + struct.pack(">hi", acks, 1000) + struct.pack(">i", 1) + plain_text(b"orders")
    return request("Produce", version, body + struct.pack(">ii", 1, 3) + plain_bytes(records))


def fetched(records: bytes, error: int = 0) -> bytes:
    body = struct.pack(">ihi", 0, 0, 0) + struct.pack(">i", 1) + plain_text(b"orders") + struct.pack(">i", 1)
    body += struct.pack(">ihqqq", 3, error, 9, 9, 0) + struct.pack(">i", -1) + struct.pack(">i", -1)
    return response(body + plain_bytes(records))


def fetch() -> bytes:
    head = struct.pack(">iiiib", -1, 500, 1, 1 << 20, 0) + struct.pack(">ii", 0, 0)
    body = head + struct.pack(">i", 1) + plain_text(b"orders") + struct.pack(">i", 1)
    return request("Fetch", 11, body + struct.pack(">iiqqi", 3, -1, 0, -1, 1 << 20) + b"\0\0\0\0" + plain_text(b""))


def read(client: bytes, server: bytes = b"") -> Dissection:
    found = dissect(Kafka, client, server)
    assert found.violations == []
    assert found.unread == []
    return found


def test_records_are_published_and_their_breadcrumbs_read() -> None:
    sent = batch(record(b"order-42", b"customer-77", {b"traceparent": TRACE}), record(b"order-43"))
    [message] = read(produce(sent)).requests
    assert (message.operation, message.summary) == ("publish orders", "publish orders (2 records)")
    assert message.values == b"orders customer-77 order-42 order-43"
    assert message.identifiers == ((IdentifierKind.TRACEPARENT, b"0af7651916cd43dd8448eb211c80319c"),)
    assert message.attributes is not None
    assert message.attributes["messaging.batch.message_count"] == 2
    assert message.attributes["messaging.destination.partition.id"] == "3"


def test_a_batch_is_known_again_whatever_offset_the_broker_gave_it() -> None:
    sent = read(produce(batch(record(b"order-42")))).requests[0].messaging
    found = read(fetch(), fetched(batch(record(b"order-42"), offset=4000)))
    received = found.responses[0].messaging
    other = read(fetch(), fetched(batch(record(b"order-42"), checksum=8))).responses[0].messaging
    assert found.requests[0].operation == "receive orders"
    assert sent is not None and received is not None and other is not None
    assert sent.sent == received.received != other.received


@pytest.mark.parametrize("magic", [0, 1])
def test_the_old_formats_are_read(magic: int) -> None:
    [message] = read(produce(message_set(b"order-42", magic) * 2, version=2)).requests
    assert message.values.startswith(b"orders key-77 order-42")
    assert message.messaging is not None
    assert len(message.messaging.sent) == 2


def test_compressed_records_are_counted() -> None:
    head = batch(*[b"x"] * 12, attributes=1)
    [message] = read(produce(head)).requests
    assert message.attributes is not None
    assert message.attributes["wiretrace.kafka.compressed_records"] == 12
    assert message.values == b"orders"


def test_of_a_long_message_the_beginning_is_read() -> None:
    """What lies behind is passed over, and a note says so."""
    [message] = read(produce(batch(record(b"order-42")) + batch(record(b"x" * 400_000)) + batch(record(b"y")))).requests
    assert message.notes == (CUT_NOTE,)
    assert message.values.startswith(b"orders order-42")


def test_without_acknowledgement_nothing_is_answered() -> None:
    [message] = read(produce(batch(record(b"order-42")), acks=0)).requests
    assert (message.role, message.key) == (Role.ONE_WAY, -1)


@pytest.mark.parametrize(
    ("api", "version", "body", "status", "result"),
    [
        ("Heartbeat", 0, b"\0\x10", "NOT_COORDINATOR", Result.SERVER_ERROR),
        ("Heartbeat", 1, b"\0\0\0\0\0\x1b", "REBALANCE_IN_PROGRESS", Result.OK),
        ("JoinGroup", 4, b"\0\0\0\0\0\x4f", "MEMBER_ID_REQUIRED", Result.OK),
        ("ApiVersions", 3, b"\0\x23", "UNSUPPORTED_VERSION", Result.SERVER_ERROR),
        ("SyncGroup", 5, b"\0\0\0\0\xff\xff", "UNKNOWN_SERVER_ERROR", Result.SERVER_ERROR),
        ("DeleteTopics", 1, b"\0\0\0\0", "ok", Result.OK),
    ],
)
def test_error_codes_are_told_by_name(api: str, version: int, body: bytes, status: str, result: Result) -> None:
    flexible = version >= APIS[NUMBERS[api]][1] and api != "ApiVersions"
    group = compact(b"billing") if version >= APIS[NUMBERS[api]][1] else plain_text(b"billing")
    found = read(request(api, version, group), response(body, flexible=flexible))
    assert (found.responses[0].status, found.responses[0].result) == (status, result)


def test_errors_of_partitions_are_told() -> None:
    assert read(fetch(), fetched(b"", error=6)).responses[0].status == "NOT_LEADER_OR_FOLLOWER"


def test_topics_that_have_only_ids_are_known_from_metadata() -> None:
    """On any connection: clients ask one broker for the names and fetch from another."""
    shared: dict[str, object] = {}
    topic = bytes(range(16))
    metadata = struct.pack(">i", 0) + varint(1) + b"\0" + struct.pack(">i", 1) + varint(2)
    metadata += b"\0\0" + compact(b"orders") + topic + b"\0" + varint(1) + b"\0\0\0\0" + b"\0" + b"\0"
    dissect(
        Kafka, request("Metadata", 12, b"\0\0\0\0"), response(metadata, flexible=True), context=Context(shared=shared)
    )
    body = struct.pack(">ii", 500, 1) + struct.pack(">ib", 1 << 20, 0) + struct.pack(">ii", 0, 0)
    body += varint(2) + topic + varint(2) + struct.pack(">iiqiqi", 0, -1, 0, -1, -1, 1 << 20) + b"\0\0" + varint(1)
    found = dissect(Kafka, request("Fetch", 15, body), b"", context=Context(shared=shared))
    assert found.requests[0].operation == "receive orders"


def test_a_response_to_an_unknown_request_is_passed_over() -> None:
    """Where the client's bytes are missing nothing is made up."""
    found = dissect(Kafka, b"", fetched(batch(record(b"order-42"))), context=Context(started=(False, True)))
    assert [(each.status, each.messaging) for each in found.responses] == [("", None)]


def test_brokers_cut_the_last_batch_off() -> None:
    whole = batch(record(b"order-42"))
    records = Records()
    records.read(whole + whole[:-3], 0, 2 * len(whole) - 3, 2 * len(whole) - 3)
    assert (records.count, records.cut_off) == (1, False)


@pytest.fixture(scope="module")
def conversations() -> list[tuple[bytes, bytes]]:
    path = CAPTURES / "kafka_records.pcap"
    with path.open("rb") as file:
        _, data = next(iter(dpkt.pcap.Reader(file)))
    return streams_of(path, dpkt.ethernet.Ethernet(data).data.data.dport)


def test_splits_change_nothing(conversations: list[tuple[bytes, bytes]]) -> None:
    for streams in conversations:
        check_splits_change_nothing(Kafka, streams)


def test_real_conversations_are_recognised(conversations: list[tuple[bytes, bytes]]) -> None:
    for client, server in conversations:
        assert Kafka.probe(client, server) == 1.0
        assert Kafka.probe(client, b"") >= 0.5
        assert Kafka.probe(server, client) < 0.5


def test_no_damage_breaks_it(conversations: list[tuple[bytes, bytes]]) -> None:
    for streams in conversations:
        check_bears_anything(Kafka, streams, 60)


@given(st.binary(max_size=300), st.sampled_from(sorted(NUMBERS)), st.integers(0, 20), st.booleans())
@settings(max_examples=150)
def test_no_bodies_break_it(body: bytes, api: str, version: int, whole: bool) -> None:
    """Any bytes as the body of any request and of its response."""
    Kafka.probe(body, body)
    context = Context(started=(whole, whole))
    dissect(Kafka, request(api, version, body) + body, response(body) + body, context=context)


@given(st.binary(max_size=200))
@settings(max_examples=150)
def test_no_records_break_it(data: bytes) -> None:
    records = Records()
    records.read(data, 0, len(data) + 50, len(data))
    records.read(batch(data), 0, len(data) + 200, len(batch(data)))
    assert records.count >= 0
