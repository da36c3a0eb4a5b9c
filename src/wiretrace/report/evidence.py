"""Which packets prove a finding or show a tree, for reports that hold them (`--with-packets`).

A report reads only the case; whoever makes it hands in what reads packets again from the captures. They are copied as
they were captured, with all that they hold: the page says so.
"""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wiretrace.case.rows import RowReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wiretrace.case.reader import Case

PACKETS_KEPT = 5_000
"""Packets of one finding or tree that a report holds; of more, the first ones by capture and number."""
TREES_KEPT = 12
"""Trees whose packets a report holds: those that show the findings, the gravest first, and the slowest request."""

Frames = dict[str, list[int]]
"""Numbers of packets by capture, rising."""


class PacketSource(Protocol):
    """Reads packets again from the captures of a case."""

    def read(self, wanted: Frames) -> None:
        """Read the packets that will be asked for. Raises UserError if a capture is not there, or has changed."""

    def pcapng(self, wanted: Frames) -> bytes:
        """Some of them as a pcapng file."""


class Selection(NamedTuple):
    """The packets of a finding or of a tree."""

    id: str
    """The id of the tree, or ``finding-NUMBER``."""
    title: str
    frames: Frames
    left: int
    """Packets that are left out."""


def selections(case: Case, slowest: str) -> list[Selection]:
    """What the report holds packets of; `slowest` is the id of the tree of the slowest request, or empty.

    Raises UserError if the case is damaged.
    """
    findings = case.table("findings").to_pylist()
    found = []
    trees: list[str] = []
    for finding in findings:
        rows = case.find("calls", "id", _one_of(finding["calls"]))
        frames = _frames_of_calls(case, rows)
        for named in finding["frames"]:
            capture, _, frame = named.rpartition(":")
            if frame.isdecimal():
                frames.setdefault(capture, set()).add(int(frame))
        if any(frames.values()):
            found.append(_selection(f"finding-{finding['number']}", finding["title"], frames))
        trees += RowReader(case, "calls", ["tree"]).take(rows[:1])["tree"].to_pylist()
    chosen = [tree for tree in dict.fromkeys([*trees[: TREES_KEPT - 1], slowest]) if tree]
    for tree in chosen:
        rows = case.find("calls", "tree", _one_of([tree]))
        frames = _frames_of_calls(case, rows)
        if any(frames.values()):
            root = RowReader(case, "calls", ["summary"]).take(rows[:1])["summary"].to_pylist()[0]
            found.append(_selection(tree, f"Tree {tree}: {root}", frames))
    return found


def evidence(case: Case, source: PacketSource, slowest: str) -> tuple[list[dict[str, Any]], Iterator[tuple[str, str]]]:
    """What the page says of the packets that it holds, and the blocks of them: name and base64 text.

    Raises UserError if the case is damaged, or a capture can not be read again.
    """
    chosen = selections(case, slowest)
    wanted: dict[str, set[int]] = {}
    for selection in chosen:
        for capture, frames in selection.frames.items():
            wanted.setdefault(capture, set()).update(frames)
    source.read({capture: sorted(frames) for capture, frames in wanted.items()})
    files = [source.pcapng(selection.frames) for selection in chosen]
    rows = [
        {
            "id": selection.id,
            "title": selection.title,
            "packets": sum(map(len, selection.frames.values())),
            "bytes": len(file),
            "block": f"packets-{number}",
            "left": selection.left,
        }
        for number, (selection, file) in enumerate(zip(chosen, files, strict=True))
    ]
    blocks = (
        (f"packets-{number}", base64.b64encode(zlib.compress(file, 6)).decode("ascii"))
        for number, file in enumerate(files)
    )
    return rows, blocks


def _selection(name: str, title: str, frames: dict[str, set[int]]) -> Selection:
    """A selection of at most `PACKETS_KEPT` packets."""
    kept: Frames = {}
    room = PACKETS_KEPT
    for capture in sorted(frames):
        kept[capture] = sorted(frames[capture])[:room]
        room -= len(kept[capture])
    left = sum(map(len, frames.values())) - sum(map(len, kept.values()))
    return Selection(name, title, {capture: numbers for capture, numbers in kept.items() if numbers}, left)


def _frames_of_calls(case: Case, rows: np.ndarray[Any, np.dtype[np.int64]]) -> dict[str, set[int]]:
    """The packets of calls, as all vantage points saw them."""
    calls = RowReader(case, "calls", ["client_exchange", "server_exchange", "other_exchanges"]).take(rows)
    exchanges = np.concatenate(
        [
            calls["client_exchange"].to_numpy(),
            calls["server_exchange"].to_numpy(),
            pc.list_flatten(calls["other_exchanges"]).to_numpy().astype(np.int64),
        ]
    )
    views = RowReader(case, "exchanges", ["capture", "request_frames", "response_frames"])
    seen = np.unique(exchanges[(exchanges >= 0) & (exchanges < len(views))])
    found: dict[str, set[int]] = {}
    for row in views.take(seen).to_pylist():
        found.setdefault(row["capture"], set()).update(row["request_frames"] or [], row["response_frames"] or [])
    return found


def _one_of(wanted: list[str]) -> Callable[[pa.ChunkedArray], pa.ChunkedArray]:
    """Asks which of some ids are wanted."""
    return lambda ids: pc.is_in(ids, value_set=pa.array(wanted, pa.string()))
