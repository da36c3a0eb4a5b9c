"""Connection pools of the threaded shop. Every call through them is written down with the connection it used.

Rules of this file: a connection serves one call or one transaction at a time; it is opened when none is free and the
pool is not full, and that set-up is written down as such; a MariaDB connection that was idle for long is pinged
first, as pools do.
"""

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import psycopg
import pymysql
from pymemcache.client.base import Client as MemcachedClient
from tests.lab import topology
from tests.lab.apps.blocking_http import HttpClient
from tests.lab.apps.prepared import PreparedStatement
from tests.lab.truth import HEADER, Endpoint, TruthLog, endpoint, new_id, now_ns

ConnectionType = TypeVar("ConnectionType")
IDLE_SECONDS_BEFORE_PING = 0.5


class Pool(Generic[ConnectionType]):
    """Up to ``size`` connections, the most recently used first."""

    def __init__(self, size: int, opened_at_start: int, connect: Callable[[], ConnectionType]) -> None:
        self._connect = connect
        self._free: queue.LifoQueue[ConnectionType] = queue.LifoQueue()
        self._room = threading.Semaphore(size - opened_at_start)
        for _ in range(opened_at_start):
            self._free.put(connect())

    @contextlib.contextmanager
    def lease(self) -> Iterator[ConnectionType]:
        """A connection of one's own until the block ends."""
        try:
            connection = self._free.get_nowait()
        except queue.Empty:
            connection = self._connect() if self._room.acquire(blocking=False) else self._free.get()
        try:
            yield connection
        finally:
            self._free.put(connection)


class PostgresqlSession:
    """A psycopg connection that writes down its calls."""

    def __init__(self, log: TruthLog) -> None:
        self._log = log
        start = now_ns()
        self._connection = psycopg.connect(
            host=topology.ipv4("pg1"), port=topology.POSTGRESQL_PORT, user=topology.USER,
            password=topology.PASSWORD, dbname=topology.DATABASE, autocommit=True,
        )  # fmt: skip
        with socket.socket(fileno=self._connection.pgconn.socket) as borrowed:
            self._client, self._server = endpoint(borrowed.getsockname()), endpoint(borrowed.getpeername())
            borrowed.detach()
        log.write(None, "pg", "postgresql", "login", self._client, self._server, start, exchanges=None, setup=True)

    def extended(self, parent: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement with parameters that travel apart from it (extended protocol); it is prepared at the fifth run."""
        return self._run(parent, statement, psycopg.Cursor, parameters, exchanges=None)

    def simple(self, parent: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement that holds its values as literals (simple protocol)."""
        return self._run(parent, statement, psycopg.ClientCursor, parameters, exchanges=1)

    def _run(
        self, parent: str, statement: str, kind: type[Any], parameters: tuple[object, ...], exchanges: int | None
    ) -> list[tuple[Any, ...]]:
        start = now_ns()
        with kind(self._connection) as cursor:
            cursor.execute(statement, parameters or None)
            rows = cursor.fetchall() if cursor.description else []
        self._log.write(parent, "pg", "postgresql", statement, self._client, self._server, start, exchanges=exchanges)
        return rows


class MariadbSession:
    """A PyMySQL connection that writes down its calls."""

    def __init__(self, log: TruthLog) -> None:
        self._log = log
        start = now_ns()
        self._connection = pymysql.connect(
            host=topology.ipv4("maria1"), port=topology.MARIADB_PORT, user=topology.USER, password=topology.PASSWORD,
            database=topology.DATABASE, autocommit=True,
        )  # fmt: skip
        self._client = endpoint(self._connection._sock.getsockname())
        self._server = endpoint(self._connection._sock.getpeername())
        self._statements: dict[str, PreparedStatement] = {}
        self._used = time.monotonic()
        log.write(None, "maria", "mysql", "login", self._client, self._server, start, exchanges=None, setup=True)

    def ping_if_idle(self) -> None:
        """Make sure that the server still holds the connection, where it was idle for long."""
        if time.monotonic() - self._used > IDLE_SECONDS_BEFORE_PING:
            start = now_ns()
            self._connection.ping(reconnect=False)
            self._log.write(None, "maria", "mysql", "ping", self._client, self._server, start, setup=True)

    def text(self, parent: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement that holds its values as literals (COM_QUERY, text rows)."""
        start = now_ns()
        with self._connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            rows = list(cursor.fetchall())
        self._log.write(parent, "maria", "mysql", statement, self._client, self._server, start)
        self._used = time.monotonic()
        return rows

    def prepared(self, parent: str, statement: str, *parameters: int | str) -> list[tuple[Any, ...]]:
        """Run a statement that the server keeps (COM_STMT_EXECUTE, binary rows), preparing it when it is new here."""
        start = now_ns()
        exchanges = 1
        if statement not in self._statements:
            self._statements[statement] = PreparedStatement(self._connection, statement)
            exchanges = 2
        rows = self._statements[statement].execute(*parameters)
        self._log.write(parent, "maria", "mysql", statement, self._client, self._server, start, exchanges=exchanges)
        self._used = time.monotonic()
        return rows


class MemcachedSession:
    """A pymemcache connection (text protocol) that writes down its calls."""

    def __init__(self, log: TruthLog) -> None:
        self._log = log
        self._connection = MemcachedClient(
            (topology.ipv4("cache1"), topology.MEMCACHED_PORT), no_delay=True, default_noreply=False
        )
        start = now_ns()
        self._connection.version()
        self._client = endpoint(self._connection.sock.getsockname())
        self._server = endpoint(self._connection.sock.getpeername())
        log.write(None, "memcached", "memcached", "version", self._client, self._server, start, setup=True)

    def get(self, parent: str, key: str) -> bytes | None:
        """The value of ``key``, or None."""
        return self._call(parent, "get", lambda: self._connection.get(key))

    def get_many(self, parent: str, keys: list[str]) -> dict[str, bytes]:
        """The values of the ``keys`` that are there, asked for in one request."""
        return self._call(parent, "get", lambda: self._connection.get_many(keys))

    def set(self, parent: str, key: str, value: bytes) -> None:
        """Store a value for five minutes."""
        self._call(parent, "set", lambda: self._connection.set(key, value, expire=300))

    def delete(self, parent: str, key: str) -> None:
        """Remove a value."""
        self._call(parent, "delete", lambda: self._connection.delete(key))

    def _call(self, parent: str, operation: str, act: Callable[[], Any]) -> Any:
        start = now_ns()
        answer = act()
        self._log.write(parent, "memcached", "memcached", operation, self._client, self._server, start)
        return answer


class HttpSession:
    """A kept HTTP connection that writes down its calls."""

    def __init__(self, log: TruthLog, callee: str, address: str, port: int) -> None:
        self._log, self._callee, self._address, self._port = log, callee, address, port
        self._open()

    def _open(self) -> None:
        self._http = HttpClient(self._address, self._port, "shop/1.4")
        self._client: Endpoint = endpoint(self._http.connection.getsockname())
        self._server: Endpoint = endpoint(self._http.connection.getpeername())

    def request(self, parent: str, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
        """Send a request and return the status and the body of its response."""
        call_id = new_id()
        if not self._http.usable:
            self._http.close()
            self._open()
        start = now_ns()
        answer = self._http.request(method, target, f"{HEADER}: {call_id}\r\n", body)
        self._log.write(
            parent, self._callee, "http", f"{method} {target}", self._client, self._server, start, call_id=call_id
        )
        return answer
