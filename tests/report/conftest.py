"""A real Chromium that opens reports from file://, and cases to open.

Every page that a test opens is watched: whatever the test does, the page must ask for nothing but its own file and say
nothing on the console.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from tests.support.cases import build_analysis, case_of

from wiretrace.case.reader import Case
from wiretrace.report import write_report

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

DAY_NS = 86_400 * 10**9

Opener = Callable[..., Page]


@pytest.fixture(scope="session")
def small_case() -> Case:
    return case_of(build_analysis(700))


@pytest.fixture(scope="session")
def small_report(small_case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "small.html"
    write_report(small_case, path)
    return path


@pytest.fixture(scope="session")
def large_case() -> Case:
    analysis = build_analysis(7_000)
    copies = [repeated(analysis.tables, number) for number in range(15)]
    analysis.tables = {name: pa.concat_tables(copy[name] for copy in copies) for name in analysis.tables}
    return case_of(analysis)


def repeated(tables: dict[str, pa.Table], number: int) -> dict[str, pa.Table]:
    """The tables of another day: every call with an id and a time of its own."""
    changed = dict(tables)
    for name, columns in {
        "calls": ("id", "tree", "parent"),
        "links": ("child", "parent"),
        "evidence": ("child", "parent"),
        "trees": ("tree",),
    }.items():
        for column in columns:
            prefixed = pc.utf8_replace_slice(changed[name][column], 0, 2, f"{number:02x}")
            changed[name] = put(changed[name], column, prefixed)
        for column in ("start_ns", "end_ns", "server_start_ns", "server_end_ns"):
            if column in changed[name].column_names:
                times = changed[name][column]
                later = pc.if_else(pc.less(times, 0), times, pc.add(times, number * DAY_NS))
                changed[name] = put(changed[name], column, later)
    for column in ("client_exchange", "server_exchange"):
        rows = changed["calls"][column]
        shifted = pc.if_else(pc.less(rows, 0), rows, pc.add(rows, number * len(tables["exchanges"])))
        changed["calls"] = put(changed["calls"], column, shifted)
    return changed


def put(table: pa.Table, name: str, values: pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.column_names.index(name), table.schema.field(name), values)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for a module, not for the session: while it is there, no other test of the process may run an event loop."""
    executable = shutil.which("chromium")
    assert executable, "the tests of the report need Debian's chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1400, "height": 900}, timezone_id="Asia/Tokyo")
    context.set_default_timeout(30_000)
    yield context
    context.close()


@pytest.fixture
def open_report(context: BrowserContext) -> Iterator[Opener]:
    requests: list[str] = []
    messages: list[str] = []
    files: set[str] = set()
    context.on("request", lambda request: requests.append(request.url.partition("#")[0]))
    context.on("console", lambda message: messages.append(message.text))
    context.on("weberror", lambda error: messages.append(str(error.error)))

    def opener(path: Path, address: str = "", ready: str = "main h1") -> Page:
        """Open the report at `path` and wait until `ready` is there."""
        files.add(path.as_uri())
        page = context.new_page()
        page.on("dialog", lambda dialog: messages.append(f"dialog {dialog.message}"))
        page.goto(path.as_uri() + address)
        page.wait_for_selector(ready, state="attached")
        return page

    yield opener
    assert not messages
    assert set(requests) <= files
