"""The figures of the summary are those of the tables, and the first cause is found."""

from collections import Counter

import numpy as np
import pytest
from tests.support.cases import CaseBuilder, build_analysis, case_of

from wiretrace.case.reader import Case
from wiretrace.diagnosis.columns import party_names
from wiretrace.diagnosis.failures import Failure, Harm
from wiretrace.diagnosis.summary import Repeated, summarize
from wiretrace.model.analysis import Payload

OUTSIDE = ("192.0.2.1", 50000, None, None)


def service(name: str) -> tuple[str, int, str | None, str | None]:
    return ("10.0.0.1", 80, None, name)


def built(builder: CaseBuilder) -> Case:
    builder.finish()
    return case_of(builder.analysis())


@pytest.fixture(scope="module")
def shop() -> Case:
    return case_of(build_analysis(2800))


def test_the_counts_are_those_of_the_tables(shop: Case) -> None:
    summary = summarize(shop)
    calls = shop.table("calls").to_pylist()
    assert (summary.calls, summary.requests, summary.captures, summary.hosts) == (2800, 400, 4, 5)
    assert summary.first_ns == min(call["start_ns"] for call in calls)
    assert summary.last_ns == max(call["end_ns"] for call in calls)
    linked = [call for call in calls if call["parent"] and not call["question"]]
    assert summary.links_by_basis == Counter(call["basis"] for call in linked)
    assert summary.questions == sum(call["question"] for call in calls) > 0
    inferred = [call["confidence"] for call in linked if call["basis"] == "inferred"]
    assert summary.mean_confidence == pytest.approx(sum(inferred) / len(inferred))
    asked = Counter(call["server_service"] for call in calls)
    assert {figures.name: figures.calls_in for figures in summary.services} == asked
    assert sum(figures.calls_out for figures in summary.services) == sum(
        call["client_service"] in asked for call in calls
    )
    assert summary.unexplained == 0
    assert summary.dropped == 3


def test_times_are_those_of_root_calls(shop: Case) -> None:
    durations = [
        call["end_ns"] - call["start_ns"] for call in shop.table("calls").to_pylist() if call["parent"] is None
    ]
    (times,) = summarize(shop).times
    assert (times.service, times.operation, times.calls) == ("web", "GET /orders/{id}", 400)
    assert times.median_ns == np.percentile(durations, 50, method="inverted_cdf")
    assert times.p95_ns == np.percentile(durations, 95, method="inverted_cdf")
    assert times.longest_ns == max(durations)


def test_failures_are_told_once_with_their_first_cause(shop: Case) -> None:
    """The 500 of shop is a consequence, and no failure of its own; a silent price fails by itself."""
    calls = shop.table("calls").to_pylist()
    failures = {(failure.operation, failure.word): failure for failure in summarize(shop).failures}
    whole = failures["GET /orders/{id}", "500"]
    assert (whole.cause, whole.harm) == ("SELECT orders (postgresql): 40P01", Harm.BROKE_REQUEST)
    assert whole.failed == sum(call["status"] == "40P01" for call in calls)
    assert whole.calls == 400
    silent = failures["POST /quote", "server silent"]
    assert (silent.cause, silent.harm) == ("", Harm.ABSORBED)


