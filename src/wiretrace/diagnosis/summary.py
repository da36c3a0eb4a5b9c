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
from wiretrace.case.forest import topmost_calls
from wiretrace.diagnosis.ancestry import ancestry_of_calls, depths_of_calls
from wiretrace.diagnosis.columns import CallColumns, Kind
from wiretrace.diagnosis.failures import Failure, Harm, find_failures, how_much_it_shows
from wiretrace.diagnosis.names import counts, nearest_rank
from wiretrace.diagnosis.requests import entering_calls
from wiretrace.model.analysis import unexplained_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.case.reader import Case
    from wiretrace.diagnosis.ancestry import Ancestry

SEVERAL_SERVICES = 3
"""Services that the example tree asks, where there is such a tree."""
TREES_TRIED = 64
"""Trees that are looked at first for an example."""


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
    median_ns: int
    p95_ns: int
    longest_ns: int


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
    entering: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_), repr=False, compare=False)
    """Which calls are the requests, by row of the table `calls`. Shape (n,)."""


def summarize(case: Case) -> Summary:
    """Count everything that the terminal summary says. Raises UserError if the case is damaged."""
    captures = case.table("captures")
    summary = Summary(
        calls=int(case.group_starts("calls")[-1]),
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
    if not summary.calls:
        return summary
    ancestry = ancestry_of_calls(case)
    columns = CallColumns(case)
    entering = entering_calls(columns)
    in_request = entering[topmost_calls(ancestry.parent)]
    summary.entering = entering
    summary.requests = int(entering.sum())
    summary.failed_requests = int((entering & columns.failed).sum())
    summary.outside = int((~in_request).sum())
    summary.outside_kinds = _repeated(columns, ~in_request & (ancestry.parent < 0))
    summary.first_ns = int(columns.start.min())
    summary.last_ns = int(columns.end.max())
    summary.unknown_outcomes = int(columns.unknown.sum())
    summary.services = _services(columns, ancestry)
    summary.times = _times(columns, entering)
    summary.failures = find_failures(columns, ancestry, entering, in_request)
    _count_links(case, columns, summary)
    summary.example = _example(columns, ancestry, entering, summary)
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


def _services(columns: CallColumns, ancestry: Ancestry) -> list[ServiceFigures]:
    """Every party that is asked for something, with its calls in and out, by how deep in the trees it is asked."""
    kinds, parties = len(columns.kinds), len(columns.parties)
    calling = counts(columns.caller, parties)
    called, failed, depth = (
        counts(columns.callee_of_kind, parties, counts(columns.kind, kinds, weights))
        for weights in (None, columns.failed, depths_of_calls(ancestry.parent))
    )
    found = [
        (
            depth[party] / called[party],
            ServiceFigures(name, *(int(count[party]) for count in (called, calling, failed))),
        )
        for party, name in enumerate(columns.parties)
        if called[party]
    ]
    return [each for _, each in sorted(found, key=lambda of: (not of[1].calls_out, of[0], of[1].name))]


def _repeated(columns: CallColumns, wanted: NDArray[np.bool_]) -> list[Repeated]:
    often = counts(columns.kind[wanted], len(columns.kinds)).tolist()
    found = [Repeated(*kind, count) for kind, count in zip(columns.kinds, often, strict=True) if count]
    return sorted(found, key=lambda kind: (-kind.calls, kind.service, kind.operation))


def _times(columns: CallColumns, entering: NDArray[np.bool_]) -> list[OperationTimes]:
    rows = np.flatnonzero(entering)
    kinds = columns.kind[rows]
    durations = columns.end[rows] - columns.start[rows]
    durations = durations[np.lexsort((durations, kinds))]
    calls = counts(kinds, len(columns.kinds))
    first = np.cumsum(calls) - calls
    times = []
    for kind in np.flatnonzero(calls).tolist():
        median, p95, longest = (
            int(durations[nearest_rank(first[kind], calls[kind], percent)]) for percent in (50, 95, 100)
        )
        times.append(OperationTimes(*columns.kinds[kind], int(calls[kind]), median, p95, longest))
    return sorted(times, key=lambda kind: (-kind.p95_ns, kind.operation, kind.service))


def _count_links(case: Case, columns: CallColumns, summary: Summary) -> None:
    """Count the links of a summary by what they rest on."""
    linked = ~columns.is_root & ~columns.question
    summary.questions = int((~columns.is_root & columns.question).sum())
    bases, inferred, confidence = Counter[str](), 0, 0.0
    starts = case.group_starts("calls").tolist()
    for begin, end, piece in zip(starts, starts[1:], case.pieces("calls", ["basis", "confidence"]), strict=False):
        links = piece.filter(pa.array(linked[begin:end]))
        bases.update(plain_list(links.column("basis")))
        known = links.filter(pc.equal(links.column("basis"), "inferred")).column("confidence").drop_null()
        inferred += len(known)
        confidence += pc.sum(known).as_py() or 0.0
    summary.links_by_basis = dict(bases)
    summary.mean_confidence = confidence / inferred if inferred else 1.0


def _example(columns: CallColumns, ancestry: Ancestry, entering: NDArray[np.bool_], summary: Summary) -> str:
    """The tree that shows most: of the gravest failure, or else a typical one of the slowest kind of request."""
    for failure in summary.failures:
        if failure.harm in (Harm.BROKE_REQUEST, Harm.ABSORBED) and failure.example_calls > 1:
            return failure.example
    rows = np.flatnonzero(entering & (how_much_it_shows(ancestry.tree_size) > 1))
    typical = {Kind(times.service, times.operation): times.median_ns for times in summary.times}
    kinds = [(columns.kinds.index(kind), median) for kind, median in typical.items()]
    for least in (SEVERAL_SERVICES, 1):
        for kind, median in kinds:
            found = _typical(columns, ancestry, rows[columns.kind[rows] == kind], median, least)
            if found >= 0:
                return columns.tree_ids([found])[0]
    if summary.failures:
        return summary.failures[0].example
    slowest = np.flatnonzero(entering)
    durations = columns.end[slowest] - columns.start[slowest]
    return columns.tree_ids([int(slowest[np.argmax(durations)])])[0]


def _typical(columns: CallColumns, ancestry: Ancestry, rows: NDArray[np.int64], median_ns: int, least: int) -> int:
    """Of `rows`, the call whose duration is nearest to the median, and whose tree asks at least so many services.

    -1 where there is none. Looks at few trees at first: most often one of them will do.
    """
    nearest = rows[np.argsort(np.abs(columns.end[rows] - columns.start[rows] - median_ns), kind="stable")]
    begin, count = 0, TREES_TRIED
    while begin < len(nearest):
        tried = nearest[begin : begin + count]
        services = _services_of_trees(columns, ancestry.root, ancestry.root[tried])
        enough = np.flatnonzero(services >= least)
        if len(enough):
            return int(tried[enough[0]])
        begin, count = begin + count, count * 8
    return -1


def _services_of_trees(columns: CallColumns, root: NDArray[np.int32], trees: NDArray[np.int32]) -> NDArray[np.int64]:
    """Different services that are asked in each of `trees`, rows of roots. Shape (m,)."""
    is_wanted = np.zeros(len(root), np.bool_)
    is_wanted[trees] = True
    calls = np.flatnonzero(is_wanted[root])
    pairs = root[calls].astype(np.int64) * len(columns.parties) + columns.callee_of_kind[columns.kind[calls]]
    asked, services = np.unique(np.unique(pairs) // len(columns.parties), return_counts=True)
    return services[np.searchsorted(asked, trees)]
