"""Pools: the connections that one caller keeps to one instance, and how many of them were in use at once.

A connection is in use from the first to the last of the calls that one request makes on it in a row: between two
statements of a transaction it is as taken as during them. Connections that carried one call each are no pool.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.rowset import RowSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.diagnosis.conclude import Evidence
    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

FEWEST_CONNECTIONS = 2
"""Connections of a pool, at least."""
CALLS_EACH = 2
"""Calls that a connection of a pool carries, at least."""
HANDED_ON_NS = 3_000_000
"""A connection that is taken so soon after it was given back had somebody waiting for it."""
NEVER = np.iinfo(np.int64).max
LONG_AGO = -(1 << 62)
LEASE = np.dtype(
    [("connection", "i8"), ("parent", "i8"), ("begin", "i8"), ("end", "i8"), ("row", "i8"), ("continues", "?")]
)
"""A use of a connection, or a call of one; `row` is that of its first call."""


@dataclass(slots=True)
class Use:
    """How many connections of a pool are in use, as time goes on. Arrays have one entry a number of connections."""

    level: int = 0
    """Connections in use now."""
    now_ns: int = 0
    given_back_ns: int = LONG_AGO
    """When one was given back last."""
    lasted: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    """For how long so many were in use."""
    reached: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    """How often it came to so many."""
    awaited: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    """How often one more was taken while so many were, as soon as another had been given back."""

    @property
    def most(self) -> int:
        """Most connections that were in use at once."""
        return len(self.lasted) - 1

    def go_on(self, begin: NDArray[np.int64], end: NDArray[np.int64]) -> None:
        """Go through the next beginnings and ends of uses, none of which is before those that were gone through."""
        times = np.concatenate([end, begin])
        takes = np.arange(len(times)) >= len(end)
        order = np.lexsort((takes, times))  # what is given back at a moment can be taken at that moment
        times, takes = times[order], takes[order]
        level = self.level + np.cumsum(np.where(takes, 1, -1))
        before = np.append(self.level, level[:-1])
        most = max(self.most, int(level.max()))
        grown = most + 1 - len(self.lasted)
        self.lasted, self.reached, self.awaited = (
            np.append(each, np.zeros(grown, np.int64)) for each in (self.lasted, self.reached, self.awaited)
        )
        lasting = np.diff(times, prepend=self.now_ns if self.level else times[0])
        np.add.at(self.lasted, np.maximum(before, 0), lasting)
        # Uses that begin and end at one moment are given back before they are taken.
        np.add.at(self.reached, np.maximum(level[takes], 0), 1)
        given_back = np.maximum.accumulate(np.where(takes, self.given_back_ns, times))
        # Those that are taken at one moment all found as many taken as the first of them.
        opens = np.append(True, (times[1:] != times[:-1]) | ~takes[:-1])
        found = before[np.maximum.accumulate(np.where(opens, np.arange(len(times)), 0))]
        waited = takes & (times - given_back <= HANDED_ON_NS)
        np.add.at(self.awaited, np.maximum(found[waited], 0), 1)
        self.level, self.now_ns, self.given_back_ns = int(level[-1]), int(times[-1]), int(given_back[-1])


@dataclass(slots=True)
class Pool:
    """One pool. Arrays have shape (connections,)."""

    caller: str
    """Service that keeps it, with its host."""
    callee: str
    """Service that answers."""
    instance: str
    """Instance that answers."""
    places: tuple[int, int]
    """Where the caller and the instance are."""
    opened: NDArray[np.int64]
    closed: NDArray[np.int64]
    """When each connection was opened and closed; the end of the capture where it stayed open."""
    last_used: NDArray[np.int64]
    """End of the last call on each connection."""
    uses: int
    """How often a connection was taken."""
    held_ns: int
    """For how long in all."""
    begin_ns: int
    end_ns: int
    """From the first to the last use."""
    most: int
    """Most connections that were in use at once."""
    full_ns: int
    """For how long that many were."""
    full_times: int
    """How often it came to that."""
    handed_on: float
    """Share of the uses that began while all others were taken, as soon as one had been given back."""
    first_calls: RowSet
    """Rows of the first call of each use, of all pools."""

    @property
    def open_at_once(self) -> int:
        """Most connections that were open at once."""
        use = Use()
        use.go_on(self.opened, self.closed)
        return use.most

    @property
    def span_ns(self) -> int:
        """From the first to the last use."""
        return self.end_ns - self.begin_ns

    def gather(self, portion: Portion, evidence: Evidence, latest_first: bool = False) -> None:
        """Add the first call of each use to the evidence."""
        caller, callee = self.places
        places = np.flatnonzero((portion.caller_place == caller) & (portion.callee_place == callee))
        places = places[self.first_calls.has(portion.row[places])]
        evidence.add(portion, places, -portion.start[places] if latest_first else portion.start[places])


class PoolBook:
    """Follows all pools while calls go by."""

    def __init__(self, whole: Whole) -> None:
        self._whole = whole
        self._connections = whole.connections()
        count = len(self._connections.opened)
        self._carried = np.zeros(count, np.int32)
        self._pool = np.full(count, -1, np.int64)
        self._first = np.full(count, NEVER, np.int64)
        self._last = np.full(count, -1, np.int64)
        self._taken = np.zeros(count, np.int32)
        self._waiting = np.zeros(0, LEASE)
        """Uses that may go on."""
        self._ahead: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        """Beginnings and ends of uses, by pool, that were not gone through yet."""
        self._uses: dict[int, Use] = {}
        self._held: dict[int, int] = {}
        self._first_calls = RowSet(whole.calls)
        self._is_pooled: NDArray[np.bool_] | None = None

    def see_trees(self, portion: Portion) -> None:
        """Count what the connections carry."""
        places = np.flatnonzero(portion.connection >= 0)
        connection = portion.connection[places]
        np.add.at(self._carried, connection, 1)
        ends = portion.caller_place[places].astype(np.int64) * len(self._whole.vocabulary.places)
        np.maximum.at(self._pool, connection, ends + portion.callee_place[places])

    def see_in_order(self, portion: Portion) -> None:
        """Follow the uses of connections; calls come in the order of their start."""
        if not len(portion):
            return
        if self._is_pooled is None:
            is_used = self._carried >= CALLS_EACH
            pool, members = np.unique(self._pool[is_used], return_counts=True)
            self._is_pooled = is_used & np.isin(self._pool, pool[members >= FEWEST_CONNECTIONS])
        places = np.flatnonzero(portion.connection >= 0)
        places = places[self._is_pooled[portion.connection[places]]]
        calls = np.zeros(len(places), LEASE)
        names = {"connection": "connection", "parent": "parent_row", "begin": "start", "end": "end", "row": "row"}
        for field_name, name in names.items():
            calls[field_name] = portion.records[name][places]
        calls["continues"] = portion.continues[places]
        leases = _leases(np.concatenate([self._waiting, calls]))
        is_last = np.append(leases["connection"][1:] != leases["connection"][:-1], True)[: len(leases)]
        goes_on = is_last & leases["continues"]
        self._waiting = leases[goes_on]
        self._note(leases[~goes_on])
        self._go_on(min(int(portion.start[-1]), int(self._waiting["begin"].min(initial=NEVER))))

    def pools(self) -> list[Pool]:
        """All pools, in the order of their callers and instances. All calls have gone by."""
        self._note(self._waiting)
        self._go_on(NEVER)
        pooled = np.flatnonzero(self._taken > 0)
        pooled = pooled[np.argsort(self._pool[pooled], kind="stable")]
        found = []
        for one, use in sorted(self._uses.items()):
            first, last = np.searchsorted(self._pool[pooled], [one, one + 1])
            pool = self._conclude(one, use, pooled[first:last])
            if pool is not None:
                found.append(pool)
        return sorted(found, key=lambda pool: (pool.caller, pool.callee, pool.instance))

    def _conclude(self, number: int, use: Use, members: NDArray[np.int64]) -> Pool | None:
        if len(members) < FEWEST_CONNECTIONS or self._taken[members].max() < CALLS_EACH:
            return None
        places, known = self._whole.vocabulary.places, self._connections
        ends = divmod(number, len(places))
        caller, callee = (places[end] for end in ends)
        # Connections are timed by the clock of their capture: moved to the time line by their first call.
        first, last = self._first[members], self._last[members]
        lived = np.maximum(known.closed[members] - known.opened[members], 0)
        closes = np.where(known.is_open[members], self._whole.last_ns, first + lived)
        uses = int(self._taken[members].sum())
        return Pool(
            f"{caller.party} on {caller.machine}" if caller.party != caller.machine else caller.party,
            callee.party,
            callee.instance,
            ends,
            first,
            np.maximum(closes, last),
            last,
            uses,
            self._held[number],
            int(first.min()),
            int(last.max()),
            use.most,
            int(use.lasted[use.most]),
            int(use.reached[use.most]),
            float(use.awaited[use.most - 1] / uses),
            self._first_calls,
        )

    def _note(self, leases: NDArray[np.void]) -> None:
        """Take down uses that are over."""
        connection, begin, end = leases["connection"], leases["begin"], leases["end"]
        self._first_calls.add(leases["row"])
        np.minimum.at(self._first, connection, begin)
        np.maximum.at(self._last, connection, end)
        np.add.at(self._taken, connection, 1)
        pool = self._pool[connection]
        for one in np.unique(pool).tolist():
            of_pool = pool == one
            begins, ends = self._ahead.get(one, (begin[:0], end[:0]))
            self._ahead[one] = np.append(begins, begin[of_pool]), np.append(ends, end[of_pool])
            self._held[one] = self._held.get(one, 0) + int((end[of_pool] - begin[of_pool]).sum())

    def _go_on(self, until: int) -> None:
        """Go through what was before a moment; nothing is to come that was."""
        for one, (begin, end) in self._ahead.items():
            began, ended = begin < until, end < until
            if began.any() or ended.any():
                self._uses.setdefault(one, Use()).go_on(begin[began], end[ended])
            self._ahead[one] = begin[~began], end[~ended]


def _leases(calls: NDArray[np.void]) -> NDArray[np.void]:
    """Uses of connections that calls make, by connection and in order; `calls` may be uses that go on themselves."""
    calls = calls[np.lexsort((calls["row"], calls["begin"], calls["connection"]))]
    if not len(calls):
        return calls
    parent, connection = calls["parent"], calls["connection"]
    opens = np.append(True, connection[1:] != connection[:-1])
    opens[1:] |= (parent[1:] != parent[:-1]) | (parent[1:] < 0)
    first = np.flatnonzero(opens)
    leases = calls[first]
    leases["end"] = np.maximum.reduceat(calls["end"], first)
    leases["continues"] = calls["continues"][np.append(first[1:], len(calls)) - 1]
    return leases
