"""The figures of the terminal summary: what is in a case, what failed, what was slow, and how sure the links are.

Everything is counted on columns. Requests that enter the system come first; calls that no request caused stand apart.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wiretrace.case.calls import plain_list
from wiretrace.case.forest import Forest, without_questions
from wiretrace.diagnosis.columns import CallColumns
from wiretrace.diagnosis.failures import Failure, Harm, find_failures, how_much_it_shows
from wiretrace.diagnosis.requests import entering_calls, topmost_calls
from wiretrace.model.analysis import unexplained_bytes
from wiretrace.model.outcome import Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.case.reader import Case

SEVERAL_SERVICES = 3
"""Services that the example tree asks, where there is such a tree."""


@dataclass(slots=True)
class ServiceFigures:
    """One service."""

    name: str
    calls_in: int = 0
    """Calls to it."""
    calls_out: int = 0
    """Calls that it makes."""
    failed: int = 0
    """Calls to it that failed."""


@dataclass(slots=True)
class OperationTimes:
    """How long the requests of one kind take: calls that enter the system."""

    service: str
    operation: str
    calls: int
    median_ns: float
    p95_ns: float
    longest_ns: float


@dataclass(slots=True)
class Repeated:
    """Calls of one kind outside any request."""

    service: str
    operation: str
    calls: int


@dataclass(slots=True)
class Summary:
    """What the terminal summary says."""

    calls: int = 0
    requests: int = 0
    """Calls that enter the system; each is the root of a tree."""
    failed_requests: int = 0
    """Those of them that failed."""
    outside: int = 0
    """Calls that belong to no request: set-up, probes, background work, and calls whose cause was not found."""
    outside_kinds: list[Repeated] = field(default_factory=list)
    """The kinds of call that stand at the top of those, the most frequent first."""
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
    """The gravest first; see `find_failures`."""
    unknown_outcomes: int = 0
    """Calls whose end the capture lacks."""
    times: list[OperationTimes] = field(default_factory=list)
    """The slowest 95th percentile first."""
    services: list[ServiceFigures] = field(default_factory=list)
    """From the outside in: those that requests reach first come first."""
    links_by_basis: dict[str, int] = field(default_factory=dict)
    """Links by what they rest on; questions are not links."""
    questions: int = 0
    """Calls whose parent is too uncertain to be drawn as a link."""
    mean_confidence: float = 1.0
    """Mean probability of the inferred links; 1 where there are none."""
    clock_offset_ns: float = 0.0
    """How far the clocks of two hosts are apart at most; 0 where no two could be compared."""
    clock_error_ns: float = 0.0
    """The largest error of what is known of a clock."""
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
        clock_offset_ns=_spread(case.table("hosts").column("clock_offset_ns")),
        clock_error_ns=pc.max(case.table("hosts").column("clock_error_ns")).as_py() or 0.0,
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
    columns = CallColumns(calls)
    parents = Forest(without_questions(calls)).parent
    entering = entering_calls(calls)
    in_request = entering[topmost_calls(parents)]
    summary.requests = int(entering.sum())
    summary.failed_requests = int((entering & columns.failed).sum())
    summary.outside = int((~in_request).sum())
    summary.outside_kinds = _repeated(columns, np.flatnonzero(~in_request & (parents < 0)))
    summary.first_ns = int(columns.start.min())
    summary.last_ns = int(columns.end.max())
    summary.unknown_outcomes = sum(
        columns.outcomes.count(outcome) for outcome in (Outcome.UNFINISHED, Outcome.NOT_CAPTURED)
    )
    summary.services = _services(columns, _depths(parents))
    summary.times = _times(columns, entering)
    summary.failures = find_failures(columns, parents, entering, in_request)
    _count_links(calls, summary)
    summary.example = _example(columns, entering, summary)
    return summary


def _findings(case: Case) -> list[tuple[str, str, str]]:
    worst_first = ("critical", "warning", "info")
    table = case.table("findings")
    rows = zip(*(plain_list(table.column(name)) for name in ("severity", "title", "detail")), strict=True)
    return sorted(rows, key=lambda row: worst_first.index(row[0]) if row[0] in worst_first else len(worst_first))


def _spread(offsets: pa.ChunkedArray) -> float:
    """Largest minus smallest of the offsets that are known; 0 where there are none."""
    ends = pc.min_max(offsets).as_py()
    return 0.0 if ends["min"] is None else float(ends["max"] - ends["min"])


def _depths(parents: NDArray[np.int64]) -> NDArray[np.int64]:
    """Calls above each call in its tree. Shape (n,). Climbs by doubling: a deep tree costs no more than a flat one."""
    count = len(parents)
    above = np.append(np.where(parents < 0, count, parents), count)
    depth = np.append((parents >= 0).astype(np.int64), 0)
    while (above < count).any():
        depth = depth + depth[above]
        above = above[above]
    return depth[:count]


def _services(columns: CallColumns, depths: NDArray[np.int64]) -> list[ServiceFigures]:
    """Every party that is asked for something, with its calls in and out, by how deep in the trees it is asked."""
    called = Counter(columns.callees)
    calling = Counter(columns.callers)
    failed = Counter(callee for callee, is_failed in zip(columns.callees, columns.failed, strict=True) if is_failed)
    depth = Counter[str]()
    for callee, levels in zip(columns.callees, depths.tolist(), strict=True):
        depth[callee] += levels
    found = [ServiceFigures(name, count, calling[name], failed[name]) for name, count in called.items()]
    return sorted(found, key=lambda each: (not each.calls_out, depth[each.name] / each.calls_in, each.name))


def _repeated(columns: CallColumns, rows: NDArray[np.int64]) -> list[Repeated]:
    kinds = Counter((columns.callees[row], columns.operations[row]) for row in rows.tolist())
    found = [Repeated(service, operation, count) for (service, operation), count in kinds.items()]
    return sorted(found, key=lambda kind: (-kind.calls, kind.service, kind.operation))


def _times(columns: CallColumns, entering: NDArray[np.bool_]) -> list[OperationTimes]:
    rows: dict[tuple[str, str], list[int]] = {}
    for row in np.flatnonzero(entering).tolist():
        rows.setdefault((columns.callees[row], columns.operations[row]), []).append(row)
    durations = columns.end - columns.start
    times = []
    for (service, operation), of_kind in rows.items():
        median, p95, longest = np.percentile(
            durations[of_kind],
            (50, 95, 100),
            method="inverted_cdf",  # the nearest rank: times that were measured
        ).tolist()
        times.append(OperationTimes(service, operation, len(of_kind), median, p95, longest))
    return sorted(times, key=lambda kind: (-kind.p95_ns, kind.operation, kind.service))


def _count_links(calls: pa.Table, summary: Summary) -> None:
    linked = calls.filter(pc.is_valid(calls.column("parent")))
    question = linked.column("question").fill_null(False)
    summary.questions = int(pc.sum(question).as_py() or 0)
    linked = linked.filter(pc.invert(question))
    summary.links_by_basis = dict(Counter(plain_list(linked.column("basis"))))
    inferred = linked.filter(pc.equal(linked.column("basis").cast(pa.string()), "inferred"))
    mean = pc.mean(inferred.column("confidence")).as_py()
    summary.mean_confidence = 1.0 if mean is None else float(mean)


def _example(columns: CallColumns, entering: NDArray[np.bool_], summary: Summary) -> str:
    """The tree that shows most: of the gravest failure, or else a typical one of the slowest kind of request."""
    sizes = Counter(columns.trees)
    for failure in summary.failures:
        if failure.harm is not Harm.OUTSIDE and sizes[failure.example] > 1:
            return failure.example
    rows = [row for row in np.flatnonzero(entering).tolist() if how_much_it_shows(sizes[columns.trees[row]]) > 1]
    services: dict[str, set[str]] = {columns.trees[row]: set() for row in rows}
    for tree, callee in zip(columns.trees, columns.callees, strict=True):
        if tree in services:
            services[tree].add(callee)
    by_kind: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        by_kind.setdefault((columns.callees[row], columns.operations[row]), []).append(row)
    durations = columns.end - columns.start
    for least in (SEVERAL_SERVICES, 1):
        for times in summary.times:
            of_kind = by_kind.get((times.service, times.operation), [])
            shown = [row for row in of_kind if len(services[columns.trees[row]]) >= least]
            if shown:
                return columns.trees[shown[int(np.argmin(np.abs(durations[shown] - times.median_ns)))]]
    if summary.failures:
        return summary.failures[0].example
    slowest = np.flatnonzero(entering)
    return columns.trees[int(slowest[np.argmax(durations[slowest])])]
