"""Calls without a parent: timers, pools and health checks, and how often they happen while requests are being served.

Rules: what a process sends while it serves nothing, and long after it last served something, gives the rate of such
calls for each kind. Calls that come soon after a response more often than that are work that a request left behind:
requests stay candidates for calls of that kind for that long. A call with one candidate is its child as far as calls
of its kind are denser, at that delay after a request's arrival, than the rate explains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wiretrace.linking.arrays import distinct

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.candidates import Candidates
    from wiretrace.linking.observations import Observations

BINS_PER_E = 2.0
"""Bins of idle time, per factor e."""
IDLE_BINS = 64
"""Bins of idle time: up to e ** 32 microseconds."""
LEAST_LEFT_BEHIND = 5
"""Calls soon after a response that are needed before a kind is believed to be left behind by requests."""
LEAST_LEFT_SHARE = 0.1
"""They must be this share of the calls of the kind that come while nothing is served."""
FAR_SHARES = (0.5, 0.2, 0.05)
"""Shares of the idle time, that which is farthest from any response, of which the quietest gives the rate."""
SCATTER = 1.5
"""Standard deviations by which the counted calls are raised."""
TAIL_BINS = 3
"""Bins beyond the last dense one within which a request stays a candidate: delays have tails that are never dense."""
SOON_AFTER_RATIO = 4.0
"""They must come this much more densely than the background."""


class Background(NamedTuple):
    """What is known of calls that are sent while no request is being served; shape (kinds,) each."""

    rate: NDArray[np.float64]
    """Calls without a parent per nanosecond and process."""
    reach: NDArray[np.float64]
    """Nanoseconds after a response within which calls of the kind are still caused by the request; 0: not at all."""


def measure_background(
    observations: Observations,
    candidates: Candidates,
    kind: NDArray[np.int64],
    kinds: int,
    counted: NDArray[np.bool_] | None = None,
) -> Background:
    """How often calls come without a parent, and how long after a response they still have one.

    `kind` (n,) is below `kinds`; only calls that are `counted` (n,) are.
    """
    problem = observations.problem
    nothing = Background(np.zeros(kinds), np.zeros(kinds))
    requests = np.flatnonzero(~np.isnan(observations.arrives))
    lonely = np.flatnonzero((candidates.counts() == 0) & ~np.isnan(observations.starts))
    if counted is not None:
        lonely = lonely[counted[lonely]]
    if not len(requests) or not len(lonely):
        return nothing
    serves = np.bincount(problem.callee[requests], minlength=len(observations.until)) > 0
    lonely = lonely[serves[problem.caller[lonely]]]
    if not len(lonely):
        return nothing
    by_end = requests[np.lexsort((observations.responds[requests], problem.callee[requests]))]
    axis = observations.axis(0.0)
    ended = axis.at(problem.callee[by_end], observations.responds[by_end])
    last = np.searchsorted(ended, axis.at(problem.caller[lonely], observations.starts[lonely]), "right") - 1
    before = by_end[np.maximum(last, 0)]
    # What comes before the first request of a process belongs to time that is not counted either.
    follows = (last >= 0) & (problem.callee[before] == problem.caller[lonely])
    lonely, before = lonely[follows], before[follows]
    bin_of = delay_bin(observations.starts[lonely] - observations.responds[before])
    lonely_kind = kind[lonely]
    counts = np.bincount(lonely_kind * IDLE_BINS + bin_of, minlength=kinds * IDLE_BINS).reshape(kinds, IDLE_BINS)
    rate, reach = np.zeros(kinds), np.zeros(kinds)
    for service in distinct(problem.caller_service[lonely]).tolist():
        own = distinct(lonely_kind[problem.caller_service[lonely] == service])
        exposure = _idle_exposure(observations, requests[problem.callee_service[requests] == service])
        rate[own], reach[own] = _judge(counts[own], exposure)
    return Background(rate, reach)


def _judge(counts: NDArray[np.int64], exposure: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rates and reaches of the kinds of one service from their calls in each bin of idle time (kinds, IDLE_BINS)."""
    rate = np.full(len(counts), np.inf)
    for share in FAR_SHARES:
        # Far from any request nobody asked for what happens. Few calls are not taken for fewer than they may be.
        far = np.cumsum(exposure) > (1.0 - share) * exposure.sum()
        seen = counts[:, far].sum(axis=1) + 1.0
        rate = np.minimum(rate, (seen + SCATTER * np.sqrt(seen)) / max(float(exposure[far].sum()), 1.0))
    soon = counts > np.maximum(SOON_AFTER_RATIO * rate[:, None] * exposure, 1.0)
    soon[:, -1] = False
    enough = (counts * soon).sum(axis=1) >= np.maximum(LEAST_LEFT_BEHIND, LEAST_LEFT_SHARE * counts.sum(axis=1))
    last_soon = IDLE_BINS - np.argmax(soon[:, ::-1], axis=1)
    return rate, np.where(enough, np.expm1((last_soon + TAIL_BINS) / BINS_PER_E) * 1000.0, 0.0)


