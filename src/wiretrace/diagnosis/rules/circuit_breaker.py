"""circuit-breaker: a caller that stopped asking a service after a run of failures, and answers without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Told
from wiretrace.diagnosis.names import distinct
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.conclude import Evidence
    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

RUN_OF_FAILURES = 3
"""Failures in a row before the caller stops, at least."""
WITHOUT = 5
"""Calls that the caller answers without asking, at least, which usually ask."""
USUALLY = 0.8
"""Share of the caller's calls of a kind that ask the service while it is well."""


class CircuitBreaker(Rule):
    """A circuit breaker that opened."""

    code = "circuit-breaker"
    title = "A circuit breaker opened"
    page = Page(
        finds="A caller that asks a service in most of its calls, had several failures in a row from it, and then answered "
        "at least five calls without asking it at all: a circuit breaker, or something that acts like one. It tells after "
        "how many failures it opened, and for how long.",
        matters="While it is open, requests fail (or get a fallback) at once, whatever the service does by now. "
        "What is to be "
        "mended are the failures before it.",
        confirm="Look at the calls that are listed: the failures before it opened. Compare with the caller's configuration.",
        false_alarm="Where the caller's requests of that time did not need the service (other parameters, a warm cache).",
    )

    def __init__(self, whole: Whole) -> None:
        super().__init__(whole)
        self._wrong: dict[int, int] = {}
        """Failures of each edge: an instance that calls, and a service."""
        self._above: dict[int, set[tuple[int, int]]] = {}
        """Kinds and places of the calls that ask over each edge."""
        self._edges: dict[int, _Edge] | None = None

    def see_trees(self, portion: Portion) -> None:
        """Count failures by edge."""
        edge = self._edge_of(portion)
        asks = np.flatnonzero(portion.in_request & ~portion.unknown & portion.has_parent)
        codes, failures = np.unique(edge[asks[_is_wrong(portion)[asks]]], return_counts=True)
        for one, count in zip(codes.tolist(), failures.tolist(), strict=True):
            self._wrong[one] = self._wrong.get(one, 0) + count
        _, first = distinct([edge[asks], portion.parent_kind[asks], portion.parent_place[asks]])
        for place in asks[first].tolist():
            known = self._above.setdefault(int(edge[place]), set())
            known.add((int(portion.parent_kind[place]), int(portion.parent_place[place])))

    def see_in_order(self, portion: Portion) -> None:
        """Follow the edges that failed several times."""
        if self._edges is None:
            self._edges = {
                one: _Edge(self.whole, one % len(self.whole.parties), self._above[one])
                for one, count in sorted(self._wrong.items())
                if count >= RUN_OF_FAILURES
            }
        edge, wrong = self._edge_of(portion), _is_wrong(portion)
        asks = portion.in_request & ~portion.unknown & portion.has_parent
        for one, state in self._edges.items():
            state.go_on(portion, np.flatnonzero(asks & (edge == one)), wrong)

    def claims(self) -> Iterator[Claim]:
        """One claim for each caller (an instance of it) and callee: the longest time without asking."""
        for one, state in (self._edges or {}).items():
            state.close()
            if state.best is not None:
                yield self._claim(one, state.best)

    def _claim(self, edge: int, run: Run) -> Claim:
        place, service = divmod(edge, len(self.whole.parties))
        caller, name = self.whole.vocabulary.places[place].party, self.whole.parties[service]

        def gather(portion: Portion, evidence: Evidence) -> None:
            is_before = (portion.start >= run.failing_ns) & (portion.start < run.began_ns)
            asks = portion.in_request & ~portion.unknown & portion.has_parent
            places = np.flatnonzero(asks & (self._edge_of(portion) == edge) & is_before & _is_wrong(portion))
            evidence.add(portion, places, -portion.start[places])

        def tell(evidence: Evidence) -> Told:
            return Told(
                Severity.WARNING,
                f"{caller} stopped asking {name} after {counted(run.failures, 'failure')} in a row: a circuit breaker "
                "opened.",
                f"For {duration(run.ended_ns - run.began_ns)} it answered {counted(run.calls, 'call')} without asking "
                f"{name}, which it does otherwise.",
                f"Find out why {name} failed before. {self.whole.show_step(evidence.first)}",
            )

        return Claim((ComponentKind.EDGE, f"{caller} → {name}"), tell, gather)

    def _edge_of(self, portion: Portion) -> NDArray[np.int64]:
        """Number of the place that calls and the service that is asked. Shape (n,)."""
        return portion.caller_place.astype(np.int64) * len(self.whole.parties) + portion.callee


