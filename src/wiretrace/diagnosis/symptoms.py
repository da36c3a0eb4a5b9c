"""Symptoms: where in a bad request the trouble began, call by call.

A request is bad where it failed or was slow against its own usual. The trouble began in the calls that failed first, and
in those that lost the time themselves: in their callee, or on the way to it. What merely waited for them has no symptom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wiretrace.diagnosis.usual import FEWEST, usual_values
from wiretrace.model.outcome import Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.diagnosis.observed import Observed

ON_THE_WAY = (
    Outcome.REFUSED,
    Outcome.UNREACHABLE,
    Outcome.REQUEST_LOST,
    Outcome.RESPONSE_LOST,
    Outcome.TLS_FAILED,
    Outcome.DNS_FAILED,
)
"""Outcomes of calls that may never have reached their callee: the way to it is as suspect as the callee."""
WAITED = 0.5
"""A request was slow for a call that lost time where it took so much longer than usual, as a share of what is usual."""
LARGE_SHARE = 0.25
"""Share of a request's delay, or of the most that one of its calls lost, that a call has to have lost itself to be where the
trouble began: a slow link costs a request with ten calls a tenth of its delay at each of them."""


class Symptoms(NamedTuple):
    """What is wrong with each call itself. Arrays have shape (n,)."""

    judged: NDArray[np.bool_]
    """Whether the call belongs to a request, and its end is known."""
    measured: NDArray[np.bool_]
    """Whether it is judged, and the way to its callee is judged apart from the callee."""
    failed: NDArray[np.bool_]
    """It failed, and nothing that it caused did."""
    slow: NDArray[np.bool_]
    """Its callee itself took far longer than usual, and a request was slow for it."""
    delayed: NDArray[np.bool_]
    """It was far longer on its way than usual, and a request was slow for it; or it failed and may never have arrived."""
    lost: NDArray[np.int64]
    """Nanoseconds beyond the usual that it lost itself; 0 where it is neither slow nor delayed."""

    @property
    def in_callee(self) -> NDArray[np.bool_]:
        """Whether the callee is suspect for this call."""
        return self.failed | self.slow


def symptoms_of_calls(observed: Observed) -> Symptoms:
    """Find the symptoms of all calls."""
    calls, parts = observed.calls, observed.parts
    kinds = len(calls.kinds)
    judged = observed.in_request & ~calls.unknown
    settled = judged & ~calls.failed
    on_the_way = np.array([ending.outcome in ON_THE_WAY for ending in calls.endings], np.bool_)[calls.ending]
    measured = judged & ((parts.network >= 0) | on_the_way)
    typical = observed.usual.typical[calls.kind]
    excess = np.maximum(observed.duration - typical, 0)
    waited = (
        observed.entering & ~calls.unknown & (excess >= WAITED * typical) & (observed.usual.known[calls.kind] >= FEWEST)
    )
    late = (observed.bad_request | waited)[observed.request]
    beyond, wrong = [], []
    for values, is_known in ((parts.own, settled), (parts.network, settled & (parts.network >= 0))):
        usual = usual_values(calls.kind[is_known], values[is_known], observed.slices[is_known], kinds)
        beyond.append(values - usual.typical[calls.kind])
        wrong.append(is_known & late & (values > usual.limit[calls.kind]))
    largest = np.zeros(len(calls), np.int64)
    for each, of_part in zip(beyond, wrong, strict=True):
        np.maximum.at(largest, observed.request[of_part], each[of_part])
    enough = LARGE_SHARE * np.minimum(largest, excess)[observed.request]
    lost = np.zeros(len(calls), np.int64)
    for each, of_part in zip(beyond, wrong, strict=True):
        of_part &= each >= enough
        lost[of_part] += each[of_part]
    failed = judged & observed.failed_first
    return Symptoms(judged, measured, failed, wrong[0], wrong[1] | (failed & on_the_way), lost)
