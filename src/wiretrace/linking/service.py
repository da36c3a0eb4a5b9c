"""One service as the joint assignment sees it: its incoming calls (requests) and its outgoing calls (units).

Rules: a *request* is an incoming call of any instance of the service; a *unit* is one outgoing call, or all calls of
one database transaction, which have one parent. Units of one *class* ask for the same operation. A request holds at
most `ranks` units of a class, in the order of their starts; a (class, rank) pair is a *slot*. Arrays of units have one
row more than there are units: the last stands for "no unit", and is reached by the index -1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_UNIT = -1
"""In place of a unit: the slot is empty. In place of a request: the unit has no parent."""


@dataclass(slots=True)
class Service:
    """Requests have shape (requests,), sorted by process and arrival; units (units + 1,), sorted by process and start."""

    name: str
    """For words."""
    resolution: float
    """Step of the clocks, in nanoseconds."""
    request_call: NDArray[np.int64]
    """Index of the call that each request is."""
    instance: NDArray[np.int64]
    """Process that served the request."""
    arrives: NDArray[np.float64]
    """When the request arrived."""
    responds: NDArray[np.float64]
    """When it was answered; NaN where that was not seen."""
    live_until: NDArray[np.float64]
    """Until when it may have had calls in flight."""
    kind: NDArray[np.int64]
    """Which operation it asks for: 0 .. kinds - 1."""
    unit_call: NDArray[np.int64]
    """Index of the unit's first call, shape (units,)."""
    starts: NDArray[np.float64]
    """When the unit started; NaN for "no unit"."""
    ends: NDArray[np.float64]
    """When the unit had its last answer; its start where that was not seen."""
    earliest: NDArray[np.float64]
    """A parent of the unit must have arrived by then."""
    latest: NDArray[np.float64]
    """A parent of the unit must have been live then."""
    unit_class: NDArray[np.int64]
    """Class of the unit: 0 .. classes - 1."""
    slot_class: NDArray[np.int64]
    """Class of each slot, shape (slots,), rising."""
    slot_rank: NDArray[np.int64]
    """Rank of each slot within its class."""
    offsets: NDArray[np.int64]
    """Shape (units + 1,): candidate pairs of unit u are those from offsets[u] up to offsets[u + 1]."""
    candidates: NDArray[np.int64]
    """Shape (pairs,): the request of each candidate pair."""
    weights: NDArray[np.float64]
    """Shape (pairs,): log-likelihood ratio that the contents and sessions give to the pair."""
    background_rate: NDArray[np.float64]
    """Shape (classes,): units per nanosecond that have no parent; 0 where there are none."""

    @property
    def requests(self) -> int:
        """Number of requests."""
        return len(self.arrives)

    @property
    def units(self) -> int:
        """Number of units."""
        return len(self.unit_call)

    @property
    def kinds(self) -> int:
        """Number of operations that requests ask for."""
        return int(self.kind.max(initial=-1)) + 1

    @property
    def slots(self) -> int:
        """Number of slots."""
        return len(self.slot_class)
