"""The views behind the first screen: regions of the heatmap, shapes of trees, connections, coverage, downloads."""

import csv
import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from tests.report.conftest import Opener
from tests.support.cases import HOSTS, MILLISECOND, START_NS, CaseBuilder, add_request, build_analysis, case_of

from wiretrace.case.reader import Case
from wiretrace.report import write_report

CALL_ROWS = ".waterfall .row[data-row]"
ALIKE = 60
"""Identical statements of the tree of `many`."""


@pytest.fixture(scope="module")
def many() -> Case:
    """A request whose service asks the database the same thing again and again, one time in error."""
    builder = CaseBuilder()
    web = (HOSTS["web1"][0], 80, "web1", "web")
    database = (HOSTS["db1"][0], 5432, "db1", "postgresql")
    root = builder.call(
        None,
        "http",
        "GET /list",
        "GET /list",
        ("198.51.100.7", 5000, None, "198.51.100.7"),
        web,
        START_NS,
        200 * MILLISECOND,
    )
    for number in range(ALIKE + 1):
        failed = number == 7
        builder.call(
            root,
            "postgresql",
            "SELECT item",
            f"SELECT * FROM item WHERE id = {number}",
            (web[0], 41000, "web1", "web"),
            database,
            START_NS + (1 + 3 * number) * MILLISECOND,
            2 * MILLISECOND,
            status="40P01" if failed else "SELECT 1",
            outcome="error" if failed else "ok",
        )
    add_request(builder, 1, START_NS + 10**9, random.Random(1), None)
    builder.finish()
    return case_of(builder.analysis())


@pytest.fixture(scope="module")
def many_report(many: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("many") / "report.html"
    write_report(many, path)
    return path


def saved(page: Page, name: str) -> str:
    """What a button of this name saves."""
    with page.expect_download() as download:
        page.get_by_role("button", name=name).click()
    return Path(download.value.path()).read_text("utf-8")


def tree_rows(page: Page, tree: str) -> list[dict[str, Any]]:
    """The calls of the tree that is shown, as the page saves them."""
    rows: list[dict[str, Any]] = json.loads(saved(page, f"Save tree-{tree} as JSON"))
    return rows


def test_siblings_that_are_alike_are_folded_with_their_count(
    many: Case, many_report: Path, open_report: Opener
) -> None:
    tree = many.table("trees")["tree"][0].as_py()
    page = open_report(many_report, f"#/tree/{tree}", CALL_ROWS)
    expect(page.locator(CALL_ROWS)).to_have_count(3)
    expect(page.locator(CALL_ROWS).nth(1)).to_contain_text(f"{ALIKE} ×")
    expect(page.locator(CALL_ROWS).nth(1)).to_contain_text("Σ 120 ms")
    expect(page.locator(CALL_ROWS).nth(0)).to_contain_text("1 below")
    expect(page.locator(CALL_ROWS).nth(2)).to_contain_text("40P01")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".windowed.waterfall")).to_have_attribute("aria-rowcount", str(ALIKE + 3))
    page.keyboard.press("u")
    expect(page.locator(".windowed.waterfall")).to_have_attribute("aria-rowcount", "4")


def test_an_address_of_a_folded_call_shows_it(many: Case, many_report: Path, open_report: Opener) -> None:
    calls = many.table("calls").to_pylist()
    call = calls[33]
    page = open_report(many_report, f"#/tree/{call['tree']}/{call['id']}", ".panel h2")
    expect(page.locator(".panel h2")).to_have_text(call["summary"])
    expect(page.locator(".row.active")).to_contain_text("postgresql")
    expect(page.locator(".windowed.waterfall")).to_have_attribute("aria-rowcount", str(ALIKE + 3))


def test_the_critical_path_adds_up_to_the_root(many: Case, many_report: Path, open_report: Opener) -> None:
    tree = many.table("trees")["tree"][0].as_py()
    page = open_report(many_report, f"#/tree/{tree}", CALL_ROWS)
    rows = tree_rows(page, tree)
    assert sum(row["critical_ns"] for row in rows) == rows[0]["duration_ns"] == 200 * MILLISECOND
    assert rows[0]["self_ns"] == rows[0]["critical_ns"] == (200 - 2 * (ALIKE + 1)) * MILLISECOND
    page.keyboard.press("p")
    expect(page.locator(".panel h2")).to_have_text("SELECT * FROM item WHERE id = 0")


