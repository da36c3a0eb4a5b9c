"""The figures of the terminal summary: what is in a case, what failed, what was slow, and how sure the links are.

Everything is counted on columns. Requests that enter the system come first; calls that no request caused stand apart.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from wiretrace.case.calls import plain_list
from wiretrace.case.files import temporary_folder
from wiretrace.diagnosis.ancestry import depths_of_calls
from wiretrace.diagnosis.columns import Kind
from wiretrace.diagnosis.distribution import Distributions
from wiretrace.diagnosis.examination import PORTION_CALLS, Examination
from wiretrace.diagnosis.failures import Failure, FailureBook, Harm, how_much_it_shows
from wiretrace.diagnosis.headline import calls_of_trees, tree_ids, trees_of
from wiretrace.diagnosis.names import counts
from wiretrace.diagnosis.portion import groups_of
from wiretrace.model.analysis import unexplained_bytes

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from wiretrace.case.reader import Case
    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

SERVICES_OF_EXAMPLES = (3, 1)
"""Services that the example tree asks, and how many will do where there is no such tree."""


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
    """The gravest first; see `FailureBook`."""
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


def summarize(case: Case, portion_calls: int = PORTION_CALLS) -> Summary:
    """Count everything that the terminal summary says. Raises UserError if the case is damaged.

    `portion_calls`: how many calls are looked at once, more or less; a matter of memory only.
    """
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
    summary.entering = np.zeros(summary.calls, np.bool_)
    with temporary_folder() as folder:
        examination = Examination(case, folder, portion_calls, details=False)
        figures = _Figures(examination.whole)
        for portion in examination.trees():
            figures.see_trees(portion, summary)
        figures.tell(summary)
        examples = _Examples(examination.whole, summary)
        for portion in examination.trees_again():
            examples.see_trees(portion)
    summary.example = examples.best()
    _count_links(case, summary)
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


class _Figures:
    """Counts while whole trees go by."""

    def __init__(self, whole: Whole) -> None:
        self._whole = whole
        kinds, parties = whole.kinds, len(whole.parties)
        self._outside = np.zeros(kinds, np.int64)
        """Calls of each kind that stand at the top of what belongs to no request."""
        self._calling = np.zeros(parties, np.int64)
        """Calls that each party makes."""
        self._failed = np.zeros(kinds, np.int64)
        self._depth = np.zeros(kinds, np.int64)
        """Failed calls of each kind, and calls above all calls of it."""
        self._times = Distributions()
        self._longest = np.zeros(kinds, np.int64)
        """How long the requests of each kind take."""
        self._failures = FailureBook(whole.vocabulary)

    def see_trees(self, portion: Portion, summary: Summary) -> None:
        """Count a portion; what is no more than a number goes to `summary` at once."""
        whole, kind = self._whole, portion.kind
        entering = whole.enters(kind, portion.caller_place, portion.is_root)
        in_request = entering[portion.request]
        summary.entering[portion.row[entering]] = True
        summary.requests += int(entering.sum())
        summary.failed_requests += int((entering & portion.not_ok).sum())
        summary.outside += int((~in_request).sum())
        self._outside += np.bincount(kind[~in_request & ~portion.has_parent], minlength=whole.kinds)
        self._calling += np.bincount(portion.caller, minlength=len(self._calling))
        self._failed += np.bincount(kind[portion.not_ok], minlength=whole.kinds)
        np.add.at(self._depth, kind, depths_of_calls(portion.parent))
        took = portion.duration[entering]
        self._times.add(kind[entering], took)
        np.maximum.at(self._longest, kind[entering], took)
        self._failures.add(calls_of_trees(portion))

    def tell(self, summary: Summary) -> None:
        """Put what was counted into the summary."""
        whole = self._whole
        summary.first_ns, summary.last_ns = whole.first_ns, whole.last_ns
        summary.unknown_outcomes = whole.unknown
        found = [
            Repeated(*whole.vocabulary.kinds[kind], int(self._outside[kind])) for kind in np.flatnonzero(self._outside)
        ]
        summary.outside_kinds = sorted(found, key=lambda kind: (-kind.calls, kind.service, kind.operation))
        summary.services = self._services()
        summary.times = self._times_of_operations()
        summary.failures = self._failures.failures(whole.often, lambda rows: tree_ids(whole.case, rows))

    def _services(self) -> list[ServiceFigures]:
        """Every party that is asked for something, with its calls in and out, by how deep in the trees it is asked."""
        callee, parties = self._whole.callee_of_kind, self._whole.parties
        called, failed, depth = (
            counts(callee, len(parties), of_kind) for of_kind in (self._whole.often, self._failed, self._depth)
        )
        found = [
            (
                depth[party] / called[party],
                ServiceFigures(parties[party], *(int(count[party]) for count in (called, self._calling, failed))),
            )
            for party in np.flatnonzero(called).tolist()
        ]
        return [each for _, each in sorted(found, key=lambda of: (not of[1].calls_out, of[0], of[1].name))]

    def _times_of_operations(self) -> list[OperationTimes]:
        kinds = self._whole.kinds
        calls = self._times.counts(kinds)
        median, p95 = self._times.percentiles(kinds, (50, 95))
        times = [
            OperationTimes(
                *self._whole.vocabulary.kinds[kind],
                *(int(figure[kind]) for figure in (calls, median, p95, self._longest)),
            )
            for kind in np.flatnonzero(calls).tolist()
        ]
        return sorted(times, key=lambda kind: (-kind.p95_ns, kind.operation, kind.service))


class _Examples:
    """Looks for the tree that shows most: of the gravest failure, or else a typical one of the slowest kind of request."""

    def __init__(self, whole: Whole, summary: Summary) -> None:
        self._whole = whole
        harmful = (Harm.BROKE_REQUEST, Harm.ABSORBED)
        shown = [each.example for each in summary.failures if each.harm in harmful and each.example_calls > 1]
        self._told = shown[0] if shown else ""
        """The tree of the gravest failure; empty where that does not show much."""
        self._otherwise = summary.failures[0].example if summary.failures else ""
        kinds = {kind: number for number, kind in enumerate(whole.vocabulary.kinds)}
        self._median = {kinds[Kind(times.service, times.operation)]: times.median_ns for times in summary.times}
        """By kind of request, the slowest first."""
        self._typical: dict[tuple[int, int], tuple[int, int]] = {}
        """How far from the median the most typical request is, and its row, by services that it needs and kind."""
        self._slowest = (1, -1)
        """Minus the longest duration of a request, and its row."""

    def see_trees(self, portion: Portion) -> None:
        """Look at some whole trees."""
        if self._told:
            return
        entering = np.flatnonzero(self._whole.enters(portion.kind, portion.caller_place, portion.is_root))
        took, rows = portion.duration[entering], portion.row[entering]
        if len(entering):
            slowest = int(np.argmax(took))
            self._slowest = min(self._slowest, (-int(took[slowest]), int(rows[slowest])))
        root, size = trees_of(portion)
        parties = len(self._whole.parties)
        asked = np.unique(root.astype(np.int64) * parties + portion.callee)
        services = np.bincount(asked // max(parties, 1), minlength=len(portion))[root[entering]]
        services[how_much_it_shows(size[entering]) <= 1] = 0
        for kind, places in groups_of(portion.kind[entering], np.arange(len(entering))):
            off = np.abs(took[places] - self._median[kind])
            for least in SERVICES_OF_EXAMPLES:
                enough = services[places] >= least
                if enough.any():
                    nearest = places[enough][np.lexsort((rows[places[enough]], off[enough]))[0]]
                    found = int(abs(took[nearest] - self._median[kind])), int(rows[nearest])
                    self._typical[least, kind] = min(self._typical.get((least, kind), found), found)

    def best(self) -> str:
        """Id of the tree. All trees went by."""
        if self._told:
            return self._told
        for least in SERVICES_OF_EXAMPLES:
            for kind in self._median:
                if (least, kind) in self._typical:
                    return tree_ids(self._whole.case, [self._typical[least, kind][1]])[0]
        return self._otherwise or tree_ids(self._whole.case, [self._slowest[1]])[0]


def _count_links(case: Case, summary: Summary) -> None:
    """Count the links of a summary by what they rest on."""
    bases, inferred, confidence = Counter[str](), 0, 0.0
    for piece in case.pieces("calls", ["basis", "question", "confidence"]):
        named = piece.filter(pc.is_valid(piece.column("basis")))
        is_question = pc.fill_null(named.column("question"), False)
        summary.questions += pc.sum(is_question).as_py() or 0
        links = named.filter(pc.invert(is_question))
        bases.update(plain_list(links.column("basis")))
        known = links.filter(pc.equal(links.column("basis"), "inferred")).column("confidence").drop_null()
        inferred += len(known)
        confidence += pc.sum(known).as_py() or 0.0
    summary.links_by_basis = dict(bases)
    summary.mean_confidence = confidence / inferred if inferred else 1.0
