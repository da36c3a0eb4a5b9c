"""What is said of a failed call names its cause, the packets that prove it, and what they leave open."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.support.cases import CaseBuilder, case_of

from wiretrace.diagnosis.proof import Words, explain
from wiretrace.model.outcome import Outcome

CALLER, CALLEE = ("10.0.0.2", 40_000, "web1", "web"), ("10.0.0.11", 8080, "app1", "shop")
SECOND = 1_000_000_000


def told(outcome: str, view: dict[str, Any], possible: tuple[str, ...] = (), callee: tuple = CALLEE) -> Words:
    """The words for a call with this outcome, whose views are changed."""
    builder = CaseBuilder()
    builder.call(None, "http", "GET", "GET /", CALLER, callee, 0, SECOND, status="", outcome=outcome, possible=possible)
    for row in builder.rows["exchanges"]:
        row.update(view)
    return explain(case_of(builder.analysis()), np.array([0]))


def test_a_lost_request_is_told_with_the_packets_that_sent_it_again() -> None:
    view = {"request_retransmitted": 2, "request_stalled_ns": 6 * SECOND, "outcome_frames": [7, 9]}
    words = told("request_lost", view)
    assert words.sentences[0].startswith("The request was sent again twice within 6 s (frames 7, 9 of web1)")
    assert words.open == ""


def test_what_one_side_leaves_open_is_told_with_what_would_tell() -> None:
    elsewhere = ("10.0.0.30", 7000, None, "price")
    words = told("request_lost", {}, ("request_lost", "response_lost"), elsewhere)
    assert words.open == (
        "From this side it may also be that the answer was lost on the way back: a capture at the other end would tell."
    )


def test_a_wait_that_was_given_up_is_told_with_its_length() -> None:
    words = told("client_timeout", {"request_start_ns": 0, "given_up_ns": SECOND // 2, "outcome_frames": [3]})
    assert words.sentences == [
        "The caller gave up after 500 ms (frame 3 of web1). It shows this wait again and again: a timeout."
    ]


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_words_of_its_own(outcome: Outcome) -> None:
    """What succeeded and what the server itself calls an error needs none."""
    words = told(str(outcome), {"given_up_ns": SECOND}, ("ok", *([] if outcome == Outcome.OK else [str(outcome)])))
    says_itself = outcome in (Outcome.OK, Outcome.ERROR, Outcome.MALFORMED)
    assert bool(words.sentences) is not says_itself
    assert all(sentence.endswith(".") for sentence in words.sentences)


def test_an_outcome_that_nobody_knows_is_no_crash() -> None:
    """A case may come from anywhere."""
    assert told("made_up", {}, ("made_up", "stranger_still")).open == "It may also be that stranger still."
