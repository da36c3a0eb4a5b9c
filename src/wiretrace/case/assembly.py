"""Joins what the stretches of an analysis brought into the tables calls, links, evidence and trees of a case.

Rules: stretches are read one after the other; of all calls together only numbers are in memory. In the parts calls stand
by their numbers; here they get their ids as text, and the trees that go through several stretches become whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wiretrace.linking.trees import Trees, grow_trees
from wiretrace.model.outcome import Outcome
from wiretrace.model.schema import table_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from wiretrace.case.writer import CaseWriter

TABLES_OF_A_PART = ("calls", "links", "evidence")
NO_FAILURE = (Outcome.OK, Outcome.UNFINISHED, Outcome.NOT_CAPTURED)
"""Outcomes of calls that are not counted as errors of their tree."""
ROOT_COLUMNS = ("id", "operation", "server_service", "start_ns", "end_ns", "outcome")
"""Columns of the table `calls` that the rows of the table `trees` are made of."""
NO_CALL = np.uint64(0)
"""In place of a call's number."""
AGAIN = np.uint64(0x9E3779B97F4A7C15)
"""Added to the number of a call that another call has already (2**64 divided by the golden ratio)."""


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


class _Calls(NamedTuple):
    """All calls. Arrays have shape (n,)."""

    firsts: list[int]
    """Row of the first call of each part, and last the number of calls."""
    number: NDArray[np.uint64]
    """Each a different one."""
    renamed: list[dict[int, int]]
    """By part: numbers that another call has already, and what stands for them."""
    sorted: NDArray[np.uint64]
    """The numbers, rising."""
    trees: Trees
    failed: NDArray[np.bool_]


def assemble(writer: CaseWriter, parts: Sequence[Part]) -> None:
    """Write the tables calls, links, evidence and trees. `parts` are in the order of time."""
    calls = _number_calls(parts)
    roots: list[pa.Table] = []
    writer.write_table("calls", _final_calls(parts, calls, roots))
    for name in ("links", "evidence"):
        writer.write_table(name, _final_links(name, parts, calls))
    writer.write_table("trees", _trees(calls, pa.concat_tables(roots)))


def hexadecimal(numbers: NDArray[np.uint64]) -> pa.Array:
    """Each number as 16 hexadecimal digits; 0 is null."""
    digits = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), dtype=np.uint16)
    text = digits[numbers.astype(">u8").view(np.uint8)]
    offsets = np.arange(len(numbers) + 1, dtype=np.int32) * 16
    texts = pa.StringArray.from_buffers(len(numbers), pa.py_buffer(offsets), pa.py_buffer(text))
    return texts if numbers.all() else pc.if_else(pa.array(numbers != NO_CALL), texts, None)


def _number_calls(parts: Sequence[Part]) -> _Calls:
    """Find the parents of all calls, and the trees that they make."""
    wanted = ("id", "parent", "confidence", "outcome")
    firsts, number, parent, confidence, failed = [0], [], [], [], []
    harmless = pa.array([str(outcome) for outcome in NO_FAILURE])
    for part in parts:
        table = part.read("calls", wanted)
        firsts.append(firsts[-1] + len(table))
        number.append(table.column("id").to_numpy())
        parent.append(table.column("parent").to_numpy())
        confidence.append(table.column("confidence").fill_null(1.0).to_numpy())
        is_harmless = pc.is_in(table.column("outcome").cast(pa.string()), value_set=harmless)
        failed.append(~is_harmless.to_numpy())
    numbers = np.concatenate([np.zeros(0, np.uint64), *number])
    renamed = _tell_apart(numbers, firsts)
    parents = np.concatenate([np.zeros(0, np.uint64), *(_apply(*each) for each in zip(parent, renamed, strict=True))])
    order = np.argsort(numbers, kind="stable")
    rising = numbers[order]
    place = np.minimum(np.searchsorted(rising, parents), max(len(rising) - 1, 0))
    found = (rising[place] == parents) & (parents != NO_CALL)
    rows = np.where(found, order[place], -1).astype(np.int32)
    trees = grow_trees(rows, np.concatenate([np.zeros(0), *confidence]))
    return _Calls(firsts, numbers, renamed, rising, trees, np.concatenate([np.zeros(0, bool), *failed]))


