"""How the messages of each exchange travelled: columns of the table `exchanges` that come from the health of its packets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.exchanges.message_table import integers
from wiretrace.model.message import Role

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.exchanges.health import Health, TransferHealth
    from wiretrace.exchanges.message_table import MessageTable
    from wiretrace.exchanges.rows import Rows
    from wiretrace.tcp.connections import ConnectionTable

BEYOND = 2**62
"""The offset of a request that there is not."""


def transfer_figures(
    table: MessageTable, rows: Rows, health: Health, transfers: TransferHealth, connections: ConnectionTable
) -> dict[str, NDArray[np.int64] | NDArray[np.bool_]]:
    """The columns, by name. Shapes (rows,). Counts what each client thought in its `Thread`."""
    request, response = rows.request, rows.response
    asked, answered = request > 0, response > 0
    acknowledged = connections.acknowledged_of
    begin = table.start_ns[request]
    end = np.where(answered, table.end_ns[response], table.end_ns[request])
    server = np.where(asked, table.stream[request] ^ 1, table.stream[response])
    both = asked & answered
    queued = _queued(table, rows, both)
    _think(table, rows, both)
    return {
        "request_acknowledged": asked & (acknowledged[table.stream[request]] >= table.end[request]),
        "response_acknowledged": answered & (acknowledged[table.stream[response]] >= table.end[response]),
        "request_retransmitted": np.where(asked, health.retransmitted[request], 0),
        "response_retransmitted": np.where(answered, health.retransmitted[response], 0),
        "request_stalled_ns": np.where(asked, health.stalled_ns[request], 0),
        "response_stalled_ns": np.where(answered, health.stalled_ns[response], 0),
        "request_blocked_ns": np.where(asked, transfers.blocked(server, begin, end), 0),
        "response_blocked_ns": np.where(both, transfers.blocked(server ^ 1, begin, end), 0),
        "queued_ns": queued,
        "tls_ns": _handshakes(table, rows),
    }


def _handshakes(table: MessageTable, rows: Rows) -> NDArray[np.int64]:
    """How long the TLS handshake took before each exchange that opens its connection; 0 for all others.

    A handshake is what both ends say to each other in a TLS connection before the first request leaves.
    """
    took = np.zeros(len(rows.rank), np.int64)
    encrypted = np.array([thread.conversation.is_tls for thread in table.threads], np.bool_)
    if not encrypted.any():
        return took
    asked = integers([BEYOND if each.habits.asked is None else each.habits.asked for each in table.threads])
    opens = encrypted[rows.rank] & (rows.request > 0) & (table.start[rows.request] == asked[rows.rank])
    for row in np.flatnonzero(opens).tolist():
        rank, request = int(rows.rank[row]), int(rows.request[row])
        first, last = int(table.bounds[2 * rank]), int(table.bounds[2 * rank + 2])
        control = first + np.flatnonzero(table.role[first:last] == Role.CONTROL)
        control = control[table.end_ns[control] <= table.start_ns[request]]
        if len(control):
            took[row] = int(table.end_ns[control].max() - table.start_ns[control].min())
    return took


def _queued(table: MessageTable, rows: Rows, both: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How long requests waited, sent in whole, until the answer before theirs was over; 0 where answers may overtake."""
    queued = np.zeros(len(rows.rank), np.int64)
    if len(queued) < 2:
        return queued
    in_order = np.array([not thread.conversation.interleaves for thread in table.threads], np.bool_)
    behind = np.flatnonzero((rows.rank[1:] == rows.rank[:-1]) & both[1:] & both[:-1]) + 1
    behind = behind[in_order[rows.rank[behind]]]
    request, response, before = rows.request[behind], rows.response[behind], rows.response[behind - 1]
    until = np.minimum(table.end_ns[before], table.start_ns[response])
    queued[behind] = np.maximum(until - table.end_ns[request], 0)
    return queued


def _think(table: MessageTable, rows: Rows, both: NDArray[np.bool_]) -> None:
    """Add the time between answers and the next requests to each connection's."""
    whole = np.flatnonzero(both)
    if not len(whole):
        return
    rank = rows.rank[whole]
    first = np.flatnonzero(np.diff(rank, prepend=-1))
    begin, end = table.start_ns[rows.request[whole]], table.end_ns[rows.response[whole]]
    threads = [table.threads[number] for number in rank[first].tolist()]
    before = np.concatenate([end[:1], end[:-1]])
    before[first] = [thread.last_answer_ns for thread in threads]
    pause = np.where(before >= 0, np.maximum(begin - before, 0), 0)
    last = np.append(first[1:], len(whole)) - 1
    sums = np.add.reduceat(pause, first)
    for thread, paused, ended in zip(threads, sums.tolist(), end[last].tolist(), strict=True):
        thread.think_ns += paused
        thread.last_answer_ns = ended
