"""The evidence in words: why each link was chosen, in phrases that hold no captured value.

Rules: every chosen link gets a `timing` item; the others are told where they weigh. The weight of `timing` is what is
left of the link's odds when the other kinds are taken away.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.linking.arrays import find, joint_key, number_groups
from wiretrace.linking.evidence.contract import MOST_NATS
from wiretrace.linking.habits import UsualDelays
from wiretrace.linking.problem import EvidenceItem, LinkSolution
from wiretrace.model.words import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.contents import Contents
    from wiretrace.linking.joint import Posterior
    from wiretrace.linking.links import Links
    from wiretrace.linking.observations import Observations
    from wiretrace.linking.service import Service
    from wiretrace.linking.units import Units

USUAL = (0.1, 0.9)
"""Quantiles between which a delay is called usual."""
LEAST_USUAL = 8
"""Links of a pair of operations that are needed to say what is usual."""
TOLD_FROM = 0.05
"""Weight, in nats, from which evidence for a link is told."""


def tell(
    observations: Observations,
    units: Units,
    contents: Contents,
    services: list[tuple[Service, Posterior]],
    links: Links,
    wanted: NDArray[np.bool_],
    usual: UsualDelays,
    rows: NDArray[np.int64],
) -> LinkSolution:
    """The solution, with the evidence of the calls that are `wanted` (n,).

    Call i of the observations is row rows[i] of it.
    """
    n = len(observations)
    basis = np.full(n, 2, np.uint8)
    chosen_parent = np.where(wanted, links.parent, -1)
    child = np.flatnonzero(chosen_parent >= 0)
    probability = np.clip(links.confidence[child], 1e-6, 1.0 - 1e-6)
    remaining = np.zeros(n)
    remaining[child] = np.log(probability) - np.log1p(-probability)
    items: list[EvidenceItem] = []
    for evidence, pairs, weighed in contents.said:
        chosen = np.flatnonzero((chosen_parent[pairs.child] == pairs.parent) & (weighed.phrase >= 0))
        chosen = chosen[weighed.weight[chosen] >= TOLD_FROM]
        telling = pairs.child[chosen]
        remaining[telling] -= weighed.weight[chosen]
        if evidence.basis < 2 and len(chosen):
            rivals = np.bincount(pairs.child[weighed.phrase >= 0], minlength=n)
            named = telling[rivals[telling] == 1]
            basis[named] = np.minimum(basis[named], evidence.basis)
        detail = [weighed.detail[phrase] for phrase in weighed.phrase[chosen].tolist()]
        items += _items(rows, telling, pairs.parent[chosen], evidence.kind, weighed.weight[chosen], detail)
    items += _bundles(observations, units, chosen_parent, rows)
    items += _plans(units, services, chosen_parent, rows)
    weight = np.clip(remaining[child], -MOST_NATS, MOST_NATS)
    told = _delays(observations, child, chosen_parent[child], usual)
    items += _items(rows, child, chosen_parent[child], "timing", weight, told)
    parent = np.empty(n, np.int64)
    confidence, basis_of_row = np.empty(n), np.empty(n, np.uint8)
    parent[rows] = np.where(links.parent >= 0, rows[links.parent], -1)
    confidence[rows], basis_of_row[rows] = links.confidence, basis
    return LinkSolution(parent, confidence, basis_of_row, links.told_alternatives(rows, wanted), items)


def _items(
    rows: NDArray[np.int64],
    child: NDArray[np.int64],
    parent: NDArray[np.int64],
    kind: str,
    weight: NDArray[np.float64],
    detail: list[str],
) -> list[EvidenceItem]:
    """One item for each child."""
    return list(map(EvidenceItem, rows[child].tolist(), rows[parent].tolist(), repeat(kind), weight.tolist(), detail))


def usual_delays(observations: Observations, parent: NDArray[np.int64]) -> UsualDelays:
    """What is usual between the arrivals of requests and the calls that have them as their `parent` (n,)."""
    child = np.flatnonzero(parent >= 0)
    delay = observations.starts[child] - observations.arrives[parent[child]]
    operations, group = number_groups(_operations(observations, child, parent[child]))
    count = np.bincount(group, minlength=len(operations))
    ordered = delay[np.lexsort((delay, group))]
    first = np.cumsum(count) - count
    low, high = (ordered[first + (share * (count - 1)).astype(np.int64)] for share in USUAL)
    return UsualDelays(operations, count, low, high)


def _operations(observations: Observations, child: NDArray[np.int64], parent: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which two operations links are of."""
    operation = observations.problem.operation
    return joint_key(operation[parent], operation[child])


