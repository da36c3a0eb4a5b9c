"""Redis, against a real server and against whatever bytes: every command finds its reply, and nothing secret is shown."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
import redis as redis_client
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.dissect import Dissection, dissect
from tests.support.relay import Relay

from wiretrace.model.message import Message, Result, Role, Transaction
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context
from wiretrace.protocols.redis import Redis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real redis-server on a Unix socket; gives the path of the socket."""
    folder: Path = tmp_path_factory.mktemp("redis")
    path = folder / "socket"
    program = shutil.which("redis-server")
    assert program is not None, "redis-server is needed (apt install redis-server)"
    process = subprocess.Popen(
        [program, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 10
        while not path.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield str(path)
    finally:
        process.terminate()
        process.wait(timeout=10)


def record(server: str, talk: Callable[[int], None]) -> Dissection:
    """What the protocol makes of the one connection that `talk` opens."""
    with Relay(server) as relay:
        talk(relay.port)
    (recording,) = relay.recordings
    return check(recording.client, recording.server)


def check(client: bytes, server: bytes) -> Dissection:
    """Dissect whole windows, and check that random splits give the same and that every byte is in a message."""
    whole = dissect(Redis, client, server)
    assert whole.violations == []
    assert whole.unread == []
    for seed in range(3):
        split = dissect(Redis, client, server, splits=random.Random(seed))
        assert split.requests == whole.requests
        assert split.responses == whole.responses
    return whole


def raw(*sent: bytes) -> Callable[[int], None]:
    """A client that sends these bytes, one after the other, reading a while after each."""

    def talk(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            for part in sent:
                client.sendall(part)
                client.settimeout(0.15)
                try:
                    while client.recv(65536):
                        pass
                except TimeoutError:
                    pass

    return talk


def pairs(dissection: Dissection) -> list[tuple[str, str]]:
    """(summary, status) of requests and the replies that answer them, in order."""
    requests = [message for message in dissection.requests if message.role == Role.REQUEST]
    replies = [message for message in dissection.responses if message.role == Role.RESPONSE and message.closes]
    assert len(requests) == len(replies)
    return [(request.summary, reply.status) for request, reply in zip(requests, replies, strict=True)]


def command(*arguments: bytes) -> bytes:
    return b"*%d\r\n" % len(arguments) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in arguments)


@pytest.mark.parametrize("resp", [2, 3])
def test_a_real_client_and_server_pair_command_by_command(server: str, resp: int) -> None:
    """Strings, hashes, lists, errors and nil: each command is answered by its own reply."""

    def talk(port: int) -> None:
        client = redis_client.Redis(port=port, protocol=resp, single_connection_client=True, db=2)
        client.flushdb()
        client.set("user:8812", "Ada")
        client.get("user:8812")
        client.get("nobody")
        client.hset("h", mapping={"a": 1, "b": 2})
        client.hgetall("h")
        client.rpush("l", *range(2000))
        client.lrange("l", 0, -1)
        client.zadd("z", {"m": 1.5})
        client.zrange("z", 0, -1, withscores=True)
        with pytest.raises(redis_client.ResponseError):
            client.incr("l")
        client.set("big", b"x" * 3_000_000)
        client.get("big")
        client.object("encoding", "l")
        client.eval("return {1,2,{3,'four'}}", 1, "k")
        client.close()

    found = record(server, talk)
    shown = pairs(found)
    expected = [
        ("SET user:8812 ?", "OK"),
        ("GET user:8812", "string"),
        ("GET nobody", "nil"),
        ("HSET h ? ? ? …", "integer"),
        ("HGETALL h", "array" if resp == 2 else "map"),
        ("RPUSH l ? ? ? …", "integer"),
        ("LRANGE l ? ?", "array"),
        ("ZADD z ? ?", "integer"),
        ("ZRANGE z ? ? ?", "array"),
        ("INCR l", "WRONGTYPE") if ("INCR l", "WRONGTYPE") in shown else ("INCRBY l ?", "WRONGTYPE"),
        ("SET big ?", "OK"),
        ("GET big", "string"),
        ("OBJECT ENCODING l", "string"),
        ("EVAL ? ? k", "array"),
    ]
    start = shown.index(expected[0])
    assert shown[start : start + len(expected)] == expected
    assert found.requests[-1].attributes == {
        "db.system.name": "redis",
        "db.operation.name": "EVAL",
        "db.namespace": "2",
    }
    error = next(message for message in found.responses if message.status == "WRONGTYPE")
    assert error.result == Result.SERVER_ERROR


def test_a_transaction_is_recognised_by_its_queued_replies(server: str) -> None:
    """QUEUED opens the transaction, the reply of EXEC ends it, and EXEC tells how many commands it ran."""
    found = record(
        server, raw(b"".join(command(*c.split()) for c in [b"MULTI", b"SET a 1", b"INCR a", b"EXEC", b"PING"]))
    )
    assert [status for _, status in pairs(found)] == ["OK", "QUEUED", "QUEUED", "array", "PONG"]
    assert [message.transaction for message in found.responses] == [
        Transaction.UNKNOWN,
        Transaction.OPEN,
        Transaction.OPEN,
        Transaction.IDLE,
        Transaction.UNKNOWN,
    ]
    assert (found.requests[3].attributes or {})["db.operation.batch.size"] == 2


def test_a_command_that_can_not_be_queued_leaves_the_transaction_open(server: str) -> None:
    found = record(server, raw(b"".join(command(*c.split()) for c in [b"MULTI", b"SET a 1", b"GET", b"EXEC"])))
    assert [message.transaction for message in found.responses][1:] == [
        Transaction.OPEN,
        Transaction.FAILED,
        Transaction.IDLE,
    ]


@pytest.mark.parametrize("hello", [b"", command(b"HELLO", b"3")])
def test_each_subscription_is_a_unit_and_messages_are_pushes(server: str, hello: bytes) -> None:
    """SUBSCRIBE a b gets two confirmations that are one reply; what is published then answers nothing."""

    def talk(port: int) -> None:
        publisher = redis_client.Redis(unix_socket_path=server)
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(hello + command(b"SUBSCRIBE", b"a", b"b") + command(b"PSUBSCRIBE", b"n*"))
            client.recv(65536)
            time.sleep(0.1)
            publisher.publish("a", "secret text")
            publisher.publish("news", "x")
            time.sleep(0.1)
            client.sendall(command(b"UNSUBSCRIBE") + command(b"PUNSUBSCRIBE", b"n*") + command(b"PING"))
            time.sleep(0.1)
        publisher.close()

    found = record(server, talk)
    answered = pairs(found)
    assert answered[-5:] == [
        ("SUBSCRIBE a b", "OK"),
        ("PSUBSCRIBE n*", "OK"),
        ("UNSUBSCRIBE", "OK"),
        ("PUNSUBSCRIBE n*", "OK"),
        ("PING", "PONG"),
    ]
    pushes = [message for message in found.responses if message.role == Role.ONE_WAY]
    assert [push.summary for push in pushes] == ["message a", "pmessage news"]
    assert b"secret text" in pushes[0].values


def test_a_list_that_looks_like_a_message_is_a_reply(server: str) -> None:
    """Without a subscription an array that begins with 'message' is what was asked for."""
    found = record(
        server,
        raw(
            command(b"DEL", b"odd")
            + command(b"RPUSH", b"odd", b"message", b"a", b"b")
            + command(b"LRANGE", b"odd", b"0", b"-1")
        ),
    )
    assert pairs(found)[-1] == ("LRANGE odd ? ?", "array")


def test_client_reply_off_and_skip_expect_no_reply(server: str) -> None:
    """Only commands that Redis answers are requests: OFF silences, SKIP silences one, SKIP within OFF changes nothing."""
    commands = [
        b"CLIENT REPLY OFF",
        b"SET a 1",
        b"CLIENT REPLY SKIP",
        b"CLIENT REPLY ON",
        b"PING",
        b"CLIENT REPLY SKIP",
        b"GET a",
        b"ECHO a",
    ]
    found = record(server, raw(b"".join(command(*c.split()) for c in commands)))
    assert pairs(found) == [("CLIENT REPLY ?", "OK"), ("PING", "PONG"), ("ECHO ?", "string")]
    assert sum(message.role == Role.ONE_WAY for message in found.requests) == 5


def test_what_a_monitor_sees_is_pushed_and_not_shown(server: str) -> None:
    def talk(port: int) -> None:
        other = redis_client.Redis(unix_socket_path=server)
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(command(b"MONITOR"))
            client.recv(100)
            other.set("k", "hush-hush")
            time.sleep(0.1)
        other.close()

    found = record(server, talk)
    assert pairs(found) == [("MONITOR", "OK")]
    pushes = [message for message in found.responses if message.role == Role.PUSH]
    assert pushes
    assert {push.summary for push in pushes} == {"MONITOR"}
    assert not any(b"hush" in push.values for push in pushes)


def test_inline_commands_are_read(server: str) -> None:
    """What a person types into telnet: lines, empty lines, and an unknown command."""
    found = record(server, raw(b"PING\r\nset k v\r\n\r\nget k\nbogus x\r\n"))
    assert pairs(found) == [("PING", "PONG"), ("SET k ?", "OK"), ("GET k", "string"), ("BOGUS ?", "ERR")]
    assert [message.role for message in found.requests].count(Role.CONTROL) == 1
    assert Redis.probe(b"PING\r\nset k v\r\n", b"+PONG\r\n") > 0.5


@pytest.mark.parametrize("keep_values", [False, True])
def test_credentials_are_never_shown_nor_handed_on(server: str, keep_values: bool) -> None:
    """AUTH, HELLO AUTH, CONFIG SET requirepass, ACL SETUSER and MIGRATE AUTH hide all of their arguments."""
    secret = b"correct-horse"
    commands = [
        (b"AUTH", secret),
        (b"HELLO", b"3", b"AUTH", b"default", secret),
        (b"CONFIG", b"SET", b"masterauth", secret),
        (b"ACL", b"SETUSER", b"bob", b">" + secret),
        (b"MIGRATE", b"127.0.0.1", b"1", b"k", b"0", b"10", b"AUTH", secret),
        (b"auth", secret),
    ]
    with Relay(server) as relay:
        raw(b"".join(command(*c) for c in commands))(relay.port)
    (recording,) = relay.recordings
    found = dissect(Redis, recording.client, recording.server, context=Context(keep_values=keep_values))
    assert [message.operation for message in found.requests] == [
        "AUTH",
        "HELLO",
        "CONFIG SET",
        "ACL SETUSER",
        "MIGRATE",
        "AUTH",
    ]
    for message in found.requests:
        assert "horse" not in message.summary
        assert message.values == b""


def test_values_are_shown_only_when_asked_for() -> None:
    sent = command(b"SET", b"k", b"some value") + command(b"ECHO", b"some value")
    assert [m.summary for m in dissect(Redis, sent, b"").requests] == ["SET k ?", "ECHO ?"]
    kept = dissect(Redis, sent, b"", context=Context(keep_values=True)).requests
    assert [m.summary for m in kept] == ["SET k some value", "ECHO some value"]
    assert kept[0].values == b"k some value"


def test_a_replication_link_is_passed_over(server: str) -> None:
    """Behind PSYNC the server sends a snapshot and a stream: it is one push, and acknowledgements ask for nothing."""
    found = record(server, raw(command(b"PSYNC", b"?", b"-1"), command(b"REPLCONF", b"ACK", b"0")))
    assert pairs(found)[0] == ("PSYNC ? ?", "FULLRESYNC")
    assert found.requests[1].role == Role.ONE_WAY
    assert found.responses[-1].operation == "replication"


def test_every_type_of_resp3_is_one_reply() -> None:
    """Maps, sets, doubles, booleans, big numbers, verbatim strings, bulk errors and attributes, also nested."""
    replies = [
        (b"%2\r\n+a\r\n:1\r\n$1\r\nb\r\n*2\r\n_\r\n#t\r\n", "map"),
        (b"~2\r\n:1\r\n:2\r\n", "set"),
        (b",3.14\r\n", "double"),
        (b"#f\r\n", "boolean"),
        (b"_\r\n", "nil"),
        (b"(3492890328409238509324850943850943825024385\r\n", "big number"),
        (b"=15\r\ntxt:Some string\r\n", "string"),
        (b"!21\r\nSYNTAX invalid syntax\r\n", "SYNTAX"),
        (
            b"|1\r\n+key-popularity\r\n%2\r\n$1\r\na\r\n,0.19\r\n$1\r\nb\r\n,0.01\r\n*2\r\n:2039123\r\n:9543892\r\n",
            "array",
        ),
        (b"|1\r\n+ttl\r\n:3600\r\n+OK\r\n", "OK"),
        (b"*0\r\n", "array"),
        (b"*-1\r\n", "nil"),
        (b"*2\r\n*1\r\n|1\r\n+x\r\n:1\r\n:5\r\n*0\r\n", "array"),
        (b"-MOVED 3999 127.0.0.1:6381\r\n", "MOVED"),
        (b"-ERR unknown\r\n", "ERR"),
    ]
    found = check(command(b"PING") * len(replies), b"".join(reply for reply, _ in replies))
    assert [message.status for message in found.responses] == [status for _, status in replies]
    assert [message.end - message.start for message in found.responses] == [len(reply) for reply, _ in replies]
    assert [message.status for message in found.responses if message.result != Result.OK] == ["SYNTAX", "MOVED", "ERR"]


def test_deep_nesting_needs_no_stack() -> None:
    """A million open arrays are counted, not recursed into; so is an array that claims two thousand million elements."""
    deep = b"*1\r\n" * 1_000_000 + b":1\r\n"
    (message,) = dissect(Redis, b"", deep).responses
    assert message.end == len(deep)
    (claimed,) = dissect(Redis, b"", b"*2147483647\r\n:1\r\n").responses
    assert claimed.damaged


def test_a_huge_string_is_passed_over_with_the_gaps_in_it() -> None:
    """The end of a value is known from its head: bytes lost within it damage nothing."""
    size = 1_000_000
    sent = [
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % size + b"x" * 600,
        size - 1000,
        b"x" * 400 + b"\r\n" + command(b"PING"),
    ]
    got = [b"*2\r\n$%d\r\n" % size + b"y" * 600, size - 1000, b"y" * 400 + b"\r\n:1\r\n+PONG\r\n"]
    found = dissect(Redis, sent, got)
    assert [(message.summary, message.damaged) for message in found.requests] == [("SET k ?", False), ("PING", False)]
    assert [(message.status, message.damaged) for message in found.responses] == [("array", False), ("PONG", False)]


def test_other_protocols_are_not_claimed() -> None:
    """HTTP, POP3, memcached and SMTP are not Redis, whatever words they share with it."""
    assert Redis.probe(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200 OK\r\n") == 0
    assert Redis.probe(b"USER bob\r\n", b"+OK POP3 ready\r\n") == 0
    assert Redis.probe(b"AUTH bob\r\n", b"+OK POP3 ready\r\n") == 0
    assert Redis.probe(b"get key\r\n", b"END\r\n") == 0
    assert Redis.probe(b"EHLO x\r\n", b"220 mail\r\n") == 0
    assert Redis.probe(command(b"GET", b"k"), b"$-1\r\n") == 1


def test_keys_hold_no_control_characters() -> None:
    (message,) = dissect(Redis, command(b"GET", b"\x1b[31mred\xff\r\n"), b"").requests
    assert message.summary.isprintable()


# Whatever bytes

ARGUMENT = st.one_of(
    st.sampled_from([b"", b"k", b"\r\n", b"*1\r\n$4\r\nPING\r\n", b"0", b"1", b"REPLY", b"x" * 700, b"+OK\r\n"]),
    st.binary(max_size=30),
)
NAME = st.sampled_from(
    [b"GET", b"set", b"MGET", b"SUBSCRIBE", b"MULTI", b"EXEC", b"SELECT", b"XGROUP", b"EVAL", b"JSON.GET"]
)
COMMAND = st.builds(lambda name, arguments: command(name, *arguments), NAME, st.lists(ARGUMENT, max_size=6))
BULK = st.builds(
    lambda text: b"$%d\r\n%b\r\n" % (len(text), text), st.one_of(st.binary(max_size=40), st.just(b"z" * 900))
)
SCALAR = st.sampled_from(
    [b"+OK\r\n", b"+QUEUED\r\n", b":12\r\n", b"-ERR no\r\n", b"$-1\r\n", b"*-1\r\n", b"_\r\n", b"#t\r\n"]
)
REPLY = st.recursive(
    BULK | SCALAR,
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda parts: b"*%d\r\n" % len(parts) + b"".join(parts))
        | st.lists(inner, min_size=2, max_size=2).map(lambda parts: b"%1\r\n" + b"".join(parts))
        | st.lists(inner, min_size=3, max_size=3).map(lambda parts: b"|1\r\n" + b"".join(parts))
    ),
    max_leaves=8,
)


def spans(messages: list[Message]) -> set[tuple[int, int]]:
    return {(message.start, message.end) for message in messages if not message.damaged}


@settings(max_examples=100, deadline=None)
@given(st.lists(COMMAND, max_size=6), st.lists(REPLY, max_size=6), st.randoms(use_true_random=False))
def test_any_split_gives_the_same_messages(commands: list[bytes], replies: list[bytes], splits: random.Random) -> None:
    client, server = b"".join(commands), b"".join(replies)
    whole = dissect(Redis, client, server)
    split = dissect(Redis, client, server, splits=splits)
    assert split.requests == whole.requests
    assert split.responses == whole.responses
    assert len([message for message in whole.requests if not message.damaged]) == len(commands)
    assert spans(whole.requests) == set(boundaries(commands))


def boundaries(parts: list[bytes]) -> list[tuple[int, int]]:
    found = []
    position = 0
    for part in parts:
        found.append((position, position + len(part)))
        position += len(part)
    return found


@settings(max_examples=150, deadline=None)
@given(st.lists(COMMAND, min_size=1, max_size=8), st.data())
def test_a_deletion_costs_only_the_commands_it_touches(commands: list[bytes], data: st.DataObject) -> None:
    """Undamaged commands behind a gap are commands that were sent, or stand within the argument of one."""
    client = b"".join(commands)
    start = data.draw(st.integers(0, len(client) - 1))
    end = data.draw(st.integers(start + 1, len(client)))
    found = dissect(Redis, [client[:start], end - start, client[end:]], b"")
    sent = boundaries(commands)
    for low, high in spans(found.requests):
        assert (low, high) in sent or any(a < low and high <= b for a, b in sent)
    untouched = {span for span in sent if span[1] <= start}
    assert untouched <= spans(found.requests)


@settings(max_examples=150, deadline=None)
@given(st.lists(REPLY, min_size=1, max_size=8), st.data())
def test_a_deletion_costs_only_the_replies_it_touches(replies: list[bytes], data: st.DataObject) -> None:
    """Undamaged replies behind a gap begin where a value begins: one that was sent, or an element of one."""
    server = b"".join(replies)
    start = data.draw(st.integers(0, len(server) - 1))
    end = data.draw(st.integers(start + 1, len(server)))
    found = dissect(Redis, b"", [server[:start], end - start, server[end:]])
    sent = boundaries(replies)
    for low, high in spans(found.responses):
        assert low < start or end <= low
        assert low < high
        if low < start:
            assert (low, high) in sent
    assert {span for span in sent if span[1] <= start} <= spans(found.responses)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(COMMAND, max_size=4),
    st.lists(REPLY, max_size=4),
    st.data(),
    st.randoms(use_true_random=False),
    st.booleans(),
)
def test_mutated_bytes_raise_nothing_but_violations(
    commands: list[bytes], replies: list[bytes], data: st.DataObject, splits: random.Random, joined: bool
) -> None:
    """Whatever is overwritten, inserted or cut: the driver of the tests would let anything but a Violation through."""
    streams = []
    for stream in (bytearray(b"".join(commands)), bytearray(b"".join(replies))):
        for _ in range(data.draw(st.integers(0, 4))):
            position = data.draw(st.integers(0, len(stream)))
            stream[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        streams.append(bytes(stream))
    Redis.probe(*streams)
    found = dissect(Redis, *streams, splits=splits, context=Context(started=(not joined, not joined)))
    for message in found.requests:
        assert message.summary.isprintable()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_are_survived(client: bytes, server: bytes) -> None:
    assert 0 <= Redis.probe(client, server) <= 1
    dissect(Redis, client, server)


def test_a_connection_joined_midway_is_read_from_the_next_command() -> None:
    """The tail of a value that was cut off is passed over, and the first whole command and reply are found."""
    found = dissect(
        Redis,
        b"lue\r\n" + command(b"GET", b"a") + command(b"GET", b"b"),
        b"$1\r\nx\r\n$2\r\nyy\r\n",
        context=Context(started=(False, False)),
    )
    assert [message.summary for message in found.requests] == ["GET a", "GET b"]
    assert [message.values for message in found.responses] == [b"x", b"yy"]
    assert found.unread == [(Side.CLIENT, 0, 5)]
