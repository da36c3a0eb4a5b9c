"""Timing: how long after the last thing that its parent did a call starts, and how soon after it the parent responds.

Rules: learned per kind of request and slot from the assignments believed so far. The event that a call waits for (its
*cue*) is the parent's arrival or response, or the end or the start of a sibling: the one that makes the observed
delays most likely. Event rows: 0 is the arrival, 1 + s the end of slot s, 1 + slots + s the start of slot s,
1 + 2 * slots the response, and 2 + 2 * slots whatever was over last: code that does one thing after the other, and leaves
some out or repeats others, waits for that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.linking.arrays import run_starts
from wiretrace.linking.densities import BINS, delay_bins, fit_density

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.densities import Grain
    from wiretrace.linking.service import Service

FEW_SAMPLES = 25.0
"""With fewer observations than this, a kind of request borrows the delays of all kinds."""
CUE_LOYALTY = 0.05
"""A new cue must be better than the present one by this many nats a call, or cues would flutter between equals."""
LAST_DONE_SURPLUS = 0.6
"""What was over last must be a better cue than any certain event by this many nats a call: it suits whatever is assigned,
right or wrong, as among many calls some always ended just before."""
CUE_COVERAGE = 0.5
"""Share of a slot's calls for which its cue must exist."""
CUE_NEGATIVES = 0.03
"""Share of a slot's calls that may start before their cue."""
CLOSING_COVERAGE = 0.95
"""The call whose end the response waits for is there at least this often, against the most frequent call."""
ABSENT_CLOSING_PENALTY = 1.0
"""Nats that a response loses if the call it usually waits for is not there."""
STRUCTURE_SAMPLES = 2000
"""Requests from which the cues are chosen; the densities use all."""

LAST_END = -1
"""As the closing row: the response waits for whichever call ends last."""


