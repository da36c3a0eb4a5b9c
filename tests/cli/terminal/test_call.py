"""A call is told with everything that was seen of it, and what was not."""

import io

from tests.support.cases import build_analysis, case_of

from wiretrace.case.calls import Part, call_records
from wiretrace.cli.terminal.call import tell_call
from wiretrace.cli.terminal.console import output
from wiretrace.model.settings import Settings


def told(change: dict[str, object], keep_values: bool = False) -> str:
    case = case_of(build_analysis(7), Settings(keep_values=keep_values))
    record = next(iter(call_records(case)))
    for name, value in change.items():
        setattr(record, name, value)
    stream = io.StringIO()
    tell_call(output(stream), record, case, with_reasons=True)
    return " ".join(stream.getvalue().split())


def test_what_one_side_lacks_is_not_captured() -> None:
    case = case_of(build_analysis(7))
    (view, *_) = next(iter(call_records(case))).views
    view.response = None
    view.request = Part(list(range(1, 40)), 5000)
    assert "request 5.00 kB in 39 frames 1 to 39, response not captured" in told({"views": [view]})


def test_possible_outcomes_are_told() -> None:
    text = told({"outcome": "server_silent", "status": "", "possible": ["server_silent", "response_lost"]})
    assert "http, server silent (possible: server silent, response lost)" in text


def test_a_root_says_that_nothing_captured_caused_it() -> None:
    assert "nothing captured caused it" in told({})


def test_an_ipv6_address_stands_in_brackets() -> None:
    case = case_of(build_analysis(7))
    party = next(iter(call_records(case))).client
    party.address, party.port, party.service, party.host = "2001:db8::1", 443, None, None
    assert "[2001:db8::1]:443 asks web on web1 (10.0.0.2:80)" in told({"client": party})


def test_kept_values_are_marked() -> None:
    assert "--keep-values" in told({}, keep_values=True)
    assert "--keep-values" not in told({})
