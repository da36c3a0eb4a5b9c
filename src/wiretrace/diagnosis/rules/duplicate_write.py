"""duplicate-write: a request that its caller believed to have failed took effect, and so did its repetition."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Told
from wiretrace.diagnosis.rowset import RowSet
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.conclude import Evidence
    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

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

    def __init__(self, whole: Whole) -> None:
        super().__init__(whole)
        kinds = whole.vocabulary.kinds
        self._writes = np.array([EFFECT.match(kind.operation) is not None for kind in kinds], np.bool_)
        self._undoes = np.array([kind.operation.startswith("ROLLBACK") for kind in kinds], np.bool_)
        self._wrote = RowSet(whole.calls)
        """Calls that are, or have beneath them, a write that succeeded and was not rolled back."""
        self._twice = RowSet(whole.calls)
        """Attempts that wrote, and whose repetition, or predecessor, did."""
        self._pairs = np.zeros(whole.kinds, np.int64)

    def see_trees(self, portion: Portion) -> None:
        """Note which calls wrote."""
        parent, has_parent = portion.parent, portion.has_parent
        wrote = self._writes[portion.kind] & ~portion.not_ok & ~portion.unknown
        gave_back = np.zeros(len(portion), np.bool_)
        gave_back[parent[self._undoes[portion.kind] & has_parent]] = True
        wrote &= ~(gave_back[np.maximum(parent, 0)] & has_parent)
        places = np.flatnonzero(wrote)
        while len(places):
            causes = np.unique(parent[places])
            places = causes[causes >= 0].astype(np.int64)
            places = places[~wrote[places]]
            wrote[places] = True
        self._wrote.add(portion.row[wrote])

    def see_in_order(self, portion: Portion) -> None:
        """Look for repetitions of which both wrote."""
        attempts = self.whole.attempts
        later = portion.row[attempts.later]
        twice = self._wrote.has(attempts.earlier) & self._wrote.has(later)
        self._twice.add(attempts.earlier[twice])
        self._twice.add(later[twice])
        self._pairs += np.bincount(portion.kind[attempts.later[twice]], minlength=len(self._pairs))

    def claims(self) -> Iterator[Claim]:
        """One claim for each kind of request that took effect twice."""
        for kind in np.flatnonzero(self._pairs).tolist():
            yield self._claim(kind, int(self._pairs[kind]))

    def _claim(self, kind: int, pairs: int) -> Claim:
        name = self.whole.told_kind(kind)

        def gather(portion: Portion, evidence: Evidence) -> None:
            places = np.flatnonzero((portion.kind == kind) & self._twice.has(portion.row))
            evidence.add(portion, places, portion.start[places])

        def tell(evidence: Evidence) -> Told:
            return Told(
                Severity.CRITICAL,
                f"{name} took effect twice {counted(pairs, 'time')}: it was repeated after an attempt "
                "that had already written.",
                "The attempts have the same content and the same caller, and each has a successful write beneath it.",
                self.whole.show_step(evidence.first),
                pairs,
            )

        return Claim((ComponentKind.OPERATION, name), tell, gather)
