"""One side of a comparison: the requests of a case, or of a time of it, and what their calls contribute to them.

Rules: what is asked of each of many groups of requests is asked of all of them at once, so that it takes time in the number
of calls. Sums are taken in the order of the calls, so that they do not depend on what else is summed up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wiretrace.diagnosis.contributions import PARTS, contributions_of
from wiretrace.diagnosis.names import Names

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.diagnosis.columns import Kind
    from wiretrace.diagnosis.observed import Observed


class Step(NamedTuple):
    """Calls of one kind between two services."""

    caller: str
    callee: str
    operation: str

    @property
    def words(self) -> str:
        """In words: "web → shop: GET /orders/{id}"."""
        return f"{self.caller} → {self.callee}: {self.operation}"


class Measured:
    """One of the two sides: requests that began in a window of time, by kind, and what their calls contribute."""

    def __init__(self, observed: Observed, from_ns: int | None = None, to_ns: int | None = None) -> None:
        calls = observed.calls
        within = np.ones(len(calls), np.bool_)
        if from_ns is not None:
            within &= calls.start >= from_ns
        if to_ns is not None:
            within &= calls.start < to_ns
        known = observed.entering & within & ~(calls.unknown & (observed.duration == 0))
        self.requests = np.flatnonzero(known)
        """Rows of the requests."""
        self.start = calls.start[self.requests]
        self.duration = observed.duration[self.requests].astype(np.float64)
        self.failed = observed.failed[self.requests]
        codes = calls.kind[self.requests]
        order = np.argsort(codes, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1) if len(order) else []
        # In the order in which kinds of request came first.
        groups.sort(key=lambda each: int(each[0]))
        self._of_kind = {calls.kinds[int(codes[each[0]])]: each for each in groups}
        in_window = known[observed.request]
        rows = np.flatnonzero(in_window & ~calls.sets_up[calls.kind])
        number = np.full(len(calls), -1, np.int64)
        number[self.requests] = np.arange(len(self.requests))
        self.request_of = number[observed.request[rows]]
        """Index into `requests` of each call."""
        steps = Names[Step]()
        routes = observed.routes
        of_route = [
            steps.code(Step(routes.callers[caller], calls.kinds[kind].service, calls.kinds[kind].operation))
            for caller, kind in zip(routes.caller.tolist(), routes.kind.tolist(), strict=True)
        ]
        self.steps = steps.things
        self.step_of = np.array(of_route or [0], np.int64)[observed.route[rows]]
        self.parts = contributions_of(observed)[:, rows]
        self.failed_first = observed.failed_first[rows]
        # The set-up of a request's own connection comes before it; a request lasts from its first byte.
        is_request = calls.start[rows] == calls.start[observed.request[rows]]
        self.parts[:3, is_request & (observed.parent[rows] < 0)] = 0.0
        whole = np.bincount(self.request_of, self.parts.sum(axis=0), len(self.requests))
        # What set-up calls (logins) took is no call's own: it is given to the parts in proportion, so that they add up.
        self.parts *= (self.duration / np.where(whole > 0, whole, 1.0))[self.request_of]

        failing = np.bincount(self.step_of[self.failed_first], minlength=len(self.steps)) > 0
        self.failing_share = (1 + int(failing.sum())) / (1 + len(self.steps))
        """Share of the kinds of call that fail at all: the probability that one fails now and then by nature."""

    @property
    def kinds(self) -> list[Kind]:
        """Kinds of request."""
        return list(self._of_kind)

    def of_kind(self, kind: Kind) -> NDArray[np.int64]:
        """Indices of the requests of a kind."""
        return self._of_kind.get(kind, np.zeros(0, np.int64))

    def by_start(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Some requests in the order of their start."""
        return rows[np.argsort(self.start[rows], kind="stable")]

    def around(self, rows: NDArray[np.int64], band: tuple[float, float]) -> NDArray[np.int64]:
        """Those of some requests whose duration is in a band of ranks, given as shares of their number; at least one."""
        rows = rows[np.argsort(self.duration[rows], kind="stable")]
        first = int(band[0] * (len(rows) - 1))
        return rows[first : max(int(band[1] * len(rows)), first + 1)]

    def by_callee(self, weights: NDArray[np.float64]) -> dict[str, float]:
        """Weighted sum of the time that each service takes by itself; `weights` has one entry a request."""
        callees = Names[str]()
        callee = np.array([callees.code(step.callee) for step in self.steps], np.int64)
        found = np.zeros(len(callees.things))
        for of_steps in self.profile(weights):
            np.add.at(found, callee, of_steps)
        return dict(zip(callees.things, found.tolist(), strict=True))

    def profile(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weighted sum of the contributions by part and step, shape (parts, steps); `weights` has one entry a request."""
        weight = weights[self.request_of]
        return np.array([np.bincount(self.step_of, part * weight, len(self.steps)) for part in self.parts])

    def profiles_of(
        self, groups: list[NDArray[np.int64]], weights: NDArray[np.float64]
    ) -> list[dict[tuple[Step, str], float]]:
        """The same of each of several groups of requests that have none in common, by step and part, without what is 0.

        `weights` has one entry a group.
        """
        group_of = np.full(len(self.requests), -1, np.int64)
        for number, rows in enumerate(groups):
            group_of[rows] = number
        calls = np.flatnonzero(group_of[self.request_of] >= 0)
        group = group_of[self.request_of[calls]]
        cells, cell = np.unique(group * len(self.steps) + self.step_of[calls], return_inverse=True)
        weight = weights[group]
        sums = np.array([np.bincount(cell, part[calls] * weight, len(cells)) for part in self.parts])
        part, filled = np.nonzero(sums)
        group, step = np.divmod(cells[filled], max(len(self.steps), 1))
        order = np.argsort(group, kind="stable")
        found: list[dict[tuple[Step, str], float]] = [{} for _ in groups]
        columns = (group, step, part, sums[part, filled])
        for number, at, of_part, value in zip(*(column[order].tolist() for column in columns), strict=True):
            found[number][self.steps[at], PARTS[of_part]] = value
        return found
