"""Proxied requests: a call with the same method, path and body as an incoming call is that call, passed on.

Rules: the digest is measured on the bytes, so a pair that alone shares it rests on measurement, not on judgement. A
request that many others repeat byte for byte says little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from wiretrace.linking.evidence.contract import Evidence, Pairs, Weighed
from wiretrace.linking.evidence.matching import match
from wiretrace.linking.evidence.rates import MatchRates, match_rates, match_weights, operation_pairs
from wiretrace.model.link_problem import Ragged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.observations import Observations


class Proxied(Evidence):
    """Equal requests."""

    kind: ClassVar[str] = "proxied"
    basis: ClassVar[int] = 1

    def weigh(
        self, observations: Observations, pairs: Pairs, known: NDArray[np.int64], learned: object = None
    ) -> Weighed | None:
        """Weigh `pairs` by whether the parent's request is the child's request."""
        digest = observations.problem.request_digest
        present = digest != 0
        if not present.any() or not len(pairs):
            return None
        digests = Ragged(np.concatenate(([0], np.cumsum(present))), digest[present])
        found = match(observations, pairs, digests, digests)
        if not len(found.pair):
            return None
        operations = operation_pairs(observations, pairs)
        rates = learned if isinstance(learned, MatchRates) else match_rates(operations, pairs, found, known)
        weight = match_weights(operations, found, rates)
        detail = ["asks for the same as the request: method, path and body are equal"]
        phrase = np.full(len(pairs), -1, np.int64)
        phrase[found.pair] = 0
        return Weighed(weight, detail, phrase, rates)