def delay_bin(delay: NDArray[np.float64]) -> NDArray[np.int64]:
    """Bin of a delay since a response, or an arrival."""
    return np.minimum((np.log1p(np.maximum(delay, 0.0) / 1000.0) * BINS_PER_E).astype(np.int64), IDLE_BINS - 1)


def _idle_exposure(observations: Observations, requests: NDArray[np.int64]) -> NDArray[np.float64]:
    """Nanoseconds of idle time of the processes that serve `requests`, by time since the last response; (IDLE_BINS,)."""
    callee = observations.problem.callee
    order = requests[np.lexsort((observations.arrives[requests], callee[requests]))]
    axis = observations.axis(0.0)
    # One axis, so that the running end of one process never reaches into the next.
    busy_until = np.maximum.accumulate(axis.at(callee[order], observations.responds[order]))
    arrivals = axis.at(callee[order], observations.arrives[order])
    last_of_process = np.append(callee[order][1:] != callee[order][:-1], True)
    end = axis.at(callee[order], observations.until[callee[order]])
    next_arrival = np.where(last_of_process, end, np.append(arrivals[1:], 0))
    idle = np.maximum(next_arrival - busy_until, 0) * axis.unit
    edges = np.expm1(np.arange(IDLE_BINS + 1) / BINS_PER_E) * 1000.0
    edges[-1] = np.inf
    ordered = np.sort(idle)
    total = np.concatenate(([0.0], np.cumsum(ordered)))
    reached = np.searchsorted(ordered, edges[:-1], "right")
    # Idle time up to an edge: short stretches whole, longer ones up to the edge.
    up_to = total[reached] + (len(ordered) - reached) * edges[:-1]
    return np.diff(np.append(up_to, total[-1]))


def chance_of_none(delays: NDArray[np.float64], rate: float, durations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability that a call with one candidate has no parent, by the bin of its delay; shape (IDLE_BINS,).

    `delays` are the times since the candidates' arrivals of such calls of one pair of operations, `rate` is that of
    calls without a parent, `durations` are those of all requests of the candidates' operation.
    """
    edges = np.expm1(np.arange(IDLE_BINS + 1) / BINS_PER_E) * 1000.0
    lasting = np.sort(durations)
    total = np.concatenate(([0.0], np.cumsum(lasting)))
    reached = np.searchsorted(lasting, edges, "right")
    exposure = np.diff(total[reached] + (len(lasting) - reached) * edges)
    counts = np.bincount(delay_bin(delays), minlength=IDLE_BINS).astype(np.float64)
    # Neighbouring bins steady the estimate where calls are few.
    steady = np.convolve(counts, (0.25, 0.5, 0.25), "same")
    expected = rate * np.convolve(exposure, (0.25, 0.5, 0.25), "same")
    chance: NDArray[np.float64] = np.clip(expected / np.maximum(steady, 0.5), 0.0, 1.0)
    return chance
