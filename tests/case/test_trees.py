"""Trees that go through several parts are those that all calls together would make."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.case.test_assembly import part

from wiretrace.case.trees import NO_CALL, AllTrees
from wiretrace.linking.trees import grow_trees

if TYPE_CHECKING:
    from wiretrace.case.parts import Part

MOST_CALLS = 14


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-1, MOST_CALLS), st.floats(0.1, 1.0)), min_size=1, max_size=MOST_CALLS),
    st.lists(st.integers(0, MOST_CALLS), max_size=4),
    st.permutations(range(MOST_CALLS)),
)
def test_parts_make_the_trees_that_the_whole_makes(
    links: list[tuple[int, float]], cuts: list[int], names: list[int]
) -> None:
    """However the calls are cut into parts, and whichever is called what: roots, parents and figures are the same."""
    count = len(links)
    # A parent is an earlier call, so that there are no circles.
    parent = np.array([min(wanted, call - 1) for call, (wanted, _) in enumerate(links)], np.int32)
    confidence = np.array([certainty for _, certainty in links])
    number = [2 * (names[call] + 1) for call in range(count)]
    whole = grow_trees(parent, confidence)
    bounds = [0, *sorted(min(cut, count) for cut in cuts), count]
    with tempfile.TemporaryDirectory() as folder:
        parts = [
            part(
                Path(folder),
                index,
                [number[call] for call in range(begin, end)],
                [
                    (number[call], number[parent[call]], float(confidence[call]))
                    for call in range(begin, end)
                    if parent[call] >= 0
                ],
            )
            for index, (begin, end) in enumerate(itertools.pairwise(bounds))
        ]
        trees = AllTrees(parts)
        own = [trees.of_part(index) for index in range(len(parts))]
        rooted = [trees.rooted_in(index) for index in range(len(parts))]
    assert np.concatenate([each.number for each in own]).tolist() == number
    assert np.concatenate([each.root for each in own]).tolist() == [number[root] for root in whole.root]
    expected = [number[above] if above >= 0 else int(NO_CALL) for above in parent]
    assert np.concatenate([each.parent for each in own]).tolist() == expected
    roots = np.concatenate([each.number[rows] for each, (rows, _) in zip(own, rooted, strict=True)])
    assert roots.tolist() == [number[root] for root in whole.roots]
    figures = [np.concatenate(column) for column in zip(*(each for _, each in rooted), strict=True)]
    assert figures[0].tolist() == whole.size.tolist()
    assert figures[2].tolist() == whole.height.tolist()
    assert np.allclose(np.exp(-figures[3]), whole.confidence)


def test_a_circle_through_two_parts_is_cut_at_its_least_sure_link(tmp_path: Path) -> None:
    """Two calls that are each other's parent, in two parts."""
    trees = AllTrees([part(tmp_path, 0, [2], [(2, 4, 0.5)]), part(tmp_path, 1, [4], [(4, 2, 0.9)])])
    assert trees.of_part(0).parent.tolist() == [int(NO_CALL)]
    assert (trees.of_part(1).parent.tolist(), trees.of_part(1).root.tolist()) == ([2], [2])


def test_children_in_another_part_take_from_the_self_time(tmp_path: Path) -> None:
    """Calls last 7 ns; the child starts 3 ns after its parent, in a part of its own that begins there."""
    made = [part(tmp_path, 0, [2], []), part(tmp_path, 1, [4], [(4, 2, 0.9)])]
    made[1].write({**{name: made[1].read(name) for name in ("links", "evidence")}, "calls": moved(made[1], 3 - 100)})
    trees = AllTrees(made)
    assert trees.self_times(0).tolist() == [3]
    assert trees.self_times(1).tolist() == [7]


def test_what_takes_a_message_off_takes_nothing_from_the_self_time(tmp_path: Path) -> None:
    """Nobody waited for it, in the same part or in another."""
    made = [part(tmp_path, 0, [2, 3], [(3, 2, 0.9)]), part(tmp_path, 1, [4], [(4, 2, 0.9)])]
    for each, by in zip(made, (0, 3 - 100), strict=True):
        calls = moved(each, by)
        relation = pa.array(["follows"] * len(calls)).cast(calls.schema.field("relation").type)
        calls = calls.set_column(calls.schema.get_field_index("relation"), "relation", relation)
        each.write({**{name: each.read(name) for name in ("links", "evidence")}, "calls": calls})
    assert AllTrees(made).self_times(0).tolist() == [7, 7]


def moved(of: Part, by: int) -> pa.Table:
    """The calls of a part, later by so many nanoseconds."""
    calls = of.read("calls")
    for name in ("start_ns", "end_ns"):
        column = calls.schema.get_field_index(name)
        calls = calls.set_column(column, name, pc.add(calls.column(name), by))
    return calls
