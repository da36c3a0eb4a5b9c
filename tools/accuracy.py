"""What share of the truth is found, proved and linked. `make accuracy` prints it all.

Usage: python tools/accuracy.py [lab] [servers] [faults] [queues] [pairing] [linking] [tls] [diagnosis]
                                [--calls N] [--exchanges N] [--windows N] [--seed N]

lab       a real system is recorded at concurrency 1, 8 and 64, analyzed, and compared with what its applications wrote
          down: calls found, calls invented, parents right, whole trees right. Nothing on the wire tells the parent.
servers   real servers of all protocols that Debian or PyPI has are asked a known number of calls: calls found, told with
          the right status and outcome, invented
faults    calls that fail in known ways between real processes: what they are taken for with both sides captured, and
          what one side leaves open
queues    messages through Redis and RabbitMQ: who put them there, who took them off, what was done because of them
pairing   packets are removed at random from captures of real servers: false pairs, and what is still found
linking   public sets of calls with true parents, by timing alone
tls       opaque calls: a capture of HTTP/1.1 under TLS read without its keys, compared with what is read with them
diagnosis a mesh of services with injected faults: the true component first, what changed, and quiet where nothing is wrong

Exit status 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import accuracy_diagnosis
import accuracy_faults
import accuracy_linking
import accuracy_pairing
import accuracy_queues
import accuracy_servers
import accuracy_tls

ROOT = Path(__file__).resolve().parents[1]
LAB_RUNS = ((1, 400, 0.999), (8, 2000, 0.97), (64, 4000, 0.90))
"""Concurrency, requests, and the share of parents that has to be right."""
FOUND_AT_LEAST = 0.999


def main() -> int:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ["lab", "servers", "faults", "queues", "pairing", "linking", "tls", "diagnosis"]
    parser.add_argument("parts", nargs="*", choices=[*known, []], help="all, if none is named")
    parser.add_argument("--calls", type=int, default=accuracy_servers.CALLS, help="calls to each server, about")
    parser.add_argument("--exchanges", type=int, default=100_000, help="exchanges of each protocol for pairing")
    parser.add_argument("--windows", type=int, default=24, help="windows with one fault for diagnosis; 200 for all")
    parser.add_argument("--seed", type=int, default=1, help="seed of the faults that faults and diagnosis inject")
    options = parser.parse_args()
    parts = options.parts or known
    good = True
    if "lab" in parts:
        good &= measure_lab()
    if "servers" in parts:
        good &= accuracy_servers.main(calls=options.calls)
    if "faults" in parts:
        good &= accuracy_faults.main(seed=options.seed)
    if "queues" in parts:
        good &= accuracy_queues.main()
    if "pairing" in parts:
        good &= accuracy_pairing.main(options.exchanges)
    if "linking" in parts:
        good &= accuracy_linking.main() == 0
    if "tls" in parts:
        good &= accuracy_tls.main()
    if "diagnosis" in parts:
        good &= accuracy_diagnosis.main(options.windows, options.seed)
    print("All goals met." if good else "A goal is missed.")
    return 0 if good else 1


def measure_lab() -> bool:
    """Record, analyze and score the lab. Whether the goals are met."""
    good = True
    print("The lab, no identifier on the wire: shares of the truth")
    print(f"{'concurrency':>12}{'calls':>9}{'found':>9}{'invented':>10}{'parents':>9}{'goal':>7}{'trees':>8}{'ECE':>8}")
    for concurrency, requests, goal in LAB_RUNS:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "recording"
            lab = [sys.executable, "-m", "tests.lab", "--out", str(out)]
            run([*lab, "--requests", str(requests), "--concurrency", str(concurrency)])
            calls = Path(folder) / "calls.jsonl"
            captures = sorted(str(path) for path in out.glob("*.pcap"))
            run([sys.executable, "-m", "wiretrace", "analyze", *captures, "--jsonl", str(calls)])
            scored = run([sys.executable, "-m", "tests.lab.score", str(out / "truth.jsonl"), str(calls)])
        score = json.loads(scored)
        found, parents = score["found_share"], score["parent_right_share"]
        error = score["confidence"]["expected_calibration_error"]
        print(
            f"{concurrency:>12}{score['truth_calls']:>9,}{found:>9.2%}{score['invented']:>10}{parents:>9.2%}{goal:>7.1%}"
            f"{score['trees_right_share']:>8.1%}{error:>8.4f}",
            flush=True,
        )
        good = good and found >= FOUND_AT_LEAST and not score["invented"] and parents >= goal
    return good


def run(command: list[str]) -> str:
    """Run a command of the project; its standard output."""
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=1800)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
