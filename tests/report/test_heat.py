"""Small heatmaps hold every call once, in the cell of its time and duration."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wiretrace.report.heat import COLUMNS, LEVELS, HeatScale, heatmaps

CALL = st.tuples(st.integers(0, 2), st.integers(0, 10**12), st.integers(0, 10**11))


@settings(max_examples=80, deadline=None)
@given(st.lists(CALL, min_size=1, max_size=60))
def test_a_cell_is_filled_where_a_call_lies_and_only_there(calls: list[tuple[int, int, int]]) -> None:
    group, start, duration = (np.array(column, np.int64) for column in zip(*calls, strict=True))
    scale = HeatScale.of(start, duration)
    maps = heatmaps(group, 2, start, duration, scale)
    cells = scale.cells(start, duration)
    for number, text in enumerate(maps):
        assert len(text) == COLUMNS * LEVELS
        filled = {cell for cell, heat in enumerate(text) if heat != "0"}
        assert filled == set(cells[group == number].tolist())


def test_time_runs_by_column_and_duration_by_level() -> None:
    start, duration = np.array([0, 50, 99], np.int64), np.array([10, 1_100, 100_000], np.int64)
    cells = HeatScale.of(start, duration).cells(start, duration)
    assert (cells // LEVELS).tolist() == [0, COLUMNS // 2, COLUMNS - 1]
    assert (cells % LEVELS).tolist() == [0, LEVELS // 2, LEVELS - 1]


def test_the_fullest_cell_has_the_greatest_heat() -> None:
    start, duration = np.array([0] * 50 + [99], np.int64), np.full(51, 7, np.int64)
    (text,) = heatmaps(np.zeros(51, np.int64), 1, start, duration, HeatScale.of(start, duration))
    assert sorted(heat for heat in text if heat != "0") == ["2", "9"]
