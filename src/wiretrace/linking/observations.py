"""The calls as each process lives them: what came in, what went out, on the process's own clock.

Rules: a process is judged by its own clock wherever its host was captured; only where it was not do the other side's
times stand in, with the clock error as slack. Times are float64 nanoseconds since the earliest one, which is exact for
captures of up to 100 days. A call is *incoming* at its callee and *outgoing* at its caller.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.linking.arrays import ProcessAxis, number_groups, ranks
from wiretrace.model.link_problem import MISSING, LinkProblem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.habits import Habits

FINEST_RESOLUTION_NS = 1000.0
"""Delays are not told apart below this: time stamps in software are not better than a microsecond."""

LATEST = 2**63 - 1
"""No time is later."""

COARSE_RESOLUTIONS_NS = (1e9, 1e8, 1e7, 1e6, 1e5, 1e4)
"""Steps in which recorded clocks may tick, coarsest first."""


@dataclass(slots=True)
class Observations:
    """Arrays have shape (n,), row i for call i; times are float64 nanoseconds since the earliest one."""

    problem: LinkProblem
    """What was observed."""
    arrives: NDArray[np.float64]
    """When the callee received the request; NaN where the call can not be a parent (its callee is unknown)."""
    responds: NDArray[np.float64]
    """When the callee had responded; where that was not seen, as late as it may have been."""
    responded: NDArray[np.bool_]
    """Whether `responds` was seen."""
    arrival_rank: NDArray[np.int64]
    """Place of each call in the order of arrivals; equal ones are in the order of rows, those without one behind all."""
    arrival_slack: NDArray[np.float64]
    """How far `arrives` and `responds` may be off the callee's clock."""
    starts: NDArray[np.float64]
    """When the caller sent the request; NaN where the call can not be a child (its caller is unknown)."""
    ends: NDArray[np.float64]
    """When the caller had the response; its start where that was not seen."""
    start_slack: NDArray[np.float64]
    """How far `starts` and `ends` may be off the caller's clock."""
    resolution_ns: float
    """The step in which the recorded clocks tick."""
    longest_ns: float
    """Duration that hardly any request exceeds."""
    whole: NDArray[np.bool_]
    """Whether what each call caused would be here too: it lies within its stretch of time."""
    until: NDArray[np.float64]
    """The latest time that was seen of each process's stretch of time, shape (processes,)."""

    def __len__(self) -> int:
        return len(self.problem)

    def axis(self, slack: float) -> ProcessAxis:
        """An axis for all processes that bears times `slack` nanoseconds before the first and behind the last."""
        times = (self.arrives, self.responds, self.starts, self.ends)
        latest = max(float(np.fmax.reduce(column, initial=0.0)) for column in times)
        return ProcessAxis(len(self.until), latest, slack)


def observe(problem: LinkProblem, known: Habits | None = None) -> Observations:
    """See `problem` from inside its processes. The step of the clocks and usual durations are taken from `known`."""
    times = (problem.caller_start_ns, problem.caller_end_ns, problem.callee_start_ns, problem.callee_end_ns)
    origin = min(int(column.min(initial=LATEST, where=column != MISSING)) for column in times)
    origin = 0 if origin == LATEST else origin

    def relative(column: NDArray[np.int64]) -> NDArray[np.float64]:
        # Unsigned, so that times of arbitrary distance do not overflow.
        shifted = np.where(column == MISSING, origin, column).view(np.uint64) - np.int64(origin).view(np.uint64)
        return np.where(column == MISSING, np.nan, shifted.astype(np.float64))

    caller_start, caller_end, callee_start, callee_end = (relative(column) for column in times)
    callee_blind, caller_blind = np.isnan(callee_start), np.isnan(caller_start)
    arrives = np.where(callee_blind, caller_start, callee_start)
    responds = np.where(callee_blind, caller_end, callee_end)
    starts = np.where(caller_blind, callee_start, caller_start)
    ends = np.where(caller_blind, callee_end, caller_end)
    clock_error = problem.clock_error_ns.astype(np.float64)
    arrives[problem.callee < 0] = np.nan
    starts[problem.caller < 0] = np.nan
    responded = ~np.isnan(responds) & (responds >= arrives) & ~problem.one_way
    ended = ~np.isnan(ends) & (ends >= starts)
    if known is None:
        durations = (responds - arrives)[responded]
        longest = float(np.quantile(durations, 0.999)) if len(durations) else 0.0
        resolution = _resolution(times)
    else:
        longest, resolution = known.longest_ns, known.resolution_ns
    latest = max(float(np.fmax.reduce(column, initial=0.0)) for column in (arrives, responds, starts, ends))
    processes = int(max(problem.callee.max(initial=0), problem.caller.max(initial=0))) + 1
    return Observations(
        problem=problem,
        arrives=arrives,
        responds=np.where(responded, responds, arrives + 2.0 * longest),
        responded=responded,
        arrival_rank=ranks(arrives),
        arrival_slack=np.where(callee_blind, clock_error, 0.0),
        starts=starts,
        ends=np.where(ended, ends, starts),
        start_slack=np.where(caller_blind, clock_error, 0.0),
        resolution_ns=resolution,
        longest_ns=longest,
        whole=np.ones(len(problem), bool),
        until=np.full(processes, latest),
    )


def observe_stretches(problem: LinkProblem, stretch: NDArray[np.int64], started: NDArray[np.bool_]) -> Observations:
    """See calls that were taken from several stretches of time; `stretch` (n,) numbers the one of each call.

    Those that `started` (n,) began in it, all others before it. A process, a connection or a transaction is another one in
    each stretch, so that nothing reaches across.
    """
    _, stretch = number_groups(stretch)

    def apart(number: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(number >= 0, number + stretch * (int(number.max(initial=0)) + 1), -1)

    processes = int(max(problem.callee.max(), problem.caller.max())) + 1
    moved = (stretch * processes).astype(np.int32)
    _, connection = number_groups(apart(problem.connection))
    problem = replace(
        problem,
        caller=np.where(problem.caller >= 0, problem.caller + moved, -1).astype(np.int32),
        callee=np.where(problem.callee >= 0, problem.callee + moved, -1).astype(np.int32),
        connection=np.where(problem.connection >= 0, connection, -1),
        transaction=apart(problem.transaction),
        lookup=apart(problem.lookup),
    )
    observations = observe(problem)
    until = np.zeros(int(stretch.max()) + 1)
    for column in (observations.arrives, observations.responds, observations.starts, observations.ends):
        np.fmax.at(until, stretch, column)
    observations.until = np.repeat(until, processes)
    last_start = np.full(len(until), -np.inf)
    np.fmax.at(last_start, stretch[started], np.fmax(observations.starts, observations.arrives)[started])
    observations.whole = started & (observations.responds <= last_start[stretch])
    return observations


def _resolution(columns: tuple[NDArray[np.int64], ...]) -> float:
    """The coarsest step that every recorded time is a multiple of, not finer than `FINEST_RESOLUTION_NS`."""
    for step in COARSE_RESOLUTIONS_NS:
        if all(not np.any(column[column != MISSING] % int(step)) for column in columns):
            return step
    return FINEST_RESOLUTION_NS
