"""The answer of the first screen: what is wrong in a sentence (`diagnosis.headline`), and how many requests it concerns.

Beside them the kinds of failure, as `diagnosis.failures` groups them: each at the topmost call that failed, with its
first cause. They stand on the first screen where no rule found anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from wiretrace.diagnosis.failures import CallsOfTrees, Failure, FailureBook, Harm
from wiretrace.diagnosis.names import counts
from wiretrace.model.time_parts import part_of_time

if TYPE_CHECKING:
    from wiretrace.diagnosis.answer import Answer
    from wiretrace.report.grouping import CallFigures

FAILURES_SHOWN = 12
"""Kinds of failure that are listed."""

HARMS = {
    Harm.BROKE_REQUEST: "broke the request",
    Harm.ABSORBED: "the request survived it",
    Harm.OUTSIDE: "outside any request",
    Harm.SET_UP: "only set up a connection",
}
"""What a failing call did, in words."""


def failure_rows(figures: CallFigures) -> list[dict[str, Any]]:
    """The kinds of failure, the gravest first, ready for JSON."""
    columns, ancestry = figures.columns, figures.ancestry
    book = FailureBook(columns.vocabulary)
    book.add(
        CallsOfTrees(
            *(np.arange(len(columns)), columns.kind, columns.ending, columns.end, ancestry.parent, ancestry.tree_size),
            *(figures.request, figures.in_request),
        )
    )
    failures = book.failures(counts(columns.kind, len(columns.kinds)), columns.tree_ids)
    return [_row(failure) for failure in failures[:FAILURES_SHOWN]]


def headline(found: Answer) -> list[str]:
    """What is wrong, or that nothing is, in a sentence; then how many requests failed or were slow, if there are any."""
    # The first sentence of the answer counts the requests; what it goes on with stands elsewhere on the first screen.
    if not found.requests:
        return [found.headline] * bool(found.headline)
    return [found.headline, f"{found.answer.partition('. ')[0].rstrip('.')}."]


def _row(failure: Failure) -> dict[str, Any]:
    return {
        "harm": failure.harm.value,
        "did": HARMS[failure.harm],
        "service": failure.service,
        "operation": failure.operation,
        "failed": failure.failed,
        "calls": failure.calls,
        "word": failure.word,
        "cause": failure.cause,
        "clientError": failure.is_client_error,
        "example": failure.example,
    }


def rates(figures: CallFigures, parts: int) -> dict[str, list[int]]:
    """Requests that begin in each of `parts` equal parts of the time, and how many of them fail."""
    rows = np.flatnonzero(figures.request)
    if not len(rows):
        return {"requests": [], "failed": []}
    starts = figures.columns.start[rows]
    first, last = int(starts.min()), int(starts.max())
    part = part_of_time(starts, first, last, parts)
    failed = figures.error[rows]
    return {
        "requests": np.bincount(part, minlength=parts).tolist(),
        "failed": np.bincount(part[failed], minlength=parts).tolist(),
    }
