"""first-cause: requests that failed, told once, with what failed first beneath them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.failures import Harm, find_failures
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.model.finding import ComponentKind, Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.observed import Observed


class FirstCause(Rule):
    """Requests that failed, and what failed first beneath them."""

    code = "first-cause"
    title = "Requests fail, and this failed first"
    page = Page("", "", "", "")

    def find(self, observed: Observed) -> Iterator[Finding]:
        """One finding for each way in which requests failed."""
        calls = observed.calls
        for failure in find_failures(calls, observed.ancestry, observed.entering, observed.in_request):
            if failure.harm is not Harm.BROKE_REQUEST:
                continue
            rows = np.flatnonzero(observed.entering & calls.failed)
            yield Finding(
                self.code,
                Severity.INFO if failure.is_client_error else Severity.CRITICAL,
                f"{failure.operation} ({failure.service}) fails with {failure.word}"
                + (f" because {failure.cause} fails first." if failure.cause else "."),
                f"{failure.failed} of {failure.calls}.",
                ComponentKind.OPERATION,
                f"{failure.operation} ({failure.service})",
                failure.failed,
                failure.failed,
                tuple(rows[:20].tolist()),
                int(calls.start[rows].min()),
                int(calls.end[rows].max()),
                f"wiretrace show CASE {failure.example}",
            )
