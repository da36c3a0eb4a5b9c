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


def test_a_busy_client_shows_its_timeout_though_it_notices_late() -> None:
    """Timers never fire early: the waits crowd behind the timeout, and thin out the later they are."""
    chance = np.random.default_rng(11)
    late = 500 * MILLISECOND * (1 + chance.exponential(0.05, 300))
    people = chance.integers(20 * MILLISECOND, 450 * MILLISECOND, 100)
    ((low, high),) = found(np.concatenate([late, people]).astype(np.int64).tolist())
    assert 500 * MILLISECOND <= low <= high <= 512 * MILLISECOND


def test_people_who_wait_for_some_time_first_show_none() -> None:
    chance = np.random.default_rng(2)
    assert found(chance.integers(3000 * MILLISECOND, 6000 * MILLISECOND, 200).tolist()) == []


def test_a_wait_that_agrees_and_one_that_is_longer_are_likely_timeouts() -> None:
    waited = np.array([500, 505, 520, 740, 480, 800, 500])
    caller = np.array([7, 7, 7, 7, 7, 7, 8], np.uint64)
    likely = shown_timeouts(caller, waited, {7: [(500, 505)]})
    assert likely.tolist() == [True, True, True, True, False, False, False]
