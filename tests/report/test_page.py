"""The report as a person uses it, in a real browser. conftest.py watches requests and console in every test."""

import time
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from tests.report.conftest import Opener
from tests.support.cases import Analysis, build_analysis, case_of

from wiretrace.case.reader import Case
from wiretrace.diagnosis.filter import parse_filter
from wiretrace.diagnosis.search import find_trees
from wiretrace.model.settings import Settings
from wiretrace.report import write_report

TREES = "#/trees"
TREE_ROWS = ".trees .row[data-row]"
CALL_ROWS = ".waterfall .row[data-row]"


def counter(page: Page) -> str:
    return page.locator("#filter-count").inner_text()


def open_first_tree(page: Page) -> None:
    page.locator(TREE_ROWS).first.click()
    page.wait_for_selector(CALL_ROWS)
    page.wait_for_selector(".panel h2")


def test_the_first_screen_says_what_went_wrong_and_what_is_missing(small_report: Path, open_report: Opener) -> None:
    page = open_report(small_report)
    expect(page.locator("h1")).to_have_text("Requests to shop fail because postgresql reports deadlocks (40P01).")
    expect(page.locator(".headline")).to_contain_text("Of 100 requests in ")
    expect(page.locator(".health")).to_contain_text("web1: the capturing host dropped 3 packets")
    expect(page.locator(".health")).to_contain_text("2 connections of 256 are encrypted")
    expect(page.locator(".tile", has_text="Hosts captured")).to_contain_text("4 of 5")
    expect(page.locator(".findings")).to_contain_text("postgresql reports deadlocks")
    operations = page.get_by_role("region", name="Errors in requests that failed")
    expect(operations.locator("tbody tr")).to_have_count(7)
    expect(operations.locator("tbody tr").first).to_contain_text("GET /orders/{id}")


def test_a_table_sorts_when_its_head_is_pressed(small_report: Path, open_report: Opener) -> None:
    page = open_report(small_report)
    operations = page.get_by_role("region", name="Errors in requests that failed")
    operations.get_by_role("button", name="Max").click()
    expect(operations.locator("tbody tr").first).to_contain_text("GET /orders/{id}")
    operations.get_by_role("button", name="Max").click()
    expect(operations.locator("tbody tr").first).to_contain_text("POST /audit")
    expect(operations.locator("th[aria-sort=ascending]")).to_have_text("Max")


def test_an_operation_leads_to_the_trees_that_hold_it(small_report: Path, open_report: Opener) -> None:
    page = open_report(small_report)
    page.get_by_role("link", name="SELECT orders").click()
    page.wait_for_selector(TREE_ROWS)
    assert counter(page) == "100 of 100 trees"
    assert page.locator("#filter").input_value() == 'any.operation:"SELECT orders" service:postgresql'


QUERIES = (
    *("errors>0", "outcome:ok", "status!=200", "duration>50ms", "path~/orders/4", "any.status:40P01", "questions>0"),
    *(
        "-any.status:40P01",
        "stock service:web",
        "calls:3",
        "service:redis",
        "service!=price",
        "host:app2",
        "client:198*",
    ),
    *("root.service:shop", "any.duration>=20ms any.service:postgresql", "operation:get*id}", "path!~/orders/4"),
    *("service:db outcome!=ok duration>200ms path~/orders", 'any.operation:"SELECT orders" -errors>0', "-checkout"),
    *("start>=2026-11-20T21:46:45.5Z start<2026-11-20T21:46:47", "status>=400", "any.outcome!~o", "protocol:http"),
    *(
        "service:p*e duration<1s",
        "summary~token",
        "id:d*",
        "-service:redis",
        "any.status:",
        "GET Orders",
        '"get /orders/4"',
    ),
)


def test_a_filter_finds_what_the_command_line_finds(small_case: Case, small_report: Path, open_report: Opener) -> None:
    """The report and `wiretrace show --where` read one language, to the last tree."""
    page = open_report(small_report, TREES, TREE_ROWS)
    for text in QUERIES:
        page.locator("#filter").fill(text)
        assert counter(page) == f"{find_trees(small_case, parse_filter(text)).sum()} of 100 trees", text


def test_a_mistake_in_the_filter_is_told_and_none_found_says_so(small_report: Path, open_report: Opener) -> None:
    page = open_report(small_report, TREES, TREE_ROWS)
    page.locator("#filter").fill("colour:red")
    expect(page.get_by_role("alert")).to_contain_text("There is no field “colour”")
    page.locator("#filter").fill("nothing-like-it")
    expect(page.locator(".empty")).to_be_visible()
    page.locator("#filter").press("Escape")
    assert counter(page) == "100 of 100 trees"


