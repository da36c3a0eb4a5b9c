"""PostgreSQL: what a real server and its clients said is read as what the script did, whatever the capture lacks."""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
from typing import TYPE_CHECKING
from unittest.mock import patch

import asyncpg
import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.dissect import Dissection, dissect
from tests.support.mangle import mutated, with_gaps
from tests.support.relay import Recording, Relay
from tests.support.servers import postgresql

from wiretrace.model.message import Message, Result, Role, Transaction
from wiretrace.model.side import Side
from wiretrace.protocols import postgresql_client, postgresql_server
from wiretrace.protocols.contract import Context, Violation
from wiretrace.protocols.postgresql import PostgreSQL
from wiretrace.protocols.sql_message import Statements

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    with postgresql() as port, Relay(("127.0.0.1", port)) as relay:
        with connect(relay) as connection:
            connection.execute("CREATE TABLE orders (id int PRIMARY KEY, name text, token uuid)")
            connection.execute("INSERT INTO orders SELECT n, 'name ' || n FROM generate_series(1, 20) n")
        yield relay


def connect(relay: Relay, password: str = PASSWORD) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(
        host="127.0.0.1", port=relay.port, user="shop", password=password, dbname="postgres", autocommit=True
    )


def recorded(relay: Relay) -> Recording:
    recording = relay.recordings[-1]
    assert recording.finished.wait(10)
    return recording


def read(relay: Relay, context: Context | None = None) -> Dissection:
    """The last connection of the relay; nothing of it may be left unread."""
    recording = recorded(relay)
    result = dissect(PostgreSQL, recording.client, recording.server, context=context)
    assert (result.violations, result.unread) == ([], [])
    return result


def asked(result: Dissection) -> list[Message]:
    """Requests behind the login."""
    found = [message for message in result.requests if message.role is Role.REQUEST]
    return found[[message.operation for message in found].index("login") + 1 :]


def answers(result: Dissection) -> list[Message]:
    """Responses behind that to the login."""
    found = [message for message in result.responses if message.role is Role.RESPONSE]
    return found[[message.status for message in found].index("OK") + 1 :]


def test_login_shows_the_user_and_never_the_password(relay: Relay) -> None:
    """SSLRequest, refused, and the login are exchanges; SASL messages are control."""
    with connect(relay):
        pass
    result = read(relay)
    assert [(m.operation, m.summary) for m in result.requests if m.role is Role.REQUEST] == [
        ("SSLRequest", "SSLRequest"),
        ("login", "login shop"),
    ]
    assert [m.status for m in result.responses] == ["N", "OK"]
    assert result.responses[-1].transaction is Transaction.IDLE
    assert PASSWORD not in repr(result.requests)
    assert [m.role for m in result.requests[2:]] == [Role.CONTROL] * 3


def test_a_refused_login_has_the_sqlstate(relay: Relay) -> None:
    """A login with a wrong password ends at the error; no ReadyForQuery follows."""
    with pytest.raises(psycopg.OperationalError):
        connect(relay, "wrong")
    result = read(relay)
    assert result.responses[-1].status == "28P01"
    assert result.responses[-1].result is Result.SERVER_ERROR


def test_statements_parameters_and_rows(relay: Relay) -> None:
    """Text and binary parameters and results: one exchange a statement, values in both directions."""
    with connect(relay) as connection:
        connection.execute("SELECT id, name FROM orders WHERE id = %s AND name = %s", (7, "name 7"))
        connection.execute("SELECT id FROM orders WHERE id = %b", (8,), binary=True)
        connection.execute("SELECT id FROM orders WHERE name = 'name 9'")
    result = read(relay)
    assert [(m.operation, m.values) for m in asked(result)] == [
        ("SELECT orders", b"7 name 7"),
        ("SELECT orders", b"8"),
        ("SELECT orders", b"name 9"),
    ]
    assert asked(result)[2].summary == "SELECT id FROM orders WHERE name = ?"
    assert asked(result)[2].attributes == {
        "db.system.name": "postgresql",
        "db.query.summary": "SELECT orders",
        "db.query.text": "SELECT id FROM orders WHERE name = ?",
        "db.namespace": "postgres",
    }
    assert [(m.status, m.values) for m in answers(result)] == [
        ("SELECT 1", b"7 name 7"),
        ("SELECT 1", b"8"),
        ("SELECT 1", b"9"),
    ]
    assert answers(result)[0].attributes == {"db.response.returned_rows": 1}


