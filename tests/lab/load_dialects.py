"""How `tests.lab.load_client` speaks each protocol: a request that carries a nonce, and where the response that repeats
it ends.

Rules of this file: responses are small and whole; a function returns 0 where the response is not complete. Layouts:
RFC 9112; PostgreSQL manual "Message Formats"; MariaDB "Server/Client protocol"; Redis "RESP"; memcached
"protocol.txt" and "Binary protocol".
"""

import random
import socket
import struct
from collections.abc import Callable
from typing import NamedTuple

import psycopg
import pymysql
from tests.lab import topology
from tests.lab.apps.prepared import COM_STMT_EXECUTE, PreparedStatement

NONCE_DIGITS = 16
MEMCACHED_GETK = 0x0C

Request = Callable[[bytes], bytes]
ResponseSize = Callable[[bytes], int]
Opened = tuple[socket.socket, Request, ResponseSize]


class Dialect(NamedTuple):
    """One way to speak a protocol."""

    name: str
    open: Callable[[], Opened]
    pipelined: bool = False


def new_nonce(source: random.Random) -> bytes:
    """A nonce of sixteen hexadecimal digits."""
    return b"%016x" % source.getrandbits(4 * NONCE_DIGITS)


def _connect(host: str, port: int) -> socket.socket:
    connection = socket.create_connection((topology.ipv4(host), port), timeout=30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _open_http() -> Opened:
    head = b" HTTP/1.1\r\nHost: echo.example.org\r\nUser-Agent: load/1.0\r\nAccept: */*\r\n\r\n"
    return _connect("web1", topology.HTTP_PORT), lambda nonce: b"GET /echo/" + nonce + head, _http_size


def _http_size(data: bytes) -> int:
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return 0
    at = data.index(b"Content-Length: ") + 16
    size = end + 4 + int(data[at : data.index(b"\r", at)])
    return size if len(data) >= size else 0


def _open_postgresql(request: Request) -> Opened:
    """Log in with psycopg, and talk on its socket."""
    connection = psycopg.connect(
        host=topology.ipv4("pg1"), port=topology.POSTGRESQL_PORT, user=topology.USER, password=topology.PASSWORD,
        dbname=topology.DATABASE, autocommit=True,
    )  # fmt: skip
    _libraries.append(connection)
    plain = socket.socket(fileno=connection.pgconn.socket)
    plain.setblocking(True)
    return plain, request, _postgresql_size


def _postgresql_message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">I", len(body) + 4) + body


def _postgresql_simple(nonce: bytes) -> bytes:
    return _postgresql_message(b"Q", b"SELECT '" + nonce + b"', 1\0")


_POSTGRESQL_PARSE = _postgresql_message(b"P", b"\0SELECT $1::text\0\0\0")
_POSTGRESQL_REST = (
    _postgresql_message(b"D", b"P\0") + _postgresql_message(b"E", b"\0\0\0\0\0") + _postgresql_message(b"S", b"")
)


def _postgresql_extended(nonce: bytes) -> bytes:
    bind = b"\0\0\0\0\0\1" + struct.pack(">I", len(nonce)) + nonce + b"\0\0"
    return _POSTGRESQL_PARSE + _postgresql_message(b"B", bind) + _POSTGRESQL_REST


def _postgresql_size(data: bytes) -> int:
    at = 0
    while at + 5 <= len(data):
        end = at + 1 + struct.unpack_from(">I", data, at + 1)[0]
        if data[at] == ord("Z"):
            return end if len(data) >= end else 0
        at = end
    return 0


