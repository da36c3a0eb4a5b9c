"""Every call is reached exactly once, from whatever parents."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from wiretrace.case.forest import Forest
from wiretrace.model.schema import table_schema


def calls_with_parents(parents: list[int | None], starts: list[int] | None = None) -> pa.Table:
    names = ("id", "parent", "start_ns")
    schema = pa.schema(table_schema("calls").field(name) for name in names)
    return pa.Table.from_pylist(
        [
            {
                "id": f"{row:016x}",
                "parent": None if parent is None else f"{parent:016x}",
                "start_ns": starts[row] if starts else row,
            }
            for row, parent in enumerate(parents)
        ],
        schema,
    )


def test_children_are_in_order_of_their_start() -> None:
    forest = Forest.of(calls_with_parents([None, 0, 0, 1, None], [5, 9, 7, 8, 1]))
    assert forest.roots == [4, 0]
    assert forest.children(0) == [2, 1]
    assert list(forest.walk(0)) == [(0, 0), (2, 1), (1, 1), (3, 2)]


def test_a_very_deep_tree_is_walked() -> None:
    """Depth is bounded by memory, not by Python's stack."""
    forest = Forest.of(calls_with_parents([None, *range(99_999)]))
    assert sum(1 for _ in forest.walk(0)) == 100_000


@given(data=st.data(), count=st.integers(0, 30))
def test_every_call_is_reached_once(data: st.DataObject, count: int) -> None:
    """Also where parents do not exist, or where calls are their own ancestors."""
    parents = data.draw(st.lists(st.none() | st.integers(0, max(count + 2, 1)), min_size=count, max_size=count))
    starts = data.draw(st.lists(st.integers(0, 5), min_size=count, max_size=count))
    forest = Forest.of(calls_with_parents(parents, starts))
    reached = [row for root in forest.roots for row, _ in forest.walk(root)]
    assert sorted(reached) == list(range(count))
    for row, parent in enumerate(parents):
        assert forest.parent[row] in (-1, parent)
    sound = [row for row, parent in enumerate(parents) if parent is None or parent >= count]
    assert set(sound) <= set(forest.roots)
