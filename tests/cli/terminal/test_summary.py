"""The words of the summary cover everything that the model can say."""

import io

import pytest
from tests.support.cases import CaseBuilder, build_analysis, case_of

from wiretrace.case.reader import Case
from wiretrace.cli.terminal.console import output
from wiretrace.cli.terminal.summary import FATES, print_summary
from wiretrace.model.analysis import Payload


def printed(case: Case, *, kept: bool = True) -> str:
    stream = io.StringIO()
    print_summary(output(stream), case, kept=kept)
    return stream.getvalue()


def test_every_fate_of_a_byte_has_its_words() -> None:
    assert set(FATES) == set(Payload) - {Payload.CAPTURED}


@pytest.mark.parametrize(
    ("bytes_more", "words"), [(17, "17 bytes of it are unexplained"), (-17, "17 bytes of it are counted twice")]
)
def test_bytes_that_do_not_add_up_are_never_hidden(bytes_more: int, words: str) -> None:
    analysis = build_analysis(7)
    analysis.accounting[Payload.CAPTURED] += bytes_more
    text = " ".join(printed(case_of(analysis)).split())
    assert f"{words}: a defect of wiretrace" in text


def test_a_case_without_calls_says_what_it_has() -> None:
    text = printed(case_of(build_analysis(0)))
    assert text.startswith("0 requests: 0 calls, from 4 captures of 5 hosts.")
    assert "There are no calls." in text
    assert "For example" not in text


def test_calls_outside_any_request_are_told_in_one_sentence() -> None:
    """A failing probe of a library is told after the requests, and is no request."""
    builder = CaseBuilder()
    shop, redis = ("10.0.0.1", 1, None, "shop"), ("10.0.0.2", 2, None, "redis")
    root = builder.call(None, "http", "GET /", "", ("192.0.2.1", 1, None, None), shop, 0, 9)
    builder.call(root, "redis", "GET", "", shop, redis, 1, 1)
    for number in range(3):
        builder.call(None, "redis", "SETINFO", "", shop, redis, number, 1, status="ERR", outcome="error")
    builder.finish()
    text = " ".join(printed(case_of(builder.analysis())).split())
    assert text.startswith("1 request, none failed: 5 calls")
    assert "What failed No request failed. Failed outside any request: 3 of 3 (100%) SETINFO (redis): ERR" in text
    assert "3 calls outside any request (set-up, probes, background, or cause not found): SETINFO (redis) × 3." in text


def test_the_differences_of_the_clocks_are_told() -> None:
    text = " ".join(printed(case_of(build_analysis(70))).split())
    assert "The hosts' clocks differ by up to 1.76 s, known to within 120 µs; times are corrected." in text


def test_long_lists_are_cut_and_counted() -> None:
    analysis = build_analysis(140)
    rows = analysis.tables["calls"].to_pylist()
    for number, row in enumerate(rows):
        if row["parent"] is None:
            row["operation"] = f"GET /{number}"
    analysis.tables["calls"] = analysis.tables["calls"].from_pylist(rows, analysis.tables["calls"].schema)
    assert "… 12 more kinds of request in the table trees" in printed(case_of(analysis))
