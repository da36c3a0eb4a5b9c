"""Counts and quantiles of groups equal those counted by hand."""

from collections import defaultdict
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.cases import build_analysis, case_of

from wiretrace.case.reader import Case
from wiretrace.model.outcome import Outcome
from wiretrace.model.schema import table_schema
from wiretrace.report.grouping import CallFigures, call_figures, grouped, operation_rows

CALL = st.tuples(st.sampled_from("abc"), st.integers(0, 1000), st.sampled_from([str(kind) for kind in Outcome]))


def case_with(rows: list[tuple[str, int, str]]) -> Case:
    table = case_of(build_analysis(7)).table("calls").slice(0, 1).to_pylist()[0]
    records = [
        table | {"server_service": service, "start_ns": 10, "end_ns": 10 + duration, "outcome": outcome}
        for service, duration, outcome in rows
    ]
    return case_of_calls(records)


def case_of_calls(records: list[dict[str, Any]]) -> Case:
    analysis = build_analysis(7)
    analysis.tables = {"calls": pa.Table.from_pylist(records, table_schema("calls"))}
    return case_of(analysis)


def figures_by_server(figures: CallFigures) -> dict[str, dict[str, int]]:
    server = figures.columns.callee_of_kind[figures.columns.kind]
    return {figures.columns.parties[server[row]]: numbers for row, numbers in grouped([server], figures)[1]}


@settings(max_examples=50, deadline=None)
@given(st.lists(CALL, max_size=60))
def test_groups_hold_what_a_plain_count_finds(rows: list[tuple[str, int, str]]) -> None:
    figures = call_figures(case_with(rows))
    members: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for service, duration, outcome in rows:
        members[service].append((duration, outcome))
    found = figures_by_server(figures)
    assert found.keys() == members.keys()
    for service, calls in members.items():
        durations = sorted(duration for duration, _ in calls)
        unknown = sum(outcome in ("unfinished", "not_captured") for _, outcome in calls)
        assert found[service] == {
            "calls": len(calls),
            "errors": sum(outcome != "ok" for _, outcome in calls) - unknown,
            "unknown": unknown,
            "total": sum(durations),
            **{f"p{percent}": durations[-(-len(calls) * percent // 100) - 1] for percent in (50, 95, 99)},
            "max": durations[-1],
        }


def test_the_group_with_the_most_errors_comes_first_then_the_slowest() -> None:
    figures = call_figures(case_with([("a", 5, "ok"), ("b", 9, "ok"), ("c", 1, "error")]))
    assert list(figures_by_server(figures)) == ["c", "b", "a"]


def test_a_party_is_named_by_service_else_host_else_address() -> None:
    row = case_of(build_analysis(7)).table("calls").slice(0, 1).to_pylist()[0]
    for service, host, expected in (("api", "h", "api"), ("", "h", "h"), (None, None, row["server_address"])):
        figures = call_figures(case_of_calls([row | {"server_service": service, "server_host": host}]))
        assert list(figures_by_server(figures)) == [expected]


def test_what_only_sets_up_a_connection_is_the_last_operation() -> None:
    """Also where it is all that failed."""
    row = case_of(build_analysis(7)).table("calls").slice(0, 1).to_pylist()[0]
    probe = row | {"id": "0" * 16, "operation": "CLIENT SETINFO", "outcome": "error"}
    rows = operation_rows(call_figures(case_of_calls([row, probe])))
    assert [(each["operation"], each["setUp"]) for each in rows] == [(row["operation"], 0), ("CLIENT SETINFO", 1)]
