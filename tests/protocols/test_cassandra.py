"""Cassandra: what the DataStax driver sends, in versions 3 to 5, packed or not, is read as what was asked."""

from __future__ import annotations

import random
import struct
import time
import uuid
from io import BytesIO
from typing import Any

import pytest
from cassandra.connection import locally_supported_compressions
from cassandra.protocol import (
    BatchMessage,
    ExecuteMessage,
    OptionsMessage,
    PrepareMessage,
    ProtocolHandler,
    QueryMessage,
    RegisterMessage,
    StartupMessage,
)
from cassandra.query import BatchType
from cassandra.segment import SegmentCodec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.dissect import Dissection, dissect
from tests.support.mangle import mutated
from tests.support.properties import (
    assert_gaps_only_take_away,
    assert_late_joiners_read_the_rest,
    assert_splits_change_nothing,
)

from wiretrace.model.message import Message, Result, Role
from wiretrace.protocols.cassandra import Cassandra
from wiretrace.protocols.cassandra_frames import crc24
from wiretrace.protocols.contract import Context

OPTIONS = b"\4\0\0\0\5\0\0\0\0"
NAME = bytes(range(16))
USER = uuid.UUID("5f1d7e0a-9b3c-4d2e-8f0a-9b8c7d6e5f40")
PACKERS = locally_supported_compressions
VARIANTS = [(3, ""), (4, ""), (4, "lz4"), (4, "snappy"), (5, ""), (5, "lz4")]
READ = [
    "STARTUP",
    "SELECT orders",
    "PREPARE INSERT orders",
    "INSERT orders",
    "BATCH INSERT orders; UPDATE stock",
    "DELETE nobody",
]


def asked(version: int) -> list[Any]:
    """What a client asks, behind OPTIONS and STARTUP."""
    value = [struct.pack(">q", 4711), b"paint-77", USER.bytes]
    return [
        QueryMessage("SELECT * FROM orders WHERE id = 8812", 1),
        PrepareMessage("INSERT INTO orders (id, article, customer) VALUES (?, ?, ?)"),
        ExecuteMessage(NAME, value, 4, result_metadata_id=b"m" if version >= 5 else None),
        BatchMessage(
            BatchType.LOGGED,
            [(False, "INSERT INTO orders (id) VALUES (31)", ()), (False, "UPDATE stock SET n = 30 WHERE id = 77", ())],
            6,
        ),
        QueryMessage("DELETE FROM nobody WHERE mail = 'mary@example.com'", 1),
    ]


def answer(version: int, stream: int, operation: int, body: bytes, form: str = "", flags: int = 0) -> bytes:
    if form and version < 5:
        body, flags = bytes(PACKERS[form][0](body)), flags | 1
    return struct.pack(">BBhBI", version | 0x80, flags, stream, operation, len(body)) + body


def string(text: bytes) -> bytes:
    return struct.pack(">H", len(text)) + text


def rows(*values: tuple[bytes, ...]) -> bytes:
    """A result with an id and an article."""
    head = struct.pack(">III", 2, 1, 2) + string(b"shop") + string(b"orders")
    head += string(b"id") + struct.pack(">H", 2) + string(b"article") + struct.pack(">H", 13)
    return (
        head
        + struct.pack(">I", len(values))
        + b"".join(struct.pack(">i", len(each)) + each for row in values for each in row)
    )


ROWS = rows((struct.pack(">q", 8812), b"paint-77"), (struct.pack(">q", 8813), b"paint-78"))
PREPARED = struct.pack(">I", 4) + string(NAME) + bytes(20)
REFUSED = struct.pack(">I", 0x2200) + string(b"unconfigured table of mary@example.com")


def conversation(version: int, form: str = "") -> tuple[bytes, bytes]:
    """Both streams. Answers come in another order than the requests."""
    options = {"COMPRESSION": form} if form else {}
    client = ProtocolHandler.encode_message(OptionsMessage(), 0, version, None, False)
    client += ProtocolHandler.encode_message(StartupMessage("3.4.5", options), 1, version, None, False)
    packer = PACKERS[form][0] if form and version < 5 else None
    later = [
        ProtocolHandler.encode_message(each, 10 + at, version, packer, True) for at, each in enumerate(asked(version))
    ]
    server = answer(version, 0, 6, struct.pack(">H", 0)) + answer(version, 1, 2, b"")
    answers = [
        answer(version, 11, 8, PREPARED, form),
        answer(version, 10, 8, ROWS, form),
        answer(version, -1, 12, string(b"SCHEMA_CHANGE"), form),
        answer(version, 14, 0, REFUSED, form),
        answer(version, 12, 8, struct.pack(">I", 1), form),
        answer(version, 13, 8, struct.pack(">I", 1), form),
    ]
    if version < 5:
        return client + b"".join(later), server + b"".join(answers)
    return client + framed(later, form), server + framed(answers, form)


