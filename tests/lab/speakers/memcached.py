"""memcached: pymemcache (text), and meta and binary commands written by hand, which it does not know."""

from __future__ import annotations

import contextlib
import shutil
import socket
import struct
from typing import TYPE_CHECKING, Any

from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheClientError, MemcacheServerError
from tests.lab.speakers.diary import CLIENTS, Diary, Scenario, at_once
from tests.support.servers import free_port, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TEXT_CALLS_A_ROUND, META_CALLS_A_ROUND, BINARY_CALLS_A_ROUND = 26, 11, 13
LARGE = b"paint " * 100_000
TOO_LARGE = b"x" * 1_100_000
SECONDS = 20
OPERATIONS = {
    0: "get",
    1: "set",
    2: "add",
    4: "delete",
    5: "increment",
    10: "noop",
    11: "version",
    12: "getk",
    14: "append",
}
STATUSES = {
    0: "OK",
    1: "KEY_NOT_FOUND",
    2: "KEY_EXISTS",
    5: "NOT_STORED",
    6: "NON_NUMERIC_VALUE",
    0x81: "UNKNOWN_COMMAND",
}
"""Opcodes and statuses, as https://docs.memcached.org/protocols/binary names them."""
QUIET_SET, QUIET_GET = 0x11, 0x09
COUNTING = struct.pack(">QQI", 1, 0, 0)
"""Extras of increment: by how much, initial value, expiry."""


@contextlib.contextmanager
def server(_folder: Path) -> Iterator[int]:
    """A server."""
    program = shutil.which("memcached")
    assert program is not None, "memcached is needed (apt install memcached)"
    port = free_port()
    with running([program, "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-u", "root", "-m", "64"], port, None):
        yield port


