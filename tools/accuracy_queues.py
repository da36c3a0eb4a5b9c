"""Messages on queues: a producer, brokers and a consumer are recorded, and links compared with what they wrote down.

Scored are, for each message: that whoever put it there is a child of its request; that whoever took it off follows whoever
put it there; that what was written because of it is a child of whoever took it off. Calls that follow something though they
took nothing off, or that have a parent in another request, are invented.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RUNS = ((4, 600), (20, 1500))
"""Concurrency and requests."""
GOAL = 0.97
PUT = {"publish orders": "amqp"}
TAKEN = {"process orders": "amqp"}


def main() -> bool:
    """Record, analyze and score. Whether the goals are met."""
    print("Messages on queues: shares of the truth")
    print(
        f"{'concurrency':>12}{'messages':>10}{'put':>8}{'taken':>8}{'alike':>8}{'caused':>8}{'all':>8}{'goal':>7}{'invented':>10}"
    )
    good = True
    for concurrency, requests in RUNS:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "recording"
            lab = ["-m", "tests.lab.queues", "--out", str(out), "--requests", str(requests)]
            run([*lab, "--concurrency", str(concurrency)])
            calls = Path(folder) / "calls.jsonl"
            run(["-m", "wiretrace", "analyze", str(out / "queues.pcap"), "--jsonl", str(calls), "--keep-values"])
            rows = [json.loads(line) for line in calls.read_text().splitlines()]
            truth = [json.loads(line) for line in (out / "truth.jsonl").read_text().splitlines()]
        right, wanted, invented = score(rows, truth)
        shares = {name: right[name] / max(wanted[name], 1) for name in ("put", "taken", "alike", "caused")}
        every = sum(right.values()) / max(sum(wanted.values()), 1)
        columns = "".join(f"{shares[name]:>8.2%}" for name in shares)
        print(f"{concurrency:>12}{wanted['put']:>10,}{columns}{every:>8.2%}{GOAL:>7.0%}{invented:>10}", flush=True)
        good = good and every >= GOAL and not invented
    return good


def score(rows: list[dict[str, Any]], truth: list[dict[str, Any]]) -> tuple[Counter[str], Counter[str], int]:
    """How many links of each kind are right, how many there are, and how many were invented."""
    place: dict[tuple[str, str, int], list[dict[str, Any]]] = defaultdict(list)
    requests: dict[int, str] = {}
    of_request: dict[str, int] = {}
    by_id = {row["id"]: row for row in rows}
    for row in rows:
        operation, summary = row["operation"], row["summary"]
        if row["protocol"] == "http":
            number = int(summary.rpartition("/")[2])
            requests[number], of_request[row["id"]] = row["id"], number
        elif operation == "LPUSH":
            place["put", "alike" if "refresh" in summary else "redis", row["client"]["port"]].append(row)
        elif operation == "BRPOP" and row["status"] != "nil":
            place["taken", "alike" if "refresh" in summary else "redis", row["client"]["port"]].append(row)
        elif operation in PUT:
            place["put", PUT[operation], row["client"]["port"]].append(row)
        elif operation in TAKEN:
            place["taken", TAKEN[operation], row["server"]["port"]].append(row)
    found: dict[tuple[str, str, int], str] = {}
    for each in truth:
        calls = place[each["kind"], each["queue"], each["port"]]
        if each["place"] < len(calls):
            identity = calls[each["place"]]["id"]
            found[each["kind"], each["queue"], each["request"]] = identity
            of_request[identity] = each["request"]
    right: Counter[str] = Counter()
    wanted: Counter[str] = Counter()
    took = set()
    for each in truth:
        key = each["kind"], each["queue"], each["request"]
        row = by_id.get(found.get(key, ""), {})
        if each["kind"] == "put":
            wanted["put"] += 1
            right["put"] += row.get("parent") == requests.get(each["request"], "") and row.get("relation") == "child"
        else:
            name = "alike" if each["queue"] == "alike" else "taken"
            wanted[name] += 1
            took.add(row.get("id"))
            put = found.get(("put", *key[1:]), "")
            right[name] += row.get("parent") == put and row.get("relation") == "follows"
    invented = sum(row["relation"] == "follows" and row["id"] not in took for row in rows)
    for row in rows:
        if row["operation"] not in ("SET", "INCR"):
            continue
        kind, _, number = row["summary"].split()[1].partition(":")
        request = int(number)
        wanted["caused"] += 1
        taken = found.get(("taken", kind.removesuffix("-count"), request), "")
        right["caused"] += row["parent"] == taken and row["relation"] == "child"
    return right, wanted, invented


def run(arguments: list[str]) -> None:
    """Run a command of the project."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, check=False, capture_output=True, text=True, timeout=600
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr[-2000:]}")


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
