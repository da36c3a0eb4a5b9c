"""The headline names a grave finding, else the gravest failure, else slow requests; and says that all is well over none."""

from __future__ import annotations

from tests.diagnosis.rules.scenarios import broken_by_database, steady

from wiretrace.diagnosis.failures import Failure, Harm
from wiretrace.diagnosis.headline import WELL, failures_of, headline


def failure(harm: Harm, word: str = "500", *, client_error: bool = False) -> Failure:
    return Failure(harm, "shop", "GET /a", 3, 9, word, "", client_error, "", 1)


def test_what_is_graver_comes_first() -> None:
    grave, info = {"severity": "warning", "title": "Broken."}, {"severity": "info", "title": "So it is."}
    assert headline([grave], [failure(Harm.ABSORBED)], 9, 2) == "Broken."
    assert (
        headline([info], [failure(Harm.ABSORBED)], 9, 2)
        == "No request failed, but 3 of 9 calls GET /a (shop) did: 500."
    )
    assert headline([info], [], 9, 2) == "No request failed; 2 of 9 were slow against their own usual."
    assert (headline([info], [], 9, 0), headline([], [], 0, 0)) == (WELL, "")


def test_a_request_that_failed_is_not_said_to_have_survived() -> None:
    assert headline([], [failure(Harm.BROKE_REQUEST)], 9, 0) == "3 of 9 calls GET /a (shop) failed: 500."


def test_what_the_server_says_of_the_request_is_no_headline() -> None:
    refused, set_up = failure(Harm.ABSORBED, "404", client_error=True), failure(Harm.SET_UP, "NXDOMAIN")
    assert headline([], [refused, set_up], 9, 0) == WELL


def test_failures_are_those_of_the_case() -> None:
    assert failures_of(steady().case()) == []
    worst = failures_of(broken_by_database().case())[0]
    assert (worst.harm, worst.failed, worst.cause) == (Harm.BROKE_REQUEST, 8, "SELECT orders (pg): 57014")
