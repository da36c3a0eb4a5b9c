"""Spectrum-based fault localisation: which component explains best which calls are bad.

Every component that calls go through is a hypothesis. It is compared on what goes through it and what does not, good and
bad (R. Abreu et al., "Spectrum-based multiple fault localization", ASE 2009: Barinel): the likelihood of the observations
where the component, which may be faulty now and then, is one cause, and all else goes wrong as rarely as it does without
it. Failures and lost time are observed apart: that some calls are late here does not make it likelier that they fail
there. What the likeliest cause explains is taken away before the next is looked for, so that several faults are found.
Ochiai and DStar (W. E. Wong et al., 2014) order what has equal likelihood.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.names import Names
from wiretrace.model.finding import ComponentKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from wiretrace.diagnosis.columns import Vocabulary
    from wiretrace.diagnosis.routes import Routes

MOST_FAULTS = 4
"""Causes that are looked for one after the other."""
SURE_GAIN = 10.0
"""Natural logarithm of how much likelier a cause makes the observations, at least, besides the number of hypotheses."""
FEWEST_BAD = 3
"""Bad calls that a cause explains at least."""
TIMES_WORSE = 3.0
"""Calls through a cause fail, or are late, at least so many times as often as others."""
FAILED, LATE = WRONG = range(2)
"""Ways in which a call goes wrong: it fails, or loses time. No call does both."""
DSTAR_POWER = 2
"""The star of DStar, as its authors recommend."""


class Scope(enum.Enum):
    """What of a call a component answers for."""

    CALLEE = "callee"
    """What the callee does."""
    WAY = "way"
    """The way between caller and callee."""


@dataclass(slots=True)
class Hypothesis:
    """One component that may be a cause."""

    kind: ComponentKind
    name: str
    scope: Scope
    routes: NDArray[np.bool_]
    """Routes that go through it, shape (routes,)."""
    gain: float = 0.0
    """Natural logarithm of how much likelier the observations are with this cause."""
    gains: list[float] = field(default_factory=list)
    """The same for each way in which calls go wrong; `gain` is their sum."""
    bad: int = 0
    """Bad calls through it."""
    through: int = 0
    """Calls through it."""
    ochiai: float = 0.0
    dstar: float = 0.0
    rank: int = 0
    """From 1: hypotheses that nothing tells apart share it. 0: not ranked yet."""
    sure: bool = False
    """Whether it explains so much that it is taken for a cause."""
    also: list[str] = field(default_factory=list)
    """What else goes through nothing but the same calls, in words."""

    @property
    def told(self) -> str:
        """It in words: "service shop"."""
        return f"{self.kind.value} {self.name}"


@dataclass(slots=True)
class Tally:
    """Calls of each route, and those that went wrong, for each scope. Arrays have shape (ways to go wrong, routes)."""

    calls: dict[Scope, NDArray[np.int64]]
    bad: dict[Scope, NDArray[np.int64]]

    def copy(self) -> Tally:
        """One that can be changed."""
        return Tally(*({scope: counts.copy() for scope, counts in each.items()} for each in (self.calls, self.bad)))

    def leave_out(self, scope: Scope, wrong: Sequence[int], routes: NDArray[np.bool_]) -> None:
        """Forget some ways in which the calls of some routes may go wrong."""
        for counts in (self.calls, self.bad):
            counts[scope][np.array(wrong, np.int64)[:, None], np.flatnonzero(routes)] = 0


def hypotheses(words: Vocabulary, routes: Routes, tally: Tally) -> list[Hypothesis]:
    """Every component that some call goes through; of what nothing tells apart, what a person would name first comes first.

    Operations, of which there may be thousands, and pairs of hosts only where bad calls go through them.
    """
    is_bad = np.any([counts.any(axis=0) for counts in tally.bad.values()], axis=0)
    return list(_hypotheses(words, routes, is_bad))


def _hypotheses(words: Vocabulary, routes: Routes, is_bad: NDArray[np.bool_]) -> Iterator[Hypothesis]:
    service = words.callee_of_kind[routes.kind] if len(words.kinds) else routes.kind
    instances = Names[str]()
    instance = np.array([instances.code(words.places[place].instance) for place in routes.place.tolist()], np.int64)
    edges = Names[tuple[int, int]]()
    edge = np.array([edges.code(ends) for ends in zip(routes.caller.tolist(), service.tolist(), strict=True)], np.int64)
    for code in np.unique(service).tolist():
        yield Hypothesis(ComponentKind.SERVICE, words.parties[code], Scope.CALLEE, service == code)
    for code, name in enumerate(instances.things):
        yield Hypothesis(ComponentKind.INSTANCE, name, Scope.CALLEE, instance == code)
    for code in np.unique(routes.callee_machine).tolist():
        yield Hypothesis(ComponentKind.HOST, routes.machines[code], Scope.CALLEE, routes.callee_machine == code)
    for code in np.unique(routes.kind[is_bad]).tolist():
        through = routes.kind == code
        kind = ComponentKind.STATEMENT if routes.is_statement[through].any() else ComponentKind.OPERATION
        yield Hypothesis(kind, told_kind(words, code), Scope.CALLEE, through)
    for code, (caller, callee) in enumerate(edges.things):
        name = f"{routes.callers[caller]} → {words.parties[callee]}"
        for scope in Scope:
            yield Hypothesis(ComponentKind.EDGE, name, scope, edge == code)
    yield from _ways(routes, is_bad)


def _ways(routes: Routes, is_bad: NDArray[np.bool_]) -> Iterator[Hypothesis]:
    """Hosts and pairs of hosts that calls pass on their way."""
    links = Names[tuple[int, int]]()
    ends = np.stack([routes.caller_machine, routes.callee_machine])
    pairs = zip(ends.min(axis=0).tolist(), ends.max(axis=0).tolist(), strict=True)
    link = np.array([links.code(pair) for pair in pairs], np.int64)
    for code, (one, other) in enumerate(links.things):
        if one >= 0 and one != other and is_bad[link == code].any():
            name = f"{routes.machines[one]} ↔ {routes.machines[other]}"
            yield Hypothesis(ComponentKind.EDGE, name, Scope.WAY, link == code)
    for code in np.unique(ends[ends >= 0]).tolist():
        passes = ((ends == code).any(axis=0)) & (ends[0] != ends[1])
        yield Hypothesis(ComponentKind.HOST, routes.machines[code], Scope.WAY, passes)


def told_kind(words: Vocabulary, kind: int) -> str:
    """A kind of call in words: "GET /orders/{id} (shop)"."""
    return f"{words.kinds[kind].operation} ({words.kinds[kind].service})"


def find_causes(every: list[Hypothesis], tally: Tally) -> list[Hypothesis]:
    """Rank the hypotheses that some bad call goes through: causes first, in the order of what they explain.

    Behind them comes what may be the cause in the place of one of them, and what may be one besides them. Of what goes
    through the same calls, one stands for all, and names the others in `also`.
    """
    left = tally.copy()
    ranked: list[Hypothesis] = []
    waiting = every
    for _ in range(MOST_FAULTS):
        for each in waiting:
            _weigh(each, left)
        waiting = sorted(waiting, key=_order)
        best = waiting[0] if waiting else None
        if best is None or not _explains(best, left, len(every)):
            break
        best.sure = True
        same = [each for each in waiting[1:] if _is_same(each, best, left)]
        best.also = [each.told for each in same]
        ranked.append(best)
        for scope in Scope if best.kind is ComponentKind.HOST else (best.scope,):
            left.leave_out(scope, _explained(best, waiting) if scope is best.scope else WRONG, best.routes)
        waiting = [each for each in waiting[1:] if not any(each is other for other in same)]
    causes = list(ranked)
    chances = {id(each): _chance(each, causes, left, tally) for each in waiting}
    for each in sorted((each for each in waiting if each.bad), key=lambda each: (-chances[id(each)], *_order(each))):
        twin = next((other for other in ranked if _is_same(each, other, tally)), None)
        if twin is None:
            ranked.append(each)
        elif each.told not in twin.also:
            twin.also.append(each.told)
    for number, each in enumerate(ranked, 1):
        each.rank = number
    return ranked


def _order(hypothesis: Hypothesis) -> tuple[float, float, float]:
    return -round(hypothesis.gain, 6), -round(hypothesis.ochiai, 9), -hypothesis.dstar


def _explained(best: Hypothesis, waiting: list[Hypothesis]) -> list[int]:
    """The ways to go wrong that the best hypothesis explains: no other one explains them far better."""
    rivals = [each.gains for each in waiting if each.scope is best.scope]
    return [wrong for wrong in WRONG if best.gains[wrong] >= max(gains[wrong] for gains in rivals) - SURE_GAIN]


def _chance(each: Hypothesis, causes: list[Hypothesis], left: Tally, tally: Tally) -> float:
    """What the hypothesis explains that the causes do not; all that it explains where it may be in the place of one."""
    _weigh(each, left)
    besides = each.gain
    _weigh(each, tally)
    for cause in causes:
        shared = tally.bad[cause.scope][:, cause.routes & each.routes].any()
        if cause.scope is each.scope and shared and each.gain >= cause.gain - SURE_GAIN:
            return round(each.gain, 6)
    return round(besides, 6)


def _weigh(hypothesis: Hypothesis, tally: Tally) -> None:
    """Compare the hypothesis with the observations that are left."""
    calls, bad = tally.calls[hypothesis.scope], tally.bad[hypothesis.scope]
    through, wrong = int(calls[:, hypothesis.routes].sum(axis=1).max()), int(bad[:, hypothesis.routes].sum())
    all_wrong = int(bad.sum())
    hypothesis.through, hypothesis.bad = through, wrong
    if not wrong:
        hypothesis.gain = hypothesis.ochiai = hypothesis.dstar = 0.0
        hypothesis.gains = [0.0 for _ in WRONG]
        return
    hypothesis.ochiai = float(wrong / np.sqrt(all_wrong * through))
    others = (through - wrong) + (all_wrong - wrong)
    hypothesis.dstar = wrong**DSTAR_POWER / others if others else float("inf")
    hypothesis.gains = [_gain(bad[way], calls[way], hypothesis.routes) for way in WRONG]
    hypothesis.gain = sum(hypothesis.gains)


def _gain(bad: NDArray[np.int64], calls: NDArray[np.int64], routes: NDArray[np.bool_]) -> float:
    """How much likelier it is that `bad` of the `calls` go wrong in one way if `routes` are a cause of it; 0 if less."""
    wrong, through, all_wrong, every = (int(each.sum()) for each in (bad[routes], calls[routes], bad, calls))
    if not wrong or wrong * every < all_wrong * through or through == every:
        return 0.0  # with nothing to compare with, all that goes wrong is here, and nothing is learned
    with_cause = log_likelihood(wrong, through) + log_likelihood(all_wrong - wrong, every - through)
    return with_cause - log_likelihood(all_wrong, every)


def log_likelihood(bad: int, calls: int) -> float:
    """Natural logarithm of the likelihood of `bad` of `calls`, at the share that makes it likeliest."""
    return float(log_likelihoods(np.array([bad]), np.array([calls]))[0])


def log_likelihoods(bad: NDArray[np.int64], calls: NDArray[np.int64]) -> NDArray[np.float64]:
    """The same of several observations. Shapes (m,)."""
    parts, whole = np.array([bad, calls - bad], np.float64), np.maximum(calls, 1)
    found: NDArray[np.float64] = (parts * np.log(np.maximum(parts, 1.0) / whole)).sum(axis=0)
    return found


def _explains(best: Hypothesis, left: Tally, hypotheses: int) -> bool:
    """Whether the best hypothesis is taken for a cause."""
    if best.bad < FEWEST_BAD or best.gain < SURE_GAIN + float(np.log(hypotheses)):
        return False
    for calls, bad in zip(left.calls[best.scope], left.bad[best.scope], strict=True):
        wrong, through = int(bad[best.routes].sum()), int(calls[best.routes].sum())
        if wrong and wrong * max(int(calls.sum()) - through, 1) >= TIMES_WORSE * (int(bad.sum()) - wrong) * through:
            return True
    return False


def _is_same(one: Hypothesis, other: Hypothesis, tally: Tally) -> bool:
    """Whether the same calls go through both."""
    if one.scope is not other.scope:
        return False
    used = tally.calls[one.scope].any(axis=0)
    return bool((one.routes[used] == other.routes[used]).all()) and bool((one.routes & used).any())