def test_values_are_kept_where_the_user_asks(relay: Relay) -> None:
    """keep_values shows literals, and the text of errors."""
    with connect(relay) as connection, pytest.raises(psycopg.errors.UndefinedColumn):
        connection.execute("SELECT nope FROM orders WHERE name = 'name 9'")
    kept = read(relay, Context(keep_values=True))
    assert asked(kept)[0].summary == "SELECT nope FROM orders WHERE name = 'name 9'"
    assert 'column "nope" does not exist' in str(answers(kept)[0].attributes)
    redacted = read(relay)
    assert "nope" not in repr(answers(redacted))
    assert "name 9" not in repr([(m.summary, m.attributes) for m in asked(redacted)])


def test_transactions_and_errors(relay: Relay) -> None:
    """ReadyForQuery tells the state of the transaction; an error's status is its SQLSTATE."""
    with connect(relay) as connection:
        connection.autocommit = False
        connection.execute("UPDATE orders SET name = 'x' WHERE id = 1")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("INSERT INTO orders VALUES (1)")
        connection.rollback()
    result = read(relay)
    assert [m.operation for m in asked(result)] == ["BEGIN", "UPDATE orders", "INSERT orders", "ROLLBACK"]
    assert [(m.status, m.transaction.name) for m in answers(result)] == [
        ("BEGIN", "OPEN"),
        ("UPDATE 1", "OPEN"),
        ("23505", "FAILED"),
        ("ROLLBACK", "IDLE"),
    ]
    assert answers(result)[2].attributes == {
        "db.system.name": "postgresql",
        "db.response.status_code": "23505",
        "wiretrace.error.severity": "ERROR",
    }


def test_several_statements_in_one_query(relay: Relay) -> None:
    """They are one exchange, whose status is the last's, or the first error."""
    with connect(relay) as connection:
        connection.pgconn.exec_(b"SELECT 1; UPDATE orders SET name = 'y' WHERE id = 2")
        connection.pgconn.exec_(b"SELECT 1; SELECT nope; SELECT 2")
    result = read(relay)
    assert [m.operation for m in asked(result)] == ["SELECT; UPDATE orders", "SELECT"]
    assert [m.status for m in answers(result)] == ["UPDATE 1", "42703"]


def test_prepared_statements_keep_their_text(relay: Relay) -> None:
    """Executions that name a statement show the text it was prepared with."""
    with connect(relay) as connection:
        for number in range(8):
            connection.execute("SELECT name FROM orders WHERE id = %s", (number,), prepare=True)
    operations = [m.operation for m in asked(read(relay))]
    assert operations == ["PREPARE SELECT orders"] + ["SELECT orders"] * 8


def test_a_pipeline_is_one_unit(relay: Relay) -> None:
    """Statements inside a pipeline do not close it; the last one, with its Sync, does, on both sides."""
    with connect(relay) as connection, connection.pipeline():
        connection.execute("SELECT 1 FROM orders")
        connection.execute("UPDATE orders SET name = %s WHERE id = %s", ("z", 3))
        connection.execute("SELECT name FROM orders")
    result = read(relay)
    assert [(m.operation, m.closes) for m in asked(result)] == [
        ("SELECT orders", False),
        ("UPDATE orders", False),
        ("SELECT orders", True),
    ]
    assert [(m.status, m.closes) for m in answers(result)] == [
        ("SELECT 20", False),
        ("UPDATE 1", False),
        ("SELECT 20", True),
    ]


def test_an_error_in_a_pipeline_answers_the_rest_of_the_unit(relay: Relay) -> None:
    """The server skips to the Sync: the error's response closes the unit."""
    with connect(relay) as connection, pytest.raises(psycopg.errors.UndefinedColumn), connection.pipeline():
        connection.execute("SELECT 1 FROM orders")
        connection.execute("SELECT nope FROM orders")
        connection.execute("SELECT 2 FROM orders")
    result = read(relay)
    assert [m.closes for m in asked(result)] == [False, False, True]
    assert [(m.status, m.closes) for m in answers(result)] == [("SELECT 20", False), ("42703", True)]


def test_copy_passes_over_its_data(relay: Relay) -> None:
    """COPY in both directions is an exchange; rows are not read."""
    with connect(relay) as connection, connection.cursor() as cursor:
        with cursor.copy("COPY orders (id, name) FROM STDIN") as copy:
            for number in range(200, 205):
                copy.write_row((number, "copied secret"))
        with cursor.copy("COPY orders TO STDOUT") as copy:
            assert len(list(copy)) == 25
        connection.execute("DELETE FROM orders WHERE id >= 200")
    result = read(relay)
    assert [m.operation for m in asked(result)] == ["COPY orders", "COPY orders", "DELETE orders"]
    assert [m.status for m in answers(result)] == ["COPY 5", "COPY 25", "DELETE 5"]
    assert "copied secret" not in repr(result.requests)


