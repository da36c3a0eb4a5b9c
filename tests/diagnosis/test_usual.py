"""What is usual is learned from calls of which more than half may be ill."""

import numpy as np
from numpy.typing import NDArray

from wiretrace.diagnosis.distribution import LONGEST
from wiretrace.diagnosis.usual import FEWEST, SLICES, Usual, ValuesOverTime, usual_values

MILLISECOND = 1_000_000


def usual_of(values: NDArray[np.int64]) -> Usual:
    """What is usual of one kind of call, made at equal distances."""
    over_time = ValuesOverTime()
    over_time.add(np.zeros(len(values), np.int64), values, np.arange(len(values)) * SLICES // len(values))
    return usual_values(over_time, 1)


def test_a_fault_in_six_of_ten_calls_is_not_usual() -> None:
    values = np.array([10 * MILLISECOND + number for number in range(40)] + [90 * MILLISECOND] * 60)
    usual = usual_of(values)
    assert usual.typical[0] < 11 * MILLISECOND
    assert usual.limit[0] < 90 * MILLISECOND


def test_a_fault_in_seventeen_of_twenty_calls_is_not_usual_where_all_was_well_before() -> None:
    values = np.array([10 * MILLISECOND + number for number in range(30)] + [90 * MILLISECOND] * 170)
    usual = usual_of(values)
    assert usual.typical[0] < 11 * MILLISECOND
    assert usual.limit[0] < 90 * MILLISECOND


def test_calls_that_are_fast_now_and_then_at_all_times_make_the_others_no_slower() -> None:
    values = np.where(np.arange(200) % 5 == 0, MILLISECOND, 90 * MILLISECOND)
    usual = usual_of(values)
    assert usual.typical[0] == 90 * MILLISECOND


def test_nothing_is_said_of_few_calls() -> None:
    usual = usual_of(np.arange(FEWEST - 1))
    assert usual.limit[0] == LONGEST


def test_nobody_waits_for_four_milliseconds() -> None:
    usual = usual_of(np.full(50, 100_000))
    assert usual.limit[0] > 4 * MILLISECOND
