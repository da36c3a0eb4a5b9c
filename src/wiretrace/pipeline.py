"""The whole way on one page: captures -> exchanges -> calls -> request trees, and on which executor.

Rules: each vantage point is read by a pure function of its files (in a worker process where there are several), what it
returns is small, and its exchanges stay in a spool file until the tables are made.
"""

from __future__ import annotations

import functools
import os
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from wiretrace.case.assembly import assemble
from wiretrace.case.files import temporary_folder
from wiretrace.case.manifest import Manifest
from wiretrace.case.parts import Part
from wiretrace.exchanges.vantage import VantagePoint, read_vantage_point, value_key
from wiretrace.memory import give_back_memory
from wiretrace.model.analysis import InputFile, Payload
from wiretrace.model.errors import UserError
from wiretrace.model.note import Notes
from wiretrace.model.schema import table_schema
from wiretrace.packets.captures import CaptureSet, find_captures
from wiretrace.workers import run_in_workers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor
    from pathlib import Path

    from numpy.typing import NDArray

    from wiretrace.case.writer import CaseWriter
    from wiretrace.exchanges.spool import Spool
    from wiretrace.hosts.knowledge import Knowledge
    from wiretrace.hosts.moments import Chosen, Moments, Piece
    from wiretrace.hosts.stretches import Sample, Stretch
    from wiretrace.hosts.vantage import CaptureInfo
    from wiretrace.linking.habits import Habits
    from wiretrace.model.progress import Progress
    from wiretrace.model.settings import Settings


LEARNING_EXCHANGES = 30_000
"""Exchanges from which the habits of a capture of several stretches are learned, ..."""
LEARNING_PLACES = 8
"""... in so many pieces of time."""
PLANNED_EXCHANGES = 500_000
"""Exchanges by whose times the stretches are planned; of more, one in so many stands for the others."""


def analyze(
    captures: Sequence[Path | str],
    settings: Settings,
    progress: Progress,
    writer: CaseWriter,
    executor: Executor | None = None,
) -> None:
    """Turn capture files and folders of them into a case, and commit it. Strings may be URLs, or - for standard input.

    `executor` runs the reading of vantage points; by default this process where there is one, else a process pool.
    Raises UserError for what is no capture or can not be read, and where the case can not be written.
    """
    notes = Notes()
    with temporary_folder() as folder:
        progress.stage("finding captures")
        sets = find_captures(captures, notes, folder)
        points = _read(sets, folder, settings, progress, executor)
        give_back_memory()
        progress.stage("bringing the hosts together")
        connections = pa.concat_tables([point.connections for point in points])
        knowledge, moments = _learn_hosts(points, connections, notes, folder, settings)
        progress.stage("linking calls", "exchanges")
        parts = _link(points, knowledge, moments, folder, settings, progress)
        progress.stage("writing the case")
        assemble(writer, parts)
        writer.write_table("exchanges", (batch for point in points for batch in point.spool.parts()))
    for point in points:
        notes.update(point.notes)
    for name, table in (
        ("captures", _captures(points)),
        ("connections", connections),
        ("hosts", knowledge.hosts_table()),
    ):
        writer.write_table(name, table)
    accounting: Counter[str] = Counter()
    for point in points:
        accounting.update(point.accounting)
        accounting[Payload.CAPTURED] += point.payload_bytes
    inputs = [each for point in points for each in _inputs(point)]
    manifest = Manifest(inputs=inputs, settings=settings.recorded(), accounting=dict(accounting))
    # The tables hold all of it now.
    del points, connections, knowledge, moments, parts, table
    progress.stage("looking for what is wrong")
    for name, table in _diagnose(writer, manifest, notes).items():
        writer.write_table(name, table)
    writer.write_table("notes", _notes(notes))
    writer.commit(manifest)


def _diagnose(writer: CaseWriter, manifest: Manifest, notes: Notes) -> dict[str, pa.Table]:
    """What the written tables tell of what went wrong; `notes` say where it was too much."""
    from wiretrace.case.reader import Case
    from wiretrace.diagnosis.diagnose import diagnose

    give_back_memory()
    return diagnose(Case.unfinished(writer.directory, manifest), notes=notes)


def _learn_hosts(
    points: Sequence[VantagePoint], connections: pa.Table, notes: Notes, folder: Path, settings: Settings
) -> tuple[Knowledge, tuple[Moments, ...]]:
    """Look at all exchanges once: what merging them relies on, and when those of each vantage point happened."""
    # Imported now, because they take a second: a complaint about the captures comes at once.
    from wiretrace.hosts.knowledge import learn_hosts
    from wiretrace.hosts.names_file import service_of_end
    from wiretrace.hosts.survey import Survey

    survey = Survey(sum(len(point.spool) for point in points), len(points), folder)
    for point in points:
        survey.add(point.name, point.spool.parts())
    infos = [_capture_info(point) for point in points]
    knowledge = learn_hosts(survey, connections, infos, notes, service_of_end(settings.names))
    return knowledge, tuple(survey.moments)


