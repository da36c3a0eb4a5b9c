"""cascade: trouble that began in one service and went on to those that need it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Evidence, Felt, Told, harm
from wiretrace.diagnosis.portion import groups_of
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.spectrum import SURE_GAIN, log_likelihoods
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

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

    def __init__(self, whole: Whole) -> None:
        super().__init__(whole)
        services = len(whole.parties)
        self._judged = np.zeros(services, np.int64)
        self._bad = np.zeros(services, np.int64)
        """Calls of each service that are judged, and that are bad."""
        self._seen = np.zeros(services, np.int64)
        self._seen_bad = np.zeros(services, np.int64)
        """The same of those that went by in order."""
        self._onset: dict[int, int] = {}
        """When each service fell ill."""
        self._own = np.zeros(services, np.int64)
        """Bad calls of each service from its onset on in which trouble began."""

    def see_trees(self, portion: Portion) -> None:
        """Count the bad calls of each service."""
        judged, bad = _bad_calls(portion)
        self._judged += np.bincount(portion.callee[judged], minlength=len(self._judged))
        self._bad += np.bincount(portion.callee[bad], minlength=len(self._bad))

    def see_in_order(self, portion: Portion) -> None:
        """Look for the onset of each service."""
        if self._bad.sum() < FEWEST_SERVICES * FEWEST_BAD:
            return
        judged, bad = _bad_calls(portion)
        origin = portion.is_origin
        judged &= self._bad[portion.callee] >= FEWEST_BAD
        for service, places in groups_of(portion.callee, np.flatnonzero(judged)):
            is_bad = bad[places]
            if service not in self._onset:
                at = onset_of(
                    is_bad,
                    (int(self._seen[service]), int(self._seen_bad[service])),
                    (int(self._judged[service]), int(self._bad[service])),
                )
                if at >= 0:
                    self._onset[service] = int(portion.start[places[at]])
                    self._own[service] += int((origin[places] & is_bad)[at:].sum())
            else:
                self._own[service] += int((origin[places] & is_bad).sum())
            self._seen[service] += len(places)
            self._seen_bad[service] += int(is_bad.sum())

    def claims(self) -> Iterator[Claim]:
        """At most one claim."""
        parties, well = self.whole.parties, WELL_BEFORE * (self.whole.last_ns - self.whole.first_ns)
        ill = sorted(
            (at, int(self._own[one]), one) for one, at in self._onset.items() if at - self.whole.first_ns >= well
        )
        movers = [each for each in ill if each[1] >= FEWEST_BAD]
        if len(ill) < FEWEST_SERVICES or not movers:
            return
        since, own, service = movers[0]
        others = [each for each in ill if each is not movers[0]]
        name = parties[service]
        order = ", then ".join(f"{parties[one]} ({_later(at - since)})" for at, _, one in others)

        felt, failed = Felt(), [0]

        def gather(portion: Portion, evidence: Evidence) -> None:
            places = np.flatnonzero(_bad_calls(portion)[1] & (portion.callee == service) & (portion.start >= since))
            evidence.add(portion, places, portion.start[places])
            symptoms = portion.symptoms
            felt.add(portion, places[(symptoms.in_callee | symptoms.delayed)[places]])
            failed[0] += int(portion.failed[places].sum())

        def tell(evidence: Evidence) -> Told:
            is_slow = 2 * failed[0] < evidence.occurrences
            asked = int(self._judged[service])
            grave = felt.harm(self.whole, asked) if is_slow else harm(self.whole, evidence.requests)
            return Told(
                Severity.INFO if grave is Severity.INFO else Severity.WARNING,
                f"Trouble began in {name} and spread to {counted(len(others), 'service')}.",
                f"First {name}, then {order}. In {name}, {own:,} calls went wrong by themselves.",
                f"Mend {name} first; the others need it. {self.whole.show_step(evidence.first)}",
            )

        yield Claim((ComponentKind.SERVICE, name), tell, gather)


def _bad_calls(portion: Portion) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Calls that are judged, and those of them that are bad. Shapes (n,)."""
    judged = portion.in_request & ~portion.unknown
    return judged, judged & (portion.failed | portion.slow)


def onset_of(bad: NDArray[np.bool_], seen: tuple[int, int], all_calls: tuple[int, int]) -> int:
    """Index in `bad` from which on a series is bad, and before which it is well; -1 where it is not here. Shape (m,).

    `seen` are the calls, and the bad ones, of the series before these; `all_calls` those of the whole series.
    """
    count, total = all_calls
    if total < FEWEST_BAD:
        return -1
    index = np.flatnonzero(bad)
    before = seen[1] + np.arange(len(index))
    places = seen[0] + index
    share_after = (total - before) / (count - places)
    share_before = before / np.maximum(places, 1)
    fits = (share_after >= SHARE_BAD) & (share_after >= TIMES_BETTER_BEFORE * share_before)
    fits &= (total - before) >= FEWEST_BAD
    fits &= _gains(before, places, total, count) >= SURE_GAIN + np.log(count)
    return int(index[np.argmax(fits)]) if fits.any() else -1


def _gains(before: NDArray[np.int64], places: NDArray[np.int64], total: int, count: int) -> NDArray[np.float64]:
    """Logarithm of how much likelier a series of `count` with `total` bad is with an onset at each of `places`, (m,)."""
    with_onset = log_likelihoods(before, places) + log_likelihoods(total - before, count - places)
    return with_onset - log_likelihoods(np.array([total]), np.array([count]))


def _later(nanoseconds: int) -> str:
    """How much later than the first an onset is."""
    return f"{duration(nanoseconds)} later" if nanoseconds > 0 else "as early"
