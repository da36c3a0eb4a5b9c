"""What the first screen says: the figures, the health of the capture, the operations, and who calls whom.

Plain JSON, small whatever the size of the case, so that the page shows it before it decodes anything else. Times count
in nanoseconds from `origin`, which is the only number too large for JSON and stands as text.
"""

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wiretrace.diagnosis.columns import CallColumns
from wiretrace.diagnosis.names import counts, nearest_rank
from wiretrace.model.note import NoteKind
from wiretrace.report.answer import failure_rows, headline, rates
from wiretrace.report.coverage import coverage
from wiretrace.report.details import CALLS_PER_BLOCK
from wiretrace.report.grouping import CallFigures, Row, edge_rows, operation_rows, plain, to_bool
from wiretrace.report.heat import COLUMNS, LEVELS, HeatScale
from wiretrace.report.layout import layered

if TYPE_CHECKING:
    from wiretrace.case.reader import Case
    from wiretrace.diagnosis.answer import Answer

BASES = ("stated", "measured", "inferred")
"""What a link may rest on, the surest first."""


FINDING_CALLS = 20
"""Calls of a finding that the page can link to."""
RATE_PARTS = 60
"""Parts of the time in which requests are counted."""
TIMES_OF_FINDINGS = ("first_ns", "last_ns")
"""Columns of findings that are times."""


def origin_ns(case: "Case") -> int:
    """The earliest time of the case, which the report counts from; 0 if there is none."""
    times = [
        case.columns(table, [column])[column].to_numpy()
        for table, column in (("calls", "start_ns"), ("trees", "start_ns"), ("captures", "first_ns"))
    ]
    known = np.concatenate(times)
    known = known[known >= 0]
    return int(known.min()) if len(known) else 0


def overview(case: "Case", figures: CallFigures, origin: int, said: "Answer") -> dict[str, Any]:
    """Everything of the first screen, ready for JSON. Raises UserError if the case is damaged."""
    connections = case.columns("connections", ["client_lost_bytes", "server_lost_bytes", "handshake"])
    totals = _totals(figures, int(case.group_starts("trees")[-1]), origin)
    captures = _captures(case.table("captures"), origin)
    edges = edge_rows(figures)
    failures = failure_rows(figures)
    return {
        "wiretrace": case.manifest.wiretrace,
        "keepsValues": case.manifest.keeps_values,
        "origin": str(origin),
        "answer": headline(said),
        "totals": totals,
        "rates": rates(figures, RATE_PARTS),
        "captures": captures,
        "clocks": _hosts(case.table("hosts")),
        "coverage": coverage(case, captures, origin),
        "notes": case.table("notes").to_pylist(),
        "accounting": case.manifest.accounting,
        "connections": _connections(connections, case.table("notes")),
        "links": _links(case.columns("calls", ["basis", "confidence"]), figures.columns),
        "findings": _findings(case.table("findings"), origin),
        "failures": failures,
        "suspects": case.table("suspects").to_pylist(),
        "callsPerBlock": CALLS_PER_BLOCK,
        "heat": _heat_scale(figures, origin),
        "operations": operation_rows(figures),
        "edges": edges,
        "map": _map(edges),
        "inputs": [{"path": each.path, "bytes": each.bytes, "sha256": each.sha256} for each in case.manifest.inputs],
        "settings": case.manifest.settings,
    }


def _hosts(hosts: pa.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = hosts.to_pylist()
    return rows


def _heat_scale(figures: CallFigures, origin: int) -> dict[str, int]:
    """What the cells of the small heatmaps stand for."""
    if not len(figures.columns):
        return {}
    scale = HeatScale.of(figures.columns.start, figures.duration_ns)
    times = {"first": scale.first - origin, "last": scale.last - origin}
    return {"columns": COLUMNS, "levels": LEVELS, **times, "shortest": scale.shortest, "longest": scale.longest}


def _map(edges: list[Row]) -> dict[str, Any] | None:
    """Where the services and the lines between them stand; lines are in the order of `edges`."""
    found = layered([(str(edge["client"]), str(edge["server"])) for edge in edges])
    return None if found is None else {"boxes": found.boxes, "lines": found.lines}


def _totals(figures: CallFigures, trees: int, origin: int) -> dict[str, Any]:
    columns = figures.columns
    outcomes = Counter[str]()
    often = counts(columns.ending, len(columns.endings)).tolist()
    for ending, count in zip(columns.endings, often, strict=True):
        outcomes[ending.outcome] += count
    totals: dict[str, Any] = {
        "calls": len(columns),
        "trees": trees,
        "errors": int(figures.error.sum()),
        "unknown": int(figures.unknown.sum()),
        "failedTrees": len(np.unique(figures.root[figures.error])),
        "requests": int(figures.request.sum()),
        "failedRequests": int((figures.request & figures.error).sum()),
        "outside": int((~figures.in_request).sum()),
        "outcomes": dict(outcomes),
    }
    requests = np.flatnonzero(figures.request)
    if len(requests):
        of_requests = figures.duration_ns[requests]
        durations = np.sort(of_requests)
        first, count = np.zeros(1, np.int64), np.array([len(durations)])
        totals |= {
            "p50": int(durations[nearest_rank(first, count, 50)][0]),
            "p95": int(durations[nearest_rank(first, count, 95)][0]),
            "max": int(durations[-1]),
            "slowest": columns.tree_ids([int(requests[np.argmax(of_requests)])])[0],
        }
    if len(columns):
        totals |= {"start": int(columns.start.min()) - origin, "end": int(columns.end.max()) - origin}
    return totals


def _captures(captures: pa.Table, origin: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = captures.drop_columns(["sha256", "path"]).to_pylist()
    for row in rows:
        for name in ("first_ns", "last_ns"):
            row[name] = row[name] - origin if row[name] >= 0 else -1
    return rows


def _findings(findings: pa.Table, origin: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = findings.to_pylist()
    for row in rows:
        row["callCount"] = row.get("occurrences", len(row["calls"]))
        row["calls"] = row["calls"][:FINDING_CALLS]
        for name in TIMES_OF_FINDINGS:
            if row.get(name, -1) >= 0:
                row[name] -= origin
    return rows


def _connections(connections: pa.Table, notes: pa.Table) -> dict[str, int]:
    lost = connections["client_lost_bytes"].to_numpy() + connections["server_lost_bytes"].to_numpy()
    midway = ~to_bool(connections["handshake"].combine_chunks())
    return {
        "total": len(connections),
        "midway": int(midway.sum()),
        "lostBytes": int(lost.sum()),
        "encrypted": _noted(notes, NoteKind.ENCRYPTED),
        "unknownProtocol": _noted(notes, NoteKind.PROTOCOL_UNKNOWN),
    }


def _noted(notes: pa.Table, kind: NoteKind) -> int:
    return int(pc.sum(notes["count"].filter(pc.equal(plain(notes["kind"]), str(kind)))).as_py() or 0)


def _links(calls: pa.Table, columns: CallColumns) -> dict[str, Any]:
    """How many links rest on what, and with what mean confidence; questions beside them."""
    linked = ~columns.is_root
    confidence = np.nan_to_num(calls["confidence"].to_numpy())

    def share(mask: NDArray[np.bool_]) -> dict[str, Any]:
        count = int(mask.sum())
        return {"count": count, "confidence": float(confidence[mask].mean()) if count else None}

    def rests_on(name: str) -> NDArray[np.bool_]:
        return to_bool(pc.fill_null(pc.equal(calls["basis"], name), False))

    shares = {name: share(linked & ~columns.question & rests_on(name)) for name in BASES}
    return shares | {"question": share(linked & columns.question)}
