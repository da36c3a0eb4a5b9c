"""Measures the linker on public sets of calls whose true parents are known, beside the published figures.

Usage: python tools/accuracy_linking.py [DIRECTORY] [SET ...]

DIRECTORY (default: ../shared/linking/neutral) holds files NAME.jsonl or NAME.jsonl.zst, one call a line: id,
caller_service, callee_service, operation, start_us, end_us (seen at the callee), maybe caller_instance,
callee_instance, caller_start_us, caller_end_us, and the truth: true_parent_id (null for a root), true_trace_id. The
truth is taken away before the linker sees the calls.

Further rows of a set:
in stretches  linked as a long capture is linked: learned first, then stretch by stretch. Its share of right edges may be no
              more than `NOT_WORSE` below the first row's
ceiling       the same model with delays fitted to the true links (tools/linking_ceiling.py)
with values   every call shows a value of its request: one of 1,000 users, popular by Zipf's law

edge        calls with a parent whose parent is right
tree        request trees in which every parent is right
tree_tw     the same without the calls that a service with several callers makes (TraceWeaver does not score those)
sure        calls linked with a confidence of 0.95 or more; sure_right: those of them that are right
ece         expected calibration error of the links, ten bins
published   TraceWeaver (SIGCOMM 2024), its own code given the true call-order graph; FCFS: first come, first served
"""

from __future__ import annotations

import collections
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from linking_ceiling import link_with_true_habits
from wiretrace.linking.linker import link
from wiretrace.linking.rows import CallRow, problem_of
from wiretrace.linking.stretches import link_in_stretches
from wiretrace.model.link_problem import LinkProblem, Ragged

if TYPE_CHECKING:
    from collections.abc import Callable

    from wiretrace.linking.problem import LinkSolution

DEFAULT_DIRECTORY = Path(__file__).resolve().parents[2] / "shared" / "linking" / "neutral"

PUBLISHED = {
    "hotel_load25": (100.0, 92.3),
    "hotel_load50": (99.4, 77.3),
    "hotel_load75": (99.6, 64.8),
    "hotel_load125": (97.7, 54.8),
    "media_load25": (96.5, 91.6),
    "media_load75": (89.2, 78.5),
    "media_load125": (84.6, 64.8),
    "node_load25": (97.8, 100.0),
    "node_load100": (99.1, 100.0),
    "nodefile_0.2": (97.0, 100.0),
    "nodefile_0.6": (89.6, 100.0),
    "stress_hotel150_x8": (98.4, 1.7),
}
"""Whole trees right in percent: TraceWeaver, FCFS."""

SURE = 0.95
STRETCHES = 4
"""Stretches of the second row."""
NOT_WORSE = 0.003
"""Share of the edges that may be lost by linking in stretches."""
BELOW_PUBLISHED = 0.5
"""Percent of the trees that a set may be below TraceWeaver."""
BELOW_CEILING = 1.0
"""Percent of the trees that a set may be below its ceiling."""
AT_LEAST = {"media_load125": 86.0, "stress_hotel150_x8": 98.0}
"""Percent of the trees (tree_tw) that are to be right."""
WITH_VALUES_AT_LEAST = {"media_load125": 97.0, "stress_hotel150_x8": 99.8}
"""Percent of the trees that are to be right where every call shows a value of its request."""
USERS = 1000
"""Values there are; the n-th is as frequent as 1 / n."""
MOST_ERROR = 3.0
"""Percent: the largest expected calibration error."""
COLUMNS = ("edge", "tree", "tree_tw", "sure", "sure_right", "ece", "seconds")


class Calls(NamedTuple):
    """A set of calls."""

    rows: list[dict[str, Any]]
    """As they stand in the file."""
    problem: LinkProblem
    place: np.ndarray
    """Row of the problem of each call."""
    truth: np.ndarray
    """The true parent of each call: an index into `rows`, -1 for none."""


def read(path: Path) -> Calls:
    """The calls in `path`."""
    rows = _read(path)
    problem, order = problem_of([_row(number, call) for number, call in enumerate(rows)])
    place = np.empty(len(order) + 1, np.int64)
    place[order], place[-1] = np.arange(len(order)), -1
    number = {call["id"]: index for index, call in enumerate(rows)}
    truth = np.array([number.get(call["true_parent_id"], -1) for call in rows])
    return Calls(rows, problem, place, truth)


def measure(calls: Calls, link: Callable[[LinkProblem], LinkSolution]) -> dict[str, float]:
    """Link the calls, and compare with the truth."""
    begin = time.process_time()
    solution = link(calls.problem)
    seconds = time.process_time() - begin
    place = calls.place[:-1]
    back = np.empty(len(place) + 1, np.int64)
    back[place], back[-1] = np.arange(len(place)), -1
    parent, confidence = back[solution.parent[place]], solution.confidence[place]
    return {**_scores(calls.rows, calls.truth, parent, confidence), "seconds": seconds}


