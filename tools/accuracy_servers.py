"""What share of the calls that real servers answered is found, and told right.

Clients make a known number of calls and write down what they asked and what they were answered; all is recorded on
loopback, analyzed by `wiretrace analyze`, and compared. Found is a call with its operation, its own number where the
protocol shows one, and its connection; right, if its status and outcome are what the client was told. What protocol and
library ask on their own account (logins, pings) is counted apart, by name; whatever else nobody asked for is invented.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.lab.speakers.comparison import measure  # noqa: E402 - the path is set only now
from tests.lab.speakers.scenarios import SCENARIOS  # noqa: E402

CALLS = 1500
"""Calls that are made to each server, about."""


def main(names: list[str] | None = None, calls: int = CALLS, keep: Path | None = None) -> bool:
    """Print the table. False if a goal is missed: everything found and right, nothing invented."""
    print("Calls that real servers answered: shares of what their clients wrote down")
    print(f"{'':<36}{'calls':>7}{'found':>9}{'right':>9}{'invented':>10}{'own':>6}{'seconds':>9}")
    good = True
    for scenario in SCENARIOS:
        if names and not any(name in scenario.name for name in names):
            continue
        began = time.monotonic()
        score = measure(scenario, calls, keep)
        print(
            f"{scenario.name:<36}{score.made:>7,}{score.found / score.made:>9.2%}{score.right / score.made:>9.2%}"
            f"{score.invented:>10}{score.own:>6}{time.monotonic() - began:>9.1f}",
            flush=True,
        )
        for each in score.differences:
            print(f"    {each}")
        good = good and score.perfect
    return good


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
