"""Pools: the connections that one caller keeps to one instance, and how many of them were in use at once.

A connection is in use from the first to the last of the calls that one request makes on it in a row: between two
statements of a transaction it is as taken as during them. Connections that carried one call each are no pool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.observed import Observed

FEWEST_CONNECTIONS = 2
"""Connections of a pool, at least."""
CALLS_EACH = 2.0
"""Calls that a connection of a pool carries on average, at least."""
HANDED_ON_NS = 3_000_000
"""A connection that is taken so soon after it was given back had somebody waiting for it."""


class Pool(NamedTuple):
    """One pool. Leases are in the order of their start; arrays have shape (leases,) or (connections,)."""

    caller: str
    """Service that keeps it, with its host."""
    callee: str
    """Service that answers."""
    instance: str
    """Instance that answers."""
    opened: NDArray[np.int64]
    closed: NDArray[np.int64]
    """When each connection was opened and closed; the end of the capture where it stayed open."""
    last_used: NDArray[np.int64]
    """End of the last call on each connection."""
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    """Leases."""
    call: NDArray[np.int64]
    """Row of the first call of each lease."""
    most: int
    """Most connections that were in use at once."""
    full_ns: int
    """For how long that many were."""
    full_times: int
    """How often it came to that."""
    handed_on: float
    """Share of the leases that began while all others were taken, as soon as one had been given back."""

    @property
    def open_at_once(self) -> int:
        """Most connections that were open at once."""
        return _use(self.opened, self.closed)[0]

    @property
    def span_ns(self) -> int:
        """From the first to the last use."""
        return int(self.end.max() - self.begin.min())


def pools_of(observed: Observed) -> Iterator[Pool]:
    """All pools, in the order of their callers and instances."""
    calls = observed.calls
    connection = observed.connection
    opened, closed = observed.connections("opened_ns"), observed.connections("closed_ns")
    if not len(opened):
        return
    ended = observed.case.columns("connections", ["ended"]).column("ended")
    is_open = pc.equal(ended, "open").fill_null(False).to_numpy()
    known = connection >= 0
    carried = np.bincount(connection[known], minlength=len(opened))
    rows = observed.in_order(known & (carried[np.where(known, connection, 0)] >= CALLS_EACH), connection)
    if not len(rows):
        return
    new_lease = np.diff(connection[rows], prepend=-1) != 0
    new_lease[1:] |= (observed.parent[rows][1:] != observed.parent[rows][:-1]) | (observed.parent[rows][1:] < 0)
    first = np.flatnonzero(new_lease)
    begin, end = calls.start[rows[first]], np.maximum.reduceat(calls.end[rows], first)
    of_lease = connection[rows[first]]
    end_of_all = int(calls.end.max())
    pool = calls.caller_place[rows[first]].astype(np.int64) * len(calls.places) + calls.callee_place[rows[first]]
    for one in np.unique(pool).tolist():
        leases = np.flatnonzero(pool == one)
        members, per_member = np.unique(of_lease[leases], return_counts=True)
        if len(members) < FEWEST_CONNECTIONS or carried[members].mean() < CALLS_EACH or per_member.max() < CALLS_EACH:
            continue
        caller, callee = calls.places[one // len(calls.places)], calls.places[one % len(calls.places)]
        leases = leases[np.argsort(begin[leases], kind="stable")]
        # Connections are timed by the clock of their capture: moved to the time line by their first call.
        first_call = np.full(len(opened), np.iinfo(np.int64).max)
        np.minimum.at(first_call, of_lease[leases], begin[leases])
        last_call = np.zeros(len(opened), np.int64)
        np.maximum.at(last_call, of_lease[leases], end[leases])
        lived = np.maximum(closed[members] - opened[members], 0)
        closes = np.where(is_open[members], end_of_all, first_call[members] + lived)
        yield Pool(
            f"{caller.party} on {caller.machine}" if caller.party != caller.machine else caller.party,
            callee.party,
            callee.instance,
            first_call[members],
            np.maximum(closes, last_call[members]),
            last_call[members],
            begin[leases],
            end[leases],
            rows[first[leases]],
            *_use(begin[leases], end[leases]),
        )


def _use(begin: NDArray[np.int64], end: NDArray[np.int64]) -> tuple[int, int, int, float]:
    """Most leases at once, for how long and how often, and the share that began as one was given back."""
    times = np.concatenate([begin, end])
    step = np.concatenate([np.ones(len(begin), np.int64), -np.ones(len(end), np.int64)])
    order = np.lexsort((step, times))  # what is given back at a moment can be taken at that moment
    times, level = times[order], np.cumsum(step[order])
    most = int(level.max())
    lasting = np.diff(times, append=times[-1])
    is_full = level == most
    # A lease that is handed on is a gap of no length in a full pool: it ends no fullness.
    full_times = int((np.diff(is_full.astype(np.int8), prepend=0) == 1).sum())
    given_back = np.sort(end)
    place = np.searchsorted(given_back, begin, "right") - 1
    since = begin - given_back[np.maximum(place, 0)]
    level_before = np.searchsorted(np.sort(begin), begin, "left") - np.searchsorted(given_back, begin, "right")
    waited = (place >= 0) & (since <= HANDED_ON_NS) & (level_before == most - 1)
    return most, int(lasting[is_full].sum()), full_times, float(waited.mean())