def test_cursors_and_notifications(relay: Relay) -> None:
    """A server-side cursor is read statement by statement; a notification that nobody asked for is a push."""
    with connect(relay) as listener:
        listener.execute("LISTEN changes")
        listening = relay.recordings[-1]
        with connect(relay) as connection, connection.transaction(), connection.cursor(name="reader") as cursor:
            cursor.execute("SELECT * FROM orders")
            cursor.fetchmany(3)
            connection.execute("NOTIFY changes, 'order 17'")
        list(listener.notifies(timeout=5, stop_after=1))
    result = read(relay)
    assert [m.operation for m in asked(result)][:4] == ["BEGIN", "DECLARE SELECT orders", "DESCRIBE", "FETCH"]
    assert [m.status for m in answers(result)][:4] == ["BEGIN", "DECLARE CURSOR", "READY", "FETCH 3"]
    assert listening.finished.wait(10)
    pushes = [m for m in dissect(PostgreSQL, listening.client, listening.server).responses if m.role is Role.PUSH]
    assert [(m.operation, m.values) for m in pushes] == [("NOTIFY changes", b"order 17")]


def test_asyncpg(relay: Relay) -> None:
    """asyncpg prepares, flushes and executes in one unit, pages through portals, and copies in binary."""

    async def script() -> None:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=relay.port, user="shop", password=PASSWORD, database="postgres"
        )
        for _ in range(2):
            await connection.fetch("SELECT id, name FROM orders WHERE id = $1", 5)
        async with connection.transaction():
            async for _ in connection.cursor("SELECT id FROM orders WHERE id < 6", prefetch=2):
                pass
        await connection.executemany("UPDATE orders SET name = $1 WHERE id = $2", [("a", 5), ("b", 6)])
        await connection.close()

    asyncio.run(script())
    result = read(relay)
    assert [(m.operation, m.closes, m.values) for m in asked(result)] == [
        ("PREPARE SELECT orders", False, b""),
        ("SELECT orders", True, b"5"),
        ("SELECT orders", True, b"5"),
        ("BEGIN", True, b""),
        ("PREPARE SELECT orders", False, b""),
        *[("SELECT orders", True, b"6")] * 3,
        ("DEALLOCATE", True, b""),
        ("COMMIT", True, b""),
        ("PREPARE UPDATE orders", False, b""),
        ("UPDATE orders", False, b"a 5"),
        ("UPDATE orders", True, b"b 6"),
    ]
    assert [(m.status, m.closes) for m in answers(result)] == [
        ("PREPARE", False),
        *[("SELECT 1", True)] * 2,
        ("BEGIN", True),
        ("PREPARE", False),
        *[("SUSPENDED 2", True)] * 2,
        ("SELECT 1", True),
        ("CLOSE", True),
        ("COMMIT", True),
        ("PREPARE", False),
        ("UPDATE 1", False),
        ("UPDATE 1", True),
    ]


def test_the_end_of_a_session_by_its_administrator(relay: Relay) -> None:
    """A FATAL error ends the response without ReadyForQuery."""
    with connect(relay) as victim:
        recording = relay.recordings[-1]
        with connect(relay) as killer:
            killer.execute("SELECT pg_terminate_backend(%s)", (victim.info.backend_pid,))
        with pytest.raises(psycopg.OperationalError):
            victim.execute("SELECT 1")
    assert recording.finished.wait(10)
    last = dissect(PostgreSQL, recording.client, recording.server).responses[-1]
    assert (last.status, last.result, last.damaged) == ("57P01", Result.SERVER_ERROR, False)


# Made by hand


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack(">I", len(body) + 4) + body


def execution(name: bytes, number: int) -> bytes:
    bind = b"\0" + name + b"\0" + struct.pack(">HHIiH", 0, 1, 4, number, 0)
    return message(b"B", bind) + message(b"E", b"\0" * 5)


SYNC = message(b"S")
READY = message(b"Z", b"I")


