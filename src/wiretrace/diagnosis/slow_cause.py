"""What is claimed of a cause that is slow rather than failing, be it a component or the way to one.

Rules: where more of its calls failed than were slow, nothing is claimed: the failures are. How grave it is, the requests
say that felt it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Evidence, Felt, Told
from wiretrace.diagnosis.distribution import Distributions
from wiretrace.model.words import counted, duration, percent

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.spectrum import Hypothesis
    from wiretrace.diagnosis.symptoms import Symptoms
    from wiretrace.diagnosis.whole import Whole


class SlowCalls(NamedTuple):
    """The slow calls of a cause, in words."""

    number: str
    """How many they are."""
    through: str
    """Of how many calls."""
    share: str
    requests: str
    """How many requests waited for them."""
    more: str
    """How much longer than usual, in the middle."""
    same: str
    """What else the same calls go through, as a sentence that begins with a space; empty for nothing."""


def slow_claim(
    whole: Whole,
    cause: Hypothesis,
    slow: Callable[[Symptoms], NDArray[np.bool_]],
    words: Callable[[SlowCalls], tuple[str, str]],
) -> Claim:
    """Claim that `cause` is slow. `slow` says which calls show it, `words` make a title and a detail of them."""
    through = whole.suspicion.calls_through(cause)
    lost = Distributions()
    felt, failed = Felt(), [0]

    def gather(portion: Portion, evidence: Evidence) -> None:
        symptoms = portion.symptoms
        of_cause = cause.is_on(portion.route)
        places = np.flatnonzero(of_cause & slow(symptoms) & ~symptoms.failed)
        failed[0] += int((of_cause & symptoms.failed).sum())
        lost.add(np.zeros(len(places), np.int64), symptoms.lost[places])
        evidence.add(portion, places, -symptoms.lost[places])
        felt.add(portion, places)

    def tell(evidence: Evidence) -> Told | None:
        count = evidence.occurrences
        if count < failed[0]:
            return None
        title, detail = words(
            SlowCalls(
                f"{count:,}",
                counted(through, "call"),
                percent(count / through),
                counted(evidence.requests, "request"),
                duration(int(lost.of(0).median)),
                f" The same calls go through {', '.join(cause.also)}: nothing tells them apart." if cause.also else "",
            )
        )
        return Told(felt.harm(whole, through), title, detail, whole.show_step(evidence.first))

    return Claim((cause.kind, cause.name), tell, gather)
