"""Columns as one compressed block of text that stands inert in an HTML page; ``assets/blocks.js`` reads it back.

A block is, before compression: the length of a JSON header (uint32, little endian), the header, and the bytes of the
numeric columns one after another. It is compressed as a zlib stream and written as base64.

Rules: a numeric column is stored in the narrowest type that holds it; its bytes are shuffled (all lowest bytes first,
then all second bytes, ...), which makes small numbers and slow changes compress well; text is stored once per distinct
value, with a number per row. Nothing here loops over rows in Python.
"""

import base64
import json
import zlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

NARROW = (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.int64)
"""Integer types of a stored column, narrowest first."""

COMPRESSION_LEVEL = 6
"""zlib level: beyond it the file shrinks by a hundredth and takes twice as long to write."""


class Block:
    """Columns that the page reads together. Columns may differ in length: ragged ones are a length and a value column."""

    def __init__(self) -> None:
        self._columns: dict[str, dict[str, Any]] = {}
        self._buffers: list[bytes] = []

    def numbers(self, name: str, values: NDArray[Any], *, steps: bool = False) -> None:
        """Add a column of integers, shape (n,). With `steps`, the differences of neighbours are stored instead."""
        stored = np.diff(values.astype(np.int64), prepend=0) if steps else values
        narrow = np.ascontiguousarray(stored.astype(_narrowest(stored), copy=False))
        width = narrow.dtype.itemsize
        self._columns[name] = {
            "type": f"{narrow.dtype.kind}{width}",
            "length": len(narrow),
            "steps": steps,
        }
        self._buffers.append(narrow.view(np.uint8).reshape(-1, width).T.tobytes())

    def text(self, name: str, values: pa.Array | pa.ChunkedArray) -> None:
        """Add a column of strings (plain or dictionary-encoded), shape (n,). Null is stored as the empty string."""
        chunks = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])
        if not pa.types.is_dictionary(chunks.type):
            chunks = chunks.dictionary_encode()
        whole = chunks.unify_dictionaries().combine_chunks()
        # Only the words that rows have, in the order of the rows.
        used = pc.fill_null(whole.indices, -1).dictionary_encode()
        words = whole.dictionary.take(pc.if_else(pc.equal(used.dictionary, -1), None, used.dictionary))
        self.numbers(name, used.indices.to_numpy(zero_copy_only=False))
        self._columns[name]["words"] = pc.fill_null(words, "").to_pylist()

    def encode(self) -> str:
        """The block as base64 text."""
        header = json.dumps(self._columns, ensure_ascii=False, separators=(",", ":")).encode()
        raw = b"".join((len(header).to_bytes(4, "little"), header, *self._buffers))
        return base64.b64encode(zlib.compress(raw, COMPRESSION_LEVEL)).decode("ascii")


def _narrowest(values: NDArray[Any]) -> type[np.integer[Any]]:
    """The narrowest integer type that holds all `values`."""
    if not len(values):
        return np.uint8
    low, high = int(values.min()), int(values.max())
    return next(kind for kind in NARROW if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