def _open_mysql(prepared: bool) -> Opened:
    """Log in with PyMySQL, and talk on its socket."""
    connection = pymysql.connect(
        host=topology.ipv4("maria1"), port=topology.MARIADB_PORT, user=topology.USER, password=topology.PASSWORD,
        database=topology.DATABASE, autocommit=True,
    )  # fmt: skip
    _libraries.append(connection)
    if not prepared:
        return connection._sock, lambda nonce: _mysql_packet(b"\x03SELECT '" + nonce + b"' AS nonce"), _mysql_size
    number = PreparedStatement(connection, "SELECT ? AS nonce").number
    head = struct.pack("<BIBIBBBB", COM_STMT_EXECUTE, number, 0, 1, 0, 1, 0xFD, 0)
    return connection._sock, lambda nonce: _mysql_packet(head + bytes([len(nonce)]) + nonce), _mysql_size


def _mysql_packet(body: bytes) -> bytes:
    return struct.pack("<I", len(body)) + body


def _mysql_size(data: bytes) -> int:
    """A result set ends with its second EOF packet."""
    at = ends = 0
    while at + 5 <= len(data):
        size = int.from_bytes(data[at : at + 3], "little")
        ends += data[at + 4] == 0xFE and size < 9
        at += 4 + size
        if ends == 2:
            return at if len(data) >= at else 0
    return 0


def _open_redis() -> Opened:
    return _connect("cache1", topology.REDIS_PORT), lambda n: b"*2\r\n$4\r\nECHO\r\n$16\r\n" + n + b"\r\n", _redis_size


def _redis_size(data: bytes) -> int:
    end = data.find(b"\r\n")
    if end < 0:
        return 0
    size = end + 4 + int(data[1:end])
    return size if len(data) >= size else 0


def _open_memcached_text() -> Opened:
    connection = _connect("cache1", topology.MEMCACHED_PORT)
    return (
        connection,
        lambda nonce: b"get " + nonce + b"\r\n",
        lambda data: data.find(b"END\r\n") + 5 if b"END\r\n" in data else 0,
    )


def _open_memcached_binary() -> Opened:
    head = struct.pack(">BBHBBHIIQ", 0x80, MEMCACHED_GETK, NONCE_DIGITS, 0, 0, 0, NONCE_DIGITS, 0, 0)
    return _connect("cache1", topology.MEMCACHED_PORT), lambda nonce: head + nonce, _memcached_binary_size


def _memcached_binary_size(data: bytes) -> int:
    if len(data) < 24:
        return 0
    size = 24 + struct.unpack_from(">I", data, 8)[0]
    return size if len(data) >= size else 0


def store_memcached_keys(source: random.Random, count: int) -> list[bytes]:
    """Store ``count`` keys whose values repeat them, before anything is recorded, and return them."""
    nonces = [new_nonce(source) for _ in range(count)]
    with _connect("cache1", topology.MEMCACHED_PORT) as connection:
        for nonce in nonces:
            connection.sendall(b"set %b 0 0 %d\r\n%b\r\n" % (nonce, len(nonce), nonce))
            if connection.recv(100) != b"STORED\r\n":
                raise RuntimeError("memcached does not store")
    return nonces


_libraries: list[object] = []
"""Connections whose sockets are in use: their libraries would close them when forgotten."""

DIALECTS = {
    "http": [Dialect("keep-alive", _open_http), Dialect("pipelined", _open_http, pipelined=True)],
    "postgresql": [
        Dialect("simple", lambda: _open_postgresql(_postgresql_simple)),
        Dialect("extended", lambda: _open_postgresql(_postgresql_extended)),
        Dialect("extended-pipelined", lambda: _open_postgresql(_postgresql_extended), pipelined=True),
    ],
    "mysql": [Dialect("text", lambda: _open_mysql(False)), Dialect("prepared", lambda: _open_mysql(True))],
    "redis": [Dialect("one-by-one", _open_redis), Dialect("pipelined", _open_redis, pipelined=True)],
    "memcached": [
        Dialect("text", _open_memcached_text),
        Dialect("text-pipelined", _open_memcached_text, pipelined=True),
        Dialect("binary", _open_memcached_binary),
        Dialect("binary-pipelined", _open_memcached_binary, pipelined=True),
    ],
}
