"""Tokens and digests of whole messages, worked out once for each distinct content.

Rules: clients ask for the same things again and again, and servers give the same answers. What was hashed is remembered in
bounded dictionaries; beyond the bounds all is forgotten and they fill anew.
"""

from __future__ import annotations

import itertools
from array import array
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wiretrace.exchanges.values import ValueHasher

REMEMBERED_VALUES = 32_768
"""Distinct values whose tokens are remembered, and distinct requests whose digests are."""
REMEMBERED_BYTES = 8 << 20
"""Bytes of values that are kept for that."""


class RememberedValues:
    """Hashes of the values of one vantage point."""

    def __init__(self, hasher: ValueHasher) -> None:
        self._hasher = hasher
        self._numbers: dict[bytes, int] = {}
        """Number of each of the values that are remembered."""
        self._bytes = 0
        """How long they are together."""
        self._offsets = array("i", [0])
        """By number: where its tokens begin; behind the last, where they end."""
        self._tokens = array("Q")
        self._digests: dict[tuple[str, bytes], int] = {}

    def tokens(self, *columns: Sequence[bytes]) -> list[pa.ListArray]:
        """For each column of values (n,), the tokens of each as lists of uint64 (n,)."""
        if len(self._numbers) > REMEMBERED_VALUES or self._bytes > REMEMBERED_BYTES:
            self._numbers.clear()
            self._digests.clear()
            self._bytes = 0
            self._offsets, self._tokens = array("i", [0]), array("Q")
        numbers = [list(map(self._numbers.get, values)) for values in columns]
        if any(None in found for found in numbers):
            self._learn([each for each in dict.fromkeys(itertools.chain(*columns)) if each not in self._numbers])
            numbers = [list(map(self._numbers.get, values)) for values in columns]
        lists = pa.ListArray.from_arrays(
            pa.array(np.frombuffer(self._offsets, np.int32)), pa.array(np.frombuffer(self._tokens, np.uint64))
        )
        return [lists.take(pa.array(np.fromiter(found, np.int32, len(found)))) for found in numbers]

    def _learn(self, new: Sequence[bytes]) -> None:
        """Work out the tokens of values that are not remembered."""
        offsets, tokens = self._hasher.token_lists(new)
        behind = len(self._tokens)
        self._numbers.update(zip(new, itertools.count(len(self._numbers))))
        self._bytes += sum(map(len, new))
        self._offsets.frombytes((offsets[1:] + np.int32(behind)).tobytes())
        self._tokens.frombytes(tokens.tobytes())

    def digests(self, operations: Sequence[str], values: Sequence[bytes]) -> NDArray[np.uint64]:
        """Digests (n,) of requests by their operations and values; see `ValueHasher.digest`."""
        known = self._digests
        if len(known) > REMEMBERED_VALUES:
            known.clear()
        contents = list(zip(operations, values, strict=True))
        found = list(map(known.get, contents))
        if None in found:
            digest = self._hasher.digest
            known.update((content, digest(*content)) for content in set(contents).difference(known))
            found = list(map(known.get, contents))
        return np.fromiter(found, np.uint64, len(found))
