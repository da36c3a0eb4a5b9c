"""One service as the joint assignment sees it: its incoming calls (requests) and its outgoing calls (units).

Rules: a *request* is an incoming call of any instance of the service; a *unit* is one outgoing call, or all calls of
one database transaction or batch, which have one parent. Units of one *class* ask for the same operation. A request holds at
most `ranks` units of a class, in the order of their starts; a (class, rank) pair is a *slot*. Arrays of units have one
row more than there are units: the last stands for "no unit", and is reached by the index -1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.linking.arrays import distinct, find, number_groups, offsets_of, ranges
from wiretrace.linking.candidates import MOST_CANDIDATES
from wiretrace.linking.densities import UNSEEN, Grain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.contents import Contents
    from wiretrace.linking.habits import ServiceHabits
    from wiretrace.linking.observations import Observations
    from wiretrace.linking.units import Units

NO_UNIT = -1
"""In place of a unit: the slot is empty. In place of a request: the unit has no parent."""

MOST_RANKS = 8
"""Most units of one class that the joint assignment gives one request; further ones are judged one by one."""
MOST_SLOTS = 48
"""Most slots of a service; beyond it every class has one rank."""
MOST_CLASSES = 40
"""Most kinds of units that have a class of their own; the rarer ones share one."""
MOST_OPERATIONS = 60
"""Most operations of requests that are told apart; the rarer ones share one model."""
REPEATING_QUANTILE = 0.98
"""A class has as many ranks as this share of the requests that call it at all need at most."""
MORE_THAN_ONE = 1.05
"""A class with more units per request than this is called repeatedly."""
SCATTER = 2.0
"""Ranks beyond the average number of units, in square roots of it."""
ALONE_REQUESTS = 3000
"""Requests without competition that the habits of a service are learned from; more would not change them."""

LEAST_WHOLE = 0.3
"""Where a smaller share of the requests lies within its stretch of time, the others are learned from as well."""


@dataclass(slots=True)
class Service:
    """Requests have shape (requests,), sorted by process and arrival; units (units + 1,), sorted by process and start."""

    name: str
    """For words."""
    resolution: float
    """Step of the clocks, in nanoseconds."""
    request_call: NDArray[np.int64]
    """Index of the call that each request is."""
    instance: NDArray[np.int64]
    """Process that served the request."""
    arrives: NDArray[np.float64]
    """When the request arrived."""
    responds: NDArray[np.float64]
    """When it was answered; NaN where that was not seen."""
    whole: NDArray[np.bool_]
    """Whether habits can be learned from it: what it caused would be here too."""
    live_until: NDArray[np.float64]
    """Until when it may have had calls in flight."""
    kind: NDArray[np.int64]
    """Which operation it asks for: 0 .. kinds - 1, an index into `operations`, or the last: any other operation."""
    operations: NDArray[np.int64]
    """Operations that requests ask for, rising, shape (kinds - 1,)."""
    unit_number: NDArray[np.int64]
    """Number of each unit among all units of the problem, shape (units,)."""
    starts: NDArray[np.float64]
    """When the unit started; NaN for "no unit"."""
    ends: NDArray[np.float64]
    """When the unit had its last answer; its start where that was not seen."""
    earliest: NDArray[np.float64]
    """A parent of the unit must have arrived by then."""
    latest: NDArray[np.float64]
    """A parent of the unit must have been live then."""
    unit_class: NDArray[np.int64]
    """Class of the unit: 0 .. classes - 1."""
    unit_kinds: NDArray[np.int64]
    """Kinds of units (`Units.kind_key`), rising, one for each class. One class more, if any, holds all other kinds."""
    ranks: NDArray[np.int64]
    """How many units of each class a request may hold, shape (classes,)."""
    slot_class: NDArray[np.int64]
    """Class of each slot, shape (slots,), rising."""
    slot_rank: NDArray[np.int64]
    """Rank of each slot within its class."""
    offsets: NDArray[np.int64]
    """Shape (units + 1,): candidate pairs of unit u are those from offsets[u] up to offsets[u + 1]."""
    candidates: NDArray[np.int64]
    """Shape (pairs,): the request of each candidate pair."""
    weights: NDArray[np.float64]
    """Shape (pairs,): log-likelihood ratio that the contents and sessions give to the pair."""
    apart: NDArray[np.float64]
    """The same without what connections say."""
    settled: NDArray[np.bool_]
    """Shape (units,): whether the contents put the unit's parent, its only candidate, beyond doubt."""
    irregular: bool
    """Whether a request may be live at the right time and yet be no candidate."""
    background_rate: NDArray[np.float64]
    """Shape (classes,): units per nanosecond that have no parent; 0 where there are none."""

    @property
    def grain(self) -> Grain:
        """How finely delays are told apart."""
        return Grain(self.resolution, UNSEEN if np.any(self.weights) else 0.0)

    @property
    def requests(self) -> int:
        """Number of requests."""
        return len(self.arrives)

    @property
    def units(self) -> int:
        """Number of units."""
        return len(self.unit_number)

    @property
    def kinds(self) -> int:
        """Number of operations that requests ask for, and one more for any other."""
        return len(self.operations) + 1

    @property
    def slots(self) -> int:
        """Number of slots."""
        return len(self.slot_class)


