"""What is usual is learned from calls of which more than half may be ill."""

import numpy as np

from wiretrace.diagnosis.usual import FEWEST, LONGEST_NS, SLICES, Usual, quantiles_of_groups, usual_values

MILLISECOND = 1_000_000


def usual_of(values: np.ndarray) -> Usual:
    """What is usual of one kind of call, made at equal distances."""
    return usual_values(np.zeros(len(values), np.int64), values, np.arange(len(values)) * SLICES // len(values), 1)


def test_quantiles_are_the_nearest_ranks_of_each_group() -> None:
    group = np.array([1, 0, 1, 1, 0, 1])
    values = np.array([40, 7, 10, 30, 5, 20])
    count, (low, middle, high) = quantiles_of_groups(group, values, 3, (0.25, 0.5, 1.0))
    assert count.tolist() == [2, 4, 0]
    assert (low.tolist(), middle.tolist(), high.tolist()) == ([5, 10, 0], [5, 20, 0], [7, 40, 0])


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
    assert usual.limit[0] == LONGEST_NS


def test_nobody_waits_for_four_milliseconds() -> None:
    usual = usual_of(np.full(50, 100_000))
    assert usual.limit[0] > 4 * MILLISECOND