def test_tls_takes_over_where_the_server_accepts() -> None:
    """The answer 'S' hands both directions over, from behind the request and the answer."""
    client = struct.pack(">II", 8, 80877104) + struct.pack(">II", 8, 80877103) + b"\x16\x03\x01\x02\x00"
    result = dissect(PostgreSQL, client, b"NS\x16\x03\x03")
    assert result.succession is not None
    assert (result.succession.protocol, result.succession.client_offset, result.succession.server_offset) == (
        "tls",
        16,
        2,
    )
    assert [m.operation for m in result.requests] == ["GSSENCRequest", "SSLRequest"]
    assert [m.status for m in result.responses] == ["N", "S"]


def test_cancel_request_asks_for_no_answer() -> None:
    """It is one-way, and its key is not shown."""
    result = dissect(PostgreSQL, struct.pack(">IIII", 16, 80877102, 0x41424344, 0x45464748), b"")
    assert [(m.role, m.operation) for m in result.requests] == [(Role.ONE_WAY, "CANCEL")]
    assert "ABCD" not in repr(result.requests)


def test_statements_prepared_before_the_capture() -> None:
    """They are shown by name. What other connections prepare is remembered, by name and number of parameters."""
    shared: dict[str, object] = {}
    statements = Statements.of(Context(shared=shared))
    midway = (False, False)
    execute = execution(b"s1", 17) + SYNC
    alone = dissect(PostgreSQL, execute * 3, b"", context=Context(started=midway, shared=shared))
    assert alone.requests[0].summary == "<prepared before the capture> s1"
    assert alone.requests[0].notes == ("prepared before the capture",)
    assert alone.requests[0].values == b"17"

    def prepare(text: bytes) -> None:
        parse = message(b"P", b"s1\0" + text + b"\0\0\0") + SYNC
        dissect(PostgreSQL, parse * 3, b"", context=Context(started=midway, shared=shared))

    prepare(b"SELECT * FROM orders WHERE id = $1")
    known = statements.find("", "s1", 1)
    assert known is not None
    assert known.operation == "SELECT orders"
    prepare(b"SELECT * FROM customers WHERE id = $1")
    assert statements.find("", "s1", 1) is None


def test_large_messages_are_passed_over() -> None:
    """parse returns a position beyond the data for a row, and reads a query's text from its beginning."""
    protocol = PostgreSQL(Context(started=(False, False)))
    query = b"Q" + struct.pack(">I", 1_000_000) + b"INSERT INTO t VALUES ('" + b"x" * 70_000
    assert protocol.parse(Side.CLIENT, query, 0, 0) == 1_000_001
    assert protocol.requests[0].operation == "INSERT t"
    rows = message(b"D", b"\0\0") + b"D" + struct.pack(">I", 5_000_000)
    assert protocol.parse(Side.SERVER, rows, 0, 0) == len(rows) - 5 + 5_000_001


def test_replication_streams_are_control() -> None:
    """COPY BOTH is answered at once; what streams afterwards answers nothing."""
    client = message(b"Q", b"START_REPLICATION SLOT s LOGICAL 0/0\0") + message(b"d", b"r" + bytes(33)) + message(b"c")
    server = message(b"W", b"\0\0\0") + message(b"d", b"w" + bytes(40)) * 3 + message(b"c")
    server += message(b"C", b"COPY 0\0") + READY
    result = dissect(PostgreSQL, client, server, context=Context(started=(False, False)))
    assert [m.operation for m in result.requests if m.role is Role.REQUEST] == ["START_REPLICATION"]
    assert [(m.role, m.status) for m in result.responses] == [(Role.RESPONSE, "COPY BOTH"), (Role.CONTROL, "")]


def conversation() -> tuple[bytes, bytes]:
    """A session with every shape of exchange, as bytes."""
    row = message(b"D", struct.pack(">HI", 1, 2) + b"17")
    client = struct.pack(">IHH", 8 + 11, 3, 0) + b"user\0shop\0\0"
    server = message(b"R", b"\0\0\0\0") + message(b"S", b"a\0b\0") + READY
    client += message(b"Q", b"SELECT id FROM orders WHERE name = 'secret'\0")
    server += message(b"T", b"\0\1id\0" + bytes(18)) + row * 3 + message(b"C", b"SELECT 3\0") + READY
    client += message(b"P", b"s1\0SELECT id FROM orders WHERE id = $1\0\0\0") + message(b"D", b"Ss1\0") + SYNC
    server += message(b"1") + message(b"t", b"\0\0") + message(b"n") + READY
    for number in range(4):
        client += execution(b"s1", number) + execution(b"s1", number + 10) + SYNC
        server += (message(b"2") + row + message(b"C", b"SELECT 1\0")) * 2 + READY
    client += message(b"Q", b"COPY orders FROM STDIN\0") + message(b"d", b"1\tx\n") * 2 + message(b"c")
    server += message(b"G", b"\0\0\1\0\0") + message(b"C", b"COPY 2\0") + READY
    client += message(b"Q", b"SELECT nope\0") + message(b"X")
    server += message(b"E", b"SERROR\0VERROR\0C42703\0Mno\0\0") + READY
    return client, server


