"""Batches: calls that one packet brought on one connection. One piece of code wrote them at once, for one request.

Rules: measured, never assumed. On a connection that several requests share at a time, a packet may carry what two of them
ask. Such connections show: calls begin on them while others are under way. Where they do, there are no batches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.linking.arrays import joint_key, number_groups

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.observations import Observations

SHARED = 0.02
"""Share of the calls that begin while another is under way on their connection, from which connections are shared."""


def find_batches(observations: Observations) -> NDArray[np.int64]:
    """The batch of each call, shape (n,): calls of one batch have equal numbers; -1 where a call came by itself."""
    problem, starts = observations.problem, observations.starts
    batch = np.full(len(observations), -1, np.int64)
    calls = np.flatnonzero((problem.connection >= 0) & ~np.isnan(starts))
    calls = calls[np.lexsort((starts[calls], problem.caller[calls], problem.connection[calls]))]
    before, call = calls[:-1], calls[1:]
    follows = (problem.connection[before] == problem.connection[call]) & (
        problem.caller[before] == problem.caller[call]
    )
    together = follows & (starts[before] == starts[call])
    if not together.any():
        return batch
    _, peer = number_groups(joint_key(problem.caller[call], problem.callee_service[call]))
    apart = follows & ~together
    overlaps = np.bincount(peer[apart & (starts[call] < observations.ends[before])], minlength=int(peer.max()) + 1)
    is_shared = overlaps > SHARED * np.bincount(peer[apart], minlength=len(overlaps))
    together &= ~is_shared[peer]
    number = np.cumsum(np.append(True, ~together))
    of_batch = np.append(together, False) | np.append(False, together)
    batch[calls[of_batch]] = number[of_batch]
    return batch
