"""Progress is drawn on a terminal and nowhere else, and goes away."""

import io
import re
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress
from tests.support.captures import TcpConversation, write_pcap
from tests.support.command_line import run_on_terminal

from wiretrace.cli.terminal.progress import ProgressBar, TimeLeft, progress_on_terminal
from wiretrace.model.progress import NoProgress
from wiretrace.model.side import Side


def test_a_bar_names_the_stage_and_how_far_it_is() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    bar = ProgressBar(console)
    bar.stage("reading [captures]")
    bar.advance(50_000_000, 100_000_000)
    bar.stage("linking", "exchanges")
    bar.advance(7_000, 9_000)
    bar.finish()
    stream = console.file
    assert isinstance(stream, io.StringIO)
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "linking" in drawn
    assert "7,000/9,000 exchanges" in drawn


def test_a_stage_says_how_long_it_will_take() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    clock = iter(range(1000))
    columns = TimeLeft(compact=True)
    progress = Progress(columns, console=console, get_time=lambda: float(next(clock)))
    task = progress.add_task("reading", total=100, unit="bytes")
    for done in (10, 20, 30):
        progress.update(task, completed=done)
    assert re.fullmatch(r"\d\d:\d\d left", columns.render(progress.tasks[0]).plain)
    progress.add_task("unknown", total=None, unit="bytes")
    assert columns.render(progress.tasks[1]).plain == ""


def test_finishing_before_beginning_is_harmless() -> None:
    """An analysis may fail before its first stage."""
    console = Console(file=io.StringIO(), force_terminal=True)
    bar = ProgressBar(console)
    bar.advance(1, 2)
    bar.finish()


def test_a_terminal_sees_stages_and_rates_and_keeps_no_trace_of_them(tmp_path: Path) -> None:
    """With the real command on some 55 MB: every stage by name, bytes and bytes a second, and a clean screen behind it."""
    conversation = TcpConversation(mss=60_000).open()
    for number in range(9):
        conversation.send(Side.CLIENT, b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
        conversation.send(Side.SERVER, b"HTTP/1.1 200 OK\r\nContent-Length: 6000000\r\n\r\n" + bytes(6_000_000))
    for name in ("web1.pcap", "web2.pcap"):
        write_pcap(tmp_path / name, conversation.packets)
    for jobs in ("1", "2"):
        written = run_on_terminal(["analyze", tmp_path, "--jobs", jobs], more={"COLUMNS": "100", "NO_COLOR": "1"})
        drawn, _, answer = written.rpartition("\x1b[?25h")
        assert "reading captures" in drawn
        assert "linking calls" in drawn
        assert re.search(r"[0-9.]+/108\.[0-9] MB +[0-9.]+ [kMG]B/s", drawn)
        assert drawn.count("\x1b[?25l") == drawn.count("\x1b[?25h") + 1  # a cursor that was hidden is shown again
        left = re.sub(r"\x1b\[[0-9;]*[AKm]", "", answer)
        assert left.replace("\r", "").lstrip("\n").startswith("9 requests")
        assert not re.search(r"(linking calls|bringing the hosts together)[^\r\n]*(bytes|\?|B/s)", drawn)


def test_a_pipe_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    progress = progress_on_terminal()
    progress.stage("reading captures")
    progress.advance(1, 2)
    progress.finish()
    assert isinstance(progress, NoProgress)
    assert stream.getvalue() == ""
