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

    from wiretrace.diagnosis.observed import Observed

MOST_WRITES = 10_000
"""Writes whose values are compared; of more, the first ones."""
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
    read: int
    """Row of the call that read, in `calls`."""
    write: int
    """Row of the call that wrote."""
    read_ns: int
    """When the read was answered."""
    write_ns: int
    """When the write was answered."""


def accesses_of(observed: Observed) -> Iterator[list[Access]]:
    """The accesses to each row or key that several parents wrote, in order of their writes."""
    calls = observed.calls
    table_written, table_read = {}, {}
    for number, kind in enumerate(calls.kinds):
        if (found := SQL_WRITE.match(kind.operation)) is not None:
            table_written[number] = (kind.service, found[1])
        elif (found := SQL_READ.match(kind.operation)) is not None:
            table_read[number] = (kind.service, found[1])
        elif kind.operation in KEY_WRITE:
            table_written[number] = (kind.service, KEYS)
        elif kind.operation in KEY_READ:
            table_read[number] = (kind.service, KEYS)
    both = set(table_written.values()) & set(table_read.values())
    well = ~calls.failed & ~calls.unknown & (observed.parent >= 0)
    writes = np.flatnonzero(
        well & np.isin(calls.kind, [kind for kind, table in table_written.items() if table in both])
    )
    if len(writes) < 2:
        return
    writes = writes[np.argsort(calls.start[writes], kind="stable")][:MOST_WRITES]
    reads = np.flatnonzero(well & np.isin(calls.kind, [kind for kind, table in table_read.items() if table in both]))
    found_nothing = np.array([ending.status in NO_VALUE for ending in calls.endings], np.bool_)
    reads = reads[~found_nothing[calls.ending[reads]]]
    reads = reads[np.isin(observed.parent[reads], observed.parent[writes])]
    tokens = _tokens(observed, np.concatenate([writes, reads]))
    read_by: dict[tuple[int, tuple[str, str]], list[tuple[int, frozenset[int]]]] = {}
    for row in reads[np.argsort(calls.end[reads], kind="stable")].tolist():
        read_by.setdefault((int(observed.parent[row]), table_read[int(calls.kind[row])]), []).append((row, tokens[row]))
    histories: dict[tuple[tuple[str, str], int], list[Access]] = {}
    for row in writes.tolist():
        parent, table = int(observed.parent[row]), table_written[int(calls.kind[row])]
        for read, shared in ((read, tokens[row] & named) for read, named in read_by.get((parent, table), ())):
            if shared and calls.end[read] <= calls.start[row]:
                access = Access(parent, read, row, int(calls.end[read]), int(calls.end[row]))
                for token in sorted(shared):
                    histories.setdefault((table, token), []).append(access)
    seen: set[tuple[int, ...]] = set()
    for history in histories.values():
        rows = tuple(access.write for access in history)
        if len(history) > 1 and rows not in seen:
            seen.add(rows)
            yield sorted(history, key=lambda access: (access.write_ns, access.write))


def _tokens(observed: Observed, rows: NDArray[np.int64]) -> dict[int, frozenset[int]]:
    """Hashes of the values in the request of each of some calls."""
    reader = RowReader(observed.case, "exchanges", ["request_tokens"])
    exchange = observed.exchange[rows]
    rows = rows[(exchange >= 0) & (exchange < len(reader))]
    rows = rows[np.argsort(observed.exchange[rows], kind="stable")]
    found = plain_list(reader.take(observed.exchange[rows]).column("request_tokens"))
    named = {row: frozenset(tokens or ()) for row, tokens in zip(rows.tolist(), found, strict=True)}
    return {int(row): named.get(int(row), frozenset()) for row in [*named]}
