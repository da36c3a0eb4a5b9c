"""Small operations on arrays."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wiretrace.linking.arrays import in_blocks, number_groups, ranks


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=40), st.integers(1, 50))
def test_blocks_cover_everything_and_are_small(counts, most) -> None:
    """Every thing is in one block, in its order; a block takes less than `most` steps beside those of its last thing."""
    count = np.array(counts, np.int64)
    blocks = list(in_blocks(count, most))
    assert [number for block in blocks for number in range(block.start, block.stop)] == list(range(len(counts)))
    assert all(sum(counts[block.start : block.stop - 1]) < most for block in blocks)


def test_ranks_are_places_in_rising_order() -> None:
    """Equal values keep their order; what is not a number comes last."""
    assert ranks(np.array([3.0, np.nan, 1.0, 3.0, 0.0])).tolist() == [2, 4, 1, 3, 0]


@given(st.lists(st.integers(-5, 10**6) | st.integers(0, 30), max_size=30))
def test_groups_are_numbered_alike_by_table_and_by_sorting(values) -> None:
    """However large the numbers are, each value's group is its place among the distinct values."""
    distinct, number = number_groups(np.array(values, np.int64))
    assert distinct.tolist() == sorted(set(values))
    assert distinct[number].tolist() == values
