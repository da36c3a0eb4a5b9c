"""Measures the diagnosis on a mesh of services into which faults are injected, whose truth the injector writes.

Usage: python tools/accuracy_diagnosis.py [--windows N] [--seed N] [--keep DIRECTORY] [--again]

The mesh is started for a round of windows; each fault gets a window of a few seconds and a few hundred requests, recorded
at every host, and is analyzed alone. N windows hold one random fault; half as many a change for `diff`, a quarter two
faults, a quarter none, and an eighth each one behaviour that a rule has to tell (N+1, a step left out, a duplicate, a
timeout, a pool).
--keep keeps recordings and cases, --again scores what was kept.

Each share is printed beside its goal.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.lab.mesh import plan  # noqa: E402
from tests.lab.mesh.run import BEHAVIOURS, REQUESTS, Fault, Mesh, behaviour, random_fault  # noqa: E402

from wiretrace.case.reader import Case  # noqa: E402
from wiretrace.case.writer import CaseWriter  # noqa: E402
from wiretrace.diagnosis.comparison import compare  # noqa: E402
from wiretrace.diagnosis.diagnose import diagnose  # noqa: E402
from wiretrace.diagnosis.measured import Measured  # noqa: E402
from wiretrace.diagnosis.observed import Observed  # noqa: E402
from wiretrace.hosts.names_file import read_names  # noqa: E402
from wiretrace.model.progress import NoProgress  # noqa: E402
from wiretrace.model.settings import Settings  # noqa: E402
from wiretrace.pipeline import analyze  # noqa: E402

SAME = re.compile(r"The same calls go through (.*): nothing tells")
ROUND = 24
"""Windows with one fault, and those that go with them, between two starts of the mesh: some six minutes."""
ONLY_WHERE_INJECTED = ("n-plus-one", "missing-call", "duplicate-write")


@dataclass(slots=True)
class Score:
    """What was counted."""

    hits: dict[str, list[bool]] = field(default_factory=dict)

    def add(self, goal: str, hit: bool) -> None:
        """Count one window towards a goal."""
        self.hits.setdefault(goal, []).append(hit)


GOALS = {
    "one fault: first": 0.90,
    "one fault: among three": 0.99,
    "two faults: both among four": 0.90,
    "no fault: nothing above info": 0.95,
    "diff: the change is first": 0.95,
    "diff: parts within 5 % of the whole": 1.0,
    "diff: nothing flagged where nothing changed": 0.95,
    "diff: nothing flagged between every other request": 0.95,
    "n-plus-one: found": 0.99,
    "missing-call: found": 0.99,
    "duplicate-write: found": 0.99,
    "nowhere else: n-plus-one, missing-call, duplicate-write": 0.99,
    "client-timeout: within 2 %": 1.0,
    "pool-size: exact": 1.0,
}


def main(windows: int = 24, seed: int = 1, keep: Path | None = None, again: bool = False) -> bool:
    """Record, analyze, score and print. Whether the goals are met."""
    with tempfile.TemporaryDirectory() as temporary:
        out = keep or Path(temporary)
        if not again:
            record(out, windows, seed)
        score = Score()
        folders = sorted(path.parent for path in out.glob("*/truth.json") if not path.parent.name.startswith("warm-up"))
        with ProcessPoolExecutor(2) as pool:
            cases = dict(zip(folders, pool.map(analyzed, folders), strict=True))
        for folder, path in cases.items():
            judge(folder, Case.open(path), score)
        compare_windows(cases, score)
    print("Diagnosis, on a mesh of 13 services with injected faults")
    good = True
    for goal, least in GOALS.items():
        hits = score.hits.get(goal, [])
        share = sum(hits) / len(hits) if hits else 0.0
        met = bool(hits) and share >= least
        good &= met
        print(f"{goal:<58}{sum(hits):>5} of {len(hits):<5}{share:>7.1%}{least:>7.0%}{'' if met else '  missed'}")
    return good


def record(out: Path, windows: int, seed: int) -> None:
    """Record all windows, a mesh that is started afresh for each round of them."""
    source = random.Random(seed)
    out.mkdir(parents=True, exist_ok=True)
    (out / "names.toml").write_text(plan.owners_file())
    for first in range(0, windows, ROUND):
        with Mesh(out, seed + first) as mesh:
            mesh.window(f"warm-up-{first:03}", [], 60)
            for number in range(first, min(first + ROUND, windows)):
                record_some(mesh, number, source)
            mesh.finish()


def record_some(mesh: Mesh, number: int, source: random.Random) -> None:
    """The window with one fault of this number, and those of the other kinds whose turn it is."""
    mesh.window(f"one-{number:03}", [random_fault(source)])
    if number % 2 == 0:
        mesh.window(f"diff-{number:03}", [change(source)])
    if number % 4 == 0:
        mesh.window(f"none-{number:03}", [])
        mesh.window(f"two-{number:03}", [random_fault(source), random_fault(source)])
    if number % 8 == 0:
        for what in BEHAVIOURS:
            requests = 2 * REQUESTS if what == "missing-call" else REQUESTS
            mesh.window(f"behaviour-{number:03}-{what}", [behaviour(what, source)], requests)


def change(source: random.Random) -> Fault:
    """A fault that holds for a whole window, and that requests show."""
    while True:
        fault = random_fault(source)
        if "instance" not in fault.kind and "host" not in fault.kind and "link" not in fault.kind:
            fault.always = True
            return fault


def analyzed(folder: Path) -> Path:
    """The case of a window."""
    path = folder.parent / "cases" / f"{folder.name}.case"
    if not path.exists():
        names = read_names(folder.parent / "names.toml")
        with CaseWriter(path) as writer:
            analyze(sorted(folder.glob("*.pcap")), Settings(jobs=1, names=names), NoProgress(), writer)
    return path


def judge(folder: Path, case: Case, score: Score) -> None:
    """Count one window."""
    kind = folder.name.partition("-")[0]
    truth = json.loads((folder / "truth.json").read_text())
    tables = diagnose(case)
    findings = tables["findings"].to_pylist()
    suspects = [row for row in tables["suspects"].to_pylist() if not row["cleared"]]
    ranks = [rank_of({tuple(name) for name in fault["truth"]}, suspects) for fault in truth]
    grave = [row["title"] for row in findings if row["severity"] != "info"]
    missed = False
    if kind == "one":
        score.add("one fault: first", ranks == [1])
        score.add("one fault: among three", 1 <= ranks[0] <= 3)
        missed = ranks != [1]
    elif kind == "two":
        missed = not all(1 <= rank <= 4 for rank in ranks)
        score.add("two faults: both among four", not missed)
    elif kind == "none":
        missed = bool(grave)
        score.add("no fault: nothing above info", not missed)
    elif kind == "behaviour":
        missed = not behaviour_found(truth[0], findings, score)
    injected = {fault["kind"] for fault in truth}
    for code in ONLY_WHERE_INJECTED:
        told = any(row["code"] == code for row in findings)
        if code not in injected:
            score.add("nowhere else: n-plus-one, missing-call, duplicate-write", not told)
            missed |= told
    if missed:
        print(f"{folder.name}: {[(fault['kind'], fault['truth'][0][1]) for fault in truth]}, ranks {ranks}")
        for row in suspects[:3]:
            print(f"    {row['component_kind']} {row['component']} {row['score']:.2f}: {row['words']}")
        for title in [row["title"] for row in findings][:4]:
            print(f"    {title}")


def rank_of(truth: set[tuple[str, ...]], suspects: list[dict[str, Any]]) -> int:
    """The rank of the true component, under any of its names; 0 where it is not suspected."""
    for rank, row in enumerate(suspects, 1):
        names = {(row["component_kind"], row["component"])}
        if (same := SAME.search(row["words"])) is not None:
            names |= {tuple(name.split(" ", 1)) for name in same[1].split(", ")}
        if names & truth:
            return rank
    return 0


def behaviour_found(truth: dict[str, Any], findings: list[dict[str, Any]], score: Score) -> bool:
    """Whether a behaviour was told of the right component, with the right figure."""
    code, component = truth["kind"], truth["truth"][0][1]
    titles = [row["title"] for row in findings if row["code"] == code and row["component"] == component]
    if code == "client-timeout":
        wanted = float(truth["truth"][1][1])
        told = [re.search(r"after ([\d.]+) (ms|s)\b", title) for title in titles]
        waits = [float(match[1]) * (1000 if match[2] == "s" else 1) for match in told if match]
        found = any(abs(wait - wanted) <= 0.02 * wanted for wait in waits)
        score.add("client-timeout: within 2 %", found)
    elif code == "pool-size":
        found = any(f" has {truth['truth'][1][1]} connections" in title for title in titles)
        score.add("pool-size: exact", found)
    else:
        found = bool(titles)
        score.add(f"{code}: found", found)
    return found


def half_of(path: Path, number: int) -> Observed:
    """A case with every other request of it, those of even or of odd number: two sides for which all else is equal."""
    observed = Observed(Case.open(path))
    observed.entering[np.flatnonzero(observed.entering)[1 - number :: 2]] = False
    return observed


def compare_windows(cases: dict[Path, Path], score: Score) -> None:
    """Compare windows without a fault with each other and with themselves, and with those that hold a change.

    Between two windows the machine may have got busier: that is told of all services at once, and counted apart from what is
    flagged. Between every other request it can not.
    """
    sides = {
        folder.name: Measured(Observed(Case.open(path)))
        for folder, path in cases.items()
        if folder.name.startswith(("none", "diff"))
    }
    quiet = sorted(name for name in sides if name.startswith("none"))
    told = 0
    for one, other in itertools.pairwise(quiet):
        comparison = compare(sides[one], sides[other])
        flags = [(each.operation, each.flagged) for each in comparison.operations if each.flagged]
        told += bool(comparison.shared)
        score.add("diff: nothing flagged where nothing changed", not flags and not comparison.steps)
        if flags or comparison.steps:
            print(f"{one} against {other}: {flags} {[(step.callee, step.flagged) for step in comparison.steps]}")
    print(f"{told} pairs of quiet windows were told that all services together took longer, or shorter")
    for folder, case in cases.items():
        if folder.name.startswith("none"):
            comparison = compare(*(Measured(half_of(case, number)) for number in range(2)))
            flagged = [each for each in comparison.operations if each.flagged]
            score.add("diff: nothing flagged between every other request", not flagged and not comparison.steps)
        if not folder.name.startswith("diff"):
            continue
        number = int(folder.name[-3:])
        comparison = compare(sides[f"none-{number - number % 4:03}"], sides[folder.name])
        truth = json.loads((folder / "truth.json").read_text())[0]
        names = {tuple(name) for name in truth["truth"]}
        step = comparison.steps[0] if comparison.steps else None
        told = {("service", step.callee), ("statement", f"{step.operation} ({step.callee})")} if step else set()
        hit = bool(told & names)
        score.add("diff: the change is first", hit)
        for each in comparison.operations:
            for percentile in each.percentiles:
                whole = percentile.after_ns - percentile.before_ns
                split = sum(part.change_ns for part in percentile.parts)
                score.add("diff: parts within 5 % of the whole", abs(split - whole) <= 0.05 * abs(whole) + 1000)
        if not hit:
            print(f"{folder.name}: {truth['kind']} {sorted(names)}: {step}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=24, help="windows with one fault; 200 for the whole measurement")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--again", action="store_true", help="score what --keep kept")
    options = parser.parse_args()
    sys.exit(0 if main(options.windows, options.seed, options.keep, options.again) else 1)
