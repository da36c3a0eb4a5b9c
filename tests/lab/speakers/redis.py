"""Redis: redis-py's own connections with RESP2 and RESP3, so that replies are seen as the server gave them."""

from __future__ import annotations

import contextlib
import functools
import shutil
from typing import TYPE_CHECKING, Any

from redis.connection import Connection
from redis.exceptions import ExecAbortError, NoScriptError, ResponseError
from tests.lab.speakers.diary import CLIENTS, Diary, Scenario, at_once
from tests.support.servers import free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CALLS_A_ROUND = 55
LARGE = "paint " * 20_000
STATUSES = {bool: "boolean", int: "integer", float: "double", bytes: "string", list: "array", dict: "map"}
"""What docs/protocols.md calls a reply, by the type that redis-py makes of it; nil is None."""
SIMPLE = frozenset({"SET", "MULTI", "DISCARD", "WATCH", "PING", "TYPE", "MSET", "FLUSHDB", "LSET", "XGROUP"})
"""Commands whose reply is a word of its own, which is the status."""
PREFIXES = {NoScriptError: "NOSCRIPT", ExecAbortError: "EXECABORT"}
"""Errors of which redis-py cuts the first word off."""


@contextlib.contextmanager
def server(folder: Path) -> Iterator[int]:
    """A server that keeps nothing."""
    program = shutil.which("redis-server")
    assert program is not None, "Redis is needed (apt install redis-server)"
    port = free_port()
    with running([program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)], port, None):
        yield port


class Client:
    """One connection, which writes down what it asks."""

    def __init__(self, port: int, diary: Diary, protocol: int) -> None:
        self.connection = Connection(host="127.0.0.1", port=port, protocol=protocol, socket_timeout=20)
        self.connection.connect()
        self.diary, self.protocol = diary, protocol
        self.port: int = self.connection._sock.getsockname()[1]

    def ask(self, *words: Any) -> Any:
        """One command and its reply."""
        self.connection.send_command(*words)
        return self.answer(words)

    def pipeline(self, *commands: tuple[Any, ...]) -> None:
        """Several commands before the first reply."""
        self.connection.send_packed_command(self.connection.pack_commands(commands))
        for words in commands:
            self.answer(words)

    def answer(self, words: tuple[Any, ...]) -> Any:
        """The reply to a command; it is written down."""
        operation, outcome = words[0], "ok"
        try:
            reply = self.connection.read_response()
        except ResponseError as error:
            reply, outcome = None, "error"
            word = str(error).partition(" ")[0]
            status = PREFIXES.get(type(error)) or (word if word.isupper() else "ERR")
        else:
            simple = isinstance(reply, bytes) and (operation in SIMPLE or reply == b"QUEUED")
            status = reply.decode() if simple else "nil" if reply is None else STATUSES[type(reply)]
            if operation == "SMEMBERS" and self.protocol == 3:
                status = "set"  # of which redis-py makes a list
        nonce = next((int(word[5:10]) for word in words[1:] if str(word).startswith("nonce")), 0)
        self.diary.note(operation, status, outcome, nonce=nonce, connection=self.port)
        return reply

    def key(self) -> str:
        """A key that no other call has."""
        return f"nonce{self.diary.nonce()}"


