"""Hold the analyzer's calls against the lab's truth.

Usage: python -m tests.lab.score TRUTH.jsonl CALLS.jsonl [--examples N] [--tolerance-ms MS]

Rules of this file:
- A wire call belongs to the truth call on the same client and server address and port whose interval contains it,
  give or take the tolerance. Where the callee wrote the truth (``seen_by``), the intervals must overlap instead, for
  the wire call is the longer one. Of several the one with the longest overlap is meant. A truth call may own several
  wire calls (a statement is prepared and executed).
- The analyzer's common time line may be any host's: its difference and its drift are found first and taken away, and
  the difference is told as ``shift_ms``.
- Parents are judged over the wire calls of truth calls that are not set-up. A root must have none; any other call
  must have a wire call of its true parent. A tree is right when all its calls are found, all their parents are
  right, and nothing foreign hangs in it.
"""

import bisect
import collections
import ipaddress
import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import msgspec
from tests.lab.truth import TruthCall

Connection = tuple[str, int, str, int]
SURE = 0.9
BINS = 10
SHIFT_BIN_NS = 100_000
SHIFT_IGNORED_NS = 5_000_000
SHIFT_SAMPLE = 400
CALLS_BEFORE = 8
FIRST_PACKET_NS = 50_000
"""A request leaves at least that long after its start was written down."""


@dataclass(frozen=True, slots=True)
class Shift:
    """How far the analyzer's time line is ahead of the truth's."""

    offset_ns: int = 0
    drift: float = 0.0
    since_ns: int = 0

    def undone(self, time_ns: int) -> int:
        """The true time of a time on the analyzer's time line."""
        return time_ns - self.offset_ns - round(self.drift * (time_ns - self.since_ns))


@dataclass(slots=True)
class Score:
    """What `score` found; `as_json` is what is printed."""

    shift: Shift = field(default_factory=Shift)
    owned: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: collections.defaultdict(list))
    """Truth id to its wire calls."""
    owner: dict[str, TruthCall] = field(default_factory=dict)
    """Wire id to its truth call."""
    wire: list[dict[str, Any]] = field(default_factory=list)
    truth: list[TruthCall] = field(default_factory=list)
    invented: list[dict[str, Any]] = field(default_factory=list)
    missing: list[TruthCall] = field(default_factory=list)
    surplus: list[TruthCall] = field(default_factory=list)
    right: list[dict[str, Any]] = field(default_factory=list)
    wrong: list[dict[str, Any]] = field(default_factory=list)
    trees: int = 0
    wrong_trees: list[str] = field(default_factory=list)

    def as_json(self, examples: int) -> dict[str, object]:
        """The summary, with up to ``examples`` of each kind of error."""
        real = [call for call in self.truth if not call.setup]
        judged = len(self.right) + len(self.wrong)
        result: dict[str, object] = {
            "truth_calls": len(real),
            "found_share": _share(len(real) - len([call for call in self.missing if not call.setup]), len(real)),
            "wire_calls": len(self.wire),
            "invented": len(self.invented),
            "invented_share": _share(len(self.invented), len(self.wire)),
            "surplus": len(self.surplus),
            "setup_calls": len(self.truth) - len(real),
            "setup_found_share": _share(
                sum(call.setup and call.id in self.owned for call in self.truth), len(self.truth) - len(real)
            ),
            "parents_judged": judged,
            "parent_right_share": _share(len(self.right), judged),
            "trees": self.trees,
            "trees_right_share": _share(self.trees - len(self.wrong_trees), self.trees),
            "shift_ms": round(self.shift.offset_ns / 1e6, 3),
            "by_hop": self._by_hop(),
            "confidence": self._confidence(),
        }
        if examples:
            result["examples"] = {
                "missing": [_truth_words(call) for call in self.missing if not call.setup][:examples],
                "invented": [_wire_words(call) for call in self.invented[:examples]],
                "surplus": [_truth_words(call) for call in self.surplus[:examples]],
                "wrong_parent": [self._wrong_parent_words(call) for call in self.wrong[:examples]],
                "wrong_trees": self.wrong_trees[:examples],
            }
        return result

    def _by_hop(self) -> dict[str, dict[str, object]]:
        """Found and parent shares for each pair of services."""
        hops: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        for call in self.truth:
            if not call.setup:
                counts = hops[f"{call.caller}>{call.callee}"]
                counts["calls"] += 1
                counts["found"] += call.id in self.owned
        for kind, wires in (("right", self.right), ("wrong", self.wrong)):
            for wire in wires:
                call = self.owner[wire["id"]]
                hops[f"{call.caller}>{call.callee}"][kind] += 1
        return {
            hop: {
                "calls": counts["calls"],
                "found_share": _share(counts["found"], counts["calls"]),
                "parent_right_share": _share(counts["right"], counts["right"] + counts["wrong"]),
            }
            for hop, counts in sorted(hops.items())
        }

    def _confidence(self) -> dict[str, object]:
        """Whether the analyzer is as often right as it says, over the links that it made."""
        bins = [[0, 0, 0.0] for _ in range(BINS)]
        sure = sure_right = links = 0
        for right, wires in ((1, self.right), (0, self.wrong)):
            for wire in wires:
                confidence = wire.get("confidence")
                if wire.get("parent") is None or confidence is None:
                    continue
                links += 1
                sure += confidence >= SURE
                sure_right += right and confidence >= SURE
                slot = bins[min(BINS - 1, int(confidence * BINS))]
                slot[0] += 1
                slot[1] += right
                slot[2] += confidence
        error = sum(abs(slot[1] - slot[2]) for slot in bins)
        return {
            "links": links,
            "sure_share": _share(sure, links),
            "sure_right_share": _share(sure_right, sure),
            "expected_calibration_error": _share(error, links),
        }

    def _wrong_parent_words(self, wire: dict[str, Any]) -> dict[str, object]:
        call = self.owner[wire["id"]]
        names = {truth.id: truth for truth in self.truth}
        given = self.owner.get(str(wire.get("parent")))
        return {
            "call": _wire_words(wire),
            "truth": _truth_words(call),
            "right_parent": _truth_words(names[call.parent]) if call.parent else None,
            "given_parent": _truth_words(given) if given else wire.get("parent"),
            "confidence": wire.get("confidence"),
        }


