"""Symptoms: where in a bad request the trouble began, call by call.

A request is bad where it failed or was slow against its own usual. The trouble began in the calls that failed first, and
in those that lost the time themselves: in their callee, or on the way to it. What merely waited for them has no symptom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wiretrace.model.outcome import Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.diagnosis.portion import Portion

ON_THE_WAY = (
    Outcome.REFUSED,
    Outcome.UNREACHABLE,
    Outcome.REQUEST_LOST,
    Outcome.RESPONSE_LOST,
    Outcome.TLS_FAILED,
    Outcome.DNS_FAILED,
)
"""Outcomes of calls that may never have reached their callee: the way to it is as suspect as the callee."""
LARGE_SHARE = 0.25
"""Share of a request's delay that a call has to have lost itself to be where the trouble began."""


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


def settled_calls(portion: Portion) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Calls that tell what is usual: for the callee itself, and for the way to it. Shapes (n,)."""
    settled = portion.in_request & ~portion.unknown & ~portion.not_ok
    return settled, settled & (portion.network >= 0)


def symptoms_of_calls(portion: Portion) -> Symptoms:
    """Find the symptoms of all calls of a portion."""
    judged = portion.in_request & ~portion.unknown
    on_the_way = portion.whole.endings.on_the_way[portion.ending]
    measured = judged & ((portion.network >= 0) | on_the_way)
    lost = np.zeros(len(portion), np.int64)
    found = []
    both = (
        (portion.own, portion.whole.usual_own, settled_calls(portion)[0]),
        (portion.network, portion.whole.usual_network, settled_calls(portion)[1]),
    )
    for values, usual, is_known in both:
        beyond = values - usual.typical[portion.kind]
        wrong = (
            is_known & portion.late & (values > usual.limit[portion.kind]) & (beyond >= LARGE_SHARE * portion.excess)
        )
        lost[wrong] += beyond[wrong]
        found.append(wrong)
    failed = judged & portion.failed_first
    return Symptoms(judged, measured, failed, found[0], found[1] | (failed & on_the_way), lost)
