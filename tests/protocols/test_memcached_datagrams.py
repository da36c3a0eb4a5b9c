"""memcached over UDP: text and binary, replies in several datagrams, and whatever bytes."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.captures import START_NS, Packet, udp_packet
from tests.support.packets import Exchanges

from wiretrace.protocols.contract import Context
from wiretrace.protocols.memcached_datagrams import MemcachedDatagrams

CLIENT, SERVER = ("10.0.0.1", 40000), ("10.0.0.2", 11211)
GET_BINARY = struct.pack(">BBHBBHIIQ", 0x80, 0x00, 5, 0, 0, 0, 5, 7, 0) + b"paint"
MISS_BINARY = struct.pack(">BBHBBHIIQ", 0x81, 0x00, 0, 0, 0, 1, 9, 7, 0) + b"Not found"


def framed(number: int, payload: bytes, part: int = 0, parts: int = 1) -> bytes:
    return struct.pack(">HHHH", number, part, parts, 0) + payload


def asks(payload: bytes, at: int) -> Packet:
    return udp_packet(CLIENT, SERVER, payload, START_NS + at)


def answers(payload: bytes, at: int) -> Packet:
    return udp_packet(SERVER, CLIENT, payload, START_NS + at)


def test_commands_and_replies_are_paired_by_the_number_of_their_frame() -> None:
    read = Exchanges(
        [
            asks(framed(1, b"get paint\r\n"), 1),
            asks(framed(2, b"set paint 0 0 3\r\nred\r\n"), 2),
            asks(framed(3, GET_BINARY), 3),
            answers(framed(3, MISS_BINARY), 4),
            answers(framed(2, b"STORED\r\n"), 5),
            answers(framed(1, b"VALUE paint 0 3\r\nred\r\nEND\r\n"), 6),
        ],
        keep_values=False,
    )
    assert read.unexplained == 0
    found = sorted((row["request_frames"], row["response_frames"], row["summary"], row["status"]) for row in read.rows)
    assert found == [
        ([1], [6], "get paint", "VALUE"),
        ([2], [5], "set paint ?", "STORED"),
        ([3], [4], "get paint", "KEY_NOT_FOUND"),
    ]
    assert {row["protocol"] for row in read.rows} == {"memcached"}


def test_a_reply_in_several_datagrams_is_one_answer() -> None:
    value = b"VALUE paint 0 3000\r\n" + b"x" * 3000 + b"\r\nEND\r\n"
    parts = [framed(9, value[at : at + 1400], at // 1400, 3) for at in range(0, len(value), 1400)]
    read = Exchanges([asks(framed(9, b"get paint\r\n"), 1), *(answers(part, 2 + at) for at, part in enumerate(parts))])
    assert read.unexplained == 0
    [row] = read.rows
    assert (row["status"], row["response_frames"], row["outcome"]) == ("VALUE", [2, 3, 4], "ok")
    assert row["response_bytes"] == sum(map(len, parts))
    assert row["response_end_ns"] == START_NS + 4


def test_a_reply_whose_last_datagram_is_lost_is_told_as_far_as_it_came() -> None:
    read = Exchanges([asks(framed(9, b"get paint\r\n"), 1), answers(framed(9, b"VALUE paint 0 9\r\nxx", 0, 2), 2)])
    assert read.unexplained == 0
    assert [(row["status"], row["notes"]) for row in read.rows] == [("VALUE", ["bytes of it were not captured"])]


def test_probes_want_a_frame_with_a_command_or_a_reply() -> None:
    probe = MemcachedDatagrams.probe
    assert probe(framed(1, b"get paint\r\n"), (40000, 5000)) > 0.8
    assert probe(framed(1, b"STORED\r\n"), (11211, 40000)) > 0.8
    assert probe(b"get paint\r\n", (40000, 11211)) == 0.0
    assert probe(framed(1, b"hello\r\n"), (40000, 11211)) == 0.0
    assert probe(framed(1, b"get paint\r\n", 3, 2), (40000, 11211)) == 0.0


@given(st.binary(max_size=80), st.integers(0, 3), st.integers(0, 3))
@settings(max_examples=150)
def test_no_bytes_break_it(payload: bytes, part: int, parts: int) -> None:
    for datagram in (
        payload,
        framed(1, payload, part, parts),
        framed(1, b"\x80" + payload),
        framed(1, b"get " + payload),
    ):
        MemcachedDatagrams.probe(datagram, (40000, 11211))
        message = MemcachedDatagrams(Context()).read(datagram, len(datagram))
        assert message is None or message.key >= 0
