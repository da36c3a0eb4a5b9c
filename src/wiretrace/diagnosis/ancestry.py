"""Where each call stands among those that caused it, by row of the table `calls`. Works on whole columns, by doubling:
a deep tree costs no more than a flat one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wiretrace.case.forest import break_cycles, calls_in_order, parents_of_calls, questions, topmost_calls
from wiretrace.diagnosis.names import SLICE_ROWS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.case.reader import Case


class Ancestry(NamedTuple):
    """All calls of a case. Arrays have shape (n,)."""

    parent: NDArray[np.int32]
    """Row of the parent; -1 where there is none, or where it is only a question. Has no cycles."""
    root: NDArray[np.int32]
    """Row of the root of the call's tree, which reaches through questions."""
    tree_size: NDArray[np.int32]
    """Calls of that tree."""


def ancestry_of_calls(case: Case) -> Ancestry:
    """Find the ancestors of all calls. Raises UserError if the case is damaged."""
    named = parents_of_calls(case)
    parent = np.where(questions(case), np.int32(-1), named)
    for parents in (named, parent):
        break_cycles(parents, lambda: calls_in_order(case))
    root = topmost_calls(named)
    return Ancestry(parent, root, _sizes(root))


def depths_of_calls(parents: NDArray[np.int32]) -> NDArray[np.int32]:
    """Calls above each call. `parents`: rows without cycles, -1 for none. Shapes (n,)."""
    count = len(parents)
    above = np.append(np.where(parents < 0, np.int32(count), parents), np.int32(count))
    depth = np.append(parents >= 0, False).astype(np.int32)
    while (above < count).any():
        depth += depth[above]
        above = above[above]
    return depth[:count]


def _sizes(root: NDArray[np.int32]) -> NDArray[np.int32]:
    """Calls of the tree of each call. Shapes (n,)."""
    sizes = np.zeros(len(root), np.int32)
    for start in range(0, len(root), SLICE_ROWS):
        trees, calls = np.unique(root[start : start + SLICE_ROWS], return_counts=True)
        sizes[trees] += calls.astype(np.int32)
    return sizes[root]