def framed(messages: list[bytes], form: str) -> bytes:
    """Frames of version 5 as the driver makes them: two messages in each."""
    codec = SegmentCodec(*PACKERS[form]) if form else SegmentCodec()
    buffer = BytesIO()
    for at in range(0, len(messages), 2):
        codec.encode(buffer, b"".join(messages[at : at + 2]))
    return buffer.getvalue()


@pytest.mark.parametrize(("version", "form"), VARIANTS)
def test_what_the_driver_sends_is_read_in_every_version_whatever_the_splits(version: int, form: str) -> None:
    read = assert_splits_change_nothing(Cassandra, *conversation(version, form))
    assert [each.operation for each in read.requests] == ["OPTIONS", *READ]
    by_key = {each.key: each for each in read.responses}
    assert [by_key[each.key].status for each in read.requests] == [
        "SUPPORTED",
        "READY",
        "OK",
        "OK",
        "OK",
        "OK",
        "Invalid",
    ]
    assert [each.operation for each in read.responses if each.role is Role.PUSH] == ["EVENT"]
    execute = read.requests[4]
    assert execute.values == b"4711 paint-77 " + str(USER).encode()
    assert by_key[10].values == b"8812 paint-77"
    assert by_key[10].attributes == {"db.response.returned_rows": 2}


@pytest.mark.parametrize(("version", "form"), VARIANTS)
def test_what_is_missing_only_takes_away(version: int, form: str) -> None:
    """What was prepared in the missing bytes is known by its name alone."""
    assert assert_gaps_only_take_away(Cassandra, *conversation(version, form), doubtful=("EXECUTE",)) > 200


@pytest.mark.parametrize(("version", "form"), VARIANTS)
def test_who_comes_late_reads_the_rest(version: int, form: str) -> None:
    """Frames, and what is packed, are recognised also without STARTUP."""
    read = assert_late_joiners_read_the_rest(Cassandra, *conversation(version, form), doubtful=("EXECUTE",))
    assert read > 5


def only(messages: list[Message]) -> Message:
    [message] = messages
    return message


def request(message: Any, *, keep_values: bool = False, version: int = 4) -> Message:
    sent = ProtocolHandler.encode_message(message, 3, version, None, False)
    context = Context(started=(True, False), keep_values=keep_values)
    return only(dissect(Cassandra, sent, b"", context=context).requests)


def response(operation: int, body: bytes, *, flags: int = 0, keep_values: bool = False) -> Message:
    context = Context(started=(False, True), keep_values=keep_values)
    return only(dissect(Cassandra, b"", answer(4, 3, operation, body, flags=flags), context=context).responses)


def test_statements_are_shown_without_literals_with_their_consistency() -> None:
    found = request(QueryMessage("SELECT * FROM shop.orders WHERE id = 4711", 6))
    assert (found.summary, found.values) == ("SELECT * FROM shop.orders WHERE id = ?", b"4711")
    assert found.attributes == {
        "db.system.name": "cassandra",
        "db.query.summary": "SELECT shop.orders",
        "db.query.text": "SELECT * FROM shop.orders WHERE id = ?",
        "cassandra.consistency.level": "local_quorum",
    }


def test_a_batch_names_its_statements_once_and_their_number() -> None:
    insert = (False, "INSERT INTO orders (id) VALUES (?)", ())
    found = request(BatchMessage(BatchType.LOGGED, [insert, insert, (False, "DELETE FROM stock WHERE id = 5", ())], 1))
    assert found.operation == "BATCH INSERT orders; DELETE stock"
    assert found.attributes is not None
    assert found.attributes["db.operation.batch.size"] == 3


def test_errors_have_names_and_their_words_only_on_demand() -> None:
    refused = response(0, REFUSED)
    assert (refused.status, refused.result) == ("Invalid", Result.SERVER_ERROR)
    assert refused.attributes == {"db.system.name": "cassandra", "db.response.status_code": "0x2200"}
    shown = response(0, REFUSED, keep_values=True).attributes
    assert shown is not None
    assert shown["wiretrace.error.message"] == "unconfigured table of mary@example.com"
    assert response(0, struct.pack(">I", 0x1100) + string(b"late")).status == "Write_timeout"


def test_what_stands_before_an_answer_is_passed_over() -> None:
    """A tracing id, warnings and a payload."""
    before = (
        NAME
        + struct.pack(">H", 1)
        + string(b"careful")
        + struct.pack(">H", 1)
        + string(b"k")
        + struct.pack(">i", 2)
        + b"vv"
    )
    assert response(8, before + ROWS, flags=2 | 8 | 4).values == b"8812 paint-77"


