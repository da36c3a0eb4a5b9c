"""How two requests may divide anew all that they hold: a proposal of the sampler that follows what is believed.

Rules: the units that the two hold are gone through in the order of their starts, and each is given to one of the two: the
likelier, by the time since what it would wait for there, is drawn the more often. Which ends were given out before decides
what comes next, so that two strands of calls that got entangled are told apart in one step. What the requests held before
is gone through in the same way, for how often it would be drawn. (Sequential proposals for data association: Oh, Russell &
Sastry, Markov chain Monte Carlo data association for multi-target tracking, 2009.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wiretrace.linking.moves import FAR, Held
from wiretrace.linking.proposals import unit_scores
from wiretrace.linking.service import NO_UNIT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.request_model import RequestModel
    from wiretrace.linking.service import Service

TEMPER = 1.2
"""Scores are divided by this: they do not see what comes later, and are too sure of themselves."""
EVEN_SHARE = 0.02
"""Least share with which a unit is given to each of two requests that may have caused it, together."""


class Pool(NamedTuple):
    """What the two requests of each proposal hold together, in the order of the starts; shapes (units, proposals)."""

    unit: NDArray[np.int64]
    """Empty places last."""
    in_source: NDArray[np.bool_]
    """Whether the source holds it."""


def pooled(before: Held) -> Pool:
    """All that the source and the target of each proposal hold."""
    both = np.concatenate((before.source, before.target))
    both = np.where(both < 0, FAR, both)
    order = np.argsort(both, axis=0, kind="stable")
    most = int((both < FAR).sum(axis=0).max(initial=0))
    order = order[:most]
    unit = np.take_along_axis(both, order, axis=0)
    return Pool(np.where(unit == FAR, NO_UNIT, unit), order < len(before.source))


def redivided(
    service: Service,
    model: RequestModel,
    pool: Pool,
    request: NDArray[np.int64],
    weight: NDArray[np.float64],
    generator: np.random.Generator,
) -> tuple[Held, NDArray[np.float64]]:
    """Give the units of `pool` to the two requests of each proposal anew.

    `request` (2, proposals) is the source and the target of each, `weight` (2, units, proposals) the evidence of the
    contents that each has the unit, -inf where it may not. Also returns the logarithm of how much more often what they
    hold now is drawn than what is drawn, (proposals,).
    """
    count = request.shape[1]
    # Of each side, the first half of the columns draws, the second half repeats what is.
    column = np.arange(2 * count)
    of_proposal = np.tile(np.arange(count), 2)
    held = np.full((service.slots, 4 * count), NO_UNIT, np.int64)
    given = np.zeros((len(service.ranks), 4 * count), np.int64)
    first = np.searchsorted(service.slot_class, np.arange(len(service.ranks)))
    share = np.zeros(2 * count)
    fits = np.ones(2 * count, bool)
    for units, in_source, of_unit in zip(pool.unit, pool.in_source, weight.transpose(1, 0, 2), strict=True):
        at = column[(units >= 0)[of_proposal] & fits]
        if not len(at):
            break
        proposal = of_proposal[at]
        unit = units[proposal]
        own = service.unit_class[unit]
        # Both requests are asked at once: arrays twice as long, but half as many operations.
        of_side, twice = np.concatenate((at, 2 * count + at)), np.concatenate((unit, unit))
        class_of = service.unit_class[twice]
        rank = given[class_of, of_side]
        room = rank < service.ranks[class_of]
        slot = first[class_of] + np.minimum(rank, service.ranks[class_of] - 1)
        score = unit_scores(service, model, held, of_side, twice, request[:, proposal].ravel(), slot)
        score = np.where(room, score + of_unit[:, proposal].ravel(), -np.inf).reshape(2, -1)
        possible = np.isfinite(score)
        both = possible[0] & possible[1]
        with np.errstate(invalid="ignore"):
            odds = np.where(both, (score[0] - score[1]) / TEMPER, 0.0)
        to_source = (1.0 - EVEN_SHARE) / (1.0 + np.exp(np.clip(-odds, -500.0, 500.0))) + EVEN_SHARE / 2
        to_source = np.where(both, to_source, possible[0].astype(np.float64))
        chosen = np.where(at < count, generator.random(len(at)) < to_source, in_source[proposal])
        chance = np.where(chosen, to_source, 1.0 - to_source)
        fits[at] = (possible[0] | possible[1]) & (chance > 0.0)
        share[at] += np.log(np.where(chance > 0.0, chance, 1.0))
        alive = np.flatnonzero(fits[at])
        own, unit = own[alive], unit[alive]
        place = np.where(chosen, at, 2 * count + at)[alive]
        held[first[own] + given[own, place], place] = unit
        given[own, place] += 1
    back = np.where(fits[count:], share[count:] - share[:count], -np.inf)
    return Held(held[:, :count], held[:, 2 * count : 3 * count], fits[:count]), back
