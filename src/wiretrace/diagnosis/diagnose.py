"""Runs the rules over a case, and puts what they find into the tables `findings` and `suspects`.

Rules: what touches most requests, and most gravely, comes first; the same case gives the same tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from wiretrace.case.calls import plain_list
from wiretrace.case.files import temporary_folder
from wiretrace.case.rows import RowReader
from wiretrace.diagnosis.attempts import AttemptFinder
from wiretrace.diagnosis.examination import PORTION_CALLS, Examination
from wiretrace.diagnosis.owners import Owners
from wiretrace.diagnosis.pools import PoolBook
from wiretrace.diagnosis.rules.registry import known_rules
from wiretrace.diagnosis.suspects import Suspect, SymptomTally, suspect_rows
from wiretrace.memory import give_back_memory
from wiretrace.model.finding import MOST_CALLS, Finding, Severity
from wiretrace.model.limits import Limits
from wiretrace.model.note import NoteKind
from wiretrace.model.schema import table_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wiretrace.case.reader import Case
    from wiretrace.diagnosis.rules.contract import Rule
    from wiretrace.model.note import Notes

MOST_FINDINGS = Limits().findings
SEVERITIES = list(Severity)
"""The gravest first."""
PROVED_BY_FRAMES = 3
"""Calls of a finding whose packets are named."""
MOST_FRAMES = 24
"""Packets that a finding names."""
FRAME_COLUMNS = ("capture", "request_frames", "response_frames")


def diagnose(case: Case, portion_calls: int = PORTION_CALLS, notes: Notes | None = None) -> dict[str, pa.Table]:
    """The tables `findings` and `suspects` of a case whose other tables are written. Raises UserError if it is damaged.

    `portion_calls`: how many calls are looked at once, more or less; a matter of memory only. `notes` are told how many
    findings are too many.
    """
    owners = Owners(case)
    found, suspects = examined(case, list(known_rules().values()), portion_calls)
    give_back_memory()
    if len(found) > MOST_FINDINGS and notes is not None:
        notes.add(NoteKind.LIMIT_REACHED, "findings", len(found) - MOST_FINDINGS)
    found = found[:MOST_FINDINGS]
    return {
        "findings": pa.Table.from_pylist(list(_rows(case, found, owners)), table_schema("findings")),
        "suspects": pa.Table.from_pylist(suspect_rows(suspects, owners), table_schema("suspects")),
    }


def examined(
    case: Case, rules: Sequence[type[Rule]], portion_calls: int = PORTION_CALLS
) -> tuple[list[Finding], list[Suspect]]:
    """What some rules find, in the order of its impact, and the suspects."""
    if not int(case.group_starts("calls")[-1]):
        return [], []
    with temporary_folder() as folder:
        examination = Examination(case, folder, portion_calls)
        whole = examination.whole
        looking = [rule(whole) for rule in rules]
        attempts, pools = AttemptFinder(whole), PoolBook(whole)
        for portion in examination.trees():
            attempts.see_trees(portion)
            pools.see_trees(portion)
            for rule in looking:
                rule.see_trees(portion)
        symptoms = SymptomTally(whole)
        for portion in examination.trees_with_symptoms():
            symptoms.see_trees(portion)
        for portion in examination.in_order():
            whole.attempts = attempts.find(portion)
            pools.see_in_order(portion)
            for rule in looking:
                rule.see_in_order(portion)
        whole.pools, whole.suspicion = pools.pools(), symptoms.suspicion()
        claims = [(rule.code, claim) for rule in looking for claim in rule.claims()]
        for portion in examination.trees_again():
            whole.suspicion.see_trees(portion)
            for _, claim in claims:
                if claim.gather is not None:
                    claim.gather(portion, claim.evidence)
        found = [claim.finding(code) for code, claim in claims]
        return sorted((each for each in found if each is not None), key=_impact), whole.suspicion.suspects()


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
