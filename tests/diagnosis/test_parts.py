"""Time is split between a callee, its own calls, and the way; none is counted twice."""

import numpy as np

from wiretrace.diagnosis.parts import parts_of_calls


def split(rows: list[tuple[int, int, int, int, int, int]]):
    """Rows: start, end, server start, server end, set-up before the start, parent."""
    columns = [np.array(column, np.int64) for column in zip(*rows, strict=True)]
    return parts_of_calls(*columns[:5], columns[5].astype(np.int32))


def test_children_that_overlap_count_once_and_the_way_is_measured() -> None:
    own, network = split([(0, 100, 5, 95, 0, -1), (10, 40, 12, 38, 0, 0), (30, 60, 31, 59, 0, 0)])
    assert own.tolist() == [40, 26, 28]
    assert network.tolist() == [10, 4, 2]


def test_opening_a_connection_is_the_way_and_not_its_caller() -> None:
    own, network = split([(0, 100, 0, 100, 0, -1), (50, 90, 51, 89, 30, 0)])
    assert own.tolist() == [30, 38]
    assert network.tolist() == [0, 32]


def test_where_one_end_was_captured_nothing_is_said_of_the_way() -> None:
    own, network = split([(0, 100, -1, -1, 0, -1)])
    assert (own.tolist(), network.tolist()) == ([100], [-1])
