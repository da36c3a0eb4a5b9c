"""size-outlier: answers that are far larger than their kind's, and slow for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import conclude, harm, show_step, touched
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.rules.first_cause import component_kind
from wiretrace.diagnosis.spectrum import told_kind
from wiretrace.diagnosis.usual import quantiles_of_groups
from wiretrace.model.finding import Severity
from wiretrace.model.words import counted, percent, size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.model.finding import Finding

FEWEST = 20
"""Calls of a kind from which it is said what is usual."""
TIMES_LARGER = 20
"""An outlier is so many times as large as the middle answer, ..."""
LARGE_BYTES = 100_000
"""... and at least so large."""


class SizeOutlier(Rule):
    """Answers of unusual size."""

    code = "size-outlier"
    title = "Some answers are far too large"
    page = Page(
        finds="Kinds of call of which some answers (or requests) are at least twenty times as large as the middle one, and "
        "100 kB or more. It is a warning where the requests that wait for them are slow.",
        matters="One customer with ten thousand orders, one query without LIMIT: it takes memory, network and time of "
        "everything on its way.",
        confirm="Show one of the calls, and look at its statement or its parameters. Page the result, or limit it.",
        false_alarm="Where the kind of call serves files of all sizes.",
    )

    def find(self, observed: Observed) -> Iterator[Finding]:
        """One finding for each kind of call with such answers, or such requests."""
        calls = observed.calls
        for column, noun in (("response_bytes", "answer"), ("request_bytes", "request")):
            sizes = observed.numbers(column)
            well = observed.in_request & ~calls.failed & ~calls.unknown
            known, (middle,) = quantiles_of_groups(calls.kind[well], sizes[well], len(calls.kinds), (0.5,))
            limit = np.where(known >= FEWEST, np.maximum(TIMES_LARGER * middle, LARGE_BYTES), np.iinfo(np.int64).max)
            large = well & (sizes > limit[calls.kind])
            for kind in np.unique(calls.kind[large]).tolist():
                rows = np.flatnonzero(large & (calls.kind == kind))
                rows = rows[np.argsort(-sizes[rows], kind="stable")]
                late = rows[observed.bad_request[observed.request[rows]]]
                share = percent(len(rows) / int(known[kind]))
                yield conclude(
                    observed,
                    self,
                    harm(observed, touched(observed, late)) if len(late) else Severity.INFO,
                    f"{counted(len(rows), noun)} of {told_kind(calls, kind)} {'is' if len(rows) == 1 else 'are'} far too "
                    f"large: up to {size(int(sizes[rows[0]]))}, where {size(int(middle[kind]))} is usual.",
                    f"{share} of its calls; "
                    f"{counted(len(late), 'of their requests was slow', 'of their requests were slow')}.",
                    (component_kind(observed, int(rows[0])), told_kind(calls, kind)),
                    rows,
                    show_step(observed, int(rows[0])),
                )
