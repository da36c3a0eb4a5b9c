"""The call plan: which calls, and how many of each, a request of this kind makes.

Rules: learned as a catalogue of the sets of slots that requests of a kind were believed to fill. A set that was never
seen gets what independent slots would give it. Services with too many slots for a catalogue use independent slots,
each rank of a class depending on the rank before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.service import Service

CATALOGUE_SLOTS = 12
"""Most slots for which every set of them has an entry of its own."""
UNSEEN_SETS = 0.25
"""Weight, in requests, of what independent slots would give."""
UNSEEN_CALLS = 0.05
"""Weight, in requests, of calls that were never seen made (and never seen left out)."""


@dataclass(slots=True)
class PlanModel:
    """What is known of the plans of one service."""

    slots: int
    kinds: int
    catalogue: NDArray[np.float64] = field(init=False)
    """Log probability of every set of slots, shape (kinds, 2 ** slots); of one entry a kind where there are too many."""
    present: NDArray[np.float64] = field(init=False)
    """Log probability that a slot is filled, given that the rank before it is, shape (kinds, slots)."""
    absent: NDArray[np.float64] = field(init=False)
    """Log probability of the contrary."""

    def __post_init__(self) -> None:
        self.present = np.full((self.kinds, self.slots), np.log(0.5))
        self.absent = self.present.copy()
        self.catalogue = np.zeros((self.kinds, 2**self.slots if self.slots <= CATALOGUE_SLOTS else 1))

    def extended(self, slots: int) -> PlanModel:
        """The same with slots of which nothing is known behind the others, `slots` in all."""
        if slots == self.slots:
            return self
        model = PlanModel(slots, self.kinds)
        model.present[:, : self.slots], model.absent[:, : self.slots] = self.present, self.absent
        if slots <= CATALOGUE_SLOTS:
            further = 2 ** (slots - self.slots)
            model.catalogue = np.tile(self.catalogue, (1, further)) - np.log(further)
        return model

    def log_likelihood(self, service: Service, held: NDArray[np.int64], kind: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of the sets of slots that requests fill which hold `held` (slots, requests); shape (requests,)."""
        filled = held >= 0
        if self.slots <= CATALOGUE_SLOTS:
            code = (filled.T @ (1 << np.arange(self.slots))) if self.slots else np.zeros(held.shape[1], np.int64)
            known: NDArray[np.float64] = self.catalogue[kind, code]
            return known
        # A slot that is filled opens that of the next rank; the first ranks are always open.
        first = service.slot_rank == 0
        gain = self.present - np.where(first, self.absent, 0.0)
        later = np.flatnonzero(~first)
        gain[:, later - 1] += self.absent[:, later]
        gain[:, later] -= self.absent[:, later]
        request, slot = np.nonzero(filled.T)
        total = np.bincount(request, weights=gain[kind[request], slot], minlength=len(kind))
        of_kind: NDArray[np.float64] = (self.absent * first).sum(axis=1)
        return total + of_kind[kind]

    def learn(
        self, service: Service, held: NDArray[np.int64], request: NDArray[np.int64], weights: NDArray[np.float64]
    ) -> None:
        """Fit to requests `request` (columns,) that hold `held` (slots, columns), each counting `weights`."""
        filled, kind = held >= 0, service.kind[request]
        open_slot = np.ones(filled.shape, bool)
        later = np.flatnonzero(service.slot_rank > 0)
        open_slot[later] = filled[later - 1]
        for s in range(self.slots):
            made = np.bincount(kind, weights=weights * filled[s], minlength=self.kinds)
            could = np.bincount(kind, weights=weights * open_slot[s], minlength=self.kinds)
            # The last kind is any other: of it nothing is known but what all do.
            made[-1], could[-1] = made.sum(), could.sum()
            share = (made + UNSEEN_CALLS) / (could + 2 * UNSEEN_CALLS)
            share = np.clip(share, 1e-6, 1 - 1e-6)
            self.present[:, s], self.absent[:, s] = np.log(share), np.log1p(-share)
        if self.slots <= CATALOGUE_SLOTS:
            self._learn_catalogue(filled, kind, weights)

    def _learn_catalogue(
        self, filled: NDArray[np.bool_], kind: NDArray[np.int64], weights: NDArray[np.float64]
    ) -> None:
        """Count the sets of slots, and add what independent slots would give."""
        sets = np.arange(2**self.slots)
        holds = (sets[:, None] >> np.arange(self.slots)) & 1
        independent = holds @ self.present.T + (1 - holds) @ self.absent.T
        code = filled.T @ (1 << np.arange(self.slots)) if self.slots else np.zeros(len(kind), np.int64)
        counts = np.bincount(kind * len(sets) + code, weights=weights, minlength=self.kinds * len(sets))
        counts = counts.reshape(self.kinds, len(sets))
        counts[-1] = counts.sum(axis=0)
        prior = np.exp(independent - np.logaddexp.reduce(independent, axis=0)).T
        self.catalogue = np.log(
            (counts + UNSEEN_SETS * prior + 1e-9) / (counts.sum(axis=1, keepdims=True) + UNSEEN_SETS)
        )
