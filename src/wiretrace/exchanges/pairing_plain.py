"""Pairs by order for all plain connections of a chunk at once, by array operations.

Rules: a connection is *plain* where nothing of it is missing, its messages carry no identifiers, its client only asks and
its server only answers, no answer skips requests of a unit, and none left before its server can have known of its request.
There the k-th response answers the k-th request, and the result is exactly that of ``pairing_order.py``, which takes care of
all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.model.message import Role

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.exchanges.message_table import MessageTable


@dataclass(slots=True)
class PlainPairs:
    """Exchanges of plain connections, in the order of connections and requests, and what waits for more."""

    plain: NDArray[np.bool_]
    """(ranks,): whether the connection was paired here."""
    request: NDArray[np.int64]
    """(n,): row of the request in the message table."""
    response: NDArray[np.int64]
    """(n,): row of the response; 0 where the request asks for none."""
    unanswered: NDArray[np.int64]
    """(ranks,): row of the client's side from which on nothing was used up."""
    unasked: NDArray[np.int64]
    """(ranks,): row of the server's side from which on nothing was used up."""


def pair_plain(table: MessageTable, candidates: NDArray[np.bool_]) -> PlainPairs:
    """Pair what is plain among the connections that `candidates` (ranks,) names: nothing missing, no identifiers.

    Learns the habits of their clients as `pair_in_order` does.
    """
    ranks = len(table.threads)
    role, rank, asks = table.role, table.rank, table.asks
    control = role == Role.CONTROL
    fits = control | np.where(asks, role <= Role.ONE_WAY, role == Role.RESPONSE)
    plain = candidates.copy()
    plain[rank[1:][~fits[1:]]] = False
    eligible = plain[rank] & ~control
    requests = np.flatnonzero(eligible & asks & (role == Role.REQUEST))
    responses = np.flatnonzero(eligible & ~asks)
    asked = np.bincount(rank[requests], minlength=ranks)
    answered = np.bincount(rank[responses], minlength=ranks)
    both = np.minimum(asked, answered)
    request, unanswered = _split(requests, asked, both, rank, table.bounds[1::2])
    response, unasked = _split(responses, answered, both, rank, table.bounds[2::2])
    unknown = (table.end_ns[response] < table.start_ns[request]) & (table.ack[response] <= table.start[request])
    odd = unknown | (table.closes[response] & ~table.closes[request])
    if odd.any():
        plain[rank[request[odd]]] = False
        keep = plain[rank[request]]
        request, response = request[keep], response[keep]
    if len(request):
        _learn(table, request, response)
    alone = np.flatnonzero(eligible & (role == Role.ONE_WAY))
    alone = alone[plain[rank[alone]] & (alone < unanswered[rank[alone]])]
    if len(alone):
        merged = np.sort(np.concatenate([request, alone]))
        answers = np.zeros(len(merged), np.int64)
        answers[np.searchsorted(merged, request)] = response
        request, response = merged, answers
    return PlainPairs(plain, request, response, unanswered, unasked)


def _split(
    rows: NDArray[np.int64],
    counts: NDArray[np.int64],
    used: NDArray[np.int64],
    rank: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first `used` (ranks,) of the `counts` rows (n,) of each connection, and the first row (ranks,) that is not used.

    `ends` (ranks,) are the rows behind each side.
    """
    firsts = np.cumsum(counts) - counts
    left = np.flatnonzero(counts > used)
    behind = ends.copy()
    behind[left] = rows[firsts[left] + used[left]]
    return (rows[rows < behind[rank[rows]]] if len(left) else rows), behind


def _learn(table: MessageTable, request: NDArray[np.int64], response: NDArray[np.int64]) -> None:
    """Note in each connection's habits how far it is, and whether its client asked before it had an answer."""
    rank = table.rank[request]
    firsts = np.flatnonzero(np.diff(rank, prepend=-1))
    lasts = np.append(firsts[1:], len(rank)) - 1
    ack, end = table.ack[request], table.end[response]
    habits = [table.threads[number].habits for number in rank[firsts].tolist()]
    asked_before, answered_before = np.empty_like(ack), np.empty_like(end)
    asked_before[1:], answered_before[1:] = ack[:-1], end[:-1]
    asked_before[firsts] = [each.asked_ack for each in habits]
    answered_before[firsts] = [each.answered_end for each in habits]
    overlaps = np.logical_or.reduceat((ack < answered_before) & (ack != asked_before), firsts)
    for each, asked_ack, answered_end, overlap in zip(
        habits, ack[lasts].tolist(), end[lasts].tolist(), overlaps.tolist(), strict=True
    ):
        each.asked_ack, each.answered_end = asked_ack, answered_end
        if overlap:
            each.overlaps = True
