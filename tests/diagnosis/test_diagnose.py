"""The rules run over a case, and what they find is put into tables in the order of its impact."""

import pytest
from tests.support.cases import build_analysis, case_of
from tests.support.system import System

from wiretrace.diagnosis.diagnose import diagnose
from wiretrace.model.finding import MOST_CALLS
from wiretrace.model.note import NoteKind, Notes


def test_findings_are_numbered_by_impact_and_name_calls_and_frames_that_exist() -> None:
    case = case_of(build_analysis(2800))
    rows = diagnose(case)["findings"].to_pylist()
    assert [row["number"] for row in rows] == list(range(1, len(rows) + 1))
    assert rows[0]["severity"] == "critical"
    ids = set(case.table("calls").column("id").to_pylist())
    seen = {
        f"{row['capture']}:{frame}"
        for row in case.table("exchanges").to_pylist()
        for frame in (*row["request_frames"], *row["response_frames"])
    }
    for row in rows:
        assert 0 < len(row["calls"]) <= MOST_CALLS
        assert set(row["calls"]) <= ids
        assert set(row["frames"]) <= seen
        assert row["first_ns"] <= row["last_ns"]


def test_findings_beyond_the_limit_are_counted_in_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gravest are told, in the same order, and of the others how many there are."""
    case, notes = case_of(build_analysis(2800)), Notes()
    every = diagnose(case)["findings"].to_pylist()
    monkeypatch.setattr("wiretrace.diagnosis.diagnose.MOST_FINDINGS", 2)
    assert diagnose(case, notes=notes)["findings"].to_pylist() == every[:2]
    assert notes.counts == {(NoteKind.LIMIT_REACHED, "findings"): len(every) - 2}


def test_a_port_that_can_not_be_is_no_reason_to_fail() -> None:
    """Somebody may have made the case."""
    system = System()
    for port in (-(2**31), 65_536, 2**31 - 1):
        system.call(None, ("client", "web1"), "GET /", 0, 1)["server_port"] = port
    assert diagnose(system.case())["findings"].to_pylist() == []


def test_a_case_without_calls_has_no_findings() -> None:
    analysis = build_analysis(7)
    analysis.tables = {name: table.slice(0, 0) for name, table in analysis.tables.items()}
    case = case_of(analysis)
    assert {name: len(table) for name, table in diagnose(case).items()} == {"findings": 0, "suspects": 0}