def in_stretches(problem: LinkProblem) -> LinkSolution:
    """Linked as a long capture is."""
    return link_in_stretches(problem, calls=len(problem) // STRETCHES + 1, learning_calls=len(problem))


def with_values(calls: Calls) -> Calls:
    """The same calls, where every call shows which user its request is of."""
    random = np.random.default_rng(2024)
    share = 1.0 / np.arange(1, USERS + 1)
    names = random.integers(1, 2**63, USERS).astype(np.uint64)
    trees = {call["true_trace_id"] for call in calls.rows}
    users = random.choice(names, len(trees), p=share / share.sum())
    of_tree = dict(zip(sorted(trees), users, strict=True))
    tokens = np.empty(len(calls.rows), np.uint64)
    tokens[calls.place[:-1]] = [of_tree[call["true_trace_id"]] for call in calls.rows]
    shown = Ragged(np.arange(len(tokens) + 1), tokens)
    return calls._replace(problem=replace(calls.problem, request_tokens=shown))


def ceiling(calls: Calls) -> Callable[[LinkProblem], LinkSolution]:
    """Links by habits fitted to the truth."""
    truth = np.empty(len(calls.rows), np.int64)
    truth[calls.place[:-1]] = calls.place[calls.truth]
    return lambda problem: link_with_true_habits(problem, truth)


def _read(path: Path) -> list[dict[str, Any]]:
    data = path.read_bytes()
    if path.suffix == ".zst":
        from backports import zstd

        data = zstd.decompress(data)
    return [json.loads(line) for line in data.splitlines() if line.strip()]


def _row(number: int, call: dict[str, Any]) -> CallRow:
    row = CallRow(
        id=f"c{number}",
        operation=call["operation"],
        caller=call.get("caller_instance") or call["caller_service"],
        callee=call.get("callee_instance") or call["callee_service"],
        caller_service=call["caller_service"],
        callee_service=call["callee_service"],
        callee_start_ns=call["start_us"] * 1000,
        callee_end_ns=call["end_us"] * 1000,
    )
    if "caller_start_us" in call:
        row.caller_start_ns, row.caller_end_ns = call["caller_start_us"] * 1000, call["caller_end_us"] * 1000
    return row


def _scores(
    calls: list[dict[str, Any]], truth: np.ndarray, parent: np.ndarray, confidence: np.ndarray
) -> dict[str, float]:
    child = truth >= 0
    right = parent == truth
    callers = collections.defaultdict(set)
    for call in calls:
        callers[call["callee_service"]].add(call["caller_service"])
    scored = np.array([len(callers[call["caller_service"]]) <= 1 for call in calls])
    whole: dict[str, bool] = {}
    whole_scored: dict[str, bool] = {}
    for index, call in enumerate(calls):
        good = bool(right[index] or not child[index])
        tree = call["true_trace_id"]
        whole[tree] = whole.get(tree, True) and good
        whole_scored[tree] = whole_scored.get(tree, True) and (good or not scored[index])
    linked = child & (parent >= 0)
    sure = linked & (confidence >= SURE)
    bins = np.minimum((confidence * 10).astype(int), 9)
    gaps = [abs((right[linked & (bins == b)] - confidence[linked & (bins == b)]).sum()) for b in range(10)]
    return {
        "edge": float(right[child].mean()),
        "tree": sum(whole.values()) / len(whole),
        "tree_tw": sum(whole_scored.values()) / len(whole_scored),
        "sure": float(sure.sum() / child.sum()),
        "sure_right": float(right[sure].mean()) if sure.any() else float("nan"),
        "ece": float(sum(gaps) / max(linked.sum(), 1)),
    }


def main(directory: Path = DEFAULT_DIRECTORY, chosen: tuple[str, ...] = ()) -> int:
    """Print the table; returns the number of goals that were missed, 1 where there is no set."""
    paths = {path.name.partition(".jsonl")[0]: path for path in sorted(directory.glob("*.jsonl*"))}
    paths = {name: path for name, path in paths.items() if not chosen or name in chosen}
    if not paths:
        print(f"{directory}: no sets of calls")
        return 1
    print(f"{'set':<22}" + "".join(f"{column:>11}" for column in COLUMNS) + f"{'published':>12}{'FCFS':>7}")
    missed = 0
    for name, path in paths.items():
        calls = read(path)
        whole, parts = measure(calls, link), measure(calls, in_stretches)
        best, valued = measure(calls, ceiling(calls)), measure(with_values(calls), link)
        published = PUBLISHED.get(name, ())
        figures = "".join(f"{figure:>{width}.1f}" for figure, width in zip(published, (12, 7), strict=False))
        print(f"{name:<22}{_row_of(whole)}{figures}")
        for label, scores in (("in stretches", parts), ("ceiling", best), ("with values", valued)):
            print(f"  {label:<20}{_row_of(scores)}", flush=True)
        goal = max(AT_LEAST.get(name, 0.0), published[0] - BELOW_PUBLISHED if published else 0.0)
        missed += 100 * whole["tree_tw"] < goal
        missed += 100 * whole["tree_tw"] < 100 * best["tree_tw"] - BELOW_CEILING
        missed += 100 * whole["ece"] > MOST_ERROR
        missed += 100 * valued["tree"] < WITH_VALUES_AT_LEAST.get(name, 0.0)
        missed += parts["edge"] < whole["edge"] - NOT_WORSE
    return missed


def _row_of(scores: dict[str, float]) -> str:
    shares = "".join(f"{100 * scores[column]:>11.2f}" for column in COLUMNS[:-1])
    return f"{shares}{scores['seconds']:>11.1f}"


if __name__ == "__main__":
    arguments = sys.argv[1:]
    folder = Path(arguments[0]) if arguments else DEFAULT_DIRECTORY
    if not folder.is_dir():
        sys.exit(f"{folder}: no such directory; give one that holds NAME.jsonl.zst files")
    sys.exit(1 if main(folder, tuple(arguments[1:])) else 0)
