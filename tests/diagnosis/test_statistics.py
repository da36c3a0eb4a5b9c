"""The tests agree with SciPy's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from wiretrace.diagnosis.statistics import chi_square_p, normal_p, rank_sum_p, student_p, table_p


@settings(max_examples=100, deadline=None)
@given(st.floats(0, 500), st.integers(1, 60))
def test_tails_of_the_chi_square(statistic: float, freedom: int) -> None:
    assert chi_square_p(statistic, freedom) == pytest.approx(stats.chi2.sf(statistic, freedom), rel=1e-6, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=12, max_size=80))
def test_rank_sums_with_ties(rows: list[tuple[int, bool]]) -> None:
    values, is_one = np.array([value for value, _ in rows]), np.array([one for _, one in rows])
    if is_one.all() or not is_one.any() or len(set(values.tolist())) == 1:
        return
    expected = stats.mannwhitneyu(values[is_one], values[~is_one], use_continuity=False, method="asymptotic").pvalue
    assert rank_sum_p(values, is_one) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_values_that_are_all_equal_differ_in_nothing() -> None:
    assert rank_sum_p(np.full(10, 3), np.arange(10) < 5) == 1.0


def test_tables_of_counts() -> None:
    table = np.array([[12, 30, 5], [40, 8, 9]])
    assert table_p(table) == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)
    assert table_p(np.array([[5, 5], [0, 0]])) == 1.0


def test_deviations_from_the_mean() -> None:
    assert normal_p(1.959964) == pytest.approx(0.05, rel=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.floats(-12, 12), st.floats(5, 400))
def test_student_is_within_a_fifth_of_what_scipy_says(t: float, freedom: float) -> None:
    expected = 2 * stats.t.sf(abs(t), freedom)
    assert student_p(t, freedom) == pytest.approx(expected, rel=0.22, abs=1e-13)