def _link(
    points: Sequence[VantagePoint],
    knowledge: Knowledge,
    moments: tuple[Moments, ...],
    folder: Path,
    settings: Settings,
    progress: Progress,
) -> list[Part]:
    """Merge and link all exchanges, stretch by stretch."""
    from wiretrace.hosts.stretches import plan_sample, plan_stretches

    total = sum(len(each) for each in moments)
    one_in = -(-total // PLANNED_EXCHANGES) or 1
    seen = [each.every(one_in) for each in moments]
    starts = [knowledge.on_time_line(number, start) for number, (start, _) in enumerate(seen)]
    ends = [knowledge.on_time_line(number, end) for number, (_, end) in enumerate(seen)]
    spools = tuple(point.spool for point in points)
    stretches = plan_stretches(starts, ends, -(-settings.limits.stretch_exchanges // one_in))
    habits = None
    if len(stretches) > 1:
        habits = _learn_habits(
            plan_sample(starts, LEARNING_EXCHANGES // one_in, LEARNING_PLACES), spools, moments, knowledge
        )
    del seen, starts, ends
    tasks = [
        (stretch, spools, moments, knowledge, habits, Part(folder, number)) for number, stretch in enumerate(stretches)
    ]
    workers = min(settings.jobs or os.cpu_count() or 1, len(tasks))
    if workers > 1:
        return run_in_workers(link_stretch, tasks, workers, lambda count: progress.advance(min(count, total), total))
    done = Counter[str]()

    def advance(count: int) -> None:
        done["exchanges"] += count
        progress.advance(min(done["exchanges"], total), total)

    return [link_stretch(*task, advance) for task in tasks]


def _learn_habits(
    sample: Sample, spools: tuple[Spool, ...], moments: tuple[Moments, ...], knowledge: Knowledge
) -> Habits:
    """Learn from a sample of the exchanges what linking the stretches relies on."""
    from wiretrace.hosts.calls import merge_exchanges
    from wiretrace.linking.linker import learn

    chosen = choose_exchanges(sample, moments, knowledge)
    merged = merge_exchanges(*take_exchanges(spools, [each.rows for each in chosen]), knowledge)
    give_back_memory()
    start = merged.calls.column("start_ns").to_numpy()
    habits = learn(merged.columns, sample.piece(start), sample.owns(start))
    del merged
    give_back_memory()
    return habits


def link_stretch(
    stretch: Stretch,
    spools: tuple[Spool, ...],
    moments: tuple[Moments, ...],
    knowledge: Knowledge,
    habits: Habits | None,
    part: Part,
    advance: Callable[[int], None],
) -> Part:
    """Merge and link the exchanges of a stretch; writes, and returns, the part. `advance` is told how many they are."""
    from wiretrace.hosts.calls import merge_exchanges
    from wiretrace.linking.tables import link_calls

    chosen = choose_exchanges(stretch, moments, knowledge)
    merged = merge_exchanges(*take_exchanges(spools, [each.rows for each in chosen]), knowledge)
    give_back_memory()
    owned = stretch.owns(merged.calls.column("start_ns").to_numpy())
    linked = link_calls(merged.calls, merged.columns, owned, habits)
    part.write({"calls": linked.calls, "links": linked.links, "evidence": linked.evidence})
    advance(sum(each.owned for each in chosen))
    del merged, linked
    give_back_memory()
    return part


def choose_exchanges(piece: Piece, moments: tuple[Moments, ...], knowledge: Knowledge) -> list[Chosen]:
    """The exchanges of each vantage point that are worked on with a piece of time."""
    return [
        each.choose(piece, functools.partial(knowledge.on_time_line, number)) for number, each in enumerate(moments)
    ]


def take_exchanges(spools: tuple[Spool, ...], rows: Sequence[NDArray[np.int64]]) -> tuple[pa.Table, NDArray[np.int64]]:
    """The exchanges `rows` of each spool, and their numbers in the whole analysis."""
    firsts = np.cumsum([0, *(len(spool) for spool in spools)])
    tables = [spool.take(wanted) for spool, wanted in zip(spools, rows, strict=True)]
    numbers = [wanted + first for wanted, first in zip(rows, firsts[:-1], strict=True)]
    return pa.concat_tables(tables), np.concatenate(numbers)


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


def _capture_info(point: VantagePoint) -> CaptureInfo:
    from wiretrace.hosts.vantage import CaptureInfo

    names: dict[str, str] = {}
    for _, summary in point.files:
        names.update(summary.names)
    host = next((summary.host for _, summary in point.files if summary.host), "")
    dropped = max((summary.dropped for _, summary in point.files), default=-1)
    return CaptureInfo(point.name, host, (), names, point.hardware, dropped)


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
