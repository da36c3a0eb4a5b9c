"""MariaDB: PyMySQL (text, several results, errors) and MySQL Connector (prepared statements, compression)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import mysql.connector
import pymysql
from pymysql.constants import CLIENT
from tests.lab.speakers.diary import CLIENTS, Diary, Scenario, at_once
from tests.support.servers import mariadb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOGIN = {"host": "127.0.0.1", "user": "shop", "password": "correct horse", "database": "shop"}
CALLS_A_ROUND = 12
PREPARED_CALLS_A_ROUND = 12
COMPRESSED_CALLS_A_ROUND = 6
LARGE = "SELECT seq AS {alias}, REPEAT('paint ', 20) FROM seq_1_to_2000"
COLLATION = "utf8mb4_general_ci"
"""One that MariaDB knows: the connector would ask for one of MySQL's."""


@contextlib.contextmanager
def server(_folder: Path) -> Iterator[int]:
    """A server with a table."""
    with mariadb() as port:
        with pymysql.connect(**LOGIN, port=port) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE orders (id int PRIMARY KEY, name varchar(50))")
        yield port


def status_of(error: pymysql.Error | mysql.connector.Error, state: str) -> str:
    """As docs/protocols.md has it: the number and the SQLSTATE."""
    number = error.args[0] if isinstance(error, pymysql.Error) else error.errno
    return f"{number} ({state})"


