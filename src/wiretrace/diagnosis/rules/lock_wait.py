"""lock-wait: statements that wait until another transaction ends, and deadlocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Told, harm
from wiretrace.diagnosis.rowset import RowSet
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.conclude import Evidence
    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

ENDS_A_TRANSACTION = ("COMMIT", "ROLLBACK")
TAKES_LOCKS = ("UPDATE", "DELETE", "INSERT", "MERGE", "REPLACE", "SELECT", "LOCK", "ALTER", "TRUNCATE")
"""Verbs of statements that may wait for a lock."""
LOCK_ERRORS = frozenset({"40P01", "55P03", "1205", "1213", "40001"})
"""PostgreSQL: deadlock_detected, lock_not_available, serialization_failure; MariaDB: lock wait timeout, deadlock."""
SOON_NS = 5_000_000
"""A statement that waited ends so soon after the transaction that held its lock."""
FEWEST = 3
"""Statements of a kind that waited, at least, ..."""
SHARE = 0.6
"""... and their share of those that were slow."""
STATEMENT = np.dtype(
    [("start", "i8"), ("end", "i8")]
    + [(name, "i4") for name in ("row", "kind", "callee_place", "connection", "parent_kind")]
)
"""What is remembered of a statement, as `Portion` has it."""


class LockWait(Rule):
    """Waits for locks."""

    code = "lock-wait"
    title = "Statements wait for locks"
    page = Page(
        finds="Statements that took far longer than usual and ended within five milliseconds of the COMMIT or ROLLBACK of "
        "another connection to the same database that had begun to write before; and statements that ended with an error "
        "of locking (deadlock, lock timeout, serialization failure).",
        matters="The database is idle and the requests stand in a row. The transaction that holds the lock is what has to "
        "become shorter.",
        confirm="pg_locks and pg_stat_activity, or SHOW ENGINE INNODB STATUS, at the time of the finding. The listed calls "
        "are the waiting statements; look at what their blockers did between their first write and their commit.",
        false_alarm="Where commits are so frequent that one is always near. The rule asks for slow statements of which most "
        "end with a commit.",
    )

    def __init__(self, whole: Whole) -> None:
        super().__init__(whole)
        kinds = whole.vocabulary.kinds
        self._locks = np.array([kind.operation.startswith(TAKES_LOCKS) for kind in kinds], np.bool_)
        self._ends = np.array([kind.operation.startswith(ENDS_A_TRANSACTION) for kind in kinds], np.bool_)
        self._is_error = np.array([each.status in LOCK_ERRORS for each in whole.vocabulary.endings], np.bool_)
        self._errors: dict[int, set[str]] = {}
        """Statuses of errors of locking, by kind of statement."""
        self._waiting = np.zeros(0, STATEMENT)
        """Slow statements that have not ended yet."""
        self._ending = np.zeros(0, STATEMENT)
        """Ends of transactions with which such a statement may end."""
        self._slow = np.zeros(whole.kinds, np.int64)
        self._blocked = np.zeros(whole.kinds, np.int64)
        """Slow statements of each kind, and those of them that waited for the end of a transaction."""
        self._rows = RowSet(whole.calls)
        """The latter."""
        self._holders: dict[int, set[int]] = {}
        """Kinds of the calls that held the locks, by kind of statement."""

    def see_trees(self, portion: Portion) -> None:
        """Look for errors of locking."""
        errors = np.flatnonzero(self._is_error[portion.ending])
        for kind, ending in set(zip(portion.kind[errors].tolist(), portion.ending[errors].tolist(), strict=True)):
            self._errors.setdefault(kind, set()).add(portion.of_ending(ending).status)

    def see_in_order(self, portion: Portion) -> None:
        """Look for slow statements that end with somebody's transaction."""
        waiting = self._locks[portion.kind] & portion.slow & ~portion.not_ok & ~portion.unknown
        self._waiting = np.concatenate([self._waiting, _statements(portion, waiting)])
        ending = self._ends[portion.kind] & ~portion.unknown
        self._ending = np.concatenate([self._ending, _statements(portion, ending)])
        if len(portion):
            self._settle(int(portion.start[-1]))

    def claims(self) -> Iterator[Claim]:
        """One claim for each kind of statement that waited, and for each that met an error of locking."""
        self._settle(np.iinfo(np.int64).max)
        for kind, words in sorted(self._errors.items()):
            yield self._error(kind, sorted(words))
        for kind, blocked in enumerate(self._blocked.tolist()):
            if blocked >= FEWEST and blocked >= SHARE * self._slow[kind]:
                yield self._wait(kind)

    def _settle(self, now: int) -> None:
        """Decide about the statements that ended before now; nothing is to come that did."""
        over = self._waiting["end"] < now
        waiting, self._waiting = self._waiting[over], self._waiting[~over]
        freed = freed_by(waiting, self._ending)
        is_freed = freed >= 0
        self._slow += np.bincount(waiting["kind"], minlength=len(self._slow))
        self._blocked += np.bincount(waiting["kind"][is_freed], minlength=len(self._blocked))
        self._rows.add(waiting["row"][is_freed])
        holders = self._ending["parent_kind"][freed[is_freed]]
        for kind, holder in set(zip(waiting["kind"][is_freed].tolist(), holders.tolist(), strict=True)):
            if holder >= 0:
                self._holders.setdefault(kind, set()).add(holder)
        self._ending = self._ending[self._ending["end"] >= now - SOON_NS]

    def _wait(self, kind: int) -> Claim:
        whole, name = self.whole, self.whole.told_kind(kind)
        slow = int(self._slow[kind])
        by = sorted(whole.told_kind(holder) for holder in self._holders.get(kind, ()))
        whose = f" The locks were held by {', '.join(by[:3])}." if by else ""

        def gather(portion: Portion, evidence: Evidence) -> None:
            places = np.flatnonzero((portion.kind == kind) & self._rows.has(portion.row))
            evidence.add(portion, places, -portion.duration[places])

        def tell(evidence: Evidence) -> Told:
            return Told(
                max(harm(whole, evidence.requests), Severity.WARNING, key=_rank),
                f"{name} waits for locks: {counted(evidence.occurrences, 'call')}, up to "
                f"{duration(-evidence.shown[0][0])}.",
                f"{evidence.occurrences:,} of {slow:,} slow calls ended the moment that another transaction did.{whose}",
                f"Shorten the transactions that write before it. {whole.show_step(evidence.first)}",
            )

        return Claim((ComponentKind.STATEMENT, name), tell, gather)

    def _error(self, kind: int, words: list[str]) -> Claim:
        name = self.whole.told_kind(kind)

        def gather(portion: Portion, evidence: Evidence) -> None:
            evidence.add(portion, np.flatnonzero((portion.kind == kind) & self._is_error[portion.ending]))

        def tell(evidence: Evidence) -> Told:
            return Told(
                Severity.WARNING,
                f"{name} ends with an error of locking ({', '.join(words)}): {counted(evidence.occurrences, 'call')}.",
                "Another transaction held a lock that it needed, and one of the two had to give way.",
                f"Let all transactions take their locks in the same order. {self.whole.show_step(evidence.first)}",
            )

        return Claim((ComponentKind.STATEMENT, name), tell, gather)


