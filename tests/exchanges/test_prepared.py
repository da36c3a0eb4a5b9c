"""Statements that were prepared before the capture began: other connections of the same two ends tell their text."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from tests.protocols.expectations import exchanges_of_capture
from tests.protocols.test_mysql import GREETING, OK, definition, handshake, packets
from tests.support.captures import TcpConversation, write_pcap

from wiretrace.exchanges.prepared import KNOWN_ELSEWHERE
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context
from wiretrace.protocols.sql_message import PREPARED_BEFORE, Description, Statements

if TYPE_CHECKING:
    from pathlib import Path

SERVER = ("10.0.0.9", 5432)
ORDERS = b"SELECT * FROM orders WHERE id = $1"
EOF = b"\xfe\0\0\2\0"


def message(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack(">I", 4 + len(content)) + content


def executed(name: bytes, values: int = 1) -> bytes:
    """Bind, Execute and Sync with so many parameters."""
    bound = (
        b"\0"
        + name
        + b"\0"
        + struct.pack(">HH", 0, values)
        + struct.pack(">I2s", 2, b"42") * values
        + struct.pack(">H", 0)
    )
    return message(b"B", bound) + message(b"E", b"\0" + bytes(4)) + message(b"S", b"")


ANSWER = message(b"2", b"") + message(b"C", b"SELECT 0\0") + message(b"Z", b"I")
PREPARED = message(b"1", b"") + message(b"Z", b"I")


def talk(
    port: int, said: list[tuple[bytes, bytes]], client: str = "10.0.0.1", server: tuple[str, int] = SERVER
) -> list[Any]:
    """The packets of a connection that was joined midway."""
    conversation = TcpConversation((client, port), server)
    for asked, answered in said:
        conversation.send(Side.CLIENT, asked).send(Side.SERVER, answered)
    return conversation.packets


def parse(name: bytes, text: bytes) -> tuple[bytes, bytes]:
    return message(b"P", name + b"\0" + text + b"\0\0\0") + message(b"S", b""), PREPARED


def read(folder: Path, *connections: list[Any]) -> dict[str, Any]:
    """The exchanges of the statements in question."""
    packets_of_all = sorted(packet for connection in connections for packet in connection)
    found = exchanges_of_capture(write_pcap(folder / "a.pcap", packets_of_all))
    return {row["summary"]: row for row in found["exchanges"] if not row["operation"].startswith("PREPARE")}


def test_the_text_is_that_of_another_connection_whenever_it_is_prepared(tmp_path: Path) -> None:
    """Also behind the call; for the same two ends, the same name and the same number of parameters."""
    old = talk(40001, [(executed(b"s1"), ANSWER)] * 3)
    later = talk(40002, [parse(b"s1", ORDERS), (executed(b"s1"), ANSWER)])
    rows = read(tmp_path, old, later)
    assert set(rows) == {ORDERS.decode()}
    row = rows[ORDERS.decode()]
    assert row["operation"] == "SELECT orders"
    whole = exchanges_of_capture(tmp_path / "a.pcap")["exchanges"]
    notes = [row["notes"] for row in whole if row["operation"] == "SELECT orders"]
    assert notes.count([KNOWN_ELSEWHERE]) == 3
    assert notes.count([]) == 1
    recognised = next(row for row in whole if row["notes"])
    assert recognised["attributes"]["db.query.text"] == ORDERS.decode()
    assert recognised["attributes"]["wiretrace.statement.name"] == "s1"


def test_what_is_not_beyond_doubt_stays_a_name(tmp_path: Path) -> None:
    """Two texts under a name, another number of parameters, another client, another server."""
    old = talk(40001, [(executed(b"s1"), ANSWER)] * 3)
    unknown = f"<{PREPARED_BEFORE}> s1"
    two = [
        talk(40002 + at, [parse(b"s1", text)]) for at, text in enumerate((ORDERS, b"SELECT * FROM bins WHERE id = $1"))
    ]
    more = talk(40002, [parse(b"s1", ORDERS + b" AND n = $2")])
    elsewhere = talk(40002, [parse(b"s1", ORDERS)], client="10.0.0.2")
    other = talk(40002, [parse(b"s1", ORDERS)], server=("10.0.0.8", 5432))
    for connections in (two, [more], [elsewhere], [other]):
        rows = read(tmp_path, old, *connections)
        assert set(rows) == {unknown}
        assert rows[unknown]["notes"] == [PREPARED_BEFORE]


def test_numbers_of_mysql_are_recognised_where_they_mean_one_text(tmp_path: Path) -> None:
    server = ("10.0.0.9", 3306)
    execute = packets(b"\x17" + struct.pack("<IBI", 7, 0, 1) + b"\0\1\x08\0" + struct.pack("<q", 4711))
    answered = packets(b"\x01", definition(b"id", 3), EOF, b"\0\0" + struct.pack("<i", 1), EOF, first=1)
    old = talk(40001, [(execute, answered)] * 3, server=server)
    prepare = packets(b"\x16SELECT id FROM orders WHERE id = ?")
    numbered = packets(
        b"\0" + struct.pack("<IHHBH", 7, 1, 1, 0, 0), definition(b"?", 253), EOF, definition(b"id", 3), EOF, first=1
    )
    begun = TcpConversation(("10.0.0.1", 40002), server).open().send(Side.SERVER, packets(GREETING))
    begun.send(Side.CLIENT, handshake(0x8208)).send(Side.SERVER, packets(OK, first=2))
    begun.send(Side.CLIENT, prepare).send(Side.SERVER, numbered)
    assert "<prepared before the capture> #7" in read(tmp_path, old)
    rows = read(tmp_path, old, begun.packets)
    assert rows["SELECT id FROM orders WHERE id = ?"]["notes"] == [KNOWN_ELSEWHERE]


def test_no_more_statements_are_remembered_than_the_limit_allows() -> None:
    statements = Statements.of(Context())
    text = Description("SELECT a", "SELECT a", {}, b"", (), 0)
    for number in range(30_000):
        statements.remember("a>b:1", f"s{number}", 1, text)
    assert statements.find("a>b:1", "s19999", 1) is text
    assert statements.find("a>b:1", "s20000", 1) is None
