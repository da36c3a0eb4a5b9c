"""Records a scenario on loopback, analyzes it as a user does, and compares what was found with what the clients wrote down.

A call is found if the analysis has one with its operation, its nonce and its connection; it is right if that one has its
status and outcome, too. Of calls that have all this in common, as many are found as there are on both sides. What is left
of the analysis is invented, unless its operation is the protocol's own.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.lab.speakers.diary import Diary

if TYPE_CHECKING:
    from tests.lab.speakers.diary import Call, Scenario

ROOT = Path(__file__).resolve().parents[3]
NONCE = re.compile(r"nonce(\d{5,})")
SETTLE_SECONDS = 1.5
"""Time that the recorder is given for the last packets: the kernel hands them over once a second (pcap_set_timeout)."""
ANALYZE_SECONDS = 300
SHOWN = 4
"""Calls of each kind of difference that are shown."""

Key = tuple[str, int, int]


class Score(NamedTuple):
    """What share of the truth was found."""

    made: int
    found: int
    right: int
    invented: int
    own: int
    """Calls that are the protocol's own."""
    differences: list[str]
    """The first ones, in words."""

    @property
    def perfect(self) -> bool:
        """Whether all is as the clients say."""
        return self.made == self.found == self.right and not self.invented


def measure(scenario: Scenario, calls: int, keep: Path | None = None) -> Score:
    """Start the server, make the calls, record, analyze and compare. What was recorded stays in `keep` if that is given."""
    with tempfile.TemporaryDirectory() as name:
        folder = keep or Path(name)
        diary = Diary(folder / f"{scenario.name.replace(' ', '_').replace('/', '_')}.keys")
        capture = diary.key_log.with_suffix(".pcap")
        (folder / "server").mkdir(exist_ok=True)
        with scenario.server(folder / "server") as port:
            record(capture, port, scenario, diary, calls)
        return compare(scenario, diary.calls, analyzed(capture, diary.key_log), port)


def record(capture: Path, port: int, scenario: Scenario, diary: Diary, calls: int) -> None:
    """Let the clients speak, and write what goes over the port into `capture`."""
    command = ["tcpdump", "-i", "lo", "-s", "0", "-B", "65536", "-Z", "root", "-w", str(capture), f"port {port}"]
    recorder = subprocess.Popen(command, stderr=subprocess.PIPE)
    assert recorder.stderr is not None
    try:
        heard = recorder.stderr.readline()
        assert b"listening" in heard, heard
        scenario.speak(port, diary, calls)
        time.sleep(SETTLE_SECONDS)
    finally:
        recorder.send_signal(signal.SIGINT)
        _, told = recorder.communicate(timeout=20)
    assert b"\n0 packets dropped by kernel" in told, told


def analyzed(capture: Path, key_log: Path) -> list[dict[str, Any]]:
    """The calls that `wiretrace analyze` finds."""
    found = capture.with_suffix(".jsonl")
    command = [sys.executable, "-m", "wiretrace", "analyze", str(capture), "--jsonl", str(found), "--keep-values"]
    command += ["--tls-keylog", str(key_log)] if key_log.exists() else []
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=ANALYZE_SECONDS, cwd=ROOT / "src"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in found.read_text().splitlines()]


def compare(scenario: Scenario, truth: list[Call], rows: list[dict[str, Any]], port: int) -> Score:
    """Match the calls of the truth with the rows of the analysis."""
    without_port = {call.operation for call in truth if not call.connection}
    seen: dict[Key, Counter[tuple[str, str]]] = defaultdict(Counter)
    for row in rows:
        connection = 0 if row["operation"] in without_port else other_end(row, port)
        seen[row["operation"], nonce_of(row), connection][row["status"], row["outcome"]] += 1
    told: dict[Key, Counter[tuple[str, str]]] = defaultdict(Counter)
    for call in truth:
        key = call.operation, call.nonce, call.connection
        ending = call.status, call.outcome
        if call.otherwise is not None and seen[key][call.otherwise] > told[key][call.otherwise]:
            ending = call.otherwise
        told[key][ending] += 1
    found = right = invented = own = 0
    differences: dict[str, list[str]] = defaultdict(list)
    for key in told.keys() | seen.keys():
        wanted, had = told.get(key, Counter()), seen.get(key, Counter())
        both = min(wanted.total(), had.total())
        alike = (wanted & had).total()
        found += both
        right += alike
        if wanted.total() > both:
            differences["not found"].append(f"{key} {dict(wanted)}, but {dict(had)}")
        elif alike < both:
            differences["not right"].append(f"{key} {dict(wanted - had)}, but {dict(had - wanted)}")
        if had.total() > both:
            if key[0] in scenario.own:
                own += had.total() - both
            else:
                invented += had.total() - both
                differences["invented"].append(f"{key} {dict(had)}, but {dict(wanted)}")
    shown = [f"{kind}: {each}" for kind, some in sorted(differences.items()) for each in sorted(some)[:SHOWN]]
    return Score(len(truth), found, right, invented, own, shown)


def nonce_of(row: dict[str, Any]) -> int:
    """The number that a call shows, or 0."""
    attributes = row["attributes"].values()
    for text in (row["operation"], row["summary"], *attributes):
        shown = NONCE.search(text) if isinstance(text, str) else None
        if shown is not None:
            return int(shown[1])
    return 0


def other_end(row: dict[str, Any], port: int) -> int:
    """The port of a call's connection that is not the server's."""
    ends = [row[end]["port"] for end in ("client", "server") if row[end]]
    return next((end for end in ends if end != port), 0)
