"""The headline of the first screen: a finding, or else what failed or was slow all the same, and never that all is well."""

from typing import Any

from tests.support.cases import HOSTS, MILLISECOND, START_NS, Analysis, CaseBuilder, build_analysis, case_of

from wiretrace.diagnosis.answer import answer_of
from wiretrace.report.answer import headline

WEB, NAMES = (HOSTS["web1"][0], 80, "web1", "web"), (HOSTS["db1"][0], 53, "db1", "dns")
USER = ("198.51.100.7", 5000, None, None)


def said(analysis: Analysis) -> list[str]:
    case = case_of(analysis)
    return headline(answer_of(case))


def requests(builder: CaseBuilder, slow: int = 0) -> None:
    """Thirty requests, of which some are slow."""
    for number in range(30):
        length = (500 if number < slow else 10) * MILLISECOND
        builder.call(None, "http", "GET /a", "GET /a", USER, WEB, START_NS + number * 10**9, length)


def lookups(builder: CaseBuilder, outcome: str, **more: Any) -> None:
    """Twelve lookups that nobody made for a request."""
    for number in range(12):
        at = START_NS + number * 10**9
        client = (WEB[0], 40_000 + number, "web1", "web")
        builder.call(None, "dns", "A", "A shop.example", client, NAMES, at, MILLISECOND, outcome=outcome, **more)


def test_the_gravest_finding_is_the_headline() -> None:
    title, counts = said(build_analysis(700))
    assert title == "Requests to shop fail because postgresql reports deadlocks (40P01)."
    assert counts.startswith("Of 100 requests in ")
    assert counts.endswith("%).")
    assert ". " not in counts


def test_calls_that_fail_outside_any_request_are_told_where_no_rule_found_anything() -> None:
    builder = CaseBuilder()
    requests(builder)
    lookups(builder, "dns_failed", status="NXDOMAIN")
    builder.finish()
    title, _ = said(builder.analysis())
    assert title == "No request failed, but 12 of 12 calls A (dns) did: dns failed."


def test_slow_requests_are_told_where_nothing_failed() -> None:
    builder = CaseBuilder()
    requests(builder, slow=3)
    builder.finish()
    title, _ = said(builder.analysis())
    assert title == "No request failed; 3 of 30 were slow against their own usual."


def test_nothing_is_said_to_be_wrong_where_nothing_is() -> None:
    builder = CaseBuilder()
    requests(builder)
    builder.finish()
    assert said(builder.analysis())[0] == "Nothing is wrong that these captures show."


def test_the_terminal_says_the_same() -> None:
    """What `why` prints never says that nothing is wrong where the report says that something failed."""
    builder = CaseBuilder()
    requests(builder)
    lookups(builder, "dns_failed", status="NXDOMAIN")
    builder.finish()
    answer = answer_of(case_of(builder.analysis()))
    assert answer.headline in answer.answer
    assert "Nothing is wrong" not in answer.answer


def test_slow_requests_that_no_finding_explains_are_not_called_well() -> None:
    builder = CaseBuilder()
    requests(builder, slow=3)
    builder.finish()
    assert (
        "were slow against their own usual (10%). No finding tells why."
        in answer_of(case_of(builder.analysis())).answer
    )


def test_without_requests_and_failures_there_is_no_answer() -> None:
    assert said(Analysis({}, {})) == []
