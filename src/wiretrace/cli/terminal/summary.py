"""Prints the summary of a case: the answer first, then the evidence, then what could not be seen, then what to do next."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from rich.text import Text

from wiretrace.cli.terminal.console import cell, print_heading, print_line, print_paragraph
from wiretrace.cli.terminal.text import counted, duration, instant, percent, size
from wiretrace.cli.terminal.tree import draw_tree
from wiretrace.diagnosis.failures import Failure, Harm
from wiretrace.diagnosis.summary import Summary, summarize
from wiretrace.model.analysis import Payload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from wiretrace.case.reader import Case

MOST_ROWS = 8
"""Rows of a list in the summary; what is left out is counted."""
KINDS_NAMED = 4
"""Kinds of call that are named in a sentence; further ones are counted."""
EXAMPLE_LINES = 16
"""Calls of the example tree that are drawn."""
NUMBER_WIDTH = 9
NARROWEST_NAME = 24
"""Columns that a name needs to have its numbers beside it."""
SEVERITY_STYLES = {"critical": "bold red", "warning": "yellow"}
FATES: dict[str, str] = {
    Payload.IN_EXCHANGES: "in exchanges",
    Payload.IN_HALVES: "in halves",
    Payload.CONTROL: "of the protocols themselves",
    Payload.REPEATED: "repeated",
    Payload.COPIED: "captured twice",
    Payload.ENCRYPTED: "encrypted",
    Payload.PROTOCOL_UNKNOWN: "of unknown protocols",
    Payload.MALFORMED: "malformed",
    Payload.SKIPPED_AFTER_GAP: "beside gaps",
    Payload.UNFINISHED: "cut off by an end",
    Payload.AFTER_THE_END: "after the end of their connection",
}
"""Where payload bytes went, as the summary says it."""


def print_summary(console: Console, case: Case, *, kept: bool = True) -> Summary:
    """Print the summary of `case`, and return it; `kept`: whether it will still be there for further commands."""
    summary = summarize(case)
    _headline(console, summary)
    _findings(console, summary)
    _failures(console, summary)
    _times(console, summary)
    if summary.example:
        print_heading(console, f"For example: tree {summary.example}")
        draw_tree(console, case.rows("calls", "tree", summary.example), most_lines=EXAMPLE_LINES)
    _services(console, summary)
    _how_sure(console, summary)
    _not_seen(console, summary)
    if kept:
        _next_steps(console, case, summary)
    else:
        print_heading(console, "Next")
        print_paragraph(console, "Nothing was kept. Give -o CASE to keep the case and look into it.", 2)
    return summary


def _headline(console: Console, summary: Summary) -> None:
    what = counted(summary.requests, "request")
    if summary.requests:
        what += f", {summary.failed_requests:,} failed" if summary.failed_requests else ", none failed"
    where = f"{counted(summary.captures, 'capture')} of {counted(summary.hosts, 'host')}"
    print_paragraph(console, f"{what}: {counted(summary.calls, 'call')}, from {where}.", style="bold")
    if summary.calls:
        span = duration(summary.last_ns - summary.first_ns)
        print_paragraph(console, f"They cover {span} from {instant(summary.first_ns)} UTC.")
    if summary.keeps_values:
        print_paragraph(console, "Captured values were kept readable (--keep-values): this case holds secrets.")


def _findings(console: Console, summary: Summary) -> None:
    if not summary.findings:
        return
    print_heading(console, "What is wrong")
    for severity, title, detail in summary.findings[:MOST_ROWS]:
        print_paragraph(console, f"{severity}: {title}", 2, SEVERITY_STYLES.get(severity, ""))
        if detail:
            print_paragraph(console, detail, 4)
    _left_out(console, len(summary.findings), "finding", "findings")


def _failures(console: Console, summary: Summary) -> None:
    print_heading(console, "What failed")
    by_harm = {harm: [failure for failure in summary.failures if failure.harm is harm] for harm in Harm}
    if not summary.failures:
        print_paragraph(console, "No call failed." if summary.calls else "There are no calls.", 2)
    elif not by_harm[Harm.BROKE_REQUEST]:
        print_paragraph(console, "No request failed.", 2)
    _failure_rows(console, by_harm[Harm.BROKE_REQUEST], "red")
    if by_harm[Harm.ABSORBED]:
        print_paragraph(console, "Failed beneath requests that did not fail for it:", 2)
        _failure_rows(console, by_harm[Harm.ABSORBED], "", indent=4)
    if by_harm[Harm.OUTSIDE]:
        print_paragraph(console, "Failed outside any request:", 2)
        _failure_rows(console, by_harm[Harm.OUTSIDE], "", indent=4)
    if by_harm[Harm.SET_UP]:
        print_paragraph(console, "Failed where connections were set up or probed; no request failed for it:", 2, "dim")
        _failure_rows(console, by_harm[Harm.SET_UP], "dim", indent=4)
    if summary.unknown_outcomes:
        count = counted(summary.unknown_outcomes, "call")
        print_paragraph(console, f"How {count} ended is not in the captures; that is no failure.", 2)


def _failure_rows(console: Console, failures: Sequence[Failure], style: str, indent: int = 2) -> None:
    for failure in failures[:MOST_ROWS]:
        share = f"{failure.failed:,} of {failure.calls:,} ({percent(failure.failed / failure.calls)})"
        print_paragraph(console, f"{share}  {failure.operation} ({failure.service}): {failure.word}", indent, style)
        if failure.cause:
            print_paragraph(console, f"because of {failure.cause}", indent + 4)
    _left_out(console, len(failures), "kind of failure", "calls", "kinds of failure")


def _times(console: Console, summary: Summary) -> None:
    if not summary.times:
        return
    rows = [
        (
            f"{times.operation} ({times.service})",
            f"{times.calls:,}",
            duration(times.median_ns),
            duration(times.p95_ns),
            duration(times.longest_ns),
        )
        for times in summary.times[:MOST_ROWS]
    ]
    _columns(console, ("What takes time", "requests", "median", "p95", "longest"), rows)
    _left_out(console, len(summary.times), "kind of request", "trees", "kinds of request")
    if summary.outside:
        kinds = [f"{kind.operation} ({kind.service}) × {kind.calls:,}" for kind in summary.outside_kinds[:KINDS_NAMED]]
        if len(summary.outside_kinds) > KINDS_NAMED:
            kinds.append(f"{len(summary.outside_kinds) - KINDS_NAMED:,} more kinds")
        what = (
            f"{counted(summary.outside, 'call')} outside any request (set-up, probes, background, or cause not found)"
        )
        print_paragraph(console, f"Apart from these, {what}: {', '.join(kinds)}.", 2, "dim")


def _services(console: Console, summary: Summary) -> None:
    if not summary.services:
        return
    rows = [
        (service.name, f"{service.calls_in:,}", f"{service.calls_out:,}", f"{service.failed:,}")
        for service in summary.services[:MOST_ROWS]
    ]
    _columns(console, ("Services, from the outside in", "calls in", "calls out", "failed"), rows)
    _left_out(console, len(summary.services), "service", "calls")


def _columns(console: Console, titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a name and numbers in columns, under a heading; where it is too narrow, the numbers below the name."""
    names = console.width - (len(titles) - 1) * (NUMBER_WIDTH + 1)
    beside = names >= NARROWEST_NAME
    console.print()
    for position, (name, *numbers) in enumerate([titles, *rows]):
        style = "bold" if position == 0 else ""
        cells = [cell(number, NUMBER_WIDTH, right=True) for number in numbers]
        first = cell(name if position == 0 else f"  {name}", names if beside else console.width)
        lines = [Text(" ").join([first, *cells])] if beside else [first, Text(" ").join(cells)]
        for line in lines:
            line.stylize(style)
            print_line(console, line)


