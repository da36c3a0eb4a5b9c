"""The filter language, run where it runs: in the browser."""

import functools
from importlib import resources
from typing import Any

import pytest
from playwright.sync_api import BrowserContext

from wiretrace.report.bundle import join_modules


@functools.cache
def filter_script() -> str:
    directory = resources.files("wiretrace.report") / "assets"
    modules = {item.name: item.read_text() for item in directory.iterdir() if item.name.endswith(".js")}
    return join_modules(modules, "filter.js")


@pytest.fixture
def run(context: BrowserContext) -> Any:
    page = context.new_page()
    return lambda expression: page.evaluate(f"(() => {{ {filter_script()}\nreturn {expression}; }})()")


def test_words_and_terms_are_told_apart(run: Any) -> None:
    found = run("""parseFilter('checkout service:api -status:200 any.operation~"GET /x" duration>=1.5s "a:b"')""")
    assert found["words"] == [{"word": "checkout", "negated": False}, {"word": "a:b", "negated": False}]
    fields = [
        (term["field"], term["operator"], term["value"], term["any"], term["negated"]) for term in found["fields"]
    ]
    assert fields == [
        ("service", "=", "api", True, False),
        ("status", "=", "200", False, True),
        ("operation", "~", "get /x", True, False),
        ("duration", ">=", "1.5s", False, False),
    ]
    assert found["fields"][3]["number"] == 1_500_000_000
    assert found["error"] == ""


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("servce:api", "There is no field"),
        ("duration>soon", "is not a duration"),
        ("calls>many", "is not a number"),
        ("calls~3", "is a number"),
        ("any.calls>3", "of the whole tree"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(run: Any, text: str, mistake: str) -> None:
    assert mistake in run(f"parseFilter('{text}').error")


@pytest.mark.parametrize(
    ("term", "text", "expected"),
    [
        ("status:200", "200", True),
        ("status:2*", "204", True),
        ("status:2*", "502", False),
        ("status:*4", "204", True),
        ("status:2*2*2", "22", False),
        ("status!=200", "200", False),
        ("status>=500", "503", True),
        ("status>=500", "", False),
        ("operation~ORDERS", "get /orders/1", True),
        ("operation!~orders", "GET /orders", False),
        ("service:API", "api", True),
    ],
)
def test_a_term_matches_text(run: Any, term: str, text: str, expected: bool) -> None:
    assert run(f"textMatches(parseFilter('{term}').fields[0], '{text}')") is expected


def test_a_term_made_from_a_value_finds_that_value(run: Any) -> None:
    for value in ("plain", "two words", 'a "quoted" * star', "a:b"):
        assert run(f"textMatches(parseFilter(termFor('operation', {value!r})).fields[0], {value!r})")


def test_durations_take_units(run: Any) -> None:
    for text, nanoseconds in (
        ("5ns", 5),
        ("5us", 5e3),
        ("5µs", 5e3),
        ("5ms", 5e6),
        ("5", 5e6),
        ("5s", 5e9),
        ("5min", 3e11),
    ):
        assert run(f"parseFilter('duration<{text}').fields[0].number") == nanoseconds
