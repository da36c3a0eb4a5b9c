"""Record ten systems that fail in ten ways, and keep the first screen of each one's report, and what it says.

Usage: python tools/take_first_screens.py [--keep DIRECTORY]

Seven faults are injected into the mesh of 13 services (tests/lab/mesh), three into calls between two hosts
(tests/lab/faults); both write down what they did. Writes docs/first-screens.md and the pictures beside it. Needs root,
the servers of tests/lab/install.sh, and Debian's chromium. --keep keeps recordings, cases and reports, and begins
with those that are there.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.lab.faults.recording import FaultOptions, record_faults  # noqa: E402
from tests.lab.mesh import plan  # noqa: E402
from tests.lab.mesh.run import Fault, Mesh  # noqa: E402

from wiretrace.case.reader import Case  # noqa: E402
from wiretrace.case.writer import CaseWriter  # noqa: E402
from wiretrace.hosts.names_file import read_names  # noqa: E402
from wiretrace.model.progress import NoProgress  # noqa: E402
from wiretrace.model.settings import Settings  # noqa: E402
from wiretrace.pipeline import analyze  # noqa: E402
from wiretrace.report import write_report  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Page

DOCS = ROOT / "docs"
IMAGES = DOCS / "images" / "first-screens"
WINDOW = {"width": 1280, "height": 800}
COLOURS = 64
"""Of a picture: the page has few, and letters stay sharp."""
MOST_BYTES = 150_000
"""Of one picture."""
SEED = 5
FAULTY_CALLS = 20
"""Calls of a class of fault between two hosts."""


@dataclass(frozen=True, slots=True)
class Screen:
    """One faulted system, and what a person has to find."""

    name: str
    injected: str
    """What was done, in a sentence."""
    component: str
    """What a person has to name."""
    words: tuple[str, ...]
    """Its names, of which the headline or the likeliest component has to hold one."""
    judged: str
    """Whether somebody who never saw the system finds the component, and by what."""
    fault: Fault | None = None
    """What the mesh is told."""
    classes: tuple[str, ...] = ()
    """Classes of calls between two hosts; "none" are calls that succeed."""


SCREENS = (
    Screen(
        "failing-statement",
        "From 40 % of the window on, every `SELECT` on the table `mesh_prices` of the database fails.",
        "the statement `SELECT mesh_prices` at `pg`",
        ("SELECT mesh_prices",),
        "Found at once: the headline is the statement, with the service that it runs at.",
        Fault("failing statement", [("statement", "SELECT mesh_prices (pg)")], statement=("prices", 0.0, 1.0)),
    ),
    Screen(
        "slow-service",
        "From 40 % of the window on, six in ten requests to `bank`, three calls below the entry, take 150 ms longer.",
        "the service `bank`",
        ("bank",),
        (
            "Found at once: headline and likeliest component are `bank`, and its own 154 ms stand in the second "
            "finding. Where more than half of the calls of an operation are slow for the whole window, slow is what "
            "is usual, and this screen does not tell: that takes `--compare` with a better time."
        ),
        Fault("slow service", [("service", "bank")], {"bank1-8110": {"slow_ms": 150, "share": 0.6}}),
    ),
    Screen(
        "flaky-instance",
        "Of the three instances of `price`, the one at `price2:8103` answers four in ten requests with 500, from 40 % on.",
        "the instance `price2:8103`",
        ("price2",),
        (
            "Found at the second look: the headline names the operation and the service, and the instance stands "
            "first beside the findings, and none of the two others."
        ),
        Fault("flaky instance", [("instance", "price2:8103")], {"price2-8103": {"fail": 0.4}}),
    ),
    Screen(
        "slow-link",
        "Packets between `stock1` and the database `pg1`, and only those, are held back for 45 ms each way.",
        "the network between `stock1` and `pg1`",
        ("stock → pg", "stock1 ↔ pg1", "pg1 ↔ stock1"),
        (
            "Found at once: both ends stand in the headline, and the finding says that the callees answered as fast "
            "as ever."
        ),
        Fault(
            "slow link",
            [("edge", "stock1 ↔ pg1")],
            links={"stock1": {"delay_ms": 45, "peer": plan.address(plan.DATABASE)}},
        ),
    ),
    Screen(
        "n-plus-one",
        "`catalog` asks the database for ten entries one by one.",
        "the repeated statement `SELECT mesh_entries` of `catalog`",
        ("SELECT mesh_entries",),
        "Found at once: who asks, what for, and how often.",
        Fault(
            "n-plus-one", [("statement", "SELECT mesh_entries (pg)")], {"catalog1-8106": {"repeat": 10}}, always=True
        ),
    ),
    Screen(
        "client-timeout",
        "A quarter of the requests to `bank` take 3 s, and `payment` gives each up after 450 ms.",
        "the timeout of `payment` that waits for `bank`",
        ("payment", "bank"),
        (
            "Found at once: `bank` does not answer, as the second sentence explains. That `payment` gives it 450 ms "
            "is the third finding, below this picture."
        ),
        Fault(
            "client-timeout",
            [("edge", "payment → bank"), ("ms", "450")],
            {"bank1-8110": {"slow_ms": 3000, "share": 0.25}, "payment1-8109": {"stall": "bank", "timeout_ms": 450}},
            always=True,
        ),
    ),
    Screen(
        "exhausted-pool",
        "Statements on the table `mesh_stock` take 330 ms, so that requests to `stock` queue for its six connections.",
        "the pool of `stock` to `pg`, and the statement that holds it",
        ("stock on stock1 to pg1:5432",),
        (
            "Found at once: the pool with both its ends, and how long a connection is held. Which statement holds it "
            "is told under the further findings, not on this screen."
        ),
        Fault("pool-size", [("edge", "stock → pg"), ("size", "6")], statement=("stock", 330.0, 0.0), always=True),
    ),
    Screen(
        "server-stopped",
        "The processes of `shop` that serve half of the calls are stopped (`SIGSTOP`) when the request has come.",
        "the server at `shop1`, not the network",
        ("shop",),
        (
            "Found: the second sentence tells the stopped server from a network that loses, and the two ports stand "
            "beside the findings."
        ),
        classes=("server_stopped", "none"),
    ),
    Screen(
        "lost-requests",
        "A link loses the packets of half of the requests, and of nothing else; the client waits 500 ms.",
        "the network between `client` and `shop1`",
        ("request lost",),
        (
            "Found by the second sentence: requests never reached the server, so the way there lost them. The list "
            "beside the findings would mislead by itself: it puts the service before the way to it."
        ),
        classes=("request_dropped", "none"),
    ),
    Screen(
        "failing-lookups",
        "Lookups of names are answered with NXDOMAIN or SERVFAIL, or not at all; other calls succeed.",
        "the name server at `shop1`",
        ("dns",),
        (
            "Found: the headline names the lookups, and the card links one, which tells the server. Suspects are "
            "found by requests, so the list beside is about slow ones, and says nothing of the name server."
        ),
        classes=("name_lookup", "none"),
    ),
)


def record(out: Path) -> None:
    """Record the systems that were not kept, each in a folder of its own."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "names.toml").write_text(plan.owners_file())
    missing = [screen for screen in SCREENS if not (out / screen.name).exists()]
    faults = [(screen.name, screen.fault) for screen in missing if screen.fault is not None]
    if faults:
        with Mesh(out, SEED) as mesh:
            mesh.window("warm-up" + str(time.time_ns()), [], 60)
            for name, fault in faults:
                mesh.window(name, [fault])
            mesh.finish()
    for screen in missing:
        if screen.classes:
            record_faults(FaultOptions(out / screen.name, FAULTY_CALLS, screen.classes, SEED))


