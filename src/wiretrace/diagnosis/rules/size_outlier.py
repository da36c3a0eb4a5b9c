"""size-outlier: answers that are far larger than their kind's, and slow for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Told, harm
from wiretrace.diagnosis.distribution import Distributions
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.model.finding import Severity
from wiretrace.model.words import counted, percent, size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.conclude import Evidence
    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

FEWEST = 20
"""Calls of a kind from which it is said what is usual."""
TIMES_LARGER = 20
"""An outlier is so many times as large as the middle answer, ..."""
LARGE_BYTES = 100_000
"""... and at least so large."""
SIZES = (("response_bytes", "answer"), ("request_bytes", "request"))
"""Columns that are looked at, and what they are the sizes of."""


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

    def __init__(self, whole: Whole) -> None:
        super().__init__(whole)
        self._sizes = {column: Distributions() for column, _ in SIZES}
        self._largest = {column: np.zeros(whole.kinds, np.int64) for column, _ in SIZES}

    def see_trees(self, portion: Portion) -> None:
        """Learn what is usual."""
        well = _well(portion)
        kind = portion.kind[well]
        for column, sizes in self._sizes.items():
            values = getattr(portion, column)[well]
            sizes.add(kind, values)
            np.maximum.at(self._largest[column], kind, values)

    def claims(self) -> Iterator[Claim]:
        """One claim for each kind of call with such answers, or such requests."""
        for column, noun in SIZES:
            known = self._sizes[column].counts(self.whole.kinds)
            (middle,) = self._sizes[column].percentiles(self.whole.kinds, (50,))
            limit = np.maximum(TIMES_LARGER * middle, LARGE_BYTES)
            for kind in np.flatnonzero((known >= FEWEST) & (self._largest[column] > limit)).tolist():
                yield self._claim((column, noun), kind, int(limit[kind]), int(middle[kind]), int(known[kind]))

    def _claim(self, which: tuple[str, str], kind: int, limit: int, middle: int, known: int) -> Claim:
        column, noun = which
        whole, name = self.whole, self.whole.told_kind(kind)
        late = {"calls": 0, "requests": 0}

        def gather(portion: Portion, evidence: Evidence) -> None:
            sizes: NDArray[np.int64] = getattr(portion, column)
            places = np.flatnonzero(_well(portion) & (portion.kind == kind) & (sizes > limit))
            evidence.add(portion, places, -sizes[places])
            waited = places[portion.late[places]]
            late["calls"] += len(waited)
            late["requests"] += portion.touched(waited)

        def tell(evidence: Evidence) -> Told:
            count, slow = evidence.occurrences, late["calls"]
            return Told(
                harm(whole, late["requests"]) if slow else Severity.INFO,
                f"{counted(count, noun)} of {name} {'is' if count == 1 else 'are'} far too large: up to "
                f"{size(-evidence.shown[0][0])}, where {size(middle)} is usual.",
                f"{percent(count / known)} of its calls; "
                f"{counted(slow, 'of their requests was slow', 'of their requests were slow')}.",
                whole.show_step(evidence.first),
            )

        return Claim((whole.component_kind(kind), name), tell, gather)


def _well(portion: Portion) -> NDArray[np.bool_]:
    return portion.in_request & ~portion.not_ok & ~portion.unknown