@dataclass(slots=True)
class Run:
    """Calls in a row that did not ask."""

    calls: int
    number: int
    """How many calls were before it."""
    failures: int
    """Failures in a row before it."""
    began_ns: int
    ended_ns: int
    failing_ns: int
    """Start of the first of these failures."""
    usual: float
    """Share of the calls before it that asked."""

    @property
    def counts(self) -> bool:
        """Whether a circuit breaker explains it."""
        return self.calls >= WITHOUT and self.failures >= RUN_OF_FAILURES and self.usual >= USUALLY


class _Edge:
    """One edge, as its calls, and those that may ask over it, go by in order."""

    def __init__(self, whole: Whole, service: int, above: set[tuple[int, int]]) -> None:
        self._bits = np.array([whole.services.bit(kind, service) for kind in range(whole.kinds)], np.uint64)
        self._kinds = np.isin(np.arange(whole.kinds), [kind for kind, _ in above])
        self._places = np.isin(np.arange(len(whole.vocabulary.places)), [place for _, place in above])
        self._calls = 0
        self._asked = 0
        self._failing = (0, -1)
        """Failures in a row at the moment, and when they began."""
        self._run: Run | None = None
        self.best: Run | None = None

    def go_on(self, portion: Portion, asking: NDArray[np.int64], wrong: NDArray[np.bool_]) -> None:
        """Look at a portion; `asking` are the places of the calls over the edge, `wrong` has shape (n,)."""
        may_ask = self._kinds[portion.kind] & self._places[portion.callee_place] & ~portion.unknown
        above = np.flatnonzero(may_ask)
        asks = (portion.asked[above] & self._bits[portion.kind[above]]) != 0
        failing, since = self._streaks(portion, asking, wrong[asking])
        asked_before = self._asked + np.cumsum(asks) - asks
        turns = np.flatnonzero(asks[1:] != asks[:-1]) + 1
        begins, ends = np.append(0, turns), np.append(turns, len(above))
        # Short runs count only where they may go on beyond the portion.
        at_the_ends = (begins == 0) | (ends == len(above))
        wanted = ~asks[begins] & (at_the_ends | (ends - begins >= WITHOUT)) if len(above) else begins > 0
        if len(above) and asks[0]:
            self.close()
        for begin, end in zip(begins[wanted].tolist(), ends[wanted].tolist(), strict=True):
            if self._run is None:
                start = int(portion.start[above[begin]])
                number = self._calls + begin
                at = int(np.searchsorted(portion.start[asking], start))
                usual = float(asked_before[begin] / number) if number else 0.0
                self._run = Run(0, number, int(failing[at]), start, start, int(since[at]), usual)
            self._run.calls += end - begin
            self._run.ended_ns = int(portion.end[above[end - 1]])
            if end < len(above):
                self.close()
        self._calls += len(above)
        self._asked += int(asks.sum())
        self._failing = int(failing[-1]), int(since[-1])

    def close(self) -> None:
        """The calls ask again, or all went by."""
        run, self._run = self._run, None
        if run is not None and run.counts:
            rank = (run.calls, run.number, run.failures)
            if self.best is None or rank > (self.best.calls, self.best.number, self.best.failures):
                self.best = run

    def _streaks(
        self, portion: Portion, asking: NDArray[np.int64], wrong: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Failures in a row before each of the calls, and after the last one, and when they began. Shapes (m + 1,)."""
        count, began = self._failing
        number = np.arange(1, len(asking) + 1)
        last_well = np.maximum.accumulate(np.where(wrong, 0, number))
        failing = np.where(last_well > 0, number - last_well, count + number)
        starts = np.append(portion.start[asking], -1)
        first = starts[np.minimum(last_well, len(asking))]
        goes_on = (last_well == 0) & (count > 0)
        return np.append(count, failing), np.append(began, np.where(goes_on, began, first))


def _is_wrong(portion: Portion) -> NDArray[np.bool_]:
    """Which calls failed, or got no whole answer. Shape (n,)."""
    return portion.failed | portion.unanswered