def score(truth: list[TruthCall], wire: list[dict[str, Any]], tolerance_ns: int) -> Score:
    """Match the ``wire`` calls (rows of the analyzer's JSON Lines) with the ``truth`` and judge their parents."""
    result = Score(wire=wire, truth=truth)
    by_connection: dict[Connection, list[TruthCall]] = collections.defaultdict(list)
    for call in truth:
        by_connection[_truth_connection(call)].append(call)
    for calls in by_connection.values():
        calls.sort(key=lambda call: call.start_ns)
    result.shift = Shift(_shift(by_connection, wire))
    _match(result, by_connection, tolerance_ns)
    if result.shift.offset_ns:
        result.shift = _with_drift(result)
        _match(result, by_connection, tolerance_ns)
    result.missing = [call for call in truth if call.id not in result.owned]
    result.surplus = [
        call for call in truth if call.exchanges is not None and len(result.owned.get(call.id, [])) > call.exchanges
    ]
    _judge_parents(result)
    _judge_trees(result)
    return result


def _match(result: Score, by_connection: dict[Connection, list[TruthCall]], tolerance_ns: int) -> None:
    """Find the truth call of every wire call."""
    result.owner, result.invented = {}, []
    result.owned = collections.defaultdict(list)
    for row in result.wire:
        found = _owner(by_connection.get(_wire_connection(row), []), row, result.shift, tolerance_ns)
        if found is None:
            result.invented.append(row)
        else:
            result.owner[row["id"]] = found
            result.owned[found.id].append(row)


