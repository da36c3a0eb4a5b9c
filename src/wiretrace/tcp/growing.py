"""Arrays that grow together: what is known of connections, conversations and streams, one entry for each.

Rules: the capacity doubles, so that a million entries cost no more each than a hundred.
"""

from __future__ import annotations

import numpy as np


class GrowingArrays:
    """Arrays that grow together by doubling."""

    def __init__(self, columns: dict[str, tuple[type[np.generic], int]]) -> None:
        self._columns = columns
        self._capacity = 1024
        self.arrays = {name: np.full(1024, fill, dtype) for name, (dtype, fill) in columns.items()}

    def reserve(self, count: int) -> None:
        """Make room for `count` entries."""
        if count <= self._capacity:
            return
        capacity = max(count, 2 * self._capacity)
        for name, (dtype, fill) in self._columns.items():
            grown = np.full(capacity, fill, dtype)
            grown[: self._capacity] = self.arrays[name]
            self.arrays[name] = grown
        self._capacity = capacity
