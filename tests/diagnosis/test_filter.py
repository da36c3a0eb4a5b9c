"""The filter language on the command line: what is read, and how a mistake is told."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wiretrace.diagnosis.filter import WordTerm, parse_filter, text_matches
from wiretrace.model.errors import UserError


def test_words_and_terms_are_told_apart() -> None:
    found = parse_filter('Checkout service:api -status:200 any.operation~"GET /x" duration>=1.5s "a:b"')
    assert found.words == [WordTerm("checkout", False), WordTerm("a:b", False)]
    assert [(term.field, term.operator, term.value, term.any_call, term.negated) for term in found.fields] == [
        ("service", "=", "api", True, False),
        ("status", "=", "200", False, True),
        ("operation", "~", "get /x", True, False),
        ("duration", ">=", "1.5s", False, False),
    ]
    assert found.fields[3].number == 1_500_000_000


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("servce:api", "there is no field 'servce'"),
        ("duration>soon", "is not a duration"),
        ("calls>many", "is not a number"),
        ("calls~3", "is a number"),
        ("any.calls>3", "of the whole tree"),
        ("start>yesterday", "is not a time"),
        ("start>2026-13-45", "is not a time"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(text: str, mistake: str) -> None:
    with pytest.raises(UserError, match=re.escape(mistake)):
        parse_filter(text)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab*", max_size=8), st.text(alphabet="ab", max_size=8))
def test_a_star_stands_for_any_text(pattern: str, text: str) -> None:
    term = parse_filter(f'operation:"{pattern or "*"}"').fields[0]
    expected = re.fullmatch(".*".join(re.escape(part) for part in (pattern or "*").split("*")), text) is not None
    assert text_matches(term, text) is expected


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_a_filter_or_a_mistake_that_is_told(text: str) -> None:
    try:
        found = parse_filter(text)
    except UserError:
        return
    for term in found.fields:
        assert text_matches(term, text) in (True, False)
