"""The critical path covers the root call, moment by moment, once."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.cases import CaseBuilder

from wiretrace.case.forest import Forest, following
from wiretrace.diagnosis.critical_path import Stretch, critical_path, own_stretches, time_on_path

if TYPE_CHECKING:
    import pyarrow as pa

PARTY = ("10.0.0.1", 80, None, "a")


def table_of(calls: list[tuple[int | None, int, int]], follows: tuple[int, ...] = ()) -> pa.Table:
    """Rows of the table `calls` with these parents, starts and durations; those that `follows` names took messages off."""
    builder = CaseBuilder()
    rows: list[dict[str, Any]] = []
    for number, (parent, start, length) in enumerate(calls):
        relation = "follows" if number in follows else "child"
        above = None if parent is None else rows[parent]
        rows.append(builder.call(above, "http", "GET", "", PARTY, PARTY, start, length, relation=relation))
    return builder.analysis().tables["calls"]


def stretches(table: pa.Table) -> list[Stretch]:
    """The path under the first call."""
    times = (table[name].to_pylist() for name in ("start_ns", "end_ns"))
    return own_stretches(Forest.of(table), *times, following(table["relation"]).tolist(), 0)


def test_the_last_to_end_is_what_everything_waits_for() -> None:
    """Of two calls side by side the longer one counts; what a call does before and behind its own calls is its own."""
    table = table_of([(None, 0, 100), (0, 10, 30), (0, 10, 50), (0, 70, 20), (2, 20, 10)])
    path = stretches(table)
    assert [(each.row, each.begin_ns, each.end_ns) for each in path] == [
        (0, 0, 10),
        (2, 10, 20),
        (4, 20, 30),
        (2, 30, 60),
        (0, 60, 70),
        (3, 70, 90),
        (0, 90, 100),
    ]
    assert time_on_path(path, 5).tolist() == [30, 0, 40, 20, 10]


def test_a_call_that_outlives_its_parent_kept_nobody_waiting() -> None:
    table = table_of([(None, 0, 100), (0, 50, 500)])
    path = stretches(table)
    assert [tuple(each) for each in path] == [(0, 0, 100)]


def test_nobody_waits_for_what_takes_a_message_off_a_queue() -> None:
    """It and what it causes may run while the request is under way, and are on no path."""
    table = table_of([(None, 0, 100), (0, 10, 20), (1, 20, 60), (0, 40, 55), (3, 50, 20)], follows=(1, 3))
    assert [tuple(each) for each in stretches(table)] == [(0, 0, 100)]
    assert {step.row for step in critical_path(Forest.of(table), table, 0)} == {0}


CALLS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60), st.integers(0, 60)), max_size=9)


@settings(max_examples=100, deadline=None)
@given(CALLS)
def test_the_path_covers_the_root_without_gap_or_overlap(children: list[tuple[int, int, int]]) -> None:
    """Whatever the calls, and in each phase what its call has of it at most."""
    calls: list[tuple[int | None, int, int]] = [(None, 0, 100)]
    calls += [(parent % len(calls[: at + 1]), start, length) for at, (parent, start, length) in enumerate(children)]
    table = table_of(calls)
    steps = critical_path(Forest.of(table), table, 0)
    assert steps[0].begin_ns == 0
    assert steps[-1].end_ns == 100
    assert all(one.end_ns == other.begin_ns for one, other in itertools.pairwise(steps))
    spent: dict[tuple[int, str], int] = {}
    for step in steps:
        assert step.begin_ns < step.end_ns
        spent[step.row, step.phase] = spent.get((step.row, step.phase), 0) + step.end_ns - step.begin_ns
    for (row, phase), length in spent.items():
        assert length <= table[phase][row].as_py()
