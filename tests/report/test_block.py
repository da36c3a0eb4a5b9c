"""What a block is written from is what a reader gets back."""

import base64
import json
import zlib
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from wiretrace.report.block import Block

INT64 = st.integers(-(2**63), 2**63 - 1)


def read(encoded: str) -> dict[str, list[Any]]:
    """The columns of a block, by the description in block.py."""
    raw = zlib.decompress(base64.b64decode(encoded))
    length = int.from_bytes(raw[:4], "little")
    offset = 4 + length
    columns: dict[str, list[Any]] = {}
    for name, header in json.loads(raw[4:offset]).items():
        width = int(header["type"][1])
        size = width * header["length"]
        shuffled = np.frombuffer(raw[offset : offset + size], np.uint8).reshape(width, -1)
        values = np.ascontiguousarray(shuffled.T).view(f"<{header['type']}").ravel()
        offset += size
        numbers = np.cumsum(values.astype(np.int64)) if header["steps"] else values
        columns[name] = [header["words"][code] for code in numbers] if "words" in header else numbers.tolist()
    assert offset == len(raw)
    return columns


@settings(max_examples=100)
@given(st.lists(INT64), st.lists(st.integers(-(2**40), 2**40)), st.lists(st.one_of(st.none(), st.text())))
def test_columns_survive(numbers: list[int], steps: list[int], texts: list[str | None]) -> None:
    block = Block()
    block.numbers("numbers", np.array(numbers, np.int64))
    block.numbers("steps", np.array(steps, np.int64), steps=True)
    plain = pa.array(texts, pa.string())
    block.text("plain", plain)
    block.text("category", pa.chunked_array([plain.dictionary_encode()]))
    # As chunks are read, each with a dictionary of its own, and with words that no row has.
    chunks = pa.chunked_array(
        [plain[: len(plain) // 2].dictionary_encode(), plain[len(plain) // 2 :].dictionary_encode()]
    )
    block.text("chunks", chunks)
    block.text("part", plain.dictionary_encode()[1:])
    expected = [text or "" for text in texts]
    columns = read(block.encode())
    assert columns == {
        "numbers": numbers,
        "steps": steps,
        "plain": expected,
        "category": expected,
        "chunks": expected,
        "part": expected[1:],
    }


def test_words_that_no_row_has_are_not_stored() -> None:
    """A part of a table brings the dictionary of the whole."""
    block = Block()
    block.text("part", pa.array(["first", "second", "second", None]).dictionary_encode()[1:])
    raw = zlib.decompress(base64.b64decode(block.encode()))
    assert json.loads(raw[4 : 4 + int.from_bytes(raw[:4], "little")])["part"]["words"] == ["second", ""]


def test_small_numbers_are_stored_in_one_byte() -> None:
    block = Block()
    block.numbers("n", np.arange(1000, dtype=np.int64) % 7)
    raw = zlib.decompress(base64.b64decode(block.encode()))
    assert len(raw) < 1100
