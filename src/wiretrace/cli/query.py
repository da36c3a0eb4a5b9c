"""``wiretrace query``: SQL over the tables of a case, which can read nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wiretrace.cli.terminal.streams import STANDARD_OUTPUT, result_stream
from wiretrace.cli.terminal.text import printable
from wiretrace.model.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

    import pyarrow as pa

WIDEST_CELL = 100
"""Columns of a cell of a table; longer values are cut, and whole in CSV and JSON."""
ROWS_MEASURED = 1000
"""Rows that decide how wide the columns of a table are."""


@click.command("query")
@click.argument("case_path", metavar="CASE", type=click.Path(path_type=Path, readable=False))
@click.argument("sql", metavar="SQL")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="How rows are printed.",
)
def command(case_path: Path, sql: str, format_name: str) -> None:
    """Run one SQL query (DuckDB) over a case.

    The tables are captures, hosts, connections, exchanges, calls, links, evidence, trees, findings, suspects
    and notes;
    'DESCRIBE calls' lists columns. Times are nanoseconds: make_timestamp_ns(start_ns) makes them readable.
    """
    import duckdb
    import pyarrow as pa

    from wiretrace.case.reader import Case

    relation = Case.open(case_path).query(sql)
    if relation is None:
        return
    try:
        with result_stream(STANDARD_OUTPUT) as stream:
            _WRITERS[format_name](pa.RecordBatchReader.from_stream(relation), stream)
    except (duckdb.Error, pa.ArrowException) as error:
        raise UserError(f"query: {' '.join(str(error).split())}") from None


def _rows(reader: pa.RecordBatchReader) -> Iterator[list[Any]]:
    """The rows as Python values; times as text, because Python's lack nanoseconds."""
    import pyarrow as pa

    for batch in reader:
        columns = [
            column.cast(pa.string()) if pa.types.is_temporal(column.type) and not _is_span(column.type) else column
            for column in batch.columns
        ]
        yield from map(list, zip(*(column.to_pylist() for column in columns), strict=True))


def _is_span(kind: pa.DataType) -> bool:
    """Whether values of an Arrow type are lengths of time, which Arrow can not write as text."""
    import pyarrow as pa

    return bool(pa.types.is_duration(kind) or pa.types.is_interval(kind))


def _write_table(reader: pa.RecordBatchReader, stream: BinaryIO) -> None:
    from itertools import chain, islice

    from rich.cells import cell_len, set_cell_size

    rows = ([_shown(value) for value in row] for row in _rows(reader))
    measured = list(islice(rows, ROWS_MEASURED))
    names = [printable(name) for name in reader.schema.names]
    widths = [
        min(max([cell_len(name), *(cell_len(row[column]) for row in measured)]), WIDEST_CELL)
        for column, name in enumerate(names)
    ]

    def line(cells: list[str]) -> bytes:
        padded = (
            set_cell_size(text, width) if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"
            for text, width in zip(cells, widths, strict=True)
        )
        return "  ".join(padded).rstrip().encode(sys.stdout.encoding or "utf-8", sys.stdout.errors or "strict") + b"\n"

    stream.write(line(names))
    stream.write(line(["-" * width for width in widths]))
    for row in chain(measured, rows):
        stream.write(line(row))


def _shown(value: object) -> str:
    """A value in a table: nothing for NULL, and harmless."""
    return "" if value is None else printable(str(value))


def _write_csv(reader: pa.RecordBatchReader, stream: BinaryIO) -> None:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(reader.schema.names)
    for row in _rows(reader):
        writer.writerow(row)
        if text.tell() >= 1 << 16:
            stream.write(text.getvalue().encode())
            text.seek(0)
            text.truncate()
    stream.write(text.getvalue().encode())


def _write_json(reader: pa.RecordBatchReader, stream: BinaryIO) -> None:
    import msgspec

    encoder = msgspec.json.Encoder(enc_hook=str, decimal_format="number")
    names = reader.schema.names
    before = b"[\n"
    for row in _rows(reader):
        stream.write(before + encoder.encode(dict(zip(names, row, strict=True))))
        before = b",\n"
    stream.write(b"[]\n" if before == b"[\n" else b"\n]\n")


_WRITERS = {"table": _write_table, "csv": _write_csv, "json": _write_json}
