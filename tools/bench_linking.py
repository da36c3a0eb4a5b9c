"""Time and memory of `wiretrace link` on a million calls at 64 requests in flight, and how many links are right.

Usage: python tools/bench_linking.py [--calls N] [--concurrency N]

The calls are simulated (tests/linking/simulator.py): requests of a web tier to a shop that asks a cache, a database, and a
stock service with a database of its own; timing alone tells the parent. Exit status 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.linking.simulator import Call, Simulation  # noqa: E402

CALLS = 1_000_000
CONCURRENCY = 64
CALLS_OF_A_REQUEST = 7.6
"""About."""
INSTANCES = 4
"""Of the shop."""
LATENCY = 18e-3
"""Seconds that a request takes, about."""
SECONDS_GOAL = 120.0
MEMORY_GOAL_MB = 2000


def web(world: Simulation, call: Call) -> float:
    """Pass the request on to an instance of the shop."""
    shop = f"shop#{call.number % INSTANCES}"
    return world.call(call.callee, shop, "GET /order", call.arrive + world.work(0.2e-3), call).end + world.work(0.2e-3)


def shop(world: Simulation, call: Call) -> float:
    """Look into the cache; on a miss read the database; ask for the stock; write."""
    time = world.call(call.callee, "cache", "GET", call.arrive + world.work(0.4e-3), call).end + world.work(0.2e-3)
    if world.random.random() < 0.6:
        time = world.call(call.callee, "db", "SELECT orders", time, call).end + world.work(0.3e-3)
    time = world.call(call.callee, "stock", "GET /stock", time, call).end + world.work(0.4e-3)
    time = world.call(call.callee, "db", "UPDATE orders", time, call).end + world.work(0.2e-3)
    return world.call(call.callee, "cache", "SET", time, call).end + world.work(0.3e-3)


def stock(world: Simulation, call: Call) -> float:
    """Read the database."""
    time = world.call(call.callee, "stockdb", "SELECT stock", call.arrive + world.work(0.5e-3), call).end
    return time + world.work(0.4e-3)


def database(world: Simulation, call: Call) -> float:
    """Take a few milliseconds."""
    return call.arrive + world.work(3e-3, 0.5)


def simulate(calls: int, concurrency: int) -> list[Call]:
    """So many calls, with about so many requests in flight."""
    world = Simulation(seed=7)
    world.handlers = {"GET /": web, "GET /order": shop, "GET /stock": stock}
    world.handlers |= dict.fromkeys(("SELECT orders", "UPDATE orders", "SELECT stock"), database)
    for at in world.arrivals(concurrency / LATENCY, round(calls / CALLS_OF_A_REQUEST)):
        world.call("client", "web", "GET /", at)
    return world.calls


def write(calls: list[Call], path: Path) -> None:
    """The calls in the form that `wiretrace link` reads."""
    with path.open("w") as file:
        for call in calls:
            row = {"id": call.number, "operation": call.operation, "caller": call.caller, "callee": call.callee}
            row |= {"caller_service": call.caller.partition("#")[0], "callee_service": call.callee.partition("#")[0]}
            times = ("caller_start", call.start), ("caller_end", call.end), ("callee_start", call.arrive)
            row |= {f"{name}_ns": 10**18 + round(at * 1e9) for name, at in (*times, ("callee_end", call.respond))}
            file.write(json.dumps(row) + "\n")


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--concurrency", type=int, default=CONCURRENCY)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, linked = Path(folder) / "calls.jsonl", Path(folder) / "links.jsonl"
        calls = simulate(options.calls, options.concurrency)
        truth = [call.parent for call in calls]
        lasting = sum(call.end - call.start for call in calls if call.parent < 0)
        in_flight = lasting / (calls[-1].start - calls[0].start)
        write(calls, path)
        del calls
        with linked.open("wb") as sink:
            begin = time.monotonic()
            process = subprocess.Popen([sys.executable, "-m", "wiretrace", "link", str(path)], cwd=ROOT, stdout=sink)
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.monotonic() - begin
        if status:
            raise SystemExit("wiretrace link failed")
        right = with_parent = 0
        with linked.open() as lines:
            for parent, line in zip(truth, lines, strict=True):
                if parent >= 0:
                    with_parent += 1
                    right += json.loads(line)["parent"] == parent
    cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
    print(
        f"{len(truth):,} calls, {in_flight:.0f} requests in flight: {right / with_parent:.2%} of the parents are right"
    )
    print(f"{wall:.0f} s (goal {SECONDS_GOAL:.0f}), {cpu:.0f} s of CPU, {peak:,.0f} MB in the largest process")
    return 0 if wall <= SECONDS_GOAL and peak <= MEMORY_GOAL_MB else 1


if __name__ == "__main__":
    sys.exit(main())
