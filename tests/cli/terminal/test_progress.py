"""Progress is drawn on a terminal and nowhere else, and goes away."""

import io
import sys

import pytest
from rich.console import Console

from wiretrace.cli.terminal.progress import ProgressBar, progress_on_terminal
from wiretrace.model.progress import NoProgress


def test_a_bar_names_the_stage_and_how_far_it_is() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    bar = ProgressBar(console)
    bar.stage("reading [captures]")
    bar.advance(50_000_000, 100_000_000)
    bar.stage("linking")
    bar.advance(7, 0)
    bar.finish()
    stream = console.file
    assert isinstance(stream, io.StringIO)
    assert "linking" in stream.getvalue()


def test_finishing_before_beginning_is_harmless() -> None:
    """An analysis may fail before its first stage."""
    console = Console(file=io.StringIO(), force_terminal=True)
    bar = ProgressBar(console)
    bar.advance(1, 2)
    bar.finish()


def test_a_pipe_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    progress = progress_on_terminal()
    progress.stage("reading captures")
    progress.advance(1, 2)
    progress.finish()
    assert isinstance(progress, NoProgress)
    assert stream.getvalue() == ""
