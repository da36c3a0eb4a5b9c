"""missing-call: a call that requests of a kind always make, and that some did not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import conclude, show_step
from wiretrace.diagnosis.names import distinct
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

SURE = 0.99
"""Confidence of a link above which a call is its parent's, and nobody else's."""
MOST_MISTAKES = 0.5
"""More calls lack the step than so many times the links to it that are wrong, by their own confidence."""
AROUND_NS = 100_000_000
"""A call that was made so long before or after may be the missing one as well."""


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
        keys = parents.astype(np.int64) * kinds + calls.kind[child]
        keys.sort()
        opens = np.flatnonzero(np.diff(keys, prepend=-1))
        above, below = keys[opens] // kinds, keys[opens] % kinds
        times = np.diff(np.append(opens, len(keys)))
        pairs_well = well[above]
        kind_above = calls.kind[above].astype(np.int64)
        combination, first = distinct([kind_above, below])
        made_by = np.bincount(combination[pairs_well], minlength=len(first))
        by_pair = np.argsort(combination, kind="stable")
        bounds = np.searchsorted(combination[by_pair], np.arange(len(first) + 1))
        has, too_many = np.zeros(len(calls), np.bool_), np.zeros(len(calls), np.bool_)
        rows_of_kind = observed.in_order(well, calls.kind)
        ends = np.searchsorted(calls.kind[rows_of_kind], np.arange(kinds + 1))
        for pair, count in enumerate(made_by.tolist()):
            kind, step = int(kind_above[first[pair]]), int(below[first[pair]])
            if often[kind] < FEWEST or count == often[kind] or count < ALWAYS * often[kind]:
                continue
            these = by_pair[bounds[pair] : bounds[pair + 1]]
            rows = rows_of_kind[ends[kind] : ends[kind + 1]]
            has[above[these]] = True
            lacking = rows[~has[rows]]
            has[above[these]] = False
            usually = np.median(times[these])
            more = above[these[times[these] > usually]]
            too_many[more] = True
            lacking = self._without_doubt(observed, lacking, step, too_many)
            too_many[more] = False
            # Where as many were made as there should be, none is missing: some have the wrong parent.
            made = int(times[these][pairs_well[these]].sum())
            if not len(lacking):
                continue
            of_kind = calls.kind == step
            loose = int((of_kind & (observed.parent < 0)).sum())
            wrong_links = float((1.0 - observed.confidence[of_kind]).sum())
            enough = often[kind] * usually - made - loose >= len(lacking) > MOST_MISTAKES * wrong_links
            if not enough:
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

    def _without_doubt(
        self, observed: Observed, lacking: NDArray[np.int64], step: int, too_many: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        """Those of `lacking` during which their process made no call of kind `step` that may be theirs.

        That is one without a sure parent, or one of a parent that has more of them than usual (`too_many`, shape (n,)).
        """
        calls = observed.calls
        rows = np.flatnonzero(calls.kind == step)
        above = observed.parent[rows]
        rows = rows[(above < 0) | too_many[np.maximum(above, 0)] | (observed.confidence[rows] < SURE)]
        rows = rows[np.argsort(calls.start[rows], kind="stable")]
        times = calls.start[rows]
        first = np.searchsorted(times, calls.start[lacking] - AROUND_NS)
        last = np.searchsorted(times, calls.end[lacking] + AROUND_NS, "right")
        sure: NDArray[np.int64] = lacking[first == last]
        return sure
