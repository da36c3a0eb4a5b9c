"""Attempts to connect that came to nothing: exchanges of their own, without a byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.exchanges.closing import departure
from wiretrace.exchanges.outcomes import Judgement, judge_attempt
from wiretrace.exchanges.pairing import Located, Pair, Proof
from wiretrace.exchanges.rows import Rows
from wiretrace.model.message import Message, Result, Role
from wiretrace.packets.unreachable import is_refusal
from wiretrace.tcp.connections import Ending

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.exchanges.threads import Thread, Threads
    from wiretrace.tcp.connections import ConnectionTable


ATTEMPTS_AT_ONCE = 4096
"""Attempts that are exchanges in memory at once: a scan of ports, or a flood of SYNs, makes millions."""


def attempts_to_connect(table: ConnectionTable, threads: Threads) -> Iterator[tuple[list[Thread], Rows]]:
    """A thread for each attempt, in which its messages wait, and the rows that refer to them by their places in a table.

    So many attempts at once as are made of `ATTEMPTS_AT_ONCE` connections.
    """
    count = table.count
    opened = np.flatnonzero((table.syn_ns_of[:count] >= 0) & ~table.finished_of[:count])
    bytes_of, lost_of = table.bytes_of, table.lost_of
    is_empty = (bytes_of[2 * opened] + bytes_of[2 * opened + 1] + lost_of[2 * opened] + lost_of[2 * opened + 1]) == 0
    opened = opened[is_empty]
    for begin in range(0, len(opened), ATTEMPTS_AT_ONCE):
        found = _attempts(table, threads, opened[begin : begin + ATTEMPTS_AT_ONCE])
        if found[0]:
            yield found


def _attempts(table: ConnectionTable, threads: Threads, opened: NDArray[np.int64]) -> tuple[list[Thread], Rows]:
    """The attempts among some connections that carried no byte."""
    found: list[Thread] = []
    rows = Rows()
    index = 1
    clients = table.client_of[opened].astype(np.int64)
    endings = table.endings(clients, opened).tolist()
    for connection, client, ending in zip(opened.tolist(), clients.tolist(), endings, strict=True):
        judgement = _judged(table, connection, client, Ending(ending))
        if judgement is None:
            continue
        thread = threads.begin(connection)
        thread.conversation.protocol_name = "tcp"
        start_ns = int(table.syn_ns_of[connection])
        reset_ns = int(table.reset_ns_of[connection]) if table.reset_by_of[connection] == 1 - client else -1
        attempt = Message(Role.REQUEST, 0, 0, operation="connect", summary="connect")
        # A SYN that nobody answers is sent again and again.
        last_ns = start_ns if judgement.given_up_ns >= 0 else max(start_ns, int(table.last_ns_of[connection]))
        request = Located(attempt, start_ns, last_ns, 0, 0, 0, False, index, np.zeros(0, np.int64))
        response = None
        thread.requests.append(request)
        index += 1
        if reset_ns >= 0:
            refusal = Message(Role.RESPONSE, 0, 0, status="RST", result=Result.SERVER_ERROR)
            frames = np.array([int(table.reset_frame_of[connection])])
            response = Located(refusal, reset_ns, reset_ns, 0, 0, 0, False, index, frames)
            thread.responses.append(response)
            index += 1
        rows.add(len(found), Pair(request, response, Proof.NONE), judgement, -1)
        found.append(thread)
    return found, rows


def _judged(table: ConnectionTable, connection: int, client: int, ending: Ending) -> Judgement | None:
    """What became of an attempt; None where it is nobody's failed call."""
    if ending is Ending.UNREACHABLE:
        refused = is_refusal(int(table.unreachable_code_of[connection]))
        return judge_attempt(
            Ending.REFUSED if refused else ending,
            int(table.unreachable_ns_of[connection]),
            (int(table.unreachable_frame_of[connection]),),
        )
    client_left = departure(table, connection, client)
    server_left = departure(table, connection, 1 - client)
    if server_left is not None and (client_left is None or server_left.time_ns <= client_left.time_ns):
        return judge_attempt(ending, server_left.time_ns, (server_left.frame,))
    if client_left is not None and ending is Ending.SERVER_RESET:
        return None  # the client had left by itself, without a question
    return judge_attempt(ending, -1, ())