def test_broken_requests_come_before_errors_that_broke_none() -> None:
    """A library's probe that fails at every start never stands before a request that failed once."""
    builder = CaseBuilder()
    shop, redis = service("shop"), service("redis")
    for number in range(9):
        builder.call(None, "redis", "SETINFO", "", shop, redis, number, 1, status="ERR", outcome="error")
    for number in range(3):
        missing = builder.call(None, "http", "GET /no", "", OUTSIDE, shop, number, 50, status="404", outcome="error")
        builder.call(missing, "redis", "GET", "", shop, redis, number, 1)
    fine = builder.call(None, "http", "GET /", "", OUTSIDE, shop, 0, 50)
    builder.call(fine, "redis", "LPUSH", "", shop, redis, 1, 5, status="OOM", outcome="error")
    broken = builder.call(None, "http", "GET /", "", OUTSIDE, shop, 60, 50, status="500", outcome="error")
    builder.call(broken, "redis", "GET", "", shop, redis, 61, 5, status="LOADING", outcome="error")
    summary = summarize(built(builder))
    assert [(failure.harm, failure.operation, failure.failed) for failure in summary.failures] == [
        (Harm.BROKE_REQUEST, "GET /", 1),
        (Harm.BROKE_REQUEST, "GET /no", 3),
        (Harm.ABSORBED, "LPUSH", 1),
        (Harm.OUTSIDE, "SETINFO", 9),
    ]
    assert (summary.requests, summary.failed_requests, summary.outside) == (5, 4, 9)
    assert summary.outside_kinds == [Repeated("redis", "SETINFO", 9)]
    assert summary.example == broken["id"]
    assert [times.operation for times in summary.times] == ["GET /", "GET /no"]


def test_a_failure_behind_a_question_is_no_cause() -> None:
    """A parent that is unlikely takes no blame, and makes nothing part of a request."""
    builder = CaseBuilder()
    root = builder.call(None, "http", "GET /", "", OUTSIDE, service("web"), 0, 100, status="500", outcome="error")
    builder.call(root, "redis", "GET", "", service("web"), service("redis"), 1, 1)
    doubtful = {"status": "ERR", "outcome": "error", "confidence": 0.2}
    builder.call(root, "redis", "SETINFO", "", service("web"), service("redis"), 2, 1, **doubtful)
    first, second = summarize(built(builder)).failures
    assert (first.operation, first.cause) == ("GET /", "")
    assert (second.operation, second.harm) == ("SETINFO", Harm.OUTSIDE)


def test_where_everything_runs_in_one_place_every_root_is_a_request() -> None:
    builder = CaseBuilder()
    root = builder.call(None, "http", "GET /", "", service("all"), service("all"), 0, 100)
    builder.call(root, "redis", "GET", "", service("all"), service("all"), 1, 1)
    assert summarize(built(builder)).requests == 1


def test_a_client_that_also_answers_is_a_client() -> None:
    """It serves calls, and none of them causes those that it makes: its requests enter the system."""
    builder = CaseBuilder()
    root = builder.call(None, "http", "GET /", "", service("load"), service("web"), 0, 100)
    builder.call(root, "redis", "GET", "", service("web"), service("redis"), 1, 1)
    builder.call(None, "http", "GET /metrics", "", OUTSIDE, service("load"), 5, 1)
    assert summarize(built(builder)).requests == 2


def test_what_sets_up_a_connection_is_no_request() -> None:
    """Not even where the host of a database alone was captured, and every call there is somebody's first."""
    builder = CaseBuilder()
    for number, operation in enumerate(("HELLO", "CLIENT SETINFO", "GET")):
        builder.call(None, "redis", operation, "", OUTSIDE, service("redis"), number, 1)
    summary = summarize(built(builder))
    assert (summary.requests, summary.outside) == (1, 2)


def test_services_are_told_from_the_outside_in() -> None:
    builder = CaseBuilder()
    root = builder.call(None, "http", "GET /", "", OUTSIDE, service("web"), 0, 100)
    inner = builder.call(root, "http", "GET /", "", service("web"), service("app"), 0, 90)
    for number in range(5):
        builder.call(inner, "redis", "GET", "", service("app"), service("redis"), number, 1)
    found = [(each.name, each.calls_in, each.calls_out) for each in summarize(built(builder)).services]
    assert found == [("web", 1, 1), ("app", 1, 5), ("redis", 5, 0)]


def test_of_two_failing_calls_the_earlier_is_the_cause() -> None:
    """The later one may be its consequence."""
    builder = CaseBuilder()
    root = builder.call(None, "http", "GET /", "", OUTSIDE, service("web"), 0, 100, status="502", outcome="error")
    for name, start in (("late", 50), ("early", 10)):
        builder.call(
            root, "http", name, "", service("web"), service(name), start, 20, status="", outcome="server_silent"
        )
    (failure,) = summarize(built(builder)).failures
    assert failure == Failure(
        Harm.BROKE_REQUEST, "web", "GET /", 1, 1, "502", "early (early): server silent", False, root["id"], 3
    )


