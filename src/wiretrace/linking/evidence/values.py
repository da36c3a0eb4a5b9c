"""Values: ids, keys and names of a request come back in the calls that it makes, and those of their answers in its answer.

Rules: four ways a value can flow are weighed, each learned by itself: from the parent's request to the child's
request, from the child's response to the parent's response, from the response of an earlier child (known beyond
doubt) to a later child's request, and from the parent's response to the request of a child that it leaves behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from wiretrace.linking.arrays import offsets_of, ranges
from wiretrace.linking.evidence.contract import MOST_NATS, UNDECIDED, Evidence, Pairs, Weighed
from wiretrace.linking.evidence.matching import match, mixer_of
from wiretrace.linking.evidence.rates import MatchRates, match_rates, match_weights, operation_pairs
from wiretrace.model.link_problem import Ragged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.linking.evidence.contract import Match
    from wiretrace.linking.observations import Observations

FLOWS = (
    "shares {} with the request",
    "its response shares {} with the response to the request",
    "shares {} with the answer to an earlier call of the request",
    "shares {} with what the request had been answered",
)
"""The phrase of each way that values flow."""
MOST_TOLD = 6
"""More shared values than this are told as "many"."""


class Values(Evidence):
    """Rare values in requests and responses."""

    kind: ClassVar[str] = "values"

    def weigh(
        self, observations: Observations, pairs: Pairs, known: NDArray[np.int64], learned: object = None
    ) -> Weighed | None:
        """Weigh `pairs` by the values that flow between their calls."""
        problem = observations.problem
        if not len(pairs) or not (len(problem.request_tokens.values) or len(problem.response_tokens.values)):
            return None
        counted = ["no", "1 rare value", *(f"{n} rare values" for n in range(2, MOST_TOLD + 1)), "many rare values"]
        detail = [flow.format(count) for flow in FLOWS for count in counted]
        weight = np.zeros(len(pairs))
        strongest = np.zeros(len(pairs), np.float32)
        phrase = np.full(len(pairs), -1, np.int64)
        rates: dict[int, MatchRates] = dict(learned) if isinstance(learned, dict) else {}
        operations = operation_pairs(observations, pairs)
        for number, found in _flows(observations, pairs, known):
            if number not in rates:
                rates[number] = match_rates(operations, pairs, found, known)
            flow_weight = match_weights(operations, found, rates[number])
            weight += flow_weight
            told = flow_weight[found.pair] > strongest[found.pair]
            pair, shared = found.pair[told], found.shared[told]
            strongest[pair] = flow_weight[pair]
            phrase[pair] = number * len(counted) + np.minimum(shared, MOST_TOLD + 1)
        np.clip(weight, -MOST_NATS, MOST_NATS, out=weight)
        return Weighed(weight, detail, phrase, rates)


def _flows(observations: Observations, pairs: Pairs, known: NDArray[np.int64]) -> Iterator[tuple[int, Match]]:
    """What `pairs` share by each way that values can flow, and which way it is: an index into `FLOWS`."""
    requests, responses = observations.problem.request_tokens, observations.problem.response_tokens
    if len(requests.values):
        yield 0, match(observations, pairs, requests, requests)
    if len(responses.values):
        yield 1, match(observations, pairs, responses, responses)
    if len(requests.values) and len(responses.values):
        answers, answered = _answers(observations, pairs, known)
        if len(answers.values):
            yield 2, match(observations, pairs, requests, answers, answered)
        answered_with = _beyond_requests(responses, requests)
        responded = np.repeat(observations.responds, np.diff(answered_with.offsets))
        yield 3, match(observations, pairs, requests, answered_with, responded)


def _answers(observations: Observations, pairs: Pairs, known: NDArray[np.int64]) -> tuple[Ragged, NDArray[np.float64]]:
    """Per call, the values of the answers that its children got, and when each was there.

    A child whose parent is open among a few is counted with each of them: what follows from its answer has the same one.
    """
    tokens = observations.problem.response_tokens
    child = np.flatnonzero((known != UNDECIDED) & (known >= 0))
    parent = known[child]
    if pairs.near is not None:
        near = np.flatnonzero(pairs.near & (known[pairs.child] == UNDECIDED))
        child, parent = np.append(child, pairs.child[near]), np.append(parent, pairs.parent[near])
    counts = np.diff(tokens.offsets)[child]
    owner = np.repeat(parent, counts)
    values = tokens.values[ranges(tokens.offsets[child], counts)]
    answered = np.repeat(observations.ends[child], counts)
    order = np.argsort(owner, kind="stable")
    return Ragged(offsets_of(np.bincount(owner, minlength=len(observations))), values[order]), answered[order]


def _beyond_requests(tokens: Ragged, requests: Ragged) -> Ragged:
    """The values `tokens` of each call without those of its request: what comes back with them tells nothing new."""
    calls = np.arange(len(tokens.offsets) - 1)
    owner, asking = (np.repeat(calls, np.diff(each.offsets)) for each in (tokens, requests))
    is_new = ~np.isin(tokens.values ^ mixer_of(owner), requests.values ^ mixer_of(asking))
    return Ragged(offsets_of(np.bincount(owner[is_new], minlength=len(calls))), tokens.values[is_new])
