"""Tables of a case from rows that tell only what a test is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from wiretrace.model.schema import table_schema
from wiretrace.model.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def table_of(name: str, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """The table `name`, in which everything that is left out, and may not be, is 0, false, empty text, or an empty list."""
    schema = table_schema(name)
    plain = {
        column.name: None if column.optional else _nothing(schema.field(column.name).type) for column in TABLES[name]
    }
    told = ({key: value for key, value in row.items() if value is not None} for row in rows)
    return pa.Table.from_pylist([plain | row for row in told], schema)


def _nothing(kind: pa.DataType) -> object:
    if pa.types.is_list(kind):
        return []
    if pa.types.is_boolean(kind):
        return False
    return 0 if pa.types.is_integer(kind) or pa.types.is_floating(kind) else ""
