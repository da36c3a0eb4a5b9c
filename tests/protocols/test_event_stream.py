"""Server-sent events are counted without keeping them, over both versions of HTTP."""

from __future__ import annotations

import random

import pytest
from tests.support.dissect import dissect

from wiretrace.protocols.event_stream import NOT_COUNTED, EventCounter
from wiretrace.protocols.http1 import Http1


def count(body: bytes, chooser: random.Random | None = None) -> int:
    counter = EventCounter()
    at = 0
    while at < len(body):
        step = chooser.randint(1, 5) if chooser else len(body)
        counter.feed(body[at : at + step])
        at += step
    return counter.count


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"data: 1\n\ndata: 2\n\n", 2),
        (b"event: x\r\ndata: 1\r\ndata: more\r\n\r\n", 1),
        (b"data\r\rdata: 2\r\r", 2),
        (b": a comment\n\n", 0),
        (b"event: no data\n\n", 0),
        (b"data: not ended\n", 0),
        (b"database: 1\n\n", 0),
        (b"\n\n\ndata: 1\n\n\n\n", 1),
    ],
)
def test_an_event_is_data_with_an_empty_line_behind_it(body: bytes, events: int) -> None:
    assert count(body) == events
    for seed in range(20):
        assert count(body, random.Random(seed)) == events, "however it comes"


def test_what_was_not_read_is_not_counted() -> None:
    counter = EventCounter()
    counter.feed(b"data: 1\n\n")
    counter.give_up()
    counter.feed(b"data: 2\n\n")
    assert counter.count == NOT_COUNTED
    assert counter.told({"a": 1}) == {"a": 1}


def test_the_events_of_a_chunked_response_are_counted() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"9\r\ndata: 1\n\n\r\n8\r\ndata: 2\n\r\n1\r\n\n\r\n"
    asked = b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n"
    for end in (b"0\r\n\r\n", b""):
        [response] = dissect(Http1, asked, head + body + end).responses
        assert (response.attributes or {})["wiretrace.http.response.events"] == 2
        assert response.damaged == (end == b"")
