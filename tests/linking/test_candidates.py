"""Candidate parents."""

from __future__ import annotations

import handlers
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator import Simulation, simulate

from wiretrace.linking import candidates as module
from wiretrace.linking.candidates import MOST_CANDIDATES, add_proposals, find_candidates, outliving_pairs
from wiretrace.linking.evidence.contract import Pairs
from wiretrace.linking.observations import observe


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40), st.integers(0, 30)), min_size=1, max_size=12))
def test_candidates_are_the_requests_that_are_live(spans) -> None:
    """The indexed search finds what comparing all pairs finds, for requests of any length in several processes."""
    world = Simulation()
    for process, start, length in spans:
        world.call("client", f"p{process}", "REQUEST", float(start))
        world.calls[-1].arrive, world.calls[-1].respond = float(start), float(start + length)
        world.call(f"p{process}", "db", "SELECT", start + length / 2)
        world.calls[-1].start = world.calls[-1].end = start + length / 2
    observations = observe(world.problem())
    found = find_candidates(observations)
    pairs = set(zip(found.child.tolist(), found.parent.tolist(), strict=True))
    expected = {
        (child.number, parent.number)
        for child in world.calls
        for parent in world.calls
        if child.caller == parent.callee and parent.arrive <= child.start <= parent.respond and child is not parent
    }
    assert pairs == expected


def test_a_parent_must_outlast_calls_that_are_waited_for() -> None:
    """Where calls always end before their request is answered, one that ends later belongs to another."""
    world = simulate(handlers.sequential, rate=400, count=200)
    observations = observe(world.problem())
    found = find_candidates(observations)
    assert (observations.ends[found.child] <= observations.responds[found.parent]).all()


def test_calls_that_are_not_waited_for_need_only_a_live_parent() -> None:
    """Where calls often end after every request that could have made them, being live is enough."""
    world = simulate(handlers.not_waited_for, rate=50, count=200)
    found = find_candidates(observe(world.problem()))
    published = [call.number for call in world.calls if call.operation == "PUBLISH"]
    assert (found.counts()[published] > 0).all()


def test_candidates_of_one_call_are_bounded() -> None:
    """A call among thousands of requests is compared with those that arrived last."""
    world = Simulation()
    for number in range(1000):
        world.call("client", "app", "REQUEST", number * 1e-6)
        world.calls[-1].respond = 2.0
    child = world.call("app", "db", "SELECT", 1.0)
    found = find_candidates(observe(world.problem()))
    assert found.counts()[child.number] == MOST_CANDIDATES
    assert found.parent.max() == 999


def test_requests_stay_candidates_within_their_reach() -> None:
    """Only requests that responded at most so long ago are paired."""
    world = Simulation()
    for start in (0.0, 1.0):
        world.call("client", "app", "REQUEST", start)
    late = world.call("app", "mail", "SEND", 1.5)
    reach = np.where(np.arange(3) == late.number, 0.6e9, 0.0)
    pairs = outliving_pairs(observe(world.problem()), reach)
    assert (pairs.child.tolist(), pairs.parent.tolist()) == ([2], [1])


def test_blocks_change_no_candidate(monkeypatch) -> None:
    """Looked at in blocks of a few pairs, the candidates are the same."""
    observations = observe(simulate(handlers.sequential, rate=400, count=100).problem())
    whole = find_candidates(observations)
    monkeypatch.setattr(module, "BLOCK_PAIRS", 5)
    blocks = find_candidates(observations)
    assert blocks.child.tolist() == whole.child.tolist()
    assert blocks.parent.tolist() == whole.parent.tolist()


def test_candidates_know_their_pairs_and_take_further_ones_once() -> None:
    """A proposal is found among the pairs in the order of arrivals; one that was there already changes nothing."""
    observations = observe(simulate(handlers.sequential, rate=400, count=100).problem())
    candidates = find_candidates(observations)
    child = int(candidates.child[0])
    strangers = np.flatnonzero(~np.isnan(observations.arrives))
    stranger = strangers[~np.isin(strangers, [child, *candidates.parent[candidates.child == child]])][:2]
    wanted = np.concatenate((candidates.parent[:1], stranger))
    assert candidates.holds(observations, np.full(3, child), wanted).tolist() == [True, False, False]
    more = add_proposals(observations, candidates, Pairs(np.full(3, child), wanted))
    assert len(more.child) == len(candidates.child) + 2
    assert more.holds(observations, np.full(3, child), wanted).all()
    own = more.parent[more.offsets[child] : more.offsets[child + 1]]
    assert (np.diff(observations.arrives[own]) >= 0).all()
    assert more.child.tolist() == sorted(more.child.tolist())
