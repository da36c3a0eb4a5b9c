"""Prints RED numbers as a table: a line for each cohort, or for each of its pieces of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from wiretrace.cli.terminal.console import cell, print_line
from wiretrace.cli.terminal.text import duration, instant, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from wiretrace.diagnosis.red import Red

NUMBER_WIDTH = 9
TIME_WIDTH = 12
NARROWEST_NAME = 16


def print_red(console: Console, rows: Sequence[Red], cohort: str, by_time: bool) -> None:
    """Print the numbers of all cohorts; `by_time`: whether they are by pieces of time."""
    titles = ["calls/s", "errors", "p50", "p95", "p99"]
    room = console.width - len(titles) * (NUMBER_WIDTH + 1) - (TIME_WIDTH + 1 if by_time else 0)
    width = max(room, NARROWEST_NAME)
    _line(console, cohort, width, "from (UTC)" if by_time else "", titles, "bold")
    for row in rows:
        numbers = [f"{row.rate:,.2f}", percent(row.errors / row.calls)]
        numbers += [duration(each) for each in (row.p50_ns, row.p95_ns, row.p99_ns)]
        moment = instant(row.from_ns).partition(" ")[2] if by_time else ""
        _line(console, row.cohort, width, moment, numbers, "red" if row.errors else "")


def _line(console: Console, name: str, width: int, moment: str, numbers: Sequence[str], style: str) -> None:
    parts = [cell(name, width)]
    if moment:
        parts.append(cell(moment, TIME_WIDTH))
    parts += [cell(number, NUMBER_WIDTH, right=True) for number in numbers]
    line = Text(" ").join(parts)
    line.stylize(style)
    print_line(console, line)
