"""Which kinds of request take longer, or shorter, than before: by so much that it matters, and by more than accident.

Requests that were made one after the other share their fate, so that they are worth less than as many independent ones: a
bad second looks like many observations. How much less is seen within each side: it is cut into blocks of time, and the
means of blocks vary by what their requests share, besides what means of independent values would. A machine's bad second
meets all kinds of request: they are looked at together, so that this is known from many blocks. A kind that varies still
more by itself is judged by that.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wiretrace.diagnosis.statistics import rank_sum_p, student_p, table_p
from wiretrace.diagnosis.usual import NOBODY_WAITS_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SURE = 1e-3
"""Probability, over all percentiles of all kinds of request together, below which a change is no accident."""
BLOCKS = 8
"""Blocks of time into which the requests of one kind are cut."""


class Large(NamedTuple):
    """A change that matters."""

    share: float
    least_ns: int


LARGE = {50: Large(0.25, NOBODY_WAITS_NS), 95: Large(0.5, 10_000_000)}
"""Changes of percentiles that matter."""


class Percentile(NamedTuple):
    """One percentile of one kind of request: its figures, and what tells whether they differ by accident."""

    before_ns: float
    alike_ns: float
    """What it would have been before, had all services taken what they took afterwards."""
    after_ns: float
    values: tuple[NDArray[np.float64], NDArray[np.float64]]
    """Of each request, before (as it would have been) and after: what is compared in the mean. Shapes (requests,)."""
    accident: float
    """Probability of such a difference, were the requests independent."""


def median_of(
    figures: tuple[float, float, float], before: NDArray[np.float64], after: NDArray[np.float64]
) -> Percentile:
    """The median of requests in the order of their start; durations `before` as they would have been. Shapes (n,), (m,)."""
    both = np.concatenate([before, after])
    is_old = np.arange(len(both)) < len(before)
    ranks = np.argsort(np.argsort(both, kind="stable"), kind="stable").astype(np.float64)
    return Percentile(*figures, (ranks[is_old], ranks[~is_old]), rank_sum_p(both.astype(np.int64), is_old))


def high_of(figures: tuple[float, float, float], before: NDArray[np.float64], after: NDArray[np.float64]) -> Percentile:
    """The same of a high percentile: how many requests are beyond the lower one of the two."""
    beyond = [durations > min(figures[1:]) for durations in (before, after)]
    table = np.array([[side.sum(), (~side).sum()] for side in beyond])
    return Percentile(*figures, (beyond[0].astype(np.float64), beyond[1].astype(np.float64)), table_p(table))


def changed(percentiles: Sequence[Percentile], large: Large, looked_at: int) -> list[bool]:
    """Which percentiles of several kinds of request changed; `looked_at` are all that are judged together."""
    fates = [[_fate(each.values[side]) for each in percentiles] for side in range(2)]
    together = [float(np.mean(of_side)) if of_side else 1.0 for of_side in fates]
    found = []
    for number, each in enumerate(percentiles):
        times = [max(1.0, of_all, of_side[number]) for of_side, of_all in zip(fates, together, strict=True)]
        p = max(each.accident, _difference_p(each.values, times, len(percentiles) * (BLOCKS - 1)))
        found.append(_matters(each, large) and p * looked_at < SURE)
    return found


def _matters(each: Percentile, large: Large) -> bool:
    """Whether it changed by much, and to the same side by much more than all services have in common."""
    lost, more = each.after_ns - each.before_ns, each.after_ns - each.alike_ns
    is_beyond = lost * more > 0 and abs(more) >= large.share * min(each.alike_ns, each.after_ns)
    return is_beyond and min(abs(lost), abs(more)) >= large.least_ns


def _fate(values: NDArray[np.float64]) -> float:
    """How much more the means of blocks of time vary than those of independent values; about 1 where they are that.

    `values` has shape (n,).
    """
    of_block = np.arange(len(values)) * BLOCKS // len(values)
    size = np.bincount(of_block)
    means = np.bincount(of_block, values) / size
    variance = float(values.var(ddof=1))
    return float(means.var(ddof=1)) / (variance * float((1 / size).mean())) if variance else 1.0


def _difference_p(values: tuple[NDArray[np.float64], ...], times: Sequence[float], freedom: int) -> float:
    """Whether the means of both sides differ, where those of blocks vary so many times more than by accident (Welch)."""
    errors = [more * float(side.var(ddof=1)) / len(side) for more, side in zip(times, values, strict=True)]
    change = float(values[1].mean() - values[0].mean())
    if not sum(errors):
        return float(change == 0.0)
    known = freedom * sum(errors) ** 2 / sum(error**2 for error in errors)
    return student_p(change / sqrt(sum(errors)), known)
