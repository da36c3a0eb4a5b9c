"""Matching: values that both sides of a pair carry."""

from __future__ import annotations

import numpy as np
from simulator import ragged

from wiretrace.linking.evidence import matching
from wiretrace.linking.evidence.contract import Pairs


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
    pair, value = (np.concatenate(column) for column in zip(*blocks, strict=True))
    expected = [
        (number, one)
        for number, (child, other) in enumerate(zip(pairs.child.tolist(), pairs.parent.tolist(), strict=True))
        for one in rows[child]
        if one in rows[other]
    ]
    assert sorted(zip(pair.tolist(), value.tolist(), strict=True)) == sorted(expected)
