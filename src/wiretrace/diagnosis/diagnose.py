"""Runs the rules over a case, and puts what they find into the tables `findings` and `suspects`.

Rules: what touches most requests, and most gravely, comes first; the same case gives the same tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from wiretrace.case.calls import plain_list
from wiretrace.case.rows import RowReader
from wiretrace.diagnosis.observed import Observed
from wiretrace.diagnosis.owners import Owners
from wiretrace.diagnosis.rules.registry import known_rules
from wiretrace.diagnosis.suspects import suspect_rows
from wiretrace.model.finding import MOST_CALLS, Finding, Severity
from wiretrace.model.schema import table_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.case.reader import Case

SEVERITIES = list(Severity)
"""The gravest first."""
PROVED_BY_FRAMES = 3
"""Calls of a finding whose packets are named."""
MOST_FRAMES = 24
"""Packets that a finding names."""
FRAME_COLUMNS = ("capture", "request_frames", "response_frames")


def diagnose(case: Case) -> dict[str, pa.Table]:
    """The tables `findings` and `suspects` of a case whose other tables are written. Raises UserError if it is damaged."""
    observed = Observed(case)
    owners = Owners(case)
    found = sorted(_all_findings(observed), key=_impact) if len(observed) else []
    suspects = suspect_rows(observed.suspicion, owners) if len(observed) else []
    return {
        "findings": pa.Table.from_pylist(list(_rows(case, found, owners)), table_schema("findings")),
        "suspects": pa.Table.from_pylist(suspects, table_schema("suspects")),
    }


def _all_findings(observed: Observed) -> Iterator[Finding]:
    for rule in known_rules().values():
        yield from rule.find(observed)


def _impact(finding: Finding) -> tuple[Any, ...]:
    """The order of findings: by severity, then by requests touched, then by how often."""
    return (
        SEVERITIES.index(finding.severity),
        -finding.requests,
        -finding.occurrences,
        finding.code,
        finding.component,
        finding.title,
    )


def _rows(case: Case, findings: list[Finding], owners: Owners) -> Iterator[dict[str, Any]]:
    """The rows of the table `findings`."""
    ids = RowReader(case, "calls", ["id", "client_exchange", "server_exchange"])
    exchanges = RowReader(case, "exchanges", FRAME_COLUMNS)
    for number, finding in enumerate(findings, 1):
        calls = ids.take(np.array(finding.calls[:MOST_CALLS], np.int64))
        marks = owners.of(finding.component_kind, finding.component)
        yield {
            "number": number,
            "code": finding.code,
            "severity": finding.severity.value,
            "title": finding.title,
            "detail": finding.detail,
            "component_kind": finding.component_kind.value,
            "component": finding.component,
            "owner": marks.owner,
            "external": marks.external,
            "requests": finding.requests,
            "occurrences": finding.occurrences,
            "calls": calls.column("id").to_pylist(),
            "frames": _frames(exchanges, calls.slice(0, PROVED_BY_FRAMES)),
            "first_ns": finding.first_ns,
            "last_ns": finding.last_ns,
            "next_step": finding.next_step,
        }


def _frames(exchanges: RowReader, calls: pa.Table) -> list[str]:
    """The packets of some calls as CAPTURE:FRAME, call by call, the caller's view first; at most `MOST_FRAMES`."""
    views = zip(plain_list(calls.column("client_exchange")), plain_list(calls.column("server_exchange")), strict=True)
    rows = [row for both in views for row in both if 0 <= row < len(exchanges)]
    taken = exchanges.take(np.array(rows, np.int64))
    frames = dict.fromkeys(
        f"{capture}:{frame}"
        for capture, request, response in zip(*(plain_list(taken.column(name)) for name in FRAME_COLUMNS), strict=True)
        for frame in (*request, *response)
    )
    return list(frames)[:MOST_FRAMES]
