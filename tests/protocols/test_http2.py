"""HTTP/2: streams, header tables, gaps, late arrival, resets, and whatever bytes."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import hpack
import pytest
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.dissect import Dissection, dissect
from tests.support.http2 import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Sender,
    client,
    frame,
    grpc_message,
    joined,
    server,
    told,
)
from tests.support.mangle import mutated, with_gaps

from wiretrace.model.identifier import IdentifierKind
from wiretrace.model.limits import Limits
from wiretrace.model.message import Message, Result, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, Violation
from wiretrace.protocols.http1 import Http1
from wiretrace.protocols.http2 import Http2
from wiretrace.protocols.http2_fields import MALFORMED_NOTE, UNKNOWN_NOTE
from wiretrace.protocols.http2_hpack import FieldDecoder, MalformedBlock
from wiretrace.protocols.http2_huffman import HuffmanError, decode
from wiretrace.protocols.http_semantics import DISTINCT_OPERATIONS, TOO_MANY_OPERATIONS
from wiretrace.protocols.registry import known_protocols

if TYPE_CHECKING:
    from collections.abc import Sequence

GRPC = ("content-type", "application/grpc")
LATE = Context(started=(False, False))


def read(asking: Sender | bytes, answering: Sender | bytes = b"", context: Context | None = None) -> Dissection:
    """What is read of two streams, which must be the same however the bytes come."""
    streams = [each.stream if isinstance(each, Sender) else each for each in (asking, answering)]
    whole = dissect(Http2, *streams, context=context)
    for seed in range(4):
        split = dissect(Http2, *streams, context=context, splits=random.Random(seed))
        assert told(split) == told(whole)
        assert split.unread == whole.unread
    return whole


def requests_of(result: Dissection) -> list[Message]:
    return [whole.message for whole in joined(result.requests)]


def responses_of(result: Dissection) -> list[Message]:
    return [whole.message for whole in joined(result.responses)]


def summaries(result: Dissection) -> list[str]:
    return [message.summary for message in requests_of(result)]


# Streams


def test_requests_and_responses_are_paired_by_stream() -> None:
    asking = client().ask(1, "/a").ask(3, "/orders/42?token=abc", method="DELETE")
    result = read(asking, server().answer(3, 404).answer(1))
    assert [(message.key, message.operation, message.summary) for message in requests_of(result)] == [
        (1, "GET /a", "GET /a"),
        (3, "DELETE /orders/{id}", "DELETE /orders/42?token=[redacted]"),
    ]
    assert [(message.key, message.status, message.result) for message in responses_of(result)] == [
        (3, "404", Result.CLIENT_ERROR),
        (1, "200", Result.OK),
    ]
    assert requests_of(result)[0].attributes == {
        "http.request.method": "GET",
        "server.address": "shop",
        "server.port": 8080,
        "network.protocol.version": "2",
        "url.path": "/a",
    }
    assert result.unread == []


def test_frames_of_streams_that_alternate_are_pieces_of_their_messages() -> None:
    """A message has the bytes of its own frames, from the first byte of its head to the last of its end."""
    answering = server().answer(1, end=False).answer(3, end=False)
    start = len(frame(SETTINGS, 0, 0))
    head = (len(answering.stream) - start) // 2
    for number in range(3):
        answering.data(1, b"a" * 100, end=number == 2).data(3, b"b" * 50, end=number == 2)
    result = read(client().ask(1, "/a").ask(3, "/b"), answering)
    first, second = joined(result.responses)
    assert (first.size, second.size) == (head + 3 * 109, head + 3 * 59)
    assert (first.pieces[0][0], second.pieces[0][0]) == (start, start + head)
    assert (first.pieces[-1][1], second.pieces[-1][1]) == (len(answering.stream) - 59, len(answering.stream))
    assert sum(message.end - message.start for message in result.responses) == len(answering.stream)


def test_content_may_come_in_frames_of_any_length() -> None:
    """What the server allows may be read later than what the client made of it."""
    asking = client().ask(1, "/a", method="POST", end=False).data(1, bytes(1 << 20), end=True).ask(3, "/b")
    assert summaries(dissect(Http2, asking.stream, b"")) == ["POST /a", "GET /b"]


def test_control_frames_belong_to_no_message() -> None:
    answering = server().answer(1, end=False).send(frame(PING, 0, 0, bytes(8)), frame(WINDOW_UPDATE, 0, 1, bytes(4)))
    answering.data(1, b"abc", end=True)
    result = read(client().ask(1, "/"), answering)
    assert [whole.size for whole in joined(result.responses)] == [len(answering.stream) - 9 - 17 - 13]
    assert sum(message.end - message.start for message in result.responses if message.role is Role.CONTROL) == 39


def test_a_header_block_in_several_frames_is_one() -> None:
    asking = client()
    asking.headers(1, [(":method", "GET"), (":path", "/a"), ("x-long", "v" * 900)], end=True, pieces=5)
    assert summaries(read(asking)) == ["GET /a"]


def test_padding_and_priority_are_passed_over() -> None:
    block = Sender().encoder.encode([(":method", "GET"), (":path", "/padded")])
    padded = frame(HEADERS, END_HEADERS | END_STREAM | 0x28, 1, b"\x03" + bytes(5) + block + bytes(3))
    asking = client().send(padded).ask(3, "/b", GRPC, method="POST", end=False)
    asking.data(3, grpc_message(b"abc"), padding=30).data(3, grpc_message(b"de"), padding=0, end=True)
    padded_request, call = requests_of(read(asking))
    assert padded_request.summary == "GET /padded"
    assert call.attributes is not None
    assert call.attributes["wiretrace.grpc.request.messages"] == 2


def test_interim_responses_and_trailers() -> None:
    """An interim response is CONTROL, as in HTTP/1; a trailer ends the message."""
    answering = server().answer(1, 103, end=False).answer(1, 200, end=False).data(1, b"body")
    answering.headers(1, [("x-checksum", "1")], end=True)
    result = read(client().ask(1, "/"), answering)
    assert [message.status for message in responses_of(result)] == ["200"]
    assert result.responses[-1].end == len(answering.stream)


def test_a_pushed_response_is_a_push_with_the_request_that_was_promised() -> None:
    answering = server()
    block = answering.encoder.encode([(":method", "GET"), (":path", "/style.css"), (":authority", "shop")])
    answering.send(frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\x02" + block)).answer(1)
    answering.answer(2, end=False).data(2, b"p {}", end=True)
    push = responses_of(read(client().ask(1, "/"), answering))[-1]
    assert (push.role, push.key, push.operation, push.status) == (Role.PUSH, 2, "GET /style.css", "200")


def test_extended_connect_names_its_path_and_protocol() -> None:
    """RFC 8441 section 4."""
    asking = client().ask(1, "/chat", (":protocol", "websocket"), method="CONNECT", end=False).data(1, b"x", end=True)
    [request] = requests_of(read(asking))
    assert request.operation == "CONNECT /chat"
    assert request.attributes is not None
    assert request.attributes["wiretrace.http.connect_protocol"] == "websocket"


def test_breadcrumbs_are_those_of_http1() -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    asking = client().ask(1, "/", ("traceparent", f"00-{trace}-b7ad6b7169203331-01"), ("x-request-id", "req-1"))
    [request] = requests_of(read(asking, server().answer(1, 200, ("x-request-id", "req-1"))))
    assert request.identifiers == (
        (IdentifierKind.TRACEPARENT, trace.encode()),
        (IdentifierKind.REQUEST_ID, b"req-1"),
    )


def test_values_are_the_path_and_the_beginning_of_the_body() -> None:
    asking = client().ask(1, "/orders/42", method="POST", end=False).data(1, b"article=paint-77", end=True)
    answering = server().answer(1, 200, ("content-type", "image/png"), end=False).data(1, b"pixels", end=True)
    result = dissect(Http2, asking.stream, answering.stream)
    assert requests_of(result)[0].values == b"/orders/42 article=paint-77"
    assert responses_of(result)[0].values == b""


def test_events_are_counted() -> None:
    answering = server().answer(1, 200, ("content-type", "text/event-stream"), end=False)
    answering.data(1, b": hello\n\ndata: 1\n").data(1, b"\ndata: 2\n\n", end=True)
    [response] = responses_of(read(client().ask(1, "/events"), answering))
    assert response.attributes == {"http.response.status_code": 200, "wiretrace.http.response.events": 2}


# Ends that are not as they should be


def test_a_server_that_resets_a_stream_gives_the_exchange_up() -> None:
    answering = server().send(frame(RST_STREAM, 0, 1, b"\0\0\0\x07")).answer(3, end=False)
    answering.send(frame(RST_STREAM, 0, 3, b"\0\0\0\x02"))
    result = read(client().ask(1, "/a").ask(3, "/b"), answering)
    assert [(message.key, message.status, message.result) for message in responses_of(result)] == [
        (1, "REFUSED_STREAM", Result.ABANDONED),
        (3, "200", Result.ABANDONED),
    ]
    assert [(message.attributes or {})["error.type"] for message in responses_of(result)] == [
        "REFUSED_STREAM",
        "INTERNAL_ERROR",
    ]


def test_a_reset_behind_a_whole_response_changes_nothing() -> None:
    """RFC 9113 section 8.1: a server asks the client to stop sending the rest of its request."""
    answering = server().answer(1, 413).send(frame(RST_STREAM, 0, 1, bytes(4)))
    result = read(client().ask(1, "/", method="POST", end=False).data(1, b"abc"), answering)
    assert [(message.status, message.result) for message in responses_of(result)] == [("413", Result.CLIENT_ERROR)]


def test_a_client_that_resets_a_stream_calls_the_exchange_off() -> None:
    """The request was complete: a CANCEL message says so. It was not: the request ends there."""
    cancel = frame(RST_STREAM, 0, 1, b"\0\0\0\x08")
    asking = client().ask(1, "/a").send(cancel).ask(3, "/b", method="POST", end=False)
    asking.send(frame(RST_STREAM, 0, 3, b"\0\0\0\x08"))
    result = read(asking)
    [called_off] = [message for message in result.requests if message.role is Role.CANCEL]
    assert (called_off.key, called_off.attributes) == (1, {"error.type": "CANCEL"})
    assert [(message.key, message.result) for message in requests_of(result)] == [(1, Result.OK), (3, Result.CANCELLED)]


def test_what_came_of_an_answer_that_was_called_off_is_told_when_the_server_answers_a_later_stream() -> None:
    asking = client().ask(1, "/a").send(frame(RST_STREAM, 0, 1, b"\0\0\0\x08")).ask(3, "/b")
    answering = server().answer(1, end=False).data(1, b"abc").answer(3)
    result = dissect(Http2, asking.stream, answering.stream)
    assert [(message.key, message.result) for message in responses_of(result)] == [
        (1, Result.CANCELLED),
        (3, Result.OK),
    ]


def test_requests_above_the_last_stream_of_goaway_are_abandoned() -> None:
    asking = client().ask(1, "/a").ask(3, "/b")
    answering = server().answer(1).send(frame(GOAWAY, 0, 0, b"\0\0\0\x01" + bytes(4)))
    result = read(asking, answering)
    assert [(message.key, message.result) for message in requests_of(result)] == [(1, Result.OK), (3, Result.ABANDONED)]


def test_goaway_refuses_also_what_is_opened_behind_it_and_names_fewer_streams_each_time() -> None:
    """A server that shuts down in two steps (RFC 9113 section 6.8)."""
    asking = client().ask(1, "/a")
    connection = Http2(Context(started=(True, True)))
    assert connection.parse(Side.CLIENT, asking.stream, 0, 0) == len(asking.stream)
    step = server().send(frame(GOAWAY, 0, 0, b"\x7f\xff\xff\xff" + bytes(4))).stream
    assert connection.parse(Side.SERVER, step, 0, 0) == len(step)
    before = len(asking.stream)
    asking.ask(3, "/b").ask(5, "/c")
    connection.parse(Side.CLIENT, asking.stream, before, 0)
    last = frame(GOAWAY, 0, 0, b"\0\0\0\x03" + bytes(4))
    connection.parse(Side.SERVER, last, 0, len(step))
    results = {message.key: message.result for message in connection.requests if message.role is Role.REQUEST}
    assert results == {1: Result.OK, 3: Result.OK, 5: Result.ABANDONED}


def test_what_a_server_says_again_and_again_is_not_looked_up_in_all_open_streams() -> None:
    """Time grows with the frames, not with frames times streams: GOAWAY that names ever fewer streams."""
    asking = client()
    for number in range(4_000):
        asking.send(frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, b"\x82\x84\x86"))
    goaway = b"".join(frame(GOAWAY, 0, 0, (10_000 - n).to_bytes(4, "big") + bytes(4)) for n in range(10_000))
    begun = time.process_time()
    result = dissect(Http2, asking.stream, server().stream + goaway)
    assert time.process_time() - begun < 8
    assert [message.key for message in requests_of(result) if message.result is not Result.ABANDONED] == [1]


def test_a_stream_with_very_many_trailers_that_break_the_rules_says_so_once() -> None:
    """Its notes do not grow with them."""
    asking = client().ask(1, "/", end=False).send(frame(HEADERS, END_HEADERS, 1, b"\x80") * 20_000)
    begun = time.process_time()
    [request] = requests_of(dissect(Http2, asking.stream, b""))
    assert time.process_time() - begun < 5
    assert request.notes == (MALFORMED_NOTE,)


def test_each_of_many_violations_costs_what_was_begun_since_the_one_before() -> None:
    """A byte that is passed over is no reason to go through all open streams, or to search all bytes for a preface."""
    open_streams = b"".join(frame(HEADERS, END_HEADERS, 2 * n + 1, b"\x82\x84\x86") for n in range(9_000))
    parts, stream = [], 20_001
    for _ in range(2_000):
        for _ in range(3):
            parts.append(frame(HEADERS, END_HEADERS | END_STREAM, stream, b"\x82\x84\x86"))
            stream += 2
        parts.append(frame(CONTINUATION, END_HEADERS, stream, b"x"))
    begun = time.process_time()
    result = dissect(Http2, client().stream + open_streams + b"".join(parts) + bytes(4_000_000), b"")
    assert time.process_time() - begun < 20
    assert sum(message.result is Result.OK for message in requests_of(result)) >= 6_000


def test_a_response_that_the_connection_cuts_off_is_told_as_that() -> None:
    result = read(client().ask(1, "/"), server().answer(1, end=False).data(1, b"half of it"))
    [response] = responses_of(result)
    assert (response.status, response.result, response.damaged) == ("200", Result.CUT_OFF, False)
    assert result.unread == []


# gRPC


def test_a_call_is_told_by_its_method_status_and_messages() -> None:
    asking = client().ask(1, "/shop.Orders/Get", GRPC, ("grpc-timeout", "2S"), method="POST", end=False)
    asking.data(1, grpc_message(b"\x0a\x07user-88\x10\x2a"), end=True)
    answering = server().answer(1, 200, GRPC, end=False).data(1, grpc_message(b"abc") + grpc_message(b"de"))
    answering.headers(1, [("grpc-status", "5"), ("grpc-message", "no%20such mary@example.com")], end=True)
    result = read(asking, answering)
    [request], [response] = requests_of(result), responses_of(result)
    assert (request.protocol, request.operation, request.summary) == ("grpc", "shop.Orders/Get", "shop.Orders/Get")
    assert request.values == b"/shop.Orders/Get user-88 42"
    assert (response.protocol, response.status, response.result) == ("grpc", "NOT_FOUND", Result.CLIENT_ERROR)
    assert request.attributes is not None
    assert request.attributes["wiretrace.grpc.timeout_ms"] == 2000
    assert request.attributes["wiretrace.grpc.request.messages"] == 1
    assert response.attributes == {
        "rpc.response.status_code": "NOT_FOUND",
        "http.response.status_code": 200,
        "wiretrace.grpc.response.messages": 2,
        "wiretrace.grpc.response.message_bytes": 5,
    }


def test_what_a_status_says_in_words_is_shown_only_with_values() -> None:
    answering = server().answer(1, 200, GRPC, ("grpc-status", "13"), ("grpc-message", "no%20luck"))
    asking = client().ask(1, "/a/B", GRPC, method="POST")
    [kept] = responses_of(read(asking, answering, Context(keep_values=True)))
    assert kept.attributes is not None
    assert kept.attributes["wiretrace.error.message"] == "no luck"
    [redacted] = responses_of(read(asking, answering))
    assert "luck" not in repr(redacted)
    assert (redacted.status, redacted.result) == ("INTERNAL", Result.SERVER_ERROR)


def test_messages_are_counted_across_frames() -> None:
    """Also where a gap lies inside a message: its length is known."""
    asking = client().ask(1, "/a/B", GRPC, method="POST", end=False)
    body = b"".join(grpc_message(b"m" * 300) for _ in range(10))
    for at in range(0, len(body), 37):
        asking.data(1, body[at : at + 37])
    stream = asking.data(1, b"", end=True).stream
    at = stream.index(b"m" * 30)
    for result in (read(asking), dissect(Http2, [stream[:at], 8, stream[at + 8 :]], b"")):
        [request] = requests_of(result)
        assert request.attributes is not None
        assert request.attributes["wiretrace.grpc.request.messages"] == 10
        assert request.attributes["wiretrace.grpc.request.message_bytes"] == 3000


@pytest.mark.parametrize("behind", [100, 0])
def test_a_gap_in_content_that_is_looked_into_loses_the_count_and_nothing_else(behind: int) -> None:
    """The frame is known: reading goes on inside it, or right behind it."""
    asking = client().ask(1, "/a/B", GRPC, method="POST", end=False)
    asking.data(1, grpc_message(b"abc") * 100, end=True)
    end = len(asking.stream) - behind
    stream = asking.ask(3, "/a/C", GRPC, method="POST").stream
    result = dissect(Http2, [stream[: end - 50], 50, stream[end:]], b"")
    first, second = requests_of(result)
    assert first.damaged
    assert "wiretrace.grpc.request.messages" not in (first.attributes or {})
    assert (second.summary, second.damaged, second.notes) == ("a/C", False, ())
    assert result.unread == []


# The header table


def test_settings_of_the_header_table_are_followed_in_the_blocks() -> None:
    """RFC 7541 section 6.3: the encoder tells the size that it uses, and entries beyond it are evicted."""
    asking = client().ask(1, "/first")
    asking.encoder.header_table_size = 0
    asking.ask(3, "/second")
    asking.encoder.header_table_size = 2000
    asking.ask(5, "/third").ask(7, "/third")
    result = read(asking)
    assert summaries(result) == ["GET /first", "GET /second", "GET /third", "GET /third"]
    assert not any(message.notes for message in requests_of(result))


def requests_in_sequence(chooser: random.Random, count: int) -> list[list[tuple[str, str]]]:
    """Header lists that repeat some fields, so that they are put into the table and referred to."""
    fields = []
    for number in range(count):
        one = [
            (":method", chooser.choice(("GET", "POST", "PURGE"))),
            (":scheme", "http"),
            (":path", f"/{chooser.choice(('a', 'b', 'c/d'))}/{chooser.randrange(4)}"),
            (":authority", chooser.choice(("shop", "shop:8080", "other"))),
            ("user-agent", chooser.choice(("curl/8", "Mozilla/5.0 " + "x" * chooser.randrange(60)))),
            ("x-filler", "y" * chooser.randrange(300)),
        ]
        if chooser.random() < 0.3:
            one.append(("x-request-id", f"id-{number}"))
        fields.append(one)
    return fields


def stated(message: Message) -> dict[str, object]:
    """What a message says of its head."""
    attributes = message.attributes or {}
    return {
        "method": attributes.get("http.request.method"),
        "original": attributes.get("http.request.method_original"),
        "address": attributes.get("server.address"),
        "agent": attributes.get("user_agent.original"),
        "path": attributes.get("url.path"),
        "identifiers": message.identifiers or None,
    }


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 30))
def test_who_comes_late_tells_what_it_knows_and_never_a_wrong_field(seed: int, skipped: int) -> None:
    """Every field that is told equals that of a decoder which heard everything; what is missing is told as unknown."""
    chooser = random.Random(seed)
    asking = Sender()
    starts = []
    for number, fields in enumerate(requests_in_sequence(chooser, 40)):
        starts.append(len(asking.stream))
        asking.headers(2 * number + 1, fields, end=True)
    truth = {message.key: message for message in requests_of(dissect(Http2, PREFACE + asking.stream, b""))}
    assert len(truth) == 40
    late = requests_of(dissect(Http2, asking.stream[starts[skipped] :], b"", context=LATE))
    assert len(late) == 40 - skipped
    for message in late:
        known, whole = stated(message), stated(truth[message.key])
        differing = [name for name, value in known.items() if value is not None and value != whole[name]]
        assert differing == []
        if known != whole:
            assert UNKNOWN_NOTE in message.notes
        else:
            assert message.summary == truth[message.key].summary


def test_a_request_whose_path_is_not_known_says_so() -> None:
    asking = client().ask(1, "/secret/path")
    at = len(asking.stream)
    asking.ask(3, "/secret/path")
    [request] = requests_of(dissect(Http2, asking.stream[at:], b"", context=LATE))
    assert request.operation == request.summary == "GET (not known)"
    assert request.notes == (UNKNOWN_NOTE,)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.binary(min_size=1, max_size=40), st.binary(max_size=60)), max_size=30), st.booleans())
def test_fields_are_decoded_as_the_reference_does(fields: Sequence[tuple[bytes, bytes]], huffman: bool) -> None:
    """The names of paths stand for all values: what the reference encoder sent is what is understood."""
    encoder = hpack.Encoder()
    decoder = FieldDecoder(from_the_start=True)
    for name, value in fields:
        block = encoder.encode([(b":path", value), (b"x-" + name, value), (b":path", name)], huffman=huffman)
        assert [found.encode("latin-1") for _, found in decoder.decode(block) if isinstance(found, str)] == [
            value,
            name,
        ]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_huffman_codes_are_those_of_the_reference(text: bytes) -> None:
    assert decode(HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(text)) == text


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_no_header_block_breaks_the_decoder(block: bytes) -> None:
    decoder = FieldDecoder(from_the_start=True)
    try:
        decoder.decode(block)
    except MalformedBlock:
        assert decoder.decode(b"\xbe") == [(29, 0)], "behind it, nothing is known"


def test_malformed_codes_are_refused() -> None:
    """RFC 7541 section 5.2: padding is shorter than a byte and all ones, and the end of string is never sent."""
    for encoded in (b"\x00\xff\xff\xff\xff", b"\xff", b"\x00", b"\xff\xff\xff\xfc"):
        with pytest.raises(HuffmanError):
            decode(encoded)


def test_a_malformed_block_damages_its_own_message_and_framing_goes_on() -> None:
    asking = client().ask(1, "/a").send(frame(HEADERS, END_HEADERS | END_STREAM, 3, b"\x80")).ask(5, "/new", ("x", "y"))
    first, broken, after = requests_of(read(asking))
    assert (first.damaged, broken.damaged, after.damaged) == (False, True, False)
    assert broken.notes == ("its header fields are malformed",)
    assert after.summary == "GET /new"


# Gaps


def test_a_gap_in_a_body_loses_only_bytes_of_it() -> None:
    answering = server().answer(1, end=False).data(1, b"x" * 3000, end=True).answer(3)
    stream = answering.stream
    result = dissect(Http2, client().ask(1, "/a").ask(3, "/b").stream, [stream[:300], 1000, stream[1300:]])
    assert [(message.key, message.status, message.notes) for message in responses_of(result)] == [
        (1, "200", ()),
        (3, "200", ()),
    ]
    assert result.unread == []


def test_behind_a_gap_between_frames_the_table_is_forgotten_and_reading_goes_on() -> None:
    asking = client().ask(1, "/a", ("user-agent", "first")).ask(3, "/b", ("user-agent", "first"))
    at = len(asking.stream)
    asking.ask(5, "/a", ("user-agent", "first")).ask(7, "/c", ("user-agent", "second")).ask(9, "/d")
    stream = asking.stream
    result = dissect(Http2, [stream[: at - 8], 8, stream[at:]], b"")
    assert summaries(result) == ["GET /a", "GET (not known)", "GET /c", "GET /d"]
    assert "user_agent.original" not in (requests_of(result)[1].attributes or {})
    assert (requests_of(result)[2].attributes or {})["user_agent.original"] == "second"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_gaps_make_no_wrong_messages(seed: int) -> None:
    """Of a conversation with holes, every head that is told is one that was sent, on its own stream."""
    chooser = random.Random(seed)
    asking, answering = client(), server()
    truth = {}
    for number in range(30):
        stream = 2 * number + 1
        path = f"/{chooser.randrange(5)}/{'p' * chooser.randrange(40)}"
        truth[stream] = (path, str(chooser.choice((200, 404, 500))))
        asking.ask(stream, path, ("user-agent", f"agent-{chooser.randrange(3)}"))
        answering.answer(stream, int(truth[stream][1]), end=False).data(stream, b"b" * chooser.randrange(200), end=True)
    result = dissect(Http2, with_gaps(asking.stream, chooser), with_gaps(answering.stream, chooser))
    for request in requests_of(result):
        path = (request.attributes or {}).get("url.path")
        assert path is None or path == truth[request.key][0]
    for response in responses_of(result):
        assert response.status in ("", truth[response.key][1])
    for messages, stream in ((result.requests, asking.stream), (result.responses, answering.stream)):
        assert all(0 <= message.start <= message.end <= len(stream) for message in messages)


# Recognition


@pytest.mark.parametrize(
    ("asking", "answering", "at_least"),
    [
        (client().stream, b"", 0.9),
        (client().stream, server().stream, 0.9),
        (b"", server().stream + frame(SETTINGS, 1, 0), 0.6),
        (Sender().ask(1, "/a").stream, b"", 0.6),
        (b"", Sender().answer(5, end=False).data(5, b"abc", end=True).stream, 0.6),
    ],
)
def test_http2_is_recognised(asking: bytes, answering: bytes, at_least: float) -> None:
    assert Http2.probe(asking, answering) >= at_least
    assert Http2.probe(answering, asking) < Http2.probe(asking, answering), "the sides are not exchanged"


@pytest.mark.parametrize(
    "opening",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        b"\0\0\0\x17\0\x12\0\0\0\0\0\x01" + bytes(19),
        b"\0\0\0\0\0\x06\x01\x24\x08\0\0\xaa\0\0\0\0\0\x06\x01\x25",
        bytes(200),
    ],
)
def test_other_protocols_are_not_taken_for_http2(opening: bytes) -> None:
    """Also not the long lengths of PostgreSQL and Kafka, nor Modbus, and no zeros."""
    assert Http2.probe(opening, b"") == 0.0
    assert Http2.probe(b"", opening) == 0.0


def test_no_other_protocol_takes_http2_for_its_own() -> None:
    for name, protocol in known_protocols().items():
        if name != "http2":
            assert protocol.probe(client().ask(1, "/").stream, server().answer(1).stream) < 0.5, name


def test_http1_hands_an_upgraded_connection_over() -> None:
    """The request that asked for it is answered on stream 1 (RFC 7540 section 3.2)."""
    asked = b"GET /a HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n\r\n"
    switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    result = dissect(Http1, asked + client().stream, switched + server().answer(1).stream)
    assert result.succession is not None
    assert (result.succession.protocol, result.succession.client_offset) == ("http2", len(asked))
    assert [message.key for message in result.requests] == [1]
    assert [message.role for message in result.responses] == [Role.CONTROL]
    after = dissect(Http2, client().stream, server().answer(1).stream, context=Context(opened_by=result.requests[0]))
    assert [message.key for message in responses_of(after)] == [1]


# Hostile input


def test_many_open_streams_are_bounded_and_the_oldest_is_finished() -> None:
    count = Limits().open_streams + 10
    asking = client()
    block = Sender().encoder.encode([(":method", "POST"), (":path", "/")])
    asking.send(*(frame(HEADERS, END_HEADERS, 2 * number + 1, block) for number in range(count)))
    protocol = Http2(Context())
    protocol.parse(Side.CLIENT, asking.stream, 0, 0)
    finished = [message for message in protocol.requests if message.role is Role.REQUEST]
    assert [message.key for message in finished] == [2 * number + 1 for number in range(10)]
    assert {message.notes for message in finished} == {("more streams were open than are followed",)}


def test_distinct_operations_are_bounded() -> None:
    context = Context()
    asking = client()
    for number in range(DISTINCT_OPERATIONS + 5):
        word = "".join(chr(ord("a") + int(digit)) for digit in str(number))
        asking.ask(2 * number + 1, f"/{word}", *((GRPC,) if number == DISTINCT_OPERATIONS + 3 else ()))
    asking.ask(2 * DISTINCT_OPERATIONS + 21, "/a")
    protocol = Http2(context)
    protocol.parse(Side.CLIENT, asking.stream, 0, 0)
    last = [message for message in protocol.requests if message.role is Role.REQUEST][-3:]
    assert [message.operation for message in last] == ["gRPC /…", "GET /…", "GET /a"]
    assert [message.notes for message in last] == [(TOO_MANY_OPERATIONS,), (TOO_MANY_OPERATIONS,), ()]


def test_a_header_block_that_never_ends_is_a_violation() -> None:
    endless = client().send(frame(HEADERS, 0, 1, b"\x82"), *(frame(9, 0, 1, b"\x82" * 5000) for _ in range(200)))
    with pytest.raises(Violation):
        Http2(Context()).parse(Side.CLIENT, endless.stream, 0, 0)


def test_a_small_block_that_stands_for_many_fields_costs_no_more_than_its_bytes() -> None:
    """An HPACK bomb: one large field, referred to again and again, is never copied."""
    decoder = FieldDecoder(from_the_start=True)
    decoder.decode(hpack.Encoder().encode([(b":path", b"v" * 3900)], huffman=False))
    fields = decoder.decode(b"\xbe" * 100_000)
    assert len(fields) == 100_000
    assert len({id(value) for _, value in fields}) == 1


def test_the_header_table_is_bounded_whatever_the_encoder_says() -> None:
    decoder = FieldDecoder(from_the_start=True)
    decoder.decode(b"\x3f\xff\xff\xff\x7f")
    encoder = hpack.Encoder()
    encoder.header_table.maxsize = 1 << 30
    for number in range(300):
        decoder.decode(encoder.encode([(b"x-%d" % number, b"v" * 1000)], huffman=False))
    assert sum(entry.size for entry in decoder._entries) <= Limits().header_table_bytes


@pytest.mark.parametrize(
    "bytes_",
    [
        frame(DATA, 0, 0, b"abc"),
        frame(HEADERS, END_HEADERS, 0, b"\x82"),
        frame(9, END_HEADERS, 1, b"\x82"),
        frame(HEADERS, 0, 1, b"\x82") + frame(DATA, 0, 1, b"abc"),
        frame(PING, 0, 0, bytes(7)),
        frame(RST_STREAM, 0, 1, bytes(5)),
        b"\x7f\xff\xff\x01\0\0\0\0\x01",
    ],
)
def test_broken_frames_are_violations_and_no_byte_is_lost(bytes_: bytes) -> None:
    result = dissect(Http2, client().ask(1, "/a").stream + bytes_ + Sender().ask(3, "/b").stream, b"")
    assert result.violations
    assert summaries(result)[0] == "GET /a"


def conversation(seed: int) -> tuple[bytes, bytes]:
    """Both streams of a connection in which a lot happens."""
    chooser = random.Random(seed)
    asking, answering = client(), server()
    for number in range(12):
        stream = 2 * number + 1
        kind = chooser.choice(((), (GRPC,), (("traceparent", "00-" + "1" * 32 + "-" + "2" * 16 + "-01"),)))
        asking.ask(stream, f"/{number}", *kind, method="POST", end=False)
        asking.data(
            stream, grpc_message(b"\x0a\x03abc" * 9), end=chooser.random() < 0.8, padding=chooser.choice((-1, 9))
        )
        answering.answer(stream, chooser.choice((200, 500)), *kind, end=False)
        for _ in range(chooser.randrange(3)):
            answering.data(stream - 2 * (number > 0), grpc_message(b"x" * chooser.randrange(90)))
        if chooser.random() < 0.7:
            answering.headers(stream, [("grpc-status", "0")], end=True)
        elif chooser.random() < 0.5:
            chooser.choice((asking, answering)).send(frame(RST_STREAM, 0, stream, b"\0\0\0\x08"))
    return asking.stream, answering.stream


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.booleans(), st.booleans())
def test_no_bytes_break_it(seed: int, started: bool, holes: bool) -> None:
    """Damaged connections raise nothing but Violation, which `dissect` expects, and messages never overlap."""
    chooser = random.Random(seed)
    streams: list[bytes | list[bytes | int]] = [mutated(stream, chooser) for stream in conversation(seed % 7)]
    if holes:
        streams = [with_gaps(stream, chooser) for stream in streams if isinstance(stream, bytes)]
    dissect(Http2, *streams, context=Context(started=(started, started)), splits=chooser)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=300), st.booleans())
def test_whatever_bytes_there_are(asking: bytes, answering: bytes, preface: bool) -> None:
    Http2.probe(asking, answering)
    dissect(Http2, PREFACE * preface + asking, answering, context=Context(started=(preface, preface)))
