"""HTTP/1: framing as RFC 9112 says, the same messages however the bytes arrive, and no harm from any bytes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.dissect import Dissection, dissect

from wiretrace.model.identifier import IdentifierKind
from wiretrace.model.message import Message, Result, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, Violation
from wiretrace.protocols.http1 import UNANSWERED_REQUESTS, Http1
from wiretrace.protocols.http_semantics import DISTINCT_OPERATIONS
from wiretrace.protocols.registry import known_protocols

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

GET = b"GET /a HTTP/1.1\r\nHost: app:8080\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def read(
    client: bytes | Sequence[bytes | int], server: bytes | Sequence[bytes | int] = b"", **how: object
) -> Dissection:
    return dissect(Http1, client, server, **how)  # type: ignore[arg-type]


def spans(messages: list[Message]) -> list[tuple[int, int, bool]]:
    return [(message.start, message.end, message.damaged) for message in messages]


def statuses(result: Dissection) -> list[str]:
    return [message.status for message in result.responses if message.role is Role.RESPONSE]


def operations(result: Dissection) -> list[str]:
    return [message.operation for message in result.requests if message.role is Role.REQUEST]


def whole(result: Dissection) -> None:
    """Every byte is in an undamaged message."""
    assert not result.unread
    assert not result.violations
    assert not any(message.damaged for message in result.requests + result.responses)


def test_it_is_found_by_the_registry() -> None:
    assert known_protocols()["http"] is Http1


def test_keep_alive_exchange() -> None:
    result = read(GET * 3, OK * 3)
    whole(result)
    assert spans(result.requests) == [(n * len(GET), (n + 1) * len(GET), False) for n in range(3)]
    assert spans(result.responses) == [(n * len(OK), (n + 1) * len(OK), False) for n in range(3)]
    request, response = result.requests[0], result.responses[0]
    assert (request.role, request.operation, request.summary) == (Role.REQUEST, "GET /a", "GET /a")
    assert request.attributes == {
        "http.request.method": "GET",
        "url.path": "/a",
        "server.address": "app",
        "server.port": 8080,
        "network.protocol.version": "1.1",
    }
    assert (response.role, response.status, response.result) == (Role.RESPONSE, "200", Result.OK)
    assert response.attributes == {"http.response.status_code": 200}
    assert response.values == b"hi"


@pytest.mark.parametrize(("code", "result"), [(404, Result.CLIENT_ERROR), (500, Result.SERVER_ERROR), (304, Result.OK)])
def test_status_classes(code: int, result: Result) -> None:
    read_back = read(GET, b"HTTP/1.1 %d Some Reason\r\nContent-Length: 0\r\n\r\n" % code)
    assert [message.result for message in read_back.responses] == [result]


@pytest.mark.parametrize(
    "server",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;ext=\"1\"\r\nde\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\nTrailer: x\r\nOther: y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 999\r\n\r\n00A\r\n0123456789\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 50\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 50\r\n\r\n",
        b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\ncontent-length:5\r\n\r\n12345",
        b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
        b"HTTP/1.1 200 OK\r\nServer: a\r\nX-Folded: one\r\n two\r\n\tthree\r\nContent-Length: 3\r\n\r\nabc",
    ],
)  # fmt: skip
def test_bodies_end_where_they_say(server: bytes) -> None:
    """The next response begins right behind, whatever form the end of the body has."""
    result = read(GET * 2, server + OK)
    whole(result)
    assert [message.start for message in result.responses] == [0, len(server)]


def test_head_is_answered_without_a_body() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    ask = GET.replace(b"GET", b"HEAD")
    result = read(ask + ask + GET, head + chunked + OK)
    whole(result)
    assert [message.start for message in result.responses] == [0, len(head), len(head + chunked)]


def test_interim_responses_are_control_messages() -> None:
    """A response starts with its final status line; what came before it is no part of an exchange."""
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    post = b"POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"
    result = read(post + GET, interim + hints + OK + OK)
    whole(result)
    assert [message.role for message in result.responses] == [Role.CONTROL, Role.CONTROL, Role.RESPONSE, Role.RESPONSE]
    assert result.responses[2].start == len(interim + hints)


def test_a_response_ends_with_the_connection() -> None:
    server = b"HTTP/1.0 200 OK\r\n\r\nHTTP is not here, but text"
    result = read(b"GET / HTTP/1.0\r\n\r\n", server)
    whole(result)
    assert spans(result.responses) == [(0, len(server), False)]


def test_a_gap_in_a_body_that_ends_with_the_connection_is_passed_over() -> None:
    result = read(b"GET / HTTP/1.0\r\n\r\n", [b"HTTP/1.0 200 OK\r\n\r\nab", 500, b"cd"])
    assert spans(result.responses) == [(0, 523, False)]


def test_empty_lines_between_messages_are_control_messages() -> None:
    result = read(b"\r\n" + GET + b"\r\n\r\n" + GET + b"\r\n", OK * 2)
    whole(result)
    assert [message.role for message in result.requests] == [
        Role.CONTROL, Role.REQUEST, Role.CONTROL, Role.REQUEST, Role.CONTROL,
    ]  # fmt: skip
    assert result.requests[-1].end == 2 * len(GET) + 8


def test_websocket_takes_over_where_both_sides_leave_http() -> None:
    ask = b"GET /chat HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\r\n"
    result = read(GET + ask + b"\x81\x80abcd", OK + answer + b"\x81\x00")
    assert result.succession is not None
    assert (result.succession.protocol, result.succession.client_offset, result.succession.server_offset) == (
        "websocket", len(GET + ask), len(OK + answer),
    )  # fmt: skip
    assert statuses(result) == ["200", "101"]


def test_a_refused_upgrade_stays_http() -> None:
    ask = b"GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n"
    result = read(ask + GET, OK + OK)
    whole(result)
    assert result.succession is None
    assert len(result.requests) == 2


def test_connect_hands_over_to_whatever_follows() -> None:
    ask = b"CONNECT db.example:443 HTTP/1.1\r\nHost: db.example:443\r\n\r\n"
    answer = b"HTTP/1.1 200 Connection established\r\n\r\n"
    result = read(ask + b"\x16\x03\x01", answer + b"\x16\x03\x03")
    assert result.succession is not None
    assert (result.succession.protocol, result.succession.client_offset, result.succession.server_offset) == (
        "", len(ask), len(answer),
    )  # fmt: skip
    assert result.requests[0].summary == "CONNECT db.example:443"


def test_a_refused_connect_stays_http() -> None:
    ask = b"CONNECT db.example:443 HTTP/1.1\r\n\r\n"
    result = read(ask + GET, b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n" + OK)
    whole(result)
    assert statuses(result) == ["407", "200"]


def test_an_upgrade_that_only_the_server_side_shows() -> None:
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
    result = read(b"", answer + b"\x81\x00", context=Context(started=(False, True)))
    assert result.succession is not None
    assert result.succession.server_offset == len(answer)


@pytest.mark.parametrize(
    ("line", "operation", "summary"),
    [
        (b"GET /orders/42?token=abc&x=1", "GET /orders/{id}", "GET /orders/42?token=[redacted]&x=1"),
        (b"GET /u/550e8400-e29b-41d4-a716-446655440000/x", "GET /u/{id}/x", "GET /u/550e8400-e29b-41d4-a716-446655440000/x"),
        (b"GET /static/app.3f2a91bc.js", "GET /static/app.{id}.js", "GET /static/app.3f2a91bc.js"),
        (b"GET /v1/users/user-8812/facade", "GET /v1/users/user-{id}/facade", "GET /v1/users/user-8812/facade"),
        (b"GET /d/2024-01-02", "GET /d/{id}", "GET /d/2024-01-02"),
        (b"GET /blob/dQw4w9WgXcQ", "GET /blob/{id}", "GET /blob/dQw4w9WgXcQ"),
        (b"GET /oauth2/v2/sha256", "GET /oauth2/v2/sha256", "GET /oauth2/v2/sha256"),
        (b"GET /of/alice@example.com/x", "GET /of/{id}/x", "GET /of/alice@example.com/x"),
        (b"GET /wiki/A%20title", "GET /wiki/{id}", "GET /wiki/A%20title"),
        (b"GET /a;jsessionid=1A2B/b", "GET /a/b", "GET /a;jsessionid=[redacted]/b"),
        (b"GET http://u:pw@shop.example:81/a/7?q=1", "GET /a/{id}", "GET [redacted]@shop.example:81/a/7?q=1"),
        (b"GET http://shop.example?q=1", "GET /", "GET shop.example/?q=1"),
        (b"OPTIONS *", "OPTIONS *", "OPTIONS *"),
        (b"PURGE /x", "PURGE /x", "PURGE /x"),
        (b"GET /with space/a", "GET /with space/a", "GET /with space/a"),
        (b"GET /" + b"a/" * 40, "GET /" + "a/" * 12 + "…", "GET /" + "a/" * 40),
    ],
)  # fmt: skip
def test_operation_and_summary(line: bytes, operation: str, summary: str) -> None:
    message = read(line + b" HTTP/1.1\r\n\r\n").requests[0]
    assert (message.operation, message.summary) == (operation, summary)


def test_values_are_kept_on_demand() -> None:
    result = read(b"GET /a?token=abc HTTP/1.1\r\n\r\n", context=Context(keep_values=True))
    assert result.requests[0].summary == "GET /a?token=abc"


TRACE_ID = b"4bf92f3577b34da6a3ce929d0e0e4736"
AMAZON_ID = b"1-67891233-abcdef012345678912345678"


@pytest.mark.parametrize(
    ("header", "kind", "value"),
    [
        (b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", IdentifierKind.TRACEPARENT, TRACE_ID),
        (b"TraceParent:cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what", IdentifierKind.TRACEPARENT, TRACE_ID),
        (b"b3: 80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1", IdentifierKind.B3, b"80f198ee56343ba864fe8b2a57d3eff7"),
        (b"X-B3-TraceId: 64FE8B2A57D3EFF7", IdentifierKind.B3, b"000000000000000064fe8b2a57d3eff7"),
        (b"uber-trace-id: 5b2b4e1c%3Aaa%3A0%3A1", IdentifierKind.UBER_TRACE_ID, b"0000000000000000000000005b2b4e1c"),
        (b"sw8: 1-dHJhY2UtMQ==-c2Vn-3-YQ==-Yg==-L2M=-ZA==", IdentifierKind.SW8, b"trace-1"),
        (b"X-Amzn-Trace-Id: Self=1-2;Root=" + AMAZON_ID, IdentifierKind.AMZN_TRACE_ID, AMAZON_ID),
        (b"x-datadog-trace-id: 1234567890123456789", IdentifierKind.DATADOG, b"1234567890123456789"),
        (b"X-Cloud-Trace-Context: 4BF92F3577B34DA6A3CE929D0E0E4736/1;o=1", IdentifierKind.CLOUD_TRACE, TRACE_ID),
        (b"X-Request-ID: abc-123", IdentifierKind.REQUEST_ID, b"abc-123"),
        (b"X-Correlation-Id: abc-124", IdentifierKind.REQUEST_ID, b"abc-124"),
    ],
)  # fmt: skip
def test_breadcrumbs_are_read_on_both_sides(header: bytes, kind: IdentifierKind, value: bytes) -> None:
    result = read(GET[:-2] + header + b"\r\n\r\n", b"HTTP/1.1 204 No Content\r\n" + header + b"\r\n\r\n")
    assert result.requests[0].identifiers == ((kind, value),)
    assert result.responses[0].identifiers == ((kind, value),)


@pytest.mark.parametrize(
    "header",
    [
        b"traceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        b"traceparent: ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        b"b3: 0",
        b"b3: d",
        b"x-datadog-trace-id: 0",
        b"sw8: 1-!!!-a-b-c-d-e-f",
        b"x-request-id: \x1b[31m",
        b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
        b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b7-01",
    ],
)
def test_breadcrumbs_that_say_nothing_are_left_out(header: bytes) -> None:
    assert read(GET[:-2] + header + b"\r\n\r\n").requests[0].identifiers == ()


def test_values_hold_target_and_start_of_body() -> None:
    post = b'POST /a?b=c HTTP/1.1\r\nContent-Length: 600\r\n\r\n{"id":7}' + b" " * 592
    result = read(post, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n")
    assert result.requests[0].values.startswith(b'/a?b=c {"id":7}')
    assert len(result.requests[0].values) == 512
    assert result.responses[0].values == b"abcde"


def test_bodies_that_are_not_packed_as_they_say_give_no_values() -> None:
    result = read(GET, OK.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"))
    assert result.responses[0].values == b""


@pytest.mark.parametrize(
    ("header", "note"),
    [
        (b"Content-Length: 1\r\nContent-Length: 2", "Content-Length is given twice and differs"),
        (b"Content-Length: -5", "Content-Length is not a length"),
        (b"Content-Length: 9999999999999999999999", "Content-Length is not a length"),
        (b"Content-Length: 0x10", "Content-Length is not a length"),
        (b"no colon here", "a header line has no name"),
    ],
)
def test_broken_heads_are_damaged_and_say_why(header: bytes, note: str) -> None:
    result = read(b"POST /a HTTP/1.1\r\n" + header + b"\r\n\r\n")
    assert result.requests[0].damaged
    assert result.requests[0].notes == (note,)


def test_a_body_longer_than_declared_is_a_violation_and_the_next_request_is_found() -> None:
    result = read(b"POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nabcdef\r\n" + GET)
    assert result.violations == [(Side.CLIENT, "not a request line")]
    assert operations(result) == ["POST /a", "GET /a"]


@pytest.mark.parametrize("size", [b"-1", b"fffffffffffffffff", b"0x5", b"", b" 5", b"5 6", b"zz"])
def test_malformed_chunks_are_a_violation(size: bytes) -> None:
    server = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\nabcde\r\n0\r\n\r\n"
    result = read(GET * 2, server + OK)
    assert result.violations == [(Side.SERVER, "not a chunk")]
    assert result.responses[0].damaged
    assert statuses(result) == ["200", "200"]


def test_huge_chunks_and_bodies_are_passed_over_without_harm() -> None:
    server = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffff\r\nabc"
    assert [message.damaged for message in read(GET, server).responses] == [True]
    post = b"POST / HTTP/1.1\r\nContent-Length: 999999999999999\r\n\r\n"
    assert read(post).requests[0].end == len(post) + 999999999999999


def test_a_gap_inside_a_body_of_known_length_loses_nothing() -> None:
    server = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    result = read(GET * 2, [server + b"a" * 100, 700, b"b" * 200 + OK])
    assert spans(result.responses) == [
        (0, len(server) + 1000, False),
        (len(server) + 1000, len(server) + 1000 + len(OK), False),
    ]


def test_behind_a_gap_reading_goes_on_at_the_next_message() -> None:
    json = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{"a": "b\\n\\n"}'
    result = read(GET * 4, [OK + json[:20], len(json) - 20 + 9, b"rest of a body" + json + OK])
    assert statuses(result) == ["200", "200", "200", "200"]
    assert [message.damaged for message in result.responses] == [False, True, False, False]


def test_a_head_that_was_cut_off_still_tells_what_it_asked() -> None:
    """Captured with a short snap length, every packet keeps its start only."""
    client = [
        b"GET /orders/42 HTTP/1.1\r\nHost: a",
        60,
        b"GET /orders/43/items?tok",
        70,
        b"GET /orders/44",
        60,
        b"GE",
        40,
    ]
    server = [b"HTTP/1.1 200 OK\r\nServer: ng", 400, b"HTTP/1.1 500 Inter", 300, b"HTTP/1.1 404", 100]
    result = read(client, server)
    assert [message.summary for message in result.requests] == [
        "GET /orders/42",
        "GET /orders/43/items…",
        "GET /orders/…",
    ]
    assert [message.operation for message in result.requests] == [
        "GET /orders/{id}",
        "GET /orders/{id}/items…",
        "GET /orders/…",
    ]
    assert statuses(result) == ["200", "500", "404"]
    assert all(message.damaged for message in result.requests + result.responses)


def test_behind_a_gap_responses_to_head_are_recognised_by_what_follows() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    result = read([30, GET * 5], [OK + head + head + OK + head])
    assert [message.start for message in result.responses] == [0, 47 - 7, 81, 122, 162] or statuses(result) == [
        "200"
    ] * 5
    assert result.responses[-1].notes == ("whether a body belongs to it is not known",)


def test_joined_midway() -> None:
    context = Context(started=(False, False))
    result = read(
        b"tail of a body" + GET + GET, b"}]" + OK.replace(b"Content", b"Server: x\r\nContent") + OK, context=context
    )
    assert operations(result) == ["GET /a", "GET /a"]
    assert statuses(result) == ["200", "200"]


@pytest.mark.parametrize(
    "body",
    [
        b"GET /a is what they said\nGET /b\n",
        b"HTTP/1.1 is a protocol\n",
        b"see HTTP/1.1 200 OK for this",
        b"GET /a HTTP/1.1 was logged",
        b'"GET /a HTTP/1.1" 200 17\n',
        b"\nHTTP/1.1 99 x\r\n",
    ],
)
def test_text_about_http_is_no_boundary(body: bytes) -> None:
    protocol = Http1(Context())
    for side in Side:
        assert protocol.resync(side, b"x" + body + b" " * 100, 0, 0) is None


@pytest.mark.parametrize(
    ("client", "server", "low", "high"),
    [
        (GET, b"", 0.9, 1),
        (b"", OK, 0.9, 1),
        (GET, OK, 0.9, 1),
        (b"rest of a body" + GET, b"", 0.5, 0.9),
        (b"GET /very/lo", b"", 0.5, 1),
        (b"GET /Hello World HTTP/1.0\r\n\r\n", b"", 0.9, 1),
        (OK, GET, 0, 0),
        (b"", b"", 0, 0),
        (GET, b"\x16\x03\x01\x02", 0.5, 0.7),
        (b"no request\r\n\r\n", OK, 0.5, 0.7),
        (b"\x16\x03\x01\x02\x00", b"", 0, 0),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"", 0, 0),
        (b"OPTIONS sip:a@b SIP/2.0\r\n\r\n", b"", 0, 0),
        (b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n", 0, 0),
        (b"", b"SSH-2.0-x\r\n", 0, 0),
    ],
)
def test_probe(client: bytes, server: bytes, low: float, high: float) -> None:
    assert low <= Http1.probe(client, server) <= high


def test_a_head_that_never_ends_is_given_up() -> None:
    protocol = Http1(Context(unparsed_bytes=100_000))
    data = b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 50_000
    with pytest.raises(Violation):
        protocol.parse(Side.CLIENT, data, 0, 0)


def test_a_trailer_that_never_ends_is_given_up_and_its_message_kept() -> None:
    protocol = Http1(Context(unparsed_bytes=100_000))
    data = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 50_000
    with pytest.raises(Violation):
        protocol.parse(Side.CLIENT, data, 0, 0)
    assert [(message.operation, message.damaged) for message in protocol.requests] == [("POST /a", True)]


def test_empty_lines_before_a_violation_are_accounted_for() -> None:
    protocol = Http1(Context())
    with pytest.raises(Violation):
        protocol.parse(Side.CLIENT, b"\r\n\r\n\x16\x03\x01", 0, 0)
    assert [(message.role, message.start, message.end) for message in protocol.requests] == [(Role.CONTROL, 0, 4)]


def test_ten_thousand_header_lines_are_read() -> None:
    lines = b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(10_000))
    result = read(b"GET /a HTTP/1.1\r\n" + lines + b"X-Request-Id: find-me\r\n\r\n" + GET)
    assert result.requests[0].identifiers == ((IdentifierKind.REQUEST_ID, b"find-me"),)
    assert len(result.requests) == 2


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 30_000,
        b"GET /" + b"a" * 200_000,
        b"\r\n" * 100_000,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"T: x\r\n" * 30_000,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 30_000,
    ],
)
def test_heads_and_chunks_that_come_in_pieces_take_linear_time(data: bytes) -> None:
    """What was searched in vain is not searched again when more bytes come."""
    protocol = Http1(Context())
    at, started = 0, time.process_time()
    for end in range(0, len(data), 500):
        at = protocol.parse(Side.CLIENT, data[:end], at, 0)
    assert time.process_time() - started < 1.5


def test_distinct_operations_are_bounded() -> None:
    """Over all connections of one context, so that operations stay few enough to be told apart."""
    context = Context()
    for first in (b"a", b"b"):
        client = b"".join(b"GET /%s%s HTTP/1.1\r\n\r\n" % (first, b"x" * n) for n in range(50))
        for suffix in range(26):
            result = read(client.replace(b" HTTP", b"/%c HTTP" % (97 + suffix)), context=context)
    assert len({message.operation for message in result.requests}) == 1
    assert result.requests[0].operation == "GET /…"
    assert result.requests[0].notes == ("more distinct operations than are told apart",)
    assert len(context.shared["operations"]) == DISTINCT_OPERATIONS  # type: ignore[arg-type]


def test_requests_without_answers_are_bounded() -> None:
    protocol = Http1(Context())
    protocol.parse(Side.CLIENT, GET * (UNANSWERED_REQUESTS + 10), 0, 0)
    assert len(protocol._methods) <= UNANSWERED_REQUESTS


# ---- the reference ------------------------------------------------------------------------------------------------------


def h11_spans(side: Side, stream: bytes, methods: list[bytes]) -> list[tuple[int, int, bytes]]:
    """Start, end, and target or status of every message, as h11 reads them."""
    found = []
    position, number = 0, 0
    while position < len(stream):
        while side is Side.CLIENT and stream[position : position + 2] == b"\r\n":
            position += 2
        connection = h11.Connection(
            h11.SERVER if side is Side.CLIENT else h11.CLIENT, max_incomplete_event_size=1 << 20
        )
        if side is Side.SERVER:
            connection.send(h11.Request(method=methods[number], target="/", headers=[("host", "a")]))
            connection.send(h11.EndOfMessage())
        connection.receive_data(stream[position:])
        connection.receive_data(b"")
        what = b""
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                what = event.target
            elif isinstance(event, h11.InformationalResponse):
                position = len(stream) - len(connection.trailing_data[0])
            elif isinstance(event, h11.Response):
                what = b"%d" % event.status_code
            elif isinstance(event, h11.EndOfMessage):
                break
        end = len(stream) - len(connection.trailing_data[0])
        found.append((position, end, what))
        position, number = end, number + 1
    return found


TOKEN = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=12).map(str.encode)
HEADER_VALUE = st.text('abcXYZ019 =;,"/:.', max_size=30).map(lambda text: text.strip().encode())
BODY = st.binary(max_size=80)


@st.composite
def header_lines(draw: st.DrawFn) -> bytes:
    lines = draw(st.lists(st.tuples(TOKEN, HEADER_VALUE), max_size=5))
    return b"".join(b"X-" + name + b": " + value + b"\r\n" for name, value in lines)


@st.composite
def framed_body(draw: st.DrawFn) -> bytes:
    """Header lines, the empty line, and a body that they frame."""
    body = draw(BODY)
    if draw(st.booleans()):
        return draw(header_lines()) + b"Content-Length: %d\r\n\r\n" % len(body) + body
    pieces, chunks = [body[:7], body[7:50], body[50:]], b""
    for piece in pieces:
        if piece:
            chunks += b"%x%s\r\n%s\r\n" % (len(piece), draw(st.sampled_from([b"", b";a=b"])), piece)
    trailer = draw(st.sampled_from([b"", b"Expires: never\r\n"]))
    return b"Transfer-Encoding: chunked\r\n" + draw(header_lines()) + b"\r\n" + chunks + b"0\r\n" + trailer + b"\r\n"


@st.composite
def conversation(draw: st.DrawFn) -> tuple[bytes, bytes, list[bytes]]:
    """Requests and their responses on one connection, with the methods."""
    client, server, methods = b"", b"", []
    for _ in range(draw(st.integers(1, 5))):
        method = draw(st.sampled_from([b"GET", b"HEAD", b"POST", b"DELETE"]))
        methods.append(method)
        head = method + b" /" + draw(TOKEN) + b" HTTP/1.1\r\nHost: a\r\n"
        client += head + (draw(framed_body()) if method == b"POST" else draw(header_lines()) + b"\r\n")
        for _ in range(draw(st.integers(0, 1))):
            server += b"HTTP/1.1 100 Continue\r\n\r\n"
        status = draw(
            st.sampled_from([b"200 OK", b"404 Not Found", b"500 Oh no", b"204 No Content", b"304 Not Modified"])
        )
        framed = draw(framed_body())
        if method == b"HEAD" or status[:3] in (b"204", b"304"):
            framed = framed[: framed.index(b"\r\n\r\n") + 4]
        server += b"HTTP/1.1 " + status + b"\r\n" + framed
    return client, server, methods


@settings(max_examples=80, deadline=None)
@given(conversation())
def test_framing_equals_that_of_h11(made: tuple[bytes, bytes, list[bytes]]) -> None:
    """Every message starts and ends where the reference implementation says, and has the same target or status."""
    client, server, methods = made
    result = read(client, server)
    whole(result)
    assert [
        (message.start, message.end, message.summary.split(" ", 1)[1].encode()) for message in result.requests
    ] == h11_spans(Side.CLIENT, client, methods)
    assert [
        (message.start, message.end, message.status.encode())
        for message in result.responses
        if message.role is Role.RESPONSE
    ] == h11_spans(Side.SERVER, server, methods)


def without_values(messages: list[Message]) -> list[tuple[object, ...]]:
    return [
        (m.role, m.start, m.end, m.operation, m.summary, m.status, m.damaged, m.identifiers, m.notes) for m in messages
    ]


@settings(max_examples=60, deadline=None)
@given(conversation(), st.randoms(use_true_random=False))
def test_the_same_messages_however_the_bytes_arrive(
    made: tuple[bytes, bytes, list[bytes]], splits: random.Random
) -> None:
    """Any split of the two streams over calls gives the messages of whole windows."""
    client, server, _ = made
    once, pieces = read(client, server), read(client, server, splits=splits)
    assert without_values(once.requests) == without_values(pieces.requests)
    assert without_values(once.responses) == without_values(pieces.responses)


@settings(max_examples=80, deadline=None)
@given(conversation(), st.randoms(use_true_random=False), st.booleans())
def test_with_bytes_missing_nothing_is_made_up(
    made: tuple[bytes, bytes, list[bytes]], source: random.Random, of_client: bool
) -> None:
    """With a gap in one side, every undamaged message is one of those that were sent, and the other side loses none."""
    client, server, _ = made
    sent = read(client, server)
    stream = client if of_client else server
    start = source.randrange(len(stream))
    end = min(len(stream), start + source.choice([1, 5, 30, 200]))
    holed: list[bytes | int] = [stream[:start], end - start, stream[end:]]
    seen = read(holed if of_client else client, server if of_client else holed)
    for got, truth in ((seen.requests, sent.requests), (seen.responses, sent.responses)):
        starts = {message.start: message for message in truth}
        for message in got:
            if not message.damaged and message.role is not Role.CONTROL:
                assert message.start in starts
                assert message.status == starts[message.start].status
                assert message.summary == starts[message.start].summary
    if not of_client:
        assert without_values(seen.requests) == without_values(sent.requests)


@settings(max_examples=60, deadline=None)
@given(conversation(), st.randoms(use_true_random=False))
def test_mutated_bytes_raise_nothing_but_violations(
    made: tuple[bytes, bytes, list[bytes]], source: random.Random
) -> None:
    """Random changes, insertions and deletions never raise, hang, or make messages overlap."""
    streams = []
    for stream in made[:2]:
        mutable = bytearray(stream)
        for _ in range(source.randint(1, 8)):
            at = source.randrange(len(mutable))
            piece = source.choice(
                [b"", b"\r\n", b"\n", b"\r\n\r\n", b"0", b":", b"HTTP/1.1 ", b"\xff", b"Upgrade: x\r\n", GET, OK]
            )
            mutable[at : at + source.choice([0, 1, 4, 40])] = piece
            mutable = mutable or bytearray(b"x")
        streams.append(bytes(mutable))
    read(streams[0], streams[1], splits=source)
    read([streams[0][:40], 17, streams[0][40:]], [streams[1][:55], 3, streams[1][55:]], splits=source)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_can_be_probed_and_read(client: bytes, server: bytes) -> None:
    assert 0 <= Http1.probe(client, server) <= 1
    read(client, server)
