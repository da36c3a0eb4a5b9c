"""component-gone: an instance or host that answered, and from some moment on answers nobody any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Told
from wiretrace.diagnosis.portion import groups_of
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.conclude import Evidence
    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

FEWEST_UNANSWERED = 3
"""Calls in a row, up to the last one, that got no answer."""


class ComponentGone(Rule):
    """A host or instance that is gone."""

    code = "component-gone"
    title = "A host or instance is gone"
    page = Page(
        finds="An instance that answered, and to which all calls from some moment on, three at least, were refused, reset "
        "or not answered up to the end of the capture. Where all instances of a host are gone, the host is told.",
        matters="A process has ended, a host has lost power or network. What is balanced over it fails in part; what "
        "needs it fails altogether.",
        confirm="Look whether the process runs and the port is open on the host. Refused means that the host is there and "
        "the process is not; no answer at all means that the host or the way to it is gone.",
        false_alarm="Where the capture ended while the instance was being restarted.",
    )

    def __init__(self, whole: Whole) -> None:
        super().__init__(whole)
        self._fails = np.zeros(len(whole.vocabulary.places), np.bool_)
        """Places where some call got no answer."""
        self._since: dict[int, tuple[int, int]] = {}
        """Calls to a place since its last answer, and the start of the first of them."""

    def see_trees(self, portion: Portion) -> None:
        """Learn where calls get no answer."""
        self._fails[portion.callee_place[portion.unanswered]] = True

    def see_in_order(self, portion: Portion) -> None:
        """Count the calls since the last answer."""
        places = np.flatnonzero(self._fails[portion.callee_place] & ~portion.unknown)
        for place, calls in groups_of(portion.callee_place, places):
            answered = np.flatnonzero(~portion.unanswered[calls])
            if len(answered):
                calls = calls[answered[-1] + 1 :]
                self._since.pop(place, None)
            if len(calls):
                count, first = self._since.get(place, (0, int(portion.start[calls[0]])))
                self._since[place] = (count + len(calls), first)

    def claims(self) -> Iterator[Claim]:
        """One claim for each host, or instance, that is gone."""
        places = self.whole.vocabulary.places
        gone = {place: first for place, (count, first) in self._since.items() if count >= FEWEST_UNANSWERED}
        there: dict[str, set[int]] = {}
        for place in np.unique(self.whole.routes.place).tolist():
            there.setdefault(places[place].machine, set()).add(place)
        for machine, on_it in there.items():
            lost = {place: gone[place] for place in on_it if place in gone}
            if lost and len(lost) == len(on_it):
                yield self._claim((ComponentKind.HOST, machine), lost)
            else:
                for place, first in lost.items():
                    yield self._claim((ComponentKind.INSTANCE, places[place].instance), {place: first})

    def _claim(self, component: tuple[ComponentKind, str], lost: dict[int, int]) -> Claim:
        first = np.full(len(self._fails), np.iinfo(np.int64).max)
        for place, start in lost.items():
            first[place] = start
        earliest = min(lost.values())
        words: set[str] = set()
        ends = {"answer": -1, "attempt": earliest}

        def gather(portion: Portion, evidence: Evidence) -> None:
            is_here = np.isin(portion.callee_place, list(lost))
            places = np.flatnonzero(portion.unanswered & (portion.start >= first[portion.callee_place]))
            answers = portion.end[is_here & ~portion.unanswered & (portion.start < earliest)]
            words.update(portion.of_ending(code).word for code in np.unique(portion.ending[places]).tolist())
            ends["answer"] = max(ends["answer"], int(answers.max(initial=-1)))
            ends["attempt"] = max(ends["attempt"], int(portion.start[places].max(initial=earliest)))
            evidence.add(portion, places, portion.start[places])

        def tell(evidence: Evidence) -> Told:
            since = (
                f" Its last answer came {duration(ends['attempt'] - ends['answer'])} before the last attempt."
                if ends["answer"] >= 0
                else " It never answered while the capture ran."
            )
            return Told(
                Severity.CRITICAL,
                f"{component[0].value.capitalize()} {component[1]} is gone: it answers nobody any more.",
                f"The last {counted(evidence.occurrences, 'call')} to it, over "
                f"{duration(ends['attempt'] - evidence.first_ns)}, were not answered ({', '.join(sorted(words))}).{since}",
                self.whole.show_step(evidence.first),
            )

        return Claim(component, tell, gather)
