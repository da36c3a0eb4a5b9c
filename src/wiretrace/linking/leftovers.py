"""Work that a request leaves behind: calls that carry its values and start after it was answered.

Rules: measured for each kind of call, never assumed. Calls of one user's session share values in both directions of
time; what is left behind follows the request and never comes before it. So it is compared how many calls of the kind
carry a value of a request that was answered shortly before, and how many of one that arrives within the same time
after: only a kind with clearly more of the former is believed, and only its calls get such candidates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wiretrace.linking.arrays import ProcessAxis, distinct, ranges, run_starts
from wiretrace.linking.evidence.contract import Pairs
from wiretrace.linking.evidence.matching import MIX

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.observations import Observations
    from wiretrace.model.link_problem import Ragged

MOST_PER_VALUE = 4
"""Requests that are considered for each value of a call: those that were answered last."""
SCATTER = 3.0
"""Standard deviations by which the answered requests must outnumber those that come later."""
LEAST_EXPLAINED = 0.5
"""Of the calls of a kind of which no carrier of their value comes later, this share must follow one."""


class _Carriers(NamedTuple):
    """Values of incoming calls, sorted by value and process, and then by time."""

    value: NDArray[np.uint64]
    """Rising numbers of values mixed with processes."""
    axis: ProcessAxis
    position: NDArray[np.int64]
    """Place of each on the axis, which has a stretch for each value and process."""
    call: NDArray[np.int64]


def follow_values(
    observations: Observations, kind: NDArray[np.int64], kinds: int, believed: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.bool_], Pairs]:
    """Which kinds of calls are left behind by answered requests, shape (kinds,), and the pairs that values propose.

    `kind` (n,) says what each call is to its caller; `believed` (kinds,) is what was found before.
    """
    problem, window = observations.problem, observations.longest_ns
    tokens = problem.request_tokens
    nothing = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64))
    if not len(tokens.values) or window <= 0 or (believed is not None and not believed.any()):
        return np.zeros(kinds, bool) if believed is None else believed, nothing
    chosen = None if believed is None else believed[kind]
    child, wanted = _values(observations, tokens, observations.starts, problem.caller, chosen)
    if believed is None:
        answered = _carriers(observations, observations.responds, tokens)
        coming = _carriers(observations, observations.arrives, tokens)
        believed = _believed(observations, answered, coming, child, wanted, kind, kinds)
        chosen = believed[kind[child]]
        child, wanted = child[chosen], wanted[chosen]
    # Once it is believed, what the request was answered with tells as well.
    answered = _carriers(observations, observations.responds, tokens, problem.response_tokens)
    low, high = _within(answered, wanted, observations.starts[child] - window, observations.starts[child])
    low = np.maximum(low, high - MOST_PER_VALUE)
    pair_child = np.repeat(child, high - low)
    parent = answered.call[ranges(low, high - low)]
    keep = parent != pair_child
    return believed, Pairs(pair_child[keep], parent[keep])


def _believed(
    observations: Observations,
    answered: _Carriers,
    coming: _Carriers,
    child: NDArray[np.int64],
    wanted: NDArray[np.uint64],
    kind: NDArray[np.int64],
    kinds: int,
) -> NDArray[np.bool_]:
    """Which kinds of calls are left behind; `child` and `wanted` are the values of all calls."""
    # A call is judged by its rarest value: common ones are always about.
    first, last = _all(answered, wanted)
    carried = last - first
    there = np.flatnonzero(carried > 0)
    order = there[np.lexsort((wanted[there], carried[there], child[there]))]
    rarest = order[run_starts(child[order])] if len(order) else order
    child, wanted = child[rarest], wanted[rarest]
    starts, window = observations.starts[child], observations.longest_ns
    orphaned = ~_is_live(answered, coming, wanted, starts)
    child, wanted, starts = child[orphaned], wanted[orphaned], starts[orphaned]
    low, high = _within(answered, wanted, starts - window, starts)
    first, last = _within(coming, wanted, starts, starts + window)
    follows, foretold = high > low, last > first
    chosen = [kind[child[each]] for each in (follows & ~foretold, foretold & ~follows, ~foretold)]
    only_follows, only_foretold, without = (np.bincount(each, minlength=kinds) for each in chosen)
    excess = only_follows - only_foretold
    clear = excess > SCATTER * np.sqrt(only_follows + only_foretold)
    believed: NDArray[np.bool_] = clear & (excess >= LEAST_EXPLAINED * without)
    return believed


def _values(
    observations: Observations,
    tokens: Ragged,
    times: NDArray[np.float64],
    process: NDArray[np.int32],
    chosen: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """The values of calls that have a time (and are `chosen`): numbers of the calls, values mixed with the process."""
    use = ~np.isnan(times) & (process >= 0)
    if chosen is not None:
        use &= chosen
    counts = np.diff(tokens.offsets)
    calls = np.flatnonzero(use & (counts > 0))
    owner = np.repeat(calls, counts[calls])
    values = tokens.values[ranges(tokens.offsets[calls], counts[calls])]
    return owner, values ^ (process[owner].astype(np.uint64) * MIX)


def _carriers(observations: Observations, times: NDArray[np.float64], *tokens: Ragged) -> _Carriers:
    """Incoming calls by their values, which are those of `tokens`, and by `times` (n,)."""
    callee = observations.problem.callee
    carried = [_values(observations, each, times, callee, None) for each in tokens]
    owner, mixed = (np.concatenate(column) for column in zip(*carried, strict=True))
    order = np.argsort(mixed, kind="stable")
    owner, mixed = owner[order], mixed[order]
    value = distinct(mixed)
    axis = ProcessAxis(len(value), observations.axis(0.0).latest, observations.longest_ns)
    position = axis.at(np.searchsorted(value, mixed), times[owner])
    order = np.argsort(position, kind="stable")
    return _Carriers(value, axis, position[order], owner[order])


def _is_live(
    answered: _Carriers, coming: _Carriers, wanted: NDArray[np.uint64], times: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whether a request that carries each wanted value was being served at each of `times`."""
    begin, arrived = _within(coming, wanted, np.full(len(times), -coming.axis.slack), times)
    first, responded = _within(answered, wanted, np.full(len(times), -answered.axis.slack), times)
    live: NDArray[np.bool_] = arrived - begin > responded - first
    return live


def _all(carriers: _Carriers, wanted: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each wanted value, from where to where its carriers stand."""
    ever = np.full(len(wanted), carriers.axis.latest + carriers.axis.slack)
    return _within(carriers, wanted, np.full(len(wanted), -carriers.axis.slack), ever)


def _within(
    carriers: _Carriers, wanted: NDArray[np.uint64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each wanted value, from where to where its carriers have their time between `low` and `high`."""
    at = np.minimum(np.searchsorted(carriers.value, wanted), max(len(carriers.value) - 1, 0))
    there = carriers.value[at] == wanted if len(carriers.value) else np.zeros(len(wanted), bool)
    begin = np.searchsorted(carriers.position, carriers.axis.at(at, low), "left")
    end = np.searchsorted(carriers.position, carriers.axis.at(at, high), "left")
    return np.where(there, begin, 0), np.where(there, np.maximum(end, begin), 0)
