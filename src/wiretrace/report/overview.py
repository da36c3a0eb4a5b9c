"""What the first screen says: the figures, the health of the capture, the operations, and who calls whom.

Plain JSON, small whatever the size of the case, so that the page shows it before it decodes anything else. Times count
in nanoseconds from `origin`, which is the only number too large for JSON and stands as text.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wiretrace.model.note import NoteKind
from wiretrace.report.details import CALLS_PER_BLOCK
from wiretrace.report.grouping import CallFigures, grouped, plain, quantile_index, to_bool

if TYPE_CHECKING:
    from wiretrace.case.reader import Case

BASES = ("stated", "measured", "inferred")
"""What a link may rest on, the surest first."""


FINDING_CALLS = 20
"""Calls of a finding that the page can link to."""


def origin_ns(case: "Case") -> int:
    """The earliest time of the case, which the report counts from; 0 if there is none."""
    times = [
        case.table("calls")["start_ns"].to_numpy(),
        case.table("trees")["start_ns"].to_numpy(),
        case.table("captures")["first_ns"].to_numpy(),
    ]
    known = np.concatenate(times)
    known = known[known >= 0]
    return int(known.min()) if len(known) else 0


def overview(case: "Case", figures: CallFigures, origin: int) -> dict[str, Any]:
    """Everything of the first screen, ready for JSON."""
    calls = case.table("calls")
    return {
        "wiretrace": case.manifest.wiretrace,
        "keepsValues": case.manifest.keeps_values,
        "origin": str(origin),
        "totals": _totals(calls, case.table("trees"), figures, origin),
        "captures": _captures(case.table("captures"), origin),
        "clocks": case.table("hosts").drop_columns(["addresses", "services", "captures"]).to_pylist(),
        "notes": case.table("notes").to_pylist(),
        "accounting": case.manifest.accounting,
        "connections": _connections(case.table("connections"), case.table("notes")),
        "links": _links(calls),
        "findings": _findings(case.table("findings")),
        "callsPerBlock": CALLS_PER_BLOCK,
        "operations": grouped(
            {
                "server": figures.server,
                "protocol": plain(calls["protocol"]),
                "operation": plain(calls["operation"]),
            },
            figures,
        ),
        "edges": grouped(
            {"client": figures.client, "server": figures.server, "protocol": plain(calls["protocol"])}, figures
        ),
    }


def _totals(calls: pa.Table, trees: pa.Table, figures: CallFigures, origin: int) -> dict[str, Any]:
    outcomes = pc.value_counts(plain(calls["outcome"]))
    totals: dict[str, Any] = {
        "calls": len(calls),
        "trees": len(trees),
        "errors": int(figures.error.sum()),
        "unknown": int(figures.unknown.sum()),
        "failedTrees": len(pc.unique(calls["tree"].filter(pa.array(figures.error)))),
        "requests": int(figures.request.sum()),
        "failedRequests": int((figures.request & figures.error).sum()),
        "outside": int((~figures.in_request).sum()),
        "outcomes": {entry["values"]: entry["counts"] for entry in outcomes.to_pylist()},
    }
    requests = np.flatnonzero(figures.request)
    if len(requests):
        of_requests = figures.duration_ns[requests]
        durations = np.sort(of_requests)
        first, count = np.zeros(1, np.int64), np.array([len(durations)])
        totals |= {
            "p50": int(durations[quantile_index(first, count, 50)][0]),
            "p95": int(durations[quantile_index(first, count, 95)][0]),
            "max": int(durations[-1]),
            "slowest": calls["tree"][int(requests[np.argmax(of_requests)])].as_py(),
        }
    if len(calls):
        totals |= {
            "start": int(calls["start_ns"].to_numpy().min()) - origin,
            "end": int(calls["end_ns"].to_numpy().max()) - origin,
        }
    return totals


def _captures(captures: pa.Table, origin: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = captures.drop_columns(["sha256", "path"]).to_pylist()
    for row in rows:
        for name in ("first_ns", "last_ns"):
            row[name] = row[name] - origin if row[name] >= 0 else -1
    return rows


def _findings(findings: pa.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = findings.to_pylist()
    return [row | {"calls": row["calls"][:FINDING_CALLS], "callCount": len(row["calls"])} for row in rows]


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


def _links(calls: pa.Table) -> dict[str, Any]:
    """How many links rest on what, and with what mean confidence; questions beside them."""
    basis = plain(calls["basis"])
    question = to_bool(calls["question"].combine_chunks())
    linked = to_bool(pc.is_valid(calls["parent"].combine_chunks()))
    confidence = np.nan_to_num(calls["confidence"].to_numpy())

    def share(mask: NDArray[np.bool_]) -> dict[str, Any]:
        count = int(mask.sum())
        return {"count": count, "confidence": float(confidence[mask].mean()) if count else None}

    shares = {name: share(linked & ~question & to_bool(pc.equal(basis, name))) for name in BASES}
    return shares | {"question": share(linked & question)}
