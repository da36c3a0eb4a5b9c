"""Prints the answer of `wiretrace why`: the paragraph first, then what it rests on."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from rich.text import Text

from wiretrace.cli.terminal.console import print_heading, print_line, print_paragraph
from wiretrace.cli.terminal.text import counted, duration, instant, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from wiretrace.diagnosis.answer import Answer
    from wiretrace.diagnosis.objectives import Verdict

SEVERITY_STYLES = {"critical": "bold red", "warning": "yellow", "info": "dim"}
CALLS_NAMED = 3
"""Calls of a finding that are named."""
FRAMES_NAMED = 6
"""Packets of a finding that are named."""


def print_answer(console: Console, answer: Answer, case: str) -> None:
    """Print the answer; `case` is the path that commands name."""
    print_paragraph(console, placed(answer.answer, case), style="bold")
    if answer.findings:
        print_heading(console, "Findings, by impact")
        for row in answer.findings:
            _finding(console, row, case)
    if answer.suspects:
        print_heading(console, "Suspects")
        for row in answer.suspects:
            whose = f", {row['owner']}" if row["owner"] else ""
            whose += ", external" if row["external"] else ""
            title = f"{row['rank']}. {row['component_kind']} {row['component']}{whose}: {percent(row['score'])} fit"
            print_paragraph(console, title, 2)
            used = f"{row['failing']:,} bad and {row['good']:,} good requests used it."
            print_paragraph(console, f"{row['words']} {used}", 5)
            if row["next_step"]:
                print_paragraph(console, f"→ {row['next_step']}", 5)
    if answer.cleared:
        print_heading(console, "Cleared")
        for row in answer.cleared:
            print_paragraph(console, f"{row['component_kind']} {row['component']}: {row['words']}", 2)
    print_heading(console, "What these captures do not show")
    for sentence in answer.limits or ["Nothing is missing that wiretrace knows of."]:
        print_paragraph(console, sentence, 2)


def _finding(console: Console, row: dict[str, Any], case: str) -> None:
    owner = f" [{row['owner']}]" if row["owner"] else ""
    style = SEVERITY_STYLES.get(row["severity"], "")
    print_paragraph(console, f"{row['number']}. {row['severity']}: {row['title']}{owner}", 2, style)
    print_paragraph(console, row["detail"], 5)
    touched = f"{counted(row['requests'], 'request')} touched, " if row["requests"] else ""
    when = f"{instant(row['first_ns'])} UTC, over {duration(max(row['last_ns'] - row['first_ns'], 0))}"
    print_paragraph(console, f"{touched}{when}. {row['code']}: 'wiretrace explain {row['code']}'", 5, "dim")
    if row["calls"]:
        more = f" and {row['occurrences'] - CALLS_NAMED:,} more" if row["occurrences"] > CALLS_NAMED else ""
        print_paragraph(console, f"calls {', '.join(row['calls'][:CALLS_NAMED])}{more}", 5, "dim")
    if row["frames"]:
        print_paragraph(console, f"frames {', '.join(row['frames'][:FRAMES_NAMED])}", 5, "dim")
    print_paragraph(console, f"→ {placed(row['next_step'], case)}", 5)


def placed(words: str, case: str) -> str:
    """Words in which the name of the case stands where commands need it."""
    return words.replace(" CASE ", f" {shlex.quote(case)} ")


def print_verdicts(console: Console, verdicts: Sequence[Verdict]) -> None:
    """Print which objectives were met."""
    print_heading(console, "Objectives")
    for each in verdicts:
        word = "met" if each.met else "MISSED"
        text = f"{word}: {each.figure} of {each.requests} is {each.measured}, {each.demanded} demanded"
        print_line(console, Text("  ") + Text(text, style="" if each.met else "bold red"))
