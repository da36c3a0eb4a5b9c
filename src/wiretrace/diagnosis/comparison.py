"""Compares two cases, or two times of one: what changed for each kind of request, and where.

A change of a percentile is split over the calls and their parts, so that the parts add up to it: the requests around the
percentile are taken, their time is split (see `contributions`), and scaled to the percentile itself. What is flagged is
both large and no accident, beyond what all services have in common (see `shared_change`): that is told apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from wiretrace.diagnosis.columns import Kind
from wiretrace.diagnosis.contributions import PARTS, contributions_of
from wiretrace.diagnosis.names import Names
from wiretrace.diagnosis.shared_change import SharedChange, shared_change, shared_words
from wiretrace.diagnosis.slower_requests import LARGE, changed, high_of, median_of
from wiretrace.diagnosis.statistics import normal_p, table_p

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.diagnosis.observed import Observed

SCHEMA = "wiretrace.diff/1"
FEWEST = 10
"""Requests of a kind on each side from which on a change is judged."""
SURE = 1e-4
"""Probability below which a change of how often something is called, or fails, is no accident."""
ERROR_CHANGE = 0.02
"""Change of the error rate that is large."""
CALLS_CHANGE = 0.2
"""Change of the number of calls a request that is large, as a share."""
BANDS = {50: (0.35, 0.65), 95: (0.90, 1.0)}
"""Requests that stand for a percentile, by their rank."""
EVERY = (0.0, 1.0)
"""All of them."""
ERROR_COSTS_NS = 10_000_000_000
"""What an error weighs against lost time, where changes are ranked."""
FEWEST_PARTS_NS = 1_000
"""Parts that changed by less are left out; their sum is told as the rest."""


class Step(NamedTuple):
    """Calls of one kind between two services."""

    caller: str
    callee: str
    operation: str

    @property
    def words(self) -> str:
        """In words: "web → shop: GET /orders/{id}"."""
        return f"{self.caller} → {self.callee}: {self.operation}"


class PartChange(msgspec.Struct):
    """What one part of one kind of call contributes to a change."""

    caller: str
    callee: str
    operation: str
    part: str
    before_ns: float
    after_ns: float

    @property
    def change_ns(self) -> float:
        """After minus before."""
        return self.after_ns - self.before_ns


class PercentileChange(msgspec.Struct):
    """A percentile before and after; the changes of the parts add up to its change."""

    percentile: int
    before_ns: int
    after_ns: int
    parts: list[PartChange]
    shared: SharedChange
    """What all services have in common at this percentile."""


class OperationChange(msgspec.Struct):
    """A kind of request before and after."""

    service: str
    operation: str
    requests_before: int
    requests_after: int
    errors_before: float
    """Share that failed, 4xx left out."""
    errors_after: float
    flagged: list[str]
    """What changed by more than accident: p50, p95, errors, new, gone."""
    percentiles: list[PercentileChange]


class StepChange(msgspec.Struct):
    """A kind of call before and after, over all requests."""

    caller: str
    callee: str
    operation: str
    impact_ns: float
    """Time a request that it gained or lost beyond what all services share, with its errors weighed in: changes are ranked
    by this."""
    change_ns: float
    """Time a request that it gained (or lost, below 0)."""
    part: str
    """The part in which most of that lies."""
    calls_before: float
    """Calls a request."""
    calls_after: float
    errors_before: float
    """Share of its calls that failed by themselves."""
    errors_after: float
    flagged: list[str]
    """What changed by more than accident: time, errors, new, missing, calls."""


class Comparison(msgspec.Struct):
    """What `wiretrace diff` says."""

    schema: str
    shared: str
    """What all services have in common, in a sentence, for it is no change of one of them; empty where it is small."""
    operations: list[OperationChange]
    """The flagged ones first, then by how much they changed."""
    steps: list[StepChange]
    """The flagged ones only, by impact."""


class Measured:
    """One of the two sides: requests that began in a window of time, by kind, and what their calls contribute."""

    def __init__(self, observed: Observed, from_ns: int | None = None, to_ns: int | None = None) -> None:
        calls = observed.calls
        within = np.ones(len(calls), np.bool_)
        if from_ns is not None:
            within &= calls.start >= from_ns
        if to_ns is not None:
            within &= calls.start < to_ns
        known = observed.entering & within & ~(calls.unknown & (observed.duration == 0))
        self.requests = np.flatnonzero(known)
        """Rows of the requests."""
        self.start = calls.start[self.requests]
        self.duration = observed.duration[self.requests].astype(np.float64)
        self.failed = observed.failed[self.requests]
        codes = calls.kind[self.requests]
        self._of_kind = {calls.kinds[code]: np.flatnonzero(codes == code) for code in dict.fromkeys(codes.tolist())}
        in_window = known[observed.request]
        rows = np.flatnonzero(in_window & ~calls.sets_up[calls.kind])
        number = np.full(len(calls), -1, np.int64)
        number[self.requests] = np.arange(len(self.requests))
        self.request_of = number[observed.request[rows]]
        """Index into `requests` of each call."""
        steps = Names[Step]()
        routes = observed.routes
        of_route = [
            steps.code(Step(routes.callers[caller], calls.kinds[kind].service, calls.kinds[kind].operation))
            for caller, kind in zip(routes.caller.tolist(), routes.kind.tolist(), strict=True)
        ]
        self.steps = steps.things
        self.step_of = np.array(of_route or [0], np.int64)[observed.route[rows]]
        self.parts = contributions_of(observed)[:, rows]
        self.failed_first = observed.failed_first[rows]
        # The set-up of a request's own connection comes before it; a request lasts from its first byte.
        is_request = calls.start[rows] == calls.start[observed.request[rows]]
        self.parts[:3, is_request & (observed.parent[rows] < 0)] = 0.0
        whole = np.bincount(self.request_of, self.parts.sum(axis=0), len(self.requests))
        # What set-up calls (logins) took is no call's own: it is given to the parts in proportion, so that they add up.
        self.parts *= (self.duration / np.where(whole > 0, whole, 1.0))[self.request_of]

        failing = np.bincount(self.step_of[self.failed_first], minlength=len(self.steps)) > 0
        self.failing_share = (1 + int(failing.sum())) / (1 + len(self.steps))
        """Share of the kinds of call that fail at all: the probability that one fails now and then by nature."""

    @property
    def kinds(self) -> list[Kind]:
        """Kinds of request."""
        return list(self._of_kind)

    def of_kind(self, kind: Kind) -> NDArray[np.int64]:
        """Indices of the requests of a kind."""
        return self._of_kind.get(kind, np.zeros(0, np.int64))

    def by_start(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Some requests in the order of their start."""
        return rows[np.argsort(self.start[rows], kind="stable")]

    def around(self, rows: NDArray[np.int64], band: tuple[float, float]) -> NDArray[np.int64]:
        """Those of some requests whose duration is in a band of ranks, given as shares of their number; at least one."""
        rows = rows[np.argsort(self.duration[rows], kind="stable")]
        first = int(band[0] * (len(rows) - 1))
        return rows[first : max(int(band[1] * len(rows)), first + 1)]

    def by_callee(self, weights: NDArray[np.float64]) -> dict[str, float]:
        """Weighted sum of the time that each service takes by itself; `weights` has one entry a request."""
        found: dict[str, float] = {}
        for (step, _), value in self.profile(weights).items():
            found[step.callee] = found.get(step.callee, 0.0) + value
        return found

    def profile(self, weights: NDArray[np.float64]) -> dict[tuple[Step, str], float]:
        """Weighted sum of the contributions by step and part; `weights` has one entry a request."""
        weight = weights[self.request_of]
        found = {}
        for number, part in enumerate(PARTS):
            sums = np.bincount(self.step_of, self.parts[number] * weight, len(self.steps))
            for step, value in zip(self.steps, sums.tolist(), strict=True):
                if value:
                    found[step, part] = value
        return found