CLIENT, SERVER = conversation()
WHOLE = dissect(PostgreSQL, CLIENT, SERVER)


def test_the_conversation_made_by_hand() -> None:
    """What the property tests compare with is what was meant."""
    assert (WHOLE.violations, WHOLE.unread) == ([], [])
    assert [m.operation for m in WHOLE.requests if m.role is Role.REQUEST][:4] == [
        "login",
        "SELECT orders",
        "PREPARE SELECT orders",
        "SELECT orders",
    ]
    assert [m.status for m in WHOLE.responses][-3:] == ["SELECT 1", "COPY 2", "42703"]


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_any_split_gives_the_same_messages(seed: int) -> None:
    """Where the packets were cut makes no difference."""
    result = dissect(PostgreSQL, CLIENT, SERVER, splits=random.Random(seed))
    assert (result.requests, result.responses) == (WHOLE.requests, WHOLE.responses)


UNITS = [
    (message(b"Q", b"SELECT 1; RESET ALL\0"), message(b"T", b"\0\0") + message(b"D", b"\0\0") + message(b"C", b"SELECT 1\0")
     + message(b"C", b"RESET\0") + READY),
    (message(b"B", b"\0s1" + bytes(7)) + message(b"D", b"P\0") + message(b"E", bytes(5)) + SYNC,
     message(b"2") + message(b"n") + message(b"C", b"UPDATE 1\0") + message(b"Z", b"T")),
    (execution(b"s1", 4711) + SYNC, message(b"2") + message(b"D", struct.pack(">HI", 1, 2) + b"42") * 2
     + message(b"C", b"SELECT 2\0") + READY),
    (execution(b"s1", 1) + execution(b"s1", 2) + SYNC, (message(b"2") + message(b"C", b"INSERT 0 1\0")) * 2 + READY),
    (message(b"B", b"p\0s1" + bytes(7)) + message(b"E", b"p" + bytes(5)) + SYNC,
     message(b"2") + message(b"s") + READY),
    (message(b"P", b"\0SELECT 1" + bytes(3)) + SYNC, message(b"1") + READY),
    (message(b"Q", b"\0"), message(b"I") + READY),
    (message(b"Q", b"SELECT nope\0"), message(b"E", b"SERROR\0VERROR\0C42703\0Mno\0\0") + READY),
    (b"", message(b"A", bytes(4) + b"news\0\0")),
]  # fmt: skip
"""What a client sends, and what its server answers."""


@given(st.lists(st.sampled_from(UNITS), max_size=8), st.integers(0, 2**32), st.booleans())
@settings(max_examples=150, deadline=None)
def test_whole_units_are_read_as_if_message_by_message(
    units: list[tuple[bytes, bytes]], seed: int, whole: bool
) -> None:
    """What is read of plain units at once gives the messages of the way that is taken for all others, gaps or not."""
    chooser = random.Random(seed)
    sides = b"".join(unit[0] for unit in units), b"".join(unit[1] for unit in units)
    streams = sides if whole else (with_gaps(sides[0], chooser), with_gaps(sides[1], chooser))
    at_once = dissect(PostgreSQL, *streams, context=Context(started=(False, False)))
    with (
        patch.object(postgresql_server.ServerReader, "_read_plain", lambda reader, data, at, base: at),
        patch.object(postgresql_client, "_EXECUTIONS", ()),
    ):
        plain = dissect(PostgreSQL, *streams, context=Context(started=(False, False)))
    assert (at_once.requests, at_once.responses) == (plain.requests, plain.responses)
    assert (at_once.violations, at_once.unread) == (plain.violations, plain.unread)


