"""Pieces of datagrams: overlap, cuts, time."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from wiretrace.packets.fragments import WAIT_NS, Datagram, DatagramKey, Fragment, FragmentTable

KEY = DatagramKey(b"\1\2\3\4", b"\1\2\3\5", 7, 17)


def piece(start: int, data: bytes, *, last: bool = False, length: int | None = None) -> Fragment:
    return Fragment(start, len(data) if length is None else length, data, last, 17, 100)


@settings(max_examples=200, deadline=None)
@given(
    spans=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 30)), min_size=1, max_size=15),
    total=st.integers(1, 48),
)
def test_the_byte_that_came_first_wins(spans: list[tuple[int, int]], total: int) -> None:
    """Against a plain model: a list of bytes, each set by the first piece that covers it."""
    table = FragmentTable(1 << 20)
    model: list[int | None] = [None] * total
    fragments = [(start, bytes([number]) * length) for number, (start, length) in enumerate(spans, 1)]
    fragments = [(start, data[: total - start]) for start, data in fragments if start < total]
    result = table.add(KEY, 0, piece(total - 1, b"\0", last=True))
    model[total - 1] = 0
    for start, data in fragments:
        if result is not None:
            break
        result = table.add(KEY, 0, piece(start, data))
        for place, value in enumerate(data, start):
            model[place] = value if model[place] is None else model[place]
    if None in model:
        assert result is None
        assert table.cost > 0
    else:
        assert result is not None
        assert (list(result.data), result.length) == (model, total)
        assert (table.cost, table.waiting) == (0, {})


def test_cut_piece_ends_what_was_captured() -> None:
    """A piece cut by the snap length completes the datagram, whose captured bytes end there."""
    table = FragmentTable(1 << 20)
    assert table.add(KEY, 0, piece(0, b"a" * 16)) is None
    assert table.add(KEY, 0, piece(16, b"b" * 4, length=16)) is None
    assert table.add(KEY, 0, piece(32, b"c" * 8, last=True)) == Datagram(17, b"a" * 16 + b"b" * 4, 40, 2, 200)


def test_identification_used_again_begins_anew() -> None:
    """Pieces that are further apart than any wait are of two datagrams."""
    table = FragmentTable(1 << 20)
    assert table.add(KEY, 0, piece(0, b"a" * 8)) is None
    assert table.add(KEY, WAIT_NS + 1, piece(8, b"b", last=True)) is None
    assert (table.given_up_packets, table.given_up_bytes) == (1, 100)
    assert table.add(KEY, WAIT_NS + 2, piece(0, b"c" * 8)) == Datagram(17, b"c" * 8 + b"b", 9, 1, 100)


def test_pieces_that_bring_nothing_new_cost_little_however_many_came_before() -> None:
    """Spans without a hole are one: a long piece does not go through all short ones again."""
    table = FragmentTable(1 << 24)
    for start in range(0, 64_000, 8):
        table.add(KEY, 0, piece(start, bytes(8)))
    begun = time.process_time()
    for _ in range(1_000):
        table.add(KEY, 0, piece(0, b"", length=64_000))
    assert time.process_time() - begun < 3
    result = table.add(KEY, 0, piece(64_000, b"x", last=True))
    assert result is not None
    assert result.length == 64_001


def test_many_small_overlaps_stay_cheap() -> None:
    """The cost of a datagram is bounded by its bytes, not by how often they are sent."""
    table = FragmentTable(1 << 20)
    for _ in range(3):
        for start in range(0, 60_000, 8):
            table.add(KEY, 0, piece(start, bytes(8)))
    assert table.waiting.get(KEY) is None or table.cost <= 1 << 20
