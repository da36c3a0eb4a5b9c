"""Links calls to the calls that caused them. This is the whole way on one page.

Rules: what is plain is decided in whole columns: calls with no candidate, calls with one, calls that the contents
decide. Only what is contested goes through the joint assignment of its service. Equal calls give equal links, in
whatever order they come.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.linking.arrays import distinct, find, number_groups
from wiretrace.linking.background import chance_of_none, delay_bin, measure_background
from wiretrace.linking.candidates import add_proposals, find_candidates, outgoing_kind, outliving_pairs
from wiretrace.linking.canonical import canonical_order, reordered
from wiretrace.linking.contents import HOPELESS, Contents, weigh_contents
from wiretrace.linking.evidence.contract import UNDECIDED
from wiretrace.linking.evidence.registry import known_evidence
from wiretrace.linking.follows import follow_messages
from wiretrace.linking.habits import Habits, KindHabits, ServiceHabits, no_habits
from wiretrace.linking.joint import Posterior, solve
from wiretrace.linking.leases import decide_by_leases, follow_leases
from wiretrace.linking.leftovers import follow_values
from wiretrace.linking.links import Links
from wiretrace.linking.observations import observe, observe_stretches
from wiretrace.linking.problem import LinkSolution
from wiretrace.linking.service import Service, build_service, contested_units
from wiretrace.linking.trees import cut_circles
from wiretrace.linking.units import Units, form_units
from wiretrace.linking.words import tell, usual_delays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.habits import Leases
    from wiretrace.linking.observations import Observations
    from wiretrace.model.link_problem import LinkProblem

SURE = 0.999
"""Confidence of a link that nothing speaks against."""
MOST_UNKNOWN = 0.2
"""With a larger share of calls that the habits of a service do not know, the service is learned anew."""
NOTICED_BACKGROUND = 0.005
"""Calls of a kind may have no parent in the joint assignment if the rate explains at least this share of them."""


def link(problem: LinkProblem, habits: Habits | None = None, decide: NDArray[np.bool_] | None = None) -> LinkSolution:
    """Choose a parent, or none, for every call of `problem`. Deterministic; raises nothing.

    `habits` are what `learn` made of this or another problem of the same analysis; by default they are learned from
    `problem`. `decide` (n,) says which links are wanted: the other calls compete and may be parents, but their own
    links are those of a part of the capture only, and come without evidence.
    """
    if not len(problem):
        return LinkSolution(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.uint8))
    order = canonical_order(problem)
    wanted = np.ones(len(problem), bool) if decide is None else decide[order]
    linking = _Linking(observe(reordered(problem, order), habits), wanted, habits)
    linking.run()
    return follow_messages(problem, linking.told(order), decide)


def learn(
    problem: LinkProblem, stretch: NDArray[np.int64] | None = None, decide: NDArray[np.bool_] | None = None
) -> Habits:
    """What `link` needs to know of an analysis, from some of its calls.

    `stretch` (n,) numbers the stretch of time that each call was taken from: calls of different stretches have nothing
    to do with each other. Calls that are not to `decide` (n,) are their context.
    """
    if not len(problem):
        return no_habits()
    order = canonical_order(problem)
    problem = reordered(problem, order)
    wanted = np.ones(len(problem), bool) if decide is None else decide[order]
    observations = observe(problem) if stretch is None else observe_stretches(problem, stretch[order], wanted)
    linking = _Linking(observations, wanted, None, learning=True)
    linking.run()
    return linking.habits


class _Linking:
    """One problem, in canonical order, on its way to the links. The habits are known before, or are learned."""

    def __init__(
        self, observations: Observations, wanted: NDArray[np.bool_], known: Habits | None, learning: bool = False
    ) -> None:
        self.observations, self.wanted, self.known, self.learning = observations, wanted, known, learning
        self.links = Links.none(len(observations))

    def run(self) -> None:
        """Decide all links."""
        observations, known = self.observations, self.known
        candidates = find_candidates(observations, known.kinds if known else None)
        kind_key, call_kind = number_groups(outgoing_kind(observations))
        kinds = None if known is None else known.kinds.of(kind_key, candidates.outlives)
        left_behind, left = follow_values(observations, call_kind, len(kind_key), kinds.left_behind if kinds else None)
        if len(left):
            candidates = add_proposals(observations, candidates, left)
        if kinds is None:
            # What follows a request by its values has a parent: only what is lonely still is counted.
            background = measure_background(observations, candidates, call_kind, len(kind_key), self.wanted)
            unnoticed = np.zeros(len(kind_key), bool)
            kinds = KindHabits(kind_key, candidates.outlives, *background, left_behind, unnoticed)
        reach = kinds.reach[call_kind]
        if reach.any():
            candidates = add_proposals(observations, candidates, outliving_pairs(observations, reach))
        for evidence in known_evidence().values():
            proposed = evidence.propose(observations)
            if proposed is not None:
                candidates = add_proposals(observations, candidates, proposed)
        compositions = None if known is None else known.compositions
        self.units = units = form_units(observations, candidates, kind_key, call_kind, reach, compositions)
        del candidates
        transactions = np.zeros(len(units.kind_key) - len(kind_key))
        rate = np.concatenate((kinds.rate, transactions))
        if known is None:
            frequent = units.kind_key[len(kind_key) :]
            self.habits = Habits(observations.resolution_ns, observations.longest_ns, kinds, frequent)
        else:
            # What is learned of what they lack is of this problem alone.
            self.habits = replace(known, none_chance=dict(known.none_chance), services=dict(known.services))
        _link_plain(observations, units, rate, self.links, self.habits)
        decided = np.where(self.links.decided, self.links.parent, UNDECIDED)
        self.contents = weigh_contents(observations, units, decided, known.evidence if known else {})
        _link_by_contents(units, self.contents, decided, self.links)
        if known is None:
            noticed = _noticed(observations, units, rate)
            self.habits.kinds = kinds = kinds._replace(noticed=noticed[: len(kind_key)])
            self.habits.evidence = self.contents.learned
        rate[: len(kind_key)][~kinds.noticed] = 0.0
        _link_last(units, rate, self.links)
        self.services = _link_contested(
            observations, units, self.contents, rate, self.links, self.habits, self.learning
        )
        self.links.parent = cut_circles(self.links.parent, self.links.confidence)
        if known is None:
            self.habits.usual = usual_delays(observations, np.where(self.wanted, self.links.parent, -1))

    def told(self, rows: NDArray[np.int64]) -> LinkSolution:
        """The solution; call i of the observations is row rows[i] of it."""
        usual = self.habits.usual
        if usual is None:
            usual = usual_delays(self.observations, np.where(self.wanted, self.links.parent, -1))
        return tell(self.observations, self.units, self.contents, self.services, self.links, self.wanted, usual, rows)


def _link_plain(
    observations: Observations, units: Units, rate: NDArray[np.float64], links: Links, habits: Habits
) -> None:
    """Decide units with no candidate, and those with one that calls without a parent do not explain as well."""
    counts = np.diff(units.offsets)
    lonely = np.flatnonzero(counts == 0)
    links.set_units(units, lonely, np.full(len(lonely), -1), np.ones(len(lonely)))
    single = np.flatnonzero(counts == 1)
    parent = units.pair_parent[units.offsets[single]]
    none = np.zeros(len(single))
    suspect = np.flatnonzero(rate[units.kind[single]] > 0)
    if len(suspect):
        none[suspect] = _chances_of_none(observations, units, single[suspect], parent[suspect], rate, habits)
    rejected = none > 0.5
    confidence = np.minimum(np.where(rejected, none, 1.0 - none), SURE)
    links.set_units(units, single, np.where(rejected, -1, parent), confidence)
    doubtful = (none > 1.0 - SURE) & (none < SURE)
    links.add_alternatives(
        units, single[doubtful], np.where(rejected, parent, -1)[doubtful], (1.0 - confidence)[doubtful]
    )


def _chances_of_none(
    observations: Observations,
    units: Units,
    unit: NDArray[np.int64],
    parent: NDArray[np.int64],
    rate: NDArray[np.float64],
    habits: Habits,
) -> NDArray[np.float64]:
    """Probability that each `unit`, whose only candidate is `parent`, has none; what is learned of it goes to `habits`."""
    operation = observations.problem.operation
    groups, group = np.unique(np.stack((operation[parent], units.kind[unit])), axis=1, return_inverse=True)
    delay = units.starts[unit] - observations.arrives[parent]
    lasting = observations.responds - observations.arrives
    chance = np.zeros(len(unit))
    for number, (of_parent, kind) in enumerate(groups.T.tolist()):
        mine = np.flatnonzero(group.ravel() == number)
        key = of_parent, int(units.kind_key[kind])
        if key not in habits.none_chance:
            durations = lasting[(operation == of_parent) & ~np.isnan(observations.arrives)]
            habits.none_chance[key] = chance_of_none(delay[mine], float(rate[kind]), durations)
        chance[mine] = habits.none_chance[key][delay_bin(delay[mine])]
    return chance


def _link_by_contents(units: Units, contents: Contents, known: NDArray[np.int64], links: Links) -> None:
    """Take over the contested links that the contents put beyond doubt, and drop hopeless rivals from `units`."""
    parent = known[units.first_call]
    settled = np.flatnonzero(contents.settled)
    links.set_units(units, settled, parent[settled], np.full(len(settled), SURE))
    best = np.full(len(units), -np.inf)
    np.maximum.at(best, units.pair_unit, contents.weight)
    keep = (contents.weight > best[units.pair_unit] - HOPELESS) | (contents.weight >= 0.0)
    keep = np.where(contents.settled[units.pair_unit], units.pair_parent == parent[units.pair_unit], keep)
    units.keep(keep)
    contents.keep(keep)


def _link_last(units: Units, rate: NDArray[np.float64], links: Links) -> None:
    """Decide units whose rivals were all hopeless, but for those of kinds that come without a parent at some `rate`."""
    left = np.flatnonzero((np.diff(units.offsets) == 1) & ~links.decided[units.first_call] & (rate[units.kind] == 0))
    links.set_units(units, left, units.pair_parent[units.offsets[left]], np.full(len(left), SURE))


def _link_contested(
    observations: Observations,
    units: Units,
    contents: Contents,
    rate: NDArray[np.float64],
    links: Links,
    habits: Habits,
    learning: bool,
) -> list[tuple[Service, Posterior]]:
    """Solve every service that has contested units; returns what was solved. What is learned goes to `habits`.

    While `learning`, the links matter only as far as something is learned from them.
    """
    problem = observations.problem
    counts = np.diff(units.offsets)
    contested = np.flatnonzero((counts > 1) | ((counts == 1) & ~links.decided[units.first_call]))
    if not len(contested):
        return []
    service_of_unit = problem.callee_service[
        units.pair_parent[np.minimum(units.offsets[:-1], len(units.pair_parent) - 1)]
    ]
    numbers = distinct(service_of_unit[contested]).tolist()
    chosen = {number: np.flatnonzero((service_of_unit == number) & (counts > 0)) for number in numbers}
    known = {number: habits.services.get(number) for number in numbers}
    for number, own in known.items():
        if own is not None and not _knows(own, units.kind_key[units.kind[chosen[number]]]):
            known[number] = None

    def solved_by(number: int, own: ServiceHabits | None, quick: bool) -> tuple[Service, Posterior]:
        name = problem.service_names[number] if 0 <= number < len(problem.service_names) else "the service"
        service = build_service(observations, units, contents, rate, chosen[number], name, own)
        return service, solve(service, own, quick)

    def follow(numbers: list[int], of_service: dict[int, ServiceHabits | None]) -> list[int]:
        rivals = np.zeros(len(units.pair_unit), bool)
        followed = []
        for number in numbers:
            own = of_service[number]
            if own is not None and own.leases is not None:
                found = decide_by_leases(observations, units, contents.apart, chosen[number], links, own.leases)
                followed += [number] if found.any() else []
                rivals |= found
        units.keep(~rivals)
        contents.keep(~rivals)
        return followed

    def left(numbers: list[int]) -> list[int]:
        """Those of the services in which connections have not decided all."""
        return [number for number in numbers if len(contested_units(units, contents, rate, chosen[number]))]

    follow(numbers, known)
    numbers = left(numbers)
    solved = {number: solved_by(number, known[number], learning or known[number] is not None) for number in numbers}
    leases = [own.leases if own else None for own in map(known.__getitem__, numbers)]
    leases = follow_leases(observations, units, list(solved.values()), links, leases)
    learned = {
        number: _service_habits(*solved[number], of_service)
        for number, of_service in zip(numbers, leases, strict=True)
        if known[number] is None
    }
    for number, own in learned.items():
        habits.services.setdefault(number, own)
    # What connections tell was not known when these were learned: with it, the assignment is another one.
    followed = [] if learning else follow(list(learned), dict(learned))
    again = left(followed)
    for number in followed:
        del solved[number]
    for number in again:
        solved[number] = solved_by(number, learned[number], quick=False)
    follow_leases(
        observations, units, [solved[number] for number in again], links, [learned[number].leases for number in again]
    )
    for service, posterior in solved.values():
        links.take(units, service, posterior)
    return list(solved.values())


def _service_habits(service: Service, posterior: Posterior, leases: Leases | None) -> ServiceHabits:
    """What was learned of a service."""
    model = posterior.model
    return ServiceHabits(
        service.operations,
        service.unit_kinds,
        service.ranks,
        model.delays,
        model.plan,
        model.groups,
        model.order_weight,
        leases,
    )


def _knows(habits: ServiceHabits, kinds: NDArray[np.int64]) -> bool:
    """Whether the habits of a service cover what it calls here; `kinds` are those of its units."""
    unknown = int(np.count_nonzero(find(habits.unit_kinds, kinds) < 0))
    return len(habits.ranks) > len(habits.unit_kinds) or unknown <= MOST_UNKNOWN * len(kinds)


def _noticed(observations: Observations, units: Units, rate: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Kinds of units whose calls without a parent would explain more than hardly any call that has candidates."""
    counts = np.diff(units.offsets)
    with_candidates = np.bincount(units.kind[counts > 0], minlength=len(rate))
    serving = ~np.isnan(observations.arrives)
    busy = float((observations.responds - observations.arrives)[serving].sum())
    noticed: NDArray[np.bool_] = rate * busy > NOTICED_BACKGROUND * np.maximum(with_candidates, 1)
    return noticed
