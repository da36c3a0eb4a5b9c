"""Trees from parents."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wiretrace.linking.trees import cut_circles, grow_trees


def test_a_small_forest_is_described_in_full() -> None:
    """Roots, depths, sizes, heights and confidence of two trees."""
    parent = np.array([-1, 0, 0, 1, -1])
    confidence = np.array([1.0, 0.5, 0.8, 0.5, 1.0])
    trees = grow_trees(parent, confidence)
    assert trees.root.tolist() == [0, 0, 0, 0, 4]
    assert trees.depth.tolist() == [0, 1, 1, 2, 0]
    assert trees.roots.tolist() == [0, 4]
    assert trees.size.tolist() == [4, 1]
    assert trees.height.tolist() == [3, 1]
    assert trees.number.tolist() == [0, 0, 0, 0, 1]
    assert np.allclose(trees.confidence, [0.2, 1.0])


def test_a_circle_loses_its_least_sure_link() -> None:
    """Three calls in a circle, and one that hangs on it: the weakest of the three becomes the root."""
    parent = cut_circles(np.array([1, 2, 0, 0]), np.array([0.9, 0.3, 0.8, 0.1]))
    assert parent.tolist() == [1, -1, 0, 0]


def test_a_call_is_not_its_own_parent() -> None:
    """A link to itself is cut."""
    assert cut_circles(np.array([0, 0]), np.array([1.0, 1.0])).tolist() == [-1, 0]


def test_a_chain_of_thousands_needs_no_recursion() -> None:
    """The depth of a chain is its length."""
    n = 5_000
    trees = grow_trees(np.arange(n) - 1, np.full(n, 1.0))
    assert trees.depth.tolist() == list(range(n))
    assert trees.height.tolist() == [n]


@given(st.lists(st.integers(-1, 11), min_size=12, max_size=12), st.randoms(use_true_random=False))
def test_any_parents_become_a_forest(parents, random) -> None:
    """Whatever the parents: walking up ends at the root that is told, after as many steps as the depth."""
    confidence = np.array([random.random() for _ in parents])
    trees = grow_trees(np.array(parents), confidence)
    for call in range(12):
        steps, at = 0, call
        while trees.parent[at] >= 0:
            at, steps = int(trees.parent[at]), steps + 1
            assert steps <= 12
        assert (at, steps) == (trees.root[call], trees.depth[call])
    assert trees.size.sum() == 12


def test_no_calls_no_trees() -> None:
    """An empty forest has no roots."""
    assert len(grow_trees(np.zeros(0, np.int32), np.zeros(0)).roots) == 0
