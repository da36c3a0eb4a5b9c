"""Arrow schemas of the tables that ``model/tables.py`` declares. The only file of `model` that imports pyarrow."""

import functools

import pyarrow as pa

from wiretrace.model.tables import TABLES

ARROW_TYPES = {
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "uint8": pa.uint8(),
    "uint64": pa.uint64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "category": pa.dictionary(pa.int32(), pa.string()),
    "list<int32>": pa.list_(pa.int32()),
    "list<int64>": pa.list_(pa.int64()),
    "list<string>": pa.list_(pa.string()),
    "list<uint64>": pa.list_(pa.uint64()),
}


@functools.cache
def table_schema(table: str) -> pa.Schema:
    """The Arrow schema of a table of the case, each field carrying its sentence as metadata."""
    return pa.schema(
        pa.field(column.name, ARROW_TYPES[column.type], metadata={"sentence": column.sentence})
        for column in TABLES[table]
    )
