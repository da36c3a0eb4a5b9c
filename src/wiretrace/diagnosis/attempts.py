"""Attempts: the same request made again by the same caller after it had failed, or had not been answered.

Two calls are attempts at one thing where they ask the same (path, size and values are equal), were made by the same
caller for the same call (or, where nothing caused them, by the same address), and the later one began after the earlier
had failed for its caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wiretrace.diagnosis.contents import contents_of
from wiretrace.diagnosis.names import distinct
from wiretrace.diagnosis.siblings import countable_kinds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.diagnosis.observed import Observed

LONGEST_PAUSE_NS = 60_000_000_000
"""A repetition later than this is another request."""


class Attempts(NamedTuple):
    """Repetitions after failures. Arrays have shape (repetitions,)."""

    earlier: NDArray[np.int64]
    """Row of the attempt that failed."""
    later: NDArray[np.int64]
    """Row of the next attempt at the same."""


def attempts_of(observed: Observed) -> Attempts:
    """Find all repetitions, in the order of their start."""
    calls = observed.calls
    gave_up = observed.failed | observed.unanswered
    kinds = np.zeros(len(calls.kinds), np.bool_)
    kinds[calls.kind[gave_up]] = True
    kinds &= countable_kinds(observed)
    rows = np.flatnonzero(kinds[calls.kind])
    none = np.zeros(0, np.int64)
    if not len(rows):
        return Attempts(none, none)
    digest = observed.of_exchange("request_digest", 0)[rows]
    has_digest = digest != 0
    rows, digest = rows[has_digest], digest[has_digest]
    if not len(rows):
        return Attempts(none, none)
    above = observed.parent[rows].astype(np.int64)
    maker = np.where(above >= 0, above, -1 - calls.caller_place[rows].astype(np.int64))
    group, _ = distinct([maker - maker.min(initial=0), calls.kind[rows]])
    order = np.lexsort((calls.start[rows], digest, group))
    rows, digest, group = rows[order], digest[order], group[order]
    # Only where something failed are whole contents compared: reading them takes time.
    opens = np.append(True, (digest[1:] != digest[:-1]) | (group[1:] != group[:-1]))
    number = np.cumsum(opens) - 1
    worth = np.bincount(number, gave_up[rows])[number] > 0
    worth &= np.bincount(number)[number] > 1
    rows, group = rows[worth], group[worth]
    content = contents_of(observed, rows)
    order = np.lexsort((calls.start[rows], content, group))
    rows, content, group = rows[order], content[order], group[order]
    same = (content[1:] == content[:-1]) & (group[1:] == group[:-1])
    earlier, later = rows[:-1][same], rows[1:][same]
    pause = calls.start[later] - calls.end[earlier]
    is_repetition = gave_up[earlier] & (pause >= 0) & (pause <= LONGEST_PAUSE_NS)
    earlier, later = earlier[is_repetition], later[is_repetition]
    by_start = np.argsort(calls.start[later], kind="stable")
    return Attempts(earlier[by_start], later[by_start])
