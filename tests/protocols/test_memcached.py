"""memcached, text and binary, against a real server and against whatever bytes."""

from __future__ import annotations

import random
import shutil
import socket
import struct
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymemcache.client.base import Client
from tests.support.dissect import Dissection, dissect
from tests.support.relay import Relay

from wiretrace.model.message import Message, Result, Role
from wiretrace.protocols.contract import Context
from wiretrace.protocols.memcached import Memcached
from wiretrace.protocols.redis import Redis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real memcached on a Unix socket; gives the path of the socket."""
    path = tmp_path_factory.mktemp("memcached") / "socket"
    program = shutil.which("memcached")
    assert program is not None, "memcached is needed (apt install memcached)"
    process = subprocess.Popen([program, "-s", str(path), "-u", "root", "-m", "64"], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not path.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.1)
        yield str(path)
    finally:
        process.terminate()
        process.wait(timeout=10)


def record(server: str, talk: Callable[[int], None]) -> Dissection:
    """What the protocol makes of the one connection that `talk` opens; random splits must give the same."""
    with Relay(server) as relay:
        talk(relay.port)
    (recording,) = relay.recordings
    whole = dissect(Memcached, recording.client, recording.server)
    assert whole.violations == []
    assert whole.unread == []
    for seed in range(3):
        split = dissect(Memcached, recording.client, recording.server, splits=random.Random(seed))
        assert split.requests == whole.requests
        assert split.responses == whole.responses
    return whole


def raw(sent: bytes) -> Callable[[int], None]:
    """A client that sends these bytes and reads what comes back."""

    def talk(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(sent)
            client.settimeout(0.15)
            try:
                while client.recv(65536):
                    pass
            except TimeoutError:
                pass

    return talk


def pairs(found: Dissection) -> list[tuple[str, str]]:
    """(summary, status) of closing requests and closing replies that are paired by order."""
    requests = [m for m in found.requests if m.role == Role.REQUEST and m.closes]
    replies = [m for m in found.responses if m.role == Role.RESPONSE and m.closes and m.key == -1]
    assert len(requests) == len(replies)
    return [(request.summary, reply.status) for request, reply in zip(requests, replies, strict=True)]


def test_a_real_client_and_server_pair_command_by_command(server: str) -> None:
    """Stores, hits, misses, many keys at once, counters, and lists of statistics."""

    def talk(port: int) -> None:
        client = Client(("127.0.0.1", port), default_noreply=False, timeout=5)
        client.set("user:8812", "Ada")
        client.get("user:8812")
        client.get("nobody")
        client.get_many(["user:8812", "nobody", "n"])
        client.add("user:8812", "x")
        client.set("n", 5)
        client.incr("n", 1)
        client.gets("n")
        client.cas("n", "7", "999999")
        client.touch("n", 100)
        client.delete("n")
        client.delete("n")
        client.set("big", b"x" * 900_000)
        client.get("big")
        client.stats()
        client.version()
        client.flush_all()
        client.quit()

    found = record(server, talk)
    assert pairs(found) == [
        ("set user:8812 ?", "STORED"),
        ("get user:8812", "VALUE"),
        ("get nobody", "END"),
        ("get user:8812 nobody n", "VALUE"),
        ("add user:8812 ?", "NOT_STORED"),
        ("set n ?", "STORED"),
        ("incr n ?", "number"),
        ("gets n", "VALUE"),
        ("cas n ?", "EXISTS"),
        ("touch n ?", "TOUCHED"),
        ("delete n", "DELETED"),
        ("delete n", "NOT_FOUND"),
        ("set big ?", "STORED"),
        ("get big", "VALUE"),
        ("stats", "STAT"),
        ("version", "VERSION"),
        ("flush_all ?", "OK"),
    ]
    assert found.requests[-1].role == Role.ONE_WAY
    assert found.responses[1].values == b"Ada"
    assert found.requests[0].values == b"user:8812 Ada"


def test_noreply_commands_ask_for_nothing(server: str) -> None:
    found = record(server, raw(b"set a 0 0 1 noreply\r\nx\r\ndelete a noreply\r\nincr a 1 noreply\r\nget a\r\n"))
    assert pairs(found) == [("get a", "END")]
    assert [message.role for message in found.requests[:3]] == [Role.ONE_WAY] * 3


def test_errors_are_judged(server: str) -> None:
    """ERROR and CLIENT_ERROR blame the client, SERVER_ERROR the server."""
    found = record(server, raw(b"stats bogus\r\nincr a b\r\nset big 0 0 2000000\r\n" + b"x" * 2_000_000 + b"\r\n"))
    assert [(message.status, message.result) for message in found.responses[-2:]] == [
        ("CLIENT_ERROR", Result.CLIENT_ERROR),
        ("SERVER_ERROR", Result.SERVER_ERROR),
    ]


def test_what_quiet_meta_commands_bring_is_part_of_the_reply_that_ends_them(server: str) -> None:
    """Hits of quiet gets are part of the reply to mn; what follows is paired on its own again."""
    found = record(
        server,
        raw(
            b"ms a 2\r\nhi\r\nms b 2 T0\r\nyo\r\n"
            b"mg a v q\r\nmg none v q\r\nmg b v q k\r\nmn\r\n"
            b"mg none v\r\nmg a v O123\r\nmd a q\r\nmn\r\nme b\r\nma n N0 J5\r\nmg a k\r\n"
        ),
    )
    assert pairs(found) == [
        ("ms a ?", "HD"),
        ("ms b ?", "HD"),
        ("mn", "MN"),
        ("mg none", "EN"),
        ("mg a", "VA"),
        ("mn", "MN"),
        ("me b", "ME"),
        ("ma n", "HD"),
        ("mg a", "EN"),
    ]
    assert found.responses[2].values == b"hi yo"
    assert [message.role for message in found.requests[2:6]] == [Role.ONE_WAY] * 3 + [Role.REQUEST]


def test_a_watcher_gets_pushes(server: str) -> None:
    def talk(port: int) -> None:
        other = socket.socket(socket.AF_UNIX)
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client, other:
            client.sendall(b"watch mutations fetchers\r\n")
            client.recv(100)
            other.connect(server)
            other.sendall(b"set w 0 0 1\r\nx\r\nget w\r\n")
            time.sleep(0.3)

    found = record(server, talk)
    assert pairs(found) == [("watch ?", "OK")]
    pushes = [message for message in found.responses if message.role == Role.PUSH]
    assert pushes
    assert {push.summary for push in pushes} == {"watch"}


def packet(opcode: int, key: bytes = b"", value: bytes = b"", extras: bytes = b"", opaque: int = 0) -> bytes:
    """A request of the binary protocol."""
    body = len(extras) + len(key) + len(value)
    return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, body, opaque, 0) + extras + key + value


STORE = bytes(8)
COUNT = struct.pack(">QQI", 1, 5, 0)


BINARY_TALK = [
    (0x01, b"user:8812", b"Ada", STORE),
    (0x00, b"user:8812", b"", b""),
    (0x00, b"nobody", b"", b""),
    (0x09, b"nobody", b"", b""),
    (0x09, b"user:8812", b"", b""),
    (0x0D, b"user:8812", b"", b""),
    (0x0A, b"", b"", b""),
    (0x05, b"n", b"", COUNT),
    (0x11, b"q", b"v", STORE),
    (0x12, b"q", b"v", STORE),
    (0x10, b"", b"", b""),
    (0x04, b"q", b"", b""),
    (0x0B, b"", b"", b""),
    (0x07, b"", b"", b""),
]


def test_a_client_that_numbers_its_requests_is_paired_by_number(server: str) -> None:
    """A quiet get that misses is answered by nothing, one that hits by a reply with its number."""
    sent = b"".join(packet(*parts, opaque=number) for number, parts in enumerate(BINARY_TALK, 1))
    found = record(server, raw(sent))
    replies = {message.key: message for message in found.responses}
    answered = [(m.summary, m.role, replies[m.key].status if m.key in replies else None) for m in found.requests]
    assert answered == [
        ("set user:8812 ?", Role.REQUEST, "OK"),
        ("get user:8812", Role.REQUEST, "OK"),
        ("get nobody", Role.REQUEST, "KEY_NOT_FOUND"),
        ("get nobody", Role.ONE_WAY, None),
        ("get user:8812", Role.ONE_WAY, "OK"),
        ("getk user:8812", Role.ONE_WAY, "OK"),
        ("noop", Role.REQUEST, "OK"),
        ("increment n ?", Role.REQUEST, "OK"),
        ("set q ?", Role.ONE_WAY, None),
        ("add q ?", Role.ONE_WAY, "KEY_EXISTS"),
        ("stat", Role.REQUEST, "OK"),
        ("delete q", Role.REQUEST, "OK"),
        ("version", Role.REQUEST, "OK"),
        ("quit", Role.ONE_WAY, "OK"),
    ]
    assert found.responses[1].values == b"Ada"


def test_a_client_that_numbers_nothing_is_paired_by_order(server: str) -> None:
    """What quiet commands bring is part of the next reply: which of them brought it is not known, and not guessed."""
    found = record(server, raw(b"".join(packet(*parts) for parts in BINARY_TALK[:-1])))
    assert {message.key for message in found.requests + found.responses} == {-1}
    assert pairs(found) == [
        ("set user:8812 ?", "OK"),
        ("get user:8812", "OK"),
        ("get nobody", "KEY_NOT_FOUND"),
        ("noop", "OK"),
        ("increment n ?", "OK"),
        ("stat", "OK"),
        ("delete q", "OK"),
        ("version", "OK"),
    ]


@pytest.mark.parametrize("keep_values", [False, True])
def test_credentials_of_sasl_are_never_shown_nor_handed_on(keep_values: bool) -> None:
    sent = packet(0x21, b"PLAIN", b"\x00bob\x00correct-horse") + packet(0x22, b"PLAIN", b"correct-horse")
    for message in dissect(Memcached, sent, b"", context=Context(keep_values=keep_values)).requests:
        assert message.summary in ("sasl auth", "sasl step")
        assert message.values == b""


def test_values_are_shown_only_when_asked_for() -> None:
    sent = b"set k 0 0 5\r\nhello\r\n"
    assert dissect(Memcached, sent, b"").requests[0].summary == "set k ?"
    kept = dissect(Memcached, sent, b"", context=Context(keep_values=True)).requests[0]
    assert kept.summary.endswith("hello")


def test_other_protocols_are_not_claimed() -> None:
    """HTTP and Redis are not memcached, nor the other way round."""
    assert Memcached.probe(b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n") == 0
    assert Memcached.probe(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", b"$-1\r\n") == 0
    assert Memcached.probe(b"get k\r\n", b"END\r\n") > 0.9
    assert Redis.probe(b"get k\r\n", b"END\r\n") == 0
    assert Memcached.probe(b"get k\r\n", b"$1\r\nx\r\n") < Redis.probe(b"get k\r\n", b"$1\r\nx\r\n")
    assert Memcached.probe(packet(0x0A), b"") > 0.7


def test_the_reply_behind_a_gap_is_not_half_a_reply() -> None:
    """The lost head of a get of two keys leaves VALUE and END behind: reading goes on behind that END."""
    got = b"VALUE a 0 1\r\nx\r\nVALUE b 0 1\r\ny\r\nEND\r\nSTORED\r\nEND\r\n"
    found = dissect(Memcached, b"", [7, got[7:]])
    assert [(message.status, message.damaged) for message in found.responses] == [("STORED", False), ("END", False)]


def test_a_big_value_is_passed_over_with_the_gaps_in_it() -> None:
    sent = [b"set k 0 0 100000\r\n" + b"x" * 600, 90000, b"x" * 9400 + b"\r\nget k\r\n"]
    got = [b"STORED\r\nVALUE k 0 100000\r\n" + b"x" * 600, 90000, b"x" * 9400 + b"\r\nEND\r\n"]
    found = dissect(Memcached, sent, got)
    assert [(message.summary, message.damaged) for message in found.requests] == [("set k ?", False), ("get k", False)]
    assert [(message.status, message.damaged) for message in found.responses] == [("STORED", False), ("VALUE", False)]


# Whatever bytes

KEY = st.sampled_from([b"a", b"user:1", b"\xc3\xa9", b"0"])
VALUE = st.one_of(st.sampled_from([b"", b"\r\n", b"get a\r\n", b"END\r\n", b"z" * 900]), st.binary(max_size=20))
TEXT_COMMAND = st.one_of(
    st.builds(lambda k, v: b"set %b 0 0 %d\r\n%b\r\n" % (k, len(v), v), KEY, VALUE),
    st.builds(lambda k, v: b"cas %b 0 0 %d 12 noreply\r\n%b\r\n" % (k, len(v), v), KEY, VALUE),
    st.builds(lambda k, v: b"ms %b %d q T0\r\n%b\r\n" % (k, len(v), v), KEY, VALUE),
    st.builds(lambda ks: b"get " + b" ".join(ks) + b"\r\n", st.lists(KEY, min_size=1, max_size=5)),
    st.sampled_from([b"mg a v q\r\n", b"mn\r\n", b"incr a 1\r\n", b"stats\r\n", b"\r\n", b"quit\r\n"]),
)
TEXT_REPLY = st.one_of(
    st.builds(
        lambda vs: b"".join(b"VALUE k 0 %d\r\n%b\r\n" % (len(v), v) for v in vs) + b"END\r\n",
        st.lists(VALUE, max_size=3),
    ),
    st.builds(lambda v: b"VA %d k1\r\n%b\r\n" % (len(v), v), VALUE),
    st.sampled_from([b"STORED\r\n", b"HD\r\n", b"MN\r\n", b"12\r\n", b"STAT a 1\r\nSTAT b 2\r\nEND\r\n", b"ERROR\r\n"]),
)
BINARY_COMMAND = st.builds(
    packet,
    st.sampled_from([0x00, 0x01, 0x09, 0x0D, 0x0A, 0x21]),
    KEY,
    VALUE,
    st.sampled_from([b"", STORE]),
    st.integers(0, 3),
)
STREAMS = st.one_of(
    st.tuples(st.lists(TEXT_COMMAND, max_size=6), st.lists(TEXT_REPLY, max_size=6)),
    st.tuples(st.lists(BINARY_COMMAND, max_size=6), st.just([])),
)


def spans(messages: list[Message]) -> set[tuple[int, int]]:
    return {(message.start, message.end) for message in messages if not message.damaged}


def boundaries(parts: list[bytes]) -> set[tuple[int, int]]:
    found = set()
    position = 0
    for part in parts:
        found.add((position, position + len(part)))
        position += len(part)
    return found


@settings(max_examples=100, deadline=None)
@given(STREAMS, st.randoms(use_true_random=False))
def test_any_split_gives_the_same_messages(streams: tuple[list[bytes], list[bytes]], splits: random.Random) -> None:
    client, server = b"".join(streams[0]), b"".join(streams[1])
    whole = dissect(Memcached, client, server)
    split = dissect(Memcached, client, server, splits=splits)
    assert split.requests == whole.requests
    assert [message.end for message in split.responses] == [message.end for message in whole.responses]
    assert spans(whole.requests) == boundaries(streams[0])
    if not any(b" q" in command for command in streams[0]):
        assert spans(whole.responses) == boundaries(streams[1])


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXT_COMMAND, min_size=1, max_size=8), st.data())
def test_a_deletion_costs_only_the_commands_it_touches(commands: list[bytes], data: st.DataObject) -> None:
    """Undamaged commands behind a gap are commands that were sent, or stand within the value of one."""
    client = b"".join(commands)
    start = data.draw(st.integers(0, len(client) - 1))
    end = data.draw(st.integers(start + 1, len(client)))
    found = dissect(Memcached, [client[:start], end - start, client[end:]], b"")
    sent = boundaries(commands)
    for low, high in spans(found.requests):
        assert (low, high) in sent or any(a < low and high <= b for a, b in sent)
    assert {span for span in sent if span[1] <= start} <= spans(found.requests)


@settings(max_examples=200, deadline=None)
@given(STREAMS, st.data(), st.randoms(use_true_random=False), st.booleans())
def test_mutated_bytes_raise_nothing_but_violations(
    pair: tuple[list[bytes], list[bytes]], data: st.DataObject, splits: random.Random, joined: bool
) -> None:
    """Whatever is overwritten, inserted or cut: the driver of the tests would let anything but a Violation through."""
    streams = []
    for stream in (bytearray(b"".join(pair[0])), bytearray(b"".join(pair[1]))):
        for _ in range(data.draw(st.integers(0, 4))):
            position = data.draw(st.integers(0, len(stream)))
            stream[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        streams.append(bytes(stream))
    assert 0 <= Memcached.probe(*streams) <= 1
    found = dissect(Memcached, *streams, splits=splits, context=Context(started=(not joined, not joined)))
    for message in found.requests:
        assert message.summary.isprintable()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_are_survived(client: bytes, server: bytes) -> None:
    assert 0 <= Memcached.probe(client, server) <= 1
    dissect(Memcached, client, server)
