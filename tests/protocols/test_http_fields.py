"""Bodies that are packed are read for the values in them, in every version of HTTP, and no further than that."""

from __future__ import annotations

import gzip
import time
import zlib
from typing import TYPE_CHECKING

import brotli
import pytest
from backports import zstd
from tests.support.dissect import dissect
from tests.support.http2 import PREFACE, Sender

from wiretrace.protocols import compression
from wiretrace.protocols.http1 import Http1
from wiretrace.protocols.http1_head import known_fields
from wiretrace.protocols.http2 import Http2

if TYPE_CHECKING:
    from collections.abc import Callable

BODY = b'{"order": 8812, "article": "paint-77"}'
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}
GET = b"GET /a HTTP/1.1\r\nHost: shop\r\n\r\n"


def head(coding: str, more: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\n{more}\r\n\r\n".encode()


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))


@pytest.mark.parametrize("coding", CODINGS)
def test_values_of_packed_bodies_are_read(coding: str) -> None:
    packed = CODINGS[coding](BODY)
    asked = b"POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (
        coding.encode(),
        len(packed),
    )
    read = dissect(Http1, asked + packed, head(coding, f"Content-Length: {len(packed)}") + packed)
    assert read.requests[0].values == b"/orders " + BODY
    assert read.responses[0].values == BODY
    in_chunks = dissect(Http1, GET, head(coding, "Transfer-Encoding: chunked") + chunked(packed[:10], packed[10:]))
    assert in_chunks.responses[0].values == BODY
    asking, answering = Sender(PREFACE), Sender()
    asking.ask(1, "/orders", ("content-encoding", coding), method="POST", end=False).data(1, packed, end=True)
    answering.headers(1, [(":status", "200"), ("content-encoding", coding)]).data(1, packed, end=True)
    streams = dissect(Http2, asking.stream, answering.stream)
    assert [each.values for each in streams.requests if each.operation] == [b"/orders " + BODY]
    assert [each.values for each in streams.responses if each.status] == [BODY]


def test_what_is_not_text_or_packed_twice_is_not_unpacked() -> None:
    packed = gzip.compress(BODY)
    length = f"Content-Length: {len(packed)}"
    for more in ("Content-Type: image/png\r\n", "Content-Encoding: br\r\n"):
        assert dissect(Http1, GET, head("gzip", more + length) + packed).responses[0].values == b""
    assert dissect(Http1, GET, head("compress", length) + packed).responses[0].values == b""


def test_a_bomb_costs_no_more_than_any_other_body() -> None:
    """A hundred answers that would unpack to a hundred megabytes each take less than a second."""
    packed = gzip.compress(bytes(100_000_000), 9)
    answer = head("gzip", f"Content-Length: {len(packed)}") + packed[:4096]
    begun = time.process_time()
    for _ in range(100):
        assert dissect(Http1, GET, answer).responses[0].values == bytes(512)
    assert time.process_time() - begun < 1


def test_where_brotli_is_not_installed_a_note_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = brotli.compress(BODY)
    monkeypatch.setattr(compression, "brotli", None)
    known_fields.cache_clear()
    read = dissect(Http1, GET, head("br", f"Content-Length: {len(packed)}") + packed)
    known_fields.cache_clear()
    assert read.responses[0].values == b""
    assert read.responses[0].notes == ("its body is in Brotli, which needs the package brotli",)
    asking = Sender(PREFACE).ask(1, "/orders")
    answering = Sender().headers(1, [(":status", "200"), ("content-encoding", "br")]).data(1, packed, end=True)
    answered = [each for each in dissect(Http2, asking.stream, answering.stream).responses if each.status]
    assert answered[0].notes == ("its body is in Brotli, which needs the package brotli",)
