"""Waits that a client shows again and again before it gives up: its timeouts.

Rules: a timeout belongs to the calls of one client to one operation of one server. It shows as several waits that agree
within 2 %, and that most of the waits of up to that length belong to: people, who give up at any time, make no such edge. A
busy client notices late that the time is over, never early; and a client that has a timeout does not wait beyond it: what is
longer, by up to a half, is likely the same timeout. That a person left at just that time, no packet rules out.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.hosts.views import category, integers, mix, text_hash
from wiretrace.model.outcome import Outcome

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

AGREE = 1.02
"""The longest of the waits of one timeout, over the shortest."""
ABOUT = 1.5
"""Waits up to so many times longer or shorter are of about that length."""
CALLS_AT_LEAST = 3
"""Calls that show a timeout."""
SHARE_AT_LEAST = 0.5
"""Share of the waits of about that length that agree; longer ones do not count where the client may be a busy one: ..."""
BUSY_CALLS_AT_LEAST = 10
"""... where so many agree, which the shortest waits of people do not by accident, ..."""
BUSY_SHARE_AT_LEAST = 0.15
"""... and such a share of those that are no shorter."""
MOST_TIMEOUTS = 16
"""Timeouts that are told apart for one operation."""
GIVE_UPS = (
    Outcome.CLIENT_ABORTED,
    Outcome.CLIENT_TIMEOUT,
    Outcome.SERVER_SILENT,
    Outcome.REQUEST_LOST,
    Outcome.RESPONSE_LOST,
)
"""Outcomes of calls of which the client ended the wait."""


def callers_of(exchanges: pa.Table) -> NDArray[np.uint64]:
    """A number for the client, the server and the operation of each exchange, (n,), equal in every capture."""
    columns = []
    for name in ("client_address", "server_address", "protocol", "operation"):
        codes, names = category(exchanges, name)
        columns.append(np.array([text_hash(text) for text in names] or [0], np.uint64)[codes])
    return mix(61, *columns, integers(exchanges, "server_port"))


def waits_given_up(exchanges: pa.Table) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Of the exchanges that their clients gave up: callers as `callers_of` numbers them, and how long they waited, (m,)."""
    given_up, asked = integers(exchanges, "given_up_ns"), integers(exchanges, "request_start_ns")
    codes, names = category(exchanges, "outcome")
    by_client = np.array([name in GIVE_UPS for name in names] or [False], np.bool_)[codes]
    rows = np.flatnonzero(by_client & (given_up > asked) & (asked >= 0))
    if not len(rows):
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    return callers_of(exchanges.take(rows)), (given_up - asked)[rows]


def find_timeouts(
    capture: NDArray[np.int64], caller: NDArray[np.uint64], waited: NDArray[np.int64]
) -> dict[int, list[tuple[int, int]]]:
    """The timeouts of each caller that has any: the shortest and the longest wait of each. All shapes (n,).

    Waits are compared within one capture: another has seen the same calls.
    """
    found: dict[int, list[tuple[int, int]]] = {}
    order = np.lexsort((waited, caller, capture))
    capture, caller, waited = capture[order], caller[order], waited[order]
    new = (np.diff(capture, prepend=-1) != 0) | (np.concatenate([[True], caller[1:] != caller[:-1]])[: len(caller)])
    bounds = [*np.flatnonzero(new).tolist(), len(caller)]
    for first, last in itertools.pairwise(bounds):
        if last - first >= CALLS_AT_LEAST and (peaks := _peaks(waited[first:last])):
            known = found.setdefault(int(caller[first]), [])
            known += [peak for peak in peaks if len(known) < MOST_TIMEOUTS and peak not in known]
    return found


def _peaks(waited: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Of the waits (n,) of one caller, rising: those that agree, fullest first."""
    peaks: list[tuple[int, int]] = []
    left = waited
    while len(left) >= CALLS_AT_LEAST and len(peaks) < MOST_TIMEOUTS:
        places = np.arange(len(left))
        behind = np.searchsorted(left, left * AGREE, "right")
        best = int(np.argmax(behind - places))
        low, high = int(left[best]), int(left[behind[best] - 1])
        count = int(behind[best]) - best
        edges = np.searchsorted(waited, [low / ABOUT, low, high * ABOUT])
        shorter, longer = edges[1] - edges[0], edges[2] - edges[1]
        if count < CALLS_AT_LEAST:
            break
        is_busy = count >= BUSY_CALLS_AT_LEAST and count >= BUSY_SHARE_AT_LEAST * int(longer)
        if count >= SHARE_AT_LEAST * int(shorter + (count if is_busy else longer)):
            peaks.append((low, high))
        left = np.concatenate([left[:best], left[int(behind[best]) :]])
    return peaks


def shown_timeouts(
    caller: NDArray[np.uint64], waited: NDArray[np.int64], known: dict[int, list[tuple[int, int]]]
) -> NDArray[np.bool_]:
    """Which of the waits are likely timeouts of their callers: those that agree with one, and longer ones. Shapes (n,)."""
    likely = np.zeros(len(caller), np.bool_)
    if not known:
        return likely
    names = np.array(sorted(known), np.uint64)
    place = np.minimum(np.searchsorted(names, caller), len(names) - 1)
    rows = np.flatnonzero((names[place] == caller) & (waited > 0))
    for each in np.unique(place[rows]).tolist():
        mine = rows[place[rows] == each]
        for low, high in known[int(names[each])]:
            slack = (AGREE - high / low) / 2
            likely[mine] |= (waited[mine] >= low * (1 - slack)) & (waited[mine] <= low * ABOUT)
    return likely
