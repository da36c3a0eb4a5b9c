"""The whole way on one page: captures -> exchanges -> calls -> request trees, and on which executor.

Rules: each vantage point is read by a pure function of its files (in a worker process where there are several), what it
returns is small, and its exchanges stay in a spool file until the tables are made.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from wiretrace.exchanges.vantage import VantagePoint, read_vantage_point, value_key
from wiretrace.hosts.calls import merge_vantage_points
from wiretrace.hosts.vantage import CaptureInfo
from wiretrace.linking.tables import link_tables
from wiretrace.model.analysis import Analysis, InputFile, Payload
from wiretrace.model.note import Notes
from wiretrace.model.schema import table_schema
from wiretrace.packets.captures import CaptureSet, find_captures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wiretrace.model.progress import Progress
    from wiretrace.model.settings import Settings


def analyze(
    captures: Sequence[Path], settings: Settings, progress: Progress, executor: Executor | None = None
) -> Analysis:
    """Turn capture files and folders of them into the tables of a case.

    `executor` runs the reading of vantage points; by default this process where there is one, else a process pool.
    Raises UserError for what is no capture or can not be read.
    """
    notes = Notes()
    sets = find_captures(captures, notes)
    with tempfile.TemporaryDirectory(prefix="wiretrace-") as folder:
        points = _read(sets, Path(folder), settings, progress, executor)
        progress.stage("bringing the hosts together")
        exchanges = pa.concat_tables([_exchanges(point) for point in points])
        connections = pa.concat_tables([point.connections for point in points])
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


def _read(
    sets: list[CaptureSet], folder: Path, settings: Settings, progress: Progress, executor: Executor | None
) -> list[VantagePoint]:
    """Read all vantage points, in the order of `sets`."""
    progress.stage("reading captures")
    paths = [path for capture in sets for path in capture.paths]
    key = value_key(paths)
    sizes = [sum(path.stat().st_size for path in capture.paths) for capture in sets]
    total = sum(sizes)
    spools = [folder / f"{number}.arrow" for number in range(len(sets))]
    workers = min(settings.jobs or os.cpu_count() or 1, len(sets))
    done = 0
    if executor is None and workers == 1:
        points = []
        for number, (capture, spool) in enumerate(zip(sets, spools, strict=True)):

            def advance(count: int, before: int = done, size: int = sizes[number]) -> None:
                nonlocal done
                done = min(done + count, before + size)
                progress.advance(done, total)

            points.append(read_vantage_point(capture, number, spool, key, settings, advance))
        return points
    with executor or ProcessPoolExecutor(workers, mp_context=get_context("forkserver")) as pool:
        # The largest first, so that none is begun last.
        order = sorted(range(len(sets)), key=lambda number: -sizes[number])
        futures = {
            pool.submit(read_vantage_point, sets[number], number, spools[number], key, settings): number
            for number in order
        }
        found: dict[int, VantagePoint] = {}
        for future in as_completed(futures):
            number = futures[future]
            found[number] = future.result()
            done += sizes[number]
            progress.advance(done, total)
    return [found[number] for number in range(len(sets))]


def _exchanges(point: VantagePoint) -> pa.Table:
    with pa.OSFile(str(point.spool)) as source:
        return pa.ipc.open_stream(source).read_all()


def _capture_info(point: VantagePoint) -> CaptureInfo:
    names: dict[str, str] = {}
    for _, summary in point.files:
        names.update(summary.names)
    return CaptureInfo(point.name, next((summary.host for _, summary in point.files if summary.host), ""), (), names)


def _inputs(point: VantagePoint) -> list[InputFile]:
    return [
        InputFile(str(path), summary.bytes, summary.sha256, summary.packets, summary.dropped)
        for path, summary in point.files
    ]


def _captures(points: list[VantagePoint]) -> pa.Table:
    rows = [
        {
            "capture": point.name,
            "path": str(path),
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
