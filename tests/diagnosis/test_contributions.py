"""What calls contribute adds up to the duration of their request, however they overlap."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.system import System

from wiretrace.diagnosis.contributions import SERVER, contributions_of
from wiretrace.diagnosis.observed import Observed

CALLS = st.lists(st.tuples(st.integers(0, 8), st.floats(-20, 120), st.floats(0, 150)), max_size=9)


@settings(max_examples=60, deadline=None)
@given(CALLS)
def test_contributions_add_up(children: list[tuple[int, float, float]]) -> None:
    """Also where children begin before, or end after, their parent."""
    system = System()
    calls = [system.call(None, ("client", "web1"), "GET /", 100, 80)]
    for above, at, took in children:
        calls.append(system.call(calls[above % len(calls)], ("web1", "web2"), "GET /x", 100 + at, took))
    observed = Observed(system.case())
    parts = contributions_of(observed)
    assert (parts >= 0).all()
    assert np.isclose(parts.sum(), 80e6, atol=1)


def test_side_by_side_each_moment_counts_once() -> None:
    system = System()
    root = system.call(None, ("client", "web1"), "GET /", 0, 100)
    system.call(root, ("web1", "a1"), "GET /a", 10, 50)
    system.call(root, ("web1", "b1"), "GET /b", 40, 40)
    observed = Observed(system.case())
    assert np.allclose(contributions_of(observed)[SERVER] / 1e6, [30, 50, 20])


def test_what_takes_a_message_off_a_queue_contributes_nothing() -> None:
    system = System()
    root = system.call(None, ("client", "web1"), "POST /", 0, 100)
    put = system.call(root, ("web1", "queue1"), "publish", 10, 20)
    taken = system.call(put, ("queue1", "mail1"), "deliver", 12, 60, follows=True)
    system.call(taken, ("mail1", "a1"), "GET /a", 15, 50)
    observed = Observed(system.case())
    assert np.allclose(contributions_of(observed).sum(axis=0) / 1e6, [80, 20, 0, 0])
