"""Draws joint assignments of the calls of one service to its requests, in proportion to their probability.

Rules: several independent chains run side by side as columns of the same arrays, and every step changes many disjoint
pairs of requests at once, so that no Python runs per call. A proposal takes a unit and another request that may have
caused it, and exchanges what the two requests hold: that class of calls, everything from that call on or up to it, the
call with what followed from it, everything, or one call for another of its class; or the two divide all that they hold
anew (see `redivide.py`). A unit may also lose its parent, or gain one, where calls without a parent exist.
Proposals are corrected for how often they are made (see `proposals.py`), so the chains settle on the posterior. The
generator is seeded by the caller: equal input gives equal output.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.linking.moves import Held, cross_over, exchange_slots, move_unit, swap_units
from wiretrace.linking.proposals import Proposals
from wiretrace.linking.redivide import pooled, redivided
from wiretrace.linking.service import NO_UNIT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.request_model import RequestModel
    from wiretrace.linking.service import Service

MOST_STEPS = 40
"""Steps of one run: where hundreds of open calls meet in one moment, they are left less sure, and not waited for."""
MOST_OPENNESS = 3.0
"""Open choices a request beyond which no more is drawn: where hundreds of calls meet in one moment, nothing is told."""
PROPOSALS_PER_STEP = 0.6
"""Most proposals of a step, as a share of the active requests; those that meet another one in the step are dropped."""
PROPOSALS_PER_OPENING = 0.3
"""Most proposals of a step, as a share of the open choices: in larger steps more of them meet."""
SWAP_SHARE = 0.15
"""Share of the proposals that exchange one unit for one other, where its class may be called repeatedly."""
REDIVIDING_STEPS = 10
"""In one step of so many all proposals are of two requests that divide all that they hold anew."""
MOVE_SHARE = 0.3
"""Share of the proposals that move one unit, where a class may be called repeatedly."""
CROSSING_SHARE = 0.4
"""Share of the proposals that exchange what starts later, where a class may be called repeatedly."""


@dataclass(slots=True)
class Sampler:
    """State of all chains. Column `chain * len(active) + a` is request `active[a]` in that chain."""

    service: Service
    model: RequestModel
    active: NDArray[np.int64]
    """Requests that compete for a unit with another request."""
    movable: NDArray[np.int64]
    """Units that have more than one possible place."""
    chains: int
    generator: np.random.Generator
    held: NDArray[np.int64] = field(init=False)
    """Unit in each slot, shape (slots, columns + 1); the last column stands for "no request" and stays empty."""
    parent: NDArray[np.int64] = field(init=False)
    """Column that holds each unit, shape (chains * units,); the last column where none does."""
    likelihood: NDArray[np.float64] = field(init=False)
    """Log-likelihood of each column, shape (columns + 1,)."""
    weight: NDArray[np.float64] = field(init=False)
    """Evidence that the contents give to what each column holds, shape (columns + 1,)."""
    proposals: Proposals = field(init=False)
    """What is tried."""
    place: NDArray[np.int64] = field(init=False)
    """Index within `active` of each request; -1 for the others."""
    requests: NDArray[np.int64] = field(init=False)
    """Request of each column, shape (columns + 1,); -1 for the last."""
    steady: NDArray[np.bool_] = field(init=False)
    """Units that all chains hold in one place, shape (units,)."""
    _steps: int = 0
    """How many were taken."""
    _first: NDArray[np.int64] = field(init=False)
    _pair_key: NDArray[np.int64] = field(init=False)

    def start(self, parents: NDArray[np.int64]) -> None:
        """Begin all chains from `parents`: request of each unit (-1: none), shape (units,)."""
        service, width = self.service, len(self.active)
        self.place = np.full(service.requests + 1, -1, np.int64)
        self.place[self.active] = np.arange(width)
        columns = self.chains * width
        single = np.full((service.slots, width + 1), NO_UNIT, np.int64)
        mine = self.place[parents]
        fill_slots(service, single, mine)
        held_units = single[:, :width]
        self.held = np.full((service.slots, columns + 1), NO_UNIT, np.int64)
        self.held[:, :columns] = np.tile(held_units, self.chains)
        where = np.full(service.units + 1, -1, np.int64)
        slot, column = np.nonzero(held_units >= 0)
        where[held_units[slot, column]] = column
        where = where[: service.units]
        chain = np.repeat(np.arange(self.chains) * width, service.units)
        self.parent = np.where(np.tile(where, self.chains) >= 0, np.tile(where, self.chains) + chain, columns)
        self._first = np.full(columns + 1, -1, np.int64)
        self.requests = np.append(np.tile(self.active, self.chains), -1)
        # Candidates are sorted by arrival, as requests are: the keys rise.
        unit = np.repeat(np.arange(service.units), np.diff(service.offsets))
        self._pair_key = unit * np.int64(service.requests) + service.candidates
        self.steady = np.zeros(service.units, bool)
        self.refresh()

    def refresh(self) -> None:
        """Evaluate all columns again, after the model has changed, and propose accordingly."""
        self.likelihood, self.weight = np.zeros(len(self.requests)), np.zeros(len(self.requests))
        self.likelihood[:-1] = self.model.log_likelihood(self.held[:, :-1], self.requests[:-1])
        if self.model.weighted:
            self.weight[:-1] = self._placed(self.held[:, :-1], self.requests[:-1])[0]
        self.propose()

    def propose(self) -> None:
        """Propose according to the model, and to when the first chain has the events that calls wait for."""
        held = np.full((self.service.slots, self.service.requests), NO_UNIT, np.int64)
        held[:, self.active] = self.held[:, : len(self.active)]
        allowed = np.zeros(self.service.requests, bool)
        allowed[self.active] = True
        self.proposals = Proposals(self.service, self.model, held, self.movable, allowed, self.steady)

    def openness(self) -> float:
        """How many open choices a chain has to make, about."""
        return float(self.proposals.openness.sum())

    def run(self, sweeps: float, temperature: float = 1.0) -> None:
        """Take steps until every open choice has been tried `sweeps` times on average, in every chain."""
        if not len(self.movable) or not len(self.active):
            return
        openness = min(self.openness(), MOST_OPENNESS * len(self.active))
        if openness <= 0.0:
            return
        columns = self.chains * len(self.active)
        size = int(min(PROPOSALS_PER_STEP * columns, PROPOSALS_PER_OPENING * self.chains * openness)) + 1
        for _ in range(min(MOST_STEPS, int(np.ceil(sweeps * self.chains * openness / size)))):
            self._step(size, temperature)

    def _step(self, size: int, temperature: float) -> None:
        """Draw `size` proposals and take those that do not meet."""
        service = self.service
        width, units = len(self.active), service.units
        columns = self.chains * width
        chain = self.generator.integers(0, self.chains, size)
        unit, pair, to_nobody = self.proposals.draw(size, self.generator)
        flat = chain * units + unit
        source = self.parent[flat]
        picked = self.place[service.candidates[np.minimum(pair, len(service.candidates) - 1)]]
        target = np.where(to_nobody, columns, chain * width + picked)
        keep = (source != target) & (to_nobody | (picked >= 0))
        self._steps += 1
        redividing = self._steps % REDIVIDING_STEPS == 0
        if redividing:
            keep &= (source != columns) & (target != columns)
        keep &= self._first_come(source, target, flat, keep)
        chosen = np.flatnonzero(keep)
        if len(chosen):
            pair = np.where(to_nobody, -1, pair)[chosen]
            self._exchange(unit[chosen], chain[chosen], source[chosen], target[chosen], pair, temperature, redividing)

    def _first_come(
        self, source: NDArray[np.int64], target: NDArray[np.int64], flat: NDArray[np.int64], keep: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Proposals none of whose requests (or units without a request) an earlier proposal of the step takes."""
        columns = len(self.likelihood) - 1
        order = np.flatnonzero(keep)[::-1]
        # Of several writes to one place the last one stays: written from last to first, the earliest proposal does.
        first = self._first
        first[np.stack((source[order], target[order]), axis=1).ravel()] = np.repeat(order, 2)
        index = np.arange(len(source))
        free: NDArray[np.bool_] = (first[source] == index) | (source == columns)
        free &= (first[target] == index) | (target == columns)
        homeless = np.flatnonzero(keep & (source == columns))
        if len(homeless):
            _, unique = np.unique(flat[homeless], return_index=True)
            repeated = np.ones(len(homeless), bool)
            repeated[unique] = False
            free[homeless[repeated]] = False
        return free

    def _exchange(
        self,
        unit: NDArray[np.int64],
        chain: NDArray[np.int64],
        source: NDArray[np.int64],
        target: NDArray[np.int64],
        pair: NDArray[np.int64],
        temperature: float,
        redividing: bool,
    ) -> None:
        """Propose to exchange what the columns `source` and `target` hold, and accept by the Metropolis rule.

        `pair` is the candidate pair of `unit` and the target, -1 where the target is nobody.
        """
        service, model, draw = self.service, self.model, self.generator
        columns = len(self.likelihood) - 1
        before = Held(self.held[:, source], self.held[:, target], np.ones(len(unit), bool))
        request = np.concatenate((self.requests[source], self.requests[target]))
        if redividing:
            (after_source, after_target, fits), of_move = self._redivided(before, request)
        else:
            (after_source, after_target, fits), of_move = self._propose(
                before, unit, source == columns, target == columns
            )
        before_source, before_target, _ = before
        weight, possible = self._placed(np.concatenate((after_source, after_target), axis=1), request)
        alive = np.flatnonzero(fits & possible[: len(unit)] & possible[len(unit) :])
        if not len(alive):
            return
        weight = np.concatenate((weight[alive], weight[len(unit) + alive]))
        unit, pair, chain, source, target = unit[alive], pair[alive], chain[alive], source[alive], target[alive]
        before_source, before_target = before_source[:, alive], before_target[:, alive]
        after_source, after_target = after_source[:, alive], after_target[:, alive]
        count = len(alive)
        columns_after = np.concatenate((after_source, after_target), axis=1)
        request = self.requests[np.concatenate((source, target))]
        after = np.where(request >= 0, model.log_likelihood(columns_after, np.maximum(request, 0)), 0.0)
        gain = after[:count] + after[count:] - self.likelihood[source] - self.likelihood[target]
        gain += model.order_gain(
            request[:count], request[count:], before_source, before_target, after_source, after_target
        )
        gain += weight[:count] + weight[count:] - self.weight[source] - self.weight[target]
        if np.isfinite(model.background).any():
            gain += self._background(before_source, before_target, after_source, after_target)
        back = self._back_and_forth(unit, pair, request[:count], before_target, source == columns)
        # Where the unit stays, the way back is proposed as the way was.
        back[(after_source == unit).any(axis=0)] = 0.0
        gain += temperature * (back + of_move[alive])
        accepted = np.flatnonzero(gain >= temperature * np.log(draw.random(count)))
        if not len(accepted):
            return
        for columns_of, new, offset in ((source, after_source, 0), (target, after_target, count)):
            mine = accepted[columns_of[accepted] < columns]
            self.held[:, columns_of[mine]] = new[:, mine]
            self.likelihood[columns_of[mine]] = after[offset + mine]
            self.weight[columns_of[mine]] = weight[offset + mine]
            slot, index = np.nonzero(new[:, mine] >= 0)
            index = mine[index]
            self.parent[chain[index] * service.units + new[slot, index]] = columns_of[index]
        for old_a, new_a, new_b in (
            (before_source, after_source, after_target),
            (before_target, after_target, after_source),
        ):
            if not np.isfinite(model.background).any():
                break
            dropped = (old_a[:, accepted] >= 0) & ~_among(old_a, new_a, accepted) & ~_among(old_a, new_b, accepted)
            slot, index = np.nonzero(dropped)
            index = accepted[index]
            self.parent[chain[index] * service.units + old_a[slot, index]] = columns

    def _back_and_forth(
        self,
        unit: NDArray[np.int64],
        pair: NDArray[np.int64],
        source: NDArray[np.int64],
        before_target: NDArray[np.int64],
        homeless: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """Log of how much more often the way back of each proposal is proposed than the proposal itself."""
        service, proposals = self.service, self.proposals
        forth = proposals.log_share(unit, pair)
        back = proposals.log_share(unit, self._pair(unit, source)[0])
        chosen = np.flatnonzero(homeless)
        if len(chosen):
            # A unit that takes the place of another: the way back is that other one's.
            slot = np.searchsorted(service.slot_class, service.unit_class[unit[chosen]])
            evicted = before_target[slot, chosen]
            taken = (evicted >= 0) & ~self.model.repeating[service.unit_class[unit[chosen]]]
            # A unit that may not be without a parent, and has none, takes any room there is.
            back[chosen] = np.where(np.isfinite(back[chosen]), back[chosen], forth[chosen])
            chosen, evicted = chosen[taken], evicted[taken]
            stays = ~proposals.tries(evicted)
            back[chosen[stays]] = -np.inf
            chosen, evicted = chosen[~stays], evicted[~stays]
            request = service.candidates[pair[chosen]]
            back[chosen] = proposals.log_share(evicted, self._pair(evicted, request)[0])
            back[chosen] += proposals.log_choice(evicted) - proposals.log_choice(unit[chosen])
        return back - forth

    def _propose(
        self,
        before: Held,
        unit: NDArray[np.int64],
        homeless: NDArray[np.bool_],
        evict: NDArray[np.bool_],
    ) -> tuple[Held, NDArray[np.float64]]:
        """What the requests of each proposal would hold after it; log of how much more often the way back is proposed."""
        service, model, draw = self.service, self.model, self.generator
        count = len(unit)
        choice = draw.integers(0, model.groups.shape[1], count)
        after = exchange_slots(before, model.groups[service.unit_class[unit], choice].T)
        way = draw.random(count) if model.repeats else np.ones(count)
        of_move = np.zeros(count)
        swapped = ~homeless & ~evict & (way < SWAP_SHARE) & model.repeating[service.unit_class[unit]]
        alone: NDArray[np.bool_] = ~swapped & (homeless | evict | (way < SWAP_SHARE + MOVE_SHARE))
        crossing = ~swapped & ~alone & (way < SWAP_SHARE + MOVE_SHARE + CROSSING_SHARE)
        chosen = np.flatnonzero(swapped)
        if len(chosen):
            part, of_move[chosen] = swap_units(service, _part(before, chosen), unit[chosen], draw.random(len(chosen)))
            after.source[:, chosen], after.target[:, chosen], after.fits[chosen] = part
        chosen = np.flatnonzero(alone)
        if len(chosen):
            part = move_unit(service, _part(before, chosen), unit[chosen], homeless[chosen], evict[chosen])
            after.source[:, chosen], after.target[:, chosen], after.fits[chosen] = part
        chosen = np.flatnonzero(crossing)
        if len(chosen):
            part = cross_over(service, _part(before, chosen), unit[chosen], draw.random(len(chosen)) < 0.5)
            after.source[:, chosen], after.target[:, chosen], after.fits[chosen] = part
        return after, of_move

    def _redivided(self, before: Held, request: NDArray[np.int64]) -> tuple[Held, NDArray[np.float64]]:
        """The same, where source and target (the first and the second half of `request`) divide all anew."""
        pool, both = pooled(before), request.reshape(2, -1)
        return redivided(self.service, self.model, pool, both, self._weights(pool.unit, both), self.generator)

    def _weights(self, unit: NDArray[np.int64], request: NDArray[np.int64]) -> NDArray[np.float64]:
        """Evidence of the contents that each of `request` (2, proposals) has each `unit` (units, proposals).

        Shape (2, units, proposals); -inf where it may not.
        """
        shape = (2, *unit.shape)
        units, requests = np.broadcast_to(unit, shape), np.broadcast_to(request[:, None, :], shape)
        pair, found = self._pair(units.ravel(), requests.ravel())
        return np.where(found, self.service.weights[pair], -np.inf).reshape(shape)

    def _placed(
        self, held: NDArray[np.int64], request: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Evidence of the contents for the units that each request holds, and whether it may hold all of them."""
        if not self.service.irregular and not self.model.weighted:
            possible = self.service.arrives[request] <= np.take(self.service.earliest, held, mode="wrap")
            possible &= self.service.live_until[request] >= np.take(self.service.latest, held, mode="wrap")
            return np.zeros(len(request)), np.asarray((possible | (held < 0)).all(axis=0) | (request < 0), bool)
        slot, column = np.nonzero((held >= 0) & (request >= 0))
        pair, found = self._pair(held[slot, column], request[column])
        possible = np.ones(len(request), bool)
        possible[column[~found]] = False
        weight = np.where(found, self.service.weights[pair], 0.0)
        total: NDArray[np.float64] = np.bincount(column, weights=weight, minlength=len(request)).astype(np.float64)
        return total, possible

    def _pair(self, unit: NDArray[np.int64], request: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Number of the candidate pair of each unit and request, -1 where there is none, and whether there is one."""
        key = unit * np.int64(self.service.requests) + request
        position = np.minimum(np.searchsorted(self._pair_key, key), len(self._pair_key) - 1)
        found: NDArray[np.bool_] = (self._pair_key[position] == key) & (unit >= 0) & (request >= 0)
        return np.where(found, position, -1), found

    def _background(
        self,
        before_source: NDArray[np.int64],
        before_target: NDArray[np.int64],
        after_source: NDArray[np.int64],
        after_target: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """Log-likelihood that units gain or lose by having no parent."""
        rate = np.where(np.isfinite(self.model.background), self.model.background, 0.0)[self.service.slot_class]

        def held(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
            total: NDArray[np.float64] = rate @ ((a >= 0).astype(np.float64) + (b >= 0))
            return total

        return held(before_source, before_target) - held(after_source, after_target)

    def parents(self) -> NDArray[np.int64]:
        """Request of each unit in each chain (-1: none), shape (chains, units)."""
        return self.requests[self.parent].reshape(self.chains, self.service.units)


def fill_slots(service: Service, held: NDArray[np.int64], column: NDArray[np.int64]) -> None:
    """Put each unit u into the slots of column[u] of `held` in the order of starts; those that find no room are left."""
    units = np.flatnonzero(column >= 0)
    if not len(units):
        return
    order = units[np.lexsort((units, service.unit_class[units], column[units]))]
    key = column[order] * (int(service.unit_class.max()) + 1) + service.unit_class[order]
    first = np.concatenate(([True], key[1:] != key[:-1]))
    rank = np.arange(len(order)) - np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
    first_slot = np.searchsorted(service.slot_class, service.unit_class[order])
    slots_of_class = np.bincount(service.slot_class, minlength=int(service.unit_class.max()) + 1)
    room = rank < slots_of_class[service.unit_class[order]]
    held[(first_slot + rank)[room], column[order][room]] = order[room]


def _part(held: Held, chosen: NDArray[np.int64]) -> Held:
    """The chosen columns of `held`."""
    return Held(held.source[:, chosen], held.target[:, chosen], held.fits[chosen])


def _among(old: NDArray[np.int64], new: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each unit of `old` is somewhere in the same column of `new`."""
    found: NDArray[np.bool_] = (old[:, columns][:, None, :] == new[:, columns][None, :, :]).any(axis=1)
    return found