def _tell_apart(numbers: NDArray[np.uint64], firsts: list[int]) -> list[dict[int, int]]:
    """Give calls of different stretches that have the same number different ones, in place (n,).

    Two calls on one connection number, with one sequence number, far apart in time: a port that was used again.
    """
    renamed: list[dict[int, int]] = [{} for _ in firsts[1:]]
    while True:
        order = np.argsort(numbers, kind="stable")
        again = order[1:][numbers[order][1:] == numbers[order][:-1]]
        if not len(again):
            return renamed
        for row in again.tolist():
            names = renamed[int(np.searchsorted(firsts, row, "right")) - 1]
            before = int(numbers[row])
            numbers[row] += AGAIN
            names[next((old for old, new in names.items() if new == before), before)] = int(numbers[row])


def _apply(numbers: NDArray[np.uint64], renamed: dict[int, int]) -> NDArray[np.uint64]:
    """Numbers of calls as they are called now."""
    for before, now in renamed.items():
        numbers = np.where(numbers == np.uint64(before), np.uint64(now), numbers)
    return numbers


def _final_calls(parts: Sequence[Part], calls: _Calls, roots: list[pa.Table]) -> Iterator[pa.RecordBatch]:
    """The rows of the table `calls`; leaves the root calls in `roots`."""
    schema = table_schema("calls")
    for part, begin, end in zip(parts, calls.firsts[:-1], calls.firsts[1:], strict=True):
        table = part.read("calls")
        parent = calls.trees.parent[begin:end]
        cut = pa.array(parent < 0)
        final = {
            "id": hexadecimal(calls.number[begin:end]),
            "tree": hexadecimal(calls.number[calls.trees.root[begin:end]]),
            "parent": hexadecimal(np.where(parent >= 0, calls.number[parent], NO_CALL)),
            "confidence": pc.if_else(cut, None, table.column("confidence")),
            "question": pc.and_not(table.column("question"), cut),
        }
        if len(table) and not pc.equal(pc.is_null(table.column("basis")), cut).to_numpy().all():
            for name in ("basis", "relation"):
                words = pc.if_else(cut, None, table.column(name).cast(pa.string()))
                final[name] = words.cast(schema.field(name).type)
        columns = [final[name] if name in final else table.column(name) for name in schema.names]
        whole = pa.table(columns, schema=schema)
        roots.append(whole.select(ROOT_COLUMNS).filter(cut))
        yield from whole.to_batches()


def _final_links(name: str, parts: Sequence[Part], calls: _Calls) -> Iterator[pa.RecordBatch]:
    """The rows of the table `links` or `evidence`: those whose calls exist."""
    schema = table_schema(name)
    for part, renamed in zip(parts, calls.renamed, strict=True):
        table = part.read(name)
        ends = {end: _apply(table.column(end).to_numpy(), renamed) for end in ("child", "parent")}
        known = np.ones(len(table), bool)
        for numbers in ends.values():
            place = np.minimum(np.searchsorted(calls.sorted, numbers), max(len(calls.sorted) - 1, 0))
            known &= calls.sorted[place] == numbers if len(calls.sorted) else False
        columns = [hexadecimal(ends[field]) if field in ends else table.column(field) for field in schema.names]
        whole = pa.table(columns, schema=schema)
        yield from (whole if known.all() else whole.filter(pa.array(known))).to_batches()


def _trees(calls: _Calls, roots: pa.Table) -> pa.Table:
    """The table `trees`, in the order of the roots' starts."""
    trees = calls.trees
    start = roots.column("start_ns")
    errors = np.bincount(trees.number, weights=calls.failed, minlength=len(trees.roots)).astype(np.int64)
    return pa.table(
        {
            "tree": roots.column("id"),
            "operation": roots.column("operation"),
            "service": roots.column("server_service"),
            "start_ns": start,
            "duration_ns": pc.subtract(roots.column("end_ns"), start),
            "calls": pa.array(trees.size),
            "errors": pa.array(errors),
            "depth": pa.array(trees.height),
            "outcome": roots.column("outcome"),
            "confidence": pa.array(trees.confidence),
        }
    ).cast(table_schema("trees"))
