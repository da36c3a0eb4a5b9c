"""Matching: values that both sides of a pair carry."""

from __future__ import annotations

import numpy as np
import pytest
from simulator import Simulation, ragged

from wiretrace.linking.candidates import find_candidates
from wiretrace.linking.evidence import matching
from wiretrace.linking.evidence.contract import Pairs
from wiretrace.linking.observations import observe


def plain_match(observations, pairs, of_child, of_parent, since):
    """What `match` does, pair by pair: the pairs that share, how many values, and how rare the rarest is."""
    problem, n = observations.problem, len(observations)

    def row(ragged_values, call):
        return range(ragged_values.offsets[call], ragged_values.offsets[call + 1])

    def carries(call, value):
        return any(of_parent.values[at] == value for at in row(of_parent, call))

    parents = set(pairs.parent.tolist())
    others = [call for call in range(n) if call not in parents and problem.callee[call] >= 0]
    incoming = sorted(parents | set(others[:: len(others) // matching.OTHER_CALLS + 1]))
    first = {parent: min([since[at] for at in row(of_parent, parent)], default=np.inf) for parent in parents}
    children = {
        child
        for child, parent in zip(pairs.child.tolist(), pairs.parent.tolist(), strict=True)
        if len(row(of_child, child)) and first[parent] <= observations.starts[child]
    }

    def usual(child, value):
        alike = [each for each in children if problem.operation[each] == problem.operation[child]]
        carry = sum(any(of_child.values[at] == value for at in row(of_child, each)) for each in alike)
        return (carry - 1) / (len(alike) - 1 + matching.OTHER_CHILDREN)

    def is_telling(value, served):
        count = sum(carries(call, value) for call in served)
        return count <= 2 or (count - 1 + matching.UNSEEN_CARRIERS) / len(served) <= matching.COMMON_SHARE

    found = []
    for number, (child, parent) in enumerate(zip(pairs.child.tolist(), pairs.parent.tolist(), strict=True)):
        own = [of_child.values[at] for at in row(of_child, child)]
        process = problem.callee[parent]
        served = [call for call in incoming if problem.callee[call] == process]
        chances = []
        for value in own:
            count = sum(carries(call, value) for call in served)
            common = (count - 1 + matching.UNSEEN_CARRIERS) / len(served)
            there = [since[at] for at in row(of_parent, parent) if of_parent.values[at] == value]
            if min(there, default=np.inf) <= observations.starts[child] and is_telling(value, served):
                common = max(common, usual(child, value))
                chances.append(1.0 - (1.0 - min(common, 0.99)) ** len(own))
        if chances:
            could = sum(any(carries(call, value) for call in served) and is_telling(value, served) for value in own)
            is_most = len(chances) >= matching.SEVERAL and 2 * len(chances) > could
            found.append((number, len(chances), pytest.approx(min(chances)), is_most))
    return found


@pytest.mark.parametrize("block", [1, 7, 10_000])
def test_exactly_the_shared_values_are_found(monkeypatch, block) -> None:
    """Looked up from either side, in blocks of any size, what is found is what comparing pair by pair finds."""
    monkeypatch.setattr(matching, "BLOCK_PAIRS", block)
    generator = np.random.default_rng(3)
    world = Simulation()
    requests = [world.call("client", "app", "REQUEST", 0.01 * number) for number in range(30)]
    for number in range(40):
        world.call("app", "db", "SELECT", 0.005 + 0.008 * number)
    for request in requests:
        request.respond = 1.0
    observations = observe(world.problem())
    hashes = generator.integers(1, 2**62, 40).tolist()
    # Some values are carried by many requests, most by few.
    popular = generator.zipf(1.3, 70 * 4) % len(hashes)
    rows = [sorted({hashes[index] for index in popular[4 * row : 4 * row + 4]}) for row in range(70)]
    rows[0:27:3] = [sorted(rows[row] + generator.integers(1, 2**62, 4).tolist()) for row in range(0, 27, 3)]
    rows[43:70:3] = rows[0:27:3]
    values = ragged(rows)
    since = generator.random(len(values.values)) * observations.starts.max()
    outgoing = np.flatnonzero(observations.problem.callee != observations.problem.callee[0])
    candidates = find_candidates(observations)
    chosen = np.isin(candidates.child, outgoing) & (generator.random(len(candidates.child)) < 0.7)
    pairs = Pairs(candidates.child[chosen], candidates.parent[chosen])
    for times in (None, since):
        found = matching.match(observations, pairs, values, values, times)
        expected = plain_match(observations, pairs, values, values, np.zeros_like(since) if times is None else times)
        assert len(expected) > 20
        assert {is_most for *_, is_most in expected} == {False, True}
        columns = (found.pair, found.shared, found.chance, found.most)
        assert list(zip(*(column.tolist() for column in columns), strict=True)) == expected


def test_a_value_counts_from_when_it_is_there() -> None:
    """A call that starts before its parent has the value shares nothing with it, and can not be compared with it."""
    world = Simulation()
    request = world.call("client", "app", "REQUEST", 0.0)
    for start in (0.1, 0.3):
        world.call("app", "db", "SELECT", start, request_tokens=[77])
    request.respond = 1.0
    observations = observe(world.problem())
    pairs = Pairs(np.array([1, 2]), np.array([0, 0]))
    of_parent = ragged([[77], [], []])
    between = np.array([observations.starts[1:].mean()])
    found = matching.match(observations, pairs, observations.problem.request_tokens, of_parent, between)
    assert found.pair.tolist() == [1]
    assert found.comparable.tolist() == [False, True]
    always = matching.match(observations, pairs, observations.problem.request_tokens, of_parent)
    assert always.pair.tolist() == [0, 1]


def test_what_every_call_of_a_kind_carries_came_with_no_request() -> None:
    """One request of a hundred carries 99, and so do all hundred calls: that tells of no link."""
    world = Simulation()
    for number in range(100):
        request = world.call("client", "app", "REQUEST", 0.01 * number, request_tokens=[1000 + number])
        request.respond = 2.0
    for number in range(100):
        world.call("app", "db", "LTRIM", 1.0 + 0.001 * number, request_tokens=[99, 1000 + number])
    world.calls[7].request_tokens.append(99)
    observations = observe(world.problem())
    tokens = observations.problem.request_tokens
    found = matching.match(observations, Pairs(np.array([150, 150]), np.array([7, 50])), tokens, tokens)
    assert found.pair.tolist() == [0, 1]
    pairs = Pairs(np.repeat(np.arange(100, 200), 100), np.tile(np.arange(100), 100))
    found = matching.match(observations, pairs, tokens, tokens)
    chance = {
        (int(pairs.child[pair]), int(pairs.parent[pair])): one
        for pair, one in zip(found.pair, found.chance, strict=True)
    }
    assert chance[150, 7] > 0.9
    assert chance[150, 50] < 0.01
