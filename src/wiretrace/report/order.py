"""The order in which the report stores calls: tree after tree, and within a tree as a person reads it.

A *place* is a row of that order: trees by start, each tree from its root down, a parent right before its first child,
siblings by start. So a tree is a range of places, and a subtree too. Works level by level, never call by call.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wiretrace.case.ids import RowsOfIds
from wiretrace.model.errors import UserError

ORDER_COLUMNS = ("id", "tree", "parent", "start_ns")
"""Columns of the table `calls` that are needed to order them."""


class TreeOrder(NamedTuple):
    """Where every call stands. n calls, t trees."""

    rows: NDArray[np.int64]
    """Row of the calls table at each place, shape (n,)."""
    places: NDArray[np.int64]
    """The inverse: place of each row of the calls table, shape (n,)."""
    parents: NDArray[np.int64]
    """Place of the parent of the call at each place, -1 for a root, shape (n,)."""
    depths: NDArray[np.int64]
    """Calls above the call at each place, shape (n,)."""
    trees: NDArray[np.int64]
    """Rows of the trees table by start, shape (t,)."""
    first_places: NDArray[np.int64]
    """Place of the first call of each of `trees`, shape (t,)."""
    call_counts: NDArray[np.int64]
    """Calls in each of `trees`, shape (t,)."""


def tree_order(calls: pa.Table, trees: pa.Table) -> TreeOrder:
    """Order `calls`. A parent that is in another tree, or among the call's own descendants, counts as none.

    Raises UserError if a call belongs to a tree that the case does not have.
    """
    call_count, tree_count = len(calls), len(trees)
    start_ns = calls["start_ns"].to_numpy()
    tree_row = RowsOfIds.of(trees["tree"]).rows(calls["tree"]).astype(np.int64)
    if (tree_row < 0).any():
        raise UserError("the case is damaged: a call belongs to a tree that is not there; make the case again")
    parent_row = RowsOfIds.of(calls["id"]).rows(calls["parent"]).astype(np.int64)
    has_parent = parent_row >= 0
    has_parent[has_parent] = tree_row[parent_row[has_parent]] == tree_row[has_parent]
    # Trees join the calls as nodes above their roots, so that one walk orders both.
    tree_node = call_count + tree_row
    sorted_trees = np.argsort(trees["start_ns"].to_numpy(), kind="stable")
    above = np.where(has_parent, parent_row, tree_node)
    levels = _levels(above, start_ns, call_count + sorted_trees)
    unreached = np.setdiff1d(np.arange(call_count), np.concatenate(levels), assume_unique=True)
    if len(unreached):
        has_parent[unreached] = False
        above[unreached] = tree_node[unreached]
        levels = _levels(above, start_ns, call_count + sorted_trees)

    sizes = np.ones(call_count + tree_count, np.int64)
    for level in reversed(levels[1:]):
        np.add.at(sizes, above[level], sizes[level])
    node_places = np.empty(call_count + tree_count, np.int64)
    node_depths = np.empty(call_count + tree_count, np.int64)
    tree_sizes = sizes[levels[0]] - 1
    node_places[levels[0]] = np.cumsum(tree_sizes) - tree_sizes - 1
    for depth, level in enumerate(levels[1:]):
        before = np.cumsum(sizes[level]) - sizes[level]
        is_first = np.diff(above[level], prepend=-1) != 0
        before_siblings = before - before[is_first].repeat(np.diff(np.append(np.flatnonzero(is_first), len(level))))
        node_places[level] = node_places[above[level]] + 1 + before_siblings
        node_depths[level] = depth

    places = node_places[:call_count]
    rows = np.empty(call_count, np.int64)
    rows[places] = np.arange(call_count)
    parents = np.where(has_parent, places[parent_row], -1)[rows]
    first_places = node_places[levels[0]] + 1
    return TreeOrder(rows, places, parents, node_depths[:call_count][rows], sorted_trees, first_places, tree_sizes)


def _levels(above: NDArray[np.int64], start_ns: NDArray[np.int64], trees: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Nodes by distance from the top: `trees`, then roots, their children, ...; the last level is empty."""
    children = np.lexsort((start_ns, above))
    bounds = np.searchsorted(above[children], np.arange(len(above) + len(trees) + 1))
    levels = [trees]
    while len(levels[-1]):
        levels.append(children[_ranges(bounds[levels[-1]], bounds[levels[-1] + 1])])
    return levels


def _ranges(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """All numbers of ``[start, end)`` of each pair, one range after another."""
    lengths = ends - starts
    offsets = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    return offsets + np.arange(lengths.sum())
