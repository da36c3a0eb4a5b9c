"""Makes findings: counts the requests that some calls touch, and picks the calls that are listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from wiretrace.model.finding import MOST_CALLS, ComponentKind, Finding, Severity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.diagnosis.rules.contract import Rule

CRITICAL_SHARE = 0.10
"""Share of the requests from which on harm is critical."""
WARNING_SHARE = 0.01
"""Share of the requests from which on harm is worth a warning, ..."""
WARNING_REQUESTS = 3
"""... and the requests that it takes at least."""

LARGE_SLOW_SHARE = 0.2
"""Share of a component's calls that are slow where it is more than the tail that every busy system has."""

FELT = 2
"""A request that took so many times as long as usual has been felt to be slow."""


def conclude(
    observed: Observed,
    rule: Rule,
    severity: Severity,
    title: str,
    detail: str,
    component: tuple[ComponentKind, str],
    rows: NDArray[np.integer[Any]],
    next_step: str,
    occurrences: int = -1,
) -> Finding:
    """A finding that the calls in `rows` show, those that show most first; there is at least one.

    `occurrences` is how many calls show it, where that is not their number.
    """
    start, end = observed.calls.start[rows], observed.calls.end[rows]
    return Finding(
        rule.code,
        severity,
        title,
        detail,
        *component,
        touched(observed, rows),
        len(rows) if occurrences < 0 else occurrences,
        tuple(rows[:MOST_CALLS].tolist()),
        int(start.min()),
        int(end.max()),
        next_step,
    )


def touched(observed: Observed, rows: NDArray[np.integer[Any]]) -> int:
    """Requests that the calls in `rows` belong to."""
    is_touched = np.zeros(len(observed), np.bool_)
    is_touched[observed.request[rows]] = True
    return int((is_touched & observed.entering).sum())


def harm(observed: Observed, requests: int) -> Severity:
    """How grave it is that so many requests failed or waited."""
    share = requests / max(int(observed.entering.sum()), 1)
    if requests < WARNING_REQUESTS or share < WARNING_SHARE:
        return Severity.INFO
    return Severity.CRITICAL if share >= CRITICAL_SHARE else Severity.WARNING


def slow_harm(observed: Observed, rows: NDArray[np.int64], through: int) -> Severity:
    """How grave it is that the calls in `rows`, of `through` of a component, were slow: by the requests that felt it."""
    requests = observed.request[rows]
    usual = observed.usual.typical[observed.calls.kind[requests]]
    felt = rows[observed.failed[requests] | (observed.duration[requests] >= FELT * usual)]
    return harm(observed, touched(observed, felt)) if len(felt) >= LARGE_SLOW_SHARE * through else Severity.INFO


def show_step(observed: Observed, row: int) -> str:
    """Where to look: the command that shows one call."""
    return f"Look at one of them: wiretrace show CASE {observed.call_id(row)} --why"
