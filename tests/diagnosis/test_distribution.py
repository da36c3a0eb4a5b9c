"""Distributions do not depend on the order of the values, nor on how these are cut; few values are known exactly."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wiretrace.diagnosis.distribution import MOST_GROUPS, Distributions, Values, joined, percentiles_together

ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 10**9)), min_size=1, max_size=120)


def made(rows: list[tuple[int, int]], cuts: int = 1, most_values: int = 16) -> Distributions:
    """The distributions of rows of group and value, added in some portions."""
    found = Distributions(most_values)
    for part in np.array_split(np.array(rows, np.int64), cuts):
        found.add(part[:, 0], part[:, 1])
    return found


@settings(max_examples=100, deadline=None)
@given(ROWS, st.integers(1, 9), st.randoms())
def test_cuts_and_order_change_nothing(rows: list[tuple[int, int]], cuts: int, source) -> None:
    whole = made(rows)
    shuffled = source.sample(rows, len(rows))
    for other in (made(rows, cuts), made(shuffled, cuts)):
        for group in range(4):
            for one, two in zip(whole.of(group), other.of(group), strict=True):
                assert one.tolist() == two.tolist()


@settings(max_examples=100, deadline=None)
@given(ROWS, st.integers(1, 9))
def test_parts_together_are_the_whole(rows: list[tuple[int, int]], cuts: int) -> None:
    whole = made(rows, most_values=1000)
    parts = [made(part.tolist(), most_values=1000) for part in np.array_split(np.array(rows), cuts) if len(part)]
    count, found = percentiles_together(parts, 4, (5, 50, 95))
    assert count.tolist() == whole.counts(4).tolist()
    assert [each.tolist() for each in found] == [each.tolist() for each in whole.percentiles(4, (5, 50, 95))]
    for group in np.flatnonzero(count).tolist():
        assert [whole.of(group).percentile(each) for each in (5, 50, 95)] == [int(each[group]) for each in found]


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_many_values_are_known_nearly(rows: list[tuple[int, int]]) -> None:
    found = made(rows)
    (middle,) = found.percentiles(4, (50,))
    for group in range(4):
        values = sorted(value for one, value in rows if one == group)
        kept = found.of(group)
        assert kept.total == len(values)
        assert len(kept.value) <= 16
        if values:
            exact = values[(len(values) + 1) // 2 - 1]
            slack = kept.slack[np.searchsorted(kept.value, middle[group])]
            assert abs(int(middle[group]) - exact) <= slack
            assert kept.lowest <= values[0]
            assert values[-1] <= kept.highest


def test_few_values_are_known_exactly() -> None:
    found = made([(1, 40), (0, 7), (1, 10), (1, 30), (0, 5), (1, 20)])
    low, middle, high = found.percentiles(3, (25, 50, 100))
    assert found.counts(3).tolist() == [2, 4, 0]
    assert (low.tolist(), middle.tolist(), high.tolist()) == ([5, 10, 0], [5, 20, 0], [7, 40, 0])
    assert found.of(1).median == 25.0
    assert joined([found.of(0), found.of(1)]).median == 15.0


def test_a_part_of_the_values() -> None:
    values = Values(np.array([1, 5, 9]), np.zeros(3, np.int64), np.array([2, 1, 1]))
    assert (values.part(1, 3).lowest, values.part(1, 3).highest, values.part(1, 3).total) == (5, 9, 2)


@settings(max_examples=100, deadline=None)
@given(ROWS, st.sets(st.integers(0, 4)))
def test_groups_together_are_those_groups_joined(rows: list[tuple[int, int]], groups: set[int]) -> None:
    found = made(rows)
    every, owner = found.together(np.array(sorted(groups), np.int64))
    expected = joined([found.of(group) for group in sorted(groups)])
    assert [column.tolist() for column in every] == [column.tolist() for column in expected]
    for group in groups:
        assert [column[owner == group].tolist() for column in every] == [part.tolist() for part in found.of(group)]


def test_groups_beyond_the_last_are_counted_as_one() -> None:
    """A capture may hold more kinds of calls than are told apart."""
    last = MOST_GROUPS - 1
    found = Distributions()
    found.add(np.array([0, last - 1, last, last + 1, last + 9]), np.array([7, 1, 10, 20, 30]))
    assert found.of(last).value.tolist() == found.of(last + 9).value.tolist() == [10, 20, 30]
    assert found.of(last - 1).value.tolist() == [1]
    assert found.counts(last + 3)[last - 1 :].tolist() == [1, 3, 3, 3]
    assert found.percentiles(last + 3, (50,))[0][last - 1 :].tolist() == [1, 20, 20, 20]
    every, owner = found.together(np.array([0, last + 1]))
    assert (every.value.tolist(), owner.tolist()) == ([7, 10, 20, 30], [0, *[last + 1] * 3])
