"""Joins what the stretches of an analysis brought into the tables calls, links, evidence and trees of a case.

Rules: parts are read one after the other. In the parts calls stand by their numbers; here they get their ids as text, and
the trees that go through several parts become whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wiretrace.case.trees import NO_CALL, AllTrees
from wiretrace.memory import give_back_memory
from wiretrace.model.schema import table_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from wiretrace.case.parts import Part
    from wiretrace.case.writer import CaseWriter

ROOT_COLUMNS = ("operation", "server_service", "start_ns", "end_ns", "outcome")
"""Columns of the table `calls` that the rows of the table `trees` are made of."""


def assemble(writer: CaseWriter, parts: Sequence[Part]) -> None:
    """Write the tables calls, links, evidence and trees. `parts` are in the order of time."""
    trees = AllTrees(parts)
    give_back_memory()
    writer.write_table("calls", _final_calls(trees))
    for name in ("links", "evidence"):
        give_back_memory()
        writer.write_table(name, _final_links(name, trees))
    give_back_memory()
    writer.write_table("trees", _trees(trees))


def hexadecimal(numbers: NDArray[np.uint64]) -> pa.Array:
    """Each number as 16 hexadecimal digits; 0 is null."""
    digits = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), dtype=np.uint16)
    text = digits[numbers.astype(">u8").view(np.uint8)]
    offsets = np.arange(len(numbers) + 1, dtype=np.int32) * 16
    texts = pa.StringArray.from_buffers(len(numbers), pa.py_buffer(offsets), pa.py_buffer(text))
    return texts if numbers.all() else pc.if_else(pa.array(numbers != NO_CALL), texts, None)


def _final_calls(trees: AllTrees) -> Iterator[pa.RecordBatch]:
    """The rows of the table `calls`."""
    schema = table_schema("calls")
    for number, part in enumerate(trees.parts):
        table = part.read("calls")
        own = trees.of_part(number)
        cut = pa.array(own.parent == NO_CALL)
        final = {
            "id": hexadecimal(own.number),
            "tree": hexadecimal(own.root),
            "parent": hexadecimal(own.parent),
            "confidence": pc.if_else(cut, None, table.column("confidence")),
            "question": pc.and_not(table.column("question"), cut),
            "self_ns": pa.array(trees.self_times(number)),
        }
        if len(table) and not pc.equal(pc.is_null(table.column("basis")), cut).to_numpy().all():
            for name in ("basis", "relation"):
                words = pc.if_else(cut, None, table.column(name).cast(pa.string()))
                final[name] = words.cast(schema.field(name).type)
        columns = [final[name] if name in final else table.column(name) for name in schema.names]
        yield from pa.table(columns, schema=schema).to_batches()


def _final_links(name: str, trees: AllTrees) -> Iterator[pa.RecordBatch]:
    """The rows of the table `links` or `evidence`: those whose calls exist."""
    schema = table_schema(name)
    for number, part in enumerate(trees.parts):
        table = part.read(name)
        ends = {end: trees.called_now(number, table.column(end).to_numpy()) for end in ("child", "parent")}
        known = trees.exist(ends["child"]) & trees.exist(ends["parent"])
        columns = [hexadecimal(ends[field]) if field in ends else table.column(field) for field in schema.names]
        whole = pa.table(columns, schema=schema)
        yield from (whole if known.all() else whole.filter(pa.array(known))).to_batches()


def _trees(trees: AllTrees) -> Iterator[pa.RecordBatch]:
    """The rows of the table `trees`, in the order of the calls that are their roots."""
    for number, part in enumerate(trees.parts):
        rows, figures = trees.rooted_in(number)
        roots = part.read("calls", ROOT_COLUMNS).take(pa.array(rows))
        start = roots.column("start_ns")
        table = pa.table(
            {
                "tree": hexadecimal(trees.of_part(number).number[rows]),
                "operation": roots.column("operation"),
                "service": roots.column("server_service"),
                "start_ns": start,
                "duration_ns": pc.subtract(roots.column("end_ns"), start),
                "calls": pa.array(figures.size),
                "errors": pa.array(figures.errors),
                "depth": pa.array(figures.height),
                "outcome": roots.column("outcome"),
                "confidence": pa.array(np.exp(-figures.doubt)),
            }
        )
        yield from table.cast(table_schema("trees")).to_batches()
