"""When the exchanges of one vantage point began and ended: in a file, because there may be many millions.

Rules: written once, in the order of the exchanges; read in blocks. What is handed to other processes is small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

BLOCK_ROWS = 1 << 18
"""Exchanges whose times are in memory at once."""


class Piece(Protocol):
    """Pieces of time that exchanges are chosen by: a stretch, or a sample."""

    def rows(self, start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of the exchanges that are worked on, given their times (n,)."""

    def owns(self, start: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which exchanges belong to it, by their starts (n,)."""


class Chosen(NamedTuple):
    """Exchanges that are worked on."""

    rows: NDArray[np.int64]
    """Their numbers, rising."""
    owned: int
    """How many of them belong to the piece of time."""


@dataclass(slots=True)
class Moments:
    """Times in the file `path`, int64 nanoseconds as captured. Raises OSError where it can not be written or read."""

    path: Path
    count: int = 0
    """Exchanges."""
    first_ns: int = -1
    """The earliest start that is known; -1 where none is."""
    last_ns: int = -1
    """The latest end."""

    def __len__(self) -> int:
        return self.count

    def add(self, start: NDArray[np.int64], end: NDArray[np.int64]) -> None:
        """Add the times of the next exchanges, (n,) each; -1 stands for a start that is not known."""
        with self.path.open("ab") as file:
            np.stack((start, end), axis=1).tofile(file)
        self.count += len(start)
        known = start[start >= 0]
        if len(known):
            earliest = int(known.min())
            self.first_ns = earliest if self.first_ns < 0 else min(self.first_ns, earliest)
        self.last_ns = max(self.last_ns, int(end.max(initial=-1)))

    def blocks(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Starts and ends of all exchanges, in their order."""
        for first in range(0, self.count, BLOCK_ROWS):
            rows = min(BLOCK_ROWS, self.count - first)
            block = np.fromfile(self.path, np.int64, 2 * rows, offset=16 * first).reshape(rows, 2)
            yield block[:, 0], block[:, 1]

    def every(self, step: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Starts and ends of every `step`-th exchange."""
        starts, ends, skipped = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0
        for start, end in self.blocks():
            # Copied, so that the block can go.
            starts.append(start[skipped::step].copy())
            ends.append(end[skipped::step].copy())
            skipped = (skipped - len(start)) % step
        return np.concatenate(starts), np.concatenate(ends)

    def choose(self, piece: Piece, corrected: Callable[[NDArray[np.int64]], NDArray[np.int64]]) -> Chosen:
        """The exchanges that are worked on with `piece`, whose times are those that `corrected` gives."""
        rows, owned, first = [np.zeros(0, np.int64)], 0, 0
        for start, end in self.blocks():
            begins = corrected(start)
            wanted = piece.rows(begins, corrected(end))
            rows.append(wanted + first)
            owned += int(piece.owns(begins[wanted]).sum())
            first += len(start)
        return Chosen(np.concatenate(rows), owned)
