"""The compressed protocol of MySQL: the conversation made by hand, packed in many ways, is read as without compression."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocols.test_mysql import CLIENT, GREETING, OK, SERVER, WHOLE, handshake, packets
from tests.support.dissect import dissect
from tests.support.mangle import mutated, with_gaps

from wiretrace.model.message import Message, Role
from wiretrace.protocols.contract import Context
from wiretrace.protocols.mysql import MySQL

if TYPE_CHECKING:
    from collections.abc import Callable

COMPRESS = 0x20
LOGIN = handshake(0x8208 | COMPRESS)
BEFORE = len(LOGIN), len(packets(GREETING) + packets(OK, first=2))
"""Bytes of both sides that are not compressed."""
FORMS: dict[str, Callable[[bytes], bytes]] = {"zlib": zlib.compress, "zstd": zstd.compress}


def pack(content: bytes, form: str = "", number: int = 0) -> bytes:
    """One compressed packet; without a form its content is as it is."""
    packed = FORMS[form](content) if form else content
    inner = len(content) if form else 0
    return struct.pack("<I", len(packed) | (number & 0xFF) << 24) + struct.pack("<I", inner)[:3] + packed


def packed(form: str, chooser: random.Random) -> tuple[bytes, bytes]:
    """The conversation made by hand: the client packs each command by itself, the server what it has at once."""
    client, at = LOGIN, BEFORE[0]
    while at < len(CLIENT):
        end = at + 4 + int.from_bytes(CLIENT[at : at + 3], "little")
        client += pack(CLIENT[at:end], form if chooser.random() < 0.5 else "")
        at = end
    server, at = SERVER[: BEFORE[1]], BEFORE[1]
    while at < len(SERVER):
        end = at + chooser.choice((20, 60, 200))
        server += pack(SERVER[at:end], form if chooser.random() < 0.7 else "", chooser.randrange(256))
        at = end
    return client, server


def told(messages: list[Message]) -> list[tuple[object, ...]]:
    return [(m.role, m.operation, m.summary, m.status, m.result, m.values, m.transaction) for m in messages]


def test_each_of_many_violations_costs_what_lies_before_the_next_packet() -> None:
    """Not all that lies behind it."""
    query = pack(packets(b"\x03" + b"select 1 from a" * 9), "zlib")
    client = LOGIN + query * 4 + (query * 3 + b"\1\0\0\0\5\0\0x") * 60 + b"\x78\x9c\0\0\0" * 400_000
    begun = time.process_time()
    read = dissect(MySQL, client, SERVER[: BEFORE[1]])
    assert time.process_time() - begun < 12
    assert len(read.violations) >= 60


@pytest.mark.parametrize("form", ["zlib", "zstd"])
@given(st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_what_was_packed_is_read_as_if_it_were_not(form: str, seed: int) -> None:
    """However packets lie in compressed packets, and whatever the segments. Every byte is in a message."""
    chooser = random.Random(seed)
    client, server = packed(form, chooser)
    for splits in (None, chooser):
        read = dissect(MySQL, client, server, splits=splits)
        assert (read.violations, read.unread) == ([], [])
        assert told(read.requests) == told(WHOLE.requests)
        assert told(read.responses) == told(WHOLE.responses)
        for messages, stream in ((read.requests, client), (read.responses, server)):
            assert messages[-1].end == len(stream)


@given(st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_with_gaps_what_is_not_damaged_is_true(seed: int) -> None:
    """Behind the login: where that is missing, what a packet carries as it is may be read as if nothing carried it."""
    chooser = random.Random(seed)
    client, server = packed("zlib", random.Random(1))
    whole = dissect(MySQL, client, server)
    streams = [
        [stream[:before], *with_gaps(stream[before:], chooser, 2)]
        for stream, before in zip((client, server), BEFORE, strict=True)
    ]
    read = dissect(MySQL, streams[0], streams[1])
    for found, true in ((read.requests, whole.requests), (read.responses, whole.responses)):
        spans = {(m.start, m.end) for m in true}
        for m in found:
            assert m.damaged or m.role is Role.CONTROL or (m.start, m.end) in spans


def test_behind_a_gap_reading_goes_on_with_the_next_packet() -> None:
    client, server = packed("zlib", random.Random(1))
    fourth = dissect(MySQL, client, server).requests[3]
    read = dissect(MySQL, [client[: fourth.start + 5], 2, client[fourth.start + 7 :]], server)
    assert [m.operation for m in read.requests][-3:] == ["CLOSE STATEMENT", "SELECT", ""]


def test_who_joins_midway_finds_that_packets_are_packed() -> None:
    """Both directions, from any byte on; what was prepared before is a number."""
    client, server = packed("zlib", random.Random(2))
    seen = set()
    for missed in range(BEFORE[0], len(client), 7):
        late = Context(started=(False, False))
        read = dissect(MySQL, [missed, client[missed:]], [BEFORE[1], server[BEFORE[1] :]], context=late)
        seen |= {m.operation for m in read.requests if not m.damaged}
    assert {"SELECT orders", "PREPARE SELECT orders", "EXECUTE", "CLOSE STATEMENT", "SELECT"} <= seen
    assert MySQL.probe(client[BEFORE[0] :], server[BEFORE[1] :]) >= 0.6
    assert MySQL.probe(client[BEFORE[0] :], b"") >= 0.8


def test_rows_that_are_passed_over_need_not_be_unpacked() -> None:
    """A row of ten megabytes: of its content hardly anything is kept."""
    row = b"\xfd" + struct.pack("<I", 10_000_000)[:3] + bytes(10_000_000)
    column = b"\x03def" + bytes(5) + b"\x0c\x21\0" + bytes(4) + b"\xfd" + bytes(5)
    answer = packets(b"\x01", column, b"\xfe\0\0\2\0", row, b"\xfe\0\0\2\0", first=1)
    server = SERVER[: BEFORE[1]]
    for at in range(0, len(answer), 1 << 20):
        server += pack(answer[at : at + (1 << 20)], "zlib")
    client = LOGIN + pack(packets(b"\x03SELECT picture FROM articles"), "zlib")
    tracemalloc.start()
    try:
        read = dissect(MySQL, client, server)
        assert tracemalloc.get_traced_memory()[1] < 6_000_000
    finally:
        tracemalloc.stop()
    assert (read.violations, read.unread) == ([], [])
    assert [m.status for m in read.responses][1:] == ["OK", "OK"]
    assert read.responses[-1].end == len(server)


def test_what_unpacks_to_more_than_is_believed_is_not_read() -> None:
    rows = packets(*[b"\x02" + b"no"] * 4_000_000, first=1)
    bomb = (
        SERVER[: BEFORE[1]]
        + b"".join(pack(rows[at : at + (1 << 20)], "zlib") for at in range(0, 12 << 20, 1 << 20)) * 8
    )
    read = dissect(MySQL, LOGIN + pack(packets(b"\x03SELECT 1"), "zlib"), bomb)
    assert read.violations


@given(st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_no_bytes_raise_anything_but_violation(seed: int) -> None:
    chooser = random.Random(seed)
    client, server = packed(chooser.choice(("zlib", "zstd")), chooser)
    whole = chooser.random() < 0.5
    client, server = mutated(client, chooser), mutated(server, chooser)
    MySQL.probe(client, server)
    dissect(MySQL, client, server, context=Context(started=(whole, whole)), splits=chooser)


def test_what_no_message_begins_in_is_accounted_for() -> None:
    """Behind a gap, packed bytes of a message whose beginning is missing are read, and part of no exchange."""
    client, server = packed("zlib", random.Random(4))
    for missed in range(BEFORE[1], len(server), 5):
        read = dissect(MySQL, client, [server[:missed], 3, server[missed + 3 :]])
        starts = {(m.start, m.end) for m in read.responses}
        assert len(starts) == len(read.responses)
        assert sum(end - start for _, start, end in read.unread) < 300
    zeros = dissect(MySQL, b"", bytes(400), context=Context(started=(False, False)))
    assert zeros.responses == []
    assert sum(end - start for _, start, end in zeros.unread) == 400
