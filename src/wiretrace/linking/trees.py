"""Request trees from parents: which root each call belongs to, how deep it hangs, and how sure the whole is.

Rules: parents that would close a circle (only clocks that disagree can make one) lose the least sure link of it, so
that what is returned is always a forest. All by pointer doubling: no recursion, whatever the depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from wiretrace.linking.arrays import distinct

if TYPE_CHECKING:
    from numpy.typing import NDArray

Index = TypeVar("Index", np.int32, np.int64)
"""The type of indices of calls."""


@dataclass(slots=True)
class Trees:
    """Arrays over calls have shape (n,), arrays over trees (trees,); trees are in the order of their roots' indices."""

    parent: NDArray[np.int32]
    """Parent of each call, -1 for roots; free of circles."""
    root: NDArray[np.int32]
    """Root of each call's tree: a call index."""
    depth: NDArray[np.int32]
    """Number of links between each call and its root."""
    roots: NDArray[np.int64]
    """The root call of each tree."""
    number: NDArray[np.int32]
    """Tree of each call: index into `roots`."""
    size: NDArray[np.int64]
    """Calls of each tree, the root included."""
    height: NDArray[np.int32]
    """Calls on the longest way from the root to a leaf."""
    confidence: NDArray[np.float64]
    """Product of the confidences of each tree's links."""


def grow_trees(parent: NDArray[np.int32], confidence: NDArray[np.float64]) -> Trees:
    """Turn parents (-1: none) into trees. `confidence` is that of each call's link; both (n,)."""
    parent = cut_circles(parent, confidence)
    is_root = parent < 0
    root: NDArray[np.int32] = np.where(is_root, np.arange(len(parent), dtype=np.int32), parent)
    depth = (~is_root).astype(np.int32)
    while True:
        further = root[root]
        if np.array_equal(further, root):
            break
        depth = depth + depth[root]
        root = further
    roots = np.flatnonzero(is_root)
    number_of_root = np.zeros(len(parent), np.int32)
    number_of_root[roots] = np.arange(len(roots))
    number = number_of_root[root]
    height = np.ones(len(roots), np.int32)
    np.maximum.at(height, number, depth + 1)
    doubt = np.where(is_root, 0.0, -np.log(np.clip(confidence, 1e-300, 1.0)))
    total_doubt = np.bincount(number, weights=doubt, minlength=len(roots))
    size = np.bincount(number, minlength=len(roots))
    return Trees(parent, root, depth, roots, number, size, height, np.exp(-total_doubt))


def cut_circles(parent: NDArray[Index], confidence: NDArray[np.float64]) -> NDArray[Index]:
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
