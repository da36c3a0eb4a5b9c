"""The whole way on one page: captures -> exchanges -> calls -> request trees, and on which executor.

Rules: each vantage point is read by a pure function of its files (in a worker process where there are several), what it
returns is small, and its exchanges stay in a spool file until the tables are made.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from wiretrace.exchanges.vantage import VantagePoint, read_vantage_point, value_key
from wiretrace.model.analysis import Analysis, InputFile, Payload
from wiretrace.model.errors import UserError
from wiretrace.model.note import Notes
from wiretrace.model.schema import table_schema
from wiretrace.packets.captures import CaptureSet, find_captures
from wiretrace.workers import run_in_workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Executor

    from wiretrace.hosts.vantage import CaptureInfo
    from wiretrace.model.progress import Progress
    from wiretrace.model.settings import Settings


def analyze(
    captures: Sequence[Path | str], settings: Settings, progress: Progress, executor: Executor | None = None
) -> Analysis:
    """Turn capture files and folders of them into the tables of a case. Strings may be URLs, or - for standard input.

    `executor` runs the reading of vantage points; by default this process where there is one, else a process pool.
    Raises UserError for what is no capture or can not be read.
    """
    notes = Notes()
    with _temporary_folder() as folder:
        progress.stage("finding captures")
        sets = find_captures(captures, notes, folder)
        points = _read(sets, folder, settings, progress, executor)
        progress.stage("bringing the hosts together")
        exchanges = pa.concat_tables([_exchanges(point) for point in points])
    connections = pa.concat_tables([point.connections for point in points])
    # Imported now, because they take a second: a complaint about the captures comes at once.
    from wiretrace.hosts.calls import merge_vantage_points
    from wiretrace.linking.tables import link_tables

    merged = merge_vantage_points(exchanges, connections, [_capture_info(point) for point in points])
    progress.stage("linking calls")
    tables = link_tables(merged.calls, merged.columns)
    for point in points:
        notes.update(point.notes)
    notes.update(merged.notes)
    tables |= {
        "captures": _captures(points),
        "connections": connections,
        "exchanges": exchanges,
        "hosts": merged.hosts,
        "notes": _notes(notes),
    }
    accounting: Counter[str] = Counter()
    for point in points:
        accounting.update(point.accounting)
        accounting[Payload.CAPTURED] += point.payload_bytes
    return Analysis(tables, dict(accounting), [each for point in points for each in _inputs(point)])


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder for the spool files, gone in the end. Raises UserError where the file system refuses."""
    try:
        with tempfile.TemporaryDirectory(prefix="wiretrace-") as folder:
            yield Path(folder)
    except OSError as error:
        where = os.environ.get("TMPDIR", "the directory for temporary files")
        why = os.strerror(error.errno) if error.errno else str(error).partition("\n")[0]
        raise UserError(
            f"{where}: temporary files can not be written: {why}; set TMPDIR to a directory with more room"
        ) from None


def _read(
    sets: list[CaptureSet], folder: Path, settings: Settings, progress: Progress, executor: Executor | None
) -> list[VantagePoint]:
    """Read all vantage points, in the order of `sets`."""
    progress.stage("reading captures")
    paths = [path for capture in sets for path in capture.paths]
    key = value_key(paths)
    sizes = [sum(_size(path) for path in capture.paths) for capture in sets]
    total = sum(sizes)
    spools = [folder / f"{number}.arrow" for number in range(len(sets))]
    # The largest first, so that none is begun last.
    order = sorted(range(len(sets)), key=lambda number: -sizes[number])
    tasks = [(sets[number], number, spools[number], key, settings) for number in order]
    workers = min(settings.jobs or os.cpu_count() or 1, len(sets))
    if executor is not None:
        futures = [executor.submit(read_vantage_point, *task) for task in tasks]
        found = [future.result() for future in futures]
    elif workers == 1:
        done = Counter[str]()

        def advance(count: int) -> None:
            done["bytes"] += count
            progress.advance(min(done["bytes"], total), total)

        found = [read_vantage_point(*task, advance) for task in tasks]
    else:
        found = run_in_workers(
            read_vantage_point, tasks, workers, lambda count: progress.advance(min(count, total), total)
        )
    return [point for _, point in sorted(zip(order, found, strict=True), key=lambda pair: pair[0])]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise UserError(f"{path}: can not be read ({error.strerror}). Check that it is still there.") from None


def _exchanges(point: VantagePoint) -> pa.Table:
    with pa.OSFile(str(point.spool)) as source:
        return pa.ipc.open_stream(source).read_all()


def _capture_info(point: VantagePoint) -> CaptureInfo:
    from wiretrace.hosts.vantage import CaptureInfo

    names: dict[str, str] = {}
    for _, summary in point.files:
        names.update(summary.names)
    host = next((summary.host for _, summary in point.files if summary.host), "")
    return CaptureInfo(point.name, host, (), names, point.hardware)


def _inputs(point: VantagePoint) -> list[InputFile]:
    return [
        InputFile(path, summary.bytes, summary.sha256, summary.packets, summary.dropped)
        for path, summary in point.files
    ]


def _captures(points: list[VantagePoint]) -> pa.Table:
    rows = [
        {
            "capture": point.name,
            "path": path,
            "format": summary.format,
            "bytes": summary.bytes,
            "sha256": summary.sha256,
            "packets": summary.packets,
            "decoded": summary.decoded,
            "dropped": summary.dropped,
            "first_ns": summary.first_ns,
            "last_ns": summary.last_ns,
            "host": summary.host,
        }
        for point in points
        for path, summary in point.files
    ]
    return pa.Table.from_pylist(rows, table_schema("captures"))


def _notes(notes: Notes) -> pa.Table:
    rows = [
        {"kind": kind.value, "subject": subject, "count": count, "sentence": kind.sentence}
        for (kind, subject), count in sorted(notes.counts.items())
    ]
    return pa.Table.from_pylist(rows, table_schema("notes"))
