"""Draws joint assignments of the calls of one service to its requests, in proportion to their probability.

Rules: several independent chains run side by side as columns of the same arrays, and every step changes many disjoint
pairs of requests at once, so that no Python runs per call. A proposal takes a unit and another request that may have
caused it, and exchanges what the two requests hold: that class of calls, everything from that call on, the call with
what followed from it, or everything. A unit may also lose its parent, or gain one, where calls without a parent exist.
Proposals are symmetric (or corrected for), so the chains settle on the posterior. The generator is seeded by the
caller: equal input gives equal output.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.linking.service import NO_UNIT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.request_model import RequestModel
    from wiretrace.linking.service import Service

PROPOSALS_PER_STEP = 0.6
"""Proposals drawn a step, as a share of the active requests; those that meet another one in the step are dropped."""


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
    place: NDArray[np.int64] = field(init=False)
    """Index within `active` of each request; -1 for the others."""
    _first: NDArray[np.int64] = field(init=False)
    _sorted_pairs: NDArray[np.int64] = field(init=False)

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
        request = np.repeat(np.arange(service.units), np.diff(service.offsets))
        self._sorted_pairs = request * np.int64(service.requests) + service.candidates
        self.refresh()

    def refresh(self) -> None:
        """Evaluate all columns again, after the model has changed."""
        columns = self.chains * len(self.active)
        request = np.tile(self.active, self.chains)
        self.likelihood = np.zeros(columns + 1)
        self.likelihood[:columns] = self.model.log_likelihood(self.held[:, :columns], request)

    def run(self, steps: int, temperature: float = 1.0) -> int:
        """Take `steps` steps; returns how many proposals were accepted."""
        return sum(self._step(temperature) for _ in range(steps))

    def _step(self, temperature: float) -> int:
        service, draw = self.service, self.generator
        width, units = len(self.active), service.units
        columns = self.chains * width
        if not len(self.movable) or not width:
            return 0
        size = int(PROPOSALS_PER_STEP * columns) + 1
        chain = draw.integers(0, self.chains, size)
        unit = self.movable[draw.integers(0, len(self.movable), size)]
        flat = chain * units + unit
        source = self.parent[flat]
        ghosts = self.model.background[service.unit_class[unit]] > -np.inf
        options = service.offsets[unit + 1] - service.offsets[unit]
        pick = (draw.random(size) * (options + ghosts)).astype(np.int64)
        to_ghost = pick >= options
        picked = self.place[service.candidates[np.minimum(service.offsets[unit] + pick, len(service.candidates) - 1)]]
        target = np.where(to_ghost, columns, chain * width + picked)
        keep = (source != target) & (to_ghost | (picked >= 0))
        keep &= self._first_come(source, target, flat, keep)
        chosen = np.flatnonzero(keep)
        if not len(chosen):
            return 0
        unit, chain, source, target = unit[chosen], chain[chosen], source[chosen], target[chosen]
        return self._exchange(unit, chain, source, target, temperature)

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
        free = ((first[source] == index) | (source == columns)) & ((first[target] == index) | (target == columns))
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
        temperature: float,
    ) -> int:
        """Propose to exchange what the columns `source` and `target` hold, and accept by the Metropolis rule."""
        service, model, draw = self.service, self.model, self.generator
        width, columns = len(self.active), len(self.likelihood) - 1
        count = len(unit)
        before_source, before_target = self.held[:, source], self.held[:, target]
        swap = model.groups[
            service.unit_class[unit], draw.integers(0, model.groups.shape[1], count)
        ].T  # (slots, proposals)
        ghostly = (source == columns) | (target == columns)
        after_source = np.where(swap, before_target, before_source)
        after_target = np.where(swap, before_source, before_target)
        correction = np.zeros(count)
        single = ghostly
        if model.repeats:
            single = ghostly | (model.repeating[service.unit_class[unit]] & (draw.random(count) < 0.5))
        one = np.flatnonzero(single)
        fits = np.ones(count, bool)
        if len(one):
            correction[one], fits[one] = self._move_one(
                unit[one], source[one], target[one], before_source, before_target, after_source, after_target, one
            )
        request_source = self._request(source)
        request_target = self._request(target)
        moved_to_target = (after_target >= 0) & (after_target != before_target)
        moved_to_source = (after_source >= 0) & (after_source != before_source)
        fits &= self._allowed(after_target, moved_to_target, request_target)
        fits &= self._allowed(after_source, moved_to_source, request_source)
        alive = np.flatnonzero(fits)
        if not len(alive):
            return 0
        if len(alive) < count:
            unit, chain, source, target, correction = (a[alive] for a in (unit, chain, source, target, correction))
            before_source, before_target = before_source[:, alive], before_target[:, alive]
            after_source, after_target = after_source[:, alive], after_target[:, alive]
            request_source, request_target = request_source[alive], request_target[alive]
            count = len(alive)
        columns_after = np.concatenate((after_source, after_target), axis=1)
        request = np.concatenate((request_source, request_target))
        real = np.concatenate((source, target)) < columns
        after = np.where(real, model.log_likelihood(columns_after, np.where(real, request, 0)), 0.0)
        gain = after[:count] + after[count:] - self.likelihood[source] - self.likelihood[target] + correction
        gain += model.order_gain(
            request_source, request_target, before_source, before_target, after_source, after_target
        )
        if model.weighted:
            gain += self._weight(after_source, request_source) + self._weight(after_target, request_target)
            gain -= self._weight(before_source, request_source) + self._weight(before_target, request_target)
        if np.isfinite(model.background).any():
            gain += self._background(before_source, before_target, after_source, after_target)
        accepted = np.flatnonzero(gain >= temperature * np.log(draw.random(count)))
        if not len(accepted):
            return 0
        for columns_of, new, old, offset in (
            (source, after_source, before_source, 0),
            (target, after_target, before_target, count),
        ):
            mine = accepted[columns_of[accepted] < columns]
            self.held[:, columns_of[mine]] = new[:, mine]
            self.likelihood[columns_of[mine]] = after[offset + mine]
            del old
        for columns_of, new in ((source, after_source), (target, after_target)):
            mine = accepted[columns_of[accepted] < columns]
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
        del width
        return len(accepted)

    def _move_one(
        self,
        unit: NDArray[np.int64],
        source: NDArray[np.int64],
        target: NDArray[np.int64],
        before_source: NDArray[np.int64],
        before_target: NDArray[np.int64],
        after_source: NDArray[np.int64],
        after_target: NDArray[np.int64],
        where: NDArray[np.int64],
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Move the units alone, in place in the `after` arrays; a class without room gives its own unit back.

        Returns the logarithm of the ratio of the proposals' probabilities, and which proposals are possible.
        """
        service = self.service
        columns = len(self.likelihood) - 1
        after_source[:, where], after_target[:, where] = before_source[:, where], before_target[:, where]
        correction, fits = np.zeros(len(unit)), np.ones(len(unit), bool)
        for one_class in np.unique(service.unit_class[unit]).tolist():
            slots = np.flatnonzero(service.slot_class == one_class)
            mine = np.flatnonzero(service.unit_class[unit] == one_class)
            at = where[mine]
            given = before_source[np.ix_(slots, at)]
            taken = before_target[np.ix_(slots, at)]
            moving = unit[mine]
            given = np.where(given == moving, NO_UNIT, given)
            full = (taken >= 0).all(axis=0) & (target[mine] < columns)
            if len(slots) == 1:
                # The unit takes the other's place, and the other takes the unit's.
                given = np.where(full, taken, given)
                taken = np.where(target[mine] < columns, moving, NO_UNIT)[None, :]
                given[:, source[mine] == columns] = NO_UNIT
            else:
                fits[mine] = ~full
                extended = np.concatenate((taken, np.where(target[mine] < columns, moving, NO_UNIT)[None, :]))
                extended = _packed(extended)
                taken = extended[:-1]
                given = _packed(given)
            after_source[np.ix_(slots, at)] = given
            after_target[np.ix_(slots, at)] = taken
        after_source[:, where[source == columns]] = NO_UNIT
        after_target[:, where[target == columns]] = NO_UNIT
        return correction, fits

    def _request(self, column: NDArray[np.int64]) -> NDArray[np.int64]:
        """The request of each column; -1 for "no request"."""
        width, columns = len(self.active), len(self.likelihood) - 1
        return np.where(column < columns, self.active[column % width], -1)

    def _allowed(
        self, held: NDArray[np.int64], moved: NDArray[np.bool_], request: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Whether each request could have caused all the units that came to it."""
        service = self.service
        earliest = np.take(service.earliest, held, mode="wrap")
        latest = np.take(service.latest, held, mode="wrap")
        possible = (service.arrives[request] <= earliest) & (service.live_until[request] >= latest)
        allowed: NDArray[np.bool_] = (possible | ~moved).all(axis=0)
        return allowed | (request < 0)

    def _weight(self, held: NDArray[np.int64], request: NDArray[np.int64]) -> NDArray[np.float64]:
        """Sum of the evidence that the contents give to the units that each request holds."""
        service = self.service
        key = held * np.int64(service.requests) + request
        position = np.minimum(np.searchsorted(self._sorted_pairs, key), len(self._sorted_pairs) - 1)
        found = (self._sorted_pairs[position] == key) & (held >= 0) & (request >= 0)
        total: NDArray[np.float64] = np.where(found, service.weights[position], 0.0).sum(axis=0)
        return total

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

    def weight_by(self, group: NDArray[np.int64], groups: int) -> NDArray[np.float64]:
        """Evidence of the contents for the present links, summed by the group of each unit; shape (chains, groups)."""
        units = self.service.units
        totals = np.empty((self.chains, groups))
        for chain, parent in enumerate(self.parents()):
            weight = self._weight(np.arange(units)[None, :], parent)
            totals[chain] = np.bincount(group[:units], weights=weight.ravel(), minlength=groups)
        return totals

    def parents(self) -> NDArray[np.int64]:
        """Request of each unit in each chain (-1: none), shape (chains, units)."""
        return self._request(self.parent).reshape(self.chains, self.service.units)


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


def _packed(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each column's units in the order of their starts (which is the order of their numbers), empty slots last."""
    far = np.where(rows < 0, np.iinfo(np.int64).max, rows)
    far.sort(axis=0)
    return np.where(far == np.iinfo(np.int64).max, NO_UNIT, far)


def _among(old: NDArray[np.int64], new: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each unit of `old` is somewhere in the same column of `new`."""
    found: NDArray[np.bool_] = (old[:, columns][:, None, :] == new[:, columns][None, :, :]).any(axis=1)
    return found
