"""How long callers waited for what they gave up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.diagnosis.observed import Observed

NEVER = np.iinfo(np.int64).max


def waits_until_given_up(observed: Observed, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """See `Observed.waits_until_given_up`. A call of which nothing tells when it was given up gets its own duration."""
    calls = observed.calls
    waits = np.full(len(rows), NEVER)
    connection = observed.connection[rows]
    asked = observed.of_exchange("request_start_ns")[rows]
    closed = observed.connections("closed_ns")
    if len(closed):
        known = (connection >= 0) & (asked >= 0)
        over = closed[np.where(known, connection, 0)]
        waits = np.where(known & (over > asked), over - asked, waits)
    above = observed.parent[rows]
    has_parent = above >= 0
    ended = calls.end[np.maximum(above, 0)] - calls.start[rows]
    waits = np.where(has_parent & (ended > 0), np.minimum(waits, ended), waits)
    children = np.flatnonzero(observed.parent >= 0)
    order = np.lexsort((calls.start[children], observed.parent[children]))
    children = children[order]
    place = np.full(len(calls), -1, np.int64)
    place[children] = np.arange(len(children))
    after = np.minimum(place[rows] + 1, max(len(children) - 1, 0))
    if len(children):
        following = children[after]
        is_next = has_parent & (place[rows] >= 0) & (place[rows] + 1 < len(children))
        is_next &= (observed.parent[following] == above) & (calls.kind[following] == calls.kind[rows])
        pause = calls.start[following] - calls.start[rows]
        waits = np.where(is_next & (pause > 0), np.minimum(waits, pause), waits)
    return np.where(waits == NEVER, observed.duration[rows], waits)
