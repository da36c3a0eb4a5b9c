"""Request trees from parents: which root each call belongs to, how deep it hangs, and how sure the whole is.

Rules: parents that would close a circle (only clocks that disagree can make one) lose the least sure link of it, so
that what is returned is always a forest. All by pointer doubling: no recursion, whatever the depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.linking.arrays import distinct

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(slots=True)
class Trees:
    """Arrays over calls have shape (n,), arrays over trees (trees,); trees are in the order of their roots' indices."""

    parent: NDArray[np.int64]
    """Parent of each call, -1 for roots; free of circles."""
    root: NDArray[np.int64]
    """Root of each call's tree: a call index."""
    depth: NDArray[np.int64]
    """Number of links between each call and its root."""
    order: NDArray[np.int64]
    """All calls, tree by tree, in depth-first order; siblings by start."""
    roots: NDArray[np.int64]
    """The root call of each tree."""
    size: NDArray[np.int64]
    """Calls of each tree, the root included."""
    height: NDArray[np.int64]
    """Calls on the longest way from the root to a leaf."""
    confidence: NDArray[np.float64]
    """Product of the confidences of each tree's links."""


def grow_trees(parent: NDArray[np.int64], confidence: NDArray[np.float64], start_ns: NDArray[np.int64]) -> Trees:
    """Turn parents into trees. `confidence` is that of each call's link, `start_ns` orders siblings; all shape (n,)."""
    n = len(parent)
    parent = cut_circles(parent, confidence)
    is_root = parent < 0
    pointer = np.where(is_root, np.arange(n), parent)
    distance = (~is_root).astype(np.int64)
    doubt = np.where(is_root, 0.0, -np.log(np.clip(confidence, 1e-300, 1.0)))
    root, depth = pointer.copy(), distance.copy()
    while True:
        further = root[root]
        if np.array_equal(further, root):
            break
        depth = depth + depth[root]
        root = further
    roots = np.flatnonzero(is_root)
    number = np.zeros(n, np.int64)
    number[roots] = np.arange(len(roots))
    tree = number[root]
    size = np.bincount(tree, minlength=len(roots))
    height = np.ones(len(roots), np.int64)
    np.maximum.at(height, tree, depth + 1)
    total_doubt = np.bincount(tree, weights=doubt, minlength=len(roots))
    order = _depth_first(parent, depth, tree, start_ns)
    return Trees(parent, root, depth, order, roots, size, height, np.exp(-total_doubt))


def cut_circles(parent: NDArray[np.int64], confidence: NDArray[np.float64]) -> NDArray[np.int64]:
    """`parent` without circles: of each, the least confident link (of equals, the one of the first call) is cut."""
    parent = parent.copy()
    parent[parent == np.arange(len(parent))] = -1
    pointer = parent.copy()
    for _ in range(max(len(parent), 1).bit_length() + 1):
        pointer = np.where(pointer >= 0, pointer[np.maximum(pointer, 0)], -1)
    # What still has an ancestor that many steps up leads into a circle; those ancestors are on one.
    on_circle = distinct(pointer[pointer >= 0])
    seen: set[int] = set()
    for start in on_circle.tolist():
        if start in seen:
            continue
        circle, call = [], start
        while call not in seen:
            seen.add(call)
            circle.append(call)
            call = int(parent[call])
        weakest = min(circle, key=lambda member: (float(confidence[member]), member))
        parent[weakest] = -1
    return parent


def _depth_first(
    parent: NDArray[np.int64], depth: NDArray[np.int64], tree: NDArray[np.int64], start_ns: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Calls in depth-first order: a call's position is its parent's plus one plus the calls of its earlier siblings."""
    n = len(parent)
    below = np.ones(n, np.int64)
    by_depth = np.argsort(-depth, kind="stable")
    levels = np.split(by_depth, np.flatnonzero(np.diff(depth[by_depth])) + 1) if n else []
    for level in levels:
        inner = level[parent[level] >= 0]
        np.add.at(below, parent[inner], below[inner])
    position = np.zeros(n, np.int64)
    for level in reversed(levels):
        siblings = level[np.lexsort((level, start_ns[level], np.where(parent[level] < 0, tree[level], parent[level])))]
        before = np.cumsum(below[siblings]) - below[siblings]
        if parent[siblings[0]] < 0:
            position[siblings] = before
            continue
        family = parent[siblings]
        first = np.concatenate(([True], family[1:] != family[:-1]))
        start_of_family = before[np.maximum.accumulate(np.where(first, np.arange(len(siblings)), 0))]
        position[siblings] = position[family] + 1 + before - start_of_family
    order = np.empty(n, np.int64)
    order[position] = np.arange(n)
    return order
