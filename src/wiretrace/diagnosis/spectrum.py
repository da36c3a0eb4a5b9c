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
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from wiretrace.diagnosis.names import Names
from wiretrace.model.finding import ComponentKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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


Footprint = tuple[Scope, bytes]
"""A scope, and the routes with calls that go through a hypothesis."""


@dataclass(slots=True)
class Hypothesis:
    """One component that may be a cause."""

    kind: ComponentKind
    name: str
    scope: Scope
    routes: NDArray[np.int64]
    """Numbers of the routes that go through it, in rising order."""
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

    def is_on(self, routes: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
        """Whether these routes go through it. Shapes (n,)."""
        return np.isin(routes, self.routes)


@dataclass(slots=True)
class Tally:
    """Calls of each route, and those that went wrong, for each scope. Arrays have shape (ways to go wrong, routes)."""

    calls: dict[Scope, NDArray[np.int64]]
    bad: dict[Scope, NDArray[np.int64]]

    def copy(self) -> Tally:
        """One that can be changed."""
        return Tally(*({scope: counts.copy() for scope, counts in each.items()} for each in (self.calls, self.bad)))

    def used(self) -> dict[Scope, NDArray[np.bool_]]:
        """By scope: which routes have calls."""
        return {scope: np.asarray(counts.any(axis=0)) for scope, counts in self.calls.items()}

    def leave_out(self, scope: Scope, wrong: Sequence[int], routes: NDArray[np.int64]) -> None:
        """Forget some ways in which the calls of some routes may go wrong."""
        for counts in (self.calls, self.bad):
            counts[scope][np.array(wrong, np.int64)[:, None], routes] = 0


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
    for code, through in _grouped(service):
        yield Hypothesis(ComponentKind.SERVICE, words.parties[code], Scope.CALLEE, through)
    for code, through in _grouped(instance):
        yield Hypothesis(ComponentKind.INSTANCE, instances.things[code], Scope.CALLEE, through)
    for code, through in _grouped(routes.callee_machine):
        yield Hypothesis(ComponentKind.HOST, routes.machines[code], Scope.CALLEE, through)
    is_statement = routes.is_statement
    for code, through in _grouped(routes.kind):
        if is_bad[through].any():
            kind = ComponentKind.STATEMENT if is_statement[through].any() else ComponentKind.OPERATION
            yield Hypothesis(kind, told_kind(words, code), Scope.CALLEE, through)
    for code, through in _grouped(edge):
        caller, callee = edges.things[code]
        name = f"{routes.callers[caller]} → {words.parties[callee]}"
        for scope in Scope:
            yield Hypothesis(ComponentKind.EDGE, name, scope, through)
    yield from _ways(routes, is_bad)


def _ways(routes: Routes, is_bad: NDArray[np.bool_]) -> Iterator[Hypothesis]:
    """Hosts and pairs of hosts that calls pass on their way."""
    links = Names[tuple[int, int]]()
    ends = np.stack([routes.caller_machine, routes.callee_machine])
    pairs = zip(ends.min(axis=0).tolist(), ends.max(axis=0).tolist(), strict=True)
    link = np.array([links.code(pair) for pair in pairs], np.int64)
    for code, through in _grouped(link):
        one, other = links.things[code]
        if one >= 0 and one != other and is_bad[through].any():
            name = f"{routes.machines[one]} ↔ {routes.machines[other]}"
            yield Hypothesis(ComponentKind.EDGE, name, Scope.WAY, through)
    for code, at in _grouped(ends.ravel()):
        if code >= 0:
            through = np.sort(at % len(link))
            passes = through[ends[0, through] != ends[1, through]]
            yield Hypothesis(ComponentKind.HOST, routes.machines[code], Scope.WAY, passes)


def _grouped(codes: NDArray[np.integer[Any]]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each code in rising order, and where it stands."""
    order = np.argsort(codes, kind="stable")
    found, first = np.unique(codes[order], return_index=True)
    bounds = [*first.tolist(), len(order)]
    for code, (begin, end) in zip(found.tolist(), pairwise(bounds), strict=True):
        yield code, order[begin:end]


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
        _weigh(waiting, left)
        waiting = sorted(waiting, key=_order)
        best = waiting[0] if waiting else None
        if best is None or not _explains(best, left, len(every)):
            break
        best.sure = True
        used = left.used()
        footprint = _footprint(best, used)
        same = [each for each in waiting[1:] if footprint is not None and _footprint(each, used) == footprint]
        best.also = [each.told for each in same]
        ranked.append(best)
        for scope in Scope if best.kind is ComponentKind.HOST else (best.scope,):
            left.leave_out(scope, _explained(best, waiting) if scope is best.scope else WRONG, best.routes)
        gone = {id(each) for each in (best, *same)}
        waiting = [each for each in waiting if id(each) not in gone]
    chances = _chances(waiting, list(ranked), left, tally)
    used = tally.used()
    told: dict[Footprint | None, Hypothesis] = {}
    for each in ranked:
        told.setdefault(_footprint(each, used), each)
    for each in sorted((each for each in waiting if each.bad), key=lambda each: (-chances[id(each)], *_order(each))):
        footprint = _footprint(each, used)
        twin = told.setdefault(footprint, each) if footprint is not None else each
        if twin is each:
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


def _chances(waiting: list[Hypothesis], causes: list[Hypothesis], left: Tally, tally: Tally) -> dict[int, float]:
    """By identity, what each hypothesis explains that the causes do not; all that it explains where it may be in the place
    of one. Leaves the hypotheses compared with all observations.
    """
    _weigh(waiting, left)
    chances = {id(each): round(each.gain, 6) for each in waiting}
    _weigh(waiting, tally)
    for cause in causes:
        bad = np.zeros(tally.bad[cause.scope].shape[1], np.bool_)
        bad[cause.routes] = tally.bad[cause.scope][:, cause.routes].any(axis=0)
        for each in waiting:
            if cause.scope is each.scope and each.gain >= cause.gain - SURE_GAIN and bad[each.routes].any():
                chances[id(each)] = round(each.gain, 6)
    return chances


def _weigh(every: Sequence[Hypothesis], tally: Tally) -> None:
    """Compare the hypotheses with the observations that are left."""
    for scope in Scope:
        some = [each for each in every if each.scope is scope]
        if some:
            _weigh_in_scope(some, tally.calls[scope], tally.bad[scope])


def _weigh_in_scope(some: list[Hypothesis], calls: NDArray[np.int64], bad: NDArray[np.int64]) -> None:
    """The same for hypotheses of one scope, whose observations are given."""
    all_wrong = int(bad.sum())
    bounds = np.cumsum([0, *(len(each.routes) for each in some)])
    routes = np.concatenate([each.routes for each in some])
    wrong, through = _sums(bad, routes, bounds), _sums(calls, routes, bounds)
    gains = np.stack([_gains(wrong[way], through[way], int(bad[way].sum()), int(calls[way].sum())) for way in WRONG])
    rows = zip(some, wrong.sum(axis=0).tolist(), through.max(axis=0).tolist(), gains.T.tolist(), strict=True)
    for each, each_wrong, each_through, each_gains in rows:
        each.bad, each.through, each.gains, each.gain = each_wrong, each_through, each_gains, sum(each_gains)
        each.ochiai = each.dstar = 0.0
        if each_wrong:
            each.ochiai = float(each_wrong / np.sqrt(all_wrong * each_through))
            others = (each_through - each_wrong) + (all_wrong - each_wrong)
            each.dstar = each_wrong**DSTAR_POWER / others if others else float("inf")


def _sums(counts: NDArray[np.int64], routes: NDArray[np.int64], bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums of `counts`, shape (ways, all), over the routes between each two of `bounds`. Shape (ways, groups)."""
    running = np.zeros((len(counts), len(routes) + 1), np.int64)
    np.cumsum(counts[:, routes], axis=1, out=running[:, 1:])
    return np.diff(running[:, bounds], axis=1)


def _gains(wrong: NDArray[np.int64], through: NDArray[np.int64], all_wrong: int, every: int) -> NDArray[np.float64]:
    """How much likelier it is that `wrong` of the calls `through` a component go wrong if it is a cause of it; 0 if less.

    Shapes (n,). In all, `all_wrong` of `every` calls do.
    """
    with_cause = log_likelihoods(wrong, through) + log_likelihoods(all_wrong - wrong, every - through)
    gains = with_cause - log_likelihood(all_wrong, every)
    # With nothing to compare with, all that goes wrong is here, and nothing is learned.
    nothing = (wrong == 0) | (wrong * every < all_wrong * through) | (through == every)
    return np.where(nothing, 0.0, gains)


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


def _footprint(hypothesis: Hypothesis, used: Mapping[Scope, NDArray[np.bool_]]) -> Footprint | None:
    """What two hypotheses have in common that the same calls go through; None where no calls do."""
    routes = hypothesis.routes[used[hypothesis.scope][hypothesis.routes]]
    return (hypothesis.scope, routes.tobytes()) if len(routes) else None
