"""The outcome of a call from both ends' views."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hosts.synthetic import EXCHANGE_DEFAULTS, table

from wiretrace.hosts.outcome import OUTCOMES, Verdicts, judge, read_verdicts
from wiretrace.model.outcome import Outcome

View = tuple[str, ...]
"""What a view says, first the outcome, then what else is possible; empty for an end that was not captured."""
SAYS = st.tuples(st.sampled_from(OUTCOMES), st.sets(st.sampled_from(OUTCOMES))).map(
    lambda said: (said[0], *sorted(said[1] - {said[0]}))
)


def verdicts(view: View) -> Verdicts:
    outcome = OUTCOMES.index(view[0]) if view else -1
    return Verdicts(
        np.array([outcome], np.int32), np.array([sum(1 << OUTCOMES.index(each) for each in view)], np.int32)
    )


def judged(caller: View, callee: View, watching: bool = False, missed: bool = False) -> View:
    """The outcome and what else is possible, in the order of the outcomes."""
    found = judge(verdicts(caller), verdicts(callee), np.array([watching]), np.array([missed]))
    outcome = OUTCOMES[found.outcome[0]]
    return (outcome, *(each for each in found.possible_column()[0].as_py() if each != outcome))


@given(st.sampled_from(["ok", "error"]), st.one_of(st.just(()), SAYS), st.booleans(), st.booleans())
def test_what_the_caller_got_it_got(caller: str, callee: View, watching: bool, missed: bool) -> None:
    """No other view and no doubt takes an answer away from the caller that has it."""
    assert judged((caller,), callee, watching, missed) == (caller,)


@given(SAYS)
def test_one_view_alone_is_believed(view: View) -> None:
    assert set(judged((), view)) == set(view)
    if view[0] not in ("ok", "error"):
        assert set(judged(view, ())) == set(view)


@given(SAYS, SAYS, st.booleans(), st.booleans())
def test_what_is_said_is_possible(caller: View, callee: View, watching: bool, missed: bool) -> None:
    """Whatever two views say, the outcome is among what is possible, and nothing is that neither leaves open."""
    found = judge(verdicts(caller), verdicts(callee), np.array([watching]), np.array([missed]))
    assert found.possible[0] >> found.outcome[0] & 1
    open_somewhere = verdicts(caller).possible | verdicts(callee).possible
    made_up = (Outcome.RESPONSE_LOST, Outcome.SERVER_SILENT, Outcome.REQUEST_LOST)
    for each in made_up:
        open_somewhere |= 1 << OUTCOMES.index(each)
    assert found.possible[0] & ~open_somewhere[0] == 0


@given(st.sampled_from(["not_captured", "unfinished"]), SAYS)
def test_a_view_without_an_end_yields_to_one_that_has_it(caller: str, callee: View) -> None:
    assert judged((caller,), callee)[0] == callee[0]


@given(st.sampled_from(["client_timeout", "client_aborted", "request_lost", "response_lost"]))
def test_a_request_is_lost_only_where_the_callees_host_was_watching(caller: str) -> None:
    view = (caller, *sorted({"request_lost"} - {caller}))
    assert judged(view, (), watching=True) == ("request_lost",)
    assert set(judged(view, (), watching=False)) == set(view)
    if caller != "request_lost":
        assert judged((caller,), (), watching=True) == (caller,)


def test_a_host_that_dropped_packets_may_have_missed_the_request() -> None:
    """Unless the caller's own packets prove that nobody got it."""
    aborted = ("client_aborted", "request_lost")
    assert judged(aborted, (), watching=True, missed=True) == ("request_lost", "not_captured")
    assert judged(("request_lost", "response_lost"), (), watching=True, missed=True) == ("request_lost",)


def test_a_request_that_arrived_was_not_lost() -> None:
    assert judged(("request_lost",), ("not_captured",)) == ("server_silent",)
    assert judged(("request_lost",), ("server_reset",)) == ("server_reset",)


@pytest.mark.parametrize(
    ("caller", "callee", "expected"),
    [
        (("server_silent", "response_lost"), ("ok",), ("response_lost",)),
        (("request_lost", "response_lost"), ("response_lost", "ok"), ("response_lost",)),
        (
            ("server_silent", "client_aborted", "client_timeout", "response_lost"),
            ("server_silent", "client_aborted", "client_timeout"),
            ("server_silent", "client_aborted", "client_timeout"),
        ),
        (("client_aborted", "client_timeout", "server_silent"), ("client_aborted", "client_timeout"),
         ("client_aborted", "client_timeout")),
        (("client_aborted", "client_timeout", "server_silent"), ("ok",), ("client_aborted", "client_timeout")),
    ],
)  # fmt: skip
def test_what_one_view_leaves_open_the_other_closes(caller: View, callee: View, expected: View) -> None:
    assert judged(caller, callee) == expected


def test_verdicts_are_read_from_the_views_and_written_as_lists() -> None:
    rows = [
        {"outcome": "ok", "possible": []},
        {"outcome": "unfinished", "possible": ["unfinished", "server_silent"]},
        {"outcome": "server_silent", "possible": ["server_silent"]},
    ]
    read = read_verdicts(table("exchanges", rows, {**EXCHANGE_DEFAULTS, "capture": "a"}))
    assert [OUTCOMES[code] for code in read.outcome] == ["ok", "unfinished", "server_silent"]
    assert read.possible_column().to_pylist() == [[], ["server_silent", "unfinished"], []]


def test_ruling_out_leaves_something() -> None:
    """What was said yields to what is left; the last possibility is never taken away."""
    found = verdicts(("client_aborted", "client_timeout"))
    found.rule_out(np.array([True]), Outcome.CLIENT_ABORTED)
    assert (OUTCOMES[found.outcome[0]], found.possible_column().to_pylist()) == ("client_timeout", [[]])
    found.rule_out(np.array([True]), Outcome.CLIENT_TIMEOUT)
    assert OUTCOMES[found.outcome[0]] == "client_timeout"
