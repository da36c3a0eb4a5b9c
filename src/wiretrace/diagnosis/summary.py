"""The figures of the terminal summary: what is in a case, what failed, what was slow, and how sure the links are.

Everything is counted on columns; only the trees that fail are looked into call by call, and at most `CAUSES_SOUGHT`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wiretrace.case.calls import plain_list
from wiretrace.case.forest import Forest
from wiretrace.model.analysis import unexplained_bytes
from wiretrace.model.outcome import Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.case.reader import Case

UNDECIDED = (Outcome.OK, Outcome.UNFINISHED, Outcome.NOT_CAPTURED)
"""Outcomes that are no failure: the last two say what the capture lacks."""
CAUSES_SOUGHT = 5000
"""Failing calls whose first cause is looked for."""
EXAMPLE_CALLS = 24
"""Trees with more calls than this are not taken as the example where a smaller one shows the same."""


@dataclass(slots=True)
class ServiceFigures:
    """One service."""

    name: str
    asked: int = 0
    """Calls to it."""
    asks: int = 0
    """Calls that it makes."""
    failed: int = 0
    """Calls to it that failed."""


@dataclass(slots=True)
class OperationTimes:
    """How long the requests of one kind take: calls without a parent."""

    service: str
    operation: str
    calls: int
    median_ns: float
    p95_ns: float
    longest_ns: float


@dataclass(slots=True)
class Failure:
    """Calls of one kind that failed, and were not made by a call that failed, too."""

    service: str
    operation: str
    failed: int
    """How often it failed."""
    calls: int
    """How often it was called."""
    word: str
    """How it failed: its status, or its outcome where there was no answer."""
    cause: str
    """What failed first beneath it, in words; empty where it failed by itself."""
    example: str
    """Id of the tree of one of them."""
    is_root: bool
    """Whether the example is a request from outside."""


@dataclass(slots=True)
class Summary:
    """What the terminal summary says."""

    calls: int = 0
    trees: int = 0
    captures: int = 0
    hosts: int = 0
    first_ns: int = -1
    """Start of the earliest call; -1 without calls."""
    last_ns: int = -1
    """End of the latest call."""
    dropped: int = 0
    """Packets that the capturing hosts say they dropped."""
    keeps_values: bool = False
    """Whether captured values were kept readable."""
    findings: list[tuple[str, str, str]] = field(default_factory=list)
    """Severity, title and detail of each finding, the worst first."""
    failures: list[Failure] = field(default_factory=list)
    """The most frequent first."""
    unknown_outcomes: int = 0
    """Calls whose end the capture lacks."""
    times: list[OperationTimes] = field(default_factory=list)
    """The slowest 95th percentile first."""
    services: list[ServiceFigures] = field(default_factory=list)
    """The most asked first."""
    links_by_basis: dict[str, int] = field(default_factory=dict)
    """Links by what they rest on; questions are not links."""
    questions: int = 0
    """Calls whose parent is too uncertain to be drawn as a link."""
    mean_confidence: float = 1.0
    """Mean probability of the inferred links; 1 where there are none."""
    notes: list[tuple[str, str, int]] = field(default_factory=list)
    """Sentence, subject and count of each note, the most frequent first."""
    accounting: dict[str, int] = field(default_factory=dict)
    """Captured payload bytes by where they went."""
    unexplained: int = 0
    """Captured payload bytes that are nowhere."""
    example: str = ""
    """Id of the tree that shows most; empty without calls."""


def summarize(case: Case) -> Summary:
    """Count everything that the terminal summary says. Raises UserError if the case is damaged."""
    calls = case.table("calls")
    captures = case.table("captures")
    summary = Summary(
        calls=len(calls),
        captures=len(set(plain_list(captures.column("capture")))),
        hosts=len(case.table("hosts")),
        dropped=sum(max(count or 0, 0) for count in plain_list(captures.column("dropped"))),
        keeps_values=case.manifest.keeps_values,
        findings=_findings(case),
        notes=sorted(
            zip(
                *(plain_list(case.table("notes").column(name)) for name in ("sentence", "subject", "count")),
                strict=True,
            ),
            key=lambda note: -note[2],
        ),
        accounting=case.manifest.accounting,
        unexplained=unexplained_bytes(case.manifest.accounting),
    )
    if not len(calls):
        return summary
    columns = _Columns(calls)
    roots = pc.is_null(calls.column("parent")).to_numpy()
    summary.trees = int(roots.sum())
    summary.first_ns = int(columns.start.min())
    summary.last_ns = int(columns.end.max())
    summary.unknown_outcomes = sum(
        columns.outcomes.count(outcome) for outcome in (Outcome.UNFINISHED, Outcome.NOT_CAPTURED)
    )
    summary.services = _services(columns)
    summary.times = _times(columns, roots)
    summary.failures = _failures(calls, columns)
    _count_links(calls, summary)
    summary.example = _example(columns, roots, summary)
    return summary


def party_names(calls: pa.Table, side: str) -> list[str]:
    """What to call the caller or the callee ("client" or "server") of each call: its service, host or address."""
    columns = (plain_list(calls.column(f"{side}_{what}")) for what in ("service", "host", "address"))
    return [service or host or address or "?" for service, host, address in zip(*columns, strict=True)]


class _Columns:
    """Columns of `calls` that are used again and again."""

    def __init__(self, calls: pa.Table) -> None:
        self.start: NDArray[np.int64] = calls.column("start_ns").to_numpy()
        self.end: NDArray[np.int64] = calls.column("end_ns").to_numpy()
        self.operations: list[str] = plain_list(calls.column("operation"))
        self.outcomes: list[str] = plain_list(calls.column("outcome"))
        self.statuses: list[str | None] = plain_list(calls.column("status"))
        self.trees: list[str] = plain_list(calls.column("tree"))
        self.callers = party_names(calls, "client")
        self.callees = party_names(calls, "server")
        self.failed = [outcome not in UNDECIDED for outcome in self.outcomes]

    def word(self, row: int) -> str:
        """How the call in `row` ended: the server's own word, or the outcome where it gave none."""
        status = self.statuses[row]
        return status if status and self.outcomes[row] == Outcome.ERROR else self.outcomes[row].replace("_", " ")


