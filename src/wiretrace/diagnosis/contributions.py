"""What every call contributes to the duration of its request, part by part, so that all contributions add up to it.

Where calls run side by side, a moment counts for the one that began first: no moment counts twice. A call that runs on
behind its parent contributes what lies within it; one that took a message off a queue, for which nobody waited, nothing. The
set-up of a connection (look-up, connecting, TLS) counts for the call that it was made for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.diagnosis.observed import Observed

PARTS = (
    "lookup",
    "connect",
    "tls",
    "request",
    "queued",
    "network",
    "server",
    "response",
    "retransmission",
    "zero_window",
)
"""Parts of a call, as the columns of `calls` are named without their unit."""
SERVER = PARTS.index("server")
SET_UP = 3
"""Parts that come before the start of a call."""


def contributions_of(observed: Observed) -> NDArray[np.float64]:
    """Nanoseconds that each part of each call contributes to its request. Shape (parts, n).

    Those of all calls of a request add up to its duration (with the set-up of its own connection).
    """
    calls, parent = observed.calls, observed.parent
    waited_for = np.where(observed.took_off, np.int32(-1), parent)
    parts = np.array([observed.numbers(f"{name}_ns") for name in PARTS], np.float64)
    set_up = parts[:SET_UP].sum(axis=0)
    whole = set_up + observed.duration
    fresh = fresh_time(calls.start, calls.end, set_up.astype(np.int64), waited_for)
    covered = np.zeros(len(calls))
    has_parent = parent >= 0
    np.add.at(covered, parent[has_parent], fresh[has_parent])
    own = np.maximum(whole - covered, 0.0)
    parts[SERVER] = 0.0
    others = parts.sum(axis=0)
    parts *= np.where(others > own, own / np.maximum(others, 1.0), 1.0)
    parts[SERVER] = np.maximum(own - others, 0.0)
    share = np.where(has_parent, fresh / np.maximum(whole, 1.0), 1.0)
    parts *= shares_of_roots(share, parent)
    return parts


def fresh_time(
    start: NDArray[np.int64], end: NDArray[np.int64], set_up: NDArray[np.int64], parent: NDArray[np.int32]
) -> NDArray[np.float64]:
    """How long each call ran, with its set-up, within its parent while no sibling that began earlier did. Shape (n,)."""
    fresh = np.zeros(len(start))
    child = np.flatnonzero(parent >= 0)
    above = parent[child]
    length = np.maximum(end - start, 0)
    laid = np.cumsum(length) - length
    opens = (start[child] - set_up[child] - start[above]).clip(0, length[above]) + laid[above]
    closes = (end[child] - start[above]).clip(0, length[above]) + laid[above]
    order = np.argsort(opens, kind="stable")
    covered_until = np.maximum.accumulate(np.append(0, closes[order]))[:-1]
    fresh[child[order]] = np.maximum(closes[order] - np.maximum(opens[order], covered_until), 0)
    return fresh


def shares_of_roots(share: NDArray[np.float64], parent: NDArray[np.int32]) -> NDArray[np.float64]:
    """The product of the shares of each call and all above it; by doubling, so that a deep tree costs no more."""
    count = len(parent)
    product = np.append(share, 1.0)
    above = np.append(np.where(parent < 0, np.int32(count), parent), np.int32(count))
    while (above < count).any():
        product = product * np.where(above < count, product[above], 1.0)
        above = above[above]
    return product[:count]
