"""Writes the report: one HTML file that needs no network and no server, and that runs only its own script.

Rules: captured text stands only inside inert data blocks and becomes text nodes in the page. The page's policy admits
the one script and the one style sheet by digest, and nothing from anywhere; browsers that know Trusted Types refuse
every way of turning text into markup. The first screen's figures come before the script, the large blocks behind it, so
that the page shows something while the rest is still being read. Equal cases give equal files.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

from wiretrace.case.files import written_aside
from wiretrace.case.rows import RowReader
from wiretrace.diagnosis.answer import answer_of
from wiretrace.report.bundle import asset, page_script, page_style
from wiretrace.report.comparison import comparison
from wiretrace.report.connections import connections
from wiretrace.report.details import details_blocks
from wiretrace.report.evidence import evidence
from wiretrace.report.grouping import HeldFigures, call_figures
from wiretrace.report.order import ORDER_COLUMNS, tree_order
from wiretrace.report.overview import origin_ns, overview
from wiretrace.report.selection import REPORT_CALLS, select_trees
from wiretrace.report.trees import CALL_COLUMNS, EXCHANGE_COLUMNS, calls_block, trees_block

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from wiretrace.case.reader import Case
    from wiretrace.report.evidence import PacketSource


def write_report(case: Case, path: Path, before: Case | None = None, packets: PacketSource | None = None) -> None:
    """Write `case` as one HTML file at `path`, whole or not at all.

    `before` is a case to compare it with. With `packets` the file holds packets that prove the findings, not redacted.
    Raises UserError if it can not be written.
    """
    with written_aside(path) as stream:
        for piece in _page(case, before, packets):
            stream.write(piece.encode())


def _page(case: Case, before: Case | None, packets: PacketSource | None) -> Iterator[str]:
    """The pieces of the page, in order."""
    origin = origin_ns(case)
    # The answer reads the calls once more: not while the figures are in memory, too.
    said = answer_of(case)
    figures = call_figures(case)
    first_screen = overview(case, figures, origin, said)
    found = connections(case, origin)
    first_screen["pools"] = found.pools
    first_screen["connections"] |= {"held": found.kept}
    if before is not None:
        first_screen["comparison"] = comparison(before, case)
    packet_blocks: Iterable[tuple[str, str]] = ()
    if packets is not None:
        first_screen["packets"], packet_blocks = evidence(case, packets, first_screen["totals"].get("slowest", ""))
    selection = select_trees(case, first_screen["totals"].get("slowest", ""), REPORT_CALLS)
    first_screen["held"] = {
        "trees": len(selection.trees),
        "failedTrees": selection.failed,
        "allFailedTrees": selection.all_failed,
    }
    trees = RowReader(case, "trees", ["tree", "start_ns", "duration_ns", "confidence"]).take(selection.trees)
    order = tree_order(RowReader(case, "calls", ORDER_COLUMNS).take(selection.calls), trees)
    rows = selection.calls[order.rows]
    held = HeldFigures.of(figures, rows)
    del figures
    script, style = page_script(), page_style()
    head, tail = asset("page.html").split("<!-- data -->\n")
    yield head.replace("{policy}", _policy(script, style)).replace("{style}", style)
    yield f'<script type="application/json" id="overview">{_inert_json(first_screen)}</script>\n'
    yield f"<script>{script}</script>\n"
    yield _data_block("trees", trees_block(order, trees, held, origin).encode())
    calls = RowReader(case, "calls", CALL_COLUMNS, repeating=("summary",)).take(rows)
    exchanges = RowReader(case, "exchanges", EXCHANGE_COLUMNS)
    numbers = case.columns("connections", ["connection"])["connection"].to_numpy()
    yield _data_block("calls", calls_block(order, calls, trees, held, exchanges, numbers).encode())
    del calls, exchanges
    yield _data_block("connections", found.block.encode())
    for number, block in enumerate(details_blocks(case, rows)):
        yield _data_block(f"details-{number}", block.encode())
    for name, text in packet_blocks:
        yield _data_block(name, text)
    yield tail


def _policy(script: str, style: str) -> str:
    """The Content-Security-Policy: this script, this style, nothing else from anywhere."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_digest(script)}'",
            f"style-src '{_digest(style)}'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _data_block(name: str, text: str) -> str:
    return f'<script type="application/octet-stream;base64" id="{name}">{text}</script>\n'


def _inert_json(value: dict[str, Any]) -> str:
    """JSON that can stand inside a script element: no character of markup is left in it."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
