"""The file itself: inert, policed, repeatable, whole or absent; and captured text in it is never more than text."""

import base64
import hashlib
import inspect
import json
import re
from pathlib import Path

import pyarrow as pa
import pytest
from playwright.sync_api import expect
from tests.report.conftest import Opener
from tests.support.cases import build_analysis, case_of

from wiretrace.case.reader import Case
from wiretrace.model.analysis import Payload
from wiretrace.model.errors import UserError
from wiretrace.model.outcome import Outcome
from wiretrace.report import write_report
from wiretrace.report.bundle import asset

HOSTILE = (
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 1</script>",
    "<!--<script>",
    "]]>--><img src=x onerror='window.hacked=1'>",
    "\"'`><svg onload=window.hacked=1>",
    "javascript:window.hacked=1",
    "&lt;b&gt;&#60;i&#62;",
    "\x00\x01\x1b[31m\r\n\t\x7f\x9b",
    "\u202eesrever\u2066\u200b\ufeff\u2028",
    "__proto__",
    "constructor",
    "${window.hacked=1}{{window.hacked=1}}",
    "\U0001f4a9\ud7ff\uffff" + "é" * 3000,
)
KEPT = {"id", "tree", "parent", "child", "calls"}
"""Columns that name calls: the tables hold together by them."""


HARMLESS = tuple(f"harmless{number}" for number in range(len(HOSTILE)))


def filled_table(table: pa.Table, words: tuple[str, ...]) -> pa.Table:
    """`table` with one of `words` in every text field, each row another."""
    for index, field in enumerate(table.schema):
        texts = pa.array([words[(row + index) % len(words)] for row in range(len(table))], pa.string())
        if field.name in KEPT:
            continue
        if pa.types.is_list(field.type) and pa.types.is_string(field.type.value_type):
            texts = pa.array([[text, text] for text in texts.to_pylist()], field.type)
        elif field.name == "attributes":
            texts = pa.array([json.dumps({text: text, f"{text} ": {text: 1}}) for text in texts.to_pylist()])
        elif not (pa.types.is_string(field.type) or pa.types.is_dictionary(field.type)):
            continue
        table = table.set_column(index, field, texts.cast(field.type))
    return table


def filled_case(words: tuple[str, ...], seed: int = 7) -> Case:
    analysis = build_analysis(91, seed)
    analysis.tables = {name: filled_table(table, words) for name, table in analysis.tables.items()}
    return case_of(analysis)


def filled_report(folder: Path, words: tuple[str, ...]) -> Path:
    """The report with every page: it is compared with another case."""
    path = folder / "report.html"
    write_report(filled_case(words), path, filled_case(words, seed=3))
    return path


@pytest.fixture(scope="module")
def hostile_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled_report(tmp_path_factory.mktemp("hostile"), HOSTILE)


@pytest.fixture(scope="module")
def harmless_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled_report(tmp_path_factory.mktemp("harmless"), HARMLESS)


def test_the_policy_admits_exactly_the_script_and_the_style_of_the_page(small_report: Path) -> None:
    page = small_report.read_text("utf-8")
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert len(policy) == 1
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    styles = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert len(scripts) == len(styles) == 1
    for directive, text in (("script-src", scripts[0]), ("style-src", styles[0])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}';" in policy[0]
    assert policy[0].startswith("default-src 'none'; ")
    assert "unsafe" not in policy[0]


def test_hostile_text_leaves_no_markup_in_the_file(hostile_report: Path) -> None:
    page = hostile_report.read_text("utf-8")
    elements = re.findall(r"<([a-z/!][^\s>]*)", page.partition("</style>")[2].partition("<script>")[0])
    assert elements == ["/head", "body", "noscript", "p", "/p", "/noscript", "script", "/script"]
    behind = page.partition("<script>")[2].partition("</script>")[2]
    assert set(re.findall(r"<([a-z/!][^\s>]*)", behind)) == {"script", "/script", "/body", "/html"}


