"""The critical path of a request tree: for each moment of the root call, the call that everything waits for, and its phase.

Rules: the path is walked backwards from the end of a call: it was waiting for the child that ended last before then, and
before that child began for the one that ended last before that; what is left between is the call's own. A child that
outlives its parent kept nobody waiting, and neither did one that took a message off a queue. Iterative: a tree may be as
deep as it likes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wiretrace.case.forest import following

if TYPE_CHECKING:
    import pyarrow as pa

    from wiretrace.case.forest import Forest

PHASES_IN_ORDER = (
    "request_ns",
    "retransmission_ns",
    "zero_window_ns",
    "queued_ns",
    "server_ns",
    "network_ns",
    "response_ns",
)
"""Columns of a call's phases, in the order in which they pass. Half of the network's time is the way there."""


class Step(NamedTuple):
    """A stretch of the path: one call in one phase."""

    row: int
    """The call."""
    phase: str
    """Column of the table `calls` whose time it is."""
    begin_ns: int
    end_ns: int


class Stretch(NamedTuple):
    """A stretch of the path that is a call's own."""

    row: int
    begin_ns: int
    end_ns: int


def own_stretches(forest: Forest, start: list[int], end: list[int], follows: list[bool], root: int) -> list[Stretch]:
    """The path under `root` by calls, in order of time; lengths add up to the root's. `start`, `end`, `follows`: by row."""
    path: list[Stretch] = []
    waiting = [(root, start[root], end[root])]
    while waiting:
        row, begins, ends = waiting.pop()
        cursor = ends
        inside: list[tuple[int, int, int]] = []
        for child in sorted(forest.children(row), key=lambda each: (end[each], each), reverse=True):
            if follows[child] or end[child] > cursor or end[child] <= begins or start[child] >= end[child]:
                continue
            if end[child] < cursor:
                path.append(Stretch(row, end[child], cursor))
            first = max(start[child], begins)
            inside.append((child, first, end[child]))
            cursor = first
        if cursor > begins:
            path.append(Stretch(row, begins, cursor))
        waiting += inside
    path.sort(key=lambda each: each.begin_ns)
    return path


def critical_path(forest: Forest, calls: pa.Table, root: int) -> list[Step]:
    """The path under `root` by calls and phases, in order of time. `calls` are the rows that `forest` was made of."""
    start, end = calls.column("start_ns").to_pylist(), calls.column("end_ns").to_pylist()
    follows = following(calls.column("relation")).tolist()
    steps: list[Step] = []
    columns = {name: calls.column(name).to_numpy() for name in PHASES_IN_ORDER}
    for row, begin, finish in own_stretches(forest, start, end, follows, root):
        at = start[row]
        for phase, length in _phases({name: int(column[row]) for name, column in columns.items()}):
            first, last = max(at, begin), min(at + length, finish)
            if first < last:
                steps.append(Step(row, phase, first, last))
            at += length
        if begin < finish and at < finish:
            # What an attempt to connect waits for is none of the phases between its start and its end.
            steps.append(Step(row, "connect_ns", max(at, begin), finish))
    return steps


def _phases(parts: dict[str, int]) -> list[tuple[str, int]]:
    """The phases of a call with their lengths, in the order in which they pass."""
    there = parts["network_ns"] // 2
    order = [(name, parts[name]) for name in PHASES_IN_ORDER]
    order.insert(1, ("network_ns", there))
    return [(name, length - there if at == 6 else length) for at, (name, length) in enumerate(order) if length]


def time_on_path(path: list[Stretch], count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """How long each of `count` calls is on the path by itself, shape (count,), nanoseconds."""
    total = np.zeros(count, np.int64)
    for row, begin, end in path:
        total[row] += end - begin
    return total
