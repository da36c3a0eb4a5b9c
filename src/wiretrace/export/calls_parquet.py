"""Parquet: the calls as one flat table with real timestamps, for data frames and warehouses.

The case itself is Parquet, too: this is one file, without columns of lists, whose times are timestamps.
"""

from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wiretrace.case.forest import in_order
from wiretrace.case.reader import Case
from wiretrace.export.contract import Exporter

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
        calls = case.table("calls").take(in_order(case.table("calls")))
        columns: dict[str, pa.ChunkedArray] = {}
        for field in calls.schema:
            column = calls.column(field.name)
            if pa.types.is_list(field.type) or field.name in ROWS_OF_THE_CASE:
                continue
            if field.name in TIMES:
                known = pc.if_else(pc.equal(column, -1), None, column)
                columns[field.name.removesuffix("_ns")] = known.cast(pa.timestamp("ns", "UTC"))
            elif pa.types.is_dictionary(field.type):
                columns[field.name] = column.cast(pa.string())
            else:
                columns[field.name] = column
        pq.write_table(pa.table(columns), stream, compression="zstd")
