"""Which trees of a case the report holds: all, or of a very large case those that are looked for.

A page of a million calls is opened by no browser in reasonable time. What a person looks for are the trees that failed
and the slowest; an even sample of the rest shows what is usual. The page says what it holds, and the figures on its
first screen are those of all calls.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wiretrace.case.ids import RowsOfIds
from wiretrace.case.reader import Case

REPORT_CALLS = 250_000
"""Calls that a report holds, in whole trees: some 20 MB that a browser opens within seconds. Further trees are left out,
and the page says how many."""
FAILED_SHARE = 0.6
"""Share of them that is for trees in which a call failed; where there are more, an even sample of those."""
SLOWEST_SHARE = 0.2
"""Share of them that is for the slowest trees besides those."""


class Selection(NamedTuple):
    """The trees of a report, and their calls."""

    trees: NDArray[np.int64]
    """Rows of the table `trees`, rising."""
    calls: NDArray[np.int64]
    """Rows of the table `calls`, rising."""
    failed: int
    """Trees of the report in which a call failed."""
    all_failed: int
    """Trees of the case in which a call failed."""


def select_trees(case: Case, wanted: str, most_calls: int) -> Selection:
    """Choose the trees of a report of at most so many calls; `wanted` is the id of a tree that it holds if it may.

    Raises UserError if the case is damaged.
    """
    trees = case.columns("trees", ["tree", "start_ns", "duration_ns", "calls", "errors"])
    has_failed = trees["errors"].to_numpy() > 0
    count = int(case.group_starts("calls")[-1])
    if count <= most_calls:
        failed = int(has_failed.sum())
        return Selection(np.arange(len(trees)), np.arange(count), failed, failed)
    is_chosen = _chosen(trees, has_failed, wanted, most_calls)
    chosen = np.flatnonzero(is_chosen)
    index = RowsOfIds.of(trees["tree"].filter(pa.array(is_chosen)))
    is_held = [index.rows(piece["tree"]) >= 0 for piece in case.pieces("calls", ["tree"])]
    calls = np.flatnonzero(np.concatenate([np.zeros(0, np.bool_), *is_held]))
    # A case that contradicts itself may name more calls than its trees count: the bound holds all the same.
    return Selection(chosen, calls[:most_calls], int(has_failed[chosen].sum()), int(has_failed.sum()))


def _chosen(trees: pa.Table, has_failed: NDArray[np.bool_], wanted: str, most_calls: int) -> NDArray[np.bool_]:
    """Whether the report holds each tree: first that which is wanted, then failed ones, the slowest, and a sample."""
    calls = np.maximum(trees["calls"].to_numpy(), 1)
    by_start = np.argsort(trees["start_ns"].to_numpy(), kind="stable")
    slowest_first = np.argsort(-trees["duration_ns"].to_numpy(), kind="stable")
    is_wanted = np.asarray(trees["tree"].to_numpy() == wanted, np.bool_)
    is_chosen = np.zeros(len(trees), np.bool_)
    for candidates, share, is_sample in (
        (np.flatnonzero(is_wanted), 1.0, False),
        (by_start[has_failed[by_start]], FAILED_SHARE, True),
        (slowest_first, FAILED_SHARE + SLOWEST_SHARE, False),
        (by_start, 1.0, True),
    ):
        room = int(most_calls * share) - int(calls[is_chosen].sum())
        more = candidates[~is_chosen[candidates] & (calls[candidates] <= room)]
        if is_sample:
            more = _spread(more, calls, room)
        is_chosen[more[np.cumsum(calls[more]) <= room]] = True
    return is_chosen


def _spread(trees: NDArray[np.int64], calls: NDArray[np.int64], room: int) -> NDArray[np.int64]:
    """`trees` in an order that begins with an even sample of them, of about `room` calls."""
    if not len(trees) or (total := int(calls[trees].sum())) <= room:
        return trees
    step = -(-total // max(room, 1))
    return np.concatenate([trees[first::step] for first in range(step)])
