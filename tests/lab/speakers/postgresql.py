"""PostgreSQL: psycopg (simple, extended, prepared, pipelined, COPY, transactions) and asyncpg (over TLS with a key log)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING, Any

import asyncpg
import psycopg
from tests.lab.speakers.diary import CLIENTS, Diary, Scenario, at_once
from tests.support.servers import postgresql
from tests.support.tls import client_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOGIN = {"host": "127.0.0.1", "user": "shop", "password": "correct horse"}
CALLS_A_ROUND = 30
CALLS_A_ROUND_OF_TLS = 10
TABLE = "CREATE TABLE orders (id int PRIMARY KEY, name text)"
LARGE = "SELECT n AS {alias}, repeat('paint ', 20) FROM generate_series(1, 2000) n"


@contextlib.contextmanager
def plain(_folder: Path) -> Iterator[int]:
    """A server without TLS."""
    with postgresql() as port:
        create_table(port)
        yield port


@contextlib.contextmanager
def secure(_folder: Path) -> Iterator[int]:
    """A server with TLS."""
    with postgresql(tls=True) as port:
        create_table(port)
        yield port


def create_table(port: int) -> None:
    """What the clients work on, made before anything is recorded."""
    with psycopg.connect(**LOGIN, port=port, dbname="postgres", autocommit=True) as connection:
        connection.execute(TABLE)


def speak(port: int, diary: Diary, calls: int) -> None:
    """All forms of queries, by several clients."""
    at_once(lambda _: visit(port, diary, max(1, calls // CLIENTS // CALLS_A_ROUND)))


def visit(port: int, diary: Diary, rounds: int) -> None:
    """One client."""
    with psycopg.connect(**LOGIN, port=port, dbname="postgres", autocommit=True, sslmode="disable") as connection:
        mine = Client(connection, diary)
        for _ in range(rounds):
            mine.simple()
            mine.extended()
            mine.transaction()
            mine.copy()
            mine.prepared()
            mine.pipelined()


class Client:
    """One connection of psycopg, which writes down what it asks."""

    def __init__(self, connection: psycopg.Connection[Any], diary: Diary) -> None:
        self.connection, self.diary = connection, diary
        with socket.socket(fileno=os.dup(connection.fileno())) as own:
            self.port: int = own.getsockname()[1]

    def note(self, operation: str, status: str, nonce: int = 0, outcome: str = "ok") -> None:
        """Write down a call of this connection."""
        self.diary.note(operation, status, outcome, nonce=nonce, connection=self.port)

    def ask(self, operation: str, text: str, parameters: Any = None, **options: Any) -> None:
        """Execute one statement, in whose text {alias} is the nonce."""
        nonce = self.diary.nonce()
        try:
            cursor = self.connection.execute(text.format(alias=f"nonce{nonce}"), parameters, **options)
        except psycopg.Error as error:
            self.note(operation, error.sqlstate or "", nonce, "error")
        else:
            self.note(operation, cursor.statusmessage or "", nonce)

    def simple(self) -> None:
        """Simple queries: several statements in one, an empty one, errors, many rows."""
        self.ask("SELECT", "SELECT 1 AS {alias}")
        self.ask("SELECT orders", "SELECT name AS {alias} FROM orders WHERE id < 0")
        self.ask("SELECT", LARGE)
        self.ask("SELECT", "SELECT {alias}.nope")
        self.ask("SELECT nowhere", "SELECT 1 AS {alias} FROM nowhere")
        for text, operation in (
            ("SELECT 1 AS {alias}; UPDATE orders SET name = '' WHERE id < 0", "SELECT; UPDATE orders"),
            ("SELECT 1 AS {alias}; SELECT 1/0; SELECT 2", "SELECT"),
        ):
            nonce = self.diary.nonce()
            result = self.connection.pgconn.exec_(text.format(alias=f"nonce{nonce}").encode())
            if result.status == psycopg.pq.ExecStatus.FATAL_ERROR:
                state = result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b""
                self.note(operation, state.decode(), nonce, "error")
            else:
                self.note(operation, (result.command_status or b"").decode(), nonce)

    def extended(self) -> None:
        """Statements with parameters, in text and binary form."""
        name = f"nonce{self.diary.nonce()}"
        number = int(name.removeprefix("nonce"))
        self.ask("INSERT orders", "INSERT INTO orders /* {alias} */ VALUES (%s, %s)", (number, name))
        self.ask("INSERT orders", "INSERT INTO orders /* {alias} */ VALUES (%s, %s)", (number, name))
        self.ask("SELECT orders", "SELECT name AS {alias} FROM orders WHERE id = %b", (number,), binary=True)
        self.ask("SELECT", "SELECT %s::int / 0 AS {alias}", (number,))

    def transaction(self) -> None:
        """A transaction that is committed, and one that fails and is rolled back."""
        connection = self.connection
        connection.autocommit = False
        self.ask("UPDATE orders", "UPDATE orders /* {alias} */ SET name = %s WHERE id = %s", ("paint", 1))
        connection.commit()
        self.ask("SELECT", "SELECT {alias}.nope")
        self.ask("SELECT", "SELECT 1 AS {alias}")
        connection.rollback()
        connection.autocommit = True
        for operation in ("BEGIN", "COMMIT", "BEGIN", "ROLLBACK"):
            self.note(operation, operation)

    def copy(self) -> None:
        """COPY in both directions, and one that the client calls off."""
        nonce = self.diary.nonce()
        with self.connection.cursor() as cursor:
            with cursor.copy(f"COPY orders /* nonce{nonce} */ FROM STDIN") as copy:
                for number in range(3):
                    copy.write_row((nonce * 1000 + number, "copied"))
            self.note("COPY orders", cursor.statusmessage or "", nonce)
            nonce = self.diary.nonce()
            with cursor.copy(f"COPY (SELECT n AS nonce{nonce} FROM generate_series(1, 500) n) TO STDOUT") as copy:
                rows = len([*copy.rows()])
            self.note("COPY SELECT", f"COPY {rows}", nonce)
            nonce = self.diary.nonce()
            try:
                with cursor.copy(f"COPY orders /* nonce{nonce} */ FROM STDIN") as copy:
                    copy.write(b"not a number\tx\n")
            except psycopg.Error as error:
                self.note("COPY orders", error.sqlstate or "", nonce, "error")

    def prepared(self) -> None:
        """A statement that is prepared once and executed several times."""
        nonce = self.diary.nonce()
        for number in range(4):
            cursor = self.connection.execute(f"SELECT %s::int + 1 AS nonce{nonce}", (number,), prepare=True)
            self.note("SELECT", cursor.statusmessage or "", nonce)
        self.note("PREPARE SELECT", "PREPARE", nonce)

    def pipelined(self) -> None:
        """Several statements without waiting, each with an answer of its own."""
        asked = []
        with self.connection.pipeline():
            for number in range(5):
                nonce = self.diary.nonce()
                asked.append(
                    (nonce, self.connection.execute(f"SELECT %s::int AS nonce{nonce}", (number,), prepare=False))
                )
        for nonce, cursor in asked:
            self.note("SELECT", cursor.statusmessage or "", nonce)


def speak_securely(port: int, diary: Diary, calls: int) -> None:
    """asyncpg inside TLS, by several clients of one loop."""

    async def visits() -> None:
        rounds = max(1, calls // CLIENTS // CALLS_A_ROUND_OF_TLS)
        await asyncio.gather(*(visit_securely(port, diary, rounds) for _ in range(CLIENTS)))

    asyncio.run(visits())


async def visit_securely(port: int, diary: Diary, rounds: int) -> None:
    """One client."""
    context = client_context(diary.key_log)
    connection = await asyncpg.connect(**LOGIN, port=port, database="postgres", ssl=context, statement_cache_size=0)
    own = connection._transport.get_extra_info("sockname")[1]

    def note(operation: str, status: str, nonce: int = 0, outcome: str = "ok") -> None:
        diary.note(operation, status, outcome, nonce=nonce, connection=own)

    for _ in range(rounds):
        nonce = diary.nonce()
        note("SELECT", await connection.execute(f"SELECT 1 AS nonce{nonce}"), nonce)
        nonce = diary.nonce()
        rows = await connection.fetch(LARGE.format(alias=f"nonce{nonce}"))
        note("SELECT", f"SELECT {len(rows)}", nonce)
        note("PREPARE SELECT", "PREPARE", nonce)
        nonce = diary.nonce()
        try:
            await connection.execute(f"SELECT nonce{nonce}.nope")
        except asyncpg.PostgresError as error:
            note("SELECT", error.sqlstate, nonce, "error")
        statement_nonce = diary.nonce()
        statement = await connection.prepare(f"SELECT $1::int AS nonce{statement_nonce}")
        note("PREPARE SELECT", "PREPARE", statement_nonce)
        for number in range(2):
            await statement.fetch(number)
            note("SELECT", statement.get_statusmsg(), statement_nonce)
        async with connection.transaction():
            nonce = diary.nonce()
            note(
                "UPDATE orders",
                await connection.execute(f"UPDATE orders /* nonce{nonce} */ SET id = 0 WHERE id < 0"),
                nonce,
            )
        note("BEGIN", "BEGIN")
        note("COMMIT", "COMMIT")
    await connection.close()


# Both libraries forget what they have prepared when they have prepared much.
OWN = ("login", "SSLRequest", "GSSENCRequest", "DEALLOCATE")
SCENARIOS = (
    Scenario("PostgreSQL", plain, speak, OWN),
    Scenario("PostgreSQL over TLS", secure, speak_securely, OWN),
)
