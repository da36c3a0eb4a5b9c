"""The few tests that the rules need, without SciPy, which takes a second to load: p-values from normal and chi-square tails.

Rules: two-sided; approximations are used where their textbooks allow them, and callers ask for enough observations.
"""

from __future__ import annotations

from math import erfc, exp, lgamma, log, log1p, sqrt
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.diagnosis.distribution import Values

TERMS = 500
"""Terms of a series, or steps of a continued fraction, until it stands still."""
CLOSE_ENOUGH = 1e-14


def rank_sum_p(values: NDArray[np.int64], is_one: NDArray[np.bool_]) -> float:
    """Whether two groups of values differ in size (Mann-Whitney U, normal approximation with ties). Shapes (n,)."""
    different, number = np.unique(values, return_inverse=True)
    ones, others = (np.bincount(number[which], minlength=len(different)) for which in (is_one, ~is_one))
    return _rank_sum_p(ones, others)


def rank_sum_p_of_values(one: Values, other: Values) -> float:
    """The same of values that are counted already."""
    different = np.union1d(one.value, other.value)
    counts = np.zeros((2, len(different)), np.int64)
    for each, values in zip(counts, (one, other), strict=True):
        np.add.at(each, np.searchsorted(different, values.value), values.often)
    return _rank_sum_p(*counts)


def _rank_sum_p(ones: NDArray[np.int64], others: NDArray[np.int64]) -> float:
    """The same of how often each of some rising values is in the one group and in the other. Shapes (values,)."""
    lengths = ones + others
    ranks = np.cumsum(lengths) - lengths + (lengths + 1) / 2
    one, other = int(ones.sum()), int(others.sum())
    both = one + other
    statistic = float((ranks * ones).sum()) - one * (one + 1) / 2
    ties = float((lengths.astype(float) ** 3 - lengths).sum())
    variance = one * other / 12 * (both + 1 - ties / (both * (both - 1)))
    if variance <= 0:
        return 1.0
    return normal_p((statistic - one * other / 2) / sqrt(variance))


def student_p(t: float, freedom: float) -> float:
    """Probability of being so far from 0 in Student's distribution, on either side (D. Wallace, 1959; within a fifth)."""
    scale = (8 * freedom + 1) / (8 * freedom + 3)
    return normal_p(scale * sqrt(freedom * log1p(t * t / freedom)))


def normal_p(deviations: float) -> float:
    """Probability of being so many standard deviations away from the mean, on either side."""
    return erfc(abs(deviations) / sqrt(2))


def table_p(observed: NDArray[np.int64]) -> float:
    """Whether rows and columns of a table of counts depend on each other (chi-square). Shape (rows, columns)."""
    kept = observed[observed.sum(axis=1) > 0][:, observed.sum(axis=0) > 0].astype(float)
    if min(kept.shape) < 2:
        return 1.0
    expected = kept.sum(axis=1, keepdims=True) * kept.sum(axis=0, keepdims=True) / kept.sum()
    statistic = float(((kept - expected) ** 2 / expected).sum())
    return chi_square_p(statistic, (kept.shape[0] - 1) * (kept.shape[1] - 1))


def chi_square_p(statistic: float, freedom: int) -> float:
    """Probability of a chi-square of at least `statistic`: the regularised upper incomplete gamma function."""
    half, x = freedom / 2, statistic / 2
    if x <= 0:
        return 1.0
    scale = exp(-x + half * log(x) - lgamma(half))
    if x < half + 1:
        term = total = 1 / half
        for step in range(1, TERMS):
            term *= x / (half + step)
            total += term
            if term < total * CLOSE_ENOUGH:
                break
        return max(0.0, 1 - total * scale)
    # Lentz's continued fraction (W. Press et al., "Numerical Recipes", section 6.2).
    below = x + 1 - half
    ratio = 1e300
    inverse = value = 1 / below
    for step in range(1, TERMS):
        factor = -step * (step - half)
        below += 2
        inverse = 1 / (factor * inverse + below)
        ratio = below + factor / ratio
        value *= ratio * inverse
        if abs(ratio * inverse - 1) < CLOSE_ENOUGH:
            break
    return scale * value
