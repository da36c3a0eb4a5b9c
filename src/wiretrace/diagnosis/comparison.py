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
from wiretrace.diagnosis.contributions import PARTS
from wiretrace.diagnosis.shared_change import SharedChange, shared_change, shared_words
from wiretrace.diagnosis.slower_requests import LARGE, changed, high_of, median_of
from wiretrace.diagnosis.statistics import normal_p, table_p

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.measured import Measured, Step

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


def compare(before: Measured, after: Measured) -> Comparison:
    """Compare two sides."""
    kinds = list(dict.fromkeys([*before.kinds, *after.kinds]))
    shared = {percentile: _shared(kinds, before, after, band) for percentile, band in BANDS.items()}
    operations = [_operation(kind, before, after) for kind in kinds]
    _split_durations(operations, before, after, shared)
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
        fewest = min(map(len, rows))
        if fewest < FEWEST:
            continue
        for side, of_kind, weight in zip(sides, rows, weights, strict=True):
            chosen = side.around(of_kind, band)
            weight[chosen] = fewest / len(chosen)
    return shared_change(*(side.by_callee(weight) for side, weight in zip(sides, weights, strict=True)))


def _size(change: OperationChange) -> float:
    """How much a kind of request changed over all its requests."""
    lost = sum(abs(each.after_ns - each.before_ns) for each in change.percentiles)
    return change.requests_after * (lost + ERROR_COSTS_NS * abs(change.errors_after - change.errors_before))


def _operation(kind: Kind, before: Measured, after: Measured) -> OperationChange:
    sides = [(side, side.of_kind(kind)) for side in (before, after)]
    counts = [len(rows) for _, rows in sides]
    errors = [float(side.failed[rows].mean()) if len(rows) else 0.0 for side, rows in sides]
    change = OperationChange(kind.service, kind.operation, counts[0], counts[1], errors[0], errors[1], [], [])
    if not all(counts) and max(counts) >= FEWEST:
        change.flagged.append("new" if counts[1] else "gone")
    return change


def _split_durations(
    operations: list[OperationChange], before: Measured, after: Measured, shared: dict[int, SharedChange]
) -> None:
    """Tell the percentiles of the kinds of request that both sides have, and split them."""
    on_both = [each for each in operations if each.requests_before and each.requests_after]
    kinds = [Kind(each.service, each.operation) for each in on_both]
    for percentile in BANDS:
        sides = [_percentiles(side, kinds, percentile) for side in (before, after)]
        for each, *figures in zip(on_both, *sides, strict=True):
            values, profiles = zip(*figures, strict=True)
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
            parts.sort(key=lambda change: -abs(change.change_ns))
            each.percentiles.append(
                PercentileChange(percentile, int(values[0]), int(values[1]), parts, shared[percentile])
            )


def _percentiles(
    side: Measured, kinds: list[Kind], percentile: int
) -> Iterator[tuple[float, dict[tuple[Step, str], float]]]:
    """A percentile of each kind of request (nearest rank), and its split by step and part, which adds up to it."""
    values, chosen = [], []
    weights = np.zeros(len(kinds))
    for number, kind in enumerate(kinds):
        rows = side.of_kind(kind)
        durations = np.sort(side.duration[rows])
        values.append(float(durations[max(-(-len(rows) * percentile // 100) - 1, 0)]))
        chosen.append(side.around(rows, BANDS[percentile]))
        total = float(side.duration[chosen[-1]].sum())
        weights[number] = values[-1] / total if total else 0.0
    return zip(values, side.profiles_of(chosen, weights), strict=True)


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
    every = list(dict.fromkeys([*before.steps, *after.steps]))
    numbers = {step: number for number, step in enumerate(every)}
    sides = [
        (side, np.array([numbers[step] for step in side.steps], np.int64), len(side.requests))
        for side in (before, after)
    ]
    profiles = [np.zeros((len(PARTS), len(every))) for _ in sides]
    for found, (side, place, count) in zip(profiles, sides, strict=True):
        found[:, place] = side.profile(np.full(count, 1 / count))
    change = profiles[1] - profiles[0]
    gained = _sum(change)
    more = gained - (alike - 1) * _sum(profiles[0])
    whole = max(sum(profiles[0].ravel().tolist()), 1.0)
    is_late = late & (gained * more > 0) & (np.abs(more) >= max(FEWEST_PARTS_NS, 0.02 * whole))
    old, new = (_counts(side, place, len(every)) for side, place, _ in sides)
    by_nature = min(before.failing_share, after.failing_share)
    changes = []
    for number in np.flatnonzero(is_late | _may_be_flagged(old, new)).tolist():
        one, other = old.of(number), new.of(number)
        flags = _step_flags(one, other, requests, by_nature) + ["time"] * bool(is_late[number])
        if flags:
            weighed = ERROR_COSTS_NS * abs(other.errors - one.errors) * max(one.mean, other.mean)
            figures = (
                abs(float(more[number])) + weighed * ("errors" in flags),
                float(gained[number]),
                PARTS[int(np.abs(change[:, number]).argmax())],
            )
            means_and_errors = one.mean, other.mean, one.errors, other.errors
            changes.append(StepChange(*every[number], *figures, *means_and_errors, flags))
    return sorted(changes, key=lambda each: (-each.impact_ns, each.caller, each.callee, each.operation))


def _sum(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sums over the first axis, part by part."""
    found = np.zeros(parts.shape[1])
    for part in parts:
        found += part
    return found


class StepCounts(NamedTuple):
    """How often requests make calls of one kind."""

    calls: int
    mean: float
    """Calls a request."""
    variance: float
    errors: float
    """Share of its calls that failed by themselves."""


class AllCounts(NamedTuple):
    """The same of all steps. Arrays have shape (steps,)."""

    calls: NDArray[np.int64]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    errors: NDArray[np.float64]

    def of(self, number: int) -> StepCounts:
        """Those of one step."""
        return StepCounts(
            int(self.calls[number]), *(float(each[number]) for each in (self.mean, self.variance, self.errors))
        )


def _counts(side: Measured, place: NDArray[np.int64], every: int) -> AllCounts:
    """How often each step is made a request; `place` are the numbers of the steps of a side among `every`."""
    keys = side.request_of * max(len(side.steps), 1) + side.step_of
    pairs, often = np.unique(keys, return_counts=True)
    step = pairs % max(len(side.steps), 1)
    calls = np.bincount(step, often, len(side.steps))
    squares = np.bincount(step, often.astype(float) ** 2, len(side.steps))
    failed = np.bincount(side.step_of, side.failed_first, len(side.steps))
    mean = calls / max(len(side.requests), 1)
    variance = np.maximum(squares / max(len(side.requests), 1) - mean**2, 0.0)
    found = AllCounts(np.zeros(every, np.int64), *(np.zeros(every) for _ in range(3)))
    for column, values in zip(found, (calls, mean, variance, failed / np.maximum(calls, 1)), strict=True):
        column[place] = values
    return found


def _may_be_flagged(old: AllCounts, new: AllCounts) -> NDArray[np.bool_]:
    """Which steps differ by so much that `_step_flags` has to look at them. Shape (steps,)."""
    change = np.abs(new.mean - old.mean)
    is_often = np.maximum(old.calls, new.calls) >= FEWEST
    differs = is_often & (change > 0) & (change >= CALLS_CHANGE * np.maximum(old.mean, new.mean))
    fails = (np.minimum(old.calls, new.calls) >= FEWEST) & (np.abs(new.errors - old.errors) >= ERROR_CHANGE)
    found: NDArray[np.bool_] = differs | fails
    return found


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
