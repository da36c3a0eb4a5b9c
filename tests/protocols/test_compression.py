"""The beginning of compressed bytes, and never more than was asked for."""

from __future__ import annotations

import gzip
import random
import time
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import brotli
import cramjam
import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from wiretrace.protocols import compression
from wiretrace.protocols.compression import unpack

if TYPE_CHECKING:
    from collections.abc import Callable


def raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "deflate": raw_deflate,
    "zstd": zstd.compress,
    "br": brotli.compress,
    "snappy": lambda content: bytes(cramjam.snappy.compress_raw(content)),
    "lz4": lambda content: bytes(cramjam.lz4.compress_block(content, store_size=False)),
}
FORMS = sorted(PACKERS)
WORDS = b" ".join(b'{"order": %d, "article": "paint-%d"}' % (n, n % 7) for n in range(400))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("content", [b"", b"a", WORDS, random.Random(1).randbytes(3000), b"ab" * 40000])
def test_what_others_packed_is_unpacked(form: str, content: bytes) -> None:
    assert unpack(form, PACKERS[form](content), 1 << 20) == content


@pytest.mark.parametrize("form", FORMS)
def test_no_more_is_unpacked_than_asked_for(form: str) -> None:
    """Fifty million zeros in a few bytes take no more room than anything else."""
    bomb = PACKERS[form](bytes(50_000_000))
    tracemalloc.start()
    try:
        assert unpack(form, bomb, 2048) == bytes(2048)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("form", FORMS)
def test_bytes_that_are_cut_off_give_what_came_before(form: str) -> None:
    packed = PACKERS[form](WORDS)
    for kept in range(0, len(packed), 37):
        part = unpack(form, packed[:kept], 1 << 20)
        assert part is not None
        assert WORDS.startswith(part)


@given(st.sampled_from(FORMS), st.binary(max_size=300), st.integers(1, 500))
@settings(max_examples=200)
def test_no_bytes_break_it(form: str, packed: bytes, most: int) -> None:
    unpacked = unpack(form, packed, most)
    assert unpacked is not None
    assert len(unpacked) <= most


@pytest.mark.parametrize("window", range(10, 25))
def test_the_window_of_brotli_makes_no_difference_to_what_is_asked_for(window: int) -> None:
    """Also to bytes that refer far back, near the end of what is asked for."""
    content = random.Random(1).randbytes(100_000) * 2 + WORDS
    packed = brotli.compress(content, lgwin=window)
    for most in (1, 5_000, (1 << 18) - 16, 1 << 20):
        assert unpack("br", packed, most) == content[:most]


def test_very_many_bombs_of_brotli_take_little_time() -> None:
    """Each fills a small window, not the one that it asks for."""
    bomb = brotli.compress(bytes(20_000_000), lgwin=24, quality=5)
    begun = time.process_time()
    for _ in range(100):
        assert unpack("br", bomb, 4096) == bytes(4096)
    assert time.process_time() - begun < 3


def test_a_form_that_nobody_reads_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert unpack("compress", b"abc", 10) is None
    packed = brotli.compress(b"abc")
    monkeypatch.setattr(compression, "brotli", None)
    assert unpack("br", packed, 10) is None
