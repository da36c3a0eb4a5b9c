"""Suspects: the components that may be the cause of bad requests, those that good requests clear, and the next question.

The rows of the table `suspects`. Counts are of request trees: a component is used by a tree where one of its calls goes
through it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wiretrace.diagnosis.spectrum import FAILED, WRONG, Hypothesis, Scope, Tally, find_causes, hypotheses, told_kind
from wiretrace.diagnosis.symptoms import Symptoms, symptoms_of_calls
from wiretrace.model.finding import ComponentKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.diagnosis.owners import Owners

MOST_SUSPECTS = 8
"""Suspects that are told, causes included."""
MOST_CLEARED = 12
"""Cleared components that are told."""
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


@dataclass(slots=True)
class Suspicion:
    """What may have caused the bad requests."""

    symptoms: Symptoms
    ranked: list[Hypothesis]
    """Hypotheses that bad calls go through, the likeliest first."""
    suspects: list[Suspect]
    """Those that are told, and then those that are cleared."""

    @property
    def causes(self) -> list[Hypothesis]:
        """Hypotheses that are taken for causes."""
        return [each for each in self.ranked if each.sure]


def suspicion_of(observed: Observed) -> Suspicion:
    """Find the suspects of a case."""
    symptoms = symptoms_of_calls(observed)
    routes = observed.routes
    if not (symptoms.in_callee.any() or symptoms.delayed.any()):
        return Suspicion(symptoms, [], [])

    def by_route(*wrong: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.array([np.bincount(routes.of_call[which], minlength=len(routes.kind)) for which in wrong])

    lost = symptoms.delayed & ~symptoms.failed
    tally = Tally(
        {
            Scope.CALLEE: by_route(*[symptoms.judged] * len(WRONG)),
            Scope.WAY: by_route(*[symptoms.measured] * len(WRONG)),
        },
        {
            Scope.CALLEE: by_route(symptoms.failed, symptoms.slow),
            Scope.WAY: by_route(symptoms.delayed & symptoms.failed, lost),
        },
    )
    every = hypotheses(observed.calls, routes, tally)
    ranked = find_causes(every, tally)
    usage = _Usage(observed)
    told = [_suspect(each, usage, tally) for each in _distinct(ranked)[:MOST_SUSPECTS]]
    if told:
        told[0].next_step = _next_question(observed, usage, told)
    return Suspicion(symptoms, ranked, [*told, *_cleared(every, told, usage, tally)])


class _Usage:
    """Which request trees use a component."""

    def __init__(self, observed: Observed) -> None:
        self._of_call = observed.routes.of_call
        self._request = observed.request
        self.rows = np.flatnonzero(observed.entering)
        """Rows of the requests."""
        unknown = observed.calls.unknown[self.rows]
        self.is_bad = observed.bad_request[self.rows]
        self.is_good = ~self.is_bad & ~unknown & ~observed.calls.failed[self.rows]

    def by_tree(self, routes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether each request's tree takes one of `routes`. Shape (requests,)."""
        uses = np.zeros(len(self._request), np.bool_)
        uses[self._request[routes[self._of_call]]] = True
        found: NDArray[np.bool_] = uses[self.rows]
        return found


def _distinct(ranked: list[Hypothesis]) -> list[Hypothesis]:
    """One hypothesis a component: a host may be suspect for what it does, and for the way to it."""
    seen: set[tuple[ComponentKind, str]] = set()
    found = []
    for each in ranked:
        if (each.kind, each.name) not in seen:
            seen.add((each.kind, each.name))
            found.append(each)
    return found


def _suspect(hypothesis: Hypothesis, usage: _Usage, tally: Tally) -> Suspect:
    uses = usage.by_tree(hypothesis.routes)
    failing, good = int((uses & usage.is_bad).sum()), int((uses & usage.is_good).sum())
    wrong = int(tally.bad[hypothesis.scope][:, hypothesis.routes].sum())
    calls = int(tally.calls[hypothesis.scope][FAILED, hypothesis.routes].sum())
    everywhere = int(tally.bad[hypothesis.scope].sum())
    what = "were late on the way" if hypothesis.scope is Scope.WAY else "failed there first, or were slow there"
    words = f"{wrong:,} of {calls:,} calls through it {what}: {wrong:,} of {everywhere:,} such calls in all."
    if hypothesis.also:
        words += f" The same calls go through {', '.join(hypothesis.also)}: nothing tells them apart."
    return Suspect(hypothesis, failing, good, False, words)


def _cleared(every: list[Hypothesis], told: list[Suspect], usage: _Usage, tally: Tally) -> list[Suspect]:
    """Components that good trees used and in which no trouble began, those that most trees used first."""
    suspected = {(each.hypothesis.kind, each.hypothesis.name) for each in told}
    suspected |= {(each.kind, each.name) for each in every if _troubled(each, tally)}
    candidates = {
        (each.kind, each.name): each
        for each in every
        if each.kind in CLEARED_KINDS and each.scope is Scope.CALLEE and (each.kind, each.name) not in suspected
    }
    often = sorted(candidates.values(), key=lambda each: -int(tally.calls[Scope.CALLEE][FAILED, each.routes].sum()))
    found = []
    for each in often:
        uses = usage.by_tree(each.routes)
        failing, good = int((uses & usage.is_bad).sum()), int((uses & usage.is_good).sum())
        if good < CLEARING_TREES:
            continue
        words = f"{good:,} good requests used it, and no trouble began there"
        words += f"; {failing:,} bad ones used it, too." if failing else "."
        found.append(Suspect(each, failing, good, True, words))
        if len(found) == MOST_CLEARED:
            break
    return found


def _troubled(hypothesis: Hypothesis, tally: Tally) -> bool:
    """Whether any trouble began in it."""
    return bool(tally.bad[hypothesis.scope][:, hypothesis.routes].any())


def _next_question(observed: Observed, usage: _Usage, told: list[Suspect]) -> str:
    """The kind of request whose answer best halves the suspicion, in a sentence; empty where none does."""
    if len(told) < 2:
        return ""
    weights = np.array([each.hypothesis.ochiai for each in told])
    if not weights.sum():
        return ""
    weights /= weights.sum()
    kinds = observed.calls.kind[usage.rows]
    asked = np.bincount(kinds, minlength=len(observed.calls.kinds))
    share = [
        np.bincount(kinds, usage.by_tree(each.hypothesis.routes), len(asked)) / np.maximum(asked, 1) for each in told
    ]
    used = weights @ np.array(share)
    used[asked == 0] = 2.0
    best = int(np.argmin(np.abs(used - 0.5)))
    if abs(used[best] - 0.5) > 0.5 - WORTH_ASKING / 2:
        return ""
    through = [each.hypothesis.name for each, shares in zip(told, share, strict=True) if shares[best] >= 0.5]
    past = [each.hypothesis.name for each, shares in zip(told, share, strict=True) if shares[best] < 0.5]
    if not through or not past:
        return ""
    return (
        f"Ask for {told_kind(observed.calls, best)}: it goes through {', '.join(through[:3])}, and not through "
        f"{', '.join(past[:3])}. If it is well, the first are cleared."
    )


def suspect_rows(suspicion: Suspicion, owners: Owners) -> list[dict[str, Any]]:
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
        for rank, each in enumerate(suspicion.suspects, 1)
    ]
