"""What identifiers, equal requests, values and sessions say of the candidate pairs, and which links they put beyond doubt.

Rules: all kinds of evidence of the registry are weighed in turn, twice: the second time they know the links that the
first time put beyond doubt. A unit's evidence is the sum of what its calls say. Only what is contested, and a sample of
the rest to learn from, is looked at by kinds whose cost grows with the values.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.linking.arrays import offsets_of, ranges
from wiretrace.linking.evidence.contract import UNDECIDED, Pairs, Weighed
from wiretrace.linking.evidence.registry import known_evidence
from wiretrace.model.link_problem import Ragged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.evidence.contract import Evidence
    from wiretrace.linking.observations import Observations
    from wiretrace.linking.units import Units

BEYOND_DOUBT = 7.0
"""Nats by which the contents must prefer one parent to all others to decide a link (one in 1100 is wrong)."""
HOPELESS = 12.0
"""Nats by which the contents must prefer another parent to a candidate, and speak against it, to drop it."""
NEAR = 3.0
"""Nats less than the best parent that another may have and yet be as open (one in 20)."""
MOST_NEAR = 4
"""Parents that the contents leave open for a call; among more, it tells nothing of the calls that follow it."""
PASSES = 2
"""How often the evidence is weighed."""
SAMPLE = 4000
"""Uncontested calls that the kinds of evidence learn from."""


@dataclass(slots=True)
class Contents:
    """What the contents say. Pairs are those of `units` when it was made."""

    weight: NDArray[np.float64]
    """Log-likelihood ratio of each pair of a unit and a parent, shape (pairs,)."""
    apart: NDArray[np.float64]
    """The same without what connections say, shape (pairs,)."""
    settled: NDArray[np.bool_]
    """Whether the parent of each unit is beyond doubt, shape (units,)."""
    said: list[tuple[Evidence, Pairs, Weighed]] = field(default_factory=list)
    """What each kind said last, for the words; the pairs are of calls."""

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        """Drop the pairs that are not `chosen` (pairs,)."""
        self.weight, self.apart = self.weight[chosen], self.apart[chosen]

    @property
    def learned(self) -> dict[str, object]:
        """What the kinds of evidence learned, by name."""
        return {evidence.kind: weighed.learned for evidence, _, weighed in self.said if weighed.learned is not None}


def weigh_contents(
    observations: Observations, units: Units, known: NDArray[np.int64], learned: dict[str, object]
) -> Contents:
    """Weigh all pairs of `units`; writes the links that are beyond doubt into `known` (n,), and drops hopeless pairs.

    `learned` is what the kinds of evidence learned before, by name; kinds that it lacks learn from `known`.
    """
    weight = apart = np.zeros(len(units.pair_unit))
    if not has_contents(observations):
        return Contents(weight, apart, np.zeros(len(units), bool))
    observations = _said_once(observations, units)
    said: list[tuple[Evidence, Pairs, Weighed]] = []
    settled = np.zeros(len(units), bool)
    pairs, unit_pair = _call_pairs(observations, units)
    for number in range(PASSES):
        if number:
            pairs.near = _near(units, weight, settled)[unit_pair]
            pairs, unit_pair = _drop_hopeless(units, weight, settled, pairs, unit_pair)
        weight, apart = np.zeros(len(units.pair_unit)), np.zeros(len(units.pair_unit))
        for evidence in known_evidence().values():
            weighed = evidence.weigh(observations, pairs, known, learned.get(evidence.kind))
            if weighed is None:
                continue
            # What is said of pairs that are dropped next would only take room.
            if number + 1 == PASSES:
                said.append((evidence, pairs, weighed))
            counted = weighed.weight
            if evidence.of_connection:
                counted = np.where(units.first_call[units.of_call[pairs.child]] == pairs.child, counted, 0.0)
            of_pair = np.bincount(unit_pair, weights=counted, minlength=len(weight))
            weight += of_pair
            if not evidence.of_connection:
                apart += of_pair
            # Nor is it to take room while the next kind works.
            del weighed, counted, of_pair
        settled = _decide(units, weight, known, settled)
    return Contents(weight, apart, settled, said)


def _said_once(observations: Observations, units: Units) -> Observations:
    """The same, where each value of a unit stands only in the first of its calls with it: repeated, it proves no more."""
    members = np.bincount(units.of_call[units.of_call >= 0], minlength=len(units))
    calls = np.flatnonzero(units.of_call >= 0)
    calls = calls[members[units.of_call[calls]] > 1]
    if not len(calls):
        return observations
    problem = observations.problem
    problem = replace(
        problem,
        request_tokens=_first_of_units(problem.request_tokens, calls, units.of_call),
        response_tokens=_first_of_units(problem.response_tokens, calls, units.of_call),
    )
    return replace(observations, problem=problem)


def _first_of_units(tokens: Ragged, calls: NDArray[np.int64], unit: NDArray[np.int64]) -> Ragged:
    """`tokens` without those that an earlier one of `calls` of the same `unit` (n,) has."""
    counts = np.diff(tokens.offsets)
    owner = np.repeat(calls, counts[calls])
    place = ranges(tokens.offsets[calls], counts[calls])
    order = np.lexsort((owner, tokens.values[place], unit[owner]))
    owner, place = owner[order], place[order]
    value, of_unit = tokens.values[place], unit[owner]
    again = np.flatnonzero((value[1:] == value[:-1]) & (of_unit[1:] == of_unit[:-1])) + 1
    keep = np.ones(len(tokens.values), bool)
    keep[place[again]] = False
    kept = counts - np.bincount(owner[again], minlength=len(counts))
    return Ragged(offsets_of(kept), tokens.values[keep])


def _drop_hopeless(
    units: Units,
    weight: NDArray[np.float64],
    settled: NDArray[np.bool_],
    pairs: Pairs,
    unit_pair: NDArray[np.int64],
) -> tuple[Pairs, NDArray[np.int64]]:
    """Drop pairs that the contents speak against, and rivals that are as hopeless but for a sample to learn from.

    Returns what is left of the `pairs` of calls and of `unit_pair`, the pair of `units` that each belongs to.
    """
    best = np.full(len(units), -np.inf)
    np.maximum.at(best, units.pair_unit, weight)
    hopeless = weight <= best[units.pair_unit] - HOPELESS
    keep = ~hopeless | (weight >= 0.0)
    decided = np.flatnonzero(settled)
    decided[:: len(decided) // SAMPLE + 1] = -1
    plain = np.zeros(len(units), bool)
    plain[decided[decided >= 0]] = True
    keep &= ~(plain[units.pair_unit] & hopeless)
    units.keep(keep)
    left = keep[unit_pair]
    return pairs.kept(left), (np.cumsum(keep) - 1)[unit_pair[left]]


def _near(units: Units, weight: NDArray[np.float64], settled: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether each pair of `units` is of one that is not settled, and of the few that its contents leave open. (pairs,)."""
    best = np.full(len(units), -np.inf)
    np.maximum.at(best, units.pair_unit, weight)
    near = (weight > best[units.pair_unit] - NEAR) & (best > 0)[units.pair_unit] & ~settled[units.pair_unit]
    few = np.bincount(units.pair_unit, weights=near, minlength=len(units)) <= MOST_NEAR
    return near & few[units.pair_unit]


