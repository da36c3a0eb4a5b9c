"""response-contract: from some moment on, or from some instance, a kind of call is answered in another form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import conclude, show_step
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.rules.first_cause import component_kind
from wiretrace.diagnosis.siblings import countable_kinds
from wiretrace.diagnosis.spectrum import told_kind
from wiretrace.model.finding import Severity
from wiretrace.model.words import counted, percent, size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.model.finding import Finding

FEWEST = 10
"""Answers in each form, at least."""
TIMES_SIZE = 1.5
"""The larger form is so many times as large as the smaller, at least."""


class ResponseContract(Rule):
    """Another form of answer."""

    code = "response-contract"
    title = "A service answers in another form than before"
    page = Page(
        finds="A kind of call over HTTP that succeeds before and after some moment (or at two instances), but with another "
        "status, or with sizes that do not overlap: the smallest answer of one side is larger than the largest "
        "of the other. "
        "It is a warning where the caller fails more often afterwards.",
        matters="A deployment changed the answer. The service reports success, and its callers break.",
        confirm="Compare two of the calls, one of each form, and the deployments of that time. Bodies are not kept in the "
        "case: look at the packets of the frames that are listed.",
        false_alarm="Where the data changed and not the form: an entry that was filled, a list that grew once.",
    )

    def find(self, observed: Observed) -> Iterator[Finding]:
        """One finding for each kind of call whose answers changed."""
        calls = observed.calls
        is_web = np.array([ending.protocol in ("http", "http2") for ending in calls.endings], np.bool_)
        well = observed.in_request & ~calls.failed & ~calls.unknown & is_web[calls.ending]
        sizes = observed.numbers("response_bytes")
        status = np.array([_number_of(ending.status) for ending in calls.endings], np.int64)[calls.ending]
        often = np.bincount(calls.kind[well], minlength=len(calls.kinds))
        for kind in np.flatnonzero((often >= 2 * FEWEST) & countable_kinds(observed)).tolist():
            rows = np.flatnonzero(well & (calls.kind == kind))
            rows = rows[np.argsort(calls.start[rows], kind="stable")]
            changed = self._changed(status[rows], sizes[rows])
            if changed is None:
                changed = self._by_instance(observed, rows, status[rows], sizes[rows])
            if changed is None:
                continue
            is_new, how, when = changed
            new = rows[is_new]
            old = rows[~is_new]
            failing = [
                float(observed.failed[observed.parent[each][observed.parent[each] >= 0]].mean())
                if (observed.parent[each] >= 0).any()
                else 0.0
                for each in (old, new)
            ]
            breaks = failing[1] > failing[0] + 0.1
            told = (
                f" Its callers fail in {percent(failing[1])} of the cases, and in {percent(failing[0])} before."
                if breaks
                else " Its callers do not fail for it."
            )
            yield conclude(
                observed,
                self,
                Severity.WARNING if breaks else Severity.INFO,
                f"{told_kind(calls, kind)} is answered in another form {when}: {how}.",
                f"{counted(len(old), 'answer')} in the one form, {len(new):,} in the other; all report success.{told}",
                (component_kind(observed, int(new[0])), told_kind(calls, kind)),
                new,
                show_step(observed, int(new[0])),
            )

    def _changed(
        self, status: NDArray[np.int64], sizes: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], str, str] | None:
        """A moment that divides the answers into two forms; shapes (m,) in order of time."""
        count = len(sizes)
        index = np.arange(1, count)
        apart = (index >= FEWEST) & (count - index >= FEWEST)
        low, high = np.minimum.accumulate(sizes), np.maximum.accumulate(sizes)
        low_after = np.minimum.accumulate(sizes[::-1])[::-1]
        high_after = np.maximum.accumulate(sizes[::-1])[::-1]
        grows = apart & (low_after[1:] >= TIMES_SIZE * np.maximum(high[:-1], 1))
        shrinks = apart & (low[:-1] >= TIMES_SIZE * np.maximum(high_after[1:], 1))
        for cut in (np.flatnonzero(grows | shrinks) + 1).tolist():
            how = f"{size(int(np.median(sizes[:cut])))} before, {size(int(np.median(sizes[cut:])))} after"
            return np.arange(count) >= cut, how, "from some moment on"
        steps = np.flatnonzero(np.diff(status)) + 1
        if len(steps) == 1 and FEWEST <= steps[0] <= count - FEWEST:
            cut = int(steps[0])
            return np.arange(count) >= cut, f"status {status[0]} before, {status[-1]} after", "from some moment on"
        return None

    def _by_instance(
        self, observed: Observed, rows: NDArray[np.int64], status: NDArray[np.int64], sizes: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], str, str] | None:
        """An instance that answers in another form than all others."""
        calls = observed.calls
        places = calls.callee_place[rows]
        for place in np.unique(places).tolist():
            here = places == place
            if here.sum() < FEWEST or (~here).sum() < FEWEST:
                continue
            name = f"by instance {calls.places[place].instance}"
            one, other = sizes[here], sizes[~here]
            if one.min() >= TIMES_SIZE * max(other.max(), 1) or other.min() >= TIMES_SIZE * max(one.max(), 1):
                return here, f"{size(int(np.median(one)))}, and {size(int(np.median(other)))} by the others", name
            if (
                len(np.unique(status[here])) == 1 == len(np.unique(status[~here]))
                and status[here][0] != status[~here][0]
            ):
                return here, f"status {status[here][0]}, and {status[~here][0]} by the others", name
        return None


def _number_of(status: str) -> int:
    """A status of HTTP as a number; 0 for what is none."""
    return int(status) if status.isascii() and status.isdigit() and len(status) == 3 else 0