@given(st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_with_gaps_what_is_not_damaged_is_true(seed: int) -> None:
    """Each undamaged message ends where one really ends, or in front of its Sync or ReadyForQuery."""
    chooser = random.Random(seed)
    result = dissect(PostgreSQL, with_gaps(CLIENT, chooser), with_gaps(SERVER, chooser))
    for found, true, tail in (
        (result.requests, WHOLE.requests, len(SYNC)),
        (result.responses, WHOLE.responses, len(READY)),
    ):
        ends = {m.end for m in true}
        for m in found:
            assert m.damaged or m.role is Role.CONTROL or m.end in ends or m.end + tail in ends


@pytest.mark.parametrize("kind", [0, 8, 11, 12])
def test_the_rest_of_a_login_is_no_answer(kind: int) -> None:
    """Where the server's first word to a login is lost, what it says next does not begin the answer; what follows does."""
    rest = message(b"R", struct.pack(">I", kind) + b"r=nonce") + message(b"R", struct.pack(">I", 0)) + READY
    protocol = PostgreSQL(Context())
    protocol.lost(Side.SERVER, 0, 24)
    assert protocol.resync(Side.SERVER, rest, 0, 24) == len(rest)
    assert protocol.resync(Side.SERVER, rest + message(b"C", b"SELECT 1\0") + READY, 0, 24) == len(rest)
    asked = message(b"R", struct.pack(">I", 10) + b"SCRAM-SHA-256\0\0")
    assert PostgreSQL(Context()).resync(Side.SERVER, asked + rest, 0, 0) == 0


@given(st.integers(0, 2**32))
@example(121914)  # a query that has only begun behind a run of CopyData
@settings(max_examples=150, deadline=None)
def test_no_bytes_raise_anything_but_violation(seed: int) -> None:
    """Changed, missing and repeated bytes, exchanged sides and late starts are borne; probes bear them too."""
    chooser = random.Random(seed)
    client, server = mutated(CLIENT, chooser), mutated(SERVER, chooser)
    started = (chooser.random() < 0.5, chooser.random() < 0.5)
    dissect(PostgreSQL, client, server, context=Context(started=started))
    dissect(PostgreSQL, server, client, context=Context(started=started))
    assert 0 <= PostgreSQL.probe(client, server) <= 1
    assert 0 <= PostgreSQL.probe(chooser.randbytes(40), chooser.randbytes(40)) <= 1


@pytest.mark.parametrize("kind", range(256))
def test_empty_messages_of_every_kind_are_borne(kind: int) -> None:
    """A message without the body that its kind has is read, or is a violation."""
    for before in (b"", message(b"2"), message(b"B", b"\0\0\0\0\0\0\0\0")):
        dissect(PostgreSQL, before + message(bytes((kind,))), b"", context=Context(started=(False, True)))
        for side in Side:
            protocol = PostgreSQL(Context(started=(False, False)))
            with contextlib.suppress(Violation):
                protocol.parse(side, before + message(bytes((kind,))), 0, 0)


def test_either_direction_alone_is_enough() -> None:
    """The other direction changes nothing in how one is cut."""
    assert dissect(PostgreSQL, CLIENT, b"").requests == WHOLE.requests
    assert dissect(PostgreSQL, b"", SERVER).responses == WHOLE.responses


def test_probe_knows_its_own_and_its_roles() -> None:
    """Openings, and streams that were joined midway, are recognised in the right roles only."""
    assert PostgreSQL.probe(CLIENT, SERVER) == 1
    assert PostgreSQL.probe(SERVER, CLIENT) == 0
    later = CLIENT.index(b"Q\0\0"), SERVER.index(b"T\0\0")
    assert PostgreSQL.probe(CLIENT[later[0] :], b"") >= 0.7
    assert PostgreSQL.probe(b"", SERVER[later[1] :]) >= 0.7
    assert PostgreSQL.probe(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n") == 0
    assert PostgreSQL.probe(b"", b"") == 0


def test_the_answer_to_a_question_that_nobody_saw_proves_nothing() -> None:
    """One byte S, N or G is PostgreSQL only beside its SSLRequest."""
    question = struct.pack(">II", 8, 80877103)
    assert PostgreSQL.probe(b"", b"S") < 0.5
    assert PostgreSQL.probe(b"SSH-2.0-x\r\n", b"S") < 0.5
    assert PostgreSQL.probe(question, b"S") == 1.0


def test_a_login_that_the_client_left_is_not_answered() -> None:
    """The server asked for the password and the client closed: the question is no answer to the login."""
    body = struct.pack(">I", 196608) + b"user\0ada\0\0"
    startup = struct.pack(">I", len(body) + 4) + body
    asks = b"R" + struct.pack(">III", 12, 5, 7)
    result = dissect(PostgreSQL, startup, asks)
    assert [message.role for message in result.requests] == [Role.REQUEST]
    assert [message.role for message in result.responses] == [Role.CONTROL]
    assert result.unread == []
