"""The answer of the first screen: what is wrong in a sentence, and the paragraph that `wiretrace why` says.

Beside them the kinds of failure, as `diagnosis.failures` groups them: each at the topmost call that failed, with its
first cause. They stand on the first screen where no rule found anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from wiretrace.diagnosis.answer import answer_of
from wiretrace.diagnosis.failures import CallsOfTrees, Failure, FailureBook, Harm
from wiretrace.diagnosis.names import counts
from wiretrace.model.finding import Severity

if TYPE_CHECKING:
    from wiretrace.case.reader import Case
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


def answer(case: Case) -> list[str]:
    """The gravest finding in a sentence, then the rest of the answer; none where there is no request.

    Raises UserError if the case is damaged.
    """
    found = answer_of(case)
    if not found.requests:
        return []
    grave = [row["title"] for row in found.findings if row["severity"] != Severity.INFO]
    headline = grave[0] if grave else "Nothing is wrong that these captures show."
    return [headline, found.answer.replace(f" {headline}", "", 1)]


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
    part = (starts - first) * parts // (last - first + 1)
    failed = figures.error[rows]
    return {
        "requests": np.bincount(part, minlength=parts).tolist(),
        "failed": np.bincount(part[failed], minlength=parts).tolist(),
    }
