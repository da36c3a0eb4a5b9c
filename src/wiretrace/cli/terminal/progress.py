"""A progress bar on standard error: the stage, how far it is, and how fast. Nothing where it is not a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn
from rich.text import Text

from wiretrace.model.progress import NoProgress

if TYPE_CHECKING:
    from rich.progress import Task, TaskID

    from wiretrace.model import progress as model


class BytesDone(DownloadColumn):
    """How many bytes of how many; nothing in a stage that does not count them."""

    def render(self, task: Task) -> Text:
        """What stands in the column."""
        return Text() if task.total is None else super().render(task)


class BytesASecond(TransferSpeedColumn):
    """How fast; nothing in a stage that does not count bytes."""

    def render(self, task: Task) -> Text:
        """What stands in the column."""
        return Text() if task.total is None else super().render(task)


class ProgressBar:
    """Draws `model.progress.Progress` as one line that disappears in the end."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            BytesDone(),
            BytesASecond(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None

    def stage(self, name: str) -> None:
        """Draw a bar for a stage that begins."""
        self._bar.start()
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(name, total=None)

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
