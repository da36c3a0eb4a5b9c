"""duplicate-write: a request that its caller believed to have failed took effect, and so did its repetition."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import conclude, show_step
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.spectrum import told_kind
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.model.finding import Finding

EFFECT = re.compile(
    r"(INSERT|UPDATE|DELETE|MERGE|REPLACE)\b|(LPUSH|RPUSH|INCR|INCRBY|DECR|XADD|PUBLISH)$|publish\b|insert\b"
)
"""Statements and commands whose repetition changes more than the first did."""


class DuplicateWrite(Rule):
    """The same thing written twice."""

    code = "duplicate-write"
    title = "A repeated request took effect twice"
    page = Page(
        finds="Attempts at one request (same content, same caller) of which two at least have a write beneath them that "
        "succeeded: the first attempt did its work, only its answer did not arrive, or came too late.",
        matters="An order is placed twice, a card is charged twice. Nobody sees an error.",
        confirm="The calls that are listed are the attempts; the writes stand below each. Look for the two rows in the "
        "database. Give the request an idempotency key.",
        false_alarm="Where the write is idempotent by design (the same key, ON CONFLICT DO NOTHING), or where the first "
        "transaction was rolled back afterwards.",
    )

    def find(self, observed: Observed) -> Iterator[Finding]:
        """One finding for each kind of request that took effect twice."""
        calls, attempts = observed.calls, observed.attempts
        if not len(attempts.later):
            return
        writes = self._attempts_that_wrote(observed)
        twice = writes[attempts.earlier] & writes[attempts.later]
        earlier, later = attempts.earlier[twice], attempts.later[twice]
        for kind in np.unique(calls.kind[later]).tolist():
            of_kind = calls.kind[later] == kind
            rows = np.stack([earlier[of_kind], later[of_kind]], axis=1).ravel()
            pairs = len(rows) // 2
            yield conclude(
                observed,
                self,
                Severity.CRITICAL,
                f"{told_kind(calls, kind)} took effect twice {counted(pairs, 'time')}: it was repeated after an attempt "
                "that had already written.",
                "The attempts have the same content and the same caller, and each has a successful write beneath it.",
                (ComponentKind.OPERATION, told_kind(calls, kind)),
                rows,
                show_step(observed, int(rows[0])),
                occurrences=pairs,
            )

    def _attempts_that_wrote(self, observed: Observed) -> NDArray[np.bool_]:
        """Whether each call is, or has beneath it, a write that succeeded and was not rolled back. Shape (n,)."""
        calls = observed.calls
        is_write = np.array([EFFECT.match(kind.operation) is not None for kind in calls.kinds], np.bool_)
        wrote: NDArray[np.bool_] = is_write[calls.kind] & ~calls.failed & ~calls.unknown
        undone = np.array([kind.operation.startswith("ROLLBACK") for kind in calls.kinds], np.bool_)[calls.kind]
        above = observed.parent[undone & (observed.parent >= 0)]
        gave_back = np.zeros(len(calls), np.bool_)
        gave_back[above] = True
        wrote &= ~(gave_back[np.maximum(observed.parent, 0)] & (observed.parent >= 0))
        rows = np.flatnonzero(wrote)
        while len(rows):
            causes = np.unique(observed.parent[rows])
            rows = causes[causes >= 0].astype(np.int64)
            rows = rows[~wrote[rows]]
            wrote[rows] = True
        return wrote