def _delays(
    observations: Observations, child: NDArray[np.int64], parent: NDArray[np.int64], usual: UsualDelays
) -> list[str]:
    """How long after its parent's arrival each child started, and what is usual for the two operations."""
    problem = observations.problem
    delay = observations.starts[child] - observations.arrives[parent]
    operations, group = number_groups(_operations(observations, child, parent))
    example = np.zeros(len(operations), np.int64)
    example[group] = parent
    names = [
        problem.service_names[service] if 0 <= service < len(problem.service_names) else "the caller"
        for service in problem.callee_service[example].tolist()
    ]
    known = find(usual.operations, operations).tolist()
    tails = [f" after {name} received the request" for name in names]
    for number, at in enumerate(known):
        if at >= 0 and usual.links[at] >= LEAST_USUAL:
            tails[number] += f"; usual {duration(float(usual.low[at]))} to {duration(float(usual.high[at]))}"
    milliseconds = (delay * 1e-6).tolist()
    return [f"starts {time:.3g} ms{tails[number]}" for time, number in zip(milliseconds, group.tolist(), strict=True)]


def duration(nanoseconds: float) -> str:
    """A duration for a person."""
    return f"{nanoseconds * 1e-6:.3g} ms"


def _bundles(
    observations: Observations, units: Units, parent: NDArray[np.int64], rows: NDArray[np.int64]
) -> list[EvidenceItem]:
    """That a call has its parent because of its transaction or batch, or of the statement that it prepares or executes."""
    problem = observations.problem
    members = np.bincount(units.of_call[units.of_call >= 0], minlength=len(units))
    calls = np.flatnonzero((units.of_call >= 0) & (parent >= 0))
    others = members[units.of_call[calls]] - 1
    calls, others = calls[others > 0], others[others > 0]
    if not len(calls):
        return []
    detail = [
        f"sent in one packet with {counted(number, 'other call')}"
        if batched
        else f"same database transaction as {counted(number, 'other call')}"
        if inside
        else "prepares the statement that the next call executes"
        if prepares
        else "the call before prepared its statement"
        for number, batched, inside, prepares in zip(
            others.tolist(),
            units.batched[calls].tolist(),
            (problem.transaction[calls] >= 0).tolist(),
            problem.prepares[calls].tolist(),
            strict=True,
        )
    ]
    return _items(rows, calls, parent[calls], "sessions", np.zeros(len(calls)), detail)


def _plans(
    units: Units, services: list[tuple[Service, Posterior]], parent: NDArray[np.int64], rows: NDArray[np.int64]
) -> list[EvidenceItem]:
    """How regularly a request of the parent's kind makes such a call, and whether the service keeps its order."""
    items: list[EvidenceItem] = []
    for service, posterior in services:
        own = np.flatnonzero(posterior.contested & (posterior.parent >= 0))
        call = units.first_call[service.unit_number[own]]
        own, call = own[parent[call] >= 0], call[parent[call] >= 0]
        slot = np.searchsorted(service.slot_class, service.unit_class[own])
        log_share = posterior.model.plan.present[service.kind[posterior.parent[own]], slot]
        weight = log_share - posterior.model.plan.absent[service.kind[posterior.parent[own]], slot]
        share = (100 * np.exp(log_share)).tolist()
        detail = [f"{percent:.0f} % of such requests make such a call" for percent in share]
        items += _items(rows, call, parent[call], "plan", np.clip(weight, -MOST_NATS, MOST_NATS), detail)
        if posterior.model.order_weight > 0:
            in_turn = np.full(len(call), posterior.model.order_weight)
            sentence = f"{service.name} takes its requests in turn"
            items += _items(rows, call, parent[call], "order", in_turn, [sentence] * len(call))
    return items