def test_rows_of_every_type_and_without_types() -> None:
    kinds = b"".join(
        string(b"shop") + string(b"t") + string(b"c") + kind
        for kind in (
            b"\0\x20\0\x0d",
            b"\0\x21\0\x0d\0\x09",
            b"\0\x30" + string(b"shop") + string(b"address") + struct.pack(">H", 1) + string(b"street") + b"\0\x0d",
            b"\0\x31\0\x02\0\x09\0\x09",
            b"\0\0" + string(b"custom"),
            b"\0\x0c",
            b"\0\x09",
        )
    )
    values = [b"list", b"map", b"udt", b"tuple", b"custom", USER.bytes, struct.pack(">i", 4711)]
    body = struct.pack(">III", 2, 0, 7) + kinds + struct.pack(">I", 1)
    body += b"".join(struct.pack(">i", len(each)) + each for each in values)
    assert response(8, body).values == str(USER).encode() + b" 4711"
    untyped = struct.pack(">IIII", 2, 4, 3, 1) + b"".join(
        struct.pack(">i", len(each)) + each for each in (b"paint-77", struct.pack(">i", 4711), USER.bytes)
    )
    assert response(8, untyped).values == b"paint-77 4711 " + str(USER).encode()


def test_a_statement_that_another_connection_prepared_is_known() -> None:
    """Its name is the same on all connections; without any it is shown as what it is."""
    shared: dict[str, object] = {}
    client, server = conversation(4)
    execute = ProtocolHandler.encode_message(asked(4)[2], 5, 4, None, False)
    late = dissect(Cassandra, execute, b"", context=Context(started=(False, False), shared=shared))
    assert only(late.requests).summary == f"<prepared before the capture> {NAME.hex()}"
    assert only(late.requests).notes == ("prepared before the capture",)
    dissect(Cassandra, client, server, context=Context(shared=shared))
    known = dissect(Cassandra, execute, b"", context=Context(started=(False, False), shared=shared))
    assert only(known.requests).operation == "INSERT orders"


def test_the_keyspace_is_known_after_use() -> None:
    use = ProtocolHandler.encode_message(QueryMessage('USE "shop"', 1), 1, 4, None, False)
    select = ProtocolHandler.encode_message(QueryMessage("SELECT 1", 1), 2, 4, None, False)
    read = dissect(Cassandra, use + select, b"")
    assert read.requests[1].attributes is not None
    assert read.requests[1].attributes["db.namespace"] == "shop"


def test_what_authenticates_is_not_read() -> None:
    body = struct.pack(">i", 13) + b"\0mary\0hunter2"
    sent = struct.pack(">BBhBI", 4, 0, 1, 15, len(body)) + body
    found = only(dissect(Cassandra, sent, b"", context=Context(started=(True, False), keep_values=True)).requests)
    assert (found.operation, found.values) == ("AUTH_RESPONSE", b"")


def test_a_long_answer_is_passed_over_once_its_beginning_is_read() -> None:
    long = answer(4, 3, 8, rows(*[(struct.pack(">q", 31), b"x" * 1000)] * 300))
    read: Dissection = dissect(
        Cassandra, b"", long + answer(4, 4, 2, b""), splits=random.Random(2), context=Context(started=(False, True))
    )
    assert (read.responses[0].status, read.responses[0].end) == ("OK", len(long))


def test_a_message_in_several_frames_is_one() -> None:
    """A long statement does not fit into a frame."""
    client, server = conversation(5, "lz4")
    statement = QueryMessage("INSERT INTO texts (t) VALUES ('" + random.Random(3).randbytes(120_000).hex() + "')", 1)
    long = ProtocolHandler.encode_message(statement, 40, 5, None, True)
    buffer = BytesIO()
    SegmentCodec(*PACKERS["lz4"]).encode(buffer, long)
    read = dissect(Cassandra, client + buffer.getvalue(), server)
    assert read.requests[-1].operation == "INSERT texts"
    assert (read.requests[-1].start, read.requests[-1].end) == (len(client), len(client) + len(buffer.getvalue()))


def test_each_of_many_violations_costs_what_lies_before_the_next_message() -> None:
    """Not all that lies behind it."""
    client = OPTIONS * 4 + (OPTIONS * 3 + b"\xff" * 3) * 200 + bytes(100_000)
    begun = time.process_time()
    read = dissect(Cassandra, client, b"")
    assert time.process_time() - begun < 8
    assert len(read.violations) >= 200
    assert len(read.requests) >= 600


def test_the_checksum_is_that_of_the_driver() -> None:
    frame = framed([b"hello"], "")
    assert crc24(frame[:3]) == int.from_bytes(frame[3:6], "little")


def test_it_is_recognised_by_its_bytes_in_the_right_roles() -> None:
    register = ProtocolHandler.encode_message(RegisterMessage(["SCHEMA_CHANGE"]), 1, 4, None, False)
    assert Cassandra.probe(register, b"") >= 0.8
    for version, form in VARIANTS:
        client, server = conversation(version, form)
        assert Cassandra.probe(client, server) >= 0.8
        assert Cassandra.probe(server, client) == 0.0
    assert Cassandra.probe(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"") == 0.0
    assert Cassandra.probe(bytes(100), bytes(100)) == 0.0


@given(st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_no_bytes_raise_anything_but_violation(seed: int) -> None:
    chooser = random.Random(seed)
    client, server = conversation(*chooser.choice(VARIANTS))
    client, server = mutated(client, chooser), mutated(server, chooser)
    whole = chooser.random() < 0.5
    Cassandra.probe(client, server)
    dissect(Cassandra, client, server, context=Context(started=(whole, whole)))
