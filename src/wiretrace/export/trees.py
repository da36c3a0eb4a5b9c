"""JSON: the request trees, calls nested in the calls that caused them. The document is `schemas/trees.schema.json`.

A call is nested only where its parent is more likely than not: questions stand in `unlinked`, each with what it caused
and with the parents that it may have. Every call of the case is in the document once. Nesting is written as a stream,
without recursion: a tree may be as deep as it likes.
"""

from itertools import pairwise
from typing import BinaryIO

import msgspec
import numpy as np
import pyarrow.compute as pc

from wiretrace.case.calls import call_records
from wiretrace.case.forest import Forest
from wiretrace.case.reader import Case
from wiretrace.export.contract import Exporter
from wiretrace.model.analysis import unexplained_bytes

SCHEMA = "wiretrace.trees/1"
VALUES_KEPT = {
    "kind": "values_kept",
    "subject": "--keep-values",
    "count": 1,
    "sentence": "Captured values were kept readable: this document holds secrets.",
}
"""The note that marks a document of a case whose values were kept."""
BUFFER_BYTES = 1 << 20
"""Bytes that are collected before they are written."""
CLOCK_FIELDS = {
    "host": "host",
    "offset_ns": "clock_offset_ns",
    "drift_ppm": "clock_drift_ppm",
    "error_ns": "clock_error_ns",
}
"""Fields of an entry of `clocks`, and the columns of `hosts` that they come from."""


class JsonTrees(Exporter):
    """One JSON document of nested calls."""

    name = "json"
    sentence = "The request trees as one JSON document, calls nested in the calls that caused them."

    def write(self, case: Case, stream: BinaryIO) -> None:
        """Write the trees of the case, and all that is known besides calls."""
        encoder = msgspec.json.Encoder()
        hosts = case.table("hosts")
        accounting = case.manifest.accounting
        forest = Forest.without_questions(case)
        is_root = np.zeros(len(forest.parent), np.bool_)
        is_root[case.find("calls", "parent", pc.is_null)] = True
        nested = _Nested(case, stream, forest)

        nested.put(b'{"schema":' + encoder.encode(SCHEMA))
        nested.put(b',"captures":' + encoder.encode(case.table("captures").to_pylist()))
        clocks = hosts.select(list(CLOCK_FIELDS.values())).rename_columns(list(CLOCK_FIELDS))
        nested.put(b',"clocks":' + encoder.encode(clocks.to_pylist()))
        nested.put(b',"trees":[')
        nested.put_calls([row for row in forest.roots if is_root[row]], named=True)
        nested.put(b'],"findings":' + encoder.encode(case.table("findings").to_pylist()))
        nested.put(b',"suspects":' + encoder.encode(case.table("suspects").to_pylist()))
        nested.put(b',"unlinked":[')
        nested.put_calls([row for row in forest.roots if not is_root[row]], named=False)
        notes = case.table("notes").to_pylist()
        if case.manifest.keeps_values:
            notes.append(VALUES_KEPT)
        nested.put(b'],"notes":' + encoder.encode(notes))
        nested.put(
            b',"accounting":' + encoder.encode({**accounting, "unexplained": unexplained_bytes(accounting)}) + b"}\n"
        )
        nested.flush()


class _Nested:
    """Writes calls with their children inside them, depth first."""

    def __init__(self, case: Case, stream: BinaryIO, forest: Forest) -> None:
        self._case = case
        self._stream = stream
        self._forest = forest
        self._encoder = msgspec.json.Encoder()
        self._buffer = bytearray()

    def put(self, text: bytes) -> None:
        """Write a piece of the document."""
        self._buffer += text
        if len(self._buffer) >= BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand over what was collected."""
        self._stream.write(self._buffer)
        self._buffer = bytearray()

    def put_calls(self, roots: list[int], named: bool) -> None:
        """Write the trees under `roots`, separated by commas; `named` wraps each as {"id":…,"root":…}."""
        rows, depths = self._forest.in_order(roots)
        records = call_records(self._case, rows)
        end_of_root = b"]}}" if named else b"]}"
        begun = False
        for record, (depth, following) in zip(records, pairwise([*depths.tolist(), 0]), strict=True):
            if depth == 0:
                self.put(b"," if begun else b"")
                begun = True
                if named:
                    self.put(b'{"id":' + self._encoder.encode(record.id) + b',"root":')
            self.put(self._encoder.encode(record)[:-1] + b',"children":[')
            if following <= depth:
                self.put(b"]}" * (depth - following if following else depth))
                self.put(b"]}," if following else end_of_root)
