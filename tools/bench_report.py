"""Size and speed of the HTML report in a real browser: 100 thousand calls, one tree of 50 thousand, a million calls.

Usage: python tools/bench_report.py [--calls N ...]

Needs Debian's chromium (tests/install.sh). Prints each number beside its goal; exit status 1 where one is missed.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.report.conftest import repeated  # noqa: E402
from tests.support.cases import build_analysis, case_of  # noqa: E402

from wiretrace.report import write_report  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

    from playwright.sync_api import Page

    from wiretrace.case.reader import Case

BASE_CALLS = 7_000
"""Calls that are made one by one; larger cases repeat them on other days."""
FLAT_CALLS = 50_000
"""Calls of the large tree."""
SCROLL_SECONDS = 3
BUSY = 0.8
"""Load of a processor from which on the number of frames tells of others' work, not of the page's."""
FILTERS = ("stock any.status:40P01 duration>10ms", "service:redis errors>0", "path~/orders/4 status!=200", "checkout")

SCROLL = """async (seconds) => {
  const box = document.querySelector(".windowed");
  const times = [];
  const end = performance.now() + seconds * 1000;
  let last = performance.now();
  while (last < end) {
    box.scrollTop += 97;
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    times.push(now - last);
    last = now;
  }
  return times;
}"""
FILTER = """(text) => {
  const input = document.getElementById("filter");
  input.value = text;
  const before = performance.now();
  input.dispatchEvent(new Event("input"));
  document.body.offsetHeight;
  return performance.now() - before;
}"""
OPEN = """async (address) => {
  const before = performance.now();
  location.hash = address;
  while (!document.querySelector(".waterfall .row[data-row]")) await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
  return performance.now() - before;
}"""


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, nargs="+", default=[100_000, 1_000_000])
    options = parser.parse_args()
    executable = shutil.which("chromium")
    if executable is None:
        sys.exit("chromium is not installed; run tests/install.sh")
    met = True
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        for calls in options.calls:
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            met &= measure(page, case_of_calls(calls), Path(folder) / f"{calls}.html", strict=calls <= 100_000)
            page.close()
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        met &= measure_flat(page, Path(folder) / "flat.html")
        browser.close()
    print("All goals met." if met else "A goal is missed.")
    return 0 if met else 1


def case_of_calls(calls: int) -> Case:
    """A case of about so many calls."""
    analysis = build_analysis(BASE_CALLS)
    copies = [repeated(analysis.tables, number) for number in range(-(-calls // BASE_CALLS))]
    analysis.tables = {name: pa.concat_tables(copy[name] for copy in copies) for name in analysis.tables}
    return case_of(analysis)


def measure(page: Page, case: Case, path: Path, *, strict: bool) -> bool:
    """One case: its file, and the list of its trees."""
    print(f"{len(case.table('calls')):,} calls")
    before = time.process_time()
    write_report(case, path)
    spent = time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  written in {spent:.1f} s CPU, peak {peak:,.0f} MB with the case in memory")
    met = row("file, MB", path.stat().st_size / 1e6, 6.0 if strict else None)
    thread = PageThread(page)
    page.goto(path.as_uri())
    page.wait_for_selector("main h1", state="attached")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    met &= timed("first paint", paint, thread.spent(), 1500 if strict else None)
    begin = time.perf_counter()
    page.evaluate("() => { location.hash = '#/trees'; }")
    page.wait_for_selector(".trees .row[data-row]")
    row("list of trees, ms after it", 1000 * (time.perf_counter() - begin), None)
    page.evaluate(FILTER, "warm")
    filters = []
    for text in FILTERS:
        thread.spent()
        filters.append((page.evaluate(FILTER, text), thread.spent()))
    slowest, costliest = (max(column) for column in zip(*filters, strict=True))
    met &= timed("slowest filter", slowest, costliest, 150 if strict else None)
    page.evaluate(FILTER, "")
    met &= frames(page, strict)
    if page.locator(".held").count():
        print(f"  the page says: {page.locator('.held').first.inner_text()[:160]}")
    return met


def measure_flat(page: Page, path: Path) -> bool:
    """One tree of very many calls."""
    analysis = build_analysis(FLAT_CALLS)
    calls = analysis.tables["calls"]
    root = calls["id"][0].as_py()
    rows = np.arange(len(calls))
    parents = np.where(rows == 0, -1, (rows - 1) // 12)
    ids = calls["id"].to_pylist()
    changed = {
        "tree": pa.array([root] * len(ids)),
        "parent": pa.array([ids[parent] if parent >= 0 else None for parent in parents.tolist()]),
    }
    for name, values in changed.items():
        calls = calls.set_column(calls.column_names.index(name), calls.schema.field(name), values)
    analysis.tables["calls"] = calls
    analysis.tables["trees"] = analysis.tables["trees"].slice(0, 1)
    write_report(case_of(analysis), path)
    print(f"one tree of {len(calls):,} calls")
    page.goto(path.as_uri() + "#/trees")
    page.wait_for_selector(".trees .row[data-row]")
    thread = PageThread(page)
    met = timed("tree opens", page.evaluate(OPEN, f"#/tree/{root}"), thread.spent(), 1000)
    page.keyboard.press("u")
    return met & frames(page, False)


class PageThread:
    """The time that the page's main thread works, which other load can not hide."""

    def __init__(self, page: Page) -> None:
        self._session = page.context.new_cdp_session(page)
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})
        self._before = 0.0
        self.spent()

    def spent(self) -> float:
        """Milliseconds of CPU since this was asked last."""
        metrics = {each["name"]: each["value"] for each in self._session.send("Performance.getMetrics")["metrics"]}
        before, self._before = self._before, float(metrics["TaskDuration"])
        return 1000 * (self._before - before if self._before >= before else self._before)


def load() -> float:
    """Of a processor, by whoever runs."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def timed(name: str, wall: float, cost: float, goal: float | None) -> bool:
    """Two rows of the table: by the clock, which counts where the machine is free, and what the page's thread worked."""
    row(f"{name}, ms (load {load():.1f})", wall, goal if load() < BUSY else None)
    return row(f"{name}, ms of CPU", cost, goal) and (goal is None or wall <= goal or load() >= BUSY)


def frames(page: Page, strict: bool) -> bool:
    """Scroll for a while: frames that were shown, and what one costs the page's thread."""
    thread = PageThread(page)
    times: Sequence[float] = page.evaluate(SCROLL, SCROLL_SECONDS)
    cost = thread.spent() / len(times)
    shown = row(
        f"frames a second (load {load():.1f})",
        1000 * len(times) / sum(times),
        50 if strict and load() < BUSY else None,
        least=True,
    )
    return row("cost of a frame, ms of CPU", cost, 1000 / 50 if strict else None) and shown


def row(name: str, value: float, goal: float | None, *, least: bool = False) -> bool:
    """One row of the table, and whether its goal is met."""
    met = goal is None or (value >= goal if least else value <= goal)
    aim = "" if goal is None else f"   goal {'≥' if least else '≤'} {goal:g}{'' if met else '   MISSED'}"
    print(f"  {name:<32}{value:>9.1f}{aim}", flush=True)
    return met


if __name__ == "__main__":
    sys.exit(main())
