"""Parquet: the calls as one flat table with real timestamps, for data frames and warehouses.

The case itself is Parquet, too: this is one file, without columns of lists, whose times are timestamps.
"""

from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wiretrace.case.forest import calls_in_order
from wiretrace.case.reader import Case
from wiretrace.case.rows import RowReader
from wiretrace.case.writer import ROW_GROUP_ROWS
from wiretrace.export.contract import VALUES_KEPT, Exporter
from wiretrace.model.schema import table_schema

TIMES = ("start_ns", "end_ns", "server_start_ns", "server_end_ns")
"""Columns that become timestamps, named without their unit; -1 becomes null."""
ROWS_OF_THE_CASE = ("client_exchange", "server_exchange")
"""Columns that mean nothing outside the case."""


class CallsParquet(Exporter):
    """One Parquet file of calls."""

    name = "parquet"
    sentence = "The calls as one flat Parquet file with timestamps, for data frames."
    is_text = False

    def write(self, case: Case, stream: BinaryIO) -> None:
        """Write the calls of the case."""
        order = calls_in_order(case)
        schema = table_schema("calls")
        calls = RowReader(
            case,
            "calls",
            [field.name for field in schema if not pa.types.is_list(field.type) and field.name not in ROWS_OF_THE_CASE],
        )
        first = _flat(calls.take(order[:ROW_GROUP_ROWS]))
        if case.manifest.keeps_values:
            first = first.replace_schema_metadata({VALUES_KEPT: "true"})
        with pq.ParquetWriter(stream, first.schema, compression="zstd") as writer:
            writer.write_table(first)
            for start in range(ROW_GROUP_ROWS, len(order), ROW_GROUP_ROWS):
                writer.write_table(_flat(calls.take(order[start : start + ROW_GROUP_ROWS])))


def _flat(calls: pa.Table) -> pa.Table:
    """Calls with timestamps, and with words for categories."""
    columns: dict[str, pa.ChunkedArray] = {}
    for field in calls.schema:
        column = calls.column(field.name)
        if field.name in TIMES:
            known = pc.if_else(pc.equal(column, -1), None, column)
            columns[field.name.removesuffix("_ns")] = known.cast(pa.timestamp("ns", "UTC"))
        elif pa.types.is_dictionary(field.type):
            columns[field.name] = column.cast(pa.string())
        else:
            columns[field.name] = column
    return pa.table(columns)
