"""Tokens and digests of whole messages, worked out once for each distinct content.

Rules: clients ask for the same things again and again, and servers give the same answers. What was hashed is remembered in
bounded dictionaries; beyond the bounds all is forgotten and they fill anew.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from wiretrace.exchanges.learned import Learned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wiretrace.exchanges.values import ValueHasher

REMEMBERED_VALUES = 32_768
"""Distinct values whose tokens are remembered, and distinct requests whose digests are."""
REMEMBERED_BYTES = 8 << 20
"""Bytes of values that are kept for that."""


class _Numbers(Learned[bytes, int]):
    """Number of each of the values that are remembered."""

    def __init__(self) -> None:
        super().__init__()
        self.new: list[bytes] = []
        """Values that have a number, and no tokens yet."""

    def work_out(self, value: bytes) -> int:
        """The next number, for a value whose tokens will be worked out with those of other new ones."""
        self.new.append(value)
        return len(self)


class _Digests(Learned[tuple[str, bytes], int]):
    """Digests of requests, by operation and values."""

    def __init__(self, hasher: ValueHasher) -> None:
        super().__init__()
        self._hasher = hasher

    def work_out(self, request: tuple[str, bytes]) -> int:
        """The digest of a request."""
        return self._hasher.digest(*request)


class RememberedValues:
    """Hashes of the values of one vantage point."""

    def __init__(self, hasher: ValueHasher) -> None:
        self._hasher = hasher
        self._numbers = _Numbers()
        self._bytes = 0
        """How long the values are together."""
        self._offsets = array("i", [0])
        """By number: where its tokens begin; behind the last, where they end."""
        self._tokens = array("Q")
        self._digests = _Digests(hasher)

    def tokens(self, *columns: Sequence[bytes]) -> list[pa.ListArray]:
        """For each column of values (n,), the tokens of each as lists of uint64 (n,)."""
        if len(self._numbers) > REMEMBERED_VALUES or self._bytes > REMEMBERED_BYTES:
            self._numbers.clear()
            self._digests.clear()
            self._bytes = 0
            self._offsets, self._tokens = array("i", [0]), array("Q")
        numbers = [np.fromiter(self._numbers.of(values), np.int32, len(values)) for values in columns]
        new = self._numbers.new
        if new:
            offsets, tokens = self._hasher.token_lists(new)
            self._offsets.frombytes((offsets[1:] + np.int32(len(self._tokens))).tobytes())
            self._tokens.frombytes(tokens.tobytes())
            self._bytes += sum(map(len, new))
            new.clear()
        lists = pa.ListArray.from_arrays(
            pa.array(np.frombuffer(self._offsets, np.int32)), pa.array(np.frombuffer(self._tokens, np.uint64))
        )
        return [lists.take(pa.array(found)) for found in numbers]

    def digests(self, operations: Sequence[str], values: Sequence[bytes]) -> NDArray[np.uint64]:
        """Digests (n,) of requests by their operations and values; see `ValueHasher.digest`."""
        if len(self._digests) > REMEMBERED_VALUES:
            self._digests.clear()
        return np.fromiter(self._digests.of(zip(operations, values, strict=True)), np.uint64, len(values))