def test_a_call_that_outlasts_its_caller_kept_nobody_waiting(tmp_path: Path, open_report: Opener) -> None:
    builder = CaseBuilder()
    web, shop = (HOSTS["web1"][0], 80, "web1", "web"), (HOSTS["app1"][0], 8080, "app1", "shop")
    user = ("198.51.100.7", 5000, None, None)
    root = builder.call(None, "http", "GET /a", "GET /a", user, web, START_NS, 100 * MILLISECOND)
    for name, start, length in (("late", 10, 500), ("waited", 20, 30)):
        begin = START_NS + start * MILLISECOND
        builder.call(root, "http", name, name, (web[0], 4000, "web1", "web"), shop, begin, length * MILLISECOND)
    builder.finish()
    path = tmp_path / "report.html"
    write_report(case_of(builder.analysis()), path)
    page = open_report(path, f"#/tree/{root['id']}", CALL_ROWS)
    assert {row["operation"]: row["critical_ns"] // MILLISECOND for row in tree_rows(page, root["id"])} == {
        "GET /a": 70,
        "late": 0,
        "waited": 30,
    }


@pytest.fixture(scope="module")
def queues(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A report of a request that puts two messages on queues: one is pushed to its taker, another is fetched with a
    further one, of which the page holds the parent; and the ids of the calls by their operation.
    """
    builder = CaseBuilder()
    web, shop = (HOSTS["web1"][0], 80, "web1", "web"), (HOSTS["app1"][0], 8080, "app1", "shop")
    amqp, cache = (HOSTS["db1"][0], 5672, "db1", "amqp"), (HOSTS["db1"][0], 6379, "db1", "redis")
    user = ("198.51.100.7", 5000, None, None)
    worker = (shop[0], 4000, "app1", "shop")
    ids = {}

    def call(name: str, parent: Any, client: Any, server: Any, at: int, length: int, **more: Any) -> dict[str, Any]:
        row = builder.call(
            parent, "http", name, name, client, server, START_NS + at * MILLISECOND, length * MILLISECOND, **more
        )
        ids[name] = row["id"]
        return row

    other = call("POST /b", None, user, web, 0, 4)
    further = call("LPUSH b", other, (web[0], 4001, "web1", "web"), cache, 1, 1)
    root = call("POST /a", None, user, web, 10, 20)
    put = call("publish", root, (web[0], 4001, "web1", "web"), amqp, 12, 1, status="")
    call(
        "process",
        put,
        amqp,
        (*worker[:1], 4003, *worker[2:]),
        40,
        9,
        status="ack",
        relation="follows",
        basis="measured",
    )
    pushed = call("LPUSH a", root, (web[0], 4001, "web1", "web"), cache, 15, 2)
    fetched = call(
        "BRPOP", pushed, worker, cache, 5, 12, status="array", relation="follows", basis="measured", confidence=0.9,
        alternatives=((None, 0.06), ("feedfacefeedface", 0.04)),
    )  # fmt: skip
    builder.rows["links"].append(
        {"child": fetched["id"], "parent": further["id"], "rank": 0, "basis": "measured", "relation": "follows",
         "confidence": 0.8}
    )  # fmt: skip
    builder.finish()
    path = tmp_path_factory.mktemp("queues") / "report.html"
    write_report(case_of(builder.analysis()), path)
    return path, ids


def test_a_message_on_a_queue_is_drawn_and_told(queues: tuple[Path, dict[str, str]], open_report: Opener) -> None:
    path, ids = queues
    page = open_report(path, f"#/tree/{ids['POST /a']}", CALL_ROWS)
    taken = page.locator(CALL_ROWS, has_text="process")
    expect(taken.locator(".badge")).to_have_text("»took a message off a queue, measured 98%")
    expect(taken.locator(".elbow.follows")).to_have_count(1)
    expect(taken.locator(".bar.resting")).to_have_count(1)
    expect(page.locator(CALL_ROWS, has_text="BRPOP").locator(".bar.resting")).to_have_count(0)
    expect(page.locator(CALL_ROWS, has_text="publish").locator(".follows")).to_have_count(0)
    relations = {row["operation"]: row["relation"] for row in tree_rows(page, ids["POST /a"])}
    assert relations == {
        "POST /a": None,
        "publish": "child",
        "process": "follows",
        "LPUSH a": "child",
        "BRPOP": "follows",
    }
    taken.click()
    panel = page.locator(".panel")
    expect(panel).to_contain_text("It took off what amqp: publish put on a queue, 98% sure.")
    expect(panel).to_contain_text("It began 28.0 ms after its parent.")
    page.locator(CALL_ROWS, has_text="publish").click()
    expect(panel).to_contain_text("What it put on a queue was taken off by")
    expect(panel.get_by_role("link", name="shop: process")).to_have_count(1)


def test_a_call_that_took_several_messages_names_the_parents_of_all(
    queues: tuple[Path, dict[str, str]], open_report: Opener
) -> None:
    """And what else it may have been: nothing at all, or a call that the page does not hold, which is not the same."""
    path, ids = queues
    page = open_report(path, f"#/tree/{ids['POST /a']}/{ids['BRPOP']}", ".panel h2")
    panel = page.locator(".panel")
    expect(panel).to_contain_text("It took further messages off at once, those of redis: LPUSH b (80%).")
    expect(panel).to_contain_text("It waited for the message before there was one.")
    others = panel.locator(".alternatives li")
    expect(others).to_have_count(2)
    expect(others.nth(0)).to_contain_text("caused by nothing that was captured")
    expect(others.nth(1)).to_contain_text("call feedfacefeedface, which this page does not hold")
    panel.get_by_role("link", name="redis: LPUSH b").click()
    expect(page.locator("h1")).to_have_text("POST /b")


def test_a_sequence_shows_how_long_a_message_lay_on_its_queue(
    queues: tuple[Path, dict[str, str]], open_report: Opener
) -> None:
    path, ids = queues
    page = open_report(path, f"#/tree/{ids['POST /a']}?view=sequence", ".message")
    labels = page.locator(".message.follows").evaluate_all(
        "(all) => all.map((each) => each.getAttribute('aria-label'))"
    )
    assert [label.partition(": ")[2] for label in labels] == [
        "took a message off a queue: » array",
        "took a message off a queue: » shop: process",
    ]
    expect(page.locator(".rest")).to_have_count(2)


def test_zooming_is_kept_in_the_address(small_case: Case, small_report: Path, open_report: Opener) -> None:
    tree = small_case.table("trees")["tree"][0].as_py()
    page = open_report(small_report, f"#/tree/{tree}", CALL_ROWS)
    page.keyboard.press("+")
    assert "zoom=" in page.url
    width = page.locator(".axis .tick.last").inner_text()
    page.reload()
    page.wait_for_selector(CALL_ROWS)
    assert page.locator(".axis .tick.last").inner_text() == width
    page.keyboard.press("0")
    assert "zoom=" not in page.url


def test_a_tree_is_shown_as_a_sequence_of_messages(small_case: Case, small_report: Path, open_report: Opener) -> None:
    tree = small_case.table("trees")["tree"][0].as_py()
    calls = [row for row in small_case.table("calls").to_pylist() if row["tree"] == tree]
    page = open_report(small_report, f"#/tree/{tree}", CALL_ROWS)
    page.keyboard.press("s")
    expect(page.locator(".message.request")).to_have_count(len(calls))
    expect(page.locator(".message.response")).to_have_count(sum(row["status"] != "" for row in calls))
    assert page.locator(".lane-name").count() == len(
        {(row["client_host"], row["client_address"]) for row in calls}
        | {(row["server_host"], row["server_address"]) for row in calls}
    )
    page.locator(".message.request").nth(3).click()
    expect(page.locator(".panel h2")).to_have_text("SELECT * FROM orders WHERE id = ?")
    page.go_back()
    expect(page.locator(CALL_ROWS).first).to_be_visible()


def test_a_tree_stands_beside_the_usual_shape_of_its_operation(
    small_case: Case, small_report: Path, open_report: Opener
) -> None:
    calls = small_case.table("calls").to_pylist()
    failed = next(row for row in calls if row["status"] == "40P01")
    other = next(row for row in calls if row["tree"] != failed["tree"])["tree"]
    page = open_report(small_report, f"#/tree/{failed['tree']}?view=compare", ".compare tbody tr")
    expect(page.locator(".compare")).to_contain_text("99 other trees")
    expect(page.locator(".compare tbody tr", has_text="SELECT orders")).to_contain_text("fails here")
    page.get_by_label("Compare with").fill(other)
    page.get_by_role("button", name="Compare", exact=True).last.click()
    expect(page.locator(".compare")).to_contain_text(f"Beside tree {other}")


def test_a_marked_region_is_explained_by_what_differs_in_it(
    small_case: Case, small_report: Path, open_report: Opener
) -> None:
    slow = [row for row in small_case.table("trees").to_pylist() if row["duration_ns"] > 300 * MILLISECOND]
    region = f"0_{10**12}_{300 * MILLISECOND}_{10**12}"
    page = open_report(small_report, f"#/trees?region={region}", ".explain")
    expect(page.locator("#filter-count")).to_have_text(f"{len(slow)} of 100 trees")
    expect(page.locator(".explain")).to_contain_text("SELECT orders (postgresql)")
    page.locator(".explain .term").first.click()
    assert "region" not in page.url
    assert "SELECT" in page.locator("#filter").input_value()


def test_a_region_is_marked_with_the_pointer_and_with_the_keys(small_report: Path, open_report: Opener) -> None:
    page = open_report(small_report, "#/trees", ".heatmap")
    box = page.locator(".heatmap").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 80, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 5, box["y"] + 60)
    page.mouse.up()
    expect(page.locator(".explain")).to_contain_text("in the region")
    assert "region=" in page.url
    page.keyboard.press("h")
    page.keyboard.press("Escape")
    expect(page.locator(".explain")).to_have_count(0)
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    expect(page.locator(".explain")).to_contain_text("in the region")


def test_terms_that_find_nothing_at_the_root_are_offered_for_all_calls(small_report: Path, open_report: Opener) -> None:
    page = open_report(small_report, "#/trees?filter=status:40P01", ".empty")
    page.locator(".empty .term").click()
    assert page.locator("#filter").input_value() == "any.status:40P01"
    expect(page.locator(".trees .row[data-row]").first).to_be_visible()


def test_a_table_is_saved_as_csv_and_as_json(small_case: Case, small_report: Path, open_report: Opener) -> None:
    page = open_report(small_report, "#/trees?filter=errors>0", ".trees .row[data-row]")
    rows = list(csv.DictReader(io.StringIO(saved(page, "Save trees as CSV"))))
    failed = [row for row in small_case.table("trees").to_pylist() if row["errors"]]
    assert [(row["tree"], int(row["duration_ns"]), int(row["errors"])) for row in rows] == [
        (row["tree"], row["duration_ns"], row["errors"]) for row in failed
    ]
    assert [row["tree"] for row in json.loads(saved(page, "Save trees as JSON"))] == [row["tree"] for row in failed]


def test_where_the_time_of_a_call_went_is_saved_as_csv_and_as_json(
    small_case: Case, small_report: Path, open_report: Opener
) -> None:
    call = max(small_case.table("calls").to_pylist(), key=lambda row: row["server_ns"])
    page = open_report(small_report, f"#/tree/{call['tree']}/{call['id']}", ".panel .phases")
    name = f"time-of-call-{call['id']}"
    rows = {row["part"]: int(row["time_ns"]) for row in csv.DictReader(io.StringIO(saved(page, f"Save {name} as CSV")))}
    server = "At the server" if call["network_measured"] else "Network and server"
    assert rows[server] == call["server_ns"]
    assert rows["Self"] + rows["In calls of its own"] == call["end_ns"] - call["start_ns"]
    assert {row["part"]: row["time_ns"] for row in json.loads(saved(page, f"Save {name} as JSON"))} == rows


def test_a_table_is_copied_as_spreadsheets_take_it(
    small_case: Case, small_report: Path, open_report: Opener, context: BrowserContext
) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = open_report(small_report, "#/trees?filter=errors>0", ".trees .row[data-row]")
    page.get_by_role("button", name="Copy trees as a table").click()
    expect(page.get_by_role("button", name="Copy trees as a table")).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    rows = list(csv.DictReader(io.StringIO(copied), delimiter="\t"))
    assert [row["tree"] for row in rows] == [
        row["tree"] for row in small_case.table("trees").to_pylist() if row["errors"]
    ]


def test_what_differs_in_a_region_is_saved(small_report: Path, open_report: Opener) -> None:
    page = open_report(small_report, f"#/trees?region=0_{10**12}_{300 * MILLISECOND}_{10**12}", ".explain .downloads")
    shown = page.locator(".explain .term").all_inner_texts()
    rows = json.loads(saved(page, "Save region as JSON"))
    assert [row["difference"] for row in rows] == shown
    assert all(row["filter"] for row in rows)


def test_a_text_that_a_spreadsheet_would_run_is_saved_as_text(tmp_path: Path, open_report: Opener) -> None:
    builder = CaseBuilder()
    add_request(builder, 0, START_NS, random.Random(0), None)
    builder.rows["calls"][0]["summary"] = '=HYPERLINK("http://evil")'
    builder.finish()
    path = tmp_path / "formula.html"
    write_report(case_of(builder.analysis()), path)
    page = open_report(path, "#/trees", ".trees .row[data-row]")
    rows = list(csv.DictReader(io.StringIO(saved(page, "Save trees as CSV"))))
    assert rows[0]["request"] == '\'=HYPERLINK("http://evil")'


def test_connections_lead_from_pools_to_calls(small_case: Case, small_report: Path, open_report: Opener) -> None:
    page = open_report(small_report, "#/connections", ".table-box tbody tr")
    connections = small_case.table("connections").to_pylist()
    expect(page.locator("main")).to_contain_text(f"{len(connections)} connections")
    page.locator("tbody td a").first.click()
    page.wait_for_selector(".lives")
    page.locator("tbody th a").first.click()
    expect(page.locator("h1")).to_contain_text(" to ")
    page.locator("tbody td a").first.click()
    page.wait_for_selector(".waterfall")
    page.go_back()
    page.keyboard.press("Escape")
    expect(page.locator("h1")).to_have_text("Connections")


def test_every_connection_of_a_call_is_named_by_its_row(tmp_path: Path, open_report: Opener) -> None:
    """Whatever the connections' numbers are."""
    analysis = build_analysis(350)
    for name in ("connections", "exchanges"):
        table = analysis.tables[name]
        far = [number * 10**9 + 7 for number in table["connection"].to_pylist()]
        analysis.tables[name] = table.set_column(table.column_names.index("connection"), "connection", [far])
    path = tmp_path / "far.html"
    write_report(case_of(analysis), path)
    call = analysis.tables["calls"].to_pylist()[0]
    page = open_report(path, f"#/tree/{call['tree']}/{call['id']}", ".neighbours")
    page.get_by_role("link", name="The connection").click()
    expect(page.locator("main")).to_contain_text(str(call["client_port"]))


def test_coverage_and_clocks_are_those_of_the_hosts(small_case: Case, small_report: Path, open_report: Opener) -> None:
    page = open_report(small_report, "#/coverage", ".strips")
    expect(page.locator(".strips .strip-name")).to_have_count(4)
    rows = page.get_by_role("region", name="What each clock shows").locator("tbody tr")
    expect(rows).to_have_count(5)
    expect(rows.filter(has_text="app2")).to_contain_text("-1.75 s")
    expect(rows.filter(has_text="price1")).to_contain_text("not known")


def test_the_page_about_the_page_names_inputs_notes_and_bytes(small_report: Path, open_report: Opener) -> None:
    page = open_report(small_report, "#/about")
    main = page.locator("main")
    for text in ("shop/web1.pcap", "Where every byte went", "encrypted", "Limits that were hit", "out_of_order_bytes"):
        expect(main).to_contain_text(text)


def test_two_cases_are_compared(small_case: Case, tmp_path: Path, open_report: Opener) -> None:
    path = tmp_path / "compared.html"
    write_report(small_case, path, case_of(build_analysis(350, seed=11)))
    page = open_report(path, "#/compare")
    expect(page.locator("main")).to_contain_text("of 50 requests failed")
    expect(page.locator("tbody tr").first).to_contain_text("GET /orders/{id}")


def test_suspects_and_findings_stand_on_the_first_screen(small_report: Path, open_report: Opener) -> None:
    page = open_report(small_report)
    expect(page.locator("h1")).to_have_text("Requests to shop fail because postgresql reports deadlocks (40P01).")
    expect(page.locator(".findings")).to_contain_text("Ask team-data which transactions")
    suspects = page.get_by_role("region", name="Which component explains best")
    expect(suspects.locator("tbody tr").first).to_contain_text("SELECT orders (postgresql)")
    expect(suspects.locator("tbody tr").last).to_contain_text("Cleared:")