def test_trees_sort_both_ways(small_case: Case, small_report: Path, open_report: Opener) -> None:
    page = open_report(small_report, TREES, TREE_ROWS)
    page.get_by_role("button", name="Duration").click()
    longest = page.locator(f"{TREE_ROWS} .start").first.inner_text()
    page.get_by_role("button", name="Duration").click()
    shortest = page.locator(f"{TREE_ROWS} .start").first.inner_text()
    trees = sorted(small_case.table("trees").to_pylist(), key=lambda row: row["duration_ns"])
    assert [longest, shortest] == [
        time.strftime("%H:%M:%S", time.gmtime(row["start_ns"] // 10**9)) + f".{row['start_ns'] // 1000 % 10**6:06d}"
        for row in (trees[-1], trees[0])
    ]


def test_a_tree_shows_its_calls_and_why_they_stand_there(small_report: Path, open_report: Opener) -> None:
    page = open_report(small_report, "#/trees?filter=questions>0", TREE_ROWS)
    open_first_tree(page)
    expect(page.locator(CALL_ROWS)).to_have_count(7)
    expect(page.locator(".panel")).to_contain_text("Why it has no parent")
    page.locator(CALL_ROWS, has_text="UPDATE stock").click()
    panel = page.locator(".panel")
    expect(panel).to_contain_text("Why this parent may be right")
    expect(panel).to_contain_text("begins 0.3 ms after its parent")
    expect(panel).to_contain_text("It could also have been")
    expect(panel.locator(".alternatives li").first).to_contain_text("38%")
    expect(panel.locator(".alternatives li").last).to_contain_text("caused by nothing that was captured")
    expect(panel.locator("code", has_text="ip.addr==10.0.0.20 && tcp.port==5432")).to_have_count(1)
    expect(panel.locator("code", has_text="frame.number in {")).to_have_count(2)
    page.locator(CALL_ROWS, has_text="shop").first.click()
    expect(panel).to_contain_text("both carry the same x-request-id")
    expect(panel).to_contain_text("http.request.method")


def test_details_are_those_of_the_case(small_case: Case, small_report: Path, open_report: Opener) -> None:
    call = next(row for row in small_case.table("calls").to_pylist() if row["notes"] and row["server_exchange"] >= 0)
    view = small_case.table("exchanges").slice(call["server_exchange"], 1).to_pylist()[0]
    page = open_report(small_report, f"#/tree/{call['tree']}/{call['id']}", ".panel h2")
    panel = page.locator(".panel")
    expect(panel.locator("h2")).to_have_text(call["summary"])
    expect(panel).to_contain_text(call["notes"][0])
    expect(panel).to_contain_text(f"{call['client_address']}:{call['client_port']} on {call['client_host']}")
    first, last = view["request_frames"][0], view["response_frames"][-1]
    expect(panel.locator("code", has_text=f"frame.number in {{{first}..{last}}}")).to_have_count(1)


def test_addresses_lead_back_and_forth(small_report: Path, open_report: Opener) -> None:
    page = open_report(small_report, "#/trees?filter=errors>0&sort=-duration", TREE_ROWS)
    shown = counter(page)
    open_first_tree(page)
    page.keyboard.press("j")
    page.wait_for_function("location.hash.split('/').length === 4")
    address = page.url
    page.go_back()
    page.wait_for_selector(TREE_ROWS)
    assert counter(page) == shown
    page.go_forward()
    page.wait_for_selector(CALL_ROWS)
    assert page.url == address
    assert page.locator(".row.active").get_attribute("data-row") == "1"


@pytest.mark.parametrize(
    "address", ["#/nowhere", "#/constructor", "#/tree", "#/tree/xyz/abc", "#/tree/%E0%A4%A", "#/?"]
)
def test_an_address_of_nothing_shows_a_page(small_report: Path, open_report: Opener, address: str) -> None:
    page = open_report(small_report, address)
    expect(page.locator("h1")).to_be_visible()


def test_everything_can_be_done_with_keys(small_report: Path, open_report: Opener) -> None:
    page = open_report(small_report)
    page.keyboard.press("/")
    expect(page.locator("#filter")).to_be_focused()
    page.keyboard.type("outcome:error")
    page.keyboard.press("Enter")
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("k")
    assert page.locator(".row.active").get_attribute("data-row") == "1"
    page.keyboard.press("Enter")
    page.wait_for_selector(CALL_ROWS)
    page.keyboard.press("n")
    expect(page.locator(".row.active")).to_have_attribute("data-row", "1")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".row.active")).to_have_attribute("data-row", "2")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".row.active")).to_have_attribute("data-row", "1")
    page.keyboard.press("Enter")
    expect(page.locator(".panel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".windowed")).to_be_focused()
    page.keyboard.press("Escape")
    page.wait_for_selector(TREE_ROWS)
    assert page.locator(".row.active").get_attribute("data-row") == "1"
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_be_hidden()
    page.keyboard.press("3")
    expect(page.locator("h1")).to_have_text("Who calls whom")


def test_the_theme_follows_the_system_until_it_is_chosen(
    small_report: Path, open_report: Opener, context: BrowserContext
) -> None:
    page = open_report(small_report)

    def background() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    page.emulate_media(color_scheme="dark")
    dark = background()
    page.emulate_media(color_scheme="light")
    light = background()
    assert dark != light
    page.get_by_role("button", name="Change to dark colours").click()
    assert background() == dark


def test_times_are_shown_in_utc_or_in_the_readers_zone(small_report: Path, open_report: Opener) -> None:
    page = open_report(small_report, TREES, TREE_ROWS)
    assert page.locator(f"{TREE_ROWS} .start").first.inner_text().startswith("21:46:44")
    page.get_by_role("button", name="Times are shown in UTC").click()
    assert page.locator(f"{TREE_ROWS} .start").first.inner_text().startswith("06:46:44")


@pytest.mark.parametrize("address", ["#/", TREES, "#/map", "#/connections", "#/coverage", "#/about", "TREE"])
def test_nothing_hangs_over_the_edge_of_a_narrow_screen(small_report: Path, open_report: Opener, address: str) -> None:
    page = open_report(small_report, TREES if address == "TREE" else address)
    page.set_viewport_size({"width": 360, "height": 700})
    if address == "TREE":
        open_first_tree(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("document.getElementById('main').scrollWidth") <= 360


def test_a_printed_list_holds_its_rows_and_says_how_many_it_leaves_out(
    large_case: Case, small_report: Path, tmp_path: Path, open_report: Opener
) -> None:
    page = open_report(small_report, TREES, TREE_ROWS)
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator(TREE_ROWS).count() == 100
    assert page.pdf().count(b"/Type /Page\n") >= 2
    path = tmp_path / "large.html"
    write_report(large_case, path)
    page = open_report(path, TREES, TREE_ROWS)
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    expect(page.locator(".print-note")).to_have_text("Printed: the first 500 of 15000 rows.")


def test_the_services_are_drawn_and_told_in_a_table(small_report: Path, open_report: Opener) -> None:
    page = open_report(small_report, "#/map")
    expect(page.locator(".map .service")).to_have_count(7)
    expect(page.locator("tbody tr")).to_have_count(6)


def test_a_case_without_calls_makes_a_report_that_says_so(tmp_path: Path, open_report: Opener) -> None:
    path = tmp_path / "empty.html"
    write_report(case_of(Analysis({}, {})), path)
    page = open_report(path)
    expect(page.locator("h1")).to_contain_text("No call was found")
    page.keyboard.press("2")
    expect(page.locator(".empty")).to_be_visible()


def test_values_kept_on_demand_are_marked(tmp_path: Path, open_report: Opener) -> None:
    path = tmp_path / "kept.html"
    write_report(case_of(build_analysis(7), Settings(keep_values=True)), path)
    expect(open_report(path).locator(".banner")).to_contain_text("redaction of values turned off")


def test_a_hundred_thousand_calls_stay_small_and_quick(large_case: Case, tmp_path: Path, open_report: Opener) -> None:
    path = tmp_path / "large.html"
    before = time.process_time()
    write_report(large_case, path)
    assert time.process_time() - before < 6
    assert path.stat().st_size < 6_000_000
    page = open_report(path, TREES, TREE_ROWS)
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assert paint < 3000
    assert page.locator(TREE_ROWS).count() < 100
    page.locator("#filter").fill("warm up")
    spent = page.evaluate(
        """() => {
          const input = document.getElementById("filter");
          input.value = "stock any.status:40P01 duration>10ms";
          const before = performance.now();
          input.dispatchEvent(new Event("input"));
          document.body.offsetHeight;
          return performance.now() - before;
        }"""
    )
    assert spent < 400
    page.locator("#filter").fill("")
    page.evaluate("document.querySelector('.windowed').scrollTop = 1e9")
    page.wait_for_selector('[data-row="14999"]')
