"""first-cause: what failed first beneath the requests that failed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Evidence, Told
from wiretrace.diagnosis.failures import first_causes
from wiretrace.diagnosis.names import distinct
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.model.finding import Severity
from wiretrace.model.words import counted, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

NAMED = 3
"""Kinds of request that are named; further ones are counted."""
FEWEST_CRITICAL = 3
"""Broken requests that are critical, at least, ..."""
CRITICAL_SHARE = 0.01
"""... where they are so large a share of their kinds."""


class FirstCause(Rule):
    """The first failure beneath requests that failed."""

    code = "first-cause"
    title = "Requests fail, and this failed first"
    page = Page(
        finds="Requests that failed, grouped by the call that failed first beneath them. From a failing request the rule "
        "goes down to the failing calls that it caused, and of several to the one that ended first. The errors above it "
        "are consequences, and are not told again. Answers that blame the request (HTTP 4xx) are told as information.",
        matters="The 500 that people see is rarely what has to be mended. The database error, the refused connection or "
        "the silent service beneath it is.",
        confirm="Look at one of the calls with 'wiretrace show CASE ID --why': the failing calls stand below each other, "
        "and the frames lead to the packets. Links that are inferred say how sure they are.",
        false_alarm="Where the failing call is expected and its caller failed for another reason that no packet shows. "
        "The share of such failures among requests that did not fail tells: a cause that is there as often in good "
        "requests is none.",
    )

    def __init__(self, whole: Whole) -> None:
        super().__init__(whole)
        self._asked = np.zeros(whole.kinds, np.int64)
        """Requests of each kind."""
        self._causes: dict[tuple[int, str, bool], _Cause] = {}
        """By kind of the call that failed first, how it failed, and whether the request was refused."""

    def see_trees(self, portion: Portion) -> None:
        """Go down from the requests that failed."""
        self._asked += np.bincount(portion.kind[portion.entering], minlength=len(self._asked))
        broken = np.flatnonzero(portion.entering & portion.not_ok)
        if not len(broken):
            return
        causes = first_causes(broken, portion.not_ok, portion.parent, portion.end)
        group, first = distinct([portion.kind[causes], portion.ending[causes], portion.refused[broken]])
        for number, place in enumerate(first.tolist()):
            of_group = np.flatnonzero(group == number)
            requests, cause = broken[of_group], int(causes[place])
            word = portion.of_ending(int(portion.ending[cause])).word
            key = (int(portion.kind[cause]), word, bool(portion.refused[broken[place]]))
            found = self._causes.setdefault(key, _Cause())
            found.kinds.update(portion.kind[requests].tolist())
            found.alone &= bool((causes[of_group] == requests).all())
            found.evidence.add(portion, causes[of_group], portion.row[requests])

    def claims(self) -> Iterator[Claim]:
        """One claim for each kind of first failure."""
        for (kind, word, is_refused), cause in self._causes.items():
            yield self._claim(kind, word, is_refused, cause)

    def _claim(self, kind: int, word: str, is_refused: bool, cause: _Cause) -> Claim:
        name, whole = self.whole.told_kind(kind), self.whole
        broken = cause.evidence.occurrences
        kinds = sorted(((count, whole.told_kind(code)) for code, count in cause.kinds.items()), key=_often_first)
        named = ", ".join(f"{told} ({count:,} times)" for count, told in kinds[:NAMED])
        more = f" and {len(kinds) - NAMED} more kinds of request" if len(kinds) > NAMED else ""
        asked = int(self._asked[list(cause.kinds)].sum())

        def tell(evidence: Evidence) -> Told:
            first_request = evidence.shown[0][0]
            return Told(
                Severity.INFO if is_refused else failure_severity(broken, asked),
                f"{name} fails with {word}" + ("" if cause.alone else ", and what needs it fails with it") + ".",
                f"It broke {counted(broken, 'request')}, {percent(broken / asked)} of their kinds: {named}{more}. "
                f"It was called {counted(int(whole.often[kind]), 'time')}.",
                whole.show_step(first_request),
            )

        return Claim((whole.component_kind(kind), name), tell, evidence=cause.evidence)


@dataclass(slots=True)
class _Cause:
    """What one kind of first failure broke."""

    evidence: Evidence = field(default_factory=Evidence)
    """The calls that failed first, in the order of their requests."""
    kinds: Counter[int] = field(default_factory=Counter)
    """Kinds of the requests."""
    alone: bool = True
    """Whether the requests themselves failed first."""


def _often_first(kind: tuple[int, str]) -> tuple[int, str]:
    return -kind[0], kind[1]


def failure_severity(broken: int, asked: int) -> Severity:
    """A failure is never mere information; it is critical where it breaks one in a hundred of its kinds of request."""
    return Severity.CRITICAL if broken >= FEWEST_CRITICAL and broken >= CRITICAL_SHARE * asked else Severity.WARNING
