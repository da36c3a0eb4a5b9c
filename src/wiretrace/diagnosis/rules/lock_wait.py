"""lock-wait: statements that wait until another transaction ends, and deadlocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import conclude, harm, show_step, touched
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.spectrum import told_kind
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.model.finding import Finding

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

    def find(self, observed: Observed) -> Iterator[Finding]:
        """One finding for each kind of statement that waited, and for each that met an error of locking."""
        calls = observed.calls
        verbs = np.array([kind.operation.startswith(TAKES_LOCKS) for kind in calls.kinds], np.bool_)
        ends = np.array([kind.operation.startswith(ENDS_A_TRANSACTION) for kind in calls.kinds], np.bool_)
        yield from self._errors(observed)
        waiting = np.flatnonzero(verbs[calls.kind] & observed.slow & ~calls.failed & ~calls.unknown)
        ending = np.flatnonzero(ends[calls.kind] & ~calls.unknown)
        if not len(waiting) or not len(ending):
            return
        freed = self._freed_by(observed, waiting, ending)
        for kind in np.unique(calls.kind[waiting[freed >= 0]]).tolist():
            of_kind = np.flatnonzero(calls.kind[waiting] == kind)
            blocked = of_kind[freed[of_kind] >= 0]
            if len(blocked) < FEWEST or len(blocked) < SHARE * len(of_kind):
                continue
            rows = waiting[blocked]
            rows = rows[np.argsort(-observed.duration[rows], kind="stable")]
            holders = freed[blocked]
            by = sorted({told_kind(calls, int(calls.kind[top])) for top in observed.parent[holders] if top >= 0})
            whose = f" The locks were held by {', '.join(by[:3])}." if by else ""
            yield conclude(
                observed,
                self,
                max(harm(observed, touched(observed, rows)), Severity.WARNING, key=_rank),
                f"{told_kind(calls, kind)} waits for locks: {counted(len(rows), 'call')}, up to "
                f"{duration(int(observed.duration[rows[0]]))}.",
                f"{len(rows):,} of {len(of_kind):,} slow calls ended the moment that another transaction did.{whose}",
                (ComponentKind.STATEMENT, told_kind(calls, kind)),
                rows,
                f"Shorten the transactions that write before it. {show_step(observed, int(rows[0]))}",
            )

    def _freed_by(self, observed: Observed, waiting: NDArray[np.int64], ending: NDArray[np.int64]) -> NDArray[np.int64]:
        """The end of a transaction with which each waiting statement ended; -1 where there is none. Shape (m,)."""
        calls = observed.calls
        connection = observed.connection
        ending = ending[np.argsort(calls.end[ending], kind="stable")]
        freed = np.full(len(waiting), -1, np.int64)
        for place in np.unique(calls.callee_place[waiting]).tolist():
            here = ending[calls.callee_place[ending] == place]
            at = np.flatnonzero(calls.callee_place[waiting] == place)
            rows = waiting[at]
            last = np.searchsorted(calls.end[here], calls.end[rows], "right") - 1
            for back in range(4):  # its own connection's commits, and unrelated ones, may lie between
                candidate = here[np.maximum(last - back, 0)] if len(here) else rows
                fits = (last - back >= 0) & (freed[at] < 0) & (calls.end[rows] - calls.end[candidate] <= SOON_NS)
                fits &= (connection[candidate] != connection[rows]) & (calls.start[candidate] > calls.start[rows])
                freed[at[fits]] = candidate[fits]
        return freed

    def _errors(self, observed: Observed) -> Iterator[Finding]:
        calls = observed.calls
        is_lock = np.array([ending.status in LOCK_ERRORS for ending in calls.endings], np.bool_)[calls.ending]
        rows = np.flatnonzero(is_lock)
        for kind in np.unique(calls.kind[rows]).tolist():
            of_kind = rows[calls.kind[rows] == kind]
            words = sorted({calls.endings[code].status for code in calls.ending[of_kind].tolist()})
            yield conclude(
                observed,
                self,
                Severity.WARNING,
                f"{told_kind(calls, kind)} ends with an error of locking ({', '.join(words)}): "
                f"{counted(len(of_kind), 'call')}.",
                "Another transaction held a lock that it needed, and one of the two had to give way.",
                (ComponentKind.STATEMENT, told_kind(calls, kind)),
                of_kind,
                f"Let all transactions take their locks in the same order. {show_step(observed, int(of_kind[0]))}",
            )


def _rank(severity: Severity) -> int:
    return -list(Severity).index(severity)