def compare(before: Measured, after: Measured) -> Comparison:
    """Compare two sides."""
    kinds = list(dict.fromkeys([*before.kinds, *after.kinds]))
    shared = {percentile: _shared(kinds, before, after, band) for percentile, band in BANDS.items()}
    operations = [_operation(kind, before, after, shared) for kind in kinds]
    _flag_durations(operations, before, after)
    _flag_errors(operations, before, after)
    operations.sort(key=lambda each: (not each.flagged, -_size(each), each.operation, each.service))
    late = any(name in each.flagged for each in operations for name in ("p50", "p95"))
    of_all = _shared(kinds, before, after, EVERY)
    return Comparison(
        SCHEMA, shared_words(shared[50], shared[95]), operations, _steps(before, after, late, of_all.factor)
    )


def _shared(kinds: list[Kind], before: Measured, after: Measured, band: tuple[float, float]) -> SharedChange:
    """What all services have in common in a band of each kind of request; kinds weigh the same on both sides."""
    sides = before, after
    weights = [np.zeros(len(side.requests)) for side in sides]
    for kind in kinds:
        rows = [side.of_kind(kind) for side in sides]
        for side, of_kind, weight in zip(sides, rows, weights, strict=True):
            if min(map(len, rows)) >= FEWEST:
                chosen = side.around(of_kind, band)
                weight[chosen] = min(map(len, rows)) / len(chosen)
    return shared_change(*(side.by_callee(weight) for side, weight in zip(sides, weights, strict=True)))


