"""Lookups: a call and the lookup of its server's name have one parent, for whoever looks a name up is about to call.

Rules: only where the parent of one of them is beyond doubt, it is told of the other. How often the two have one parent is
learned from those of which both are beyond doubt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from wiretrace.linking.evidence.contract import MOST_NATS, Evidence, Pairs, Weighed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.observations import Observations

IMAGINED = (9.0, 1.0)
"""Lookups with the parent of their call, and with another one, that are imagined before any is seen."""


class Lookup(Evidence):
    """A lookup and the call that it was made for."""

    kind: ClassVar[str] = "lookup"

    def weigh(
        self, observations: Observations, pairs: Pairs, known: NDArray[np.int64], learned: object = None
    ) -> Weighed | None:
        """Weigh `pairs` by the parents of the calls that belong to the same lookup."""
        lookup = observations.problem.lookup
        members = np.flatnonzero((lookup >= 0) & (known >= 0))
        if not len(members) or not len(pairs):
            return None
        # Lowest and highest parent of each lookup: equal where all that are known agree.
        size = int(lookup.max()) + 1
        lowest, highest = np.full(size, len(lookup)), np.full(size, -1)
        np.minimum.at(lowest, lookup[members], known[members])
        np.maximum.at(highest, lookup[members], known[members])
        several = np.bincount(lookup[members], minlength=size) > 1
        agree = int(np.count_nonzero(several & (lowest == highest)))
        if isinstance(learned, float):
            rate = learned
        else:
            rate = (agree + IMAGINED[0]) / (int(np.count_nonzero(several)) + sum(IMAGINED))
        of_child = lookup[pairs.child]
        told = (of_child >= 0) & (lowest[of_child] == highest[of_child])
        same = told & (highest[of_child] == pairs.parent)
        weight = min(float(np.log(rate / (1.0 - rate))), MOST_NATS)
        detail = ["looks up, or calls, what another call of the request calls, or looks up"]
        return Weighed(np.where(same, weight, np.where(told, -weight, 0.0)), detail, np.where(same, 0, -1), float(rate))