def speak_text(port: int, diary: Diary, calls: int) -> None:
    """The text protocol, by a library."""
    at_once(lambda _: visit_text(port, diary, max(1, calls // CLIENTS // TEXT_CALLS_A_ROUND)))


def visit_text(port: int, diary: Diary, rounds: int) -> None:
    """One client: hits and misses, many keys, counters, errors, commands without an answer."""
    with contextlib.closing(Client(("127.0.0.1", port), default_noreply=False, timeout=SECONDS)) as client:
        own = 0

        def begin() -> None:
            """Connect, where the library does that only with the next command."""
            nonlocal own
            client.version()
            assert client.sock is not None
            own = client.sock.getsockname()[1]
            note("version", "VERSION")

        def note(operation: str, status: str, key: str = "", outcome: str = "ok") -> None:
            diary.note(operation, status, outcome, nonce=int(key.removeprefix("nonce") or 0), connection=own)

        def fails(operation: str, key: str, command: Callable[[], Any]) -> None:
            try:
                command()
            except MemcacheServerError:
                note(operation, "SERVER_ERROR", key, "error")
            except MemcacheClientError:
                note(operation, "CLIENT_ERROR", key, "error")
            begin()  # the library has closed the connection

        begin()
        for _ in range(rounds):
            key, number, large, nothing = (f"nonce{diary.nonce()}" for _ in range(4))
            note("set", "STORED" if client.set(key, "paint") else "NOT_STORED", key)
            note("get", "VALUE" if client.get(key) else "END", key)
            note("get", "VALUE" if client.get(nothing) else "END", nothing)
            note("get", "VALUE" if client.get_many([key, nothing]) else "END", key)
            note("add", "STORED" if client.add(key, "x") else "NOT_STORED", key)
            note("replace", "STORED" if client.replace(nothing, "x") else "NOT_STORED", nothing)
            note("append", "STORED" if client.append(key, "x") else "NOT_STORED", key)
            note("prepend", "STORED" if client.prepend(key, "x") else "NOT_STORED", key)
            note("set", "STORED" if client.set(number, 5) else "NOT_STORED", number)
            note("incr", "number" if client.incr(number, 2) == 7 else "NOT_FOUND", number)
            note("decr", "NOT_FOUND" if client.decr(nothing, 2) is None else "number", nothing)
            fails("incr", key, lambda: client.incr(key, 1))  # noqa: B023 - called at once
            _, unique = client.gets(key)
            note("gets", "VALUE", key)
            note("cas", {True: "STORED", False: "EXISTS"}[client.cas(key, "y", unique) or False], key)
            note("cas", {True: "STORED", False: "EXISTS"}[client.cas(key, "z", unique) or False], key)
            note("cas", "NOT_FOUND" if client.cas(nothing, "z", unique) is None else "STORED", nothing)
            note("touch", "TOUCHED" if client.touch(key, 100) else "NOT_FOUND", key)
            note("set", "STORED" if client.set(large, LARGE) else "NOT_STORED", large)
            note("get", "VALUE" if client.get(large) == LARGE else "END", large)
            note("delete", "DELETED" if client.delete(key) else "NOT_FOUND", key)
            note("delete", "DELETED" if client.delete(key) else "NOT_FOUND", key)
            client.set(key, "quietly", noreply=True)
            note("set", "", key)
            client.delete(number, noreply=True)
            note("delete", "", number)
            note("stats", "STAT" if client.stats() else "END")
            note("version", "VERSION" if client.version() else "")
        fails("set", nothing, lambda: client.set(nothing, TOO_LARGE))
        client.quit()
        note("quit", "")


class Words:
    """A connection on which commands are written by hand."""

    def __init__(self, port: int, diary: Diary) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        self.port: int = self.socket.getsockname()[1]
        self.file = self.socket.makefile("rb")
        self.diary = diary

    def note(self, operation: str, status: str, nonce: int = 0, outcome: str = "ok") -> None:
        """Write down a call."""
        self.diary.note(operation, status, outcome, nonce=nonce, connection=self.port)

    def close(self) -> None:
        """End the connection."""
        self.file.close()
        self.socket.close()


def speak_meta(port: int, diary: Diary, calls: int) -> None:
    """Meta commands."""
    at_once(lambda _: visit_meta(port, diary, max(1, calls // CLIENTS // META_CALLS_A_ROUND)))


def visit_meta(port: int, diary: Diary, rounds: int) -> None:
    """One client: one command after the other, and several at once."""
    mine = Words(port, diary)
    for _ in range(rounds):
        nonce, nothing = diary.nonce(), diary.nonce()
        commands = [
            ("ms", nonce, "ms nonce{} 5 T0\r\npaint"),
            ("mg", nonce, "mg nonce{} v t f"),
            ("mg", nothing, "mg nonce{} v"),
            ("mg", nonce, "mg nonce{} k s"),
            ("ms", nonce, "ms nonce{} 1 ME\r\nx"),
            ("ma", nothing, "ma nonce{} N0 J5 v"),
            ("ma", nonce, "ma nonce{}"),
            ("me", nonce, "me nonce{}"),
            ("md", nonce, "md nonce{} q"),
            ("mn", 0, "mn"),
            ("md", nonce, "md nonce{}"),
        ]
        together = nonce % 2 == 0
        if together:
            mine.socket.sendall("".join(text.format(key) + "\r\n" for _, key, text in commands).encode())
        for operation, key, text in commands:
            if not together:
                mine.socket.sendall(text.format(key).encode() + b"\r\n")
            if text.endswith(" q"):
                mine.note(operation, "", key)
                continue
            status, *words = mine.file.readline().decode().split()
            if status == "VA":
                mine.file.read(int(words[0]) + 2)
            mine.note(operation, status, key, "error" if "ERROR" in status else "ok")
    mine.close()


def speak_binary(port: int, diary: Diary, calls: int) -> None:
    """The binary protocol."""
    at_once(lambda _: visit_binary(port, diary, max(1, calls // CLIENTS // BINARY_CALLS_A_ROUND)))


def packet(opcode: int, key: str = "", extras: bytes = b"", value: bytes = b"", opaque: int = 0) -> bytes:
    """A request."""
    body = extras + key.encode() + value
    return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, len(body), opaque, 0) + body


def visit_binary(port: int, diary: Diary, rounds: int) -> None:
    """One client that numbers its requests: all kinds of commands, and quiet ones that are answered only now and then."""
    mine = Words(port, diary)

    def read() -> tuple[int, int, int]:
        """Opcode, status and number of the next response."""
        _, opcode, _, _, _, status, length, opaque, _ = struct.unpack(">BBHBBHIIQ", mine.file.read(24))
        mine.file.read(length)
        return opcode, status, opaque

    def ask(opcode: int, nonce: int = 0, extras: bytes = b"", value: bytes = b"") -> None:
        key = f"nonce{nonce}" if nonce else ""
        mine.socket.sendall(packet(opcode, key, extras, value, diary.nonce()))
        _, status, _ = read()
        wrong = status not in (0, 1, 2, 5)
        mine.note(OPERATIONS[opcode], STATUSES[status], nonce, "error" if wrong else "ok")

    for _ in range(rounds):
        nonce, nothing, number = (diary.nonce() for _ in range(3))
        ask(1, nonce, bytes(8), b"paint")
        ask(0, nonce)
        ask(12, nonce)
        ask(0, nothing)
        ask(2, nonce, bytes(8), b"x")
        ask(14, nonce, b"", b"more")
        ask(5, number, COUNTING)
        ask(5, nonce, COUNTING)
        ask(4, nonce)
        ask(4, nonce)
        ask(11)
        held, missing = diary.nonce(), diary.nonce()
        mine.socket.sendall(packet(QUIET_SET, f"nonce{held}", bytes(8), b"quiet", held))
        mine.note("set", "", held)
        quiet = packet(QUIET_GET, f"nonce{held}", opaque=held) + packet(QUIET_GET, f"nonce{missing}", opaque=missing)
        mine.socket.sendall(quiet + packet(10, opaque=diary.nonce()))
        opcode, status, _ = read()
        assert (opcode, status) == (QUIET_GET, 0)
        mine.note("get", "OK", held)
        mine.note("get", "", missing)
        opcode, status, _ = read()
        mine.note(OPERATIONS[opcode], STATUSES[status])
    mine.close()


SCENARIOS = (
    Scenario("memcached, text", server, speak_text),
    Scenario("memcached, meta", server, speak_meta),
    Scenario("memcached, binary", server, speak_binary),
)
