"""The order of the report is that of a walk through the trees, whatever the trees are."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wiretrace.model.errors import UserError
from wiretrace.report.order import tree_order

Rows = list[tuple[int | None, int]]
"""Of each call: the row of its parent, and its start."""


def tables(rows: Rows) -> tuple[pa.Table, pa.Table]:
    """Calls and trees, the tree of a call being the root that its parents lead to."""

    def root(row: int) -> int:
        seen = {row}
        while (parent := rows[row][0]) is not None and parent not in seen:
            seen.add(parent)
            row = parent
        return min(seen) if rows[row][0] is not None else row

    roots = [root(row) for row in range(len(rows))]
    calls = pa.table(
        {
            "id": pa.array([str(row) for row in range(len(rows))], pa.string()),
            "tree": pa.array([str(tree) for tree in roots], pa.string()),
            "parent": pa.array([None if parent is None else str(parent) for parent, _ in rows], pa.string()),
            "start_ns": pa.array([start for _, start in rows], pa.int64()),
        }
    )
    trees = pa.table(
        {
            "tree": pa.array([str(tree) for tree in sorted(set(roots))], pa.string()),
            "start_ns": pa.array([rows[tree][1] for tree in sorted(set(roots))], pa.int64()),
        }
    )
    return calls, trees


def walked(rows: Rows) -> list[tuple[int, int]]:
    """Rows and depths by a plain walk."""
    result: list[tuple[int, int]] = []

    def walk(parent: int | None, depth: int) -> None:
        children = [row for row, (above, _) in enumerate(rows) if above == parent]
        for row in sorted(children, key=lambda row: rows[row][1]):
            result.append((row, depth))
            walk(row, depth + 1)

    walk(None, 0)
    return result


@st.composite
def forests(draw: st.DrawFn) -> Rows:
    """Calls whose parent stands before them."""
    count = draw(st.integers(0, 30))
    parents = [draw(st.one_of(st.none(), st.integers(0, row - 1))) if row else None for row in range(count)]
    return [(parent, draw(st.integers(0, 5))) for parent in parents]


@settings(max_examples=150, deadline=None)
@given(forests())
def test_the_order_is_that_of_a_plain_walk(rows: Rows) -> None:
    order = tree_order(*tables(rows))
    expected = walked(rows)
    assert list(zip(order.rows.tolist(), order.depths.tolist(), strict=True)) == expected
    assert order.places[order.rows].tolist() == list(range(len(rows)))
    for place, parent in enumerate(order.parents.tolist()):
        above = rows[order.rows[place]][0]
        assert (int(order.rows[parent]) if parent >= 0 else None) == above
    assert order.call_counts.sum() == len(rows)
    assert [expected[first][1] for first in order.first_places] == [0] * len(order.trees)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 9)), st.integers(0, 3)), min_size=10, max_size=10))
def test_every_call_has_one_place_even_where_calls_are_their_own_ancestors(rows: Rows) -> None:
    order = tree_order(*tables(rows))
    assert sorted(order.rows.tolist()) == list(range(10))
    assert (order.parents < np.arange(10)).all()


def test_a_chain_of_thousands_is_ordered_without_recursion() -> None:
    rows: Rows = [(row - 1 if row else None, row) for row in range(5000)]
    assert tree_order(*tables(rows)).depths.tolist() == list(range(5000))


def test_a_call_without_its_tree_is_refused_in_one_line() -> None:
    calls, trees = tables([(None, 0)])
    with pytest.raises(UserError, match="a tree that is not there"):
        tree_order(calls, trees.slice(0, 0))
