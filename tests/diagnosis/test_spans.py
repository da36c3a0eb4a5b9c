"""Moments fall into equal parts of a span, exactly, and without overflow where a clock jumped over decades."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wiretrace.diagnosis.spans import part_of_span

LATEST_NS = 9_000_000_001 * 10**9
"""Times in captures are below this."""


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 10**15), min_size=1, max_size=20), st.integers(1, 120))
def test_parts_of_a_short_span_are_exact(times: list[int], parts: int) -> None:
    first, last = min(times), max(times)
    found = part_of_span(np.array(times), first, last, parts).tolist()
    assert found == [(time - first) * parts // (last - first + 1) for time in times]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, LATEST_NS), min_size=1, max_size=20), st.integers(1, 120))
def test_parts_of_any_span_are_in_order_and_within_one_of_the_exact(times: list[int], parts: int) -> None:
    first, last = min(times), max(times)
    found = part_of_span(np.array(sorted(times)), first, last, parts).tolist()
    assert found == sorted(found)
    for time, part in zip(sorted(times), found, strict=True):
        assert 0 <= part < parts
        assert abs(part - (time - first) * parts // (last - first + 1)) <= 1


def test_moments_outside_the_span_are_in_its_outermost_parts() -> None:
    assert part_of_span(np.array([-5, 0, 99, 400]), 0, 99, 10).tolist() == [0, 0, 9, 9]
