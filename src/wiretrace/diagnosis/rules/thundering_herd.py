"""thundering-herd: many requests that ask for the very same thing at the same moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from wiretrace.diagnosis.conclude import conclude, harm, show_step, touched
from wiretrace.diagnosis.contents import contents_of
from wiretrace.diagnosis.names import distinct
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.rules.first_cause import component_kind
from wiretrace.diagnosis.siblings import countable_kinds
from wiretrace.diagnosis.spectrum import told_kind
from wiretrace.model.finding import Severity
from wiretrace.model.words import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.model.finding import Finding

FEWEST = 8
"""Identical calls for different requests that are under way at once, at least, ..."""
TABLE_BITS = 20
"""Bits of a digest by which the common ones are told from the rare ones."""
TIMES_USUAL = 4
"""... and so many times as many as are under way when one of its kind begins, in the middle."""


class ThunderingHerd(Rule):
    """A herd of identical calls."""

    code = "thundering-herd"
    title = "Many ask for the same thing at once"
    page = Page(
        finds="Eight or more calls with the same content, made for different requests, that are under way at the same time: "
        "typically after a popular entry of a cache expired, when everybody fetches it from the database.",
        matters="The database does the same work many times over, just when the load is highest, and slows down for all.",
        confirm="Look whether a miss of a cache precedes each of the listed calls. Let one request fetch the "
        "value while the "
        "others wait for it, or renew the entry before it expires.",
        false_alarm="Where calls without parameters (a list of settings) are made by every request, and the load is high: "
        "the rule asks for far more at once than usual.",
    )

    def find(self, observed: Observed) -> Iterator[Finding]:
        """One finding for each kind of call with a herd."""
        calls = observed.calls
        often = np.bincount(calls.kind, minlength=len(calls.kinds))
        eligible = countable_kinds(observed) & (often >= FEWEST)
        rows = np.flatnonzero(eligible[calls.kind] & observed.in_request & (observed.parent >= 0))
        digest = observed.of_exchange("request_digest", 0)[rows]
        # Most contents are rare: a table of a part of their bits tells so without sorting them.
        part = (digest >> np.uint64(64 - TABLE_BITS)).astype(np.int64)
        common = (np.bincount(part, minlength=1 << TABLE_BITS) >= FEWEST)[part] & (digest != 0)
        rows, digest = rows[common], digest[common]
        if not len(rows):
            return
        rows, herd = self._together(observed, rows, digest)
        if herd.any():
            members = rows[np.unique((np.flatnonzero(herd)[:, None] - np.arange(FEWEST)).ravel())]
            rows, herd = self._together(observed, members, contents_of(observed, members))
        for kind in np.unique(calls.kind[rows[herd]]).tolist():
            of_kind = np.flatnonzero(calls.kind == kind)
            begins = np.sort(calls.start[of_kind])
            at_once = np.arange(1, len(begins) + 1) - np.searchsorted(np.sort(calls.end[of_kind]), begins, "right")
            if float(np.median(at_once)) * TIMES_USUAL > FEWEST:
                continue
            places = np.flatnonzero(herd & (calls.kind[rows] == kind))
            members = np.unique((places[:, None] - np.arange(FEWEST)).ravel())
            shown = rows[members]
            shown = shown[np.argsort(calls.start[shown], kind="stable")]
            requests = touched(observed, shown)
            grave = harm(observed, requests) if observed.slow[shown].any() else Severity.INFO
            yield conclude(
                observed,
                self,
                grave,
                f"{counted(requests, 'request')} asked for the very same thing at once: {told_kind(calls, kind)}.",
                f"{counted(len(shown), 'identical call')} were under way together, {FEWEST} or more at a time; they took "
                f"{duration(int(np.median(observed.duration[shown])))} in the middle, where "
                f"{duration(int(observed.usual.typical[kind]))} is usual.",
                (component_kind(observed, int(shown[0])), told_kind(calls, kind)),
                shown,
                show_step(observed, int(shown[0])),
            )

    def _together(
        self, observed: Observed, rows: NDArray[np.int64], content: NDArray[np.uint64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Calls by content and start, and which of them begin while `FEWEST` - 1 before them are still under way."""
        calls = observed.calls
        group, _ = distinct_contents(calls.kind[rows], content)
        order = np.argsort(calls.start[rows], kind="stable")
        order = order[np.argsort(group[order], kind="stable")]
        rows, group = rows[order], group[order]
        herd = np.zeros(len(rows), np.bool_)
        back = FEWEST - 1
        if len(rows) > back:
            earlier, later = rows[:-back], rows[back:]
            herd[back:] = (group[back:] == group[:-back]) & (calls.end[earlier] > calls.start[later])
            herd[back:] &= observed.request[earlier] != observed.request[later]
        return rows, herd


def distinct_contents(
    kind: NDArray[np.integer[Any]], content: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number each pair of kind and content; also the first of each. Shapes (m,) and (pairs,)."""
    _, first, number = np.unique(content, return_index=True, return_inverse=True)
    if not len(first):
        return number.astype(np.int64), first
    return distinct([kind, number])
