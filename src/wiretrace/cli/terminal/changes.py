"""Prints a comparison: what changed and where first, then each kind of request with its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wiretrace.cli.terminal.console import print_heading, print_paragraph
from wiretrace.cli.terminal.text import counted, duration, percent

if TYPE_CHECKING:
    from rich.console import Console

    from wiretrace.diagnosis.comparison import Comparison, OperationChange, PercentileChange, StepChange

MOST_STEPS = 8
"""Steps that are told; further ones are counted."""
MOST_PARTS = 5
"""Parts of a change that are told one by one; the others are told as the rest."""
MOST_CHANGED = 20
"""Kinds of request with a change that are told; further ones are counted."""
MOST_QUIET = 12
"""Kinds of request without a change that are told, likewise."""


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Print a comparison."""
    flagged = [each for each in comparison.operations if each.flagged]
    if flagged:
        worse = ", ".join(f"{each.operation} ({each.service})" for each in flagged[:MOST_PARTS])
        said = f"{counted(len(flagged), 'kind of request', 'kinds of request')} changed: {worse}."
        if comparison.steps:
            said += f" Most of it: {_step(comparison.steps[0])}"
        print_paragraph(console, said, style="bold")
    else:
        print_paragraph(console, "Nothing changed that is both large and no accident.", style="bold")
    if comparison.shared:
        print_paragraph(console, comparison.shared)
    if comparison.steps:
        print_heading(console, "Where, by impact")
        for number, step in enumerate(comparison.steps[:MOST_STEPS], 1):
            print_paragraph(console, f"{number}. {_step(step)}", 2)
        if len(comparison.steps) > MOST_STEPS:
            print_paragraph(console, f"… {len(comparison.steps) - MOST_STEPS:,} more: --json tells all", 2, "dim")
    print_heading(console, "Requests, before → after")
    quiet = [each for each in comparison.operations if not each.flagged]
    for some, most, what in ((flagged, MOST_CHANGED, "changed"), (quiet, MOST_QUIET, "did not change by much")):
        for each in some[:most]:
            _operation(console, each)
        if len(some) > most:
            print_paragraph(console, f"… {len(some) - most:,} more {what}: --json tells all", 2, "dim")


def _operation(console: Console, change: OperationChange) -> None:
    flags = f"  [{', '.join(change.flagged)}]" if change.flagged else ""
    title = f"{change.operation} ({change.service}): {change.requests_before:,} → {change.requests_after:,} requests"
    print_paragraph(console, title + flags, 2, "bold" if change.flagged else "")
    if not change.percentiles:
        return
    errors = f"errors {percent(change.errors_before)} → {percent(change.errors_after)}"
    figures = [
        f"p{each.percentile} {duration(each.before_ns)} → {duration(each.after_ns)}" for each in change.percentiles
    ]
    print_paragraph(console, ", ".join([*figures, errors]), 5)
    for each in change.percentiles:
        if f"p{each.percentile}" in change.flagged:
            _parts(console, each)


def _parts(console: Console, change: PercentileChange) -> None:
    whole = change.after_ns - change.before_ns
    print_paragraph(console, f"{signed(whole)} at p{change.percentile} is", 5)
    told = change.parts[:MOST_PARTS]
    for part in told:
        words = f"{part.caller} → {part.callee}: {part.operation}, {part.part.replace('_', ' ')}"
        print_paragraph(console, f"{signed(part.change_ns)}  {words}", 7)
    rest = whole - sum(part.change_ns for part in told)
    if len(change.parts) > MOST_PARTS:
        print_paragraph(console, f"{signed(rest)}  {counted(len(change.parts) - MOST_PARTS, 'other part')}", 7)


def _step(step: StepChange) -> str:
    name = f"{step.caller} → {step.callee}: {step.operation}"
    said = []
    if "new" in step.flagged:
        said.append(f"is new, {step.calls_after:.2g} calls a request")
    elif "missing" in step.flagged:
        said.append(f"is missing, {step.calls_before:.2g} calls a request before")
    elif "calls" in step.flagged:
        said.append(f"is made {step.calls_after:.2g} times a request instead of {step.calls_before:.2g}")
    if "errors" in step.flagged:
        said.append(f"fails by itself in {percent(step.errors_after)} instead of {percent(step.errors_before)}")
    if "time" in step.flagged or not said:
        said.append(f"costs a request {signed(step.change_ns)} ({step.part.replace('_', ' ')})")
    return f"{name} {', '.join(said)}."


def signed(nanoseconds: float) -> str:
    """A change of a time, with its sign."""
    return f"+{duration(nanoseconds)}" if nanoseconds >= 0 else duration(nanoseconds)
