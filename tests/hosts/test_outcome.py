"""The outcome of a call from both ends' views."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wiretrace.hosts.outcome import OUTCOMES, judge

NONE = -1


def judged(caller: str, callee: str, open_lost: bool = False, watching: bool = False) -> str:
    """One outcome; an empty text for an end that was not captured."""
    found = judge(
        np.array([OUTCOMES.index(caller) if caller else NONE], dtype=np.int32),
        np.array([OUTCOMES.index(callee) if callee else NONE], dtype=np.int32),
        np.array([open_lost]),
        np.array([watching]),
    )
    return OUTCOMES[found[0]]


@given(st.sampled_from(["ok", "error"]), st.sampled_from(["", *OUTCOMES]), st.booleans(), st.booleans())
def test_what_the_caller_got_it_got(caller: str, callee: str, open_lost: bool, watching: bool) -> None:
    """No other view and no doubt takes an answer away from the caller that has it."""
    assert judged(caller, callee, open_lost, watching) == caller


@given(st.sampled_from(OUTCOMES))
def test_one_view_alone_is_believed(outcome: str) -> None:
    assert judged(outcome, "") == outcome
    assert judged("", outcome) == outcome


@given(st.sampled_from(["not_captured", "unfinished"]), st.sampled_from(OUTCOMES))
def test_a_view_without_an_end_yields_to_one_that_has_it(caller: str, callee: str) -> None:
    assert judged(caller, callee) == callee


@given(st.sampled_from(["client_timeout", "client_aborted", "request_lost", "response_lost"]))
def test_a_request_is_lost_only_where_the_callees_host_was_watching(caller: str) -> None:
    assert judged(caller, "", open_lost=True, watching=True) == "request_lost"
    assert judged(caller, "", open_lost=True, watching=False) == caller
    assert judged(caller, "", open_lost=False, watching=True) == caller


def test_a_request_that_arrived_was_not_lost() -> None:
    assert judged("request_lost", "not_captured") == "server_silent"
    assert judged("request_lost", "server_reset") == "server_reset"