def _size(change: OperationChange) -> float:
    """How much a kind of request changed over all its requests."""
    lost = sum(abs(each.after_ns - each.before_ns) for each in change.percentiles)
    return change.requests_after * (lost + ERROR_COSTS_NS * abs(change.errors_after - change.errors_before))


def _operation(kind: Kind, before: Measured, after: Measured, shared: dict[int, SharedChange]) -> OperationChange:
    sides = [(side, side.of_kind(kind)) for side in (before, after)]
    counts = [len(rows) for _, rows in sides]
    errors = [float(side.failed[rows].mean()) if len(rows) else 0.0 for side, rows in sides]
    change = OperationChange(kind.service, kind.operation, counts[0], counts[1], errors[0], errors[1], [], [])
    if not all(counts):
        if max(counts) >= FEWEST:
            change.flagged.append("new" if counts[1] else "gone")
        return change
    for percentile in BANDS:
        values, profiles = zip(*(_percentile(side, rows, percentile) for side, rows in sides), strict=True)
        parts = [
            PartChange(
                step.caller,
                step.callee,
                step.operation,
                part,
                profiles[0].get((step, part), 0.0),
                profiles[1].get((step, part), 0.0),
            )
            for step, part in dict.fromkeys([*profiles[0], *profiles[1]])
        ]
        parts.sort(key=lambda each: -abs(each.change_ns))
        change.percentiles.append(
            PercentileChange(percentile, int(values[0]), int(values[1]), parts, shared[percentile])
        )
    return change


