"""Matching: values that both sides of a pair carry."""

from __future__ import annotations

import numpy as np
from simulator import Simulation, ragged

from wiretrace.linking.evidence import matching
from wiretrace.linking.evidence.contract import Pairs
from wiretrace.linking.observations import observe


def test_blocks_find_the_values_that_both_sides_carry(monkeypatch) -> None:
    """Looked up in blocks and through the table of leading bits, exactly the shared values are found."""
    monkeypatch.setattr(matching, "BLOCK_PAIRS", 7)
    generator = np.random.default_rng(3)
    hashes = generator.integers(0, 2**63, 12, dtype=np.int64).tolist()
    rows = [[hashes[index] for index in generator.integers(0, 12, 3)] for _ in range(20)]
    values = ragged(rows)
    pairs = Pairs(np.repeat(np.arange(10), 10), np.tile(np.arange(10, 20), 10))
    owner = np.repeat(np.arange(20), np.diff(values.offsets))
    of_call = np.sort(values.values ^ (owner.astype(np.uint64) * matching.MIX))
    counts = np.diff(values.offsets)[pairs.child]
    blocks = list(matching._shared_values(pairs, values, of_call, counts))
    assert len(blocks) == 15
    pair, value, place = (np.concatenate(column) for column in zip(*blocks, strict=True))
    assert (of_call[place] == value ^ (pairs.parent[pair].astype(np.uint64) * matching.MIX)).all()
    expected = [
        (number, one)
        for number, (child, other) in enumerate(zip(pairs.child.tolist(), pairs.parent.tolist(), strict=True))
        for one in rows[child]
        if one in rows[other]
    ]
    assert sorted(zip(pair.tolist(), value.tolist(), strict=True)) == sorted(expected)


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
    assert found.shared.tolist() == [0, 1]
    assert found.comparable.tolist() == [False, True]
    always = matching.match(observations, pairs, observations.problem.request_tokens, of_parent)
    assert always.shared.tolist() == [1, 1]