def speak(port: int, diary: Diary, calls: int) -> None:
    """Text queries of all forms."""
    at_once(lambda _: visit(port, diary, max(1, calls // CLIENTS // CALLS_A_ROUND)))


def visit(port: int, diary: Diary, rounds: int) -> None:
    """One client of PyMySQL."""
    with pymysql.connect(**LOGIN, port=port, client_flag=CLIENT.MULTI_STATEMENTS, autocommit=True) as connection:
        own: int = connection._sock.getsockname()[1]

        def ask(operation: str, text: str, state: str = "") -> None:
            """One query, in whose text {alias} is the nonce; `state` is the SQLSTATE, which the library does not tell."""
            nonce = diary.nonce()
            try:
                with connection.cursor() as cursor:
                    cursor.execute(text.format(alias=f"nonce{nonce}"))
                    while cursor.nextset():
                        pass
            except pymysql.Error as error:
                diary.note(operation, status_of(error, state), "error", nonce=nonce, connection=own)
            else:
                diary.note(operation, "OK", nonce=nonce, connection=own)

        for _ in range(rounds):
            ask("SELECT", "SELECT 1 AS {alias}")
            ask("SELECT orders", "SELECT name AS {alias} FROM orders WHERE id < 0")
            ask("SELECT seq_1_to_2000", LARGE)
            ask("SELECT", "SELECT {alias}.nope", "42S02")
            ask("SELECT nowhere", "SELECT 1 AS {alias} FROM nowhere", "42S02")
            ask("INSERT orders", f"INSERT INTO orders /* {{alias}} */ VALUES ({diary.nonce()}, 'paint')")
            twice = diary.nonce()  # a row of its own: clients that wait for each other would be told of a deadlock
            ask("INSERT orders", f"INSERT INTO orders /* {{alias}} */ VALUES ({twice}, 'a'), ({twice}, 'b')", "23000")
            ask(
                "SELECT; UPDATE orders; SELECT",
                "SELECT 1; UPDATE orders SET name = 'x' WHERE id < 0; SELECT 2 AS {alias}",
            )
            ask("SELECT", "SELECT 1 AS {alias}; SELECT nope", "42S22")
            connection.begin()
            ask("UPDATE orders", "UPDATE orders /* {alias} */ SET name = 'y' WHERE id = 0")
            connection.rollback()
            connection.ping()
            for operation in ("BEGIN", "ROLLBACK", "PING"):
                diary.note(operation, "OK", connection=own)


def speak_prepared(port: int, diary: Diary, calls: int) -> None:
    """Prepared statements."""
    at_once(lambda _: visit_prepared(port, diary, max(1, calls // CLIENTS // PREPARED_CALLS_A_ROUND)))


def connect(port: int, **options: Any) -> tuple[Any, int]:
    """A connection of MySQL Connector, and its own port."""
    connection = mysql.connector.connect(
        **LOGIN, port=port, use_pure=True, ssl_disabled=True, autocommit=True, collation=COLLATION, **options
    )
    return connection, connection._socket.sock.getsockname()[1]


def visit_prepared(port: int, diary: Diary, rounds: int) -> None:
    """One client that prepares, executes several times, and closes."""
    connection, own = connect(port)

    def note(operation: str, status: str, nonce: int = 0, outcome: str = "ok") -> None:
        diary.note(operation, status, outcome, nonce=nonce, connection=own)

    for _ in range(rounds):
        cursor = connection.cursor(prepared=True)
        nonce = diary.nonce()
        statement = f"SELECT ? + 1 AS nonce{nonce}"  # the library prepares another object anew, whatever its text
        for number in range(4):
            cursor.execute(statement, (number,))
            cursor.fetchall()
            note("SELECT", "OK", nonce)
        note("PREPARE SELECT", "OK", nonce)
        cursor.close()
        cursor = connection.cursor(prepared=True)
        nonce = diary.nonce()
        statement = f"INSERT INTO orders /* nonce{nonce} */ VALUES (?, ?)"
        for _ in range(2):
            try:
                cursor.execute(statement, (nonce, "paint"))
            except mysql.connector.Error as error:
                note("INSERT orders", status_of(error, error.sqlstate), nonce, "error")
            else:
                note("INSERT orders", "OK", nonce)
        note("PREPARE INSERT orders", "OK", nonce)
        cursor.close()
        nonce = diary.nonce()
        try:
            connection.cursor(prepared=True).execute(f"SELECT nope AS nonce{nonce} FROM orders WHERE id = ?", (1,))
        except mysql.connector.Error as error:
            note("PREPARE SELECT orders", status_of(error, error.sqlstate), nonce, "error")
    connection.close()


def speak_compressed(port: int, diary: Diary, calls: int) -> None:
    """Queries and answers that are packed."""
    at_once(lambda _: visit_compressed(port, diary, max(1, calls // CLIENTS // COMPRESSED_CALLS_A_ROUND)))


def visit_compressed(port: int, diary: Diary, rounds: int) -> None:
    """One client with compression."""
    connection, own = connect(port, compress=True)

    def ask(operation: str, text: str) -> None:
        nonce = diary.nonce()
        cursor = connection.cursor()
        try:
            cursor.execute(text.format(alias=f"nonce{nonce}"))
            cursor.fetchall()
        except mysql.connector.Error as error:
            diary.note(operation, status_of(error, error.sqlstate), "error", nonce=nonce, connection=own)
        else:
            diary.note(operation, "OK", nonce=nonce, connection=own)
        cursor.close()

    for _ in range(rounds):
        ask("SELECT", "SELECT 1 AS {alias}")
        ask("SELECT", "SELECT 1 AS {alias}, '" + "paint " * 300 + "'")
        ask("SELECT seq_1_to_2000", LARGE)
        ask("SELECT orders", "SELECT name AS {alias} FROM orders WHERE id < 0")
        ask("SELECT", "SELECT {alias}.nope")
        ask("INSERT orders", f"INSERT INTO orders /* {{alias}} */ VALUES ({diary.nonce()}, '{'x' * 50}')")
    connection.close()


OWN = ("login", "SET NAMES", "SET @@session.autocommit", "PING", "RESET STATEMENT", "CLOSE STATEMENT")
SCENARIOS = (
    Scenario("MariaDB", server, speak, OWN),
    Scenario("MariaDB, prepared", server, speak_prepared, OWN),
    Scenario("MariaDB, compressed", server, speak_compressed, OWN),
)
