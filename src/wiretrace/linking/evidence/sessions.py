"""Sessions: a connection that serves one request at a time, and a worker that keeps its connections, tie calls to requests.

Rules: learned from the links beyond doubt, never assumed. Calls of one database transaction are one unit before any
evidence is weighed (see `units.py`). A connection that goes from request to request as chance would have it (a shared
pool) gives no evidence; one that always serves the requests of one incoming connection (a worker per connection)
gives much. The call before on the same connection counts by how often two such calls have one parent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from wiretrace.linking.arrays import joint_key, look_up, number_groups
from wiretrace.linking.evidence.contract import MOST_NATS, UNDECIDED, Evidence, Pairs, Weighed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.observations import Observations

PRIOR_LINKS = 2.0
"""Links of a connection that are imagined to be as chance would have it."""
LEAST_LINKS = 20
"""With fewer links beyond doubt nothing is learned."""
LEAST_TOLD = 1.0
"""Nats from which the evidence is worth telling."""


class Agreement(NamedTuple):
    """How often a call and the one before it on its connection have one parent; arrays of shape (turns,)."""

    turn: NDArray[np.int64]
    """Rising numbers of pairs of operations: `joint_key` of the call before and the call."""
    rate: NDArray[np.float64]
    """Share of the calls whose parent is that of the call before."""


class Sessions(Evidence):
    """Connections and the workers that own them."""

    kind: ClassVar[str] = "sessions"
    of_connection: ClassVar[bool] = True

    def weigh(
        self, observations: Observations, pairs: Pairs, known: NDArray[np.int64], learned: object = None
    ) -> Weighed | None:
        """Weigh `pairs` by the connections that carried both calls, and by the call before on the same connection."""
        connection = observations.problem.connection
        linked = np.flatnonzero(known >= 0)
        linked = linked[connection[linked] >= 0]
        if not len(pairs) or len(linked) < LEAST_LINKS:
            return None
        owner = _ownership(observations, pairs, known, linked)
        agreement = learned if isinstance(learned, Agreement) else None
        before, agreement = _call_before(observations, pairs, known, agreement)
        detail = [
            "its connection serves the requests of this incoming connection",
            "the call before it on the same connection has the same parent",
        ]
        phrase = np.where(before > np.maximum(owner, LEAST_TOLD), 1, np.where(owner > LEAST_TOLD, 0, -1))
        return Weighed(np.clip(owner + before, -MOST_NATS, MOST_NATS), detail, phrase, agreement)


def _ownership(
    observations: Observations, pairs: Pairs, known: NDArray[np.int64], linked: NDArray[np.int64]
) -> NDArray[np.float64]:
    """How much likelier than by chance the child's connection serves requests of the parent's connection."""
    connection = observations.problem.connection
    linked = linked[connection[known[linked]] >= 0]
    if len(linked) < LEAST_LINKS:
        return np.zeros(len(pairs))
    width = np.int64(connection.max() + 1)
    outer, inner = connection[linked], connection[known[linked]]
    both, both_count = np.unique(outer * width + inner, return_counts=True)
    outgoing_count = np.bincount(outer, minlength=int(width))
    # An incoming connection is compared with the others of its process.
    process = observations.problem.caller[linked]
    links_of_process = np.bincount(process, minlength=int(observations.problem.caller.max()) + 1)
    incoming_count = np.bincount(inner, minlength=int(width))
    child_connection, parent_connection = connection[pairs.child], connection[pairs.parent]
    comparable = (child_connection >= 0) & (parent_connection >= 0)
    key = np.where(comparable, child_connection * width + parent_connection, -1)
    slot = np.minimum(np.searchsorted(both, key), len(both) - 1)
    together = np.where(both[slot] == key, both_count[slot], 0)
    own = (known[pairs.child] == pairs.parent) & comparable
    together = together - own
    outgoing = outgoing_count[child_connection] - own
    total = np.maximum(links_of_process[observations.problem.caller[pairs.child]], 1)
    base = (incoming_count[parent_connection] - own + 0.5) / (total + 0.5)
    weight = np.log((together + PRIOR_LINKS * base) / (outgoing + PRIOR_LINKS) / base)
    return np.where(comparable, np.clip(weight, -MOST_NATS, MOST_NATS), 0.0)


def _call_before(
    observations: Observations, pairs: Pairs, known: NDArray[np.int64], agreement: Agreement | None
) -> tuple[NDArray[np.float64], Agreement | None]:
    """How much likelier the pair is because the call before on the child's connection has, or has not, that parent.

    Returns also what was learned, or given, of how often two such calls have one parent.
    """
    problem = observations.problem
    calls = np.flatnonzero((problem.connection >= 0) & ~np.isnan(observations.starts))
    calls = calls[np.lexsort((observations.starts[calls], problem.connection[calls]))]
    same = problem.connection[calls[1:]] == problem.connection[calls[:-1]]
    before = np.full(len(problem), -1, np.int64)
    before[calls[1:][same]] = calls[:-1][same]
    options = np.bincount(pairs.child, minlength=len(problem))
    turn = joint_key(problem.operation[before], problem.operation)
    if agreement is None:
        # What it is worth is learned where both parents are known, and where the earlier parent was still live.
        second = np.flatnonzero((before >= 0) & (known >= 0))
        second = second[known[before[second]] >= 0]
        # Where only one parent is possible, having it twice says nothing of the connection.
        choice = options[second] > 1
        choice &= observations.responds[known[before[second]]] >= observations.starts[second]
        second = second[choice]
        if len(second) < LEAST_LINKS:
            return np.zeros(len(pairs)), None
        agreement = _agreement(turn[second], known[second] == known[before[second]])
    rate = look_up(agreement.turn, agreement.rate, turn[pairs.child], np.float64(0.0))
    learned = rate > 0
    rate = np.where(learned, rate, 0.5)
    earlier = before[pairs.child]
    parent_before = np.where(earlier >= 0, known[earlier], UNDECIDED)
    usable = parent_before >= 0
    live = usable & (observations.responds[np.maximum(parent_before, 0)] >= observations.starts[pairs.child])
    base = 1.0 / np.maximum(options[pairs.child], 2)
    weight = np.where(parent_before == pairs.parent, np.log(rate / base), np.log((1 - rate) / (1 - base)))
    return np.where(live & learned, weight, 0.0), agreement


def _agreement(turn: NDArray[np.int64], agree: NDArray[np.bool_]) -> Agreement:
    """How often a call and the one before it have one parent, by their operations.

    Learned from calls of known parents, shape (calls,): a pool's clean-up always belongs to the call before it, a query
    may not.
    """
    turns, group = number_groups(turn)
    overall = (np.count_nonzero(agree) + 1.0) / (len(turn) + 2.0)
    agreed = np.bincount(group, weights=agree, minlength=len(turns))
    seen = np.bincount(group, minlength=len(turns))
    rate = (agreed + PRIOR_LINKS * overall) / (seen + PRIOR_LINKS)
    enough = seen >= LEAST_LINKS
    return Agreement(turns[enough], rate[enough])
