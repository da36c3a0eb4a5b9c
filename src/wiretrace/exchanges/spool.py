"""The exchanges of one vantage point on disk, between reading and merging: written as they come, read in parts.

Rules: every part is an Arrow stream of its own, so that it can be read alone (a category has its own dictionary in each
part). Rows are numbered through the whole spool.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from wiretrace.model.schema import table_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

PART_ROWS = 1 << 13
"""Rows of a part: what is in memory at once while a spool is read."""


@dataclass(frozen=True, slots=True)
class Spool:
    """A spool that is written. Small, and can be handed to other processes."""

    path: Path
    offsets: tuple[int, ...]
    """Where each part begins in the file."""
    firsts: tuple[int, ...]
    """Number of the first row of each part, and last the number of rows."""

    def __len__(self) -> int:
        return self.firsts[-1]

    def parts(self) -> Iterator[pa.RecordBatch]:
        """All rows, part by part. Raises OSError where the file can not be read."""
        with pa.OSFile(str(self.path)) as source:
            for offset in self.offsets:
                yield _read(source, offset)

    def part(self, number: int) -> pa.RecordBatch:
        """The part with this number. Raises OSError where the file can not be read."""
        with pa.OSFile(str(self.path)) as source:
            return _read(source, self.offsets[number])

    def take(self, rows: NDArray[np.int64]) -> pa.Table:
        """The rows with these numbers, which rise. Only the parts that hold them are read."""
        schema = table_schema("exchanges")
        bounds = np.searchsorted(rows, self.firsts)
        taken = []
        with pa.OSFile(str(self.path)) as source:
            for number, offset in enumerate(self.offsets):
                wanted = rows[bounds[number] : bounds[number + 1]] - self.firsts[number]
                if len(wanted):
                    part = _read(source, offset)
                    taken.append(part if len(wanted) == len(part) else part.take(pa.array(wanted)))
        return pa.Table.from_batches(taken, schema)


def replace_parts(spool: Spool, parts: Iterable[tuple[int, pa.RecordBatch]]) -> Spool:
    """The spool with other parts in the place of some: their numbers, and parts of as many rows as those before.

    They are written one by one, and may come from the spool itself.
    """
    offsets = list(spool.offsets)
    with spool.path.open("ab") as sink:
        for number, part in parts:
            offsets[number] = sink.tell()
            with pa.ipc.new_stream(sink, part.schema) as stream:
                stream.write_batch(part)
    return Spool(spool.path, tuple(offsets), spool.firsts)


def _read(source: pa.NativeFile, offset: int) -> pa.RecordBatch:
    source.seek(offset)
    return pa.ipc.open_stream(source).read_next_batch()


class SpoolWriter:
    """Writes a spool; use as a context manager. Raises OSError where the file can not be written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sink = pa.OSFile(str(path), "wb")
        self._offsets: list[int] = []
        self._firsts = [0]

    def __enter__(self) -> SpoolWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sink.close()

    def write(self, batch: pa.RecordBatch) -> None:
        """Add the rows of `batch`, which has the schema of the table `exchanges`."""
        for first in range(0, len(batch), PART_ROWS):
            part = batch.slice(first, PART_ROWS)
            self._offsets.append(self._sink.tell())
            self._firsts.append(self._firsts[-1] + len(part))
            with pa.ipc.new_stream(self._sink, part.schema) as stream:
                stream.write_batch(part)

    def spool(self) -> Spool:
        """What was written."""
        return Spool(self._path, tuple(self._offsets), tuple(self._firsts))
