"""The figures of the summary are those of the tables, and the first cause is found."""

from collections import Counter

import numpy as np
import pytest
from tests.support.cases import CaseBuilder, build_analysis

from wiretrace.case.reader import Case
from wiretrace.diagnosis.summary import Failure, party_names, summarize
from wiretrace.model.analysis import Payload
from wiretrace.model.settings import Settings

OUTSIDE = ("192.0.2.1", 50000, None, None)


def service(name: str) -> tuple[str, int, str | None, str | None]:
    return ("10.0.0.1", 80, None, name)


def case_of(builder: CaseBuilder) -> Case:
    builder.finish()
    return Case.of(builder.analysis(), Settings())


@pytest.fixture(scope="module")
def shop() -> Case:
    return Case.of(build_analysis(2800), Settings())


def test_the_counts_are_those_of_the_tables(shop: Case) -> None:
    summary = summarize(shop)
    calls = shop.table("calls").to_pylist()
    assert (summary.calls, summary.trees, summary.captures, summary.hosts) == (2800, 400, 4, 5)
    assert summary.first_ns == min(call["start_ns"] for call in calls)
    assert summary.last_ns == max(call["end_ns"] for call in calls)
    linked = [call for call in calls if call["parent"] and not call["question"]]
    assert summary.links_by_basis == Counter(call["basis"] for call in linked)
    assert summary.questions == sum(call["question"] for call in calls) > 0
    inferred = [call["confidence"] for call in linked if call["basis"] == "inferred"]
    assert summary.mean_confidence == pytest.approx(sum(inferred) / len(inferred))
    asked = Counter(call["server_service"] for call in calls)
    assert {figures.name: figures.asked for figures in summary.services} == asked
    assert sum(figures.asks for figures in summary.services) == sum(call["client_service"] in asked for call in calls)
    assert summary.unexplained == 0
    assert summary.dropped == 3


def test_times_are_those_of_root_calls(shop: Case) -> None:
    durations = [
        call["end_ns"] - call["start_ns"] for call in shop.table("calls").to_pylist() if call["parent"] is None
    ]
    (times,) = summarize(shop).times
    assert (times.service, times.operation, times.calls) == ("web", "GET /orders/{id}", 400)
    assert times.median_ns == np.percentile(durations, 50)
    assert times.p95_ns == np.percentile(durations, 95)
    assert times.longest_ns == max(durations)


def test_failures_are_told_once_with_their_first_cause(shop: Case) -> None:
    """The 500 of shop is a consequence, and no failure of its own; a silent price fails by itself."""
    calls = shop.table("calls").to_pylist()
    failures = {failure.operation: failure for failure in summarize(shop).failures}
    assert set(failures) == {"GET /orders/{id}", "POST /quote"}
    whole = failures["GET /orders/{id}"]
    assert (whole.word, whole.cause, whole.is_root) == ("500", "SELECT orders (postgresql): 40P01", True)
    assert whole.failed == sum(call["status"] == "40P01" for call in calls)
    assert whole.calls == 400
    silent = failures["POST /quote"]
    assert (silent.word, silent.cause, silent.is_root) == ("server silent", "", False)


def test_of_two_failing_calls_the_earlier_is_the_cause() -> None:
    """The later one may be its consequence."""
    builder = CaseBuilder()
    root = builder.call(None, "http", "GET /", "", OUTSIDE, service("web"), 0, 100, status="502", outcome="error")
    for name, start in (("late", 50), ("early", 10)):
        builder.call(
            root, "http", name, "", service("web"), service(name), start, 20, status="", outcome="server_silent"
        )
    (failure,) = summarize(case_of(builder)).failures
    assert failure == Failure("web", "GET /", 1, 1, "502", "early (early): server silent", root["id"], True)


def test_what_the_capture_lacks_is_no_failure() -> None:
    builder = CaseBuilder()
    builder.call(None, "http", "GET /", "", OUTSIDE, service("web"), 0, 100, status="", outcome="not_captured")
    builder.call(None, "http", "GET /", "", OUTSIDE, service("web"), 9, 100, status="", outcome="unfinished")
    summary = summarize(case_of(builder))
    assert summary.failures == []
    assert summary.unknown_outcomes == 2


def test_the_example_is_a_failing_request_if_there_is_one(shop: Case) -> None:
    summary = summarize(shop)
    failing = {call["tree"] for call in shop.table("calls").to_pylist() if call["status"] == "40P01"}
    assert summary.example in failing


def test_without_a_failure_the_example_is_a_slow_tree_of_several_calls() -> None:
    builder = CaseBuilder()
    trees = []
    for number in range(20):
        root = builder.call(None, "http", "GET /", "", OUTSIDE, service("web"), number * 1000, 100 + number)
        trees.append(root["id"])
        if number < 19:
            builder.call(root, "redis", "GET", "", service("web"), service("redis"), number * 1000 + 1, 5)
    assert summarize(case_of(builder)).example == trees[18]


def test_a_failure_of_one_call_alone_is_no_example_where_a_tree_shows_more() -> None:
    builder = CaseBuilder()
    failing = builder.call(None, "redis", "SETINFO", "", OUTSIDE, service("redis"), 0, 5, status="ERR", outcome="error")
    assert summarize(case_of(builder)).example == failing["id"]
    root = builder.call(None, "http", "GET /", "", OUTSIDE, service("web"), 0, 50)
    builder.call(root, "redis", "GET", "", service("web"), service("redis"), 1, 5)
    for name in ("trees", "captures", "hosts", "connections"):
        builder.rows[name].clear()
    assert summarize(case_of(builder)).example == root["id"]


def test_of_equal_failures_the_example_is_the_tree_that_shows_most() -> None:
    builder = CaseBuilder()
    roots = []
    for number, children in enumerate((1, 3, 2, 60)):
        root = builder.call(
            None, "http", "GET /", "", OUTSIDE, service("web"), number, 50, status="500", outcome="error"
        )
        roots.append(root)
        for child in range(children):
            builder.call(root, "redis", "GET", "", service("web"), service("redis"), number + child, 5)
    assert summarize(case_of(builder)).example == roots[1]["id"]


def test_a_case_without_calls_has_a_summary() -> None:
    summary = summarize(Case.of(build_analysis(0), Settings()))
    assert (summary.calls, summary.failures, summary.times, summary.example) == (0, [], [], "")
    assert summary.notes[0][2] == 1448


def test_bytes_that_are_nowhere_are_told() -> None:
    analysis = build_analysis(7)
    analysis.accounting[Payload.CAPTURED] += 17
    assert summarize(Case.of(analysis, Settings())).unexplained == 17


def test_a_party_without_a_service_is_called_by_its_host_or_address() -> None:
    builder = CaseBuilder()
    for party in (("10.0.0.1", 1, "web1", "web"), ("10.0.0.1", 1, "web1", None), ("10.0.0.1", 1, None, "")):
        builder.call(None, "http", "GET /", "", party, service("x"), 0, 1)
    assert party_names(builder.analysis().tables["calls"], "client") == ["web", "web1", "10.0.0.1"]
