"""Stretches of time: the pieces in which a long capture is merged and linked, so that memory does not grow with it.

Rules: every call belongs to the stretch in which it starts. A stretch is worked on together with its surroundings: what
starts shortly before and after it, and what began earlier and is still open when it begins. Where stretches are cut
depends on the exchanges alone, and quiet moments are preferred.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BEFORE = 0.5
"""Exchanges before a stretch that are worked on with it at most, as a share of those inside: where hosts are busy, the
request that a call is left behind by was answered many thousand exchanges ago."""
BEHIND = 0.15
"""The same of those behind it: they compete for the requests of its last moments, and are views of its last calls that came
late at the other end."""
LONG = 0.99
"""The surroundings reach as far as this share of the exchanges last, and half as far again, ..."""
LEAST_REACH_NS = 1_000_000_000
"""... but at least so far: a view of a call may be seen late at the other end."""
SHIFT = 0.1
"""How far a cut is moved to a quieter moment, as a share of the exchanges of a stretch."""
ALL_TIME = (-(2**62), 2**62)
"""Moments before and behind everything."""


class Stretch(NamedTuple):
    """A piece of the common time line, in nanoseconds."""

    begins: int
    ends: int
    """Its end is not part of it."""
    reaches_from: int
    """What starts from here on is worked on with it, ..."""
    reaches_to: int
    """... and what starts before this."""

    def rows(self, start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of the exchanges of one vantage point that are worked on, given their times on the time line (n,)."""
        near = (start >= self.reaches_from) & (start < self.reaches_to)
        return np.flatnonzero(near | ((start < self.reaches_from) & (end >= self.begins)))

    def owns(self, start: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which calls belong to the stretch, by their starts (n,)."""
        return (start >= self.begins) & (start < self.ends)


class Sample(NamedTuple):
    """Pieces of the common time line that stand for the whole; shapes (pieces,), in nanoseconds."""

    begins: NDArray[np.int64]
    """Rising."""
    ends: NDArray[np.int64]
    """Not part of the piece, and not behind the beginning of the next."""

    def rows(self, start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of the exchanges of one vantage point that start in a piece, or are open when one begins; all (n,)."""
        begun = np.searchsorted(self.begins, start, "right")
        open_at_a_beginning = np.searchsorted(self.begins, end, "right") > begun
        return np.flatnonzero(self.owns(start) | open_at_a_beginning)

    def owns(self, start: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which calls start in a piece (n,)."""
        begun = np.searchsorted(self.begins, start, "right")
        inside: NDArray[np.bool_] = (begun > 0) & (start < self.ends[np.maximum(begun - 1, 0)])
        return inside

    def piece(self, start: NDArray[np.int64]) -> NDArray[np.int64]:
        """The piece that each call belongs to: it starts there, or is open when the piece begins (n,)."""
        begun = np.searchsorted(self.begins, start, "right")
        return np.minimum(np.where(self.owns(start), begun - 1, begun), len(self.begins) - 1)


def plan_stretches(
    starts: Sequence[NDArray[np.int64]], ends: Sequence[NDArray[np.int64]], exchanges: int
) -> list[Stretch]:
    """Cut all time into stretches of about so many exchanges. Times on the common time line, by vantage point, (n,) each."""
    start, lasting = _sorted_starts(starts), _usual_duration(starts, ends)
    count = round(len(start) / exchanges)
    if count < 2:
        return [Stretch(*ALL_TIME, *ALL_TIME)]
    end = np.sort(np.concatenate([*ends]))
    size = len(start) / count
    reach = max(LEAST_REACH_NS, int(1.5 * lasting))
    cuts = sorted({_quiet_moment(start, end, round(size * number), round(size * SHIFT)) for number in range(1, count)})
    bounds = [ALL_TIME[0], *cuts, ALL_TIME[1]]
    most_before, most_behind = round(size * BEFORE), round(size * BEHIND)
    stretches = []
    for begins, finish in itertools.pairwise(bounds):
        before, behind = np.searchsorted(start, (begins, finish))
        stretches.append(
            Stretch(
                begins,
                finish,
                max(begins - reach, int(start[max(before - most_before, 0)])) if before else begins,
                min(finish + reach, int(start[min(behind + most_behind, len(start) - 1)]))
                if behind < len(start)
                else finish,
            )
        )
    return stretches


def plan_sample(starts: Sequence[NDArray[np.int64]], exchanges: int, places: int) -> Sample:
    """So many pieces of time, spread over the whole, that hold about so many exchanges in all (or all there are)."""
    start = _sorted_starts(starts)
    length = min(exchanges, len(start) - 1) // places
    first = np.linspace(0, len(start) - length - 1, places).astype(np.int64)
    return Sample(start[first], start[first + length])


def _sorted_starts(starts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.sort(np.concatenate([np.zeros(0, np.int64), *starts]))


def _usual_duration(starts: Sequence[NDArray[np.int64]], ends: Sequence[NDArray[np.int64]]) -> float:
    """How long most exchanges last, in nanoseconds."""
    durations = np.concatenate([np.zeros(1), *(end - start for start, end in zip(starts, ends, strict=True))])
    return float(np.quantile(durations, LONG))


def _quiet_moment(start: NDArray[np.int64], end: NDArray[np.int64], near: int, shift: int) -> int:
    """The start, `shift` places around `near`, at which the fewest exchanges are open; of equals the nearest."""
    places = np.arange(max(near - shift, 1), min(near + shift, len(start) - 1) + 1)
    open_there = places - np.searchsorted(end, start[places])
    return int(start[places[np.lexsort((np.abs(places - near), open_there))[0]]])