def _how_sure(console: Console, summary: Summary) -> None:
    if not summary.calls:
        return
    print_heading(console, "How sure")
    links = sum(summary.links_by_basis.values())
    if not links:
        print_paragraph(console, "No call is linked to another.", 2)
    else:
        words = {
            "stated": "by identifiers on the wire",
            "measured": "by the same bytes",
            "inferred": f"by judgement, {percent(summary.mean_confidence)} sure on average",
        }
        kinds = ", ".join(
            f"{count:,} {basis} ({percent(count / links)}; {words.get(basis, 'of another kind')})"
            for basis, count in sorted(summary.links_by_basis.items(), key=lambda item: -item[1])
        )
        print_paragraph(console, f"{counted(links, 'link')}: {kinds}.", 2)
    if summary.questions:
        questions = counted(summary.questions, "more call")
        reason = "the likeliest is less likely than not, or at a host that was not captured"
        print_paragraph(console, f"What caused {questions} is an open question: {reason}.", 2)
    _clocks(console, summary)


def _clocks(console: Console, summary: Summary) -> None:
    """How the clocks of the hosts were brought together: every time that is shown rests on it."""
    if summary.clock_offset_ns > 0:
        error = f", known to within {duration(summary.clock_error_ns)}" if summary.clock_error_ns else ""
        print_paragraph(
            console,
            f"The hosts' clocks differ by up to {duration(summary.clock_offset_ns)}{error}; times are corrected.",
            2,
        )


