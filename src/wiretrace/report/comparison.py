"""Two cases side by side: operations and pairs of services that came, went, fail more, or take longer.

`before` is the case that the page is compared with. Rows are matched by name. A change of a rate or of a duration is told
with how far it lies beyond what chance explains, so that ten calls do not outweigh ten thousand.
"""

import math
from typing import Any

from wiretrace.report.grouping import CallFigures, Row, edge_rows, operation_rows

KEPT = ("calls", "errors", "p50", "p95", "max")
"""Figures that are compared."""


def comparison(before: CallFigures, after: CallFigures, name: str) -> dict[str, Any]:
    """What differs, the most surprising first, ready for JSON. `name` is what to call the other case."""
    return {
        "name": name,
        "before": _total(before),
        "after": _total(after),
        "operations": _matched(operation_rows(before), operation_rows(after), ("server", "protocol", "operation")),
        "edges": _matched(edge_rows(before), edge_rows(after), ("client", "server", "protocol")),
    }


def _total(figures: CallFigures) -> dict[str, int]:
    durations = figures.columns.end - figures.columns.start
    span = int((figures.columns.start + durations).max() - figures.columns.start.min()) if len(durations) else 0
    return {
        "calls": len(durations),
        "requests": int(figures.request.sum()),
        "failed": int((figures.request & figures.error).sum()),
        "span": span,
    }


def _matched(before: list[Row], after: list[Row], keys: tuple[str, ...]) -> list[dict[str, Any]]:
    sides: dict[tuple[str | int, ...], list[Row | None]] = {}
    for side, rows in enumerate((before, after)):
        for row in rows:
            sides.setdefault(tuple(row[key] for key in keys), [None, None])[side] = row
    made: list[dict[str, Any]] = []
    for key, (old, new) in sides.items():
        matched: dict[str, Any] = dict(zip(keys, key, strict=True))
        matched["before"] = {name: old[name] for name in KEPT} if old else None
        matched["after"] = {name: new[name] for name in KEPT} if new else None
        matched["surprise"] = round(_surprise(matched["before"], matched["after"]), 3)
        made.append(matched)
    return sorted(made, key=lambda row: -row["surprise"])


def _surprise(before: dict[str, int] | None, after: dict[str, int] | None) -> float:
    """How far a pair differs: standard errors of the share that fails, plus the doublings of p95, each weighed by calls."""
    if before is None or after is None:
        present = before or after or {"calls": 0}
        return 1.0 + math.log2(1 + present["calls"])
    calls = (before["calls"], after["calls"])
    share = (before["errors"] + after["errors"]) / sum(calls)
    spread = math.sqrt(max(share * (1 - share), 1e-9) * (1 / calls[0] + 1 / calls[1]))
    failing = abs(after["errors"] / calls[1] - before["errors"] / calls[0]) / spread
    slower = abs(math.log2(max(after["p95"], 1) / max(before["p95"], 1))) * math.log2(1 + min(calls)) / 4
    return failing + slower
