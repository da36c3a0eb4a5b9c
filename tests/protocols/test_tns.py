"""Oracle's protocol in outline: connections, statements in clear, errors; splits, gaps, late joiners, and whatever bytes."""

from __future__ import annotations

import random
import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.dissect import dissect
from tests.support.mangle import mutated
from tests.support.properties import (
    assert_gaps_only_take_away,
    assert_late_joiners_read_the_rest,
    assert_splits_change_nothing,
)

from wiretrace.model.message import Message, Result, Role
from wiretrace.protocols.contract import Context
from wiretrace.protocols.tns import TNS

UNIT = 512
DESCRIPTOR = (
    b"(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME=shop.example)(CID=(PROGRAM=billing)(HOST=web1)(USER=mary)))"
    b"(ADDRESS=(PROTOCOL=TCP)(HOST=db1)(PORT=1521)))"
)


def packet(kind: int, content: bytes, wide: bool = False) -> bytes:
    size = 8 + len(content)
    return (struct.pack(">I", size) if wide else struct.pack(">HH", size, 0)) + bytes((kind, 0, 0, 0)) + content


def connect(descriptor: bytes = DESCRIPTOR, version: int = 313) -> bytes:
    head = struct.pack(">HHHHHHHH", version, 300, 0x0C41, UNIT, 0x7FFF, 0x7F08, 0, 1)
    head += struct.pack(">HH", len(descriptor), 58) + bytes(22)
    return packet(1, head + descriptor) if len(descriptor) < 231 else packet(1, head) + packet(6, b"\0\0" + descriptor)


def accept(version: int = 313) -> bytes:
    return packet(2, struct.pack(">HHHH", version, 0, UNIT, 0x7FFF) + bytes(16))


def data(content: bytes, wide: bool = False) -> bytes:
    """A message in packets of the agreed unit."""
    room = UNIT - 10
    parts = [content[at : at + room] for at in range(0, len(content), room)] or [b""]
    return b"".join(packet(6, b"\0\0" + part, wide) for part in parts)


def execute(statement: bytes) -> bytes:
    if len(statement) < 253:
        return b"\x03\x5e\x07" + bytes(30) + bytes((len(statement),)) + statement + b"\x01\x01"
    parts = [statement[at : at + 64] for at in range(0, len(statement), 64)]
    return b"\x03\x5e\x07" + bytes(30) + b"\xfe" + b"".join(bytes((len(part),)) + part for part in parts) + b"\0\x01"


LONG = b"SELECT " + b"article_number, " * 80 + b"price FROM articles WHERE id = 4711"
CLIENT = (
    connect()
    + data(b"\xde\xad\xbe\xef" + bytes(40))
    + data(b"\x01\x06\x05\0pytns\0")
    + data(b"\x03\x76\x02mary")
    + data(execute(b"SELECT * FROM orders WHERE id = 8812"))
    + data(execute(LONG))
    + data(execute(b"DELETE FROM missing WHERE mail = 'mary@example.com'"))
    + data(b"\x03\x0e\x09")
    + data(b"\x03\x09\x0a")
)
SERVER = (
    accept()
    + data(b"\xde\xad\xbe\xef" + bytes(30))
    + data(b"\x01\x06\0")
    + data(b"\x08\x01\0")
    + data(b"\x10\x17" + b"paint" * 400 + b"ORA-01403: no data found")
    + data(b"\x06\x22" + b"rows")
    + data(b"\x04\x01" + b"ORA-00942: table or view does not exist")
    + data(b"\x04\x01\x01")
    + data(b"\x04\x01\x01")
)


def test_splits_change_nothing() -> None:
    read = assert_splits_change_nothing(TNS, CLIENT, SERVER)
    assert [each.operation for each in read.requests] == [
        "connect", "options", "protocol", "login step", "SELECT orders", "SELECT articles", "DELETE missing", "COMMIT",
        "LOGOFF",
    ]  # fmt: skip
    assert [each.status for each in read.responses] == [
        "accepted",
        "OK",
        "OK",
        "OK",
        "OK",
        "OK",
        "ORA-00942",
        "OK",
        "OK",
    ]
    assert read.responses[6].result is Result.SERVER_ERROR


def test_what_is_missing_only_takes_away() -> None:
    """Of a message in several packets, what comes behind a gap looks like one of its own: it is not told from others."""
    short = data(execute(b"SELECT * FROM orders WHERE id = 8812"))
    client, server = connect() + short * 6, accept() + data(b"\x04\x01\x01") * 6
    assert assert_gaps_only_take_away(TNS, client, server) > 300