def test_what_the_capture_lacks_is_no_failure() -> None:
    builder = CaseBuilder()
    builder.call(None, "http", "GET /", "", OUTSIDE, service("web"), 0, 100, status="", outcome="not_captured")
    builder.call(None, "http", "GET /", "", OUTSIDE, service("web"), 9, 100, status="", outcome="unfinished")
    summary = summarize(built(builder))
    assert summary.failures == []
    assert summary.unknown_outcomes == 2


def test_the_example_is_a_failing_request_if_there_is_one(shop: Case) -> None:
    summary = summarize(shop)
    failing = {call["tree"] for call in shop.table("calls").to_pylist() if call["status"] == "40P01"}
    assert summary.example in failing


def test_without_a_failure_the_example_is_a_typical_tree_of_several_calls() -> None:
    builder = CaseBuilder()
    trees = []
    for number in range(20):
        root = builder.call(None, "http", "GET /", "", OUTSIDE, service("web"), number * 1000, 100 + number)
        trees.append(root["id"])
        if number < 19:
            builder.call(root, "redis", "GET", "", service("web"), service("redis"), number * 1000 + 1, 5)
    assert summarize(built(builder)).example == trees[9]


def test_a_failure_of_one_call_alone_is_no_example_where_a_tree_shows_more() -> None:
    builder = CaseBuilder()
    failing = builder.call(None, "redis", "SETINFO", "", OUTSIDE, service("redis"), 0, 5, status="ERR", outcome="error")
    assert summarize(built(builder)).example == failing["id"]
    root = builder.call(None, "http", "GET /", "", OUTSIDE, service("web"), 0, 50)
    builder.call(root, "redis", "GET", "", service("web"), service("redis"), 1, 5)
    for name in ("trees", "captures", "hosts", "connections"):
        builder.rows[name].clear()
    assert summarize(built(builder)).example == root["id"]


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
    assert summarize(built(builder)).example == roots[1]["id"]


def test_a_case_without_calls_has_a_summary() -> None:
    summary = summarize(case_of(build_analysis(0)))
    assert (summary.calls, summary.failures, summary.times, summary.example) == (0, [], [], "")
    assert summary.notes[0][2] == 1448


def test_bytes_that_are_nowhere_are_told() -> None:
    analysis = build_analysis(7)
    analysis.accounting[Payload.CAPTURED] += 17
    assert summarize(case_of(analysis)).unexplained == 17


def test_a_party_without_a_service_is_called_by_its_host_or_address() -> None:
    builder = CaseBuilder()
    for party in (("10.0.0.1", 1, "web1", "web"), ("10.0.0.1", 1, "web1", None), ("10.0.0.1", 1, None, "")):
        builder.call(None, "http", "GET /", "", party, service("x"), 0, 1)
    assert party_names(builder.analysis().tables["calls"], "client") == ["web", "web1", "10.0.0.1"]


def test_what_only_sets_up_a_connection_is_told_last_and_by_its_name() -> None:
    """A library's probe fails at every start: it stands behind a failure that happened once, in a request or not."""
    builder = CaseBuilder()
    shop, redis = service("shop"), service("redis")
    fine = builder.call(None, "http", "GET /", "", OUTSIDE, shop, 0, 50)
    builder.call(fine, "redis", "CLIENT SETINFO", "", shop, redis, 1, 1, status="ERR", outcome="error")
    for number in range(9):
        builder.call(None, "redis", "CLIENT SETINFO", "", shop, redis, number, 1, status="ERR", outcome="error")
    builder.call(None, "redis", "LPUSH", "", shop, redis, 1, 5, status="OOM", outcome="error")
    assert [(failure.harm, failure.failed) for failure in summarize(built(builder)).failures] == [
        (Harm.OUTSIDE, 1),
        (Harm.SET_UP, 10),
    ]
