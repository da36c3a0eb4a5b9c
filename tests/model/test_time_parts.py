"""Which part of a time a moment is in."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wiretrace.model.time_parts import part_of_time

MOMENTS = st.integers(0, 2**62)


@given(st.lists(MOMENTS, min_size=1), st.integers(1, 400))
def test_moments_are_in_parts_in_their_order(moments: list[int], parts: int) -> None:
    """Whatever the moments are, over a hundred years apart too: the first is in part 0, none is outside, none overtakes."""
    times = np.sort(np.array(moments))
    found = part_of_time(times, int(times[0]), int(times[-1]), parts)
    assert found[0] == 0
    assert found[-1] <= parts - 1
    assert (np.diff(found) >= 0).all()


def test_parts_are_equal() -> None:
    """A thousand moments fall evenly into eight parts, to one moment."""
    found = part_of_time(np.arange(1000), 0, 999, 8)
    assert set(np.bincount(found).tolist()) <= {124, 125, 126}
    assert part_of_time(np.array([-5, 2000]), 0, 999, 8).tolist() == [0, 7]
