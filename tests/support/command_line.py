"""Runs the command line as users do: as a process of its own, in a pipe or on a terminal."""

import os
import pty
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from click.testing import CliRunner

from wiretrace.cli import commands

SOURCE = Path(__file__).parent.parent.parent / "src"
PROGRAM = "from wiretrace.cli import main; main()"
COMMAND_SECONDS = 300
"""Longest time that a command may take, however busy the machine is: beyond it, it hangs."""


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a command: that of the tests, without what would change the looks of the output."""
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    return {**kept, "PYTHONPATH": str(SOURCE), "TERM": "xterm-256color", **(more or {})}


def run(
    arguments: Sequence[str | Path], *, more: Mapping[str, str] | None = None, **options: object
) -> subprocess.CompletedProcess[str]:
    """Run `wiretrace ARGUMENTS...` in a pipe."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        capture_output="stdout" not in options,
        text=True,
        encoding="utf-8",
        timeout=COMMAND_SECONDS,
        env=environment(more),
        check=False,
        **options,  # type: ignore[call-overload]
    )


def invoke(arguments: Sequence[str | Path], columns: int = 80) -> str:
    """Run `wiretrace ARGUMENTS...` in this process, which is much quicker; returns what it printed.

    Raises what the command raises.
    """
    more = {"COLUMNS": str(columns), "NO_COLOR": None, "FORCE_COLOR": None}
    result = CliRunner().invoke(
        commands, [*map(str, arguments)], env=more, catch_exceptions=False, standalone_mode=False
    )
    return result.stdout


def run_on_terminal(arguments: Sequence[str | Path], *, more: Mapping[str, str] | None = None) -> str:
    """Run `wiretrace ARGUMENTS...` with standard output on a terminal; returns all that it wrote there."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
        env=environment(more),
    )
    os.close(terminal)
    written = bytearray()
    try:
        while True:
            try:
                some = os.read(controller, 1 << 16)
            except OSError:  # EIO: the last writer has gone
                break
            if not some:
                break
            written += some
        process.wait(COMMAND_SECONDS)
    finally:
        process.kill()
        process.wait()
        os.close(controller)
    return written.decode()
