"""No page of the report breaks a rule of accessibility that axe-core knows (WCAG 2.2, A and AA), in both themes."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page
from tests.report.conftest import Opener
from tests.support.cases import build_analysis, case_of

from wiretrace.case.reader import Case
from wiretrace.report import write_report

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.fixture(scope="module")
def compared_report(small_case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report with every page: it is compared with another case."""
    path = tmp_path_factory.mktemp("compared") / "report.html"
    write_report(small_case, path, case_of(build_analysis(350, seed=3)))
    return path


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong, a line each."""
    found = Axe().run(page, options=RULES).response["violations"]
    return [f"{each['id']}: {node['target']} {node['failureSummary']}" for each in found for node in each["nodes"]]


@pytest.mark.parametrize("look", ["light and wide", "dark and narrow"])
def test_no_page_breaks_a_rule(compared_report: Path, small_case: Case, open_report: Opener, look: str) -> None:
    trees = small_case.table("trees").to_pylist()
    tree = max(trees, key=lambda row: row["errors"])["tree"]
    page = open_report(compared_report)
    page.emulate_media(color_scheme="dark" if look.startswith("dark") else "light")
    if look.endswith("narrow"):
        page.set_viewport_size({"width": 420, "height": 800})
    for address in (
        *("#/", "#/trees", "#/trees?region=0_1e9_1_1e9", "#/trees?filter=nothing:x", f"#/tree/{tree}", "#/map"),
        *(f"#/tree/{tree}?view=sequence", f"#/tree/{tree}?view=compare", "#/connections", "#/connections?pool=0"),
        *("#/connections/0", "#/coverage", "#/compare", "#/about", "#/tree/none"),
    ):
        page.evaluate("(address) => { location.hash = address; }", address)
        page.wait_for_timeout(100)
        assert violations(page) == [], address
    page.keyboard.press("?")
    assert violations(page) == []