def report_of(out: Path, screen: Screen) -> Path:
    """The report of one system."""
    path, report = out / f"{screen.name}.case", out / f"{screen.name}.html"
    if not path.exists():
        captures = sorted((out / screen.name).glob("*.pcap"))
        names = read_names(out / "names.toml") if screen.fault is not None else {}
        with CaseWriter(path) as writer:
            analyze(captures, Settings(jobs=1, names=names), NoProgress(), writer)
    write_report(Case.open(path), report)
    return report


def picture_of(page: Page) -> bytes:
    """What is on the screen, as a small PNG."""
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    small = io.BytesIO()
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


def main(keep: Path | None) -> int:
    """Record, analyze, open, and write the page. 1 if a headline does not name what was injected."""
    executable = shutil.which("chromium")
    if executable is None:
        sys.exit("chromium is not installed; run tests/install.sh")
    IMAGES.mkdir(parents=True, exist_ok=True)
    missed = 0
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        out = keep or Path(temporary)
        record(out)
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        sections = []
        for screen in SCREENS:
            page = browser.new_page(viewport=WINDOW, timezone_id="UTC")
            page.goto(report_of(out, screen).as_uri())
            page.wait_for_selector("main h1", state="attached")
            said = page.locator("h1").inner_text()
            picture = picture_of(page)
            look = page.locator(".look li .look-name").all_inner_texts()
            page.close()
            if len(picture) > MOST_BYTES:
                sys.exit(f"{screen.name}: {len(picture)} bytes; at most {MOST_BYTES} belong into the repository")
            (IMAGES / f"{screen.name}.png").write_bytes(picture)
            likeliest = " ".join(look[0].split("\n")[:-1]) if look else "none"
            named = any(word in f"{said} {likeliest}" for word in screen.words)
            missed += not named
            print(f"{'ok  ' if named else 'MISS'} {screen.name}: {said} ({len(picture) // 1000} kB)", flush=True)
            sections.append(section(screen, said, likeliest))
        browser.close()
    (DOCS / "first-screens.md").write_text(HEAD + "".join(sections))
    return 1 if missed else 0


HEAD = """# Ten first screens

Whoever opens a report should find the component that is at fault from the first screen, without having seen the system
before. These are the first screens of ten systems into which a fault was injected, as `python tools/take_first_screens.py`
records, analyzes and photographs them: what was done, what the report says first, and how it was judged.
"""


def section(screen: Screen, said: str, likeliest: str) -> str:
    """What the page says of one system."""
    return f"""
## {screen.name.replace("-", " ").capitalize()}

Injected: {screen.injected}
To be found: {screen.component}.

> {said}

Where to look first: {likeliest}. {screen.judged}

![The first screen of the report: {said}](images/first-screens/{screen.name}.png)
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    sys.exit(main(options.keep))
