"""Reads a case: Arrow tables by name, and SQL over them.

A case comes from somebody else's machine as often as from ours: what it holds is checked against the declared tables,
and the SQL engine that reads it can reach no file, extension, network or variable of this process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wiretrace.case.manifest import Manifest
from wiretrace.case.writer import ROW_GROUP_ROWS, stored_schema
from wiretrace.model.errors import UserError
from wiretrace.model.schema import table_schema
from wiretrace.model.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import duckdb
    import pyarrow.dataset as pads
    from numpy.typing import NDArray


LOCKED_DOWN = (
    "SET python_enable_replacements = false",  # a name in SQL is a table of the case, never a Python variable
    "SET enable_external_access = false",  # no files, no extensions, no network
    "SET lock_configuration = true",  # and the SQL can not undo it
)


class Case:
    """A case that is open for reading: `manifest`, `table(name)` and `query(sql)`."""

    def __init__(self, path: Path, manifest: Manifest, tables: dict[str, pa.Table]) -> None:
        """`tables` are those that need not be read."""
        self.path = path
        """Where it is stored."""
        self.manifest = manifest
        self._tables = tables
        self._metadata: dict[str, pq.FileMetaData] = {}
        self._connection: duckdb.DuckDBPyConnection | None = None

    @classmethod
    def open(cls, path: Path) -> Case:
        """Open the case at `path`. Raises UserError if it is not a case, damaged, or of a newer version."""
        case = cls(path, Manifest.read(path), {})
        for name in TABLES:
            case._check(name)
        return case

    @classmethod
    def unfinished(cls, directory: Path, manifest: Manifest) -> Case:
        """The case that is being written in `directory`, as far as it is; tables that are not there yet are empty."""
        missing = (name for name in TABLES if not (directory / f"{name}.parquet").exists())
        return cls(directory, manifest, {name: table_schema(name).empty_table() for name in missing})

    def table(self, name: str) -> pa.Table:
        """The table `name`, in the schema of `table_schema(name)`; read once. Raises UserError if it is damaged."""
        if name not in self._tables:
            self._tables[name] = self._read(name, table_schema(name).names)
        return self._tables[name]

    def columns(self, name: str, columns: Sequence[str]) -> pa.Table:
        """Some columns of a table, without reading, or keeping, the others. Raises UserError if it is damaged."""
        return self._tables[name].select(columns) if name in self._tables else self._read(name, columns)

    def group_starts(self, name: str) -> NDArray[np.int64]:
        """The first row of each row group of a table, and last the number of rows. Raises UserError if it is damaged."""
        if name in self._tables:
            count = len(self._tables[name])
            return np.append(np.arange(0, count, ROW_GROUP_ROWS), count)
        found = self._metadata_of(name)
        sizes = [found.row_group(number).num_rows for number in range(found.num_row_groups)]
        return np.cumsum([0, *sizes], dtype=np.int64)

    def group(self, name: str, number: int, columns: Sequence[str]) -> pa.Table:
        """Some columns of one row group of a table. Raises UserError if it is damaged."""
        if name in self._tables:
            return self._tables[name].select(columns).slice(number * ROW_GROUP_ROWS, ROW_GROUP_ROWS)
        schema, categories = _part_of_schema(name, columns)
        try:
            with pq.ParquetFile(
                self._file(name),
                metadata=self._metadata_of(name),
                read_dictionary=categories,
                page_checksum_verification=True,
            ) as file:
                read = file.read_row_group(number, columns=list(columns), use_threads=False)
            return _checked(name, read, columns, schema)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise self._damaged(name, error) from None

    def pieces(self, name: str, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Some columns of a table, a row group at a time, in the order of the rows. Raises UserError if it is damaged."""
        for number in range(len(self.group_starts(name)) - 1):
            yield self.group(name, number, columns)

    def rows(self, name: str, column: str, value: str) -> pa.Table:
        """The rows of a table with this value in `column`; of a long table a piece at a time is in memory.

        Raises UserError if it is damaged.
        """
        from wiretrace.case.rows import RowReader

        found = self.find(name, column, lambda values: pc.equal(values, value))
        return RowReader(self, name, table_schema(name).names).take(found)

    def find(
        self, name: str, column: str, is_wanted: Callable[[pa.ChunkedArray], pa.ChunkedArray]
    ) -> NDArray[np.int64]:
        """Numbers of the rows of a table whose value in `column` is wanted, rising. Raises UserError if it is damaged."""
        found = [np.zeros(0, np.int64)]
        for start, piece in zip(self.group_starts(name).tolist(), self.pieces(name, [column]), strict=False):
            found.append(start + pc.indices_nonzero(is_wanted(piece.column(column))).to_numpy().astype(np.int64))
        return np.concatenate(found)

    def _read(self, name: str, columns: Sequence[str]) -> pa.Table:
        schema, categories = _part_of_schema(name, columns)
        try:
            read = pq.read_table(
                self._file(name),
                columns=list(columns),
                read_dictionary=categories,
                page_checksum_verification=True,
                partitioning=None,
            )
            return _checked(name, read, columns, schema)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise self._damaged(name, error) from None

    def query(self, sql: str) -> duckdb.DuckDBPyRelation | None:
        """Run one SQL query over views named as the tables.

        Returns None for a statement that has no result. Raises UserError with DuckDB's own words in one line; reading
        rows from the relation may raise duckdb.Error.
        """
        import duckdb

        try:
            return self._connected().sql(sql)
        except duckdb.Error as error:
            raise UserError(f"query: {' '.join(str(error).split())}") from None

    def _connected(self) -> duckdb.DuckDBPyConnection:
        """The SQL connection, with views and locks, made when first needed."""
        if self._connection is None:
            import duckdb

            connection = duckdb.connect(":memory:")
            for name in TABLES:
                connection.register(name, self._source(name))
            for statement in LOCKED_DOWN:
                connection.execute(statement)
            self._connection = connection
        return self._connection

    def _source(self, name: str) -> pa.Table | pads.Dataset:
        """The rows of a table for SQL: lazily from the file where it was not read yet, so that only needed columns are."""
        if name in self._tables:
            return self._tables[name]
        import pyarrow.dataset as pads

        return pads.dataset(self._file(name), schema=stored_schema(name), format="parquet")

    def _metadata_of(self, name: str) -> pq.FileMetaData:
        """Where the row groups of a table are in its file; read once."""
        if name not in self._metadata:
            try:
                self._metadata[name] = pq.read_metadata(self._file(name))
            except (OSError, ValueError, pa.ArrowException) as error:
                raise self._damaged(name, error) from None
        return self._metadata[name]

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.parquet"

    def _check(self, name: str) -> None:
        """Raise UserError unless the file of a table is there and has the declared columns."""
        try:
            if not self._file(name).is_file():  # a pipe would be waited for
                raise FileNotFoundError
            found = pq.read_schema(self._file(name))
        except FileNotFoundError:
            raise UserError(f"{self.path}: damaged: the table {name} is missing; make the case again") from None
        except (OSError, ValueError, pa.ArrowException) as error:
            raise self._damaged(name, error) from None
        for field in stored_schema(name):
            if field.name not in found.names or found.field(field.name).type != field.type:
                raise UserError(
                    f"{self.path}: damaged: the column {field.name} of the table {name} is not what it should be; "
                    "make the case again"
                )

    def _damaged(self, name: str, error: Exception) -> UserError:
        reason = str(error).splitlines()[0] if str(error) else "it can not be read"
        return UserError(f"{self.path}: damaged: table {name}: {reason}; make the case again")


def _part_of_schema(name: str, columns: Sequence[str]) -> tuple[pa.Schema, list[str]]:
    """The schema of some columns of a table, and those of them that are categories: read as dictionaries."""
    schema = pa.schema([table_schema(name).field(column) for column in columns])
    return schema, [field.name for field in schema if pa.types.is_dictionary(field.type)]


def _checked(name: str, read: pa.Table, columns: Sequence[str], schema: pa.Schema) -> pa.Table:
    """Columns of the table `name` in their declared types. Raises ValueError where they hold what is never written."""
    read.validate(full=True)
    optional = {column.name for column in TABLES[name] if column.optional}
    for field in schema:
        column = read.column(field.name)
        if column.null_count and field.name not in optional:
            raise ValueError(f"the column {field.name} has holes")
        if pa.types.is_floating(field.type) and pc.all(pc.is_finite(column)).as_py() is False:
            raise ValueError(f"the column {field.name} holds what is no number")
    return read.select(columns).cast(schema).unify_dictionaries()
