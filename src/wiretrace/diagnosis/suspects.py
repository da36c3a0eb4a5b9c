"""Suspects: the components that may be the cause of bad requests, those that good requests clear, and the next question.

The rows of the table `suspects`. Counts are of request trees: a component is used by a tree where one of its calls goes
through it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wiretrace.diagnosis.spectrum import FAILED, WRONG, Hypothesis, Scope, Tally, find_causes, hypotheses
from wiretrace.model.finding import ComponentKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.diagnosis.owners import Owners
    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

MOST_SUSPECTS = 8
"""Suspects that are told, causes included."""
MOST_CLEARED = 12
"""Cleared components that are told."""
MOST_LOOKED_AT = 64
"""Components of which it is counted whether they are cleared: those that most calls go through."""
CLEARING_TREES = 5
"""Good request trees that clear a component that no trouble began in."""
CLEARED_KINDS = (ComponentKind.SERVICE, ComponentKind.INSTANCE, ComponentKind.HOST, ComponentKind.EDGE)
"""Kinds of component that are told to be cleared: of statements and operations there are too many."""
WORTH_ASKING = 0.4
"""A question is asked where the trees of an operation use at least this share of the suspicion, and not all of it."""


@dataclass(slots=True)
class Suspect:
    """One row of the table `suspects`."""

    hypothesis: Hypothesis
    failing: int
    good: int
    cleared: bool
    words: str
    next_step: str = ""


class Suspicion:
    """What may have caused the bad requests, and which request trees used it."""

    def __init__(self, whole: Whole, tally: Tally) -> None:
        """`tally`: calls, and those with symptoms, of each route."""
        self._whole = whole
        self._tally = tally
        self.ranked: list[Hypothesis] = []
        """Hypotheses that bad calls go through, the likeliest first."""
        self._told: list[_Usage] = []
        self._clear: list[_Usage] = []
        if not any(counts.any() for counts in tally.bad.values()):
            return
        every = hypotheses(whole.vocabulary, whole.routes, tally)
        self.ranked = find_causes(every, tally)
        self._told = [_Usage(each, whole.kinds) for each in _distinct(self.ranked)[:MOST_SUSPECTS]]
        self._clear = [_Usage(each, whole.kinds) for each in _may_be_cleared(every, self._told, tally)]
        self._asked = np.zeros(whole.kinds, np.int64)

    @property
    def causes(self) -> list[Hypothesis]:
        """Hypotheses that are taken for causes."""
        return [each for each in self.ranked if each.sure]

    def calls_through(self, hypothesis: Hypothesis) -> int:
        """Calls that go through a component and are judged."""
        return int(self._tally.calls[hypothesis.scope][FAILED, hypothesis.routes].sum())

    def see_trees(self, portion: Portion) -> None:
        """Last pass: count which trees use the components."""
        if not self._told and not self._clear:
            return
        requests = np.flatnonzero(portion.entering)
        is_bad = portion.late[requests]
        is_good = ~is_bad & ~portion.unknown[requests] & ~portion.not_ok[requests]
        kinds = portion.kind[requests]
        self._asked += np.bincount(kinds, minlength=self._whole.kinds)
        uses = np.zeros(len(portion), np.bool_)
        for usage in (*self._told, *self._clear):
            uses[:] = False
            uses[portion.request[usage.hypothesis.is_on(portion.route)]] = True
            usage.add(uses[requests], is_bad, is_good, kinds)

    def suspects(self) -> list[Suspect]:
        """Those that are told, and then those that are cleared. All passes were made."""
        told = [_suspect(usage, self._tally) for usage in self._told]
        if told:
            told[0].next_step = self._next_question()
        cleared = [_cleared(usage) for usage in self._clear if usage.good >= CLEARING_TREES]
        return [*told, *cleared[:MOST_CLEARED]]

    def _next_question(self) -> str:
        """The kind of request whose answer best halves the suspicion, in a sentence; empty where none does."""
        if len(self._told) < 2:
            return ""
        weights = np.array([usage.hypothesis.ochiai for usage in self._told])
        if not weights.sum():
            return ""
        weights /= weights.sum()
        share = [usage.by_kind / np.maximum(self._asked, 1) for usage in self._told]
        used = weights @ np.array(share)
        used[self._asked == 0] = 2.0
        best = int(np.argmin(np.abs(used - 0.5)))
        if abs(used[best] - 0.5) > 0.5 - WORTH_ASKING / 2:
            return ""
        names = [usage.hypothesis.name for usage in self._told]
        through = [name for name, shares in zip(names, share, strict=True) if shares[best] >= 0.5]
        past = [name for name, shares in zip(names, share, strict=True) if shares[best] < 0.5]
        if not through or not past:
            return ""
        return (
            f"Ask for {self._whole.told_kind(best)}: it goes through {', '.join(through[:3])}, and not through "
            f"{', '.join(past[:3])}. If it is well, the first are cleared."
        )


class SymptomTally:
    """Counts symptoms by route while whole trees go by, once it is known what is usual."""

    def __init__(self, whole: Whole) -> None:
        self._whole = whole
        self._calls: dict[Scope, NDArray[np.int64]] = {}
        self._bad: dict[Scope, NDArray[np.int64]] = {}

    def see_trees(self, portion: Portion) -> None:
        """Count a portion."""
        symptoms = portion.symptoms
        lost = symptoms.delayed & ~symptoms.failed
        for counts, scope, wrong in (
            (self._calls, Scope.CALLEE, [symptoms.judged] * len(WRONG)),
            (self._calls, Scope.WAY, [symptoms.measured] * len(WRONG)),
            (self._bad, Scope.CALLEE, [symptoms.failed, symptoms.slow]),
            (self._bad, Scope.WAY, [symptoms.delayed & symptoms.failed, lost]),
        ):
            routes = len(self._whole.routes.kind)
            found = np.array([np.bincount(portion.route[which], minlength=routes) for which in wrong])
            counts[scope] = counts.get(scope, 0) + found

    def suspicion(self) -> Suspicion:
        """What may have caused the symptoms."""
        return Suspicion(self._whole, Tally(self._calls, self._bad))


class _Usage:
    """Which request trees use a component."""

    def __init__(self, hypothesis: Hypothesis, kinds: int) -> None:
        self.hypothesis = hypothesis
        self.failing = 0
        """Bad ones."""
        self.good = 0
        """Good ones."""
        self.by_kind = np.zeros(kinds, np.int64)
        """All of them, by the kind of their request."""

    def add(
        self, uses: NDArray[np.bool_], is_bad: NDArray[np.bool_], is_good: NDArray[np.bool_], kinds: NDArray[np.int32]
    ) -> None:
        """Add some requests: whether each uses it, is bad, or good, and its kind. Shapes (requests,)."""
        self.failing += int((uses & is_bad).sum())
        self.good += int((uses & is_good).sum())
        self.by_kind += np.bincount(kinds[uses], minlength=len(self.by_kind))


def _distinct(ranked: list[Hypothesis]) -> list[Hypothesis]:
    """One hypothesis a component: a host may be suspect for what it does, and for the way to it."""
    seen: set[tuple[ComponentKind, str]] = set()
    found = []
    for each in ranked:
        if (each.kind, each.name) not in seen:
            seen.add((each.kind, each.name))
            found.append(each)
    return found


def _suspect(usage: _Usage, tally: Tally) -> Suspect:
    hypothesis = usage.hypothesis
    wrong = int(tally.bad[hypothesis.scope][:, hypothesis.routes].sum())
    calls = int(tally.calls[hypothesis.scope][FAILED, hypothesis.routes].sum())
    everywhere = int(tally.bad[hypothesis.scope].sum())
    what = "were late on the way" if hypothesis.scope is Scope.WAY else "failed there first, or were slow there"
    words = f"{wrong:,} of {calls:,} calls through it {what}: {wrong:,} of {everywhere:,} such calls in all."
    if hypothesis.also:
        words += f" The same calls go through {', '.join(hypothesis.also)}: nothing tells them apart."
    return Suspect(hypothesis, usage.failing, usage.good, False, words)


def _may_be_cleared(every: list[Hypothesis], told: list[_Usage], tally: Tally) -> list[Hypothesis]:
    """Components in which no trouble began, those that most calls went through first."""
    suspected = {(each.hypothesis.kind, each.hypothesis.name) for each in told}
    suspected |= {(each.kind, each.name) for each in every if _troubled(each, tally)}
    candidates = {
        (each.kind, each.name): each
        for each in every
        if each.kind in CLEARED_KINDS and each.scope is Scope.CALLEE and (each.kind, each.name) not in suspected
    }
    often = sorted(candidates.values(), key=lambda each: -int(tally.calls[Scope.CALLEE][FAILED, each.routes].sum()))
    return often[:MOST_LOOKED_AT]


def _cleared(usage: _Usage) -> Suspect:
    words = f"{usage.good:,} good requests used it, and no trouble began there"
    words += f"; {usage.failing:,} bad ones used it, too." if usage.failing else "."
    return Suspect(usage.hypothesis, usage.failing, usage.good, True, words)


def _troubled(hypothesis: Hypothesis, tally: Tally) -> bool:
    """Whether any trouble began in it."""
    return bool(tally.bad[hypothesis.scope][:, hypothesis.routes].any())


def suspect_rows(suspects: list[Suspect], owners: Owners) -> list[dict[str, Any]]:
    """The rows of the table `suspects`."""
    return [
        {
            "rank": rank,
            "component_kind": each.hypothesis.kind.value,
            "component": each.hypothesis.name,
            "owner": owners.of(each.hypothesis.kind, each.hypothesis.name).owner,
            "external": owners.of(each.hypothesis.kind, each.hypothesis.name).external,
            "score": 0.0 if each.cleared else each.hypothesis.ochiai,
            "failing": each.failing,
            "good": each.good,
            "cleared": each.cleared,
            "words": each.words,
            "next_step": each.next_step,
        }
        for rank, each in enumerate(suspects, 1)
    ]
