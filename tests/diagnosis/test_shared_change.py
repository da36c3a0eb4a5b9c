"""What all services have in common is told apart from what one of them did."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from wiretrace.diagnosis.shared_change import SharedChange, shared_change, shared_words, sign_p

TEN = {f"service{number}": 10.0 * (number + 1) for number in range(10)}


def test_what_makes_all_slower_is_the_median_of_what_each_took_longer() -> None:
    after = {name: value * (1.4 + number / 100) for number, (name, value) in enumerate(TEN.items())}
    shared = shared_change(TEN, after)
    assert (round(shared.factor, 3), shared.alike, shared.services) == (1.445, 10, 10)
    told = shared_words(SharedChange(), shared)
    assert told.startswith(
        "10 of 10 services take longer by themselves in the slowest requests, 1.4 times as long as before:"
    )


def test_one_service_does_not_move_what_all_share() -> None:
    assert shared_change(TEN, TEN | {"service3": 9000.0}).factor == 1.0
    faster = {name: value / 2 for name, value in TEN.items()}
    assert shared_change(TEN, faster | {"service3": 9000.0}) == SharedChange(0.5, 9, 10)


def test_services_that_go_both_ways_and_small_systems_share_nothing() -> None:
    mixed = {name: value * (2.0 if number % 2 else 0.5) for number, (name, value) in enumerate(TEN.items())}
    assert not shared_change(TEN, mixed).is_large
    few = dict(list(TEN.items())[:4])
    assert shared_change(few, {name: 3 * value for name, value in few.items()}).factor == 1.0


def test_a_small_change_is_not_put_into_words() -> None:
    small = shared_change(TEN, {name: 1.1 * value for name, value in TEN.items()})
    assert shared_words(small, small) == ""


@given(st.integers(0, 40).flatmap(lambda count: st.tuples(st.integers((count + 1) // 2, count), st.just(count))))
def test_the_sign_test_is_the_two_sided_binomial_one(counts: tuple[int, int]) -> None:
    most, count = counts
    expected = stats.binomtest(most, count).pvalue if count else 1.0
    assert sign_p(most, count) == pytest.approx(expected, rel=1e-9)