def _not_seen(console: Console, summary: Summary) -> None:
    print_heading(console, "What could not be seen or read")
    if summary.dropped:
        print_paragraph(console, f"The capturing hosts dropped {counted(summary.dropped, 'packet')}.", 2)
    for sentence, subject, count in summary.notes[:MOST_ROWS]:
        print_paragraph(console, f"{count:,} × {sentence.rstrip('.')} ({subject}).", 2)
    _left_out(console, len(summary.notes), "kind of note", "notes", "kinds of note")
    if not summary.notes and not summary.dropped:
        print_paragraph(console, "Nothing that wiretrace knows of.", 2)
    captured = summary.accounting.get(Payload.CAPTURED, 0)
    fates = [
        f"{size(count)} {FATES.get(fate, fate.replace('_', ' '))}"
        for fate, count in sorted(summary.accounting.items(), key=lambda item: -item[1])
        if count and fate != Payload.CAPTURED
    ]
    if captured and fates:
        print_paragraph(console, f"Payload: {size(captured)} captured = {' + '.join(fates)}.", 2)
    if summary.unexplained:
        # Not the user's fault, and never to be hidden: every captured byte has to end somewhere.
        print_paragraph(
            console,
            f"{abs(summary.unexplained):,} bytes of it are {'unexplained' if summary.unexplained > 0 else 'counted twice'}: "
            "a defect of wiretrace; please report it.",
            2,
            "bold red",
        )
    elif captured:
        print_paragraph(console, "Unexplained: 0 bytes.", 2)


def _next_steps(console: Console, case: Case, summary: Summary) -> None:
    print_heading(console, "Next")
    name = shlex.quote(str(case.path))
    steps = [
        f"wiretrace report {name} -o report.html",
        f"wiretrace query {name} \"SELECT operation, status FROM calls WHERE outcome <> 'ok'\"",
    ]
    if summary.example:
        steps.insert(0, f"wiretrace show {name} {summary.example} --why")
    steps.insert(0, f"wiretrace why {name}")
    for step in steps:
        # A command has to survive copying: it is never wrapped or cut.
        console.print(Text("  ") + cell(step, len(step)), soft_wrap=True)


def _left_out(console: Console, count: int, noun: str, table: str, plural: str = "") -> None:
    """Say how many rows of a list were left out, and where they are."""
    if count > MOST_ROWS:
        more = counted(count - MOST_ROWS, f"more {noun}", f"more {plural}" if plural else "")
        print_line(console, Text(f"  … {more} in the table {table}", style="dim"))
