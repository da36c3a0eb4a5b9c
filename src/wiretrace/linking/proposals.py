"""Where the sampler looks for a better parent: which units it tries, and which requests it tries for each.

Rules: a proposal distribution changes how fast the chains settle, not what they settle on: `log_ratio` corrects for
it. A unit whose parent is plain is seldom tried, a request that fits badly seldom proposed, but none is ever left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.linking.arrays import offsets_of, ranges
from wiretrace.linking.densities import delay_bins
from wiretrace.linking.evidence.timing import last_done, sibling_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.request_model import RequestModel
    from wiretrace.linking.service import Service

TEMPER = 1.5
"""Scores are divided by this: they are seen from one assignment, and are too sure of themselves."""
EVEN_SHARE = 0.15
"""Share of a unit's proposals that are spread evenly over its candidates."""
LEAST_OPTIONS = 0.15
"""How open the parent of a plain unit counts, in further candidates."""

STEADY_SHARE = 0.15
"""How often a unit is tried that no chain has moved, against what its scores would have it."""


def pair_scores(
    service: Service,
    model: RequestModel,
    held: NDArray[np.int64],
    unit: NDArray[np.int64],
    pair: NDArray[np.int64],
    slot: NDArray[np.int64],
    without_cue: float | None = None,
) -> NDArray[np.float64]:
    """Log-likelihood ratio of each `pair` (pairs,), which is of `unit`, as the first of its class in `slot`.

    `held` (slots, requests) says when the cues of the requests were. A delay that lacks its cue has the log density
    `without_cue`, or by default, as the model has it, that of the time since the arrival.
    """
    request = service.candidates[pair]
    return service.weights[pair] + unit_scores(service, model, held, request, unit, request, slot, without_cue)


def unit_scores(
    service: Service,
    model: RequestModel,
    held: NDArray[np.int64],
    column: NDArray[np.int64],
    unit: NDArray[np.int64],
    request: NDArray[np.int64],
    slot: NDArray[np.int64],
    without_cue: float | None = None,
) -> NDArray[np.float64]:
    """Log-likelihood ratio by the times alone that each `unit` (units,) is of `request`, in its `slot`.

    `held` (slots, columns) says what the requests hold, and so when their cues were; `column` (units,) is that of each.
    """
    delays, slots = model.delays, service.slots
    kind, start = service.kind[request], service.starts[unit]
    row = delays.cue[kind, slot]
    cue_unit = held[sibling_of(row, slots), column]
    cue_time = np.where(row <= slots, service.ends[cue_unit], service.starts[cue_unit])
    since = np.where(row > 2 * slots, service.responds[request], np.where(row > 0, cue_time, service.arrives[request]))
    after_last = np.flatnonzero(row > 1 + 2 * slots)
    if len(after_last):
        siblings = held[:, column[after_last]]
        since[after_last] = last_done(service, siblings, unit[after_last], service.arrives[request[after_last]])
    lacking = np.isnan(since)
    since = np.where(lacking, service.arrives[request], since)
    bins, stretch = delay_bins(start - since, service.resolution)
    score: NDArray[np.float64] = delays.table[kind, slot + lacking * slots, bins] - stretch
    if without_cue is not None:
        score[lacking] = without_cue
    closes = np.flatnonzero(delays.closing[kind] == 1 + slot)
    closing = service.responds[request[closes]] - service.ends[unit[closes]]
    bins, stretch = delay_bins(np.nan_to_num(closing), service.resolution)
    score[closes] += delays.table[kind[closes], 2 * slots, bins] - stretch
    score += model.plan.present[kind, slot] - model.plan.absent[kind, slot]
    return score


