"""Numbers in the place of words, each operation against the same in plain Python."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wiretrace.diagnosis import names as names_module
from wiretrace.diagnosis.names import Names, codes_of, combined, counts, distinct, nearest_rank

ROWS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=40)


def test_equal_things_have_one_number_in_the_order_in_which_they_come() -> None:
    names = Names[str]()
    assert [names.code(word) for word in ("b", "a", "b")] == [0, 1, 0]
    assert names.things == ["b", "a"]


def test_texts_of_several_chunks_are_numbered_and_null_is_what_is_missing() -> None:
    column = pa.chunked_array([pa.array(words).dictionary_encode() for words in (["x", None], ["y", "x"])])
    names = Names[str]()
    assert [names.things[code] for code in codes_of(column, names, "?")] == ["x", "?", "y", "x"]


@settings(max_examples=60, deadline=None)
@given(ROWS.filter(bool), st.sampled_from([1, 1 << 20]))
def test_combinations_are_numbered_in_the_order_of_their_first_rows(rows: list[tuple[int, int]], widest: int) -> None:
    """Whether they fit a table or have to be sorted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(names_module, "WIDEST_TABLE", widest)
        number, first = distinct([np.array(column) for column in zip(*rows, strict=True)])
    known = list(dict.fromkeys(rows))
    assert number.tolist() == [known.index(row) for row in rows]
    assert first.tolist() == [rows.index(row) for row in known]
    names = Names[str]()
    words = ["a", "b", "c", "d", "e", "f"]
    columns = [(np.array(column), words) for column in zip(*rows, strict=True)]
    made = combined(columns, lambda one, other: one + other, names)
    assert [names.things[code] for code in made] == [words[one] + words[other] for one, other in rows]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 9)), max_size=40))
def test_counts_and_sums_are_those_of_all_slices(rows: list[tuple[int, int]]) -> None:
    codes, weights = np.array([code for code, _ in rows], np.int64), np.array([weight for _, weight in rows], np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(names_module, "SLICE_ROWS", 7)
        counted, summed = counts(codes, 8), counts(codes, 8, weights)
    expected = Counter(codes.tolist())
    assert counted.tolist() == [expected[code] for code in range(8)]
    assert summed.tolist() == [sum(weight for code, weight in rows if code == wanted) for wanted in range(8)]


def test_the_nearest_rank_is_a_value_that_was_measured() -> None:
    """The 50th and 95th percentile of 1, 2, 20 and 0 values, as indices."""
    first, number = np.array([0, 1, 3, 23]), np.array([1, 2, 20, 0])
    assert nearest_rank(first, number, 50).tolist() == [0, 1, 12, 23]
    assert nearest_rank(first, number, 95).tolist() == [0, 2, 21, 23]
