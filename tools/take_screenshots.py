"""Take the picture of docs/images: one request tree in the HTML report of pcaps/shop, as a browser shows it.

Usage: python tools/take_screenshots.py
Needs Debian's chromium (tests/install.sh). Run it when the report looks different from its picture.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from wiretrace.case.reader import Case
from wiretrace.case.writer import CaseWriter
from wiretrace.diagnosis.summary import summarize
from wiretrace.model.progress import NoProgress
from wiretrace.model.settings import Settings
from wiretrace.pipeline import analyze
from wiretrace.report import write_report

REPOSITORY = Path(__file__).parents[1]
IMAGE = REPOSITORY / "docs" / "images" / "tree.png"
MOST_BYTES = 300_000
WINDOW = {"width": 1280, "height": 760}


def main() -> None:
    """Analyze, open the report at its example, and keep a picture."""
    executable = shutil.which("chromium")
    if executable is None:
        sys.exit("chromium is not installed; run tests/install.sh")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        with CaseWriter(Path(folder) / "shop.case") as writer:
            analyze([REPOSITORY / "pcaps" / "shop"], Settings(), NoProgress(), writer)
        case = Case.open(Path(folder) / "shop.case")
        report = Path(folder) / "report.html"
        write_report(case, report)
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport=WINDOW, timezone_id="UTC")
        page.goto(f"{report.as_uri()}#/tree/{summarize(case).example}")
        page.wait_for_selector("main h1", state="attached")
        picture = page.screenshot()
        browser.close()
    if len(picture) > MOST_BYTES:
        sys.exit(f"the picture is {len(picture)} bytes; at most {MOST_BYTES} belong into the repository")
    IMAGE.parent.mkdir(parents=True, exist_ok=True)
    IMAGE.write_bytes(picture)


if __name__ == "__main__":
    main()
