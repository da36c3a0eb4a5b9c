"""Time and memory of the analyzer on a lab recording, beside tshark on the same file in the same run.

Usage: python tools/bench.py [--requests N] [--file CAPTURE]

Prints CPU seconds and peak memory of `wiretrace analyze FILE -o CASE --jobs 1` and of tshark printing the fields of the
same protocols, the ratio of the two, the share that reading (packets to exchanges) takes of ours, and the same for a file
five times as long (the recording repeated with other addresses and later times), where memory may not grow.
"""

from __future__ import annotations

import argparse
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
TSHARK_FIELDS = ("frame.number", "http.request.uri", "http.response.code", "pgsql.query", "mysql.query")
REQUESTS = 64_000
"""Requests of the lab that make a recording of about 200 MB."""
REPEATS = 5
RATIO_GOAL = 1 / 8
MEMORY_GOAL_MB = 400


class Cost(NamedTuple):
    """What a process took."""

    cpu: float
    wall: float
    peak_mb: float


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--file", type=Path, help="a pcap file to use instead of a fresh recording")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        capture = options.file or record(folder, options.requests)
        print(f"{capture.stat().st_size / 1e6:,.0f} MB, one file of all hosts")
        tshark = cost(["tshark", "-n", "-r", str(capture), "-Y", "http or pgsql or mysql", "-T", "fields", *fields()])
        ours = cost(analyze(capture, folder / "one.case"))
        row("tshark", tshark)
        row("wiretrace analyze", ours)
        print(f"{'ratio of CPU':<22}{ours.cpu / tshark.cpu:>9.3f}   goal {RATIO_GOAL:.3f}")
        longer = folder / "longer.pcap"
        repeat(capture, longer, REPEATS)
        print(f"{longer.stat().st_size / 1e6:,.0f} MB, the same {REPEATS} times with other addresses")
        five = cost(analyze(longer, folder / "five.case"))
        row("wiretrace analyze", five)
        help_seconds = min(cost([sys.executable, "-m", "wiretrace", "--help"]).wall for _ in range(5))
        print(f"{'wiretrace --help':<22}{help_seconds:>9.3f} s wall, goal 0.25")
    met = ours.cpu / tshark.cpu <= RATIO_GOAL and ours.peak_mb < MEMORY_GOAL_MB and five.peak_mb < MEMORY_GOAL_MB
    print("All goals met." if met and help_seconds < 0.25 else "A goal is missed.")
    return 0 if met and help_seconds < 0.25 else 1


def record(folder: Path, requests: int) -> Path:
    """A fresh recording of the lab, all hosts in one file."""
    lab = [sys.executable, "-m", "tests.lab", "--out", str(folder / "lab"), "--record", "bridge"]
    subprocess.run([*lab, "--requests", str(requests), "--concurrency", "64"], cwd=ROOT, check=True, stdout=sys.stderr)
    return folder / "lab" / "all.pcap"


def analyze(capture: Path, case: Path) -> list[str]:
    """The command under test."""
    return [sys.executable, "-m", "wiretrace", "analyze", str(capture), "-o", str(case), "--jobs", "1"]


def fields() -> list[str]:
    """The fields that tshark prints."""
    return [word for field in TSHARK_FIELDS for word in ("-e", field)]


def cost(command: list[str]) -> Cost:
    """Run a command and take its CPU time and peak memory from the operating system."""
    with Path(os.devnull).open("wb") as sink:
        begin = time.monotonic()
        process = subprocess.Popen(command, cwd=ROOT, stdout=sink, stderr=subprocess.PIPE)
        assert process.stderr is not None
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begin
    if status:
        raise SystemExit(f"{shutil.which(command[0])} failed: {errors[-500:].decode(errors='replace')}")
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


def row(name: str, cost: Cost) -> None:
    """One row of the table."""
    print(f"{name:<22}{cost.cpu:>9.2f} s CPU{cost.wall:>9.2f} s wall{cost.peak_mb:>8.0f} MB", flush=True)


def repeat(capture: Path, longer: Path, times: int) -> None:
    """Write a pcap file of Ethernet frames several times in a row, each time later and between other addresses."""
    data = capture.read_bytes()
    first = struct.unpack_from("<I", data, 24)[0]
    last = first
    with longer.open("wb") as sink:
        sink.write(data[:24])
        for number in range(times):
            span = (last - first + 5) * number
            at = 24
            while at + 16 <= len(data):
                seconds, fraction, length, original = struct.unpack_from("<IIII", data, at)
                last = max(last, seconds)
                packet = bytearray(data[at + 16 : at + 16 + length])
                if packet[12:14] == b"\x08\x00":
                    packet[27] += number
                    packet[31] += number
                elif packet[12:14] == b"\x86\xdd":
                    packet[24] += number
                    packet[40] += number
                sink.write(struct.pack("<IIII", seconds + span, fraction, length, original))
                sink.write(packet)
                at += 16 + length


if __name__ == "__main__":
    sys.exit(main())
