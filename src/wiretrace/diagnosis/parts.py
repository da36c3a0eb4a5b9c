"""Where the time of each call went: in the network, in the callee itself, and in the calls that the callee made.

Where both ends were captured, the network's share is measured: what the caller waited, less what the callee took. Where
only one was, the two can not be told apart, and all that is no child's counts as the callee's. Name look-up, connecting and
TLS come before a call starts; they are no doing of its caller, and count as the call's time on the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Parts(NamedTuple):
    """Times of all calls in nanoseconds. Arrays have shape (n,)."""

    own: NDArray[np.int64]
    """What the callee took while none of its own calls was under way."""
    network: NDArray[np.int64]
    """What passed on the way there and back, and until there was a connection; -1 where one end was not captured."""


def parts_of_calls(
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    server_start: NDArray[np.int64],
    server_end: NDArray[np.int64],
    set_up: NDArray[np.int64],
    parent: NDArray[np.int32],
) -> Parts:
    """Split the time of each call. `set_up`: nanoseconds before its start; `parent`: rows, -1 for none. Shapes (n,)."""
    is_measured = (server_start >= 0) & (server_end >= server_start)
    begin = np.where(is_measured, server_start, start)
    length = np.maximum(np.where(is_measured, server_end, end) - begin, 0)
    own = length - time_in_children(start - set_up, end, begin, length, parent)
    network = np.where(is_measured, np.maximum(end - start - length, 0) + set_up, -1)
    return Parts(own, network)


def time_in_children(
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    begin: NDArray[np.int64],
    length: NDArray[np.int64],
    parent: NDArray[np.int32],
) -> NDArray[np.int64]:
    """How long at least one child of each call was under way, within the call itself. Shapes (n,).

    All calls are laid end to end on one line, so that one sort brings the children of all of them in order.
    """
    child = np.flatnonzero(parent >= 0)
    above = parent[child]
    laid = np.cumsum(length) - length
    opens = (start[child] - begin[above]).clip(0, length[above]) + laid[above]
    closes = (end[child] - begin[above]).clip(0, length[above]) + laid[above]
    order = np.argsort(opens, kind="stable")
    opens, closes, above = opens[order], closes[order], above[order]
    covered_until = np.maximum.accumulate(np.append(0, closes))[:-1]
    fresh = np.maximum(closes - np.maximum(opens, covered_until), 0)
    total = np.zeros(len(start), np.int64)
    np.add.at(total, above, fresh)
    return total
