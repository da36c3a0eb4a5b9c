"""TDS: what clients of SQL Server ask and what it answers; splits, gaps, late joiners, and whatever bytes."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import tds
from tests.support.dissect import Dissection, dissect
from tests.support.mangle import mutated
from tests.support.properties import (
    assert_gaps_only_take_away,
    assert_late_joiners_read_the_rest,
    assert_splits_change_nothing,
)

from wiretrace.model.message import Message, Result, Role, Transaction
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context
from wiretrace.protocols.tds import TDS
from wiretrace.protocols.tds_types import Reader, text_of

MIDWAY = Context(started=(False, False))
ROWS = tds.columns("n_id", "article") + tds.row(8812, "paint-77") + tds.row(8813, None) + tds.done(2)
LONG_BATCH = tds.batch("x" * 9000)
LONG_ANSWER = tds.packets(4, tds.columns("n_id") + tds.row(17) * 4000 + tds.done(4000))
CLIENT = (
    tds.packets(18, tds.prelogin())
    + tds.login("mary", "hunter2", "shop")
    + tds.batch("SELECT * FROM orders WHERE id = 4711")
    + tds.rpc(
        tds.call(10, tds.nvarchar("SELECT * FROM articles WHERE id = @p"), tds.nvarchar("@p int"), tds.integer(42))
    )
    + tds.rpc(
        tds.call(11, tds.integer(None, flags=1), tds.nvarchar("@p int"), tds.nvarchar("DELETE orders WHERE id=@p"))
    )
    + tds.rpc(tds.call(12, tds.integer(7), tds.integer(901)))
    + tds.batch("SELECT * FROM missing")
    + tds.packets(6, b"")
    + tds.rpc(tds.call("dbo.restock", tds.integer(55), tds.nvarchar("paint-9")))
    + LONG_BATCH
)
SERVER = (
    tds.packets(4, tds.prelogin())
    + tds.packets(4, tds.login_answer("shop"))
    + tds.packets(4, ROWS)
    + tds.packets(4, ROWS)
    + tds.packets(4, tds.returned(7) + tds.done(token=0xFE, command=0))
    + tds.packets(4, tds.done(1, command=0xC4, token=0xFE))
    + tds.packets(4, tds.error(208, "Invalid object name") + tds.done(status=0x22))
    + tds.packets(4, ROWS[:-13] + b"\x79\0\0\0\0" + tds.done(token=0xFE, command=0))
    + LONG_ANSWER
)


def test_splits_change_nothing() -> None:
    read = assert_splits_change_nothing(TDS, CLIENT, SERVER)
    requests = [each for each in read.requests if each.role is Role.REQUEST]
    assert [each.operation for each in requests] == [
        "login", "SELECT orders", "SELECT articles", "PREPARE DELETE orders", "DELETE orders", "SELECT missing",
        "EXEC dbo.restock", "SQL",
    ]  # fmt: skip
    answers = [each for each in read.responses if each.role is Role.RESPONSE]
    assert [each.status for each in answers] == ["OK", "OK", "OK", "OK", "OK", "cancelled", "OK", "OK"]
    assert answers[-1].attributes == {"db.response.returned_rows": 4000}


def test_what_is_missing_only_takes_away() -> None:
    """A statement that was prepared in the missing bytes stays a number."""
    assert assert_gaps_only_take_away(TDS, CLIENT, SERVER, doubtful=("EXECUTE",)) > 300


def test_who_comes_late_reads_the_rest() -> None:
    client, server = CLIENT[: -len(LONG_BATCH)], SERVER[: -len(LONG_ANSWER)]
    assert assert_late_joiners_read_the_rest(TDS, client, server, doubtful=("EXECUTE",)) > 20


def request(sent: bytes, *, keep_values: bool = False) -> Message:
    read = dissect(TDS, sent, b"", context=Context(started=(True, False), keep_values=keep_values))
    [found] = read.requests
    return found


def response(sent: bytes, *, keep_values: bool = False) -> Message:
    read = dissect(TDS, b"", tds.packets(4, sent), context=Context(started=(False, True), keep_values=keep_values))
    [found] = read.responses
    return found


def test_a_login_shows_names_and_never_the_password() -> None:
    sent = tds.login("mary", "hunter2", "shop", "billing")
    found = request(sent, keep_values=True)
    assert found.summary == "login mary"
    assert found.attributes == {
        "db.system.name": "microsoft.sql_server",
        "db.namespace": "shop",
        "wiretrace.tds.application": "billing",
        "wiretrace.tds.server": "db1",
        "wiretrace.tds.host": "web1",
    }
    assert b"hunter2" not in repr(found).encode()
    assert "hunter2" not in repr(found)


def test_statements_are_shown_without_literals_in_the_dialect_of_sql_server() -> None:
    found = request(
        tds.batch("SELECT TOP 5 [it's] FROM [dbo].[Order Details] WHERE name = N'O''Hara' AND id = @id -- x")
    )
    assert found.operation == "SELECT dbo.Order Details"
    assert found.summary == "SELECT TOP ? [it's] FROM [dbo].[Order Details] WHERE name = ? AND id = @id"
    assert b"O''Hara" in found.values


def test_parameters_link_and_are_not_shown() -> None:
    sent = tds.rpc(tds.call("dbo.restock", tds.integer(901, "@id"), tds.nvarchar("paint-77", "@article")))
    found = request(sent)
    assert (found.operation, found.summary) == ("EXEC dbo.restock", "EXEC dbo.restock ?, ?")
    assert found.values == b"901 paint-77"
    assert found.attributes is not None
    assert found.attributes["db.stored_procedure.name"] == "dbo.restock"
    assert request(sent, keep_values=True).summary == "EXEC dbo.restock 901, paint-77"


def test_declarations_of_parameters_are_no_values() -> None:
    statement, declared = tds.nvarchar("SELECT 1 FROM t WHERE a=@customer88"), tds.nvarchar("@customer88 int")
    assert request(tds.rpc(tds.call(10, statement, declared, tds.integer(4711)))).values == b"1 4711"
    by_name = tds.rpc(tds.call("sp_executesql", statement, declared, tds.integer(4711)))
    assert request(by_name).operation == "SELECT t"


def test_several_calls_in_one_message_are_counted() -> None:
    found = request(tds.rpc(*[tds.call("restock", tds.integer(number)) for number in (11, 12, 13)]))
    assert found.attributes is not None
    assert (found.operation, found.attributes["db.operation.batch.size"]) == ("EXEC restock", 3)


@pytest.mark.parametrize(
    ("kind", "operation"),
    [(0, "GET DTC ADDRESS"), (5, "BEGIN TRANSACTION"), (7, "COMMIT TRANSACTION"), (77, "TRANSACTION")],
)
def test_requests_of_the_transaction_manager(kind: int, operation: str) -> None:
    assert request(tds.packets(14, tds.HEADERS + struct.pack("<H", kind) + b"\0\0")).operation == operation


def test_bulk_data_is_passed_over() -> None:
    found = request(tds.packets(7, bytes(range(256)) * 90))
    assert (found.operation, found.values) == ("BULK LOAD", b"")


def both(client: bytes, server: bytes, context: Context | None = None) -> Dissection:
    """Read a conversation behind its login."""
    before = (tds.login("mary", "x", "shop"), tds.packets(4, tds.login_answer("shop")))
    read = dissect(TDS, before[0] + client, before[1] + server, context=context)
    assert read.violations == []
    del read.requests[0], read.responses[0]
    return read


def test_a_prepared_statement_is_known_by_its_handle() -> None:
    """Also by the calls that the client sends before it has the answer; unknown handles are shown as such."""
    declared, statement = tds.nvarchar("@p int"), tds.nvarchar("UPDATE stock SET n=n-1 WHERE id=@p")
    prepare = tds.rpc(tds.call(13, tds.integer(None, flags=1), declared, statement, tds.integer(31)))
    client = prepare + tds.rpc(tds.call(12, tds.integer(5), tds.integer(32))) + tds.rpc(tds.call(15, tds.integer(5)))
    server = (
        tds.packets(4, tds.returned(5) + tds.done(1, command=0xC5, token=0xFE))
        + tds.packets(4, tds.done(token=0xFE)) * 3
    )
    read = both(client + tds.rpc(tds.call(12, tds.integer(5), tds.integer(33))), server)
    assert [each.operation for each in read.requests] == ["UPDATE stock", "UPDATE stock", "UNPREPARE", "EXECUTE"]
    assert [each.values for each in read.requests][:2] == [b"1 31", b"1 32"]
    assert read.requests[3].summary == "<prepared before the capture> #5"
    assert read.requests[3].notes == ("prepared before the capture",)


def test_errors_have_number_and_class_and_their_words_only_on_demand() -> None:
    sent = tds.error(2627, "Violation of key 'mary@example.com'", level=14) + tds.done(status=2)
    found = response(sent)
    assert (found.status, found.result) == ("2627", Result.SERVER_ERROR)
    assert found.attributes == {
        "db.system.name": "microsoft.sql_server",
        "db.response.status_code": "2627",
        "wiretrace.tds.class": 14,
    }
    shown = response(sent, keep_values=True).attributes
    assert shown is not None
    assert shown["wiretrace.error.message"] == "Violation of key 'mary@example.com'"


def test_a_message_of_a_low_class_is_no_error() -> None:
    assert response(tds.error(5701, "Changed database context", level=10) + tds.done()).status == "OK"


def test_an_error_behind_many_rows_is_found_by_the_end_of_the_answer() -> None:
    rows = tds.columns("n_id", "article") + tds.row(31, "paint") * 5000
    found = response(rows + tds.error(8134, "Divide by zero") + tds.done(5000, status=2))
    assert (found.status, found.values) == ("8134", b"31 paint")
    unknown = b"\xd3" + bytes(200)
    assert (
        response(tds.columns("n_id") + unknown + tds.error(8134, "Divide by zero") + tds.done(0, status=2)).status
        == "8134"
    )


def test_rows_of_all_results_are_counted_and_the_first_row_links() -> None:
    found = response(ROWS[:-13] + tds.done(2, status=1) + ROWS)
    assert (found.attributes, found.values) == ({"db.response.returned_rows": 4}, b"8812 paint-77")


def test_the_state_of_the_transaction() -> None:
    client = (
        tds.packets(14, tds.HEADERS + b"\x05\0\0\0")
        + tds.batch("INSERT t VALUES (1)")
        + tds.packets(14, tds.HEADERS + b"\x07\0")
    )
    server = [tds.transaction(8) + tds.done(), tds.done(1, command=0xC3), tds.transaction(9) + tds.done()]
    read = both(client, b"".join(tds.packets(4, each) for each in server))
    assert [each.transaction for each in read.responses] == [Transaction.OPEN, Transaction.OPEN, Transaction.IDLE]


def test_the_database_changes_with_use() -> None:
    client = tds.batch("USE billing") + tds.batch("SELECT 1")
    server = tds.packets(4, tds.environment(1, "billing", "shop") + tds.done()) + tds.packets(4, ROWS)
    chooser = random.Random(4)
    read = dissect(
        TDS,
        tds.login("mary", "x", "shop") + client,
        tds.packets(4, tds.login_answer("shop")) + server,
        splits=chooser,
    )
    assert len(read.requests) == 3


@pytest.mark.parametrize("apart", [False, True])
def test_an_attention_cancels_and_is_no_exchange(apart: bool) -> None:
    """Its acknowledgement ends the answer, or comes behind it as a message of its own."""
    client = tds.batch("WAITFOR DELAY '1:00'") + tds.packets(6, b"") + tds.batch("SELECT 1")
    acknowledged = tds.done(status=0x20, command=0)
    first = tds.packets(4, tds.done()) + tds.packets(4, acknowledged) if apart else tds.packets(4, acknowledged)
    read = both(client, first + tds.packets(4, ROWS))
    results = [each.result for each in read.responses if each.role is Role.RESPONSE]
    assert results == [Result.OK if apart else Result.CANCELLED, Result.OK]
    assert [each.role for each in read.requests] == [Role.REQUEST, Role.CONTROL, Role.REQUEST]


def record(kind: int, size: int) -> bytes:
    return bytes((kind, 3, 3)) + struct.pack(">H", size) + bytes(size)


def test_where_only_the_login_is_encrypted_the_rest_is_read() -> None:
    handshake = tds.packets(18, record(22, 100))
    client = (
        tds.packets(18, tds.prelogin(encryption=0)) + handshake + record(23, 300) + tds.batch("SELECT * FROM orders")
    )
    server = tds.packets(4, tds.prelogin(encryption=0)) + handshake + tds.packets(4, tds.login_answer("shop"))
    read = dissect(TDS, client, server + tds.packets(4, ROWS))
    assert (read.violations, read.unread) == ([], [])
    asked = [each for each in read.requests if each.role is Role.REQUEST]
    assert [(each.operation, each.notes) for each in asked] == [
        ("login", ("the login is encrypted",)),
        ("SELECT orders", ()),
    ]


def test_where_everything_is_encrypted_tls_takes_over() -> None:
    handshake = tds.packets(18, record(22, 100))
    client = tds.packets(18, tds.prelogin(encryption=1)) + handshake
    server = tds.packets(4, tds.prelogin(encryption=1)) + handshake
    read = dissect(TDS, client + record(23, 300), server + record(23, 80))
    assert read.succession is not None
    assert read.succession.protocol == "tls"
    assert (read.succession.client_offset, read.succession.server_offset) == (len(client), len(server))


def test_the_login_of_tds_5_is_one_message_in_packets_of_two_types() -> None:
    old = (
        b"\x02\0"
        + struct.pack(">H", 512)
        + b"\0\0\0\0"
        + (bytes(31) + b"mary".ljust(30, b"\0") + b"\x04").ljust(504, b"\0")
    )
    language = b"\x21" + struct.pack("<IB", 15, 0) + b"use aaaa_prod1"
    read = dissect(
        TDS, old + tds.packets(15, b"abc") + tds.packets(15, language), b"", context=Context(started=(True, False))
    )
    assert [each.summary for each in read.requests] == ["login mary", "use aaaa_prod1"]


@pytest.mark.parametrize(
    ("description", "value", "text"),
    [
        (b"\x30", b"\xff", b"255"),
        (b"\x7f", struct.pack("<q", -5), b"-5"),
        (b"\x24\x10", b"\x10" + bytes(range(16)), b"03020100-0504-0706-0809-0a0b0c0d0e0f"),
        (b"\x6a\x11\x12\x02", b"\x05\x01" + struct.pack("<I", 12345), b"123.45"),
        (b"\x6a\x11\x12\x04", b"\x05\x00" + struct.pack("<I", 5), b"-0.0005"),
        (b"\x6d\x08", b"\x08" + struct.pack("<d", 1.5), b"1.5"),
        (b"\xa7\x10\0" + bytes(5), b"\x05\0paint", b"paint"),
        (b"\xe7\xff\xff" + bytes(5), b"\xfe" + b"\xff" * 7 + b"\x04\0\0\0p\0a\0\x02\0\0\0i\0" + bytes(4), b"pai"),
        (b"\xe7\xff\xff" + bytes(5), b"\xff" * 8, b""),
        (b"\x23\x10\0\0\0" + bytes(5), b"\x10" + bytes(24) + b"\x05\0\0\0paint", b"paint"),
        (b"\xf1\0", b"\xfe" + b"\xff" * 7 + b"\x08\0\0\0<\0a\0/\0>\0" + bytes(4), b"<a/>"),
        (b"\x28", b"\x03abc", b""),
        (b"\x2a\x07", b"\x08abcdefgh", b""),
        (b"\x62\x10\0\0\0", b"\x04\0\0\0abcd", b""),
    ],
)
def test_values_of_every_kind_are_passed_exactly(description: bytes, value: bytes, text: bytes) -> None:
    reader = Reader(description + value + b"rest")
    kind = reader.type(in_columns=False)
    assert text_of(kind, reader.value(kind)) == text
    assert reader.take(4) == b"rest"


def test_it_is_recognised_by_its_bytes_in_the_right_roles() -> None:
    assert TDS.probe(CLIENT, SERVER) >= 0.9
    assert TDS.probe(CLIENT, b"") >= 0.8
    assert TDS.probe(SERVER, CLIENT) == 0.0
    assert TDS.probe(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"") == 0.0
    assert TDS.probe(bytes(100), bytes(100)) == 0.0


@given(st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_no_bytes_raise_anything_but_violation(seed: int) -> None:
    chooser = random.Random(seed)
    client, server = mutated(CLIENT, chooser), mutated(SERVER, chooser)
    if chooser.random() < 0.3:
        client, server = chooser.randbytes(200), tds.packets(4, chooser.randbytes(300))
    whole = chooser.random() < 0.5
    TDS.probe(client, server)
    dissect(TDS, client, server, context=Context(started=(whole, whole)))


def test_the_side_that_is_missing_does_not_hold_the_other() -> None:
    alone = dissect(TDS, CLIENT, b"", context=MIDWAY)
    assert len([each for each in alone.requests if each.role is Role.REQUEST]) == 8
    answers = dissect(TDS, b"", SERVER, context=MIDWAY)
    assert len([each for each in answers.responses if each.role is Role.RESPONSE]) == 8
    assert [side for side, _, _ in alone.unread + answers.unread if side is Side.CLIENT] == []
