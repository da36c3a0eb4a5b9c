"""The answer: what went wrong, in a paragraph, with the findings, the suspects, what was cleared, and what was not seen.

Read from the tables of a case, where the diagnosis left it; only the number of requests and of bad ones is counted anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from wiretrace.case.calls import plain_list
from wiretrace.diagnosis.observed import Observed
from wiretrace.model.analysis import unexplained_bytes
from wiretrace.model.finding import Severity
from wiretrace.model.words import counted, duration, percent, size

if TYPE_CHECKING:
    from wiretrace.case.reader import Case

SCHEMA = "wiretrace.why/1"
TOLD_CLEARED = 4
"""Cleared components that the paragraph names."""
TOLD_NOTES = 8
"""Kinds of note that are told; further ones are counted."""


class Answer(msgspec.Struct):
    """What `wiretrace why` says."""

    schema: str
    answer: str
    """The answer in one paragraph."""
    requests: int
    """Requests that entered the system, health checks left out."""
    failed: int
    """Those of them that failed, 4xx left out."""
    slow: int
    """Those of them that did not fail and were slow against their own usual."""
    first_ns: int
    last_ns: int
    findings: list[dict[str, Any]]
    """Rows of the table `findings`, by impact."""
    suspects: list[dict[str, Any]]
    """Rows of the table `suspects` that are not cleared, the likeliest first."""
    cleared: list[dict[str, Any]]
    """Those that are."""
    limits: list[str]
    """What the capture itself did not show."""


def answer_of(case: Case) -> Answer:
    """The answer of a case. Raises UserError if it is damaged."""
    observed = Observed(case)
    findings = case.table("findings").to_pylist()
    suspects = case.table("suspects").to_pylist()
    cleared = [row for row in suspects if row["cleared"]]
    suspects = [row for row in suspects if not row["cleared"]]
    figures = (0, 0, 0, -1, -1)
    if len(observed):
        bad, failed = observed.bad_request, observed.failed & observed.entering
        figures = (
            int(observed.entering.sum()),
            int(failed.sum()),
            int((bad & ~failed).sum()),
            int(observed.calls.start.min()),
            int(observed.calls.end.max()),
        )
    paragraph = _paragraph(figures, findings, suspects, cleared)
    return Answer(SCHEMA, paragraph, *figures, findings, suspects, cleared, limits_of(case, observed))


def _paragraph(
    figures: tuple[int, int, int, int, int],
    findings: list[dict[str, Any]],
    suspects: list[dict[str, Any]],
    cleared: list[dict[str, Any]],
) -> str:
    requests, failed, slow, first_ns, last_ns = figures
    if not requests:
        return "The captures hold no request that could be read: there is nothing to say about it."
    span = duration(max(last_ns - first_ns, 0))
    harm = [f"{failed:,} failed ({percent(failed / requests)})"] if failed else []
    harm += [f"{slow:,} were slow against their own usual ({percent(slow / requests)})"] if slow else []
    said = f"Of {counted(requests, 'request')} in {span}, {' and '.join(harm) or 'none failed or was slow'}."
    grave = [row for row in findings if row["severity"] != Severity.INFO]
    if not grave:
        more = f" {counted(len(findings), 'finding is', 'findings are')} for information." if findings else ""
        return f"{said} Nothing is wrong that these captures show.{more}"
    worst = grave[0]
    said += f" {worst['title']}"
    if worst["owner"]:
        whose = "It belongs to somebody else" if worst["external"] else "It is theirs"
        said += f" {whose}: {worst['owner']}."
    elif worst["external"]:
        said += " It belongs to somebody else."
    others = len(grave) - 1
    if others:
        said += f" {counted(others, 'more finding follows', 'more findings follow')}."
    if suspects and suspects[0]["component"] != worst["component"]:
        said += f" The likeliest cause is {suspects[0]['component_kind']} {suspects[0]['component']}."
    if cleared:
        names = [f"{row['component']}" for row in cleared if row["component_kind"] in ("service", "host", "instance")]
        if names:
            said += f" Cleared by good requests: {', '.join(dict.fromkeys(names[:TOLD_CLEARED]))}."
    return f"{said} {worst['next_step']}"


def limits_of(case: Case, observed: Observed) -> list[str]:
    """What the captures lack, and how sure the links are, in sentences."""
    captures = case.table("captures")
    found = []
    dropped = sum(max(count or 0, 0) for count in plain_list(captures.column("dropped")))
    if dropped:
        found.append(f"The capturing hosts dropped {counted(dropped, 'packet')}: what is missing may be among them.")
    if len(observed):
        calls, routes = observed.calls, observed.routes
        seen = np.zeros(len(calls.places), np.bool_)
        seen[calls.callee_place[observed.numbers("server_exchange") >= 0]] = True
        blind = sorted({calls.kinds[kind].service for kind, place in zip(routes.kind, routes.place, strict=True)
                        if not seen[place]})  # fmt: skip
        if blind:
            more = f" and {len(blind) - TOLD_NOTES} more" if len(blind) > TOLD_NOTES else ""
            found.append(
                f"Not captured where they answer: {', '.join(blind[:TOLD_NOTES])}{more}. Their time and the way to them "
                "can not be told apart."
            )
        unknown, questions = int(calls.unknown.sum()), int(calls.question.sum())
        if unknown:
            found.append(f"How {counted(unknown, 'call')} ended is not in the captures.")
        if questions:
            found.append(f"{counted(questions, 'call has', 'calls have')} no parent that is likelier than not.")
    notes = case.table("notes").select(["sentence", "subject", "count"]).to_pylist()
    notes.sort(key=lambda row: (-(row["count"] or 0), row["sentence"] or "", row["subject"] or ""))
    found += [f"{row['count']:,} × {row['sentence'].rstrip('.')} ({row['subject']})." for row in notes[:TOLD_NOTES]]
    if len(notes) > TOLD_NOTES:
        found.append(f"{counted(len(notes) - TOLD_NOTES, 'more kind of note', 'more kinds of note')}: the table notes.")
    unexplained = unexplained_bytes(case.manifest.accounting)
    if unexplained:
        found.append(f"{size(abs(unexplained))} of the payload are unexplained: a defect of wiretrace.")
    return found
