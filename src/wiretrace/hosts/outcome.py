"""What happened to a call, from what the caller's and the callee's views say of it.

Rules: what one capture lacks and the other has, happened. A response that the callee sent and the caller never got was
lost; a request that the caller sent and the callee's host, capturing at that time, never saw was lost. What one view leaves
open the other may close: what stays possible is what both leave open. An answer that the caller has, it has.

Outcomes are indices into `OUTCOMES`, sets of them bits at these places.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wiretrace.hosts.views import category
from wiretrace.model.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

OUTCOMES = [str(outcome) for outcome in Outcome]
ANSWERED = (Outcome.OK, Outcome.ERROR)
CAPTURE_ENDED = (Outcome.NOT_CAPTURED, Outcome.UNFINISHED)
"""What a view says that does not know the end: the other view knows better."""
CALLED_OFF = (Outcome.CLIENT_ABORTED, Outcome.CLIENT_TIMEOUT)
"""What a caller does that gives up."""
NEVER_GOT_ANSWER = (
    Outcome.RESPONSE_LOST,
    Outcome.REQUEST_LOST,
    Outcome.SERVER_SILENT,
    Outcome.SERVER_RESET,
    Outcome.SERVER_CLOSED,
)
"""What a caller's view says that saw no answer; if the callee sent one, it was lost."""
LOST_SOMEWHERE = (Outcome.REQUEST_LOST, Outcome.RESPONSE_LOST)


def number(outcome: Outcome) -> int:
    """Position in `OUTCOMES`."""
    return OUTCOMES.index(str(outcome))


def numbers(outcomes: Sequence[Outcome]) -> list[int]:
    """Positions in `OUTCOMES`."""
    return [number(outcome) for outcome in outcomes]


def bits(*outcomes: Outcome) -> int:
    """The set of these."""
    return sum(1 << place for place in numbers(outcomes))


@dataclass(slots=True)
class Verdicts:
    """What is said of each of n calls or views. Shapes (n,)."""

    outcome: NDArray[np.int32]
    """-1: there is no view."""
    possible: NDArray[np.int32]
    """A set that holds `outcome`; 0: there is no view."""

    def at(self, rows: NDArray[np.int64]) -> Verdicts:
        """Those of `rows`, nothing where a row is -1."""
        if not len(self.outcome):
            return Verdicts(self.outcome[:0], self.possible[:0])
        place, seen = np.maximum(rows, 0), rows >= 0
        return Verdicts(
            np.where(seen, self.outcome[place], -1).astype(np.int32),
            np.where(seen, self.possible[place], 0).astype(np.int32),
        )

    def put(
        self, where: NDArray[np.bool_], outcome: NDArray[np.int32] | int, possible: NDArray[np.int32] | int
    ) -> None:
        """Replace those `where` (n,)."""
        self.outcome = np.where(where, outcome, self.outcome).astype(np.int32)
        self.possible = np.where(where, possible, self.possible).astype(np.int32)

    def is_one_of(self, outcomes: Sequence[Outcome]) -> NDArray[np.bool_]:
        """Which say one of these."""
        return np.isin(self.outcome, numbers(outcomes))

    def leaves_open(self, outcome: Outcome) -> NDArray[np.bool_]:
        """Which leave that open."""
        return (self.possible & bits(outcome)) > 0

    def rule_out(self, where: NDArray[np.bool_], *outcomes: Outcome) -> None:
        """Take outcomes out of what is possible `where` (n,), as long as something else is left."""
        left = self.possible & ~np.int32(bits(*outcomes))
        self.possible = np.where(where & (left != 0), left, self.possible).astype(np.int32)
        said = (self.possible >> np.maximum(self.outcome, 0)) & 1
        only = (self.outcome >= 0) & (said == 0)
        if only.any():
            # What was said is ruled out: the first of what is left is said instead.
            lowest = self.possible & -self.possible
            first = np.zeros(len(lowest), np.int32)
            for place in range(len(OUTCOMES)):
                first[lowest == 1 << place] = place
            self.outcome = np.where(only, first, self.outcome).astype(np.int32)

    def possible_column(self) -> pa.Array:
        """The column `possible`: a list for each, empty where nothing but the outcome is."""
        sets, index = np.unique(np.where(self.possible == 1 << self.outcome, 0, self.possible), return_inverse=True)
        lists = [
            [name for place, name in enumerate(OUTCOMES) if each >> place & 1] if each else [] for each in sets.tolist()
        ]
        return pa.array(lists, pa.list_(pa.string())).take(pa.array(index))


