"""Unions of intervals, group by group."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wiretrace.tcp.intervals import newly_covered

INTERVALS = st.lists(st.tuples(st.integers(0, 3), st.integers(-20, 20), st.integers(-5, 20)), max_size=12)


@settings(max_examples=150, deadline=None)
@given(INTERVALS)
def test_the_union_is_counted_moment_by_moment(intervals: list[tuple[int, int, int]]) -> None:
    intervals.sort()
    group, begin, length = (np.array([each[at] for each in intervals], np.int64) for at in range(3))
    covered = newly_covered(group, begin, begin + length)
    for number in range(4):
        moments = {
            moment for of, first, many in intervals if of == number for moment in range(first, first + max(many, 0))
        }
        assert covered[group == number].sum() == len(moments)