def has_contents(observations: Observations) -> bool:
    """Whether anything but times is known of the calls."""
    problem = observations.problem
    return bool(
        len(problem.identifiers.values)
        or len(problem.request_tokens.values)
        or len(problem.response_tokens.values)
        or problem.request_digest.any()
        or (problem.connection >= 0).any()
        or (problem.lookup >= 0).any()
    )


def _call_pairs(observations: Observations, units: Units) -> tuple[Pairs, NDArray[np.int64]]:
    """Pairs of calls to weigh, and the pair of `units` that each belongs to."""
    counts = np.diff(units.offsets)
    calls = np.flatnonzero(units.of_call >= 0)
    options = counts[units.of_call[calls]]
    alone = calls[options == 1]
    named = observations.problem.request_digest[alone] != 0
    named |= np.diff(observations.problem.identifiers.offsets)[alone] > 0
    sampled = np.zeros(len(alone), bool)
    sampled[:: len(alone) // SAMPLE + 1] = True
    calls = np.sort(np.concatenate((calls[options > 1], alone[named | sampled])))
    unit = units.of_call[calls]
    count = counts[unit]
    pair = ranges(units.offsets[unit], count)
    return Pairs(np.repeat(calls, count), units.pair_parent[pair]), pair


def _decide(
    units: Units, weight: NDArray[np.float64], known: NDArray[np.int64], settled: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Write into `known` the parents of units that the contents prefer beyond doubt; returns which these are (units,).

    What was `settled` (units,) before stays so where no rival is left, and is judged anew where there are some.
    """
    counts = np.diff(units.offsets)
    contested = np.flatnonzero(counts > 1)
    if not len(contested):
        return settled
    best = np.full(len(units), -np.inf)
    np.maximum.at(best, units.pair_unit, weight)
    near = weight > best[units.pair_unit] - BEYOND_DOUBT
    alone = np.bincount(units.pair_unit, weights=near, minlength=len(units)) == 1
    decided = near & alone[units.pair_unit] & (counts > 1)[units.pair_unit] & (best > 0)[units.pair_unit]
    parent = np.full(len(units), UNDECIDED, np.int64)
    parent[units.pair_unit[decided]] = units.pair_parent[decided]
    calls = np.flatnonzero(units.of_call >= 0)
    of_unit = parent[units.of_call[calls]]
    judged = of_unit != UNDECIDED
    judged |= (settled & (counts > 1))[units.of_call[calls]]
    known[calls[judged]] = of_unit[judged]
    return np.where(counts > 1, parent != UNDECIDED, settled)
