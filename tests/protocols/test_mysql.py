"""MySQL: what a real MariaDB and its clients said is read as what the script did, whatever the capture lacks."""

from __future__ import annotations

import contextlib
import random
import struct
import subprocess
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pymysql
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymysql.constants import CLIENT as CAPABILITIES
from tests.support.dissect import Dissection, dissect
from tests.support.mangle import mutated, with_gaps
from tests.support.relay import Relay
from tests.support.servers import mariadb

from wiretrace.model.message import Message, Result, Role
from wiretrace.model.side import Side
from wiretrace.protocols import mysql_server
from wiretrace.protocols.contract import Context, Violation
from wiretrace.protocols.mysql import MySQL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    with mariadb() as port, Relay(("127.0.0.1", port)) as relay:
        with connect(relay) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE orders (id int PRIMARY KEY AUTO_INCREMENT, name varchar(50), at datetime)")
            cursor.execute("INSERT INTO orders (name, at) VALUES ('first', '2024-01-02 03:04:05'), ('second', NULL)")
            connection.commit()
        yield relay


def connect(relay: Relay, password: str = PASSWORD, **options: Any) -> Any:
    return pymysql.connect(
        host="127.0.0.1",
        port=relay.port,
        user="shop",
        password=password,
        database="shop",
        client_flag=CAPABILITIES.MULTI_STATEMENTS,
        ssl_disabled=True,
        **options,
    )


def read(relay: Relay, context: Context | None = None) -> Dissection:
    """The last connection of the relay; nothing of it may be left unread."""
    recording = relay.recordings[-1]
    assert recording.finished.wait(10)
    result = dissect(MySQL, recording.client, recording.server, context=context)
    assert (result.violations, result.unread) == ([], [])
    return result


def asked(result: Dissection, settings: int = 2) -> list[Message]:
    """Requests behind the login and the client's settings."""
    return [m for m in result.requests if m.role is not Role.CONTROL][1 + settings :]


def answers(result: Dissection, settings: int = 2) -> list[Message]:
    """Responses behind those."""
    return [m for m in result.responses if m.role is not Role.CONTROL][1 + settings :]


def test_login_shows_the_user_and_never_the_password(relay: Relay) -> None:
    """The greeting is control; the login is the handshake response and the server's word on it."""
    with connect(relay):
        pass
    result = read(relay)
    assert (result.requests[0].summary, result.responses[0].role) == ("login shop", Role.CONTROL)
    assert result.requests[0].attributes == {"db.system.name": "mariadb", "db.namespace": "shop"}
    assert result.requests[-1].role is Role.CONTROL  # COM_QUIT
    assert result.responses[1].status == "OK"


def test_a_refused_login_has_number_and_sqlstate(relay: Relay) -> None:
    """The status of a login with a wrong password is the server's error."""
    with pytest.raises(pymysql.err.OperationalError):
        connect(relay, "wrong")
    last = read(relay).responses[-1]
    assert (last.status, last.result) == ("1045 (28000)", Result.SERVER_ERROR)
    assert last.attributes == {
        "db.system.name": "mariadb",
        "db.response.status_code": "1045",
        "wiretrace.sqlstate": "28000",
    }


def test_statements_rows_and_transactions(relay: Relay) -> None:
    """One exchange a statement, with literals, the first row's values, and the state of the transaction."""
    with connect(relay) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM orders WHERE id = %s AND name = %s", (1, "first"))
        connection.rollback()
        connection.begin()
        cursor.execute('UPDATE orders SET name = "it\\\'s" WHERE id = 2')
        with pytest.raises(pymysql.err.IntegrityError):
            cursor.execute("INSERT INTO orders (id) VALUES (1)")
        connection.rollback()
        connection.ping()
        connection.select_db("shop")
    result = read(relay)
    assert [(m.operation, m.values) for m in asked(result)] == [
        ("SELECT orders", b"1 first"),
        ("ROLLBACK", b""),
        ("BEGIN", b""),
        ("UPDATE orders", b"it\\'s 2"),
        ("INSERT orders", b"1"),
        ("ROLLBACK", b""),
        ("PING", b""),
        ("USE shop", b""),
    ]
    assert asked(result)[3].summary == "UPDATE orders SET name = ? WHERE id = ?"
    assert [(m.status, m.transaction.name) for m in answers(result)] == [
        ("OK", "OPEN"),
        ("OK", "IDLE"),
        ("OK", "OPEN"),
        ("OK", "OPEN"),
        ("1062 (23000)", "UNKNOWN"),
        ("OK", "IDLE"),
        ("OK", "IDLE"),
        ("OK", "IDLE"),
    ]
    assert answers(result)[0].values == b"1 first 2024-01-02 03:04:05"
    assert answers(result)[0].attributes == {"db.response.returned_rows": 1}


