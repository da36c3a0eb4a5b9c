"""Counts and quantiles of groups equal those counted by hand."""

from collections import defaultdict

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.cases import build_analysis, case_of

from wiretrace.model.outcome import Outcome
from wiretrace.report.grouping import call_figures, grouped

CALL = st.tuples(st.sampled_from("abc"), st.integers(0, 1000), st.sampled_from([str(kind) for kind in Outcome]))


def calls_table(rows: list[tuple[str, int, str]]) -> pa.Table:
    table = case_of(build_analysis(7)).table("calls").slice(0, 1).to_pylist()[0]
    records = [
        table | {"server_service": service, "start_ns": 10, "end_ns": 10 + duration, "outcome": outcome}
        for service, duration, outcome in rows
    ]
    return pa.Table.from_pylist(records, case_of(build_analysis(7)).table("calls").schema)


@settings(max_examples=50, deadline=None)
@given(st.lists(CALL, max_size=60))
def test_groups_hold_what_a_plain_count_finds(rows: list[tuple[str, int, str]]) -> None:
    figures = call_figures(calls_table(rows))
    members: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for service, duration, outcome in rows:
        members[service].append((duration, outcome))
    found = {row["server"]: row for row in grouped({"server": figures.server}, figures)}
    assert found.keys() == members.keys()
    for service, calls in members.items():
        durations = sorted(duration for duration, _ in calls)
        unknown = sum(outcome in ("unfinished", "not_captured") for _, outcome in calls)
        assert found[service] == {
            "server": service,
            "calls": len(calls),
            "errors": sum(outcome != "ok" for _, outcome in calls) - unknown,
            "unknown": unknown,
            "p50": durations[-(-len(calls) * 50 // 100) - 1],
            "p95": durations[-(-len(calls) * 95 // 100) - 1],
            "max": durations[-1],
        }


def test_the_group_with_the_most_errors_comes_first_then_the_slowest() -> None:
    figures = call_figures(calls_table([("a", 5, "ok"), ("b", 9, "ok"), ("c", 1, "error")]))
    assert [row["server"] for row in grouped({"server": figures.server}, figures)] == ["c", "b", "a"]


def test_a_party_is_named_by_service_else_host_else_address() -> None:
    table = calls_table([("", 1, "ok")])
    row = table.to_pylist()[0]
    for service, host, expected in (("api", "h", "api"), ("", "h", "h"), (None, None, row["server_address"])):
        one = pa.Table.from_pylist([row | {"server_service": service, "server_host": host}], table.schema)
        assert call_figures(one).server.to_pylist() == [expected]
