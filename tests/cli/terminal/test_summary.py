"""The words of the summary cover everything that the model can say."""

import io

import pytest
from tests.support.cases import build_analysis

from wiretrace.case.reader import Case
from wiretrace.cli.terminal.console import output
from wiretrace.cli.terminal.summary import FATES, print_summary
from wiretrace.model.analysis import Payload
from wiretrace.model.settings import Settings


def printed(case: Case) -> str:
    stream = io.StringIO()
    print_summary(output(stream), case)
    return stream.getvalue()


def test_every_fate_of_a_byte_has_its_words() -> None:
    assert set(FATES) == set(Payload) - {Payload.CAPTURED}


@pytest.mark.parametrize(
    ("bytes_more", "words"), [(17, "17 bytes of it are unexplained"), (-17, "17 bytes of it are counted twice")]
)
def test_bytes_that_do_not_add_up_are_never_hidden(bytes_more: int, words: str) -> None:
    analysis = build_analysis(7)
    analysis.accounting[Payload.CAPTURED] += bytes_more
    text = " ".join(printed(Case.of(analysis, Settings())).split())
    assert f"{words}: a defect of wiretrace" in text


def test_a_case_without_calls_says_what_it_has() -> None:
    text = printed(Case.of(build_analysis(0), Settings()))
    assert text.startswith("0 calls in 0 request trees, from 4 captures of 5 hosts.")
    assert "There are no calls." in text
    assert "For example" not in text


def test_long_lists_are_cut_and_counted() -> None:
    analysis = build_analysis(140)
    rows = analysis.tables["calls"].to_pylist()
    for number, row in enumerate(rows):
        if row["parent"] is None:
            row["operation"] = f"GET /{number}"
    analysis.tables["calls"] = analysis.tables["calls"].from_pylist(rows, analysis.tables["calls"].schema)
    assert "… 12 more kinds of request in the table trees" in printed(Case.of(analysis, Settings()))
