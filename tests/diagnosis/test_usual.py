"""What is usual is learned from calls of which more than half may be ill."""

import numpy as np
from numpy.typing import NDArray

from wiretrace.diagnosis.distribution import LONGEST, Distributions
from wiretrace.diagnosis.usual import FEWEST, Usual, usual_values

MILLISECOND = 1_000_000


def usual_of(values: NDArray[np.int64]) -> Usual:
    distributions = Distributions()
    distributions.add(np.zeros(len(values), np.int64), values)
    return usual_values(distributions, 1)


def test_a_fault_in_six_of_ten_calls_is_not_usual() -> None:
    values = np.array([10 * MILLISECOND + number for number in range(40)] + [90 * MILLISECOND] * 60)
    usual = usual_of(values)
    assert usual.typical[0] < 11 * MILLISECOND
    assert usual.limit[0] < 90 * MILLISECOND


def test_nothing_is_said_of_few_calls() -> None:
    usual = usual_of(np.arange(FEWEST - 1))
    assert usual.limit[0] == LONGEST


def test_nobody_waits_for_four_milliseconds() -> None:
    usual = usual_of(np.full(50, 100_000))
    assert usual.limit[0] > 4 * MILLISECOND
