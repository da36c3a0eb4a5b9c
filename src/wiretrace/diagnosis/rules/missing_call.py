"""missing-call: a call that requests of a kind always make, and that some did not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import conclude, show_step
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.rules.first_cause import component_kind
from wiretrace.diagnosis.siblings import countable_kinds
from wiretrace.diagnosis.spectrum import told_kind
from wiretrace.model.finding import Severity
from wiretrace.model.words import counted, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.model.finding import Finding

FEWEST = 20
"""Calls of a kind from which it is said what they always do."""
ALWAYS = 0.9
"""Share of them that make a call from which on it belongs to them."""


class MissingCall(Rule):
    """A step left out."""

    code = "missing-call"
    title = "A usual call is missing"
    page = Page(
        finds="Calls that succeeded without making a call that nine in ten of their kind, at least, make: a step was left "
        "out. Calls that failed do not count, nor those around which a call of the missing kind was made whose cause is "
        "not sure.",
        matters="An e-mail is not sent, stock is not reserved, an audit entry is not written: nothing failed, and still "
        "something did not happen.",
        confirm="Compare one of the calls with one of its kind that has the step. Look whether its host was captured "
        "without loss at that time: what the capture lacks, it lacks here as well.",
        false_alarm="Where the step is left out by design in rare cases (a cache that is nearly always cold, a feature "
        "flag), or where the linker gave it to another call.",
    )

    def find(self, observed: Observed) -> Iterator[Finding]:
        """One finding for each step that some calls left out."""
        calls = observed.calls
        kinds = len(calls.kinds)
        countable = countable_kinds(observed)
        child = np.flatnonzero((observed.parent >= 0) & countable[calls.kind] & observed.in_request)
        if not len(child):
            return
        well = observed.in_request & ~calls.failed & ~calls.unknown & countable[calls.kind]
        often = np.bincount(calls.kind[well], minlength=kinds)
        parents = observed.parent[child]
        pairs = np.unique(parents.astype(np.int64) * kinds + calls.kind[child])
        above, below = pairs // kinds, pairs % kinds
        pairs_well = well[above]
        combination, made = np.unique(
            calls.kind[above[pairs_well]].astype(np.int64) * kinds + below[pairs_well], return_counts=True
        )
        for pair, count in zip(combination.tolist(), made.tolist(), strict=True):
            kind, step = pair // kinds, pair % kinds
            if often[kind] < FEWEST or count == often[kind] or count < ALWAYS * often[kind]:
                continue
            having = above[pairs_well & (below == step) & (calls.kind[above] == kind)]
            lacking = np.setdiff1d(np.flatnonzero(well & (calls.kind == kind)), having)
            lacking = self._without_doubt(observed, lacking, step)
            if not len(lacking):
                continue
            name = told_kind(calls, step)
            yield conclude(
                observed,
                self,
                Severity.WARNING,
                f"{counted(len(lacking), 'call')} of {told_kind(calls, kind)} did not ask for {name}, which the others do.",
                f"{count:,} of {int(often[kind]):,} calls of this kind ({percent(count / often[kind])}) made it; those that "
                "did not make it succeeded all the same.",
                (component_kind(observed, int(np.flatnonzero(calls.kind == step)[0])), name),
                lacking,
                show_step(observed, int(lacking[0])),
            )

    def _without_doubt(self, observed: Observed, lacking: NDArray[np.int64], step: int) -> NDArray[np.int64]:
        """Those of `lacking` during which their process made no call of kind `step` that has no sure cause."""
        calls = observed.calls
        loose = np.flatnonzero((calls.kind == step) & (observed.parent < 0))
        if not len(loose):
            return lacking
        loose = loose[np.argsort(calls.start[loose], kind="stable")]
        times = calls.start[loose]
        first = np.searchsorted(times, calls.start[lacking])
        last = np.searchsorted(times, calls.end[lacking], "right")
        sure: NDArray[np.int64] = lacking[first == last]
        return sure
