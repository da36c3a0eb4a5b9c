"""cascade: trouble that began in one service and went on to those that need it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import conclude, harm, show_step, slow_harm, touched
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.spectrum import SURE_GAIN, log_likelihoods
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.model.finding import Finding

FEWEST_SERVICES = 3
"""Services that are ill in the end, at least."""
FEWEST_BAD = 5
"""Bad calls of a service, at least, ..."""
SHARE_BAD = 0.3
"""... and their share of the calls to it from its onset on, ..."""
TIMES_BETTER_BEFORE = 5
"""... against so many times fewer before."""
WELL_BEFORE = 0.1
"""Share of the time of the capture in which the first service was well, at least: else nothing began."""


class Cascade(Rule):
    """Trouble that spread."""

    code = "cascade"
    title = "Trouble spread from one service to others"
    page = Page(
        finds="Three services or more that were well, and from some moment on failed or were slow in a third of "
        "their calls. "
        "It tells the order of their onsets, and the first mover: of those whose own calls went wrong without that a call "
        "they made had, the earliest.",
        matters="When everything is red, everybody looks at their own service. The first mover is the one to look at; the "
        "others recover with it.",
        confirm="Look at the time lines: 'wiretrace show CASE --red'. The first mover's calls go wrong before those above "
        "it do.",
        false_alarm="Where something that all of them need, and that no packet shows (a shared disk, a host's clock, a "
        "network as a whole), failed: then the onsets are at the same moment.",
    )

    def find(self, observed: Observed) -> Iterator[Finding]:
        """At most one finding."""
        calls = observed.calls
        judged = observed.in_request & ~calls.unknown
        bad = judged & (observed.failed | observed.slow)
        if bad.sum() < FEWEST_SERVICES * FEWEST_BAD:
            return
        service = calls.callee_of_kind[calls.kind]
        begin, end = int(calls.start.min()), int(calls.end.max())
        origin = observed.suspicion.symptoms.in_callee | observed.suspicion.symptoms.delayed
        ill: list[tuple[int, int, int]] = []
        for one in np.unique(service[bad]).tolist():
            rows = np.flatnonzero(judged & (service == one))
            rows = rows[np.argsort(calls.start[rows], kind="stable")]
            onset = onset_of(bad[rows])
            if onset >= 0 and calls.start[rows[onset]] - begin >= WELL_BEFORE * (end - begin):
                from_here = rows[onset:]
                ill.append((int(calls.start[rows[onset]]), int((origin & bad)[from_here].sum()), one))
        if len(ill) < FEWEST_SERVICES:
            return
        ill.sort()
        movers = [each for each in ill if each[1] >= FEWEST_BAD]
        if not movers:
            return
        first = movers[0]
        others = [each for each in ill if each is not first]
        rows = np.flatnonzero(bad & (service == first[2]) & (calls.start >= first[0]))
        rows = rows[np.argsort(calls.start[rows], kind="stable")]
        name = calls.parties[first[2]]
        asked = int((judged & (service == first[2])).sum())
        is_slow = 2 * int(observed.failed[rows].sum()) < len(rows)
        grave = slow_harm(observed, rows[origin[rows]], asked) if is_slow else harm(observed, touched(observed, rows))
        order = ", then ".join(f"{calls.parties[one]} ({_later(at - first[0])})" for at, _, one in others)
        yield conclude(
            observed,
            self,
            Severity.INFO if grave is Severity.INFO else Severity.WARNING,
            f"Trouble began in {name} and spread to {counted(len(others), 'service')}.",
            f"First {name}, then {order}. In {name}, {first[1]:,} calls went wrong by themselves.",
            (ComponentKind.SERVICE, name),
            rows,
            f"Mend {name} first; the others need it. {show_step(observed, int(rows[0]))}",
        )


def onset_of(bad: NDArray[np.bool_]) -> int:
    """Index from which on a series is bad, and before which it is well; -1 where there is none. Shape (m,)."""
    total = int(bad.sum())
    if total < FEWEST_BAD:
        return -1
    count = len(bad)
    before: NDArray[np.int64] = np.cumsum(bad) - bad
    places = np.flatnonzero(bad)
    share_after = (total - before[places]) / (count - places)
    share_before = before[places] / np.maximum(places, 1)
    fits = (share_after >= SHARE_BAD) & (share_after >= TIMES_BETTER_BEFORE * share_before)
    fits &= (total - before[places]) >= FEWEST_BAD
    fits &= _gains(before[places], places, total, count) >= SURE_GAIN + np.log(count)
    return int(places[np.argmax(fits)]) if fits.any() else -1


def _gains(before: NDArray[np.int64], places: NDArray[np.int64], total: int, count: int) -> NDArray[np.float64]:
    """Logarithm of how much likelier a series of `count` with `total` bad is with an onset at each of `places`, (m,)."""
    with_onset = log_likelihoods(before, places) + log_likelihoods(total - before, count - places)
    return with_onset - log_likelihoods(np.array([total]), np.array([count]))


def _later(nanoseconds: int) -> str:
    """How much later than the first an onset is."""
    return f"{duration(nanoseconds)} later" if nanoseconds > 0 else "as early"
