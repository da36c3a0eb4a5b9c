"""Habits: what is learned of an analysis before its calls are linked, small enough to be handed to every worker.

Rules: habits are keyed by the numbers of services and operations, which mean the same in all problems of one analysis,
never by calls, processes or times. Whoever uses a habit bears that one is missing: what was not seen in learning is
learned on the spot, or judged without it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wiretrace.linking.arrays import look_up

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.evidence.plan import PlanModel
    from wiretrace.linking.evidence.timing import DelayModel


class KindHabits(NamedTuple):
    """What is known of each kind of outgoing call; arrays of shape (kinds,)."""

    key: NDArray[np.int64]
    """Rising numbers of the kinds: see `candidates.outgoing_kind`."""
    outlives: NDArray[np.bool_]
    """Whether calls of the kind often end after their parent responded."""
    rate: NDArray[np.float64]
    """Calls without a parent per nanosecond and process."""
    reach: NDArray[np.float64]
    """Nanoseconds after a response within which calls of the kind are still caused by the request; 0: not at all."""
    left_behind: NDArray[np.bool_]
    """Whether calls of the kind follow answered requests whose values they carry: see `leftovers`."""
    noticed: NDArray[np.bool_]
    """Whether calls without a parent are enough of the kind to be considered where calls have candidates."""

    def of(self, key: NDArray[np.int64], outlives: NDArray[np.bool_]) -> KindHabits:
        """The same for the kinds `key` (kinds,); what is not known but `outlives` has no calls without a parent."""
        rate, reach = (look_up(self.key, each, key, np.float64(0.0)) for each in (self.rate, self.reach))
        left_behind, noticed = (
            look_up(self.key, each, key, np.bool_(False)) for each in (self.left_behind, self.noticed)
        )
        return KindHabits(key, outlives, rate, reach, left_behind, noticed)


class Leases(NamedTuple):
    """How often two calls that follow each other on a connection have one parent; arrays of shape (turns,)."""

    turn: NDArray[np.int64]
    """Rising numbers of pairs of operations: `arrays.joint_key` of the call before and the call."""
    rate: NDArray[np.float64]
    """Share of such calls whose parent is that of the call before."""


class UsualDelays(NamedTuple):
    """Delays between the arrival of a request and a call that it caused, for the words; arrays of shape (links,)."""

    operations: NDArray[np.int64]
    """Rising numbers of pairs of operations: `arrays.joint_key` of the parent and the child."""
    links: NDArray[np.int64]
    """Links that were seen."""
    low: NDArray[np.float64]
    """Nanoseconds; few delays are shorter."""
    high: NDArray[np.float64]
    """Nanoseconds; few delays are longer."""


@dataclass(slots=True)
class ServiceHabits:
    """What is known of the requests of one service."""

    operations: NDArray[np.int64]
    """Operations that requests ask for, rising, shape (kinds - 1,); the last kind of the models is any other."""
    unit_kinds: NDArray[np.int64]
    """Kinds of units, rising, one for each class but the class of any other kind; see `Units.kind_key`."""
    ranks: NDArray[np.int64]
    """How many units of each class a request may hold, shape (classes,)."""
    delays: DelayModel
    """How long after what."""
    plan: PlanModel
    """Which calls a request makes."""
    groups: NDArray[np.bool_]
    """Slots that are exchanged together, shape (classes, choices, slots)."""
    order_weight: float
    """Nats by which keeping the order of arrivals is likelier than independent delays would make it."""
    leases: Leases | None = None
    """What connections tell; None: nothing was learned."""


@dataclass(slots=True)
class Habits:
    """Everything that is learned of an analysis."""

    resolution_ns: float
    """The step in which the recorded clocks tick."""
    longest_ns: float
    """Duration that hardly any request exceeds."""
    kinds: KindHabits
    """Of outgoing calls."""
    compositions: NDArray[np.int64]
    """Rising numbers of the kinds of transactions that are frequent enough to be kinds of units."""
    none_chance: dict[tuple[int, int], NDArray[np.float64]] = field(default_factory=dict)
    """For pairs of a request's operation and a kind of unit, the probability that a call with that only candidate has
    no parent, by the bin of the delay since the request's arrival."""
    evidence: dict[str, object] = field(default_factory=dict)
    """What each kind of evidence learned: see `Weighed.learned`."""
    services: dict[int, ServiceHabits] = field(default_factory=dict)
    """By number of the service."""
    usual: UsualDelays | None = None
    """For the words."""


def no_habits() -> Habits:
    """What is known before anything was seen."""
    nothing, no_numbers = np.zeros(0), np.zeros(0, np.int64)
    neither = np.zeros(0, bool)
    kinds = KindHabits(no_numbers, neither, nothing, nothing, neither, neither)
    return Habits(1000.0, 0.0, kinds, no_numbers)
