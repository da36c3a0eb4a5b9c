"""thundering-herd: many requests that ask for the very same thing at the same moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import conclude, harm, show_step, touched
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.rules.first_cause import component_kind
from wiretrace.diagnosis.siblings import countable_kinds
from wiretrace.diagnosis.spectrum import told_kind
from wiretrace.model.finding import Severity
from wiretrace.model.words import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.model.finding import Finding

FEWEST = 8
"""Identical calls for different requests that are under way at once, at least, ..."""
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
        rows, digest = rows[digest != 0], digest[digest != 0]
        if not len(rows):
            return
        key = digest.astype(np.uint64) ^ (calls.kind[rows].astype(np.uint64) << np.uint64(48))
        order = np.lexsort((calls.start[rows], key))
        rows, key = rows[order], key[order]
        opens = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
        lengths = np.diff(np.append(opens, len(rows)))
        enough = np.repeat(lengths >= FEWEST, lengths)
        rows, key = rows[enough], key[enough]
        if not len(rows):
            return
        # The call FEWEST - 1 places before, of the same content, is still under way when this one begins.
        back = FEWEST - 1
        start, end = calls.start[rows], calls.end[rows]
        herd = np.zeros(len(rows), np.bool_)
        herd[back:] = (key[back:] == key[:-back]) & (end[:-back] > start[back:])
        herd[back:] &= observed.request[rows[back:]] != observed.request[rows[:-back]]
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
