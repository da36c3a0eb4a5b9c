"""Self time is what a call's children leave of it."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wiretrace.case.self_time import self_times

CALL = st.tuples(st.integers(-1, 5), st.integers(0, 30), st.integers(0, 20))
"""Parent, start and duration."""


@settings(max_examples=150, deadline=None)
@given(st.lists(CALL, max_size=9))
def test_self_time_is_counted_moment_by_moment(calls: list[tuple[int, int, int]]) -> None:
    """A plain twin asks of every moment of a call whether any of its children runs then."""
    parent = np.array([up if up < at else -1 for at, (up, _, _) in enumerate(calls)], np.int32)
    start = np.array([begin for _, begin, _ in calls], np.int64)
    end = start + np.array([length for _, _, length in calls], np.int64)
    expected = [
        sum(
            not any(parent[child] == call and start[child] <= moment < end[child] for child in range(len(calls)))
            for moment in range(start[call], end[call])
        )
        for call in range(len(calls))
    ]
    assert self_times(parent, start, end).tolist() == expected


def test_times_as_long_as_a_file_can_claim_do_not_overflow() -> None:
    long = 2**62
    alone = self_times(np.array([-1, 0, 0], np.int32), np.array([0, 0, 10]), np.array([long, 10, long - 5]))
    assert alone.tolist() == [5, 10, long - 15]
