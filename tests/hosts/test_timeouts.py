"""Timeouts are told from people who give up, by waits that agree."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wiretrace.hosts.timeouts import find_timeouts, shown_timeouts

MILLISECOND = 1_000_000


def found(waits: list[int], captures: list[int] | None = None) -> list[tuple[int, int]]:
    count = len(waits)
    return find_timeouts(
        np.array(captures or [0] * count, np.int64), np.full(count, 7, np.uint64), np.array(waits, np.int64)
    ).get(7, [])


def test_waits_that_agree_are_a_timeout() -> None:
    waits = [500, 503, 501, 20, 90, 300]
    assert found([each * MILLISECOND for each in waits]) == [(500 * MILLISECOND, 503 * MILLISECOND)]


def test_two_timeouts_of_one_operation_are_told_apart() -> None:
    assert found([100, 100, 101, 1000, 1001, 1002]) == [(100, 101), (1000, 1002)]


def test_two_waits_are_none_even_if_two_captures_saw_them() -> None:
    assert found([500, 500]) == []
    assert found([500, 501, 500, 501], [0, 0, 1, 1]) == []


def test_people_give_up_at_any_time() -> None:
    """Of many waits some agree by chance: they are few among those of about that length."""
    chance = np.random.default_rng(5)
    assert found(chance.integers(20 * MILLISECOND, 450 * MILLISECOND, 200).tolist()) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 10**12), max_size=40))
def test_a_timeout_is_among_the_waits_that_show_it(waits: list[int]) -> None:
    for low, high in found(waits):
        assert low in waits and high in waits
        assert low <= high <= low * 1.02
        assert sum(low <= each <= high for each in waits) >= 3


def test_a_wait_that_agrees_is_one_and_one_a_little_longer_is_likely_one() -> None:
    waited = np.array([500, 505, 520, 540, 480, 500])
    caller = np.array([7, 7, 7, 7, 7, 8], np.uint64)
    sure, likely = shown_timeouts(caller, waited, {7: [(500, 505)]})
    assert sure.tolist() == [True, True, False, False, False, False]
    assert likely.tolist() == [False, False, True, False, False, False]