def _findings(case: Case) -> list[tuple[str, str, str]]:
    worst_first = ("critical", "warning", "info")
    table = case.table("findings")
    rows = zip(*(plain_list(table.column(name)) for name in ("severity", "title", "detail")), strict=True)
    return sorted(rows, key=lambda row: worst_first.index(row[0]) if row[0] in worst_first else len(worst_first))


def _services(columns: _Columns) -> list[ServiceFigures]:
    """Every party that is asked for something, with its calls in and out."""
    asked = Counter(columns.callees)
    asks = Counter(columns.callers)
    failed = Counter(callee for callee, is_failed in zip(columns.callees, columns.failed, strict=True) if is_failed)
    found = [ServiceFigures(name, count, asks[name], failed[name]) for name, count in asked.items()]
    return sorted(found, key=lambda service: (-service.asked, service.name))


def _times(columns: _Columns, roots: NDArray[np.bool_]) -> list[OperationTimes]:
    rows: dict[tuple[str, str], list[int]] = {}
    for row in np.flatnonzero(roots).tolist():
        rows.setdefault((columns.callees[row], columns.operations[row]), []).append(row)
    durations = columns.end - columns.start
    times = []
    for (service, operation), of_kind in rows.items():
        median, p95, longest = np.percentile(durations[of_kind], (50, 95, 100)).tolist()
        times.append(OperationTimes(service, operation, len(of_kind), median, p95, longest))
    return sorted(times, key=lambda kind: (-kind.p95_ns, kind.operation, kind.service))


def _failures(calls: pa.Table, columns: _Columns) -> list[Failure]:
    """Failing calls whose caller did not fail, by kind, each with its most frequent first cause."""
    forest = Forest(calls)
    parents = forest.parent.tolist()
    topmost = [
        row
        for row, is_failed in enumerate(columns.failed)
        if is_failed and (parents[row] < 0 or not columns.failed[parents[row]])
    ]
    called = Counter(zip(columns.callees, columns.operations, strict=True))
    groups: dict[tuple[str, str], list[int]] = {}
    for row in topmost:
        groups.setdefault((columns.callees[row], columns.operations[row]), []).append(row)
    sizes = Counter(columns.trees)
    failures = []
    sought = CAUSES_SOUGHT
    for kind, rows in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        looked_into = rows[: max(sought, 1)]
        sought -= len(looked_into)
        reasons = [(columns.word(row), _first_cause(forest, columns, row)) for row in looked_into]
        word, cause = Counter(reasons).most_common(1)[0][0]
        shown = max(
            (row for row, reason in zip(looked_into, reasons, strict=True) if reason == (word, cause)),
            key=lambda row: _shows(sizes[columns.trees[row]]),
        )
        is_root = bool(parents[shown] < 0)
        failures.append(Failure(*kind, len(rows), called[kind], word, cause, columns.trees[shown], is_root))
    return failures


def _first_cause(forest: Forest, columns: _Columns, row: int) -> str:
    """Follow failing calls downwards: what failed, without having made a call that failed. Empty if `row` itself."""
    cause = row
    while failing := [child for child in forest.children(cause) if columns.failed[child]]:
        # Of several, the one that failed first: the later ones may be its consequences.
        cause = min(failing, key=lambda child: columns.end[child])
    if cause == row:
        return ""
    return f"{columns.operations[cause]} ({columns.callees[cause]}): {columns.word(cause)}"


def _count_links(calls: pa.Table, summary: Summary) -> None:
    linked = calls.filter(pc.is_valid(calls.column("parent")))
    question = linked.column("question").fill_null(False)
    summary.questions = int(pc.sum(question).as_py() or 0)
    linked = linked.filter(pc.invert(question))
    summary.links_by_basis = dict(Counter(plain_list(linked.column("basis"))))
    inferred = linked.filter(pc.equal(linked.column("basis").cast(pa.string()), "inferred"))
    mean = pc.mean(inferred.column("confidence")).as_py()
    summary.mean_confidence = 1.0 if mean is None else float(mean)


def _shows(calls: int) -> int:
    """How much a tree of so many calls shows: a bigger one more, until it is too big to be drawn."""
    return calls if calls <= EXAMPLE_CALLS else 1


def _example(columns: _Columns, roots: NDArray[np.bool_], summary: Summary) -> str:
    """The tree that shows most: of the most frequent failure (of a whole request, if one fails), or a slow one."""
    sizes = Counter(columns.trees)
    for failure in sorted(summary.failures, key=lambda failure: not failure.is_root):
        if sizes[failure.example] > 1:
            return failure.example
    by_kind: dict[tuple[str, str], list[int]] = {}
    for row in np.flatnonzero(roots).tolist():
        if _shows(sizes[columns.trees[row]]) > 1:
            by_kind.setdefault((columns.callees[row], columns.operations[row]), []).append(row)
    durations = columns.end - columns.start
    for times in summary.times:
        if rows := by_kind.get((times.service, times.operation)):
            nearest = np.argmin(np.abs(durations[rows] - times.p95_ns))
            return columns.trees[rows[int(nearest)]]
    return summary.failures[0].example if summary.failures else columns.trees[int(np.argmax(durations))]
