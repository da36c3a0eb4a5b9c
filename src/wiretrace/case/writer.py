"""Writes a case: under a temporary name beside it, renamed when complete. A case exists whole or not at all.

Equal tables give equal bytes, however they were chunked and whatever the order of their dictionaries: categories are
stored as strings (Parquet makes its own dictionaries, in order of appearance), and rows are regrouped.
"""

import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wiretrace.case.files import check_folder, reason
from wiretrace.case.manifest import MANIFEST_NAME, Manifest
from wiretrace.memory import give_back_memory
from wiretrace.model.errors import UserError
from wiretrace.model.file_names import told_name
from wiretrace.model.schema import table_schema
from wiretrace.model.tables import TABLES

ROW_GROUP_ROWS = 1 << 15
"""Rows of a Parquet row group: what is held in memory at once while a table streams by."""
ROW_GROUP_TEXT = 1 << 25
"""Bytes of text at which a row group ends before it has so many rows."""
NUMBERS = "DELTA_BINARY_PACKED"
"""How columns of whole numbers are stored: most are times, which differ less from row to row than they are long."""


def stored_schema(table: str) -> pa.Schema:
    """The schema of a table as it is stored: that of the model, with categories as plain strings."""
    return pa.schema(
        field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field for field in table_schema(table)
    )


def check_target(path: Path, overwrite: bool) -> None:
    """Raise UserError where a case may not take the name `path`: only an empty directory, or a case, makes way."""
    if told_name(path) != str(path):
        raise UserError(f"{told_name(path)}: tables can only be written under a name in UTF-8; give another name")
    if not path.exists() and not path.is_symlink():
        check_folder(path, path.absolute().parent)
        return
    if path.is_dir() and not path.is_symlink():
        if not any(path.iterdir()):
            return
        if (path / MANIFEST_NAME).is_file():
            if not overwrite:
                raise UserError(f"{path}: a case is already there; give --overwrite to replace it, or another name")
            Manifest.read(path)
            return
    raise UserError(f"{path}: something that is not a case is already there; give another name")


class CaseWriter:
    """Writes the case at `path`; use as a context manager, and call `commit` last.

    Leaving the block without `commit`, by an error or not, leaves nothing behind. All errors of the file system are
    UserErrors of one line. `overwrite` replaces a case that is there; anything that is not a case is never replaced.
    """

    def __init__(self, path: Path, overwrite: bool = False) -> None:
        self.path = path
        self.overwrite = overwrite
        check_target(self.path, self.overwrite)
        self._partial: Path | None = None

    def __enter__(self) -> "CaseWriter":
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.partial")
            partial.mkdir()
            self._partial = partial
        except OSError as error:
            raise self._failure(error) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._partial is not None:
            shutil.rmtree(self._partial, ignore_errors=True)
            self._partial = None

    def write_table(self, name: str, rows: pa.Table | Iterable[pa.RecordBatch]) -> None:
        """Write one table, from a whole table or from batches that stream by. Columns are taken by name.

        Raises KeyError for a table or column that is not declared: that is a defect of ours.
        """
        schema = stored_schema(name)
        batches = rows.to_batches() if isinstance(rows, pa.Table) else rows
        try:
            with pq.ParquetWriter(
                self.directory / f"{name}.parquet",
                schema,
                compression="zstd",
                write_page_checksum=True,
                use_dictionary=[field.name for field in schema if pa.types.is_string(field.type)],
                column_encoding={field.name: NUMBERS for field in schema if pa.types.is_integer(field.type)},
            ) as writer:
                for group in _row_groups(batches, schema):
                    writer.write_table(group, row_group_size=ROW_GROUP_ROWS)
                    give_back_memory()
        except OSError as error:
            raise self._failure(error) from None

    def commit(self, manifest: Manifest) -> None:
        """Write the manifest and the tables that were not written (empty), and give the case its name."""
        for name in TABLES:
            if not (self.directory / f"{name}.parquet").exists():
                self.write_table(name, ())
        try:
            (self.directory / MANIFEST_NAME).write_bytes(manifest.encoded())
            self._take_name()
        except OSError as error:
            raise self._failure(error) from None

    @property
    def directory(self) -> Path:
        """Where the tables are written until the case gets its name."""
        if self._partial is None:
            raise ValueError("the writer is not open")
        return self._partial

    def _take_name(self) -> None:
        """Rename the finished case to its name; the case that had it goes last, so that one of them always exists."""
        check_target(self.path, self.overwrite)
        if not self.path.exists():
            self.directory.rename(self.path)
        else:
            replaced = self.directory.with_suffix(".replaced")
            self.path.rename(replaced)
            try:
                self.directory.rename(self.path)
            except OSError:
                replaced.rename(self.path)
                raise
            shutil.rmtree(replaced, ignore_errors=True)
        self._partial = None

    def _failure(self, error: OSError) -> UserError:
        return UserError(f"{self.path}: the case can not be written: {reason(error)}")


def _row_groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Regroup rows into groups of ROW_GROUP_ROWS, each of one chunk, in `schema`.

    The last may be shorter, and those whose text would be longer than ROW_GROUP_TEXT: one byte of a capture may stand for
    thousands (RFC 7541 section 2.3.2), and readers hold whole groups. Where groups end depends on their rows alone.
    """
    waiting: list[pa.RecordBatch] = []
    lengths: list[NDArray[np.int64]] = []
    rows = text = 0
    for batch in batches:
        waiting.append(batch.select(schema.names).cast(schema))
        lengths.append(_text_of_rows(waiting[-1]))
        rows += batch.num_rows
        text += int(lengths[-1].sum())
        if rows < ROW_GROUP_ROWS and text < ROW_GROUP_TEXT:
            continue
        table = pa.Table.from_batches(waiting, schema)
        until = np.cumsum(np.concatenate(lengths))
        done = before = 0
        while rows - done >= ROW_GROUP_ROWS or text - before >= ROW_GROUP_TEXT:
            end = min(done + ROW_GROUP_ROWS, max(done + 1, int(np.searchsorted(until, before + ROW_GROUP_TEXT))))
            yield table.slice(done, end - done).combine_chunks()
            done, before = end, int(until[end - 1])
        waiting, lengths = table.slice(done).to_batches(), [np.diff(until[done:], prepend=before)]
        rows, text = rows - done, text - before
    if rows:
        yield pa.Table.from_batches(waiting, schema).combine_chunks()


def _text_of_rows(rows: pa.RecordBatch) -> NDArray[np.int64]:
    """How many bytes of text each row holds, shape (n,)."""
    total = np.zeros(rows.num_rows, np.int64)
    for column in rows.columns:
        if pa.types.is_string(column.type):
            total += pc.fill_null(pc.binary_length(column), 0).to_numpy(zero_copy_only=False)
    return total
