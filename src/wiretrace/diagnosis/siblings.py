"""Calls of one kind that one call makes, one after the other.

Rules: set-up of connections, transactions' own statements, and health checks do not count, for every request repeats them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wiretrace.diagnosis.columns import Kind
    from wiretrace.diagnosis.portion import Portion

BOOKKEEPING = frozenset(
    {"BEGIN", "COMMIT", "ROLLBACK", "START TRANSACTION", "MULTI", "EXEC", "SAVEPOINT", "RELEASE", "SET", "SHOW"}
)
"""Statements that frame others."""
SQL_PROTOCOLS = frozenset({"postgresql", "mysql", "tds"})
"""Where SET and SHOW frame others; in a cache SET writes a value."""


class Repeated(NamedTuple):
    """Calls that repeat calls of one kind. Arrays have shape (repetitions,), one entry a parent and kind."""

    parent: NDArray[np.int64]
    """Places of the calls that repeat, in the portion."""
    often: NDArray[np.int64]
    """How often each does, one after the other."""
    spent: NDArray[np.int64]
    """Nanoseconds that the repeated calls took together."""
    first: NDArray[np.int64]
    """Place of the first of the repeated calls."""


def countable_kinds(
    kinds: Sequence[Kind], protocol_of_kind: dict[int, str], excluded: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Kinds of call whose repetition, or absence, means something. Shapes (kinds,)."""
    found = ~excluded
    for number, kind in enumerate(kinds):
        words = kind.operation.replace(";", " ").split()
        frames = bool(words) and all(word in BOOKKEEPING or word.isdigit() for word in words)
        if kind.operation.startswith("PREPARE ") or (frames and protocol_of_kind.get(number) in SQL_PROTOCOLS):
            found[number] = False
    return found


def repeated_siblings(portion: Portion, fewest: int) -> Repeated:
    """Calls of one kind that one call of whole trees makes at least `fewest` times; those beside each other count once."""
    eligible = portion.has_parent & portion.whole.countable[portion.kind] & portion.in_request & ~portion.failed
    child = np.flatnonzero(eligible & (portion.siblings >= fewest))
    key = portion.parent[child].astype(np.int64) * portion.whole.kinds + portion.kind[child]
    order = np.lexsort((portion.start[child], key))
    child, key = child[order], key[order]
    if not len(child):
        return Repeated(child, child, child, child)
    is_first = np.append(True, key[1:] != key[:-1])
    waits = is_first | (portion.start[child] >= np.append(0, portion.end[child][:-1]))
    opens = np.flatnonzero(is_first)
    counts = np.add.reduceat(waits.astype(np.int64), opens)
    spent = np.add.reduceat(portion.duration[child], opens)
    enough = counts >= fewest
    first = child[opens][enough]
    return Repeated(portion.parent[first].astype(np.int64), counts[enough], spent[enough], first)
