"""Rows taken a few row groups at a time are those of the whole table."""

from pathlib import Path

import numpy as np
import pytest
from tests.support.cases import build_case

from wiretrace.case import rows, writer
from wiretrace.case.reader import Case
from wiretrace.case.rows import RowReader


def test_rows_of_many_row_groups_come_in_the_order_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However they jump about, and more often than groups are kept."""
    monkeypatch.setattr(writer, "ROW_GROUP_ROWS", 10)
    monkeypatch.setattr(rows, "GROUPS_KEPT", 2)
    build_case(tmp_path / "a.case", 70)
    whole = Case.open(tmp_path / "a.case").table("calls")
    case = Case.open(tmp_path / "a.case")
    assert len(case.group_starts("calls")) == 8
    reader = RowReader(case, "calls", ["id", "operation", "possible"])
    for wanted in ([], [3], [69, 0, 35, 35, 12], list(range(69, -1, -1))):
        numbers = np.array(wanted, np.int64)
        assert reader.take(numbers).to_pylist() == whole.select(reader.columns).take(numbers).to_pylist()


def test_a_text_that_many_rows_have_is_held_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows are the same; as one word each of a dictionary, also from several row groups."""
    monkeypatch.setattr(writer, "ROW_GROUP_ROWS", 10)
    build_case(tmp_path / "a.case", 70)
    case = Case.open(tmp_path / "a.case")
    plain, shared = (
        RowReader(case, "calls", ["id", "summary"]),
        RowReader(case, "calls", ["id", "summary"], repeating=["summary"]),
    )
    rows = np.arange(69, -1, -1)
    taken = shared.take(rows)
    assert taken.to_pylist() == plain.take(rows).to_pylist()
    words = [chunk.dictionary.to_pylist() for chunk in taken["summary"].chunks]
    assert all(len(set(each)) == len(each) for each in words)
