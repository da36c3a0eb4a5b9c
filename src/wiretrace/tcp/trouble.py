"""What went wrong on the way: segments that were sent again or filled a hole, and times in which an end took no bytes.

Rules: streams and offsets are those of ``tcp/streams.py``. Both kinds are rare: they travel beside the segments of a chunk,
and cost nothing where there are none.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def _nothing() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


@dataclass(slots=True)
class Repeats:
    """Segments that were sent again, or came late, behind later ones. All arrays have shape (n,), int64."""

    stream: NDArray[np.int64] = field(default_factory=_nothing)
    offset: NDArray[np.int64] = field(default_factory=_nothing)
    """Stream offset of the first byte."""
    end: NDArray[np.int64] = field(default_factory=_nothing)
    """Stream offset behind the last byte."""
    missed_ns: NDArray[np.int64] = field(default_factory=_nothing)
    """Since when it was missing: the time of the first copy, or of what overtook it; -1 where an earlier chunk had that."""
    time_ns: NDArray[np.int64] = field(default_factory=_nothing)
    """When it came."""
    frame: NDArray[np.int64] = field(default_factory=_nothing)
    again: NDArray[np.int64] = field(default_factory=_nothing)
    """1 where its bytes were captured before; 0 where it filled a hole."""

    def __len__(self) -> int:
        return len(self.stream)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Repeats:
        """Some of them."""
        return Repeats(*(getattr(self, each.name)[rows] for each in fields(self)))


@dataclass(slots=True)
class Closures:
    """Times in which the sender of a stream took no more bytes: its window was zero. Shapes (n,), int64."""

    stream: NDArray[np.int64] = field(default_factory=_nothing)
    begin_ns: NDArray[np.int64] = field(default_factory=_nothing)
    end_ns: NDArray[np.int64] = field(default_factory=_nothing)

    def __len__(self) -> int:
        return len(self.stream)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Closures:
        """Some of them."""
        return Closures(*(getattr(self, each.name)[rows] for each in fields(self)))


def joined_repeats(parts: Sequence[Repeats]) -> Repeats:
    """All of them, one after another."""
    return Repeats(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Repeats)))


def joined_closures(parts: Sequence[Closures]) -> Closures:
    """All of them, one after another."""
    return Closures(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Closures)))