def speak(port: int, diary: Diary, calls: int, *, protocol: int) -> None:
    """Commands of all kinds, pipelines, transactions, blocking ones, and messages on channels."""
    at_once(lambda _: visit(port, diary, max(1, calls // CLIENTS // CALLS_A_ROUND), protocol))


def visit(port: int, diary: Diary, rounds: int, protocol: int) -> None:
    """One client, with another that fills lists for it."""
    mine, other = Client(port, diary, protocol), Client(port, diary, protocol)
    for _ in range(rounds):
        plain(mine)
        pipelined(mine)
        in_transactions(mine, other)
        blocking(mine, other)
        on_channels(mine, Client(port, diary, protocol))
    mine.connection.disconnect()
    other.connection.disconnect()


def plain(mine: Client) -> None:
    """One command after the other."""
    key = mine.key()
    mine.ask("SET", key, "paint")
    mine.ask("GET", key)
    mine.ask("TYPE", key)
    mine.ask("INCR", key)
    mine.ask("LPUSH", key, "x")
    mine.ask("GET", mine.key())
    large = mine.key()
    mine.ask("SET", large, LARGE)
    mine.ask("GET", large)
    mine.ask("MGET", large, key)
    mine.ask("DEL", large)
    table = mine.key()
    mine.ask("HSET", table, "colour", "red", "size", 7)
    mine.ask("HGETALL", table)
    mine.ask("HGETALL", mine.key())
    ordered = mine.key()
    mine.ask("ZADD", ordered, 1.5, "a")
    mine.ask("ZSCORE", ordered, "a")
    members = mine.key()
    mine.ask("SADD", members, "a", "b")
    mine.ask("SMEMBERS", members)
    mine.ask("EVAL", "return {1, 'two', {3}}", 1, mine.key())
    mine.ask("EVALSHA", "0" * 40, 1, mine.key())
    mine.ask("XADD", mine.key(), "*", "field", "value")
    mine.ask("PING")
    mine.ask("ECHO", "paint")


def pipelined(mine: Client) -> None:
    """Ten commands at once, one of which fails."""
    key = mine.key()
    more = [("SET", mine.key(), "x" * 100 * number) for number in range(6)]
    mine.pipeline(("SET", key, "paint"), *more, ("LPUSH", key, "x"), ("GET", key), ("PING",))


def in_transactions(mine: Client, other: Client) -> None:
    """One that is executed, one that is called off, one whose key was changed, one that can not be executed."""
    key = mine.key()
    mine.pipeline(("MULTI",), ("SET", key, "a"), ("LPUSH", key, "x"), ("EXEC",))
    mine.pipeline(("MULTI",), ("SET", mine.key(), "a"), ("DISCARD",))
    mine.ask("WATCH", key)
    other.ask("SET", key, "b")
    mine.pipeline(("MULTI",), ("GET", key), ("EXEC",))
    mine.pipeline(("MULTI",), ("GET",), ("EXEC",))


def blocking(mine: Client, other: Client) -> None:
    """Commands that wait: for something that comes, and for nothing."""
    key = mine.key()
    mine.connection.send_command("BLPOP", key, 10)
    other.ask("RPUSH", key, "job")
    mine.answer(("BLPOP", key, 10))
    mine.ask("BLPOP", mine.key(), 0.01)


def on_channels(mine: Client, listener: Client) -> None:
    """A subscription, and messages, which ask for nothing."""
    channel = listener.key()
    listener.connection.send_command("SUBSCRIBE", channel)
    assert listener.connection.read_response(push_request=True)[0] == b"subscribe"
    listener.diary.note("SUBSCRIBE", "OK", nonce=int(channel[5:]), connection=listener.port)
    for _ in range(3):
        mine.ask("PUBLISH", channel, "paint")
        word, _, _ = listener.connection.read_response(push_request=True)
        listener.diary.note(word.decode(), nonce=int(channel[5:]), connection=listener.port)
    listener.connection.send_command("UNSUBSCRIBE", channel)
    assert listener.connection.read_response(push_request=True)[0] == b"unsubscribe"
    listener.diary.note("UNSUBSCRIBE", "OK", nonce=int(channel[5:]), connection=listener.port)
    listener.connection.disconnect()


OWN = ("HELLO", "CLIENT SETINFO", "CLIENT MAINT_NOTIFICATIONS")
SCENARIOS = tuple(
    Scenario(f"Redis, RESP{protocol}", server, functools.partial(speak, protocol=protocol), OWN) for protocol in (2, 3)
)