def read_verdicts(exchanges: pa.Table) -> Verdicts:
    """What the views say, by row of the table `exchanges`."""
    codes, names = category(exchanges, "outcome")
    outcome = np.array([OUTCOMES.index(name) for name in names] or [0], np.int32)[codes]
    possible = np.zeros(len(outcome), np.int32)
    lists = exchanges.column("possible").combine_chunks()
    if len(exchanges) and len(flat := pc.list_flatten(lists)):
        coded = flat.dictionary_encode()
        if isinstance(coded, pa.ChunkedArray):
            coded = coded.combine_chunks()
        bit = np.array([1 << OUTCOMES.index(name) for name in coded.dictionary.to_pylist()], np.int32)
        np.bitwise_or.at(possible, pc.list_parent_indices(lists).to_numpy(), bit[coded.indices.to_numpy()])
    return Verdicts(outcome, possible | (np.int32(1) << outcome))


def judge(
    caller: Verdicts,
    callee: Verdicts,
    callee_was_watching: NDArray[np.bool_],
    callee_may_have_missed: NDArray[np.bool_],
) -> Verdicts:
    """What happened to each call. Shapes are (n,).

    `callee_was_watching`: the callee's host was capturing at the time of the request. `callee_may_have_missed`: it says that
    it dropped packets.
    """
    seen, arrived = caller.outcome >= 0, callee.outcome >= 0
    both = seen & arrived
    verdict = Verdicts(
        np.where(seen, caller.outcome, callee.outcome).astype(np.int32),
        np.where(seen, caller.possible, callee.possible).astype(np.int32),
    )
    got, answered = caller.is_one_of(ANSWERED), callee.is_one_of(ANSWERED)
    verdict.put(got, caller.outcome, np.int32(1) << np.maximum(caller.outcome, 0))
    blind = both & caller.is_one_of(CAPTURE_ENDED)
    verdict.put(blind, callee.outcome, callee.possible)
    lost = both & answered & caller.is_one_of(NEVER_GOT_ANSWER)
    verdict.put(lost, number(Outcome.RESPONSE_LOST), bits(Outcome.RESPONSE_LOST))
    gave_up = both & answered & caller.is_one_of(CALLED_OFF)
    verdict.put(gave_up, caller.outcome, caller.possible & bits(*CALLED_OFF))

    neither = both & ~blind & ~got & ~answered
    shared = caller.possible & callee.possible
    said_by_caller = (shared >> np.maximum(caller.outcome, 0)) & 1 > 0
    said_by_callee = (shared >> np.maximum(callee.outcome, 0)) & 1 > 0
    by_callee = neither & said_by_callee & (caller.is_one_of(LOST_SOMEWHERE) | ~said_by_caller)
    verdict.put(neither & said_by_caller, caller.outcome, shared)
    verdict.put(by_callee, callee.outcome, shared)
    # The two contradict each other: the request did reach the callee, and what it saw then is so.
    reached = neither & (shared == 0) & caller.is_one_of(LOST_SOMEWHERE)
    known = reached & ~callee.is_one_of((*CAPTURE_ENDED, *LOST_SOMEWHERE))
    verdict.put(known, callee.outcome, callee.possible)
    silent = reached & ~known & (caller.outcome == number(Outcome.REQUEST_LOST))
    verdict.put(silent, number(Outcome.SERVER_SILENT), bits(Outcome.SERVER_SILENT))

    absent = seen & ~arrived & ~got & callee_was_watching & caller.leaves_open(Outcome.REQUEST_LOST)
    verdict.put(
        absent,
        number(Outcome.REQUEST_LOST),
        np.where(
            callee_may_have_missed & ~(caller.outcome == number(Outcome.REQUEST_LOST)),
            bits(Outcome.REQUEST_LOST, Outcome.NOT_CAPTURED),
            bits(Outcome.REQUEST_LOST),
        ).astype(np.int32),
    )
    verdict.rule_out(neither & ~got, *ANSWERED)
    return verdict
