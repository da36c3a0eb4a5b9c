"""Messages on queues: who took one off follows whoever put it there, by identifier, by content, or in turn."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wiretrace.linking.linker import link
from wiretrace.linking.problem import BASES, LinkSolution
from wiretrace.model.link_problem import LinkProblem, Ragged

PRODUCER, CONSUMER, OTHER_CONSUMER, BROKER = range(4)
QUEUE = 77


@dataclass
class Calls:
    """Calls of a producer, a broker and consumers, in any order."""

    rows: list[dict[str, int]] = field(default_factory=list)
    sent: list[list[int]] = field(default_factory=list)
    received: list[list[int]] = field(default_factory=list)

    def put(self, at: int, *contents: int, queue: int = QUEUE) -> int:
        return self._add(PRODUCER, BROKER, at, at + 100, [each for one in contents for each in (queue, one)], [])

    def taken(self, at: int, *contents: int, by: int = CONSUMER, queue: int = QUEUE) -> int:
        return self._add(-1, by, at, at + 5000, [], [each for one in contents for each in (queue, one)])

    def made(self, at: int, by: int = CONSUMER) -> int:
        return self._add(by, BROKER, at, at + 100, [], [])

    def _add(self, caller: int, callee: int, start: int, end: int, sent: list[int], received: list[int]) -> int:
        self.rows.append({"caller": caller, "callee": callee, "start": start, "end": end})
        self.sent.append(sent)
        self.received.append(received)
        return len(self.rows) - 1

    def solve(self, order: list[int] | None = None, clock_error: int = 0) -> LinkSolution:
        order = order or list(range(len(self.rows)))
        column = {name: np.array([self.rows[row][name] for row in order], np.int64) for name in self.rows[0]}
        count = len(order)
        nothing = Ragged(np.zeros(count + 1, np.int64), np.zeros(0, np.uint64))
        caller, callee = column["caller"].astype(np.int32), column["callee"].astype(np.int32)
        return link(
            LinkProblem(
                caller=caller, callee=callee, caller_service=caller, callee_service=callee, operation=callee,
                caller_start_ns=column["start"], caller_end_ns=column["end"], callee_start_ns=column["start"],
                callee_end_ns=column["end"], clock_error_ns=np.full(count, clock_error, np.int64),
                one_way=np.zeros(count, bool), connection=np.full(count, -1, np.int64),
                transaction=np.full(count, -1, np.int64), request_digest=np.zeros(count, np.uint64),
                identifiers=nothing, request_tokens=nothing, response_tokens=nothing, lookup=np.full(count, -1, np.int64),
                prepares=np.zeros(count, bool),
                sent=ragged([self.sent[row] for row in order]), received=ragged([self.received[row] for row in order]),
            )
        )  # fmt: skip


def ragged(lists: list[list[int]]) -> Ragged:
    offsets = np.concatenate(([0], np.cumsum([len(each) for each in lists]))).astype(np.int64)
    return Ragged(offsets, np.array([each for one in lists for each in one], np.uint64))


def parents(solution: LinkSolution, *calls: int) -> list[int]:
    assert solution.follows is not None
    assert all(solution.follows[call] for call in calls if solution.parent[call] >= 0)
    return [int(solution.parent[call]) for call in calls]


def test_a_message_that_one_call_put_there_is_followed_however_late_it_is_taken_off() -> None:
    """By its bytes: measured. By its identifier: stated. What the consumer then does is its child in time."""
    calls = Calls()
    puts = [calls.put(0, 10), calls.put(50, 13)]
    takes = [calls.taken(10**12, 13), calls.taken(2 * 10**12, 10)]
    made = calls.made(2 * 10**12 + 1000)
    solution = calls.solve()
    assert parents(solution, *takes) == [puts[1], puts[0]]
    assert [BASES[solution.basis[take]] for take in takes] == ["stated", "measured"]
    assert solution.follows is not None
    assert (int(solution.parent[made]), bool(solution.follows[made])) == (takes[1], False)
    said = [item.detail for item in solution.evidence if item.child == takes[1]]
    assert said == ["is the same message, 2e+06 ms after it was put there"]


def test_equal_messages_are_taken_off_in_turn_and_no_more_surely_than_that() -> None:
    calls = Calls()
    puts = [calls.put(100 * number, 10) for number in range(3)]
    takes = [calls.taken(1000 + 100 * number, 10) for number in range(3)]
    solution = calls.solve()
    assert parents(solution, *takes) == puts
    assert [BASES[solution.basis[take]] for take in takes] == ["inferred"] * 3
    assert solution.confidence[takes[0]] < 0.95
    assert any(child == takes[0] and parent == puts[1] for child, parent, _ in solution.alternatives)


def test_of_equal_messages_only_one_that_waits_is_sure() -> None:
    calls = Calls()
    links = [(calls.put(10_000 * number, 10), calls.taken(10_000 * number + 500, 10)) for number in range(4)]
    solution = calls.solve()
    assert parents(solution, *(take for _, take in links)) == [put for put, _ in links]
    assert min(solution.confidence[take] for _, take in links) > 0.99


def test_what_a_channel_gives_to_all_follows_one_call() -> None:
    calls = Calls()
    put = calls.put(0, 10)
    takes = [calls.taken(100, 10, by=by) for by in (CONSUMER, OTHER_CONSUMER)]
    assert parents(calls.solve(), *takes) == [put, put]


def test_several_messages_at_once_follow_several_calls() -> None:
    """The parent is the call that put the first of them there; the others are told beside it."""
    calls = Calls()
    puts = [calls.put(100 * number, 10 + 2 * number) for number in range(3)]
    take = calls.taken(1000, 14, 10, 12)
    solution = calls.solve()
    assert parents(solution, take) == [puts[0]]
    assert [(child, parent) for child, parent, _, _ in solution.also_follows] == [(take, puts[1]), (take, puts[2])]


def test_nothing_is_followed_that_was_not_put_there_before() -> None:
    """Another destination, another content, or later than clocks can be apart."""
    calls = Calls()
    calls.put(0, 10, queue=78)
    calls.put(0, 12)
    calls.put(5000, 10)
    take = calls.taken(1000, 10)
    assert calls.solve().parent[take] == -1
    assert calls.solve(clock_error=3000).parent[take] >= 0


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 3), st.booleans()), min_size=1, max_size=30), st.randoms()
)
@settings(max_examples=100, deadline=None)
def test_whatever_is_put_and_taken_links_are_a_forest_and_do_not_depend_on_the_order_of_rows(
    actions: list[tuple[int, int, bool]], chooser
) -> None:
    """Only calls that took something off follow, and only calls that put the same content there, not later."""
    calls = Calls()
    moments = set[int]()
    for at, content, puts in actions:
        while at in moments:
            at += 1
        moments.add(at)
        (calls.put if puts else calls.taken)(at, 2 * content)
    solution = calls.solve()
    order = list(range(len(calls.rows)))
    chooser.shuffle(order)
    shuffled = calls.solve(order)
    back = {row: place for place, row in enumerate(order)}
    for call, row in enumerate(calls.rows):
        parent = int(solution.parent[call])
        again = int(shuffled.parent[back[call]])
        assert (order[again] if again >= 0 else -1) == parent
        if parent >= 0 and solution.follows is not None and solution.follows[call]:
            assert calls.received[call] == calls.sent[parent]
            assert calls.rows[parent]["start"] <= row["start"]
    assert np.all((solution.confidence >= 0) & (solution.confidence <= 1))
