"""How the messages of each exchange travelled: columns of the table `exchanges` that come from the health of its packets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.exchanges.message_table import integers

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
    return {
        "request_acknowledged": asked & (acknowledged[table.stream[request]] >= table.end[request]),
        "response_acknowledged": answered & (acknowledged[table.stream[response]] >= table.end[response]),
        "request_retransmitted": np.where(asked, health.retransmitted[request], 0),
        "response_retransmitted": np.where(answered, health.retransmitted[response], 0),
        "request_stalled_ns": np.where(asked, health.stalled_ns[request], 0),
        "response_stalled_ns": np.where(answered, health.stalled_ns[response], 0),
        "request_blocked_ns": np.where(asked, transfers.blocked(server, begin, end), 0),
        "response_blocked_ns": np.where(both, transfers.blocked(server ^ 1, begin, end), 0),
        "queued_ns": _between(table, rows, both),
        "tls_ns": _handshakes(table, rows),
    }


def _handshakes(table: MessageTable, rows: Rows) -> NDArray[np.int64]:
    """How long the TLS handshake took before each exchange that opens its connection; 0 for all others."""
    took = np.zeros(len(rows.rank), np.int64)
    shaken = [each.habits.handshake_ns for each in table.threads]
    if not any(shaken):
        return took
    asked = integers([BEYOND if each.habits.asked is None else each.habits.asked for each in table.threads])
    opens = np.flatnonzero((rows.request > 0) & (table.start[rows.request] == asked[rows.rank]))
    took[opens] = integers([0 if each is None else each[1] - each[0] for each in shaken])[rows.rank[opens]]
    return took


def _between(table: MessageTable, rows: Rows, both: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How long requests waited, sent in whole, until the answer before theirs was over; 0 where answers may overtake.

    Adds the time between answers and the next requests to what the client of each connection thought.
    """
    queued = np.zeros(len(rows.rank), np.int64)
    whole = np.flatnonzero(both)
    if not len(whole):
        return queued
    rank, request, response = rows.rank[whole], rows.request[whole], rows.response[whole]
    first = np.flatnonzero(np.diff(rank, prepend=-1))
    begin, end = table.start_ns[request], table.end_ns[response]
    threads = [table.threads[number] for number in rank[first].tolist()]
    before = np.concatenate([end[:1], end[:-1]])
    before[first] = [thread.last_answer_ns for thread in threads]
    pause = np.where(before >= 0, np.maximum(begin - before, 0), 0)
    last = np.append(first[1:], len(whole)) - 1
    in_order = np.zeros(len(table.threads), np.bool_)
    sums = np.add.reduceat(pause, first)
    for at, thread, paused, ended in zip(rank[first].tolist(), threads, sums.tolist(), end[last].tolist(), strict=True):
        thread.think_ns += paused
        thread.last_answer_ns = ended
        reader = thread.conversation.reader
        in_order[at] = not (thread.conversation.interleaves or (reader is not None and reader.overtakes))
    waited = np.minimum(before, table.start_ns[response]) - table.end_ns[request]
    queued[whole] = np.where(in_order[rank], np.maximum(waited, 0), 0)
    return queued