def _share_held(
    service: Service,
    held: NDArray[np.int64],
    units: NDArray[np.int64],
    at: NDArray[np.int64],
    pair: NDArray[np.int64],
    of_pair: NDArray[np.float64],
    of_none: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Share of the place that each of `units` (chosen,) has in `held` (slots, requests): one of its pairs, or none.

    `pair` (pairs,) is of ``units[at]`` and has the share `of_pair`; `of_none` (chosen,) is that of no parent.
    """
    request_of = np.full(service.units, -1, np.int64)
    slot, request = np.nonzero(held >= 0)
    request_of[held[slot, request]] = request
    request_of = request_of[units]
    share = np.where(request_of < 0, of_none, 0.0)
    own = np.flatnonzero(service.candidates[pair] == request_of[at])
    share[at[own]] = of_pair[own]
    return share


def _next_slots(
    service: Service, held: NDArray[np.int64], unit: NDArray[np.int64], pair: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The slot that each `pair` (pairs,), which is of `unit`, would have behind what its request holds before it."""
    slot = np.searchsorted(service.slot_class, service.unit_class[unit])
    for one_class in np.flatnonzero(np.bincount(service.slot_class) > 1).tolist():
        at = np.flatnonzero(service.unit_class[unit] == one_class)
        slots = np.flatnonzero(service.slot_class == one_class)
        request, start = service.candidates[pair[at]], service.starts[unit[at]]
        # No unit starts at NaN, which is before nothing.
        before = np.zeros(len(at), np.int64)
        for row in slots.tolist():
            before += service.starts[held[row, request]] < start
        slot[at] += np.minimum(before, len(slots) - 1)
    return slot


class Proposals:
    """What is proposed for the units `units`, shape (chosen,), among the requests `allowed` (requests,)."""

    def __init__(
        self,
        service: Service,
        model: RequestModel,
        held: NDArray[np.int64],
        units: NDArray[np.int64],
        allowed: NDArray[np.bool_],
        steady: NDArray[np.bool_],
    ) -> None:
        count = np.diff(service.offsets)[units]
        pair = ranges(service.offsets[units], count)
        at = np.repeat(np.arange(len(units)), count)
        unit = units[at]
        slot = _next_slots(service, held, unit, pair)
        score = pair_scores(service, model, held, unit, pair, slot)
        background = model.background[service.unit_class[units]]
        # One entry more for each unit: no parent.
        first = offsets_of(count + 1)
        none = first[1:] - 1
        here = np.arange(len(pair)) + at
        scores = np.full(int(first[-1]), -np.inf)
        scores[here] = np.where(allowed[service.candidates[pair]], score, -np.inf)
        scores[none] = background
        top = np.maximum.reduceat(scores, first[:-1])
        top = np.where(np.isfinite(top), top, 0.0)
        of_entry = np.repeat(np.arange(len(units)), count + 1)
        share = np.exp((scores - top[of_entry]) / TEMPER)
        share /= np.maximum(np.add.reduceat(share, first[:-1]), 1e-300)[of_entry]
        with np.errstate(divide="ignore", invalid="ignore"):
            surprise = np.where(share > 0, -share * np.log(share), 0.0)
        options = np.isfinite(scores)
        number = np.add.reduceat(options, first[:-1], dtype=np.float64)
        # What stands where it hardly fits is tried as often as what has several plain places.
        misfit = 1.0 - _share_held(service, held, units, at, pair, share[here], share[none])
        self.openness = np.maximum(np.expm1(np.add.reduceat(surprise, first[:-1])), misfit) + LEAST_OPTIONS
        self.openness[number < 2] = 0.0
        self.openness[steady[units]] *= STEADY_SHARE
        share = (1.0 - EVEN_SHARE) * share + EVEN_SHARE * options / np.maximum(number, 1.0)[of_entry]
        total = np.cumsum(share)
        total -= np.concatenate(([0.0], total[none[:-1]]))[of_entry] if len(units) else 0.0
        self._units, self._first, self._none = units, first, none
        self._cumulative = np.minimum(total, 1.0) + of_entry
        self._choice = np.cumsum(self.openness)
        with np.errstate(divide="ignore"):
            self._log_share = np.log(share)
            self._log_openness = np.log(self.openness)
        self._at = np.full(service.units + 1, -1, np.int64)
        self._at[units] = np.arange(len(units))
        self._offsets = service.offsets

    def draw(
        self, size: int, generator: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Units, the candidate pair proposed for each, and whether no parent is proposed instead; (size,) each."""
        total = self._choice[-1]
        at = np.minimum(np.searchsorted(self._choice, generator.random(size) * total, "right"), len(self._choice) - 1)
        entry = np.searchsorted(self._cumulative, at + generator.random(size), "right")
        entry = np.clip(entry, self._first[at], self._none[at])
        unit = self._units[at]
        return unit, self._offsets[unit] + entry - self._first[at], entry == self._none[at]

    def tries(self, unit: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each unit is ever tried."""
        tried: NDArray[np.bool_] = self._at[unit] >= 0
        return tried

    def log_share(self, unit: NDArray[np.int64], pair: NDArray[np.int64]) -> NDArray[np.float64]:
        """Log probability of proposing `pair` for `unit`; `pair` is -1 for no parent."""
        at = self._at[unit]
        share: NDArray[np.float64] = self._log_share[
            np.where(pair < 0, self._none[at], self._first[at] + pair - self._offsets[unit])
        ]
        return share

    def log_choice(self, unit: NDArray[np.int64]) -> NDArray[np.float64]:
        """Logarithm of how often `unit` is tried, to a common base."""
        choice: NDArray[np.float64] = self._log_openness[self._at[unit]]
        return choice
