"""The console that results are printed on: colour and width on a terminal, plain text of 80 columns in a pipe.

NO_COLOR, COLUMNS and TERM are respected. Nothing is ever read as markup: text goes in as `rich.text.Text`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from wiretrace.cli.terminal.text import printable

if TYPE_CHECKING:
    from typing import TextIO

NARROWEST = 40
"""Columns that are used at least: below that lines break anyway."""
WIDEST = 160
"""Columns that are used at most: longer lines are hard to read."""


def output(file: TextIO | None = None) -> Console:
    """A console on standard output, or on `file`."""
    console = Console(file=file or sys.stdout, markup=False, highlight=False, emoji=False, legacy_windows=False)
    console.width = min(max(console.width, NARROWEST), WIDEST)
    return console


def print_line(console: Console, line: Text) -> None:
    """Print one line, cut where the console ends; blanks at its end are not printed."""
    line.rstrip()
    line.truncate(console.width, overflow="ellipsis")
    console.print(line, no_wrap=True, overflow="ignore", crop=False)


def print_paragraph(console: Console, text: str, indent: int = 0, style: str = "") -> None:
    """Print text that is wrapped between words, behind `indent` blanks; what it holds is made harmless."""
    for line in Text(printable(text), style=style).wrap(console, console.width - indent):
        print_line(console, Text(" " * indent) + line)


def print_heading(console: Console, text: str) -> None:
    """Print the title of a section, with an empty line before it."""
    console.print()
    print_line(console, Text(printable(text), style="bold"))


def cell(text: str, width: int, right: bool = False, style: str = "") -> Text:
    """Text made harmless, cut or filled to exactly `width` columns."""
    shown = Text(printable(text), style=style)
    shown.truncate(width, overflow="ellipsis")
    missing = width - shown.cell_len
    return Text(" " * missing) + shown if right else shown + Text(" " * missing)
