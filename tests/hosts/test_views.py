"""The vector operations that the floor shares, each against the same in plain Python."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from wiretrace.hosts.columns import hash_texts
from wiretrace.hosts.views import category, mix, number_groups, rank_within, unite

KEYS = st.lists(st.integers(0, 5), max_size=30)


@settings(max_examples=50, deadline=None)
@given(KEYS)
def test_groups_are_numbered_alike_exactly_where_keys_are_equal(keys: list[int]) -> None:
    number, count = number_groups(np.array(keys, dtype=np.int64))
    assert count == len(set(keys))
    assert len({*zip(keys, number.tolist(), strict=True)}) == count


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=30))
def test_rank_is_the_place_among_equals(rows: list[tuple[int, int]]) -> None:
    keys = np.array([key for key, _ in rows], dtype=np.int64)
    values = np.array([value for _, value in rows], dtype=np.int64)
    rank = rank_within(keys, values, np.arange(len(rows)))
    for index, (key, value) in enumerate(rows):
        before = sum((other, place) < (value, index) for place, (k, other) in enumerate(rows) if k == key)
        assert rank[index] == before


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=30) | st.just("x" * 600), max_size=10))
def test_equal_texts_have_equal_hashes_and_others_have_others(texts: list[str]) -> None:
    hashes = hash_texts(pa.array(texts, pa.string()))
    assert len(set(hashes.tolist())) == len(set(texts))
    assert len({*zip(texts, hashes.tolist(), strict=True)}) == len(set(texts))


def test_mixing_tells_columns_and_their_order_apart() -> None:
    one, two = np.array([1, 2, 1]), np.array([2, 1, 2])
    mixed = mix(0, one, two)
    assert mixed[0] == mixed[2]
    assert mixed[0] != mixed[1]
    assert mix(1, one, two)[0] != mixed[0]


def test_joined_nodes_share_a_number() -> None:
    component = unite(np.array([0, 1]), np.array([1, 2]), 5)
    assert len(set(component[:3])) == 1
    assert len(set(component)) == 3


def test_categories_of_several_chunks_have_one_numbering() -> None:
    column = pa.chunked_array(
        [pa.array(["a", "b"]).dictionary_encode(), pa.array(["b", "c", None]).dictionary_encode()]
    )
    codes, texts = category(pa.table({"x": column}), "x")
    assert [texts[code] for code in codes] == ["a", "b", "b", "c", ""]
