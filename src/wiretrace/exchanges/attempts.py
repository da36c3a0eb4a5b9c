"""Attempts to connect that came to nothing: exchanges of their own, without a byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.exchanges.outcomes import judge_attempt
from wiretrace.exchanges.pairing import Located, Pair, Proof
from wiretrace.exchanges.rows import Rows
from wiretrace.model.message import Message, Result, Role

if TYPE_CHECKING:
    from wiretrace.exchanges.threads import Thread, Threads
    from wiretrace.tcp.connections import ConnectionTable


def attempts_to_connect(table: ConnectionTable, threads: Threads) -> tuple[list[Thread], Rows]:
    """A thread for each attempt, in which its messages wait, and the rows that refer to them by their places in a table."""
    found: list[Thread] = []
    rows = Rows()
    index = 1
    for connection in np.flatnonzero(
        (table.syn_ns_of[: table.count] >= 0) & ~table.finished_of[: table.count]
    ).tolist():
        client = int(table.client_of[connection])
        judged = judge_attempt(table.ending(connection, client))
        if judged is None:
            continue
        thread = threads.begin(connection)
        thread.conversation.protocol_name = "tcp"
        start_ns, reset_ns = int(table.syn_ns_of[connection]), int(table.reset_ns_of[connection])
        attempt = Message(Role.REQUEST, 0, 0, operation="connect", summary="connect")
        request = Located(attempt, start_ns, start_ns, 0, 0, 0, False, index, np.zeros(0, np.int64))
        response = None
        thread.requests.append(request)
        index += 1
        if reset_ns >= 0:
            refusal = Message(Role.RESPONSE, 0, 0, status="RST", result=Result.SERVER_ERROR)
            frames = np.array([int(table.reset_frame_of[connection])])
            response = Located(refusal, reset_ns, reset_ns, 0, 0, 0, False, index, frames)
            thread.responses.append(response)
            index += 1
        rows.add(len(found), Pair(request, response, Proof.NONE), *judged, -1)
        found.append(thread)
    return found, rows
