"""A long capture in stretches of time: learned from a few of them, linked one by one, with bounded memory.

Rules: every call is decided in exactly one stretch. Calls from before and after it that compete, or may be parents,
come along as context. Stretches are cut where few calls are in flight. What a stretch gives depends on its calls and
the habits alone, so it does not matter which process links it, or when.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wiretrace.linking.canonical import reordered
from wiretrace.linking.linker import learn, link
from wiretrace.linking.problem import MISSING, LinkProblem, LinkSolution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from wiretrace.linking.habits import Habits

    Task = tuple[LinkProblem, Habits, NDArray[np.bool_]]
    Run = Callable[[Callable[[Task], LinkSolution], Iterable[Task]], Iterable[LinkSolution]]

STRETCH_CALLS = 50_000
"""Calls that are linked at once."""
LEARNING_CALLS = 48_000
"""Calls that are learned from."""
LEARNING_STRETCHES = 8
"""They are taken in this many stretches spread over the whole time."""
LEAST_LEARNING_CALLS = 4000
"""Each is at least this long: at its ends, requests lack some of their calls."""
CUT_SHARE = 0.05
"""A cut moves by up to this share of a stretch to where fewer calls are in flight."""
MOST_MARGIN = 0.1
"""Context reaches at most this share of a stretch's duration beyond it, but for calls in flight at its ends."""


class Stretch(NamedTuple):
    """Some calls of a capture."""

    rows: NDArray[np.int64]
    """Numbers of the calls, rising."""
    decide: NDArray[np.bool_]
    """Which of them belong to the stretch; the others are context. Shape as `rows`."""


def link_in_stretches(
    problem: LinkProblem, run: Run = map, calls: int = STRETCH_CALLS, learning_calls: int = LEARNING_CALLS
) -> LinkSolution:
    """Link `problem` in stretches of about `calls` calls, by habits learned from about `learning_calls` of them.

    `run` maps a function over the stretches, as `Executor.map` does. A problem of no more than `calls` is linked whole.
    """
    if len(problem) <= calls:
        return link(problem)
    start, end = times(problem)
    habits = learn_habits(problem, start, end, learning_calls)
    stretches = cut_stretches(start, end, margin(habits), calls)
    tasks = ((reordered(problem, stretch.rows), habits, stretch.decide) for stretch in stretches)
    return join(len(problem), stretches, run(link_stretch, tasks))


def link_stretch(task: Task) -> LinkSolution:
    """Link one stretch: its problem, the habits, and which calls to decide."""
    problem, habits, decide = task
    return link(problem, habits, decide)


def join(n: int, stretches: list[Stretch], solutions: Iterable[LinkSolution]) -> LinkSolution:
    """One solution for all `n` calls from those of the stretches, in their order."""
    parent, confidence = np.full(n, -1, np.int64), np.ones(n)
    whole = LinkSolution(parent, confidence, np.full(n, 2, np.uint8))
    for stretch, solution in zip(stretches, solutions, strict=True):
        rows = stretch.rows
        own = rows[stretch.decide]
        of_stretch = solution.parent[stretch.decide]
        parent[own] = np.where(of_stretch >= 0, rows[of_stretch], -1)
        confidence[own] = solution.confidence[stretch.decide]
        whole.basis[own] = solution.basis[stretch.decide]
        whole.alternatives += [
            (int(rows[child]), int(rows[other]) if other >= 0 else -1, share)
            for child, other, share in solution.alternatives
        ]
        whole.evidence += [
            item._replace(child=int(rows[item.child]), parent=int(rows[item.parent])) for item in solution.evidence
        ]
    return whole


def times(problem: LinkProblem) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """When each call was first and last seen at either end, int64 nanoseconds, shape (n,) each."""
    starts = np.stack((problem.caller_start_ns, problem.callee_start_ns))
    ends = np.stack((problem.caller_end_ns, problem.callee_end_ns))
    start = np.where(starts == MISSING, np.iinfo(np.int64).max, starts).min(axis=0)
    # MISSING is below every time.
    return start, np.maximum(np.where(ends == MISSING, starts, ends).max(axis=0), start)


def learn_habits(
    problem: LinkProblem,
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    calls: int = LEARNING_CALLS,
) -> Habits:
    """Learn from about `calls` calls of `problem`, in stretches spread over the whole time."""
    if len(start) <= calls:
        return learn(problem)
    order = np.argsort(start, kind="stable")
    number = min(LEARNING_STRETCHES, max(calls // LEAST_LEARNING_CALLS, 1))
    length = calls // number
    first = np.linspace(0, len(start) - length, number).astype(np.int64)
    parts = [_stretch(start, end, order, low, low + length, 0) for low in first.tolist()]
    rows = np.concatenate([part.rows for part in parts])
    numbers = np.repeat(np.arange(number), [len(part.rows) for part in parts])
    return learn(reordered(problem, rows), numbers, np.concatenate([part.decide for part in parts]))


def margin(habits: Habits) -> int:
    """Nanoseconds within which calls before and after a stretch compete with those of the stretch."""
    return int(max(habits.longest_ns, float(habits.kinds.reach.max(initial=0.0))))


def cut_stretches(
    start: NDArray[np.int64], end: NDArray[np.int64], margin_ns: int, calls: int = STRETCH_CALLS
) -> list[Stretch]:
    """Stretches of about `calls` calls each, with what is within `margin_ns` of them as context."""
    n = len(start)
    order = np.argsort(start, kind="stable")
    number = -(-n // calls)
    bounds = [0, *(_quiet(start, end, order, n * i // number, calls) for i in range(1, number)), n]
    return [_stretch(start, end, order, low, high, margin_ns) for low, high in pairwise(bounds)]


def _quiet(start: NDArray[np.int64], end: NDArray[np.int64], order: NDArray[np.int64], at: int, calls: int) -> int:
    """A place near `at` in the `order` of starts before which few calls are in flight."""
    reach = int(CUT_SHARE * calls)
    places = np.arange(max(at - reach, 1), min(at + reach, len(order)))
    if not len(places):
        return at
    begun, ended = start[order[places]], np.sort(end)
    in_flight = places - np.searchsorted(ended, begun, "left")
    quietest = places[in_flight == in_flight.min()]
    return int(quietest[np.argmin(np.abs(quietest - at))])


def _stretch(
    start: NDArray[np.int64], end: NDArray[np.int64], order: NDArray[np.int64], low: int, high: int, margin_ns: int
) -> Stretch:
    """The calls `order[low:high]`, with those in flight or about to start within `margin_ns` of their starts."""
    own = order[low:high]
    first, last = int(start[own[0]]), int(start[own[-1]])
    wide = min(margin_ns, int(MOST_MARGIN * (last - first)))
    most = high - low
    before = order[:low]
    before = before[end[before] >= first - wide][-most:]
    later = int(np.searchsorted(start[order[high:]], max(last + wide, int(np.median(end[own]))), "right"))
    after = order[high : high + min(later, most)]
    rows = np.sort(np.concatenate((before, own, after)))
    belongs = np.zeros(len(start), bool)
    belongs[own] = True
    return Stretch(rows, belongs[rows])