@pytest.mark.parametrize("address", ["#/", "#/trees", "#/map", "#/connections", "#/coverage", "#/about"])
def test_hostile_text_is_only_text(hostile_report: Path, open_report: Opener, address: str) -> None:
    page = open_report(hostile_report, address)
    if address == "#/trees":
        for row in range(0, 13, 3):
            page.locator(f'.trees [data-row="{row}"]').click()
            page.wait_for_selector(".panel h2")
            for call in range(7):
                page.locator(f'.waterfall [data-row="{call}"]').click()
                page.wait_for_function(f"location.hash && document.querySelector('[data-row=\"{call}\"].active')")
                expect(page.locator(".panel h3", has_text="Request and response")).to_be_attached()
            page.keyboard.press("Escape")
            page.wait_for_selector(".trees .row[data-row]")
    assert page.evaluate("window.hacked") is None
    assert page.locator("main script, main img, main iframe, main style, main [onload], main [onerror]").count() == 0
    text = page.locator("body").evaluate("(body) => body.textContent")
    assert "<script>window.hacked = 1</script>" in text
    shown = page.locator("main").evaluate("(main) => main.textContent")
    assert not re.search("[\x00-\x1f\x7f-\x9f\u200b\u202e\u2028\u2066\ufeff]", shown)


SKELETON = """() => Array.from(document.querySelectorAll("body *"), (each) =>
  `${each.tagName} ${each.getAttributeNames().filter((name) => name !== "title").sort().join(" ")}`).sort()"""


def test_hostile_text_changes_nothing_on_any_page_but_text(
    hostile_report: Path, harmless_report: Path, open_report: Opener
) -> None:
    """Element by element, and attribute by attribute, the pages are those of a case whose texts are harmless."""
    tree = filled_case(HARMLESS).table("trees").to_pylist()[3]["tree"]
    hostile, harmless = open_report(hostile_report), open_report(harmless_report)
    for address in (
        *("#/", "#/trees", "#/trees?region=0_1e12_1_1e12", "#/trees?filter=nothing:x", "#/map", "#/connections"),
        *(f"#/tree/{tree}", f"#/tree/{tree}?view=sequence", f"#/tree/{tree}?view=compare", "#/tree/none"),
        *("#/connections?pool=0", "#/connections/0", "#/coverage", "#/compare", "#/about"),
    ):
        skeletons = []
        for page in (hostile, harmless):
            page.evaluate("(address) => { location.hash = address; }", address)
            page.wait_for_timeout(250)
            skeletons.append(page.evaluate(SKELETON))
        assert skeletons[0] == skeletons[1], address
    assert hostile.evaluate("window.hacked") is None


def test_equal_cases_give_equal_files(small_case: Case, small_report: Path, tmp_path: Path) -> None:
    write_report(small_case, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == small_report.read_bytes()


def test_a_report_replaces_the_one_before_and_leaves_nothing_else(small_case: Case, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("before")
    write_report(small_case, path)
    assert path.read_text("utf-8").startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [path]


def test_what_can_not_be_written_is_told_in_one_line(small_case: Case, tmp_path: Path) -> None:
    (tmp_path / "directory.html").mkdir()
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file" / "report.html", tmp_path / "directory.html"):
        with pytest.raises(UserError, match=r"^[^\n]+: (can not be written|is a directory)[^\n]+$"):
            write_report(small_case, path)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["directory.html", "file"]


def test_every_outcome_and_every_fate_of_a_byte_has_its_words() -> None:
    words = asset("words.js")
    for outcome in Outcome:
        assert f"  {outcome.value}: {{ label:" in words
    sentences = re.findall(r'= "(\w+)"\n    """(.*?)"""', inspect.getsource(Payload))
    assert len(sentences) == len(Payload)
    for fate, sentence in sentences:
        assert f'  {fate}: "{sentence}",' in words
