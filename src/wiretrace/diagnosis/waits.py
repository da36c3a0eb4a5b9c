"""How long callers waited for what they gave up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Connections

NEVER = np.iinfo(np.int64).max


def waits_until_given_up(
    portion: Portion, places: NDArray[np.int64], began: NDArray[np.int64], connections: Connections
) -> NDArray[np.int64]:
    """How long the callers of some calls of whole trees waited before they gave up, in nanoseconds. Shape (m,).

    The end of the connection, the next call of its kind for the same parent, or the parent's end, whichever came first; of
    a call of which nothing tells, its own duration. `began` is when each request began by the clock of its connection.
    """
    waits = np.full(len(places), NEVER)
    if not len(places):
        return waits
    connection = portion.connection[places]
    if len(connections.closed):
        known = (connection >= 0) & (began >= 0)
        over = connections.closed[np.where(known, connection, 0)]
        waits = np.where(known & (over > began), over - began, waits)
    above = portion.parent[places]
    has_parent = above >= 0
    ended = portion.end[np.maximum(above, 0)] - portion.start[places]
    waits = np.where(has_parent & (ended > 0), np.minimum(waits, ended), waits)
    children = np.flatnonzero(portion.parent >= 0)
    children = children[np.lexsort((portion.start[children], portion.parent[children]))]
    place = np.full(len(portion), -1, np.int64)
    place[children] = np.arange(len(children))
    if len(children):
        following = children[np.minimum(place[places] + 1, len(children) - 1)]
        is_next = has_parent & (place[places] + 1 < len(children))
        is_next &= (portion.parent[following] == above) & (portion.kind[following] == portion.kind[places])
        pause = portion.start[following] - portion.start[places]
        waits = np.where(is_next & (pause > 0), np.minimum(waits, pause), waits)
    return np.where(waits == NEVER, portion.duration[places], waits)
