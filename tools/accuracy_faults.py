"""How well calls that fail are told: classes of fault with both sides captured, and what one side leaves open.

Usage: python tools/accuracy_faults.py [--count N] [--seed N] [--recording DIRECTORY] [--verbose]

The fault lab records N calls of each class of fault between real processes, at both hosts, with the truth. A goal is that
with both captures the classes are told apart (macro-F1), and that with one capture the truth is always among what is said
to be possible, that few things are, and that nothing wrong is ever claimed. Exit status 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.lab.faults.recording import FaultOptions, record_faults  # noqa: E402
from tests.lab.faults.score import UNSEEN, Score, analyzed, score  # noqa: E402
from tests.lab.faults.truth import CLIENT, FAULTS, OUTCOME_OF, SERVER, read_truth  # noqa: E402

F1_AT_LEAST = 0.97
SIZE_AT_MOST = 2.5
SIDES = {"both sides": (CLIENT, SERVER), "the client's side": (CLIENT,), "the server's side": (SERVER,)}


def main(count: int = 100, recording: Path | None = None, verbose: bool = False, seed: int = 1) -> bool:
    """Record, unless there is a recording, analyze, and print. Whether the goals are met."""
    with tempfile.TemporaryDirectory() as folder:
        out = recording or Path(folder) / "recording"
        if recording is None:
            record_faults(FaultOptions(out, count, seed=seed))
        truth = read_truth(out / "truth.jsonl")
        scores = {
            name: score(analyzed(Path(folder) / "faults.case", [out / f"{host}.pcap" for host in hosts]), truth)
            for name, hosts in SIDES.items()
        }
    return show(scores, len(truth), verbose)


def show(scores: dict[str, Score], calls: int, verbose: bool) -> bool:
    """Print the scores. Whether the goals are met."""
    both = scores["both sides"]
    print(f"Faults: {calls:,} calls with their truth; what each class was taken for with both sides captured")
    for fault in OUTCOME_OF:
        taken = {name: number for (truth, name), number in both.confusion.items() if truth == fault}
        if taken:
            figure = f"F1 {both.f1(fault):.3f}" if fault in FAULTS else "control"
            words = ", ".join(f"{name} {number}" for name, number in sorted(taken.items(), key=lambda each: -each[1]))
            print(f"  {fault:<18}{figure:>9}   {words}")
    good = both.macro_f1 >= F1_AT_LEAST
    print(f"  macro-F1 {both.macro_f1:.4f} (goal {F1_AT_LEAST})")
    print(f"{'':<20}{'unseen':>8}{'truth outside':>15}{'wrong claims':>14}{'spoiled':>9}{'mean size':>11}")
    for name, each in scores.items():
        unseen = sum(number for (_, taken), number in each.confusion.items() if taken == UNSEEN)
        print(
            f"{name:<20}{unseen:>8}{len(each.outside):>15}{len(each.claims):>14}{len(each.spoiled):>9}{each.mean_size:>11.2f}"
        )
        good &= not each.spoiled
        if name != "both sides":
            good &= not each.outside and each.mean_size <= SIZE_AT_MOST
        if verbose:
            for true, outcome, possible in each.outside:
                print(f"    {true.fault} {true.variant} port {true.client_port}: {outcome} {possible}")
    return good


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="calls of each class")
    parser.add_argument("--seed", type=int, default=1, help="seed of their order and of the waits")
    parser.add_argument("--recording", type=Path, help="one that was made before")
    parser.add_argument("--verbose", action="store_true", help="name the calls that were not told rightly")
    options = parser.parse_args()
    sys.exit(not main(options.count, options.recording, options.verbose, options.seed))