def _statements(portion: Portion, wanted: NDArray[np.bool_]) -> NDArray[np.void]:
    places = np.flatnonzero(wanted)
    found = np.zeros(len(places), STATEMENT)
    for name in STATEMENT.names or ():
        found[name] = portion.records[name][places]
    return found


def freed_by(waiting: NDArray[np.void], ending: NDArray[np.void]) -> NDArray[np.int64]:
    """Index of the end of a transaction with which each waiting statement ended; -1 where there is none. Shape (m,)."""
    order = np.lexsort((ending["row"], ending["end"]))
    freed = np.full(len(waiting), -1, np.int64)
    for place in np.unique(waiting["callee_place"]).tolist():
        here = order[ending["callee_place"][order] == place]
        if not len(here):
            continue
        at = np.flatnonzero(waiting["callee_place"] == place)
        those = waiting[at]
        last = np.searchsorted(ending["end"][here], those["end"], "right") - 1
        for back in range(4):  # its own connection's commits, and unrelated ones, may lie between
            candidate = here[np.maximum(last - back, 0)]
            one = ending[candidate]
            fits = (last - back >= 0) & (freed[at] < 0) & (those["end"] - one["end"] <= SOON_NS)
            fits &= (one["connection"] != those["connection"]) & (one["start"] > those["start"])
            freed[at[fits]] = candidate[fits]
    return freed


def _rank(severity: Severity) -> int:
    return -list(Severity).index(severity)
