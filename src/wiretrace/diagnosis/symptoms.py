"""Symptoms: where in a bad request the trouble began, call by call.

A request is bad where it failed or was slow against its own usual. The trouble began in the calls that failed first, and
in those that lost the time themselves: in their callee, or on the way to it. What merely waited for them has no symptom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wiretrace.diagnosis.usual import FEWEST
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


def settled_calls(portion: Portion) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Calls that tell what is usual: for the callee itself, and for the way to it. Shapes (n,)."""
    settled = portion.in_request & ~portion.unknown & ~portion.not_ok
    return settled, settled & (portion.network >= 0)


def symptoms_of_calls(portion: Portion) -> Symptoms:
    """Find the symptoms of all calls of a portion of whole trees."""
    kind, usual_whole = portion.kind, portion.whole.usual
    judged = portion.in_request & ~portion.unknown
    on_the_way = portion.whole.endings.on_the_way[portion.ending]
    measured = judged & ((portion.network >= 0) | on_the_way)
    typical = usual_whole.typical[kind]
    excess = np.maximum(portion.duration - typical, 0)
    waited = portion.entering & ~portion.unknown & (excess >= WAITED * typical) & (usual_whole.known[kind] >= FEWEST)
    late = portion.late | waited[portion.request]
    settled, known_way = settled_calls(portion)
    beyond, wrong = [], []
    for values, usual, is_known in (
        (portion.own, portion.whole.usual_own, settled),
        (portion.network, portion.whole.usual_network, known_way),
    ):
        beyond.append(values - usual.typical[kind])
        wrong.append(is_known & late & (values > usual.limit[kind]))
    largest = np.zeros(len(portion), np.int64)
    for each, of_part in zip(beyond, wrong, strict=True):
        np.maximum.at(largest, portion.request[of_part], each[of_part])
    enough = LARGE_SHARE * np.minimum(largest, excess)[portion.request]
    lost = np.zeros(len(portion), np.int64)
    for each, of_part in zip(beyond, wrong, strict=True):
        of_part &= each >= enough
        lost[of_part] += each[of_part]
    failed = judged & portion.failed_first
    return Symptoms(judged, measured, failed, wrong[0], wrong[1] | (failed & on_the_way), lost)
