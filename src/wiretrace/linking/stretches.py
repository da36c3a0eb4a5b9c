"""Calls that others observed, many of them, in stretches of time: learned from a few of them, linked one by one.

Rules: every call is decided in exactly one stretch; those that surround it come along as context. Captures are cut the
same way before their exchanges are merged (`pipeline.py`); what is here is for calls that come as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.hosts.stretches import Stretch, plan_sample, plan_stretches
from wiretrace.linking.canonical import reordered
from wiretrace.linking.linker import learn, link
from wiretrace.linking.problem import LinkSolution
from wiretrace.model.link_problem import MISSING, LinkProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from wiretrace.linking.habits import Habits

    Task = tuple[LinkProblem, Habits, NDArray[np.bool_]]
    Run = Callable[[Callable[[Task], LinkSolution], Iterable[Task]], Iterable[LinkSolution]]

STRETCH_CALLS = 50_000
"""Calls that are linked at once, and that are learned from."""
LEARNING_PLACES = 8
"""Pieces of time, spread over the whole, that those come from."""


def link_in_stretches(
    problem: LinkProblem, run: Run = map, calls: int = STRETCH_CALLS, learning_calls: int = 0
) -> LinkSolution:
    """Link `problem` in stretches of about `calls` calls, by habits learned from `learning_calls` (0: as many) of them.

    `run` maps a function over the stretches, as `Executor.map` does. A problem of no more than `calls` is linked whole.
    """
    start, end = times(problem)
    stretches = plan_stretches([start], [end], calls)
    if len(stretches) < 2:
        return link(problem)
    habits = _learn(problem, start, end, learning_calls or calls)
    rows = [stretch.rows(start, end) for stretch in stretches]
    tasks = (
        (reordered(problem, part), habits, stretch.owns(start[part]))
        for stretch, part in zip(stretches, rows, strict=True)
    )
    return _join(start, stretches, rows, run(link_stretch, tasks))


def link_stretch(task: Task) -> LinkSolution:
    """Link one stretch: its problem, the habits, and which calls to decide."""
    problem, habits, decide = task
    return link(problem, habits, decide)


def _learn(problem: LinkProblem, start: NDArray[np.int64], end: NDArray[np.int64], calls: int) -> Habits:
    """Learn from about `calls` calls, of several pieces of time."""
    if calls >= len(problem):
        return learn(problem)
    sample = plan_sample([start], calls, LEARNING_PLACES)
    rows = sample.rows(start, end)
    return learn(reordered(problem, rows), sample.piece(start[rows]), sample.owns(start[rows]))


def _join(
    start: NDArray[np.int64],
    stretches: list[Stretch],
    rows_of_stretches: list[NDArray[np.int64]],
    solutions: Iterable[LinkSolution],
) -> LinkSolution:
    """One solution for all calls, by their starts (n,), from those of the stretches, in their order."""
    n = len(start)
    parent, confidence = np.full(n, -1, np.int64), np.ones(n)
    whole = LinkSolution(parent, confidence, np.full(n, 2, np.uint8))
    for stretch, rows, solution in zip(stretches, rows_of_stretches, solutions, strict=True):
        decide = stretch.owns(start[rows])
        own = rows[decide]
        of_stretch = solution.parent[decide]
        parent[own] = np.where(of_stretch >= 0, rows[of_stretch], -1)
        confidence[own] = solution.confidence[decide]
        whole.basis[own] = solution.basis[decide]
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
