"""The answer of the first screen: how the requests fared, what failed and why, and how long they took, in sentences.

Failures are told as `diagnosis.failures` groups them: each at the topmost call that failed, with its first cause. A part
of a sentence that leads somewhere carries where; the page makes a link of it.
"""

from typing import Any

import numpy as np

from wiretrace.diagnosis.failures import Failure, Harm, find_failures
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
    failures = find_failures(figures.columns, figures.ancestry, figures.request, figures.in_request)
    return [_row(failure) for failure in failures[:FAILURES_SHOWN]]


def answer(totals: dict[str, Any], failures: list[dict[str, Any]]) -> list[str]:
    """What happened, in at most three sentences; none where there is no request."""
    if not totals["requests"]:
        return []
    sentences = [_fared(totals)]
    broke = [row for row in failures if row["harm"] == Harm.BROKE_REQUEST.value]
    told = broke or [row for row in failures if row["harm"] == Harm.ABSORBED.value]
    if told:
        sentences.append(_told(told[0], first="Most of them" if len(broke) > 1 else ""))
    return sentences


def _fared(totals: dict[str, Any]) -> str:
    """How many of the requests failed."""
    requests, failed = totals["requests"], totals["failedRequests"]
    noun = "request" if requests == 1 else "requests"
    if not failed:
        return f"The only {noun} did not fail." if requests == 1 else f"None of {requests:,} {noun} failed."
    if failed == requests:
        return f"The only {noun} failed." if requests == 1 else f"All of {requests:,} {noun} failed."
    share = 100 * failed / requests
    return f"{failed:,} of {requests:,} {noun} ({share:.{0 if share >= 10 else 1}f} %) failed."


def _told(row: dict[str, Any], first: str) -> str:
    """One kind of failure as a sentence."""
    head = f"{first}: " if first else ""
    what = f"{row['operation'] or 'calls'} ({row['service']}) ended in {row['word']} {row['failed']:,} times"
    if row["failed"] == 1:
        what = what.replace(" 1 times", " once")
    cause = f"; first to fail was {row['cause']}" if row["cause"] else ""
    survived = ", and the requests survived it" if row["harm"] == Harm.ABSORBED.value else ""
    return f"{head}{what}{cause}{survived}."


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
