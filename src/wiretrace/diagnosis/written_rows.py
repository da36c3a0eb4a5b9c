"""Reads and writes of one row or key by one parent: what could lose an update.

A row is known by its table (or, in a cache, by nothing more) and by the keyed hashes of the values in the statement. Values
are gone from the case; equal hashes are equal values.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wiretrace.case.calls import plain_list
from wiretrace.case.rows import RowReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

MOST_WRITES = 10_000
"""Writes whose values are compared; of more, the first ones."""
MOST_READS = 8
"""Reads of what one write wrote that are looked at, the latest ones."""
SQL_WRITE = re.compile(r"UPDATE (\S+)")
SQL_READ = re.compile(r"SELECT (\S+)")
KEY_WRITE = frozenset({"SET", "HSET", "set", "HMSET", "MSET"})
KEY_READ = frozenset({"GET", "HGET", "get", "gets", "HGETALL", "MGET"})
NO_VALUE = frozenset({"nil", "null", "miss", "END", "EN", "empty", "not_found"})
"""Statuses of a read of a cache that found nothing: a write after it fills the cache, and rests on nothing old."""
KEYS = "\0keys"
"""In place of a table, for a cache."""


class Access(NamedTuple):
    """A parent that read a row and then wrote it."""

    parent: int
    """Row of the parent, in `calls`."""
    request: int
    """Row of the request that it belongs to; -1 where that is none."""
    kind: int
    """Kind of the write."""
    read: int
    """Row of the call that read."""
    write: int
    """Row of the call that wrote."""
    read_start_ns: int
    read_ns: int
    """When the read began, and when it was answered."""
    write_start_ns: int
    write_ns: int
    """When the write began, and when it was answered."""
    table: tuple[str, str]
    """Service and table."""
    shared: tuple[int, ...]
    """Hashes of the values that both name."""


class WrittenRows:
    """Collects the accesses of the first writes of a case."""

    def __init__(self, whole: Whole) -> None:
        self._reader = RowReader(whole.case, "exchanges", ["request_tokens"])
        written: dict[int, tuple[str, str]] = {}
        read: dict[int, tuple[str, str]] = {}
        for number, kind in enumerate(whole.vocabulary.kinds):
            if (found := SQL_WRITE.match(kind.operation)) is not None:
                written[number] = (kind.service, found[1])
            elif (found := SQL_READ.match(kind.operation)) is not None:
                read[number] = (kind.service, found[1])
            elif kind.operation in KEY_WRITE:
                written[number] = (kind.service, KEYS)
            elif kind.operation in KEY_READ:
                read[number] = (kind.service, KEYS)
        both = set(written.values()) & set(read.values())
        self._written = {kind: table for kind, table in written.items() if table in both}
        self._read = {kind: table for kind, table in read.items() if table in both}
        self._writes = np.isin(np.arange(whole.kinds), list(self._written))
        self._reads = np.isin(np.arange(whole.kinds), list(self._read))
        self._found_nothing = np.array([each.status in NO_VALUE for each in whole.vocabulary.endings], np.bool_)
        self._first = np.zeros((2, 0), np.int64)
        """Starts and rows of the first writes, in their order."""
        self._accesses: dict[int, list[Access]] = {}
        """By the row of the write."""

    def see_trees(self, portion: Portion) -> None:
        """Look at some whole trees."""
        well = ~portion.not_ok & ~portion.unknown & portion.has_parent
        writes = self._among_the_first(portion, np.flatnonzero(well & self._writes[portion.kind]))
        if not len(writes):
            return
        reads = np.flatnonzero(well & self._reads[portion.kind] & ~self._found_nothing[portion.ending])
        reads = reads[np.isin(portion.parent[reads], portion.parent[writes])]
        writes = writes[np.isin(portion.parent[writes], portion.parent[reads])]
        tokens = self._tokens(portion, np.concatenate([writes, reads]))
        read_by: dict[tuple[int, tuple[str, str]], list[int]] = {}
        for place in reads[np.lexsort((portion.row[reads], portion.end[reads]))].tolist():
            read_by.setdefault((int(portion.parent[place]), self._read[int(portion.kind[place])]), []).append(place)
        for write in writes.tolist():
            table = self._written[int(portion.kind[write])]
            named = tokens.get(write, frozenset())
            accesses = [
                _access(portion, read, write, table, tuple(sorted(shared)))
                for read in read_by.get((int(portion.parent[write]), table), ())
                if (shared := named & tokens.get(read, frozenset())) and portion.end[read] <= portion.start[write]
            ]
            if accesses:
                self._accesses[int(portion.row[write])] = accesses[-MOST_READS:]

    def histories(self) -> Iterator[list[Access]]:
        """The accesses to each row or key that several parents wrote, in order of their writes."""
        histories: dict[tuple[tuple[str, str], int], list[Access]] = {}
        for row in self._first[1].tolist():
            for access in self._accesses.get(row, ()):
                for token in access.shared:
                    histories.setdefault((access.table, token), []).append(access)
        seen: set[tuple[int, ...]] = set()
        for history in histories.values():
            rows = tuple(access.write for access in history)
            if len(history) > 1 and rows not in seen:
                seen.add(rows)
                yield sorted(history, key=lambda access: (access.write_ns, access.write))

    def _among_the_first(self, portion: Portion, writes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of some writes that are among the first so far; forgets what is not any more."""
        found = np.stack([portion.start[writes], portion.row[writes].astype(np.int64)])
        first = np.concatenate([self._first, found], axis=1)
        self._first = first[:, np.lexsort((first[1], first[0]))[:MOST_WRITES]]
        kept = set(self._first[1].tolist())
        self._accesses = {row: accesses for row, accesses in self._accesses.items() if row in kept}
        return writes[np.isin(portion.row[writes], self._first[1])]

    def _tokens(self, portion: Portion, places: NDArray[np.int64]) -> dict[int, frozenset[int]]:
        """Hashes of the values in the request of each of some calls."""
        places = places[portion.exchange[places] >= 0]
        places = places[np.argsort(portion.exchange[places], kind="stable")]
        found = plain_list(self._reader.take(portion.exchange[places]).column("request_tokens"))
        return {place: frozenset(tokens or ()) for place, tokens in zip(places.tolist(), found, strict=True)}


def _access(portion: Portion, read: int, write: int, table: tuple[str, str], shared: tuple[int, ...]) -> Access:
    return Access(
        int(portion.parent_row[write]),
        int(portion.request_row[write]) if portion.in_request[write] else -1,
        int(portion.kind[write]),
        int(portion.row[read]),
        int(portion.row[write]),
        int(portion.start[read]),
        int(portion.end[read]),
        int(portion.start[write]),
        int(portion.end[write]),
        table,
        shared,
    )
