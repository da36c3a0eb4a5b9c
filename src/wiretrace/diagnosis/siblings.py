"""Calls of one kind that one call makes, one after the other.

Rules: set-up of connections, transactions' own statements, and health checks do not count, for every request repeats them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.observed import Observed

BOOKKEEPING = frozenset(
    {"BEGIN", "COMMIT", "ROLLBACK", "START TRANSACTION", "MULTI", "EXEC", "SAVEPOINT", "RELEASE", "SET", "SHOW"}
)
"""Statements that frame others."""
SQL_PROTOCOLS = frozenset({"postgresql", "mysql", "tds"})
"""Where SET and SHOW frame others; in a cache SET writes a value."""


class Repeated(NamedTuple):
    """Calls of one kind that calls of one kind repeat. Arrays have shape (parents,)."""

    parent_kind: int
    kind: int
    parents: NDArray[np.int64]
    """Rows of the calls that repeat."""
    counts: NDArray[np.int64]
    """How often each does."""
    spent: NDArray[np.int64]
    """Nanoseconds that its repeated calls took together."""
    example: int
    """Row of one of the repeated calls."""


def countable_kinds(observed: Observed) -> NDArray[np.bool_]:
    """Kinds of call whose repetition, or absence, means something. Shape (kinds,)."""
    calls, routes = observed.calls, observed.routes
    protocol: dict[int, str] = {}
    rows = np.unique(routes.kind, return_index=True)
    first_call = np.zeros(len(routes.kind), np.int64)
    first_call[routes.of_call[::-1]] = np.arange(len(routes.of_call) - 1, -1, -1)
    for kind, place in zip(*(each.tolist() for each in rows), strict=True):
        protocol[kind] = calls.endings[calls.ending[first_call[place]]].protocol
    found = ~calls.sets_up & ~observed.probe_kinds
    for number, kind in enumerate(calls.kinds):
        words = kind.operation.replace(";", " ").split()
        frames = bool(words) and all(word in BOOKKEEPING or word.isdigit() for word in words)
        if kind.operation.startswith("PREPARE ") or (frames and protocol.get(number) in SQL_PROTOCOLS):
            found[number] = False
    return found


def repeated_siblings(observed: Observed, fewest: int) -> Iterator[Repeated]:
    """Kinds of call that one call makes at least `fewest` times, one after the other; those beside each other count once."""
    calls = observed.calls
    countable = countable_kinds(observed)
    child = np.flatnonzero((observed.parent >= 0) & countable[calls.kind] & observed.in_request & ~observed.failed)
    kinds = max(len(calls.kinds), 1)
    key = observed.parent[child].astype(np.int64) * kinds + calls.kind[child]
    order = np.lexsort((calls.start[child], key)) if len(child) else child
    child, key = child[order], key[order]
    opens = np.flatnonzero(np.diff(key, prepend=-1))
    lengths = np.diff(np.append(opens, len(key)))
    enough = np.repeat(lengths >= fewest, lengths)
    child, key = child[enough], key[enough]
    if not len(child):
        return
    is_first = np.diff(key, prepend=-1) != 0
    waits = is_first | (calls.start[child] >= np.append(0, calls.end[child][:-1]))
    opens = np.flatnonzero(is_first)
    counts = np.add.reduceat(waits.astype(np.int64), opens)
    spent = np.add.reduceat(observed.duration[child], opens)
    parents = key[opens] // kinds
    pair = calls.kind[parents].astype(np.int64) * kinds + key[opens] % kinds
    for one in np.unique(pair[counts >= fewest]).tolist():
        chosen = np.flatnonzero((pair == one) & (counts >= fewest))
        yield Repeated(
            one // kinds, one % kinds, parents[chosen], counts[chosen], spent[chosen], int(child[opens[chosen[0]]])
        )
