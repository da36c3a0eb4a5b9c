"""Attempts: the same request made again by the same caller after it had failed, or had not been answered.

Two calls are attempts at one thing where they ask the same (path, size and values are equal), were made by the same
caller for the same call (or, where nothing caused them, by the same address), and the later one began after the earlier
had failed for its caller. Only failures to which a repetition may still come are remembered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wiretrace.diagnosis.contents import Contents

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

LONGEST_PAUSE_NS = 60_000_000_000
"""A repetition later than this is another request."""
MOST_WAITING = 1 << 16
"""Failures that wait for their repetition; of more, those that ended first are forgotten."""
ATTEMPT = np.dtype(
    [
        *(("maker", "i8"), ("kind", "i8"), ("digest", "u8"), ("content", "u8"), ("row", "i8"), ("start", "i8")),
        *(("end", "i8"), ("gave_up", "?"), ("place", "i8")),
    ]
)
"""A call that may be an attempt: `maker` is the row of its parent, or tells its caller (below 0); `place` is -1 for one of
an earlier portion."""


class Attempts(NamedTuple):
    """Repetitions after failures. Arrays have shape (repetitions,), in the order of their start."""

    earlier: NDArray[np.int64]
    """Row of the attempt that failed."""
    ended: NDArray[np.int64]
    """When it ended."""
    later: NDArray[np.int64]
    """Place of the next attempt at the same in the portion."""


class AttemptFinder:
    """Finds repetitions among calls that come in the order of their start."""

    def __init__(self, whole: Whole) -> None:
        self._whole = whole
        self._contents = Contents(whole.case)
        self._kinds = np.zeros(whole.kinds, np.bool_)
        self._waiting = np.zeros(0, ATTEMPT)

    def see_trees(self, portion: Portion) -> None:
        """Learn which kinds of call fail."""
        self._kinds[portion.kind[portion.failed | portion.unanswered]] = True

    def find(self, portion: Portion) -> Attempts:
        """The repetitions of a portion of calls in the order of their start."""
        places = np.flatnonzero((self._kinds & self._whole.countable)[portion.kind] & (portion.digest != 0))
        found = np.zeros(len(places), ATTEMPT)
        found["place"], found["gave_up"] = places, (portion.failed | portion.unanswered)[places]
        for name in ("kind", "digest", "row", "start", "end"):
            found[name] = portion.records[name][places]
        found["maker"] = np.where(
            portion.parent_row[places] >= 0, portion.parent_row[places], -1 - portion.caller_place[places]
        )
        # Only where something failed are whole contents compared: reading them takes time.
        both, opens = _in_groups(np.concatenate([self._waiting, found]), "digest")
        worth = (np.bincount(np.cumsum(opens) - 1, both["gave_up"]) > 0)[np.cumsum(opens) - 1] if len(both) else opens
        new = worth & (both["place"] >= 0)
        both["content"][new] = self._contents.of(portion.exchange[both["place"][new]])
        both, opens = _in_groups(both[worth], "content")
        pause = both["start"][1:] - both["end"][:-1]
        is_repetition = ~opens[1:] & both["gave_up"][:-1] & (pause >= 0) & (pause <= LONGEST_PAUSE_NS)
        is_last = np.append(opens[1:], True) if len(both) else opens
        latest = int(portion.start[-1]) if len(portion) else 0
        waiting = both[is_last & both["gave_up"] & (both["end"] >= latest - LONGEST_PAUSE_NS)]
        self._waiting = waiting[np.lexsort((waiting["row"], waiting["end"]))][-MOST_WAITING:]
        self._waiting["place"] = -1
        earlier, later = both[:-1][is_repetition], both[1:][is_repetition]
        order = np.argsort(later["place"], kind="stable")
        return Attempts(
            *(np.ascontiguousarray(each[order]) for each in (earlier["row"], earlier["end"], later["place"]))
        )


def _in_groups(attempts: NDArray[Any], by: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Attempts by maker, kind and `by`, then in the order of their start; and which of them open a group. Shapes (n,)."""
    ordered = attempts[np.lexsort(tuple(attempts[name] for name in ("row", "start", by, "kind", "maker")))]
    opens = np.ones(len(ordered), np.bool_)
    if len(ordered):
        opens[1:] = np.any([ordered[name][1:] != ordered[name][:-1] for name in ("maker", "kind", by)], axis=0)
    return ordered, opens
