"""The figures of the first screen are those of the tables."""

from typing import Any

import pyarrow as pa
from tests.support.cases import build_analysis, case_of

from wiretrace.case.reader import Case
from wiretrace.diagnosis.answer import answer_of
from wiretrace.report.grouping import call_figures
from wiretrace.report.overview import FINDING_CALLS, origin_ns, overview


def figures_of(case: Case) -> dict[str, Any]:
    return overview(case, call_figures(case), origin_ns(case), answer_of(case))


def test_links_are_counted_by_what_they_rest_on(small_case: Case) -> None:
    found = figures_of(small_case)["links"]
    calls = [row for row in small_case.table("calls").to_pylist() if row["parent"]]
    for basis in ("stated", "measured", "inferred"):
        sure = [row["confidence"] for row in calls if row["basis"] == basis and not row["question"]]
        assert found[basis]["count"] == len(sure)
        assert abs(found[basis]["confidence"] - sum(sure) / len(sure)) < 1e-9
    assert found["question"]["count"] == sum(row["question"] for row in calls)


def test_a_call_of_a_service_that_has_no_parent_is_outside_any_request() -> None:
    analysis = build_analysis(70)
    calls = analysis.tables["calls"]
    orphaned = [row | ({"parent": None} if row["operation"] == "GET" else {}) for row in calls.to_pylist()]
    analysis.tables["calls"] = pa.Table.from_pylist(orphaned, calls.schema)
    totals = figures_of(case_of(analysis))["totals"]
    questions = sum(row["question"] for row in orphaned)
    assert (totals["requests"], totals["outside"]) == (10, 10 + questions)


def test_totals_add_up(small_case: Case) -> None:
    found = figures_of(small_case)
    calls = small_case.table("calls").to_pylist()
    failed = [row for row in calls if row["outcome"] != "ok"]
    assert found["totals"]["calls"] == len(calls) == sum(found["totals"]["outcomes"].values())
    assert found["totals"]["errors"] == len(failed) == sum(row["errors"] for row in found["operations"])
    assert found["totals"]["failedTrees"] == len({row["tree"] for row in failed})
    assert sum(row["calls"] for row in found["edges"]) == len(calls)
    assert found["totals"]["requests"] == len(small_case.table("trees"))
    assert found["totals"]["failedRequests"] == sum(row["outcome"] != "ok" for row in calls if row["parent"] is None)
    slowest = max(small_case.table("trees").to_pylist(), key=lambda row: row["duration_ns"])
    assert (found["totals"]["slowest"], found["totals"]["max"]) == (slowest["tree"], slowest["duration_ns"])


def test_a_finding_with_many_calls_links_some_and_counts_all() -> None:
    analysis = build_analysis(7)
    row = analysis.tables["findings"].to_pylist()[0] | {
        "calls": [f"{number:016x}" for number in range(FINDING_CALLS + 5)],
        "occurrences": 1000,
    }
    analysis.tables["findings"] = pa.Table.from_pylist([row], analysis.tables["findings"].schema)
    finding = figures_of(case_of(analysis))["findings"][0]
    assert (len(finding["calls"]), finding["callCount"]) == (FINDING_CALLS, 1000)