def _percentile(
    side: Measured, rows: NDArray[np.int64], percentile: int
) -> tuple[float, dict[tuple[Step, str], float]]:
    """A percentile of some requests (nearest rank), and its split by step and part, which adds up to it."""
    rows = rows[np.argsort(side.duration[rows], kind="stable")]
    value = float(side.duration[rows[max(-(-len(rows) * percentile // 100) - 1, 0)]])
    chosen = side.around(rows, BANDS[percentile])
    total = float(side.duration[chosen].sum())
    weights = np.zeros(len(side.requests))
    weights[chosen] = value / total if total else 0.0
    return value, side.profile(weights)


def _flag_durations(operations: list[OperationChange], before: Measured, after: Measured) -> None:
    """Flag the percentiles that changed."""
    judged = _judged(operations)
    for number, percentile in enumerate(BANDS):
        found = []
        for each in judged:
            kind, change = Kind(each.service, each.operation), each.percentiles[number]
            alike = change.before_ns * change.shared.factor
            old, new = (side.duration[side.by_start(side.of_kind(kind))] for side in (before, after))
            look = median_of if percentile == 50 else high_of
            found.append(look((change.before_ns, alike, change.after_ns), old * change.shared.factor, new))
        for each, is_changed in zip(judged, changed(found, LARGE[percentile], len(BANDS) * len(judged)), strict=True):
            if is_changed:
                each.flagged.append(f"p{percentile}")


def _flag_errors(operations: list[OperationChange], before: Measured, after: Measured) -> None:
    """Flag errors that changed by more than accident, and by so much that it matters."""
    by_nature = min(before.failing_share, after.failing_share)
    for each in _judged(operations):
        kind = Kind(each.service, each.operation)
        failed = [side.failed[side.of_kind(kind)] for side in (before, after)]
        counts = np.array([[side.sum(), (~side).sum()] for side in failed])
        if table_p(counts) * by_nature < SURE and abs(each.errors_after - each.errors_before) >= ERROR_CHANGE:
            each.flagged.append("errors")


def _judged(operations: list[OperationChange]) -> list[OperationChange]:
    return [each for each in operations if min(each.requests_before, each.requests_after) >= FEWEST]


def _steps(before: Measured, after: Measured, late: bool, alike: float) -> list[StepChange]:
    """Every kind of call that changed by more than accident; those that took more time only where requests did.

    `alike`: the factor that all services have in common.
    """
    requests = len(before.requests), len(after.requests)
    if not all(requests):
        return []
    profiles = [side.profile(np.full(len(side.requests), 1 / len(side.requests))) for side in (before, after)]
    counts = [_counts(side) for side in (before, after)]
    by_nature = min(before.failing_share, after.failing_share)
    found = []
    every = list(dict.fromkeys([*before.steps, *after.steps]))
    for step in every:
        parts = {part: profiles[1].get((step, part), 0.0) - profiles[0].get((step, part), 0.0) for part in PARTS}
        gained = sum(parts.values())
        more = gained - (alike - 1) * sum(profiles[0].get((step, part), 0.0) for part in PARTS)
        old, new = (each.get(step, NO_CALLS) for each in counts)
        flags = _step_flags(old, new, requests, by_nature)
        errors = new.errors - old.errors
        whole = max(sum(profiles[0].values()), 1.0)
        if late and gained * more > 0 and abs(more) >= max(FEWEST_PARTS_NS, 0.02 * whole):
            flags.append("time")
        if flags:
            impact = abs(more) + ERROR_COSTS_NS * abs(errors) * max(old.mean, new.mean) * ("errors" in flags)
            most = max(parts, key=lambda part: abs(parts[part]))
            found.append(StepChange(*step, impact, gained, most, old.mean, new.mean, old.errors, new.errors, flags))
    return sorted(found, key=lambda each: (-each.impact_ns, each.caller, each.callee, each.operation))


class StepCounts(NamedTuple):
    """How often requests make calls of one kind."""

    calls: int
    mean: float
    """Calls a request."""
    variance: float
    errors: float
    """Share of its calls that failed by themselves."""


NO_CALLS = StepCounts(0, 0.0, 0.0, 0.0)


def _counts(side: Measured) -> dict[Step, StepCounts]:
    """How often each step is made a request."""
    keys = side.request_of * max(len(side.steps), 1) + side.step_of
    pairs, often = np.unique(keys, return_counts=True)
    step = pairs % max(len(side.steps), 1)
    calls = np.bincount(step, often, len(side.steps))
    squares = np.bincount(step, often.astype(float) ** 2, len(side.steps))
    failed = np.bincount(side.step_of, side.failed_first, len(side.steps))
    mean = calls / max(len(side.requests), 1)
    variance = np.maximum(squares / max(len(side.requests), 1) - mean**2, 0.0)
    return {
        name: StepCounts(int(calls[at]), float(mean[at]), float(variance[at]), float(failed[at] / max(calls[at], 1)))
        for at, name in enumerate(side.steps)
        if calls[at]
    }


def _step_flags(old: StepCounts, new: StepCounts, requests: tuple[int, int], by_nature: float) -> list[str]:
    flags = []
    spread = (old.variance / requests[0] + new.variance / requests[1]) ** 0.5
    change = abs(new.mean - old.mean)
    is_sure = change > 0 and (spread == 0 or normal_p(change / spread) < SURE)
    if max(old.calls, new.calls) >= FEWEST and is_sure and change >= CALLS_CHANGE * max(old.mean, new.mean):
        flags.append("new" if not old.calls else "missing" if not new.calls else "calls")
    failed = np.array([[round(each.errors * each.calls), each.calls - round(each.errors * each.calls)]
                       for each in (old, new)])  # fmt: skip
    if (
        abs(new.errors - old.errors) >= ERROR_CHANGE
        and min(old.calls, new.calls) >= FEWEST
        and table_p(failed) * by_nature < SURE
    ):
        flags.append("errors")
    return flags
