"""A set of rows of a table, a bit a row: what a pass marks, so that a later one finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class RowSet:
    """Rows below a number."""

    def __init__(self, rows: int) -> None:
        self._bits = np.zeros(-(-rows // 8), np.uint8)

    def add(self, rows: NDArray[np.integer[Any]]) -> None:
        """Add some rows."""
        np.bitwise_or.at(self._bits, rows >> 3, np.left_shift(1, rows & 7).astype(np.uint8))

    def has(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
        """Whether each of `rows` is in it. Shape (n,)."""
        found: NDArray[np.bool_] = (self._bits[rows >> 3] >> (rows & 7).astype(np.uint8) & 1).astype(np.bool_)
        return found