def test_several_results_and_uploads_are_one_response(relay: Relay, tmp_path: Path) -> None:
    """Results of several statements, and LOAD DATA LOCAL INFILE, whose data are not read."""
    upload = tmp_path / "orders.tsv"
    upload.write_text("100\tuploaded\n101\tuploaded\n")
    with connect(relay, local_infile=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1; DELETE FROM orders WHERE id > 99; SELECT * FROM orders")
        while cursor.nextset():
            pass
        cursor.execute(f"LOAD DATA LOCAL INFILE '{upload}' INTO TABLE orders (id, name)")
    result = read(relay)
    assert [m.operation for m in asked(result)] == ["SELECT; DELETE orders; SELECT orders", "LOAD"]
    assert [m.status for m in answers(result)] == ["OK", "OK"]
    assert answers(result)[0].attributes == {"db.response.returned_rows": 3}
    assert "uploaded" not in repr(result.requests)


def test_prepared_statements(relay: Relay) -> None:
    """Executions by number show the text, typed parameters and binary rows; closing asks for no answer."""
    with connect(relay) as connection:
        connection._execute_command(
            0x16, b"SELECT id, name, at FROM orders WHERE id < ? AND name <> ? AND ? > '2000-01-01'"
        )
        prepared = connection._read_packet()._data
        number, columns, parameters = struct.unpack_from("<IHH", prepared, 1)
        for _ in range(parameters + columns + 2):
            connection._read_packet()
        types = b"\x08\0\xfd\0\x0c\0"
        moment = b"\x07" + struct.pack("<HBBBBB", 2024, 5, 6, 7, 8, 9)
        execute = struct.pack("<IBI", number, 0, 1) + b"\0\1" + types + struct.pack("<q", 2) + b"\x03abc" + moment
        connection._execute_command(0x17, execute)
        for _ in range(1 + columns + 1 + 1 + 1):
            connection._read_packet()
        connection._execute_command(0x18, struct.pack("<IH", number, 1) + b"long data")
        connection._execute_command(0x1A, struct.pack("<I", number))
        connection._read_packet()
        connection._execute_command(0x19, struct.pack("<I", number))
        connection._execute_command(0x09, b"")
        connection._read_packet()
    result = read(relay)
    assert [(m.operation, m.role, m.values) for m in asked(result)] == [
        ("PREPARE SELECT orders", Role.REQUEST, b"2000-01-01"),
        ("SELECT orders", Role.REQUEST, b"2000-01-01 2 abc 2024-05-06 07:08:09"),
        ("SEND LONG DATA", Role.ONE_WAY, b""),
        ("RESET STATEMENT", Role.REQUEST, b""),
        ("CLOSE STATEMENT", Role.ONE_WAY, b""),
        ("STATISTICS", Role.REQUEST, b""),
    ]
    assert [m.status for m in answers(result)] == ["OK"] * 4
    assert answers(result)[1].values == b"1 first 2024-01-02 03:04:05"
    recording = relay.recordings[-1]
    at = recording.client.index(struct.pack("<IBI", number, 0, 1)) - 5
    late = dissect(MySQL, recording.client[at:], b"", context=Context(started=(False, False)))
    assert late.requests[0].summary == f"<prepared before the capture> #{number}"
    assert late.requests[0].notes == ("prepared before the capture",)


def test_the_command_line_client_without_eof_packets(relay: Relay) -> None:
    """MariaDB's own client agrees on CLIENT_DEPRECATE_EOF and on extended capabilities; --compress is read."""
    command = ["mariadb", "--no-defaults", "-h127.0.0.1", f"-P{relay.port}", "-ushop", f"-p{PASSWORD}", "shop"]
    subprocess.run(
        [*command, "-e", "SELECT id FROM orders WHERE id = 1; SHOW TABLES"], check=True, timeout=20, capture_output=True
    )
    result = read(relay)
    assert [m.operation for m in asked(result, 0)] == ["SELECT orders", "SHOW TABLES"]
    assert [m.values for m in answers(result, 0)] == [b"1", b"orders"]
    subprocess.run([*command, "--compress", "-e", "SELECT 1"], check=True, timeout=20, capture_output=True)
    recording = relay.recordings[-1]
    assert recording.finished.wait(10)
    compressed = dissect(MySQL, recording.client, recording.server)
    assert (compressed.violations, compressed.unread) == ([], [])
    assert [m.operation for m in asked(compressed, 0)] == ["SELECT"]
    assert [m.values for m in answers(compressed, 0)] == [b"1"]
    many = "SELECT id, REPEAT('paint ', 500) FROM orders, (SELECT 1 UNION SELECT 2 UNION SELECT 3) three; SELECT nope"
    subprocess.run([*command, "--compress", "-fe", many], check=False, timeout=20, capture_output=True)
    packed = read(relay)
    assert [m.status for m in answers(packed, 0)] == ["OK", "1054 (42S22)"]
    assert answers(packed, 0)[0].attributes == {"db.response.returned_rows": 6}
    assert packed.responses[-2].end - packed.responses[-2].start < 2000 < 6 * 3000


# Made by hand

GREETING = b"\x0a8.0.36\0" + bytes(4) + b"abcdefgh\0" + bytes(31)
OK = b"\0\0\0\2\0\0\0"
EOF = b"\xfe\0\0\2\0"


def packets(*payloads: bytes, first: int = 0) -> bytes:
    return b"".join(
        struct.pack("<I", len(payload) | (first + index & 0xFF) << 24) + payload
        for index, payload in enumerate(payloads)
    )


def definition(name: bytes, kind: int) -> bytes:
    head = b"".join(bytes((len(part),)) + part for part in (b"def", b"shop", b"orders", b"orders", name, name))
    return head + b"\x0c\x21\0" + bytes(4) + bytes((kind,)) + bytes(5)


def handshake(capabilities: int) -> bytes:
    return packets(struct.pack("<IIB", capabilities, 1 << 24, 33) + bytes(23) + b"shop\0\0shop\0", first=1)


def conversation() -> tuple[bytes, bytes]:
    """A session with results, a prepared statement and an error."""
    client, server = handshake(0x8208), packets(GREETING) + packets(OK, first=2)
    client += packets(b"\x03SELECT id FROM orders WHERE name = 'secret'")
    rows = [b"\x0217", b"\x0218", b"\x0219"]
    server += packets(b"\x01", definition(b"id", 3), EOF, *rows, EOF, first=1)
    client += packets(b"\x16SELECT id FROM orders WHERE id = ?")
    server += packets(
        b"\0" + struct.pack("<IHHBH", 7, 1, 1, 0, 0), definition(b"?", 253), EOF, definition(b"id", 3), EOF, first=1
    )
    for number in range(4):
        client += packets(b"\x17" + struct.pack("<IBI", 7, 0, 1) + b"\0\1\x08\0" + struct.pack("<q", number))
        server += packets(b"\x01", definition(b"id", 3), EOF, b"\0\0" + struct.pack("<i", number), EOF, first=1)
    client += packets(b"\x19" + struct.pack("<I", 7)) + packets(b"\x03SELECT nope") + packets(b"\x01")
    server += packets(b"\xff\x1e\x04#42S22Unknown column", first=1)
    return client, server


CLIENT, SERVER = conversation()
WHOLE = dissect(MySQL, CLIENT, SERVER)


def test_the_conversation_made_by_hand() -> None:
    """What the property tests compare with is what was meant."""
    assert (WHOLE.violations, WHOLE.unread) == ([], [])
    requests = [(m.operation, m.values) for m in WHOLE.requests if m.role is not Role.CONTROL]
    assert requests[1:] == [
        ("SELECT orders", b"secret"),
        ("PREPARE SELECT orders", b""),
        *[("SELECT orders", b"%d" % number) for number in range(4)],
        ("CLOSE STATEMENT", b""),
        ("SELECT", b""),
    ]
    assert [(m.status, m.values) for m in WHOLE.responses][2:] == [
        ("OK", b"17"),
        ("OK", b""),
        *[("OK", b"%d" % number) for number in range(4)],
        ("1054 (42S22)", b""),
    ]


def test_tls_takes_over_behind_the_request() -> None:
    """An SSL request hands both directions over, from behind it and behind the greeting."""
    request = packets(struct.pack("<IIB", 0x8A08, 1 << 24, 33) + bytes(23), first=1)
    result = dissect(MySQL, request + b"\x16\x03\x01\x02\0", packets(GREETING) + b"\x16\x03\x03")
    assert result.succession is not None
    assert result.succession.protocol == "tls"
    assert (result.succession.client_offset, result.succession.server_offset) == (36, 4 + len(GREETING))


def test_query_attributes_stand_before_the_text() -> None:
    """With CLIENT_QUERY_ATTRIBUTES a query begins with parameters of its own; they are values, not text."""
    plain = packets(b"\x03\x00\x01SELECT 1 FROM t")
    with_one = packets(b"\x03\x01\x01\x00\x01\xfd\x00\x05trace\x06abc123SELECT 2 FROM t")
    result = dissect(MySQL, plain + with_one, b"", context=Context(started=(False, False)))
    assert [(m.summary, m.values) for m in result.requests] == [
        ("SELECT ? FROM t", b"1"),
        ("SELECT ? FROM t", b"2 abc123"),
    ]


def test_statements_longer_than_a_packet() -> None:
    """A full packet goes on in the next one: both are one command, and the bytes are passed over."""
    full = b"\xff\xff\xff\x00\x03INSERT INTO t VALUES ('" + b"x" * (0xFFFFFF - 24)
    stream = full + packets(b"y')", first=1) + packets(b"\x0e")
    result = dissect(MySQL, stream, b"", context=Context(started=(False, True)))
    assert [(m.operation, m.end) for m in result.requests] == [("INSERT t", len(stream) - 5), ("PING", len(stream))]
    protocol = MySQL(Context(started=(False, False)))
    assert protocol.parse(Side.CLIENT, full[:70_000], 0, 0) == 4 + 0xFFFFFF


def test_an_error_in_place_of_the_greeting_is_a_push() -> None:
    """A server with too many connections says so before anything is asked."""
    result = dissect(MySQL, b"", packets(b"\xff\x10\x04Too many connections"))
    assert [(m.role, m.operation) for m in result.responses] == [(Role.PUSH, "ERROR 1040")]


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_any_split_gives_the_same_messages(seed: int) -> None:
    """Where the packets were cut makes no difference."""
    result = dissect(MySQL, CLIENT, SERVER, splits=random.Random(seed))
    assert (result.requests, result.responses) == (WHOLE.requests, WHOLE.responses)


EXECUTION = packets(b"\x17" + struct.pack("<IBI", 7, 0, 1) + b"\0\1\x08\0" + struct.pack("<q", 4711))
NUMBER = definition(b"id", 3)
MORE = b"\xfe\0\0\x0a\0"
BINARY = b"\0\0" + struct.pack("<i", 42)
SHORT_OK = b"\xfe\0\0\2\0\0\0"
UNITS = [
    (packets(b"\x03UPDATE t SET a = 1"), packets(b"\0\1\0\3\0\0\0", first=1)),
    (packets(b"\x03INSERT t VALUES (1)"), packets(b"\0\1\xfc\x67\x12\2\0\0\0", first=1)),
    (packets(b"\x03SELECT a FROM t"), packets(b"\1", NUMBER, EOF, b"\x0217", b"\xfb", EOF, first=1)),
    (packets(b"\x03SELECT a FROM t"), packets(b"\1", NUMBER, b"\x0217", b"\x0218", SHORT_OK, first=1)),
    (packets(b"\x03SELECT a FROM t"), packets(b"\1", NUMBER, EOF, b"\x0217", MORE, OK, first=1)),
    (packets(b"\x03SELECT a FROM t"), packets(b"\1", NUMBER, EOF, b"\xff\x1e\x04#42S22No", first=1)),
    (packets(b"\x03SELECT a FROM t"), packets(b"\2\0", b"\x0217\x0218", EOF, first=1)),
    (packets(b"\x03SELECT a FROM t"), packets(b"\1", NUMBER, EOF, b"\x0217", EOF, first=2)),
    (EXECUTION, packets(b"\1", NUMBER, EOF, BINARY, BINARY, EOF, first=1)),
    (EXECUTION, packets(b"\1", NUMBER, b"\xfe\0\0\x42\0", first=1)),
    (EXECUTION, packets(OK, first=1)),
    (packets(b"\x0e"), packets(OK, first=1)),
]
"""What a client sends, and what its server answers; one of the answers is out of sequence."""


@given(st.lists(st.sampled_from(UNITS), max_size=8), st.integers(0, 2**32), st.booleans())
@settings(max_examples=150, deadline=None)
def test_whole_answers_are_read_as_if_packet_by_packet(
    units: list[tuple[bytes, bytes]], seed: int, whole: bool
) -> None:
    """What is read of plain answers at once gives the messages of the way that is taken for all others, gaps or not."""
    chooser = random.Random(seed)
    client = handshake(0x8208) + b"".join(unit[0] for unit in units)
    server = packets(GREETING) + packets(OK, first=2) + b"".join(unit[1] for unit in units)
    streams = (client, server) if whole else (with_gaps(client, chooser), with_gaps(server, chooser))
    at_once = dissect(MySQL, *streams)
    with patch.object(mysql_server.ServerReader, "_read_plain", lambda reader, data, at, base: at):
        plain = dissect(MySQL, *streams)
    assert (at_once.requests, at_once.responses) == (plain.requests, plain.responses)
    assert (at_once.violations, at_once.unread) == (plain.violations, plain.unread)


@given(st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_with_gaps_what_is_not_damaged_is_true(seed: int) -> None:
    """Each undamaged message has the span of one that was sent."""
    chooser = random.Random(seed)
    result = dissect(MySQL, with_gaps(CLIENT, chooser), with_gaps(SERVER, chooser))
    for found, true in ((result.requests, WHOLE.requests), (result.responses, WHOLE.responses)):
        spans = {(m.start, m.end) for m in true}
        for m in found:
            assert m.damaged or m.role is Role.CONTROL or (m.start, m.end) in spans


@given(st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_no_bytes_raise_anything_but_violation(seed: int) -> None:
    """Changed, missing and repeated bytes, exchanged sides and late starts are borne; probes bear them too."""
    chooser = random.Random(seed)
    client, server = mutated(CLIENT, chooser), mutated(SERVER, chooser)
    started = (chooser.random() < 0.5, chooser.random() < 0.5)
    dissect(MySQL, client, server, context=Context(started=started))
    dissect(MySQL, server, client, context=Context(started=started))
    assert 0 <= MySQL.probe(client, server) <= 1
    assert 0 <= MySQL.probe(chooser.randbytes(40), chooser.randbytes(40)) <= 1


@pytest.mark.parametrize("first", range(256))
def test_short_packets_of_every_kind_are_borne(first: int) -> None:
    """A packet without what its first byte promises is read, or is a violation."""
    for length in (1, 2, 3, 5, 9):
        payload = bytes((first,)) * length
        for side, sequence in ((Side.CLIENT, 0), (Side.SERVER, 1)):
            protocol = MySQL(Context(started=(False, False)))
            with contextlib.suppress(Violation):
                protocol.parse(side, packets(payload, payload, first=sequence), 0, 0)


def test_rows_of_nothing_but_empty_columns_are_borne() -> None:
    """A long row is read as far as it is there, however small its columns are."""
    protocol = MySQL(Context(started=(False, False)))
    stream = packets(b"\x01", definition(b"id", 3), EOF, b"\0" * 200_000, first=1)
    for cut in (65_600, 66_000, 80_000):
        assert protocol.parse(Side.SERVER, stream[:cut], 0, 0) <= len(stream)
        protocol = MySQL(Context(started=(False, False)))


def test_either_direction_alone_is_read() -> None:
    """Without the other direction the spans are the same."""
    client = dissect(MySQL, CLIENT, b"").requests
    server = dissect(MySQL, b"", SERVER, context=Context(started=(False, True))).responses
    assert [(m.start, m.end) for m in client] == [(m.start, m.end) for m in WHOLE.requests]
    assert [(m.start, m.end) for m in server[2:]] == [(m.start, m.end) for m in WHOLE.responses[2:]]


def test_probe_knows_its_own_and_its_roles() -> None:
    """Openings, and streams that were joined midway, are recognised in the right roles only."""
    assert MySQL.probe(CLIENT, SERVER) == 1
    assert MySQL.probe(SERVER, CLIENT) == 0
    later = CLIENT.index(b"\x03SELECT") - 4, SERVER.index(b"\x01\0\0\x01\x01")
    assert MySQL.probe(CLIENT[later[0] :], b"") >= 0.8
    assert MySQL.probe(b"", SERVER[later[1] :]) >= 0.8
    assert MySQL.probe(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n") == 0
    assert MySQL.probe(b"", b"") == 0


def test_numbers_are_no_commands() -> None:
    """Rows of small 32-bit numbers look like packets of COM_FIELD_LIST, and name no table."""
    assert MySQL.probe(struct.pack("<12I", *[4] * 12), b"") < 0.5
    assert MySQL.probe(b"", b"\x03\x02\x02\x01\0\0\x1cF\x88" + struct.pack("<IBBBHH", 1 << 24 | 7, 0, 0, 0, 2, 0)) < 0.5
