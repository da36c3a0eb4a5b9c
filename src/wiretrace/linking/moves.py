"""How two requests may exchange what they hold: the proposals of the sampler.

Rules: every function takes what two requests hold before, (slots, proposals) each, and returns what they hold after.
Units of one class stay in the order of their starts (which is the order of their numbers), empty slots last. A
proposal and its reverse are equally likely. What does not fit into the slots of a class is no proposal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

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
    for one_class in np.unique(service.unit_class[unit]).tolist():
        slots = np.flatnonzero(service.slot_class == one_class)
        at = np.flatnonzero(service.unit_class[unit] == one_class)
        moving = unit[at]
        given, taken = before.source[np.ix_(slots, at)], before.target[np.ix_(slots, at)]
        if len(slots) == 1:
            given, taken = taken, np.where(evict[at], NO_UNIT, moving)[None, :]
        else:
            given = _packed(np.where(given == moving, NO_UNIT, given))
            extended = _packed(np.concatenate((taken, moving[None, :])))
            fits[at] &= evict[at] | (extended[-1] < 0)
            taken = extended[:-1]
        source[np.ix_(slots, at)] = np.where(homeless[at], NO_UNIT, given)
        target[np.ix_(slots, at)] = np.where(evict[at], NO_UNIT, taken)
    return Held(source, target, fits)


def cross_over(service: Service, before: Held, unit: NDArray[np.int64], whole: NDArray[np.bool_]) -> Held:
    """Exchange all that starts with `unit` or after it: of the unit's class, or of all classes where `whole`."""
    source, target, fits = before.source.copy(), before.target.copy(), before.fits.copy()
    since = service.starts[unit]
    repeating = np.bincount(service.slot_class) > 1
    single = np.flatnonzero(~repeating[service.slot_class])
    if len(single):
        _cross_single(service, before, Held(source, target, fits), unit, whole, single)
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
    return Held(source, target, fits)


def _cross_single(
    service: Service,
    before: Held,
    after: Held,
    unit: NDArray[np.int64],
    whole: NDArray[np.bool_],
    slots: NDArray[np.int64],
) -> None:
    """Cross over in `slots`, each of which is the only one of its class (in place, in `after`)."""
    ours, theirs = before.source[slots], before.target[slots]
    crosses = whole | (service.slot_class[slots][:, None] == service.unit_class[unit])
    # The last row of the starts stands for no unit, and is never late: NaN.
    our_tail = crosses & (np.take(service.starts, ours, mode="wrap") >= service.starts[unit])
    their_tail = crosses & (np.take(service.starts, theirs, mode="wrap") >= service.starts[unit])
    stays_ours, stays_theirs = (ours >= 0) & ~our_tail, (theirs >= 0) & ~their_tail
    after.source[slots] = np.where(their_tail, theirs, np.where(our_tail, NO_UNIT, ours))
    after.target[slots] = np.where(our_tail, ours, np.where(their_tail, NO_UNIT, theirs))
    after.fits[:] &= ~((stays_ours & their_tail) | (stays_theirs & our_tail)).any(axis=0)


def _packed(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each column's units in the order of their numbers, empty slots last."""
    far = np.where(rows < 0, FAR, rows)
    far.sort(axis=0)
    return np.where(far == FAR, NO_UNIT, far)
