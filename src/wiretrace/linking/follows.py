"""Links of calls that took messages off queues to the calls that put them there.

Rules: a message is followed by its destination and content. Where one call alone put it there, before it was taken off, that
is the one: *stated* where the content is an identifier, *measured* where it is the same bytes. Where several put equal
messages there, queues keep their order: the first that is taken off is the first that was put there. How far to trust that
is learned from the messages of the same destination that are each known by themselves. Nothing is required of time but the
order. A call that took several messages off follows several; its parent is the one that put the first of them there.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wiretrace.linking.problem import EvidenceItem, LinkSolution
from wiretrace.linking.trees import cut_circles
from wiretrace.model.link_problem import MISSING, LinkProblem, Ragged

if TYPE_CHECKING:
    from numpy.typing import NDArray

SURE = 0.999
"""Confidence that a message is the only one of its kind that was captured."""
UNKNOWN_ORDER = (9.0, 1.0)
"""Messages in order and out of it that a queue is given before anything of it was seen."""
MOST_ALTERNATIVES = 3
STATED, MEASURED, INFERRED = range(3)
"""Indices into `BASES`."""


class _Messages(NamedTuple):
    """Messages that were put somewhere, or taken off: shape (n,), in the order of key, time and call."""

    call: NDArray[np.int64]
    destination: NDArray[np.uint64]
    content: NDArray[np.uint64]
    time: NDArray[np.int64]


def follow_messages(problem: LinkProblem, solution: LinkSolution, wanted: NDArray[np.bool_] | None) -> LinkSolution:
    """`solution` with the calls that took messages off linked to those that put them there.

    Calls that are not `wanted` (n,) get no evidence.
    """
    if problem.sent is None or problem.received is None or not len(problem.received.values):
        return solution
    starts = np.where(problem.caller_start_ns == MISSING, problem.callee_start_ns, problem.caller_start_ns)
    arrives = np.where(problem.callee_start_ns == MISSING, problem.caller_end_ns, problem.callee_start_ns)
    put, taken = _messages(problem.sent, starts), _messages(problem.received, arrives)
    found = _Followed(problem, put, taken)
    found.match()
    return found.told(solution, wanted)


def _messages(ragged: Ragged, times: NDArray[np.int64]) -> _Messages:
    """The messages of all calls, whose `times` (calls,) are given; those of calls without a time are left out."""
    call = np.repeat(np.arange(len(ragged.offsets) - 1), np.diff(ragged.offsets) // 2)
    destination, content = ragged.values[::2], ragged.values[1::2]
    time = times[call]
    order = np.lexsort((call, time, content, destination))
    order = order[time[order] != MISSING]
    return _Messages(call[order], destination[order], content[order], time[order])


class _Followed:
    """The messages of one problem on their way to links."""

    def __init__(self, problem: LinkProblem, put: _Messages, taken: _Messages) -> None:
        self.problem, self.put, self.taken = problem, put, taken
        self.links: dict[int, list[tuple[int, int, float, int, str]]] = {}
        """By call: time at which a message was put there, who did, the probability, its basis, and the evidence."""
        self.alternatives: list[tuple[int, int, float]] = []

    def match(self) -> None:
        """Find who put each message there: first those that are known by themselves, which teach the order of queues."""
        put, taken = self.put, self.taken
        groups = _groups(put, taken)
        in_order: dict[int, list[tuple[int, int]]] = {}
        several = []
        for puts, takes in groups:
            content = int(taken.content[takes.start])
            if puts.stop - puts.start == 1 and content:
                for item in range(takes.start, takes.stop):
                    if self._may_follow(puts.start, item):
                        basis = STATED if content & 1 else MEASURED
                        words = "carries the identifier of the message" if content & 1 else "is the same message"
                        self._add(item, puts.start, SURE, basis, words)
                        moments = int(put.time[puts.start]), int(taken.time[item])
                        in_order.setdefault(int(taken.destination[item]), []).append(moments)
            elif puts.stop > puts.start:
                several.append((puts, takes))
        trust = {destination: _kept_order(moments) for destination, moments in in_order.items()}
        unknown = UNKNOWN_ORDER[0] / sum(UNKNOWN_ORDER)
        for puts, takes in several:
            self._in_turn(puts, takes, trust.get(int(taken.destination[takes.start]), unknown))

    def _may_follow(self, put: int, taken: int) -> bool:
        """Whether a message was put there before it was taken off, as far as clocks can tell."""
        error = self.problem.clock_error_ns
        slack = int(error[self.put.call[put]]) + int(error[self.taken.call[taken]])
        return bool(
            self.put.time[put] <= self.taken.time[taken] + slack and self.put.call[put] != self.taken.call[taken]
        )

    def _in_turn(self, puts: range, takes: range, trust: float) -> None:
        """Equal messages: the k-th that a receiver takes off is the k-th that was put there."""
        receiver = self.problem.callee[self.taken.call[takes.start : takes.stop]].tolist()
        # A queue gives each message to one of its consumers, a channel to all of them.
        turns = [list(takes)]
        if len(takes) > len(puts):
            turns = [
                [item for item, of in zip(takes, receiver, strict=True) if of == one] for one in sorted(set(receiver))
            ]
        times = self.put.time[puts.start : puts.stop].tolist()
        worst = int(self.problem.clock_error_ns[self.put.call[puts.start : puts.stop]].max())
        for turn in turns:
            first = 0
            for item in turn:
                call = int(self.taken.call[item])
                slack = worst + int(self.problem.clock_error_ns[call])
                known = bisect_right(times, int(self.taken.time[item]) + slack)
                if not known:
                    continue
                # Out of step with what was captured, what was put there last is as good as any.
                in_step = first < known
                chosen = first if in_step else known - 1
                waiting = known - first if in_step else known
                first += in_step
                share = max(trust, 1.0 / waiting) if in_step else 1.0 / waiting
                words = (
                    f"is first in turn of {waiting} equal messages"
                    if waiting > 1
                    else "is the message whose turn it is"
                )
                self._add(item, puts.start + chosen, min(share, SURE), INFERRED, words)
                others = range(puts.start + chosen + 1, puts.start + min(known, chosen + 1 + MOST_ALTERNATIVES))
                rest = (1.0 - share) / max(waiting - 1, 1)
                self.alternatives += [(call, int(self.put.call[other]), rest) for other in others]

    def _add(self, taken: int, put: int, share: float, basis: int, words: str) -> None:
        waited = max(int(self.taken.time[taken] - self.put.time[put]), 0) * 1e-6
        self.links.setdefault(int(self.taken.call[taken]), []).append(
            (
                int(self.put.time[put]),
                int(self.put.call[put]),
                share,
                basis,
                f"{words}, {waited:.3g} ms after it was put there",
            )
        )

    def told(self, solution: LinkSolution, wanted: NDArray[np.bool_] | None) -> LinkSolution:
        """The solution with these links."""
        parent, confidence, basis = solution.parent.copy(), solution.confidence.copy(), solution.basis.copy()
        follows = np.zeros(len(parent), bool)
        also: list[tuple[int, int, float, int]] = []
        evidence = [item for item in solution.evidence if item.child not in self.links]
        for call, links in sorted(self.links.items()):
            links.sort()
            best: dict[int, tuple[float, int, str]] = {}
            for _, by, share, what, words in links:
                best.setdefault(by, (share, what, words))
            for number, (by, (share, what, words)) in enumerate(best.items()):
                if number == 0:
                    parent[call], confidence[call], basis[call], follows[call] = by, share, what, True
                else:
                    also.append((call, by, share, what))
                if wanted is None or wanted[call]:
                    weight = float(np.log(share) - np.log1p(-share))
                    evidence.append(EvidenceItem(call, by, "messages", weight, words))
        whole = cut_circles(parent, confidence)
        follows &= whole == parent
        chosen = {(call, int(whole[call])) for call in self.links}
        alternatives = [each for each in solution.alternatives if each[0] not in self.links]
        alternatives += [each for each in dict.fromkeys(self.alternatives) if each[:2] not in chosen]
        alternatives.sort(key=lambda each: (each[0], -each[2], each[1]))
        evidence = [item for item in evidence if whole[item.child] >= 0]
        also = [each for each in also if follows[each[0]]]
        return replace(
            solution, parent=whole, confidence=confidence, basis=basis, follows=follows, also_follows=also,
            alternatives=alternatives, evidence=evidence,
        )  # fmt: skip


def _groups(put: _Messages, taken: _Messages) -> list[tuple[range, range]]:
    """Messages with equal destination and content: places of those that were put there, and of those taken off."""
    found: list[tuple[range, range]] = []
    key = np.stack((taken.destination, taken.content))
    if not key.shape[1]:
        return found
    begins = np.flatnonzero(np.concatenate(([True], (key[:, 1:] != key[:, :-1]).any(axis=0))))
    ends = [*begins[1:].tolist(), key.shape[1]]
    # Places among what was put there, sorted by destination and then by content.
    low = np.searchsorted(put.destination, taken.destination[begins], "left").tolist()
    high = np.searchsorted(put.destination, taken.destination[begins], "right").tolist()
    for begin, end, first, last in zip(begins.tolist(), ends, low, high, strict=True):
        contents = put.content[first:last]
        content = taken.content[begin]
        start = first + int(np.searchsorted(contents, content, "left"))
        stop = first + int(np.searchsorted(contents, content, "right"))
        found.append((range(start, stop), range(begin, end)))
    return found


def _kept_order(moments: list[tuple[int, int]]) -> float:
    """How surely a queue keeps its order: the share of neighbours that were taken off as they were put there."""
    moments.sort()
    taken = [each[1] for each in moments]
    kept = sum(before <= after for before, after in itertools.pairwise(taken))
    return (UNKNOWN_ORDER[0] + kept) / (sum(UNKNOWN_ORDER) + max(len(taken) - 1, 0))
