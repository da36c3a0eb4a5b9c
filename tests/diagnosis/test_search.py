"""A filter finds the trees that SQL over the tables finds."""

from pathlib import Path

import pytest
from tests.support.cases import build_analysis, build_case, case_of

from wiretrace.case.reader import Case
from wiretrace.diagnosis.filter import parse_filter
from wiretrace.diagnosis.search import find_trees


@pytest.fixture(scope="module")
def case() -> Case:
    return case_of(build_analysis(700))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "true"),
        ("errors>0", "tree IN (SELECT tree FROM calls WHERE outcome <> 'ok')"),
        ("outcome:ok", "outcome = 'ok'"),
        ("status!=200", "tree IN (SELECT tree FROM calls WHERE parent IS NULL AND status <> '200')"),
        ("status>=500", "tree IN (SELECT tree FROM calls WHERE parent IS NULL AND status >= '500')"),
        ("duration>50ms", "duration_ns > 50000000"),
        ("any.duration>1s", "tree IN (SELECT tree FROM calls WHERE end_ns - start_ns > 1000000000)"),
        ("path~/orders/4", "tree IN (SELECT tree FROM calls WHERE parent IS NULL AND summary LIKE '%/orders/4%')"),
        ("any.status:40P01", "tree IN (SELECT tree FROM calls WHERE status = '40P01')"),
        ("-any.status:40P01", "tree NOT IN (SELECT tree FROM calls WHERE status = '40P01')"),
        ("stock service:web", "tree IN (SELECT tree FROM calls WHERE summary LIKE '%stock%')"),
        ("service:redis", "tree IN (SELECT tree FROM calls WHERE server_service = 'redis')"),
        ("service!=redis", "tree NOT IN (SELECT tree FROM calls WHERE server_service = 'redis')"),
        ("root.service:redis", "service = 'redis'"),
        ("host:app2", "tree IN (SELECT tree FROM calls WHERE server_host = 'app2')"),
        ("host:10.0.0.30", "true"),
        ("questions>0", "tree IN (SELECT tree FROM calls WHERE question)"),
        ("calls:3", "calls = 3"),
        ("start<2026-11-20T21:46:45Z", "start_ns < 1795211205000000000"),
    ],
)
def test_a_filter_finds_what_sql_finds(case: Case, text: str, where: str) -> None:
    result = case.query(f"SELECT tree FROM trees WHERE {where}")
    assert result is not None
    expected = {row[0] for row in result.fetchall()}
    found = find_trees(case, parse_filter(text))
    assert {
        tree for tree, is_found in zip(case.table("trees")["tree"].to_pylist(), found, strict=True) if is_found
    } == expected


def test_a_written_case_is_searched_as_one_in_memory(case: Case, tmp_path: Path) -> None:
    written = build_case(tmp_path / "a.case", 700)
    wanted = parse_filter("service:redis errors>0 any.operation~select")
    assert (find_trees(written, wanted) == find_trees(case, wanted)).all()


def test_a_case_without_calls_has_no_trees_to_find(case: Case) -> None:
    analysis = build_analysis(7)
    analysis.tables = {}
    assert len(find_trees(case_of(analysis), parse_filter("word service:a duration>1s"))) == 0
