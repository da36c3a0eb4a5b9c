"""The links while they are being decided: parents and confidences of calls, set for whole units."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.joint import Posterior
    from wiretrace.linking.service import Service
    from wiretrace.linking.units import Units

LEAST_ALTERNATIVE = 0.01
"""Probability from which a runner-up is worth telling."""
MOST_ALTERNATIVES = 3
"""Runners-up that are told of a call."""


@dataclass(slots=True)
class Links:
    """Arrays have shape (n,)."""

    parent: NDArray[np.int64]
    """Parent of each call, -1: none."""
    confidence: NDArray[np.float64]
    """Probability of it."""
    decided: NDArray[np.bool_]
    """Whether the call has been decided."""
    alternatives: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = field(default_factory=list)
    """Runners-up in the making: children, parents, probabilities."""

    @classmethod
    def none(cls, n: int) -> Links:
        """No call decided yet: all without a parent."""
        return cls(np.full(n, -1, np.int64), np.ones(n), np.zeros(n, bool))

    def set_units(
        self, units: Units, number: NDArray[np.int64], parent: NDArray[np.int64], confidence: NDArray[np.float64]
    ) -> None:
        """Give all calls of the units `number` (chosen,) their `parent` and its `confidence`."""
        of_unit = np.full(len(units) + 1, -1, np.int64)
        of_unit[number] = np.arange(len(number))
        index = of_unit[units.of_call]
        calls = np.flatnonzero(index >= 0)
        index = index[calls]
        self.parent[calls] = np.where(parent[index] == calls, -1, parent[index])
        self.confidence[calls], self.decided[calls] = confidence[index], True

    def add_alternatives(
        self, units: Units, number: NDArray[np.int64], parent: NDArray[np.int64], probability: NDArray[np.float64]
    ) -> None:
        """Tell runners-up of the units `number` (for the first call of each)."""
        self.alternatives.append((units.first_call[number], parent, probability))

    def take(self, units: Units, service: Service, posterior: Posterior) -> None:
        """Take over what the joint assignment of a service found."""
        local = np.arange(service.units)
        pair_unit = np.repeat(local, np.diff(service.offsets))
        requests = np.append(service.request_call, -1)
        chosen = posterior.parent
        contested = posterior.contested
        held = (service.candidates == chosen[pair_unit]) & (chosen[pair_unit] >= 0)
        confidence = np.where(chosen < 0, posterior.none_share, 0.0)
        confidence[pair_unit[held]] = posterior.pair_share[held]
        number = service.unit_number[contested]
        self.set_units(units, number, requests[chosen[contested]], confidence[contested])
        telling = contested[pair_unit] & ~held & (posterior.pair_share >= LEAST_ALTERNATIVE)
        self.add_alternatives(
            units,
            service.unit_number[pair_unit[telling]],
            requests[service.candidates[telling]],
            posterior.pair_share[telling],
        )
        telling_none = contested & (chosen >= 0) & (posterior.none_share >= LEAST_ALTERNATIVE)
        self.add_alternatives(
            units,
            service.unit_number[telling_none],
            np.full(np.count_nonzero(telling_none), -1),
            posterior.none_share[telling_none],
        )

    def told_alternatives(self, rows: NDArray[np.int64], wanted: NDArray[np.bool_]) -> list[tuple[int, int, float]]:
        """The runners-up of the calls that are `wanted` (n,), best first for each child; call i is told as rows[i]."""
        if not self.alternatives:
            return []
        child, parent, probability = (np.concatenate(column) for column in zip(*self.alternatives, strict=True))
        told = wanted[child]
        child, parent, probability = child[told], parent[told], probability[told]
        child, parent = rows[child], np.where(parent >= 0, rows[parent], -1)
        order = np.lexsort((parent, -probability, child))
        child, parent, probability = child[order], parent[order], probability[order]
        first = np.concatenate(([True], child[1:] != child[:-1])) if len(child) else np.zeros(0, bool)
        rank = np.arange(len(child)) - np.maximum.accumulate(np.where(first, np.arange(len(child)), 0))
        told = rank < MOST_ALTERNATIVES
        return list(zip(child[told].tolist(), parent[told].tolist(), probability[told].tolist(), strict=True))
