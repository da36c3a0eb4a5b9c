"""retry-storm: more repetitions than requests, so that they are the load."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Told
from wiretrace.diagnosis.portion import groups_of
from wiretrace.diagnosis.rowset import RowSet
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.conclude import Evidence
    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

WINDOW_NS = 1_000_000_000
"""Calls are counted by the second."""
FEWEST = 10
"""Repetitions of one kind of call in a storm, at least."""
MOST_HELPED = 0.5
"""Share of the repetitions that help beyond which it is no storm."""


class RetryStorm(Rule):
    """A storm of repetitions."""

    code = "retry-storm"
    title = "Retries are most of the load"
    page = Page(
        finds="Seconds in which a kind of call was repeated after failures more often than it was made anew, while most "
        "repetitions failed as well.",
        matters="The repetitions are the load now. The service can not recover while they last, even when what broke it "
        "is long over.",
        confirm="Look at the rate of calls per second: 'wiretrace show CASE --red'. Switch off the retries of the caller, "
        "or let it shed load, and see whether the service recovers.",
        false_alarm="Where very few requests are made at all, a few persistent retries outnumber them without harm.",
    )

    def __init__(self, whole: Whole) -> None:
        super().__init__(whole)
        self._rows = RowSet(whole.calls)
        """Repetitions."""
        self._kinds = np.zeros(whole.kinds, np.bool_)
        """Kinds of call that fail."""
        self._storms: dict[int, _Storm] = {}

    def see_trees(self, portion: Portion) -> None:
        """Learn which kinds of call fail."""
        self._kinds[portion.kind[portion.failed | portion.unanswered]] = True

    def see_in_order(self, portion: Portion) -> None:
        """Count calls and repetitions by the second."""
        later = self.whole.attempts.later
        self._rows.add(portion.row[later])
        repeats = np.zeros(len(portion), np.bool_)
        repeats[later] = True
        second = (portion.start - self.whole.first_ns) // WINDOW_NS
        for kind, places in groups_of(portion.kind, np.flatnonzero(self._kinds[portion.kind])):
            self._storms.setdefault(kind, _Storm()).go_on(portion, places, second, repeats)

    def claims(self) -> Iterator[Claim]:
        """One claim for each kind of call with a storm."""
        for kind, storm in sorted(self._storms.items()):
            storm.close()
            if storm.repetitions < FEWEST or storm.helped > MOST_HELPED * storm.repetitions:
                continue
            if storm.in_storm >= FEWEST:
                yield self._claim(kind, storm)

    def _claim(self, kind: int, storm: _Storm) -> Claim:
        whole, service = self.whole, self.whole.vocabulary.kinds[kind].service
        callers = sorted(whole.parties[code] for code in storm.callers)

        def gather(portion: Portion, evidence: Evidence) -> None:
            places = np.flatnonzero((portion.kind == kind) & self._rows.has(portion.row))
            second = (portion.start[places] - whole.first_ns) // WINDOW_NS
            places = places[np.isin(second, storm.seconds)]
            evidence.add(portion, places, portion.start[places])

        def tell(evidence: Evidence) -> Told:
            return Told(
                Severity.CRITICAL,
                f"Retry storm: in {counted(len(storm.seconds), 'second')}, {', '.join(callers[:3])} repeats "
                f"{whole.told_kind(kind)} more often than it asks anew.",
                f"{counted(evidence.occurrences, 'repetition')} in these seconds, for {storm.anew:,} first attempts; "
                f"{storm.helped:,} of all repetitions were answered. It lasted "
                f"{duration(evidence.last_ns - evidence.first_ns)}.",
                f"Stop the retries of {callers[0]}, or lengthen their pauses, until {service} answers.",
            )

        return Claim((ComponentKind.EDGE, f"{callers[0]} → {service}"), tell, gather)


@dataclass(slots=True)
class _Storm:
    """The calls of one kind, as they go by in order."""

    repetitions: int = 0
    helped: int = 0
    """Those of them that were answered."""
    seconds: list[int] = field(default_factory=list)
    """Seconds in which more calls were repetitions than were not, ..."""
    in_storm: int = 0
    anew: int = 0
    """... repetitions in these, and calls that were none, ..."""
    callers: set[int] = field(default_factory=set)
    """... and who repeated."""
    _second: int = -1
    _made: int = 0
    _repeated: int = 0
    _repeating: set[int] = field(default_factory=set)
    """The second that is not over, and the same of it."""

    def go_on(
        self, portion: Portion, places: NDArray[np.int64], second: NDArray[np.int64], repeats: NDArray[np.bool_]
    ) -> None:
        """Look at the next calls of the kind; `second` and `repeats` are of all calls of the portion."""
        again = places[repeats[places]]
        self.repetitions += len(again)
        self.helped += int((~portion.failed[again] & ~portion.unanswered[again]).sum())
        seconds, made = np.unique(second[places], return_counts=True)
        repeated = np.zeros(len(seconds), np.int64)
        np.add.at(repeated, np.searchsorted(seconds, second[again]), 1)
        for one, count, of_these in zip(seconds.tolist(), made.tolist(), repeated.tolist(), strict=True):
            if one != self._second:
                self.close()
                self._second = one
            self._made += count
            self._repeated += of_these
            if of_these:
                self._repeating.update(portion.caller[again[second[again] == one]].tolist())

    def close(self) -> None:
        """The second is over."""
        if self._repeated > self._made - self._repeated and self._repeated >= 2:
            self.seconds.append(self._second)
            self.in_storm += self._repeated
            self.anew += self._made - self._repeated
            self.callers |= self._repeating
        self._made = self._repeated = 0
        self._repeating = set()
