"""The rules run over a case, and what they find is put into tables in the order of its impact."""

from tests.support.cases import build_analysis, case_of

from wiretrace.diagnosis.diagnose import diagnose
from wiretrace.model.finding import MOST_CALLS


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


def test_a_case_without_calls_has_no_findings() -> None:
    analysis = build_analysis(7)
    analysis.tables = {name: table.slice(0, 0) for name, table in analysis.tables.items()}
    case = case_of(analysis)
    assert {name: len(table) for name, table in diagnose(case).items()} == {"findings": 0, "suspects": 0}
