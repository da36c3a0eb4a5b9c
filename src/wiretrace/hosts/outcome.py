"""What happened to a call, from the outcomes that its caller's and its callee's view give.

Rules: what one capture lacks and the other has, happened. A response that the callee sent and the caller never got was
lost; a request that the caller sent and the callee's host, capturing at that time, never saw was lost. Where both ends
were captured nothing is left open, so `possible` is empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.model.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

OUTCOMES = [str(outcome) for outcome in Outcome]
ANSWERED = (Outcome.OK, Outcome.ERROR)
CAPTURE_ENDED = (Outcome.NOT_CAPTURED, Outcome.UNFINISHED)
"""What a view says that does not know the end: the other view knows better."""
CALLER_GAVE_UP = (Outcome.CLIENT_TIMEOUT, Outcome.CLIENT_ABORTED, Outcome.MALFORMED)
"""What stays true at the caller, whatever the callee did."""
NEVER_GOT_ANSWER = (
    Outcome.RESPONSE_LOST,
    Outcome.REQUEST_LOST,
    Outcome.SERVER_SILENT,
    Outcome.SERVER_RESET,
    Outcome.SERVER_CLOSED,
)
"""What a caller's view says that saw no answer; if the callee sent one, it was lost."""
LOST_SOMEWHERE = (Outcome.REQUEST_LOST, Outcome.RESPONSE_LOST)


def numbers(outcomes: Sequence[Outcome]) -> list[int]:
    """Positions in `OUTCOMES`."""
    return [OUTCOMES.index(str(outcome)) for outcome in outcomes]


def judge(
    caller: NDArray[np.int32],
    callee: NDArray[np.int32],
    may_be_request_lost: NDArray[np.bool_],
    callee_was_watching: NDArray[np.bool_],
) -> NDArray[np.int32]:
    """The outcome of each call, as an index into `OUTCOMES`. Shapes are (n,).

    `caller` and `callee` are the outcomes of the two ends' own views, -1 where an end was not captured.
    `may_be_request_lost`: the caller's view leaves that open. `callee_was_watching`: the callee's host was capturing at
    the time of the request.
    """
    outcome = np.where(caller >= 0, caller, callee).astype(np.int32)
    both = (caller >= 0) & (callee >= 0)
    answered = np.isin(callee, numbers(ANSWERED))
    outcome = np.where(both & np.isin(caller, numbers(CAPTURE_ENDED)), callee, outcome)
    lost = both & answered & np.isin(caller, numbers(NEVER_GOT_ANSWER))
    outcome[lost] = numbers((Outcome.RESPONSE_LOST,))[0]
    reached = both & ~answered & np.isin(caller, numbers(LOST_SOMEWHERE))
    known_there = reached & ~np.isin(callee, numbers((*CAPTURE_ENDED, *LOST_SOMEWHERE)))
    outcome = np.where(known_there, callee, outcome)
    outcome[reached & ~known_there & (caller == numbers((Outcome.REQUEST_LOST,))[0])] = numbers(
        (Outcome.SERVER_SILENT,)
    )[0]
    only_caller = (caller >= 0) & (callee < 0) & callee_was_watching & may_be_request_lost
    outcome[only_caller & ~np.isin(caller, numbers(ANSWERED))] = numbers((Outcome.REQUEST_LOST,))[0]
    return outcome.astype(np.int32)
