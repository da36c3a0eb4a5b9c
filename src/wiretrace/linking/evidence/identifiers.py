"""Identifiers that other tools left on the wire: a call that carries the identifier of one incoming call was caused by it.

Rules: the value must be carried by the incoming call of the same process. A parent that had already responded can be
named too (work that goes on after the response). An identifier of the same kind with another value speaks against a
pair as far as that kind is seen to be passed on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from wiretrace.linking.arrays import number_groups, ranges
from wiretrace.linking.evidence.contract import MOST_NATS, UNDECIDED, Evidence, Pairs, Weighed
from wiretrace.linking.evidence.matching import match

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.observations import Observations

MOST_NAMED = 16
"""An identifier that more incoming calls of one process carry names a session, not a request."""


class Identifiers(Evidence):
    """Breadcrumbs."""

    kind: ClassVar[str] = "identifiers"
    basis: ClassVar[int] = 0

    def propose(self, observations: Observations) -> Pairs | None:
        """Every incoming call that carries an identifier of an outgoing call of its process."""
        problem = observations.problem
        identifiers = problem.identifiers
        if not len(identifiers.values):
            return None
        owner = np.repeat(np.arange(len(problem)), np.diff(identifiers.offsets))
        width = np.int64(max(len(problem.process_names), int(problem.callee.max()), int(problem.caller.max())) + 2)
        _, number = number_groups(identifiers.values)
        incoming = (problem.callee[owner] >= 0) & ~np.isnan(observations.arrives[owner])
        outgoing = (problem.caller[owner] >= 0) & ~np.isnan(observations.starts[owner])
        key_in = number[incoming] * width + problem.callee[owner[incoming]]
        key_out = number[outgoing] * width + problem.caller[owner[outgoing]]
        order = np.argsort(key_in, kind="stable")
        key_in, parents, children = key_in[order], owner[incoming][order], owner[outgoing]
        low, high = np.searchsorted(key_in, key_out, "left"), np.searchsorted(key_in, key_out, "right")
        count = np.where(high - low > MOST_NAMED, 0, high - low)
        child = np.repeat(children, count)
        parent = parents[ranges(low, count)]
        slack = observations.start_slack[child] + observations.arrival_slack[parent]
        keep = (child != parent) & (observations.arrives[parent] <= observations.starts[child] + slack)
        return Pairs(child[keep], parent[keep])

    def weigh(
        self, observations: Observations, pairs: Pairs, known: NDArray[np.int64], learned: object = None
    ) -> Weighed | None:
        """Weigh `pairs` by the identifiers that both calls carry."""
        problem = observations.problem
        identifiers = problem.identifiers
        if not len(identifiers.values) or not len(pairs):
            return None
        found = match(observations, pairs, identifiers, identifiers)
        if isinstance(learned, float):
            passed_on = learned
        else:
            certain = found.comparable & (known[pairs.child] == pairs.parent) & (known[pairs.child] != UNDECIDED)
            passed_on = (np.count_nonzero(certain[found.pair]) + 1.0) / (np.count_nonzero(certain) + 2.0)
        weight = np.where(found.comparable, np.log1p(-passed_on), 0.0)
        weight[found.pair] = MOST_NATS
        names = ["an identifier", *sorted(set(problem.identifier_names.values()))]
        detail = [f"carries the same {name} as the request" for name in names]
        phrase = np.full(len(pairs), -1, np.int64)
        told = found.pair
        number = {name: index for index, name in enumerate(names)}
        # Only the kind is told, and one of the call's own kinds is as good as another.
        first = identifiers.values[np.minimum(identifiers.offsets[pairs.child[told]], len(identifiers.values) - 1)]
        phrase[told] = [number[problem.identifier_names.get(int(value), "an identifier")] for value in first]
        return Weighed(weight, detail, phrase, float(passed_on))
