"""The answer of the first screen: what is wrong in a sentence, and how many requests it concerns.

Beside them the kinds of failure, as `diagnosis.failures` groups them: each at the topmost call that failed, with its
first cause. They stand on the first screen where no rule found anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from wiretrace.diagnosis.failures import CallsOfTrees, Failure, FailureBook, Harm
from wiretrace.diagnosis.names import counts
from wiretrace.model.finding import Severity
from wiretrace.model.outcome import Outcome
from wiretrace.model.time_parts import part_of_time
from wiretrace.model.words import counted

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

UNANSWERED = frozenset(str(outcome).replace("_", " ") for outcome in Outcome)
"""How calls fail that are not answered with an error."""


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


def headline(found: Answer, failures: list[dict[str, Any]]) -> list[str]:
    """What is wrong, or that nothing is, in a sentence; then how many requests failed or were slow, if there are any.

    `failures` are the kinds of failure. Nothing where there is neither a request nor a failure that is worth a headline.
    """
    said = _headline(found, failures)
    # The first sentence of the answer counts the requests; what it goes on with stands elsewhere on the first screen.
    if not found.requests:
        return [said] * bool(said)
    return [said, f"{found.answer.partition('. ')[0].rstrip('.')}."]


def _headline(found: Answer, failures: list[dict[str, Any]]) -> str:
    grave = [row["title"] for row in found.findings if row["severity"] != Severity.INFO]
    if grave:
        return str(grave[0])
    worst = next((row for row in failures if _is_worth_a_headline(row)), None)
    if worst is not None:
        often = f"{worst['failed']:,} of {counted(worst['calls'], 'call')}"
        told = f"{often} {worst['operation']} ({worst['service']})"
        return f"{f'No request failed, but {told} did' if found.requests else f'{told} failed'}: {worst['word']}."
    if found.slow:
        return f"No request failed; {found.slow:,} of {found.requests:,} were slow against their own usual."
    return "Nothing is wrong that these captures show." if found.requests else ""


def _is_worth_a_headline(failure: dict[str, Any]) -> bool:
    """Not what the server only says of the request, nor an answer that says no while a connection is set up."""
    is_answered = failure["word"] not in UNANSWERED
    return not failure["clientError"] and not (is_answered and failure["harm"] == Harm.SET_UP.value)


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
