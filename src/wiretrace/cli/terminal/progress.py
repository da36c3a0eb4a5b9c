"""A progress bar on standard error: the stage, how far it is, how fast, and how long it will take. Nothing where it is not a
terminal.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from wiretrace.model.progress import NoProgress

if TYPE_CHECKING:
    from rich.progress import Task, TaskID

    from wiretrace.model import progress as model


class Done(DownloadColumn):
    """How much of how much; nothing in a stage that does not count."""

    def render(self, task: Task) -> Text:
        """What stands in the column."""
        if task.total is None:
            return Text()
        if task.fields["unit"] == "bytes":
            return super().render(task)
        return Text(f"{int(task.completed):,}/{int(task.total):,} {task.fields['unit']}", style="progress.download")


class Speed(TransferSpeedColumn):
    """How fast; nothing in a stage that does not count."""

    def render(self, task: Task) -> Text:
        """What stands in the column."""
        if task.total is None:
            return Text()
        if task.fields["unit"] == "bytes":
            return super().render(task)
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{int(speed):,}/s", style="progress.data.speed")


class TimeLeft(TimeRemainingColumn):
    """How long the stage will take from here; nothing in a stage that does not know how much there is to do."""

    def render(self, task: Task) -> Text:
        """What stands in the column."""
        if task.total is None or task.time_remaining is None:
            return Text()
        return super().render(task).append(" left")


class ProgressBar:
    """Draws `model.progress.Progress` as one line that disappears in the end."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            Done(),
            Speed(),
            TimeElapsedColumn(),
            TimeLeft(compact=True),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None

    def stage(self, name: str, unit: str = "bytes") -> None:
        """Draw a bar for a stage that begins."""
        self._bar.start()
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(name, total=None, unit=unit)

    def advance(self, done: int, total: int) -> None:
        """Draw how far the stage is."""
        if self._task is not None:
            self._bar.update(self._task, completed=done, total=total or None)

    def finish(self) -> None:
        """Take the bar away."""
        self._bar.stop()


def progress_on_terminal() -> model.Progress:
    """A bar where standard error is a terminal; nothing elsewhere."""
    console = Console(file=sys.stderr)
    return ProgressBar(console) if console.is_terminal and not console.is_dumb_terminal else NoProgress()
