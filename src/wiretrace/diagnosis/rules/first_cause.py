"""first-cause: what failed first beneath the requests that failed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import conclude, show_step
from wiretrace.diagnosis.failures import first_causes
from wiretrace.diagnosis.names import distinct
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.spectrum import told_kind
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.columns import Ending
    from wiretrace.diagnosis.observed import Observed
    from wiretrace.model.finding import Finding

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

    def find(self, observed: Observed) -> Iterator[Finding]:
        """One finding for each kind of first failure."""
        calls = observed.calls
        broken = np.flatnonzero(observed.entering & calls.failed)
        if not len(broken):
            return
        causes = first_causes(broken, calls.failed, observed.parent, calls.end)
        words = np.array([_word_number(calls.endings, number) for number in range(len(calls.endings))])
        group, first = distinct([calls.kind[causes], words[calls.ending[causes]], observed.refused[broken]])
        for number, place in enumerate(first.tolist()):
            of_group = np.flatnonzero(group == number)
            row = int(causes[place])
            kind, word = told_kind(calls, int(calls.kind[row])), calls.endings[calls.ending[row]].word
            requests = broken[of_group]
            kinds = Counter(told_kind(calls, code) for code in calls.kind[requests].tolist())
            named = ", ".join(f"{name} ({count:,} times)" for name, count in kinds.most_common(NAMED))
            asked = int(np.isin(calls.kind[observed.entering], calls.kind[requests]).sum())
            more = f" and {len(kinds) - NAMED} more kinds of request" if len(kinds) > NAMED else ""
            alone = bool((causes[of_group] == requests).all())
            is_refused = bool(observed.refused[broken[place]])
            share = percent(len(requests) / asked)
            title = f"{kind} fails with {word}" + ("" if alone else ", and what needs it fails with it") + "."
            often = int((calls.kind == calls.kind[row]).sum())
            yield conclude(
                observed,
                self,
                Severity.INFO if is_refused else failure_severity(len(requests), asked),
                title,
                f"It broke {counted(len(requests), 'request')}, {share} of their kinds: {named}{more}. "
                f"It was called {counted(often, 'time')}.",
                (component_kind(observed, row), kind),
                causes[of_group],
                show_step(observed, int(requests[0])),
            )


def component_kind(observed: Observed, row: int) -> ComponentKind:
    """Whether a call is a statement or another operation."""
    is_statement = observed.routes.is_statement[observed.routes.of_call[row]]
    return ComponentKind.STATEMENT if is_statement else ComponentKind.OPERATION


def failure_severity(broken: int, asked: int) -> Severity:
    """A failure is never mere information; it is critical where it breaks one in a hundred of its kinds of request."""
    return Severity.CRITICAL if broken >= FEWEST_CRITICAL and broken >= CRITICAL_SHARE * asked else Severity.WARNING


def _word_number(endings: list[Ending], number: int) -> int:
    """The first ending that is told in the same word."""
    return next(other for other in range(number + 1) if endings[other].word == endings[number].word)