def contested_units(
    units: Units, contents: Contents, rate: NDArray[np.float64], chosen: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Those of the `chosen` units with several candidates, or with one that they may not belong to."""
    counts = np.diff(units.offsets)[chosen]
    may_be_alone = (rate[units.kind[chosen]] > 0) & ~contents.settled[chosen]
    contested: NDArray[np.int64] = chosen[(counts > 1) | ((counts == 1) & may_be_alone)]
    return contested


def build_service(
    observations: Observations,
    units: Units,
    contents: Contents,
    rate: NDArray[np.float64],
    chosen: NDArray[np.int64],
    name: str,
    known: ServiceHabits | None = None,
) -> Service:
    """The service whose contested units and their competitors are among `chosen` (unit numbers, all of one service).

    `contents` is the evidence of the pairs of `units`, `rate` (kinds,) that of calls without a parent. At least one unit
    is contested.
    Requests that nothing is contested with are only there to be learned from: they are thinned to `ALONE_REQUESTS`, and
    left out where the habits of the service are `known`.
    """
    problem = observations.problem
    counts = np.diff(units.offsets)
    contested_unit = contested_units(units, contents, rate, chosen)
    contested = distinct(units.pair_parent[_pairs_of(units.offsets, contested_unit)])
    pairs = _pairs_of(units.offsets, chosen)
    service = problem.callee_service[contested[0]]
    calls = contested
    if known is None:
        everybody = np.flatnonzero((problem.callee_service == service) & ~np.isnan(observations.arrives))
        alone = everybody[~np.isin(everybody, contested, assume_unique=True)]
        calls = np.concatenate((contested, alone[:: len(alone) // ALONE_REQUESTS + 1]))
    calls = calls[np.lexsort((calls, observations.arrives[calls], problem.callee[calls]))]
    request_of = np.full(len(problem) + 1, NO_UNIT, np.int64)
    request_of[calls] = np.arange(len(calls))
    # A unit stays if any of its candidates does; contested units keep all of theirs.
    stays = np.bincount(units.pair_unit[pairs], weights=request_of[units.pair_parent[pairs]] >= 0, minlength=len(units))
    own = chosen[stays[chosen] > 0]
    first_call = units.first_call[own]
    own = own[np.lexsort((own, units.starts[own], problem.caller[first_call]))]
    first_call = units.first_call[own]
    pairs = _pairs_of(units.offsets, own)
    pair_parent, pair_own = units.pair_parent[pairs], units.pair_unit[pairs]
    slack = observations.start_slack[first_call]
    starts, ends = units.starts[own], units.ends[own]
    unit_key, operation = units.kind_key[units.kind[own]], problem.operation[calls].astype(np.int64)
    unit_kinds = _frequent(unit_key, MOST_CLASSES) if known is None else known.unit_kinds
    operations = _frequent(operation, MOST_OPERATIONS) if known is None else known.operations
    unit_class, kind = find(unit_kinds, unit_key), find(operations, operation)
    unit_class = np.where(unit_class < 0, len(unit_kinds), unit_class)
    kind = np.where(kind < 0, len(operations), kind)
    classes = max(len(unit_kinds), int(unit_class.max(initial=-1)) + 1)
    if known is None:
        ranks = _ranks(len(calls), request_of, units, own, unit_class, contested)
    else:
        ranks = np.ones(max(classes, len(known.ranks)), np.int64)
        ranks[: len(known.ranks)] = known.ranks
    slot_class = np.repeat(np.arange(len(ranks)), ranks)
    of_class = np.zeros(len(ranks))
    np.maximum.at(of_class, unit_class, rate[units.kind[own]])
    return Service(
        name=name,
        resolution=observations.resolution_ns,
        request_call=calls,
        instance=problem.callee[calls].astype(np.int64),
        arrives=observations.arrives[calls],
        responds=np.where(observations.responded[calls], observations.responds[calls], np.nan),
        whole=_learned_from(observations.whole[calls]),
        live_until=observations.responds[calls] + observations.arrival_slack[calls],
        kind=kind,
        operations=operations,
        unit_number=own,
        starts=np.append(starts, np.nan),
        ends=np.append(ends, np.nan),
        earliest=np.append(starts + slack + observations.arrival_slack[calls].max(initial=0.0), np.nan),
        latest=np.append(units.needed_until[own] - slack, np.nan),
        unit_class=unit_class,
        unit_kinds=unit_kinds,
        ranks=ranks,
        slot_class=slot_class,
        slot_rank=np.arange(len(slot_class)) - np.repeat(np.cumsum(ranks) - ranks, ranks),
        offsets=offsets_of(counts[own]),
        candidates=request_of[units.pair_parent[pairs]],
        weights=contents.weight[pairs],
        apart=contents.apart[pairs],
        settled=contents.settled[own],
        irregular=bool(
            slack.any()
            or observations.arrival_slack[calls].any()
            or len(problem.identifiers.values)
            or (problem.transaction[first_call] >= 0).any()
            or problem.prepares[first_call].any()
            or units.batched[first_call].any()
            or (problem.callee_service[first_call] == service).any()
            or counts[own].max(initial=0) >= MOST_CANDIDATES
            or (observations.responds[pair_parent] < units.needed_until[pair_own]).any()
        ),
        background_rate=of_class,
    )


def _learned_from(whole: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The requests to learn from: the `whole` ones, but where these are few, which would be the short ones, all."""
    return whole if whole.sum() >= LEAST_WHOLE * len(whole) else np.ones(len(whole), bool)


def _frequent(values: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """The `most` most frequent of `values`, rising."""
    distinct_values, number = number_groups(values)
    count = np.bincount(number, minlength=len(distinct_values))
    return np.sort(distinct_values[np.argsort(-count, kind="stable")[:most]])


def _pairs_of(offsets: NDArray[np.int64], units: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of the candidate pairs of `units`, in their order."""
    counts = offsets[units + 1] - offsets[units]
    return ranges(offsets[units], counts)


def _ranks(
    requests: int,
    request_of: NDArray[np.int64],
    units: Units,
    own: NDArray[np.int64],
    unit_class: NDArray[np.int64],
    contested: NDArray[np.int64],
) -> NDArray[np.int64]:
    """How many units of each class a request may hold, shape (classes,)."""
    classes = int(unit_class.max()) + 1
    counts = np.diff(units.offsets)[own]
    of_class = np.bincount(unit_class, minlength=classes)
    # What many requests must share shows in the totals, what requests without competition make shows directly.
    per_request = of_class / max(requests, 1)
    # More than one a request on average: some make more than the average, as far as counts scatter.
    repeated = np.ceil(per_request + SCATTER * np.sqrt(per_request)).astype(np.int64)
    ranks = np.where(per_request > MORE_THAN_ONE, repeated, 1)
    in_contest = np.zeros(requests + 1, bool)
    in_contest[request_of[contested]] = True
    single = np.flatnonzero(counts == 1)
    parent = request_of[units.pair_parent[units.offsets[own[single]]]]
    # Requests without competition show all that they make, the others some of it, where contents have told whose it is.
    for told in (~in_contest[parent] & (parent >= 0), parent >= 0):
        if not told.any():
            continue
        key, made = np.unique(parent[told] * classes + unit_class[single[told]], return_counts=True)
        for one_class in range(classes):
            counted = made[key % classes == one_class]
            if len(counted):
                ranks[one_class] = max(ranks[one_class], int(np.quantile(counted, REPEATING_QUANTILE)))
    ranks = np.minimum(ranks, MOST_RANKS)
    return ranks if ranks.sum() <= MOST_SLOTS else np.ones(classes, np.int64)
