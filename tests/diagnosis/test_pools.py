"""How many connections of a pool are in use at once, from the beginnings and the ends of their uses."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wiretrace.diagnosis.pools import Use

USES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10)), min_size=1, max_size=40)


def test_uses_without_a_length_are_no_use_at_once() -> None:
    """A clock that ticks coarsely begins and ends many uses at one moment."""
    use = Use()
    moments = np.full(5, 7)
    use.go_on(moments, moments)
    assert (use.most, use.level) == (0, 0)


@settings(max_examples=200, deadline=None)
@given(USES)
def test_the_most_at_once_is_what_counting_finds(uses: list[tuple[int, int]]) -> None:
    """A use holds from its beginning until before its end."""
    use = Use()
    use.go_on(np.array([begin for begin, _ in uses]), np.array([begin + length for begin, length in uses]))
    at_once = [sum(begin <= moment < begin + length for begin, length in uses) for moment in range(40)]
    assert use.most == max(at_once)
    assert use.level == 0
    assert len(use.lasted) == len(use.reached) == len(use.awaited) == use.most + 1
