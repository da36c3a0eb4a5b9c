"""Real servers and what their clients wrote down: all of it is found. `make accuracy` asks all servers, and more."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.lab.speakers import http, redis
from tests.lab.speakers.comparison import compare, measure
from tests.lab.speakers.diary import Diary, Scenario

CALLS = 50
QUICK = (redis.SCENARIOS[-1], http.SCENARIOS[-1])
"""Servers that start at once: pipelines and pushes; streams at once, under TLS with a key log."""


@pytest.mark.lab
@pytest.mark.parametrize("scenario", QUICK, ids=lambda each: each.name)
def test_every_call_that_a_real_server_answered_is_found(scenario: Scenario) -> None:
    """Found with the right status and outcome, and nothing that nobody asked for."""
    score = measure(scenario, CALLS)
    assert score.made >= CALLS
    assert score.differences == []
    assert score.perfect


def row(operation: str, summary: str, status: str, outcome: str = "ok") -> dict[str, object]:
    """A line of the analysis."""
    ends = {"client": {"port": 40_000}, "server": {"port": 5_000}}
    return {"operation": operation, "summary": summary, "status": status, "outcome": outcome, "attributes": {}} | ends


def test_what_is_missing_wrong_or_invented_is_counted() -> None:
    """A call is known by its operation, nonce and connection; what the protocol asks on its own account is no invention."""
    diary = Diary(Path())
    for nonce, status in ((10_001, "OK"), (10_002, "OK"), (10_003, "OK")):
        diary.note("SET", status, nonce=nonce, connection=40_000)
    diary.note("PING", "PONG", connection=40_000)
    diary.note("PING", "PONG", connection=40_001)
    rows = [
        row("SET", "SET nonce10001 ?", "OK"),
        row("SET", "SET nonce10002 ?", "WRONGTYPE", "error"),
        row("SET", "SET nonce10004 ?", "OK"),
        row("PING", "PING", "PONG"),
        row("HELLO", "HELLO ?", "map"),
    ]
    scenario = Scenario("Redis", lambda _: pytest.fail("no server"), lambda *_: None, ("HELLO",))  # type: ignore[arg-type]
    score = compare(scenario, diary.calls, rows, 5_000)
    assert (score.made, score.found, score.right, score.invented, score.own) == (5, 3, 2, 1, 1)
    assert [each.partition(":")[0] for each in score.differences] == ["invented", "not found", "not found", "not right"]
    assert not score.perfect


def test_an_ending_that_a_client_can_not_tell_may_be_either() -> None:
    """A deadline that is over for both ends at once is right with either of two statuses."""
    diary = Diary(Path())
    for nonce in (10_001, 10_002):
        ending = ("", "client_timeout")
        diary.note("Get", "DEADLINE_EXCEEDED", "error", nonce=nonce, connection=40_000, otherwise=ending)
    rows = [
        row("Get", "Get nonce10001", "", "client_timeout"),
        row("Get", "Get nonce10002", "DEADLINE_EXCEEDED", "error"),
    ]
    assert compare(Scenario("gRPC", None, None), diary.calls, rows, 5_000).perfect  # type: ignore[arg-type]
