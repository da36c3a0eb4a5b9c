"""How two requests may exchange what they hold: the proposals of the sampler.

Rules: every function takes what two requests hold before, (slots, proposals) each, and returns what they hold after.
Units of one class stay in the order of their starts (which is the order of their numbers), empty slots last. A
proposal and its reverse are equally likely. What does not fit into the slots of a class is no proposal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wiretrace.linking.arrays import distinct
from wiretrace.linking.service import NO_UNIT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.service import Service

FAR = np.iinfo(np.int64).max
"""Sorts behind every unit."""


class Held(NamedTuple):
    """What the source and the target of each proposal hold, and whether that is possible."""

    source: NDArray[np.int64]
    """Shape (slots, proposals)."""
    target: NDArray[np.int64]
    """Shape (slots, proposals)."""
    fits: NDArray[np.bool_]
    """Shape (proposals,)."""


def exchange_slots(before: Held, swap: NDArray[np.bool_]) -> Held:
    """Exchange the contents of the slots `swap` (slots, proposals)."""
    source = np.where(swap, before.target, before.source)
    target = np.where(swap, before.source, before.target)
    return Held(source, target, before.fits.copy())


def move_unit(
    service: Service, before: Held, unit: NDArray[np.int64], homeless: NDArray[np.bool_], evict: NDArray[np.bool_]
) -> Held:
    """Move `unit` alone from source to target. Where its class has one slot, the target's unit comes back for it.

    `homeless`: the unit has no parent and the source is nobody; `evict`: the target is nobody.
    """
    source, target, fits = before.source.copy(), before.target.copy(), before.fits.copy()
    own = service.unit_class[unit]
    repeating = np.bincount(service.slot_class) > 1
    at = np.flatnonzero(~repeating[own])
    slot = np.searchsorted(service.slot_class, own[at])
    source[slot, at] = np.where(homeless[at], NO_UNIT, before.target[slot, at])
    target[slot, at] = np.where(evict[at], NO_UNIT, unit[at])
    for one_class in np.flatnonzero(repeating).tolist():
        at = np.flatnonzero(own == one_class)
        if not len(at):
            continue
        slots = np.flatnonzero(service.slot_class == one_class)
        moving = unit[at]
        given, taken = before.source[np.ix_(slots, at)], before.target[np.ix_(slots, at)]
        extended = _packed(np.concatenate((taken, moving[None, :])))
        fits[at] &= evict[at] | (extended[-1] < 0)
        given = _packed(np.where(given == moving, NO_UNIT, given))
        source[np.ix_(slots, at)] = np.where(homeless[at], NO_UNIT, given)
        target[np.ix_(slots, at)] = np.where(evict[at], NO_UNIT, extended[:-1])
    return Held(source, target, fits)


def swap_units(
    service: Service, before: Held, unit: NDArray[np.int64], choice: NDArray[np.float64]
) -> tuple[Held, NDArray[np.float64]]:
    """Exchange `unit`, of a class that is called repeatedly, for one unit of its class that the target holds.

    `choice` (proposals,), from 0 up to 1, says which. Also returns the logarithm of how much more often the way back is
    proposed: as often as one of the source's units is chosen, against one of the target's.
    """
    source, target, fits = before.source.copy(), before.target.copy(), before.fits.copy()
    back = np.zeros(len(unit))
    own = service.unit_class[unit]
    for one_class in distinct(own).tolist():
        at = np.flatnonzero(own == one_class)
        slots = np.flatnonzero(service.slot_class == one_class)
        ours, theirs = before.source[np.ix_(slots, at)], before.target[np.ix_(slots, at)]
        held = (theirs >= 0).sum(axis=0)
        fits[at] &= held > 0
        # Units fill the first slots of their class.
        other = theirs[(choice[at] * held).astype(np.int64), np.arange(len(at))]
        source[np.ix_(slots, at)] = _packed(np.where(ours == unit[at], other, ours))
        target[np.ix_(slots, at)] = _packed(np.where(theirs == other, unit[at], theirs))
        back[at] = np.log(np.maximum(held, 1) / (ours >= 0).sum(axis=0))
    return Held(source, target, fits), back


def cross_over(service: Service, before: Held, unit: NDArray[np.int64], whole: NDArray[np.bool_]) -> Held:
    """Exchange all that starts with `unit` or after it: of the unit's class, or of all classes where `whole`."""
    source, target, fits = before.source.copy(), before.target.copy(), before.fits.copy()
    since = service.starts[unit]
    repeating = np.bincount(service.slot_class) > 1
    after = Held(source, target, fits)
    single = np.flatnonzero(~repeating[service.slot_class])
    chosen = np.flatnonzero(whole)
    _cross_single(service, before, after, since[chosen], single[:, None], chosen[None, :])
    chosen = np.flatnonzero(~whole & ~repeating[service.unit_class[unit]])
    slot = np.searchsorted(service.slot_class, service.unit_class[unit[chosen]])
    _cross_single(service, before, after, since[chosen], slot[None, :], chosen[None, :])
    for one_class in np.flatnonzero(repeating).tolist():
        slots = np.flatnonzero(service.slot_class == one_class)
        at = np.flatnonzero(whole | (service.unit_class[unit] == one_class))
        ours, theirs = before.source[np.ix_(slots, at)], before.target[np.ix_(slots, at)]
        our_tail = (ours >= 0) & (np.take(service.starts, ours, mode="wrap") >= since[at])
        their_tail = (theirs >= 0) & (np.take(service.starts, theirs, mode="wrap") >= since[at])
        for rows, kept, tail, came, moving in (
            (source, ours, our_tail, theirs, their_tail),
            (target, theirs, their_tail, ours, our_tail),
        ):
            joined = _packed(np.concatenate((np.where(tail, NO_UNIT, kept), np.where(moving, came, NO_UNIT))))
            fits[at] &= joined[len(slots)] < 0
            rows[np.ix_(slots, at)] = joined[: len(slots)]
    return after


def _cross_single(
    service: Service,
    before: Held,
    after: Held,
    since: NDArray[np.float64],
    slot: NDArray[np.int64],
    at: NDArray[np.int64],
) -> None:
    """Cross over what starts from `since` (chosen,) on in slots each of which is the only one of its class.

    In place, in `after`. `slot` and `at`, the proposals (1, chosen), are broadcast to each other: (slots, chosen).
    """
    ours, theirs = before.source[slot, at], before.target[slot, at]
    # The last row of the starts stands for no unit, and is never late: NaN.
    our_tail = np.take(service.starts, ours, mode="wrap") >= since
    their_tail = np.take(service.starts, theirs, mode="wrap") >= since
    stays_ours, stays_theirs = (ours >= 0) & ~our_tail, (theirs >= 0) & ~their_tail
    after.source[slot, at] = np.where(their_tail, theirs, np.where(our_tail, NO_UNIT, ours))
    after.target[slot, at] = np.where(our_tail, ours, np.where(their_tail, NO_UNIT, theirs))
    after.fits[at[0]] &= ~((stays_ours & their_tail) | (stays_theirs & our_tail)).any(axis=0)


def _packed(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each column's units in the order of their numbers, empty slots last."""
    far = np.where(rows < 0, FAR, rows)
    far.sort(axis=0)
    return np.where(far == FAR, NO_UNIT, far)
