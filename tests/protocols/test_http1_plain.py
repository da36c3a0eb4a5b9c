"""Runs of plain messages are read as if each was read with care."""

from __future__ import annotations

import random
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.dissect import dissect
from tests.support.mangle import with_gaps

from wiretrace.protocols import http1, http1_plain
from wiretrace.protocols.contract import Context
from wiretrace.protocols.http1 import Http1
from wiretrace.protocols.http1_head import Fields, StatusLine, read_request_line
from wiretrace.protocols.http1_plain import plain_request, plain_response

REQUESTS = [
    b"GET /orders/42 HTTP/1.1\r\nHost: shop\r\n\r\n",
    b"GET /orders?id=7 HTTP/1.1\r\nHost: shop\r\nX-Request-Id: 0123456789abcdef\r\n\r\n",
    b"HEAD /orders/42 HTTP/1.1\r\nHost: shop\r\n\r\n",
    b"POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Length: 9\r\n\r\n" + b'{"id":42}',
    b"POST /pictures HTTP/1.1\r\nContent-Type: image/png\r\nContent-Length: 700\r\n\r\n" + b"x" * 700,
    b"POST /orders HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"\r\nGET /padded HTTP/1.1\r\n\r\n",
    b"GET /folded HTTP/1.1\r\nHost: shop\r\n and more\r\n\r\n",
    b"DELETE /orders/42 HTTP/1.1\nHost: shop\n\n",
]
RESPONSES = [
    b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"id":8812}',
    b"HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\n" + b"y" * 600,
    b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 204 Done\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 103 Early\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nz",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
]
WITHOUT_BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n"


def nothing(*arguments: object) -> int:
    """In place of what reads a run of plain messages: there is none at the index given."""
    return next(each for each in arguments if isinstance(each, int))


def test_memory_is_bounded() -> None:
    """Heads beyond the bound, and long ones, are read and not kept."""
    heads = http1_plain.Heads(http1_plain.read_response_head)
    for number in range(http1_plain.REPEATED_HEADS + 10):
        plain = heads[b"HTTP/1.1 200 OK\r\nContent-Length: %d" % (number + 1)]
        assert plain is not None
        assert plain.length == number + 1
    assert len(heads) <= http1_plain.REPEATED_HEADS
    before = len(heads)
    assert heads[b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: " + b"x" * http1_plain.REPEATED_HEAD_BYTES] is not None
    assert len(heads) == before


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=150, deadline=None)
def test_as_if_no_head_was_remembered(seed: int, whole: bool) -> None:
    """Two connections that share what is remembered give the messages of two that remember nothing, gaps or not."""
    chooser = random.Random(seed)
    asked = [chooser.choice(REQUESTS) for _ in range(chooser.randrange(1, 12))]
    answered = [WITHOUT_BODY if each.startswith(b"HEAD") else chooser.choice(RESPONSES) for each in asked]
    client, server = b"".join(asked), b"".join(answered)
    streams = [(client, server), (server, server)]
    if not whole:
        streams = [(with_gaps(client, chooser), with_gaps(server, chooser)) for _ in range(2)]
    shared: dict[str, object] = {}
    remembering = [dissect(Http1, *sides, context=Context(shared=shared)) for sides in streams]
    with patch.multiple(http1, read_plain_requests=nothing, read_plain_responses=nothing):
        plain = [dissect(Http1, *sides, context=Context()) for sides in streams]
    for one, other in zip(remembering, plain, strict=True):
        assert (one.requests, one.responses) == (other.requests, other.responses)
        assert (one.violations, one.unread) == (other.violations, other.unread)


def test_heads_that_ask_for_care_are_not_plain() -> None:
    """What is chunked, packed, noted, damaged or may change the protocol, or has no body to pass over, is left alone."""
    line = read_request_line(b"GET / HTTP/1.1", False)
    connect = read_request_line(b"CONNECT shop:443 HTTP/1.1", False)
    assert line is not None
    assert connect is not None
    careful = [
        Fields(length=-2), Fields(length=-3), Fields(upgrade="h2c"), Fields(damaged=True), Fields(notes=("odd",)),
        Fields(length=5, packed="gzip"),
    ]  # fmt: skip
    assert all(plain_request(line, fields) is None for fields in careful)
    assert plain_request(connect, Fields()) is None
    assert plain_request(line, Fields()) is not None
    found = StatusLine(200, "200", http1.OK)
    assert all(plain_response(found, fields) is None for fields in [*careful, Fields(), Fields(length=0)])
    assert plain_response(StatusLine(304, "304", http1.OK), Fields(length=5)) is None
    assert plain_response(found, Fields(length=5)) is not None