def test_who_comes_late_reads_the_rest() -> None:
    short = data(execute(b"SELECT * FROM orders WHERE id = 8812"))
    client, server = connect() + short * 6, accept() + data(b"\x04\x01\x01") * 6
    assert assert_late_joiners_read_the_rest(TNS, client, server) > 20


def request(sent: bytes, *, keep_values: bool = False) -> Message:
    [found] = dissect(TNS, sent, b"", context=Context(started=(True, False), keep_values=keep_values)).requests
    return found


def test_a_connection_names_service_and_program() -> None:
    """Also where the descriptor is too long for its packet and comes in the next one."""
    for descriptor in (DESCRIPTOR, DESCRIPTOR + b"(PAD=" + b"x" * 300 + b")"):
        found = request(connect(descriptor))
        assert (found.operation, found.summary) == ("connect", "connect shop.example")
        assert found.attributes == {
            "db.system.name": "oracle.db",
            "db.namespace": "shop.example",
            "wiretrace.tns.program": "billing",
        }


def test_answers_to_a_connection() -> None:
    refused = b"\x22\0" + struct.pack(">H", 60) + b"(DESCRIPTION=(TMP=)(VSNNUM=1)(ERR=12514)(ERROR_STACK=))"
    server = (
        packet(11, b"") + packet(5, struct.pack(">H", 30) + b"(ADDRESS=(HOST=db2)(PORT=1522))") + packet(4, refused)
    )
    read = dissect(TNS, connect() * 3, server)
    assert [(each.status, each.result) for each in read.responses] == [
        ("resend", Result.OK),
        ("redirected", Result.OK),
        ("TNS-12514", Result.SERVER_ERROR),
    ]


def test_statements_are_shown_without_literals() -> None:
    found = request(data(execute(b"SELECT * FROM orders WHERE id = 8812 AND mail = 'mary@example.com'")))
    assert found.summary == "SELECT * FROM orders WHERE id = ? AND mail = ?"
    assert found.values == b"8812 mary@example.com"
    assert found.attributes == {
        "db.system.name": "oracle.db",
        "db.query.summary": "SELECT orders",
        "db.query.text": "SELECT * FROM orders WHERE id = ? AND mail = ?",
    }


def test_a_statement_in_parts_is_put_together() -> None:
    read = dissect(TNS, connect() + data(execute(LONG)), accept())
    assert read.requests[1].summary == (LONG.replace(b"4711", b"?")).decode()


def test_what_authenticates_is_not_read() -> None:
    found = request(data(b"\x03\x73\x03mary SELECT hunter2 FROM AUTH_PASSWORD"), keep_values=True)
    assert (found.operation, found.summary, found.values) == ("login", "login", b"")


def test_words_of_errors_only_on_demand() -> None:
    sent = data(b"\x04\x01" + b"ORA-00001: unique constraint (MARY) violated")
    for keep_values in (False, True):
        [found] = dissect(TNS, b"", sent, context=Context(started=(False, True), keep_values=keep_values)).responses
        assert found.status == "ORA-00001"
        assert ("MARY" in str(found.attributes)) is keep_values


def test_lengths_of_four_bytes() -> None:
    client = connect(version=318) + data(execute(b"SELECT * FROM orders"), wide=True)
    server = packet(2, struct.pack(">HHHH", 318, 0, UNIT, 0x7FFF) + bytes(24)) + data(b"\x04\x01\x01", wide=True)
    read = dissect(TNS, client, server)
    assert (read.violations, read.unread) == ([], [])
    assert read.requests[1].operation == "SELECT orders"


def test_markers_are_part_of_no_exchange() -> None:
    read = dissect(TNS, connect() + packet(12, b"\1\0\1") + data(b"\x03\x05\x01"), accept() + packet(12, b"\1\0\2"))
    assert [each.role for each in read.requests] == [Role.REQUEST, Role.CONTROL, Role.REQUEST]


def test_it_is_recognised_by_its_bytes_in_the_right_roles() -> None:
    assert TNS.probe(CLIENT, SERVER) >= 0.9
    assert TNS.probe(SERVER, CLIENT) == 0.0
    assert TNS.probe(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"") == 0.0
    assert TNS.probe(bytes(100), bytes(100)) == 0.0


@given(st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_no_bytes_raise_anything_but_violation(seed: int) -> None:
    chooser = random.Random(seed)
    client, server = mutated(CLIENT, chooser), mutated(SERVER, chooser)
    whole = chooser.random() < 0.5
    TNS.probe(client, server)
    dissect(TNS, client, server, context=Context(started=(whole, whole)))
