"""Runs the analyzer over files that nobody vouches for: each in a process of its own, with limits.

Rules: a process reports what it found, its time and its memory through a pipe, the exchanges first, so that they are
known even if what follows fails; one that hangs is killed by its number.
Everything that an analysis loads is loaded once, in the server process that the others are forked from: loading takes
longer than reading most of the files.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import pkgutil
import resource
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING

from tools.oracle.transactions import Exchange, exchanges_of

import wiretrace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerProcess

SECONDS_AT_MOST = 10
"""Processor time that one file may take."""
PROCESSOR_SECONDS_AT_MOST = 30
"""After this a process is stopped by the system."""
WALL_SECONDS_AT_MOST = 120
"""After this a process is killed: it hangs without using the processor, or the machine is overloaded."""
RESIDENT_BYTES_AT_MOST = 500 << 20
"""Resident memory that one file may take, libraries included."""
ADDRESS_BYTES_AT_MOST = 6 << 30
"""Address space at which a runaway process is stopped; libraries reserve much more than they use."""
NOT_LOADED = ("wiretrace.capture", "wiretrace.cli", "wiretrace.__main__")
"""What an analysis of files does not load."""


@dataclass(slots=True)
class FileResult:
    """What the analysis of one file brought."""

    file: str
    refused: str = ""
    """The error that the user would read."""
    defect: str = ""
    """Traceback, or how the process ended."""
    seconds: float = 0.0
    """Processor time."""
    resident_bytes: int = 0
    captured_bytes: int = 0
    unexplained_bytes: int = 0
    exchanges: list[Exchange] = field(default_factory=list)
    complete: bool = False
    """Whether the whole way was gone; until then it is what was found so far."""


def run_files(root: Path, files: Sequence[str], workers: int, key_logs: Mapping[str, Path]) -> Iterator[FileResult]:
    """Analyze files below `root`, `workers` at once, some with a key log. Results come as they are done."""
    context = multiprocessing.get_context("forkserver")
    # Python 3.11 does not give its server the path of its parent, and passes over what it then can not load.
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    context.set_forkserver_preload(_modules())
    waiting = list(reversed(files))
    running: dict[Connection, tuple[ForkServerProcess, float, FileResult]] = {}
    while waiting or running:
        while waiting and len(running) < workers:
            file = waiting.pop()
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_analyze, args=(root, file, key_logs.get(file), sender), daemon=True)
            process.start()
            sender.close()
            running[receiver] = (process, time.monotonic(), FileResult(file))
        ready = set(wait(list(running), timeout=1))
        for receiver, (process, started, result) in list(running.items()):
            if receiver in ready:
                result = _received(receiver, process, result)
                running[receiver] = (process, started, result)
            elif time.monotonic() - started > WALL_SECONDS_AT_MOST:
                process.kill()
                process.join()
                result.defect, result.seconds, result.complete = "hangs", WALL_SECONDS_AT_MOST, True
            if result.complete:
                receiver.close()
                del running[receiver]
                yield result


def _modules() -> list[str]:
    """What is loaded before any file: the analyzer whole, since most of its floors load their parts when needed."""
    modules = [module.name for module in pkgutil.walk_packages(wiretrace.__path__, "wiretrace.")]
    return [*(name for name in modules if not name.startswith(NOT_LOADED)), "tools.oracle.running"]


def _received(receiver: Connection, process: ForkServerProcess, before: FileResult) -> FileResult:
    """What the process tells next, or that it is gone."""
    try:
        result: FileResult = receiver.recv()
    except EOFError:
        process.join()
        before.defect, before.complete = f"process ended with {process.exitcode}", True
        if process.exitcode == -signal.SIGXCPU:
            before.defect, before.seconds = "hangs", PROCESSOR_SECONDS_AT_MOST
        return before
    if result.complete:
        process.join()
    return result


def _analyze(root: Path, file: str, key_log: Path | None, sender: Connection) -> None:
    """Analyze one file as `wiretrace analyze` does, write every export, and tell the result."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES_AT_MOST, ADDRESS_BYTES_AT_MOST))
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_SECONDS_AT_MOST, PROCESSOR_SECONDS_AT_MOST + 5))
    from wiretrace.model.errors import UserError

    result = FileResult(file)
    before = _processor_seconds()
    for step in (_exchanges, _whole_way):
        try:
            step(root / file, key_log, result)
        except UserError as error:
            result.refused = str(error)
        except BaseException:
            # Whatever it is, it is what this tool looks for.
            result.defect = traceback.format_exc()
        result.seconds = _processor_seconds() - before
        result.resident_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        result.complete = step is _whole_way
        sender.send(result)
    sender.close()


def _whole_way(path: Path, key_log: Path | None, result: FileResult) -> None:
    from wiretrace.case.reader import Case
    from wiretrace.case.writer import CaseWriter
    from wiretrace.export.registry import known_exporters
    from wiretrace.model.analysis import Payload, unexplained_bytes
    from wiretrace.model.progress import NoProgress
    from wiretrace.model.settings import Settings
    from wiretrace.pipeline import analyze

    with tempfile.TemporaryDirectory() as folder:
        with CaseWriter(Path(folder) / "a.case") as writer:
            analyze([path], Settings(jobs=1, tls_keylog=key_log), NoProgress(), writer)
        case = Case.open(Path(folder) / "a.case")
        accounting = case.manifest.accounting
        result.captured_bytes = accounting.get(Payload.CAPTURED, 0)
        result.unexplained_bytes = unexplained_bytes(accounting)
        for exporter in known_exporters().values():
            exporter().write(case, io.BytesIO())


def _exchanges(path: Path, key_log: Path | None, result: FileResult) -> None:
    """Read it once more with readable values, which are what can be compared."""
    from wiretrace.exchanges.vantage import read_vantage_point
    from wiretrace.model.note import Notes
    from wiretrace.model.settings import Settings
    from wiretrace.packets.captures import find_captures

    with tempfile.TemporaryDirectory() as folder:
        spool = Path(folder) / "exchanges.arrow"
        [capture] = find_captures([path], Notes())
        read = read_vantage_point(capture, 0, spool, b"", Settings(keep_values=True, jobs=1, tls_keylog=key_log))
        for part in read.spool.parts():
            result.exchanges += exchanges_of(part.to_pylist())


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
