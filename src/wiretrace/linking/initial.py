"""The first guess of a service's model, and the first assignment that the sampler starts from.

Rules: requests that never compete for a unit teach the first model where there are enough of them; otherwise the
correlograms do. The first assignment goes through the classes in the order of their cues and solves each as a
sparse assignment problem in blocks of time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from wiretrace.linking.arrays import distinct, number_groups, offsets_of, ranges, run_starts
from wiretrace.linking.correlogram import correlate
from wiretrace.linking.densities import delay_bins
from wiretrace.linking.evidence.timing import sibling_of
from wiretrace.linking.proposals import pair_scores
from wiretrace.linking.sampler import fill_slots

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.request_model import RequestModel
    from wiretrace.linking.service import Service

BLOCK_UNITS = 300
"""Units of one class that are assigned at once; blocks are cut where no request could have caused units on both sides."""
MOST_BLOCK_UNITS = 1500
"""A block is cut here even if a request is torn by it."""
UNASSIGNED_COST = 200.0
"""Nats that leaving a unit without a parent costs, so that it happens only where there is no room."""
NO_CUE_YET = -14.0
"""Log density of a delay whose cue has not been assigned."""
MOST_PREDECESSORS = 24
"""Units that ended last before a unit started, of which it may follow one."""


def correlogram_model(service: Service, model: RequestModel) -> None:
    """Give `model` the cues and delays that the raw streams of events show, whatever the kind of request."""
    slots, grain = service.slots, service.grain
    durations = service.responds - service.arrives
    longest = float(np.nanquantile(durations, 0.99)) if np.isfinite(durations).any() else 1e9
    axis = _process_axis(service)
    responses = (service.responds + axis[: service.requests])[~np.isnan(service.responds)]
    arrivals = service.arrives + axis[: service.requests]
    unit_axis = axis[service.requests :]
    of_class = [np.flatnonzero(service.unit_class == c) for c in range(int(service.slot_class.max(initial=-1)) + 1)]
    starts = [service.starts[units] + unit_axis[units] for units in of_class]
    ends = [service.ends[units] + unit_axis[units] for units in of_class]
    found = []
    first_slots = np.flatnonzero(service.slot_rank == 0).tolist()
    for slot in first_slots:
        own = int(service.slot_class[slot])
        options = [(0, arrivals)]
        options.append((1 + 2 * slots, responses))
        options += [(1 + other, ends[int(service.slot_class[other])]) for other in first_slots if other != slot]
        for row, events in options:
            result = correlate(events, starts[own], longest, grain)
            if result is not None:
                found.append((result.information, slot, row, result))
    found.sort(key=lambda option: (-option[0], option[1], option[2]))
    cue: dict[int, int] = {}
    for _, slot, row, result in found:
        ancestor, loops = row, False
        while 0 < ancestor <= 2 * slots and not loops:
            loops = ancestor - 1 == slot
            ancestor = cue.get(ancestor - 1, 0)
        if slot in cue or loops:
            continue
        cue[slot] = row
        model.delays.cue[:, slot] = row
        model.delays.table[:, slot] = result.log_density
    for slot in range(slots):
        if service.slot_rank[slot] > 0:
            own = int(service.slot_class[slot])
            result = correlate(ends[own], starts[own], longest, grain)
            model.delays.cue[:, slot] = slot  # row 1 + (slot - 1): the end of the rank before
            if result is not None:
                model.delays.table[:, slot] = result.log_density
    best = 0.0
    for slot in first_slots:
        result = correlate(ends[int(service.slot_class[slot])], responses, longest, grain)
        if result is not None and result.information > best:
            best = result.information
            model.delays.closing[:] = 1 + slot
            model.delays.table[:, 2 * slots] = result.log_density


def _process_axis(service: Service) -> NDArray[np.float64]:
    """What to add to times so that the instances of the service follow each other on one axis; requests, then units."""
    span = float(np.fmax.reduce(service.live_until, initial=0.0) + np.fmax.reduce(service.ends, initial=0.0)) + 1.0
    instance_change = np.concatenate(([0], np.cumsum(np.diff(service.instance) != 0)))[: service.requests]
    # Requests are sorted by instance, then by arrival; a unit belongs to the instance of its first candidate.
    first = service.candidates[np.minimum(service.offsets[:-1], max(len(service.candidates) - 1, 0))]
    return np.concatenate((instance_change, instance_change[first])) * span


def first_assignment(service: Service, model: RequestModel) -> NDArray[np.int64]:
    """A parent for each unit by the present delays, class by class; shape (units,), -1 where there was no room."""
    parent = np.full(service.units, -1, np.int64)
    pair_unit = np.repeat(np.arange(service.units), np.diff(service.offsets))
    pair_request = service.candidates
    delays = model.delays
    held = np.full((service.slots, service.requests), -1, np.int64)
    order: list[int] = []
    waiting = [slot for slot in range(service.slots) if service.slot_rank[slot] == 0]
    busiest = int(np.argmax(np.bincount(service.kind, minlength=1)))
    follows = sibling_of(delays.cue[busiest], service.slots)
    # What waits for whatever was over last comes when all is placed that it may wait for.
    anything = delays.cue[busiest] > 1 + 2 * service.slots
    since_arrival = delays.table[busiest, service.slots : 2 * service.slots].argmax(axis=1)
    while waiting:
        ready = [
            slot
            for slot in waiting
            if follows[slot] not in waiting
            and not (anything[slot] and any(since_arrival[other] < since_arrival[slot] for other in waiting))
        ]
        slot = (ready or waiting)[0]
        waiting.remove(slot)
        order.append(slot)
    for slot in order:
        own = int(service.slot_class[slot])
        mine = np.flatnonzero(service.unit_class[pair_unit] == own)
        unit, request = pair_unit[mine], pair_request[mine]
        score = pair_scores(service, model, held, unit, mine, np.full(len(mine), slot), NO_CUE_YET)
        copies = int((service.slot_class == own).sum())
        if copies > 1:
            _assign_chains(service, model, parent, slot, unit, request, score)
        else:
            _assign(parent, unit, request, score)
        column = np.where(service.unit_class == own, parent, -1)
        fill_slots(service, held, column)
    return parent


def _assign(
    parent: NDArray[np.int64], unit: NDArray[np.int64], place: NDArray[np.int64], score: NDArray[np.float64]
) -> None:
    """Fill `parent` with the likeliest assignment of units to places; `unit` (pairs,) is sorted."""
    if not len(unit):
        return
    first = np.flatnonzero(run_starts(unit))
    lowest = np.minimum.reduceat(place, first)
    highest = np.maximum.accumulate(np.maximum.reduceat(place, first))
    cut = np.concatenate(([False], lowest[1:] > highest[:-1]))
    bounds = np.concatenate((first, [len(unit)]))
    begin = 0
    for end in range(1, len(first) + 1):
        size = end - begin
        if end < len(first) and not (size >= MOST_BLOCK_UNITS or (size >= BLOCK_UNITS and cut[end])):
            continue
        part = slice(bounds[begin], bounds[end])
        _assign_block(parent, unit[part], place[part], score[part])
        begin = end


def _assign_block(
    parent: NDArray[np.int64], unit: NDArray[np.int64], place: NDArray[np.int64], score: NDArray[np.float64]
) -> None:
    """Solve one block: every unit gets one place, its own "no parent" being the last resort."""
    begin = run_starts(unit)
    units, row = unit[begin], np.cumsum(begin) - 1
    places, column = number_groups(place)
    # One entry more for each unit, behind the others: no parent.
    bounds = offsets_of(np.bincount(row) + 1)
    here, none = np.arange(len(unit)) + row, bounds[1:] - 1
    columns, costs = np.empty(bounds[-1], np.int64), np.empty(bounds[-1])
    costs[here], columns[here] = score.max() + 1.0 - score, column
    costs[none], columns[none] = UNASSIGNED_COST + costs[here].min(), len(places) + np.arange(len(units))
    matrix = csr_matrix((costs, columns, bounds), shape=(len(units), len(places) + len(units)))
    chosen_row, chosen = min_weight_full_bipartite_matching(matrix)
    real = chosen < len(places)
    parent[units[chosen_row[real]]] = places[chosen[real]]


def _assign_chains(
    service: Service,
    model: RequestModel,
    parent: NDArray[np.int64],
    slot: int,
    unit: NDArray[np.int64],
    request: NDArray[np.int64],
    score: NDArray[np.float64],
) -> None:
    """Assign units of a class that is called repeatedly: each follows a request's arrival, or the unit before it.

    Every arrival and every unit is followed by at most one unit; a chain has the parent of its first unit.
    """
    own = distinct(unit)
    ends = service.ends[own]
    by_end = own[np.argsort(ends, kind="stable")]
    before = np.searchsorted(np.sort(ends), service.starts[own], "right")
    low = np.maximum(before - MOST_PREDECESSORS, 0)
    count = before - low
    follower = np.repeat(own, count)
    index = ranges(low, count)
    followed = by_end[index]
    # Only units that could have one parent follow each other.
    first_candidate, last_candidate = (
        service.candidates[service.offsets[:-1]],
        service.candidates[service.offsets[1:] - 1],
    )
    together = (
        (followed != follower)
        & (last_candidate[followed] >= first_candidate[follower])
        & (first_candidate[followed] <= last_candidate[follower])
    )
    follower, followed = follower[together], followed[together]
    bins, stretch = delay_bins(service.starts[follower] - service.ends[followed], service.resolution)
    chained = model.delays.table[0, slot + 1, bins] - stretch
    # Places are numbered along time: the arrival of a request, or the end of a unit.
    times = np.concatenate((service.arrives, service.ends[:-1]))
    instance = np.concatenate((service.instance, service.instance[first_candidate]))
    rank = np.empty(len(times), np.int64)
    rank[np.lexsort((times, instance))] = np.arange(len(times))
    all_units = np.concatenate((unit, follower))
    all_places = rank[np.concatenate((request, service.requests + followed))]
    all_scores = np.concatenate((score, chained))
    order = np.argsort(all_units, kind="stable")
    follows = np.full(service.units, -1, np.int64)
    _assign(follows, all_units[order], all_places[order], all_scores[order])
    at = np.argsort(rank, kind="stable")[follows[own]]
    at = np.where(follows[own] < 0, -1, at)
    source = np.arange(service.units)
    chained_to = np.zeros(service.units, bool)
    chained_to[own] = at >= service.requests
    source[own[chained_to[own]]] = at[chained_to[own]] - service.requests
    for _ in range(max(len(own), 1).bit_length()):
        source = source[source]
    direct = np.full(service.units, -1, np.int64)
    direct[own] = np.where((at >= 0) & (at < service.requests), at, -1)
    parent[own] = direct[source[own]]
