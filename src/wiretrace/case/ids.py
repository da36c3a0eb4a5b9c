"""Finds rows by ids. An id is 16 hexadecimal digits, and compared as the number that they write.

A case from somebody else's machine may hold any text in their place: then the text itself is compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

DIGITS = 16
"""Hexadecimal digits of an id."""
NO_DIGIT = 16
"""In place of a digit's value."""
VALUES = np.full(256, NO_DIGIT, np.uint8)
"""Value of each byte as a hexadecimal digit; capital letters are none: they make another text."""
VALUES[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)


class RowsOfIds:
    """The row of each id of a column; of equal ids, the first."""

    def __init__(self, read_ids: Callable[[], Iterable[pa.ChunkedArray]]) -> None:
        """`read_ids` gives the column piece by piece; it is called again where ids turn out to be any text."""
        self._texts: pa.ChunkedArray | None = None
        pieces = [np.zeros(0, np.uint64)]
        for piece in read_ids():
            numbers, is_number = numbers_of_ids(piece)
            if not is_number.all():
                self._texts = pa.chunked_array([chunk for ids in read_ids() for chunk in ids.chunks], pa.string())
                return
            pieces.append(numbers)
        numbers = np.concatenate(pieces)
        del pieces
        order = np.argsort(numbers, kind="stable")
        self._order = order.astype(np.int32)
        del order
        self._rising = numbers[self._order]

    @classmethod
    def of(cls, ids: pa.ChunkedArray) -> RowsOfIds:
        """The rows of a column that is in memory."""
        return cls(lambda: [ids])

    def rows(self, named: pa.ChunkedArray) -> NDArray[np.int32]:
        """The row of each id in `named`; -1 for null and for what is not there. Shape (n,)."""
        if self._texts is not None:
            found = pc.index_in(named, value_set=self._texts, skip_nulls=True).fill_null(-1)
            return np.asarray(found.to_numpy(), dtype=np.int32)
        numbers, is_number = numbers_of_ids(named)
        if not len(self._rising):
            return np.full(len(numbers), -1, np.int32)
        by_number = np.argsort(numbers)  # what is looked up in order is looked up many times as fast
        place = np.empty(len(numbers), np.int64)
        place[by_number] = np.searchsorted(self._rising, numbers[by_number])
        np.minimum(place, len(self._rising) - 1, out=place)
        is_there = is_number & (self._rising[place] == numbers)
        return np.where(is_there, self._order[place], np.int32(-1))


def numbers_of_ids(ids: pa.ChunkedArray) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Ids as numbers, and which of them are ids; the number of what is none (and of null) is 0. Shapes (n,)."""
    if not len(ids):
        return np.zeros(0, np.uint64), np.zeros(0, np.bool_)
    texts = pa.concat_arrays(ids.chunks)
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    lengths = np.diff(offsets)
    is_id = lengths == DIGITS
    if texts.null_count:
        is_id &= pc.is_valid(texts).to_numpy(zero_copy_only=False)
    numbers = np.zeros(len(texts), np.uint64)
    if not is_id.any():
        return numbers, is_id
    data = np.frombuffer(texts.buffers()[2], np.uint8)
    if lengths[~is_id].any():
        digits = VALUES[data[offsets[:-1][is_id, None] + np.arange(DIGITS, dtype=np.int32)]]
    else:
        digits = VALUES[data[offsets[0] : offsets[-1]]].reshape(-1, DIGITS)
    found = (digits[:, ::2] << 4 | digits[:, 1::2]).view(">u8")[:, 0].astype(np.uint64)
    if digits.max() == NO_DIGIT:
        is_digits = (digits < NO_DIGIT).all(axis=1)
        found = found[is_digits]
        is_id[is_id] = is_digits
    numbers[is_id] = found
    return numbers, is_id