def _with_drift(result: Score) -> Shift:
    """The shift to some 20 us, with its drift: from the roots, which are too long to be taken for each other."""
    starts = sorted(
        (row["start_ns"], row["start_ns"] - result.owner[row["id"]].start_ns)
        for row in result.wire
        if row["id"] in result.owner and result.owner[row["id"]].parent is None and not result.owner[row["id"]].setup
    )
    halves = starts[: len(starts) // 2], starts[len(starts) // 2 :]
    if not halves[0]:
        return result.shift
    early, late = (statistics.median(at for at, _ in half) for half in halves)
    first, second = (sorted(difference for _, difference in half)[len(half) // 20] for half in halves)
    drift = (second - first) / (late - early) if late > early else 0.0
    return Shift(first - FIRST_PACKET_NS, drift, round(early))


def _owner(calls: list[TruthCall], row: dict[str, Any], shift: Shift, tolerance_ns: int) -> TruthCall | None:
    """The truth call that the wire call is (part of); ``calls`` are those of its connection, by start."""
    start = shift.undone(row["start_ns"])
    end = shift.undone(row["end_ns"] or row["start_ns"])
    best, longest = None, -tolerance_ns
    first = bisect.bisect_left(calls, start - tolerance_ns, key=lambda call: call.start_ns)
    last = bisect.bisect_right(calls, end + tolerance_ns, key=lambda call: call.start_ns)
    # Calls of a connection follow each other: those that began earlier and still run are just before.
    for call in calls[max(0, first - CALLS_BEFORE) : last]:
        if call.seen_by == "caller" and not (
            call.start_ns - tolerance_ns <= start and end <= call.end_ns + tolerance_ns
        ):
            continue
        overlap = min(end, call.end_ns) - max(start, call.start_ns)
        if overlap > longest:
            best, longest = call, overlap
    return best


def _shift(by_connection: dict[Connection, list[TruthCall]], wire: list[dict[str, Any]]) -> int:
    """The difference between the two time lines in ns: what starts on equal connections most often differ by.

    A wire call starts within some 0.1 ms after its truth call, while the distances to other calls are spread out.
    """
    differences: collections.Counter[int] = collections.Counter()
    step = max(1, len(wire) // SHIFT_SAMPLE)
    for row in wire[::step]:
        for call in by_connection.get(_wire_connection(row), []):
            if call.seen_by == "caller":
                differences[(row["start_ns"] - call.start_ns) // SHIFT_BIN_NS] += 1
    if not differences:
        return 0
    best = max(differences, key=lambda at: (differences[at - 1] + differences[at] + differences[at + 1], -abs(at)))
    return (best - 1) * SHIFT_BIN_NS if abs(best * SHIFT_BIN_NS) > SHIFT_IGNORED_NS else 0


def _judge_parents(result: Score) -> None:
    for row in result.wire:
        call = result.owner.get(row["id"])
        if call is None or call.setup:
            continue
        if call.parent is None:
            right = row.get("parent") is None
        else:
            right = row.get("parent") in {parent["id"] for parent in result.owned.get(call.parent, [])}
        (result.right if right else result.wrong).append(row)


def _judge_trees(result: Score) -> None:
    trees = {call.tree for call in result.truth if not call.setup}
    bad = {call.tree for call in result.missing if not call.setup}
    bad |= {result.owner[row["id"]].tree for row in result.wrong}
    for row in result.invented:
        parent = result.owner.get(str(row.get("parent")))
        if parent is not None:
            bad.add(parent.tree)
    for row in result.wrong:
        parent = result.owner.get(str(row.get("parent")))
        if parent is not None:
            bad.add(parent.tree)
    result.trees = len(trees)
    result.wrong_trees = sorted(str(tree) for tree in trees & bad)


def _address(text: str) -> str:
    return ipaddress.ip_address(text).compressed


def _truth_connection(call: TruthCall) -> Connection:
    return _address(call.client.address), call.client.port, _address(call.server.address), call.server.port


def _wire_connection(row: dict[str, Any]) -> Connection:
    client, server = row["client"], row["server"]
    return _address(client["address"]), client["port"], _address(server["address"]), server["port"]


def _share(part: float, whole: int) -> float | None:
    return round(part / whole, 5) if whole else None


def _truth_words(call: TruthCall) -> str:
    return (
        f"{call.caller}>{call.callee} {call.protocol} {call.operation[:60]} "
        f"{call.client.address}:{call.client.port} {call.start_ns}-{call.end_ns} {call.id}"
    )


def _wire_words(row: dict[str, Any]) -> str:
    return (
        f"{row.get('protocol')} {str(row.get('summary') or row.get('operation'))[:60]} "
        f"{row['client']['address']}:{row['client']['port']} {row['start_ns']}-{row['end_ns']} {row['id']}"
    )


def read_truth(path: Path) -> list[TruthCall]:
    """Read a truth file."""
    decode = msgspec.json.Decoder(TruthCall).decode
    return [decode(line) for line in path.read_bytes().splitlines()]


@click.command()
@click.argument("truth", type=click.Path(exists=True, path_type=Path))
@click.argument("calls", type=click.Path(exists=True, path_type=Path))
@click.option("--examples", default=0, help="Errors of each kind to list.")
@click.option(
    "--tolerance-ms", default=2.0, show_default=True, help="By how much a wire call may leave its truth interval."
)
def main(truth: Path, calls: Path, examples: int, tolerance_ms: float) -> None:
    """Score CALLS, the analyzer's JSON Lines, by TRUTH."""
    rows = [msgspec.json.decode(line) for line in calls.read_bytes().splitlines()]
    result = score(read_truth(truth), rows, round(tolerance_ms * 1e6))
    click.echo(json.dumps(result.as_json(examples), indent=1))


if __name__ == "__main__":
    main()
