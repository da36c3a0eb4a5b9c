"""The answer: what went wrong, in a paragraph, with the findings, the suspects, what was cleared, and what was not seen.

Read from the tables of a case, where the diagnosis left it; only the number of requests and of bad ones is counted anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from wiretrace.case.calls import plain_list
from wiretrace.case.files import temporary_folder
from wiretrace.diagnosis.bins import Bins
from wiretrace.diagnosis.distribution import MOST_GROUPS
from wiretrace.diagnosis.headline import WELL, failures_of, headline, what_failed
from wiretrace.diagnosis.portion import Portion
from wiretrace.diagnosis.survey import SURVEYED, Survey
from wiretrace.model.analysis import unexplained_bytes
from wiretrace.model.finding import Severity
from wiretrace.model.words import counted, duration, percent, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wiretrace.case.reader import Case

SCHEMA = "wiretrace.why/1"
TOLD_CLEARED = 4
"""Cleared components that the paragraph names."""
TOLD_NOTES = 8
"""Kinds of note that are told; further ones are counted."""


class Answer(msgspec.Struct):
    """What `wiretrace why` says."""

    schema: str
    headline: str
    """What is wrong, in a sentence; empty where there is nothing to say."""
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
    figures = _figures(case)
    findings = case.table("findings").to_pylist()
    suspects = case.table("suspects").to_pylist()
    cleared = [row for row in suspects if row["cleared"]]
    suspects = [row for row in suspects if not row["cleared"]]
    is_told = any(row["severity"] != Severity.INFO for row in findings)
    failures = [] if is_told or not figures.failures else failures_of(case)
    said = headline(findings, failures, figures.requests, figures.slow)
    failed = what_failed(failures, figures.requests)
    paragraph = _paragraph(figures, failed, findings, suspects, cleared)
    return Answer(SCHEMA, said, paragraph, *figures[:5], findings, suspects, cleared, _limits_of(case, figures))


class _Figures(NamedTuple):
    """What is counted; see `Answer`."""

    requests: int = 0
    failed: int = 0
    slow: int = 0
    first_ns: int = -1
    last_ns: int = -1
    failures: int = 0
    """Calls that failed, whether for a request or not."""
    unknown: int = 0
    """Calls whose end the capture lacks."""
    questions: int = 0
    """Calls whose parent is only a question."""
    kinds: int = 0
    """Kinds of calls."""
    blind: Sequence[str] = ()
    """Services that were asked where nothing was captured."""


def _figures(case: Case) -> _Figures:
    """Look at all calls twice: what is usual is known after the first time."""
    if not int(case.group_starts("calls")[-1]):
        return _Figures()
    pieces = len(case.group_starts("calls")) - 1
    with temporary_folder() as folder:
        calls = Bins(folder, "calls", SURVEYED, pieces)
        survey = Survey(case, 1, details=False)
        for number, (records, _) in enumerate(survey.records()):
            calls.put(number, records)
        whole = survey.whole
        requests = failed = slow = failures = 0
        for records in calls:
            portion = Portion(whole, records)
            entering = whole.enters(portion.kind, portion.caller_place, portion.is_root) & ~portion.is_probe
            requests += int(entering.sum())
            failures += int(portion.not_ok.sum())
            failed += int((entering & portion.failed).sum())
            slow += int((entering & portion.slow & ~portion.failed & ~portion.unknown).sum())
    counts = (requests, failed, slow, whole.first_ns, whole.last_ns, failures)
    return _Figures(*counts, whole.unknown, whole.questions, whole.kinds, survey.blind)


def _paragraph(
    figures: _Figures,
    otherwise_failed: str,
    findings: list[dict[str, Any]],
    suspects: list[dict[str, Any]],
    cleared: list[dict[str, Any]],
) -> str:
    requests, failed, slow, first_ns, last_ns = figures[:5]
    if not requests:
        nothing = "The captures hold no request that could be read"
        return f"{nothing}. {otherwise_failed}" if otherwise_failed else f"{nothing}: there is nothing to say about it."
    span = duration(max(last_ns - first_ns, 0))
    harm = [f"{failed:,} failed ({percent(failed / requests)})"] if failed else []
    harm += [f"{slow:,} were slow against their own usual ({percent(slow / requests)})"] if slow else []
    said = f"Of {counted(requests, 'request')} in {span}, {' and '.join(harm) or 'none failed or was slow'}."
    grave = [row for row in findings if row["severity"] != Severity.INFO]
    if not grave:
        more = f" {counted(len(findings), 'finding is', 'findings are')} for information." if findings else ""
        return f"{said} {otherwise_failed or ('No finding tells why.' if slow else WELL)}{more}"
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


def _limits_of(case: Case, figures: _Figures) -> list[str]:
    """What the captures lack, and how sure the links are, in sentences."""
    captures = case.table("captures")
    found = []
    dropped = sum(max(count or 0, 0) for count in plain_list(captures.column("dropped")))
    if dropped:
        found.append(f"The capturing hosts dropped {counted(dropped, 'packet')}: what is missing may be among them.")
    blind = figures.blind
    if blind:
        more = f" and {len(blind) - TOLD_NOTES} more" if len(blind) > TOLD_NOTES else ""
        found.append(
            f"Not captured where they answer: {', '.join(blind[:TOLD_NOTES])}{more}. Their time and the way to them "
            "can not be told apart."
        )
    if figures.unknown:
        found.append(f"How {counted(figures.unknown, 'call')} ended is not in the captures.")
    if figures.questions:
        found.append(f"{counted(figures.questions, 'call has', 'calls have')} no parent that is likelier than not.")
    if figures.kinds > MOST_GROUPS:
        found.append(
            f"Of {figures.kinds:,} kinds of calls, the first {MOST_GROUPS - 1:,} are told apart; the others are judged as "
            "if they were one."
        )
    notes = case.table("notes").select(["sentence", "subject", "count"]).to_pylist()
    notes.sort(key=lambda row: (-(row["count"] or 0), row["sentence"] or "", row["subject"] or ""))
    found += [f"{row['count']:,} × {row['sentence'].rstrip('.')} ({row['subject']})." for row in notes[:TOLD_NOTES]]
    if len(notes) > TOLD_NOTES:
        found.append(f"{counted(len(notes) - TOLD_NOTES, 'more kind of note', 'more kinds of note')}: the table notes.")
    unexplained = unexplained_bytes(case.manifest.accounting)
    if unexplained:
        found.append(f"{size(abs(unexplained))} of the payload are unexplained: a defect of wiretrace.")
    return found
