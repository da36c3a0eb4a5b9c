"""What the stretches of an analysis bring, in files: the tables calls, links and evidence, with ids as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TABLES_OF_A_PART = ("calls", "links", "evidence")


@dataclass(frozen=True, slots=True)
class Part:
    """What one stretch brought: an Arrow file for each of `TABLES_OF_A_PART`, with ids as numbers."""

    folder: Path
    number: int

    def write(self, tables: dict[str, pa.Table]) -> None:
        """Write the tables. Raises OSError where that is not possible."""
        for name in TABLES_OF_A_PART:
            with (
                pa.OSFile(str(self._file(name)), "wb") as sink,
                pa.ipc.new_file(sink, tables[name].schema) as writer,
            ):
                writer.write_table(tables[name].combine_chunks())

    def read(self, name: str, columns: Sequence[str] = ()) -> pa.Table:
        """A table, or some columns of it."""
        with pa.OSFile(str(self._file(name))) as source:
            reader = pa.ipc.open_file(source)
            if columns:
                fields = [reader.schema.get_field_index(column) for column in columns]
                reader = pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=fields))
            return reader.read_all()

    def _file(self, name: str) -> Path:
        return self.folder / f"{self.number}.{name}.arrow"