@dataclass(slots=True)
class DelayModel:
    """What is known of the delays of one service. Tables of densities have BINS entries each."""

    slots: int
    kinds: int
    cue: NDArray[np.int64] = field(init=False)
    """Event row that each slot waits for, shape (kinds, slots)."""
    closing: NDArray[np.int64] = field(init=False)
    """Event row that the response waits for, shape (kinds,), or LAST_END."""
    table: NDArray[np.float64] = field(init=False)
    """Log densities, shape (kinds, 2 * slots + 1, BINS): after the cue, after the arrival, and of the response."""

    def __post_init__(self) -> None:
        self.cue = np.zeros((self.kinds, self.slots), np.int64)
        self.closing = np.full(self.kinds, LAST_END, np.int64)
        self.table = np.full((self.kinds, 2 * self.slots + 1, BINS), np.log(1.0 / BINS))

    def extended(self, slots: int) -> DelayModel:
        """The same with slots of which nothing is known behind the others, `slots` in all."""
        if slots == self.slots:
            return self
        model, old = DelayModel(slots, self.kinds), self.slots
        # The rows of the starts, and of the response, stand behind those of the ends, which are more now.
        model.cue[:, :old] = _moved(self.cue, old, slots)
        model.closing[:] = _moved(self.closing, old, slots)
        model.table[:, :old], model.table[:, slots : slots + old] = self.table[:, :old], self.table[:, old : 2 * old]
        model.table[:, 2 * slots] = self.table[:, 2 * old]
        return model

    def log_likelihood(
        self,
        service: Service,
        held: NDArray[np.int64],
        kind: NDArray[np.int64],
        arrives: NDArray[np.float64],
        responds: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Of the delays of requests that hold the units `held` (slots, requests); shape (requests,)."""
        slots, count = self.slots, held.shape[1]
        # Most slots are empty: only what is held is looked at, request by request.
        request, slot = np.nonzero((held >= 0).T)
        unit, of_kind = held[slot, request], kind[request]
        row = self.cue[of_kind, slot]
        cue_unit = held[np.where((row > 0) & (row <= 2 * slots), (row - 1) % max(slots, 1), slot), request]
        since = np.where(row <= slots, service.ends[cue_unit], service.starts[cue_unit])
        since = np.where(row == 0, arrives[request], np.where(row > 2 * slots, responds[request], since))
        after_last = np.flatnonzero(row > 1 + 2 * slots)
        if len(after_last):
            own, of = unit[after_last], request[after_last]
            since[after_last] = last_done(service, held[:, of], own, arrives[of])
        missing = np.isnan(since)
        since = np.where(missing, arrives[request], since)
        bins, stretch = delay_bins(service.starts[unit] - since, service.resolution)
        table = self.table.reshape(-1, BINS)
        log_density = table[of_kind * (2 * slots + 1) + slot + missing * slots, bins] - stretch
        total: NDArray[np.float64] = np.bincount(request, weights=log_density, minlength=count).astype(np.float64)

        closing = self.closing[kind]
        busy = np.flatnonzero(run_starts(request)) if len(request) else request
        last_end = np.full(count, np.nan)
        last_end[request[busy]] = np.fmax.reduceat(service.ends[unit], busy) if len(busy) else np.nan
        column = np.arange(count)
        closing_unit = held[np.where(closing == LAST_END, 0, (closing - 1) % max(slots, 1)), column]
        closing_time = np.where(closing <= slots, service.ends[closing_unit], service.starts[closing_unit])
        closing_time = np.where(closing == LAST_END, last_end, np.where(closing == 0, arrives, closing_time))
        absent = np.isnan(closing_time)
        delay = responds - np.where(absent, last_end, closing_time)
        known = np.flatnonzero(~np.isnan(delay))
        bins, stretch = delay_bins(delay[known], service.resolution)
        total[known] += table[kind[known] * (2 * slots + 1) + 2 * slots, bins] - stretch
        present = np.zeros(count, bool)
        present[request] = True
        total -= ABSENT_CLOSING_PENALTY * (absent & present)
        return total

    def learn(
        self,
        service: Service,
        held: NDArray[np.int64],
        request: NDArray[np.int64],
        weights: NDArray[np.float64],
        choose_cues: bool,
    ) -> None:
        """Fit to requests `request` (shape (columns,)) that hold `held` (slots, columns), each counting `weights`."""
        arrives, responds, kind = service.arrives[request], service.responds[request], service.kind[request]
        events = event_rows(service, held, arrives, responds)
        grain, slots = service.grain, self.slots
        everybody = np.ones(len(request), bool)
        pooled_first = [_density(events[1 + slots + s] - arrives, weights, everybody, grain) for s in range(slots)]
        pooled_cue: dict[tuple[int, int], NDArray[np.float64]] = {}
        last_end = np.fmax.reduce(events[1 : 1 + slots], axis=0) if slots else np.full(len(request), np.nan)
        pooled_closing, _, _ = _density(responds - last_end, weights, everybody, grain)
        # The last kind is any other: of it nothing is known but what all do after their arrival.
        self.cue[-1], self.closing[-1] = 0, LAST_END
        self.table[-1, :slots] = self.table[-1, slots : 2 * slots] = np.array([first for first, _, _ in pooled_first])
        self.table[-1, 2 * slots] = pooled_closing
        known = ~np.isnan(events[1 + slots : -1])
        for k in range(self.kinds - 1):
            of_kind = kind == k
            if not of_kind.any():
                continue
            structure = of_kind.copy()
            chosen = np.flatnonzero(of_kind)
            if len(chosen) > STRUCTURE_SAMPLES:
                structure[:] = False
                structure[chosen[:: len(chosen) // STRUCTURE_SAMPLES + 1]] = True
            enough = known[:, chosen] @ weights[chosen] >= FEW_SAMPLES
            self.table[k, slots : 2 * slots] = self.table[-1, slots : 2 * slots]
            for s in np.flatnonzero(enough).tolist():
                since_arrival = events[1 + slots + s] - arrives
                self.table[k, slots + s] = _density(since_arrival, weights, of_kind, grain)[0]
            if choose_cues and enough.any():
                medians = _medians(events[1 + slots : -1] - arrives, structure)
                for s in np.flatnonzero(enough).tolist():
                    self.cue[k, s] = self._best_cue(k, s, service, held, events, weights, structure, medians)
            for s in range(slots):
                cue = int(self.cue[k, s])
                if cue == 0:
                    self.table[k, s] = self.table[k, slots + s]
                    continue
                delays = events[1 + slots + s] - _cue_times(service, held, events, s, cue)
                if enough[s]:
                    self.table[k, s], _, samples = _density(delays, weights, of_kind, grain)
                    if samples >= FEW_SAMPLES:
                        continue
                if (s, cue) not in pooled_cue:
                    pooled_cue[s, cue], _, _ = _density(delays, weights, everybody, grain)
                self.table[k, s] = pooled_cue[s, cue]
            self._learn_closing(
                k, service, events, last_end, responds, weights, of_kind, structure, choose_cues, pooled_closing
            )

    def _best_cue(
        self,
        kind: int,
        slot: int,
        service: Service,
        held: NDArray[np.int64],
        events: NDArray[np.float64],
        weights: NDArray[np.float64],
        structure: NDArray[np.bool_],
        medians: NDArray[np.float64],
    ) -> int:
        """The event row after which the delays of `slot` are most likely."""
        slots, grain = self.slots, service.grain
        started = events[1 + slots + slot]
        mine = structure & ~np.isnan(started)
        if not mine.any():
            return int(self.cue[kind, slot])
        starts, weight = started[mine], weights[mine]
        since_arrival = starts - events[0, mine]
        first, first_score, _ = _density(since_arrival, weight, np.ones(len(starts), bool), grain)
        best, best_score = 0, first_score + (CUE_LOYALTY if self.cue[kind, slot] == 0 else 0.0)
        bins, stretch = delay_bins(since_arrival, grain.resolution)
        fallback = first[bins] - stretch
        siblings = np.flatnonzero((medians < medians[slot]) & (np.arange(slots) != slot))
        rows = [row for sibling in siblings.tolist() for row in (1 + sibling, 1 + slots + sibling)]
        for row in [*rows, 1 + 2 * slots, 2 + 2 * slots]:
            delays = starts - _cue_times(service, held[:, mine], events[:, mine], slot, row)
            there = ~np.isnan(delays)
            if there.mean() < CUE_COVERAGE or (delays[there] < 0).mean() > CUE_NEGATIVES:
                continue
            _, score, _ = _density(delays, weight, there, grain)
            share = weight[there].sum() / weight.sum()
            missing = (fallback[~there] * weight[~there]).sum() / weight.sum()
            score = score * share + missing + (CUE_LOYALTY if self.cue[kind, slot] == row else 0.0)
            score -= LAST_DONE_SURPLUS * (row > 1 + 2 * slots)
            if score > best_score:
                best, best_score = row, score
        return best

    def _learn_closing(
        self,
        kind: int,
        service: Service,
        events: NDArray[np.float64],
        last_end: NDArray[np.float64],
        responds: NDArray[np.float64],
        weights: NDArray[np.float64],
        of_kind: NDArray[np.bool_],
        structure: NDArray[np.bool_],
        choose: bool,
        pooled: NDArray[np.float64],
    ) -> None:
        """Choose what the response waits for, and fit how long after it the response comes."""
        slots, grain = self.slots, service.grain
        density, score, samples = _density(responds - last_end, weights, structure, grain)
        if samples < min(FEW_SAMPLES, float(of_kind.sum())) or samples < 1:
            self.closing[kind], self.table[kind, 2 * slots] = LAST_END, pooled
            return
        if choose:
            best, best_score = LAST_END, score + (CUE_LOYALTY if self.closing[kind] == LAST_END else 0.0)
            coverage = (~np.isnan(events[1 : 1 + slots][:, structure])).mean(axis=1)
            for slot in np.flatnonzero(coverage >= CLOSING_COVERAGE * coverage.max()).tolist():
                _, score, _ = _density(responds - events[1 + slot], weights, structure, grain)
                score += CUE_LOYALTY if self.closing[kind] == 1 + slot else 0.0
                if score > best_score:
                    best, best_score = 1 + slot, score
            self.closing[kind] = best
        row = int(self.closing[kind])
        ended = last_end if row == LAST_END else events[row]
        density, _, _ = _density(responds - ended, weights, of_kind, grain)
        self.table[kind, 2 * slots] = density


def _moved(row: NDArray[np.int64], slots: int, more: int) -> NDArray[np.int64]:
    """Event rows of a service of `slots` slots as those of one with `more`."""
    return np.where(row > 2 * slots, row + 2 * (more - slots), np.where(row > slots, row + more - slots, row))


def sibling_of(row: NDArray[np.int64], slots: int) -> NDArray[np.int64]:
    """Slot of the sibling whose start or end an event row is; -1 for the arrival and the response."""
    return np.where((row > 0) & (row <= 2 * slots), (row - 1) % max(slots, 1), -1)


def last_done(
    service: Service, held: NDArray[np.int64], unit: NDArray[np.int64], arrives: NDArray[np.float64]
) -> NDArray[np.float64]:
    """When the last thing was over that the parent of each `unit` (units,) had done before: a call, or its arrival.

    `held` (slots, units) is what these parents hold, `arrives` (units,) when they arrived.
    """
    since, starts = arrives.copy(), service.starts[unit]
    for sibling in held:
        end = service.ends[sibling]
        np.maximum(since, end, out=since, where=(end <= starts) & (sibling != unit))
    return since


def _cue_times(
    service: Service, held: NDArray[np.int64], events: NDArray[np.float64], slot: int, row: int
) -> NDArray[np.float64]:
    """When the event `row` was for which `slot` waits; `held` (slots, requests), `events` (rows, requests). NaN: never."""
    if row <= 1 + 2 * len(held):
        times: NDArray[np.float64] = events[row]
        return times
    return last_done(service, held, held[slot], events[0])


def event_rows(
    service: Service, held: NDArray[np.int64], arrives: NDArray[np.float64], responds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Times of the events of requests that hold `held` (slots, requests), shape (2 + 2 * slots, requests); NaN: none."""
    slots = held.shape[0]
    events = np.empty((2 + 2 * slots, held.shape[1]))
    events[0], events[-1] = arrives, responds
    np.take(service.ends, held, out=events[1 : 1 + slots], mode="wrap")
    np.take(service.starts, held, out=events[1 + slots : -1], mode="wrap")
    return events


def _density(
    delays: NDArray[np.float64], weights: NDArray[np.float64], chosen: NDArray[np.bool_], grain: Grain
) -> tuple[NDArray[np.float64], float, float]:
    """Log density of the chosen delays that are known, its mean over them, and how many observations they are."""
    mine = chosen & ~np.isnan(delays)
    weight = weights[mine]
    samples = float(weight.sum())
    bins, stretch = delay_bins(delays[mine], grain.resolution)
    log_density = fit_density(bins, weight, samples, grain.unseen)
    if samples <= 0:
        return log_density, -np.inf, 0.0
    return log_density, float(((log_density[bins] - stretch) * weight).sum() / samples), samples


def _medians(delays: NDArray[np.float64], chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Median of the known delays of each row, infinite where there are none."""
    medians = np.full(len(delays), np.inf)
    for row in range(len(delays)):
        known = delays[row, chosen]
        known = known[~np.isnan(known)]
        if len(known):
            medians[row] = np.median(known)
    return medians
