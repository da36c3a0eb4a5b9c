"""A change of durations is no accident where it is more than what the requests of a time share."""

from __future__ import annotations

import numpy as np
import pytest

from wiretrace.diagnosis.slower_requests import LARGE, changed, high_of, median_of

MS = 1e6


def looked(before: np.ndarray, after: np.ndarray, percentile: int = 50) -> list[bool]:
    """Whether a percentile of one kind of request changed; arrays in milliseconds, in the order of time."""
    old, new = (float(np.percentile(side, percentile)) * MS for side in (before, after))
    look = median_of if percentile == 50 else high_of
    return changed([look((old, old, new), before * MS, after * MS)], LARGE[percentile], 1)


def waves(source: np.random.Generator, count: int, swing: float) -> np.ndarray:
    """Durations of a system whose machine is busy for some requests, and idle for some, at random."""
    state = np.repeat(source.normal(0, swing, count // 10 + 1), 10)[:count]
    return 20 * np.exp(state + source.normal(0, 0.2, count))


@pytest.mark.parametrize("percentile", [50, 95])
def test_one_bad_second_is_no_change_and_a_slow_share_spread_over_all_is(percentile: int) -> None:
    quiet = 20 + np.random.default_rng(1).uniform(0, 2, 160)
    second, spread = quiet.copy(), quiet.copy()
    second[:88] += 40
    spread[np.arange(160) % 9 < 5] += 40
    few_together, few_spread = quiet.copy(), quiet.copy()
    few_together[100:140] += 40
    few_spread[::4] += 40
    if percentile == 50:
        assert looked(quiet, second) == [False]
        assert looked(quiet, spread) == [True]
    else:
        assert looked(quiet, few_together, 95) == [False]
        assert looked(quiet, few_spread, 95) == [True]


def test_a_system_that_goes_up_and_down_is_rarely_said_to_have_changed_and_a_slower_one_mostly() -> None:
    source = np.random.default_rng(7)
    false = sum(looked(waves(source, 120, 0.35), waves(source, 120, 0.35))[0] for _ in range(300))
    found = sum(looked(waves(source, 120, 0.2), 2.5 * waves(source, 120, 0.2))[0] for _ in range(100))
    assert false <= 6
    assert found >= 95


def test_what_all_services_share_is_taken_away() -> None:
    source = np.random.default_rng(3)
    before, after = 20 * MS + source.uniform(0, MS, 60), 34 * MS + source.uniform(0, MS, 60)
    old, new = float(np.median(before)), float(np.median(after))
    assert changed([median_of((old, old, new), before, after)], LARGE[50], 1) == [True]
    assert changed([median_of((old, old * 1.6, new), before * 1.6, after)], LARGE[50], 1) == [False]


def test_what_other_kinds_of_request_met_at_the_time_counts() -> None:
    source = np.random.default_rng(5)
    before, after = source.uniform(20, 30, 80) * MS, source.uniform(22, 37, 80) * MS
    one = median_of((25 * MS, 25 * MS, 32 * MS), before, after)
    waving = [
        median_of((20 * MS, 20 * MS, 20 * MS), waves(source, 80, 2.0) * MS, waves(source, 80, 2.0) * MS)
        for _ in range(6)
    ]
    assert changed([one], LARGE[50], 7) == [True]
    assert not any(changed([one, *waving], LARGE[50], 7))
