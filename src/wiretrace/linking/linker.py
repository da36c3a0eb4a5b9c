"""Links calls to the calls that caused them. This is the whole way on one page.

Rules: what is plain is decided in whole columns: calls with no candidate, calls with one, calls that the contents
decide. Only what is contested goes through the joint assignment of its service. Equal calls give equal links, in
whatever order they come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.linking.arrays import distinct, number_groups
from wiretrace.linking.background import chance_of_none, measure_background
from wiretrace.linking.candidates import add_proposals, find_candidates, outgoing_kind, outliving_pairs
from wiretrace.linking.canonical import canonical_order, reordered
from wiretrace.linking.contents import HOPELESS, Contents, weigh_contents
from wiretrace.linking.evidence.contract import UNDECIDED
from wiretrace.linking.evidence.registry import known_evidence
from wiretrace.linking.joint import Posterior, solve
from wiretrace.linking.leases import follow_leases
from wiretrace.linking.links import Links
from wiretrace.linking.observations import observe
from wiretrace.linking.problem import LinkProblem, LinkSolution
from wiretrace.linking.service import Service, build_service
from wiretrace.linking.trees import cut_circles
from wiretrace.linking.units import Units, form_units
from wiretrace.linking.words import tell

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.observations import Observations

SURE = 0.999
"""Confidence of a link that nothing speaks against."""
NOTICED_BACKGROUND = 0.005
"""Calls of a kind may have no parent in the joint assignment if the rate explains at least this share of them."""


def link(problem: LinkProblem) -> LinkSolution:
    """Choose a parent, or none, for every call of `problem`. Deterministic; raises nothing."""
    if not len(problem):
        return LinkSolution(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.uint8))
    order = canonical_order(problem)
    return _link_ordered(reordered(problem, order), order)


def _link_ordered(problem: LinkProblem, rows: NDArray[np.int64]) -> LinkSolution:
    """Link a problem in canonical order; row i of it is row rows[i] of the solution."""
    observations = observe(problem)
    candidates = find_candidates(observations)
    _, call_kind = number_groups(outgoing_kind(observations))
    background = measure_background(observations, candidates, call_kind, int(call_kind.max()) + 1)
    reach = background.reach[call_kind]
    if reach.any():
        candidates = add_proposals(observations, candidates, outliving_pairs(observations, reach))
    for evidence in known_evidence().values():
        proposed = evidence.propose(observations)
        if proposed is not None:
            candidates = add_proposals(observations, candidates, proposed)
    units = form_units(observations, candidates, call_kind, reach)
    rate = np.zeros(int(max(call_kind.max(), units.kind.max(initial=0))) + 1)
    rate[: len(background.rate)] = background.rate

    links = Links.none(len(problem))
    _link_plain(observations, units, rate, links)
    known = np.where(links.decided, links.parent, UNDECIDED)
    contents = weigh_contents(observations, units, known)
    _link_by_contents(units, contents, known, links)
    services = _link_contested(observations, units, contents, rate, links)
    links.parent = cut_circles(links.parent, links.confidence)
    return tell(observations, units, contents, services, links, rows)


def _link_plain(observations: Observations, units: Units, rate: NDArray[np.float64], links: Links) -> None:
    """Decide units with no candidate, and those with one that calls without a parent do not explain as well."""
    problem = observations.problem
    counts = np.diff(units.offsets)
    lonely = np.flatnonzero(counts == 0)
    links.set_units(units, lonely, np.full(len(lonely), -1), np.ones(len(lonely)))
    single = np.flatnonzero(counts == 1)
    parent = units.pair_parent[units.offsets[single]]
    none = np.zeros(len(single))
    suspect = np.flatnonzero(rate[units.kind[single]] > 0)
    if len(suspect):
        unit, of = single[suspect], parent[suspect]
        operations = np.stack((problem.callee_service[of], problem.operation[of], units.kind[unit]))
        groups, group = np.unique(operations, axis=1, return_inverse=True)
        requests = np.flatnonzero(~np.isnan(observations.arrives))
        lasting = observations.responds - observations.arrives
        durations = [
            lasting[
                requests[(problem.callee_service[requests] == service) & (problem.operation[requests] == operation)]
            ]
            for service, operation, _ in groups.T.tolist()
        ]
        delay = units.starts[unit] - observations.arrives[of]
        none[suspect] = chance_of_none(delay, group.ravel(), rate[groups[2]], durations)
    rejected = none > 0.5
    confidence = np.minimum(np.where(rejected, none, 1.0 - none), SURE)
    links.set_units(units, single, np.where(rejected, -1, parent), confidence)
    doubtful = (none > 1.0 - SURE) & (none < SURE)
    links.add_alternatives(
        units, single[doubtful], np.where(rejected, parent, -1)[doubtful], (1.0 - confidence)[doubtful]
    )


def _link_by_contents(units: Units, contents: Contents, known: NDArray[np.int64], links: Links) -> None:
    """Take over the contested links that the contents put beyond doubt, and drop hopeless rivals from `units`."""
    decided = np.flatnonzero((known[units.first_call] != UNDECIDED) & ~links.decided[units.first_call])
    links.set_units(units, decided, known[units.first_call[decided]], np.full(len(decided), SURE))
    best = np.full(len(units), -np.inf)
    np.maximum.at(best, units.pair_unit, contents.weight)
    keep = (contents.weight > best[units.pair_unit] - HOPELESS) | (contents.weight >= 0.0)
    is_decided = np.zeros(len(units), bool)
    is_decided[decided] = True
    keep[is_decided[units.pair_unit]] = (known[units.first_call][units.pair_unit] == units.pair_parent)[
        is_decided[units.pair_unit]
    ]
    units.keep(keep)
    contents.weight = contents.weight[keep]


def _link_contested(
    observations: Observations, units: Units, contents: Contents, rate: NDArray[np.float64], links: Links
) -> list[tuple[Service, Posterior]]:
    """Solve every service that has contested units; returns what was solved."""
    problem = observations.problem
    counts = np.diff(units.offsets)
    contested = np.flatnonzero(counts > 1)
    if not len(contested):
        return []
    rate = _noticed(observations, units, rate)
    service_of_unit = problem.callee_service[
        units.pair_parent[np.minimum(units.offsets[:-1], len(units.pair_parent) - 1)]
    ]
    solved = []
    for number in distinct(service_of_unit[contested]).tolist():
        chosen = np.flatnonzero((service_of_unit == number) & (counts > 0))
        name = problem.service_names[number] if 0 <= number < len(problem.service_names) else "the service"
        service = build_service(observations, units, contents.weight, rate, chosen, name)
        solved.append((service, solve(service)))
    follow_leases(observations, units, solved, links)
    for service, posterior in solved:
        links.take(units, service, posterior)
    return solved


def _noticed(observations: Observations, units: Units, rate: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rates of calls without a parent, 0 where they would explain hardly any call that has candidates."""
    counts = np.diff(units.offsets)
    with_candidates = np.bincount(units.kind[counts > 0], minlength=len(rate))
    serving = ~np.isnan(observations.arrives)
    busy = float((observations.responds - observations.arrives)[serving].sum())
    return np.where(rate * busy > NOTICED_BACKGROUND * np.maximum(with_candidates, 1), rate, 0.0)
