"""WebSocket sessions in outline: counts, close codes, gaps, and whatever bytes."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.captures import ACK, TcpConversation
from tests.support.dissect import Dissection, dissect
from tests.support.http2 import joined, told
from tests.support.mangle import mutated, with_gaps
from tests.support.packets import Exchanges

from wiretrace.model.analysis import Payload
from wiretrace.model.message import Message, Result, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context
from wiretrace.protocols.http1 import Http1
from wiretrace.protocols.websocket import WebSocket

TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
MASK = b"\x11\x22\x33\x44"
ASKED = Message(
    Role.REQUEST,
    0,
    0,
    "GET /rooms/{id}",
    "GET /rooms/7",
    attributes={"url.path": "/rooms/7", "http.request.method": "GET"},
)


def frame(
    kind: int, payload: bytes = b"", *, masked: bool = False, final: bool = True, compressed: bool = False
) -> bytes:
    """One frame (RFC 6455 section 5.2)."""
    length = len(payload)
    bit = 0x80 if masked else 0
    head = bytes((kind | 0x80 * final | 0x40 * compressed,))
    if length < 126:
        head += bytes((bit | length,))
    elif length < 1 << 16:
        head += bytes((bit | 126,)) + struct.pack(">H", length)
    else:
        head += bytes((bit | 127,)) + struct.pack(">Q", length)
    if masked:
        head += MASK
        payload = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))
    return head + payload


def asked(kind: int, payload: bytes = b"", **options: bool) -> bytes:
    return frame(kind, payload, masked=True, **options)


def close(code: int, *, masked: bool = False) -> bytes:
    return frame(CLOSE, struct.pack(">H", code) + b"why", masked=masked)


def read(client: bytes, server: bytes) -> Dissection:
    """A session, which must be the same however the bytes come."""
    whole = dissect(WebSocket, client, server, context=Context(opened_by=ASKED))
    for seed in range(4):
        context = Context(opened_by=ASKED)
        split = dissect(WebSocket, client, server, context=context, splits=random.Random(seed))
        assert told(split) == told(whole)
    return whole


def test_a_session_is_one_exchange_in_outline() -> None:
    client = asked(TEXT, b"hello") + asked(BINARY, b"x" * 300) + asked(PING) + close(1000, masked=True)
    server = frame(TEXT, b"one ", final=False) + frame(0, b"message") + frame(TEXT, b"z" * 70_000, compressed=True)
    result = read(client, server + close(1000))
    [request], [response] = joined(result.requests), joined(result.responses)
    assert (request.message.operation, request.message.summary) == ("WEBSOCKET /rooms/{id}", "WEBSOCKET /rooms/7")
    assert request.message.attributes == {
        "network.protocol.name": "websocket",
        "url.path": "/rooms/7",
        "wiretrace.websocket.client.messages": 2,
        "wiretrace.websocket.client.text_messages": 1,
        "wiretrace.websocket.client.payload_bytes": 305,
        "wiretrace.websocket.client.close_code": 1000,
    }
    assert response.message.attributes == {
        "network.protocol.name": "websocket",
        "wiretrace.websocket.server.messages": 2,
        "wiretrace.websocket.server.text_messages": 2,
        "wiretrace.websocket.server.payload_bytes": 70_011,
        "wiretrace.websocket.server.compressed_messages": 1,
        "wiretrace.websocket.server.close_code": 1000,
    }
    assert (response.message.status, response.message.result) == ("1000", Result.OK)
    assert request.size == len(client) - len(asked(PING)), "a ping is CONTROL"
    assert result.unread == []


@pytest.mark.parametrize(
    ("client", "server", "status", "result"),
    [
        (1001, 1001, "1001", Result.OK),
        (None, 1011, "1011", Result.SERVER_ERROR),
        (None, 1008, "1008", Result.CLIENT_ERROR),
        (1002, 1002, "1002", Result.SERVER_ERROR),
        (1000, None, "1000", Result.OK),
        (None, 4004, "4004", Result.OK),
        (4004, 1000, "4004", Result.OK),
        (1001, 1000, "1001", Result.OK),
        (1000, 4004, "4004", Result.OK),
        (None, None, "", Result.CUT_OFF),
    ],
)
def test_close_codes_judge_the_session(client: int | None, server: int | None, status: str, result: Result) -> None:
    """The end that complains is believed; without a Close frame the session was cut off (section 7.1.5)."""
    asking = asked(TEXT, b"a") + (close(client, masked=True) if client else b"")
    answering = frame(TEXT, b"b") + (close(server) if server else b"")
    whole = dissect(WebSocket, asking, answering, context=Context(opened_by=ASKED))
    [response] = joined(whole.responses)
    assert (response.message.status, response.message.result) == (status, result)


def test_a_close_frame_without_a_code_is_an_end_as_it_should_be() -> None:
    [response] = joined(read(asked(CLOSE), frame(CLOSE)).responses)
    assert (response.message.status, response.message.result) == ("1005", Result.OK)


def test_a_gap_inside_a_payload_changes_no_count_and_one_elsewhere_gives_it_up() -> None:
    server = frame(BINARY, b"x" * 5000) + frame(TEXT, b"abc") * 5 + close(1000)
    inside = dissect(WebSocket, b"", [server[:100], 2000, server[2100:]])
    [response] = joined(inside.responses)
    assert (response.message.attributes or {})["wiretrace.websocket.server.messages"] == 6
    between = dissect(WebSocket, b"", [server[:5001], 9, server[5010:]])
    [response] = joined(between.responses)
    assert response.message.damaged
    assert response.message.status == "1000"
    assert "wiretrace.websocket.server.messages" not in (response.message.attributes or {})


def test_nothing_is_taken_for_a_session_that_no_upgrade_led_to() -> None:
    assert WebSocket.probe(asked(TEXT, b"hello"), frame(TEXT, b"hello")) == 0.0


def test_http1_hands_the_request_over_that_asked_for_it() -> None:
    request = b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    result = dissect(Http1, request + asked(TEXT, b"x"), switched)
    assert result.succession is not None
    assert result.succession.opened_by is result.requests[0]
    assert result.responses[0].status == "101"


@pytest.mark.parametrize(
    "bytes_", [b"\x83\x00", b"\x91\x00", b"\x89\x7e\x01\x00", b"\x09\x00", b"\x82\x7f" + b"\xff" * 8]
)
def test_broken_frames_are_violations(bytes_: bytes) -> None:
    """An unknown kind, a reserved bit, a long or fragmented control frame, a length beyond belief."""
    assert dissect(WebSocket, b"", frame(TEXT, b"a") + bytes_).violations


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_no_bytes_break_it(seed: int, holes: bool) -> None:
    chooser = random.Random(seed)
    contents = [(chooser.choice((TEXT, BINARY, PING)), chooser.randbytes(chooser.randrange(60))) for _ in range(9)]
    client = b"".join(asked(kind, content) for kind, content in contents)
    server = b"".join(frame(kind, content) for kind, content in contents)
    streams: list[bytes | list[bytes | int]] = [mutated(stream, chooser) for stream in (client, server + close(1000))]
    if holes:
        streams = [with_gaps(stream, chooser) for stream in streams if isinstance(stream, bytes)]
    dissect(WebSocket, *streams, splits=chooser)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_whatever_bytes_there_are(client: bytes, server: bytes) -> None:
    dissect(WebSocket, client, server)


def test_what_can_not_be_read_behind_a_gap_is_accounted_for() -> None:
    """No frame stands behind the gap: the session ends before these bytes, and they count as unfinished."""
    conversation = TcpConversation(client_isn=99).open()
    conversation.send(
        Side.CLIENT, b"GET /rooms HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    )
    asked_bytes = sum(len(packet.data) - 54 for packet in conversation.packets[3:])
    conversation.send(
        Side.SERVER, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    )
    conversation.segment(Side.CLIENT, ACK, bytes(11), seq=100 + asked_bytes + 48)
    result = Exchanges(conversation.packets)
    assert result.unexplained == 0
    assert result.accounting[Payload.UNFINISHED] == 11
