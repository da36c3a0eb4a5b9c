"""What happened to an exchange, and what else may have, as far as one vantage point can tell (design, section 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.model.message import Result, Role
from wiretrace.model.outcome import Outcome
from wiretrace.model.side import Side
from wiretrace.tcp.connections import NEVER, Ending

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wiretrace.exchanges.pairing import Located, Pair
    from wiretrace.exchanges.threads import Thread
    from wiretrace.tcp.connections import ConnectionTable


@dataclass(slots=True, frozen=True)
class Closing:
    """How a connection stood when nothing more came of it. Offsets are stream offsets."""

    ending: Ending
    acknowledged: int
    """How much of the client's bytes the server's host acknowledged."""
    server_captured: bool
    """Whether any packet of the server was captured."""
    server_known: int
    """Up to where the server's bytes were captured without a gap behind it."""
    server_sent: int
    """Up to where the server's bytes are known to exist: captured, or acknowledged by the client."""


ALONE: tuple[Outcome, ...] = ()
"""No outcome but the one given is possible."""

OUTCOME_OF = {
    Result.OK: Outcome.OK,
    Result.CLIENT_ERROR: Outcome.ERROR,
    Result.SERVER_ERROR: Outcome.ERROR,
    Result.CANCELLED: Outcome.CLIENT_ABORTED,
    Result.TIMED_OUT: Outcome.CLIENT_TIMEOUT,
    Result.ABANDONED: Outcome.SERVER_RESET,
    Result.CUT_OFF: Outcome.UNFINISHED,
}
"""What happened to an exchange, by how its response judges it."""

_CUT_SHORT = {
    Ending.CLIENT_FIN: Outcome.CLIENT_ABORTED,
    Ending.CLIENT_RESET: Outcome.CLIENT_ABORTED,
    Ending.SERVER_FIN: Outcome.SERVER_CLOSED,
    Ending.SERVER_RESET: Outcome.SERVER_RESET,
}

_NOT_SETTLED = {
    Ending.CLIENT_FIN: Outcome.SERVER_CLOSED,
    Ending.CLIENT_RESET: Outcome.SERVER_RESET,
    Ending.SERVER_FIN: Outcome.CLIENT_ABORTED,
    Ending.SERVER_RESET: Outcome.CLIENT_ABORTED,
}
"""What became of a delivery that was not acknowledged: there the ends have each other's parts."""


def closings(over: set[int], threads: Mapping[int, Thread], table: ConnectionTable) -> dict[int, Closing]:
    """How the connections that are over stood in the end."""
    if not over:
        return {}
    numbers = np.array(sorted(over), np.int64)
    clients = np.array([threads[number].conversation.client for number in numbers.tolist()], np.int64)
    asking, answering = 2 * numbers + clients, 2 * numbers + 1 - clients
    acknowledged = table.acknowledged_of[asking]
    columns = (
        table.endings(clients, numbers).tolist(),
        acknowledged.tolist(),
        ((table.bytes_of[answering] > 0) | (acknowledged > NEVER)).tolist(),
        table.next_of[answering].tolist(),
    )
    found = {}
    for number, ending, acked, captured, known in zip(numbers.tolist(), *columns, strict=True):
        gaps = threads[number].conversation.side(Side.SERVER).gaps
        sent = max(known, gaps[-1][1]) if gaps else known
        found[number] = Closing(Ending(ending), acked, captured, known, sent)
    return found


def judge(pair: Pair, closing: Closing | None, response_end: int) -> tuple[Outcome, tuple[Outcome, ...]]:
    """The outcome of an exchange, and every outcome that is possible where that is more than one.

    `closing` is given for what was left when the connection ended. `response_end` is the stream offset up to which the
    bytes of whoever answers were delivered.
    """
    response = pair.response
    if response is not None:
        if response.message.role is Role.PUSH:
            return OUTCOME_OF[response.message.result], ALONE
        if pair.request is None:
            return Outcome.NOT_CAPTURED, ALONE
        result = response.message.result
        if closing is not None and result is Result.CUT_OFF:
            return _CUT_SHORT.get(closing.ending, Outcome.UNFINISHED), ALONE
        if closing is not None and response.message.end > response_end:
            return _cut_short(response, closing)
        return OUTCOME_OF[result], ALONE
    request = pair.request
    assert request is not None
    if pair.skipped:
        return Outcome.ERROR, ALONE
    if request.message.role is Role.ONE_WAY:
        return Outcome.OK, ALONE
    if request.message.result is Result.CANCELLED:
        return Outcome.CLIENT_ABORTED, (Outcome.CLIENT_ABORTED, Outcome.CLIENT_TIMEOUT, Outcome.SERVER_SILENT)
    if request.message.result in (Result.ABANDONED, Result.TIMED_OUT):
        return OUTCOME_OF[request.message.result], ALONE
    if closing is None:
        return Outcome.NOT_CAPTURED, ALONE
    if pair.delivered:
        return _NOT_SETTLED.get(closing.ending, Outcome.UNFINISHED), ALONE
    return _unanswered(request, closing)


def _cut_short(response: Located, closing: Closing) -> tuple[Outcome, tuple[Outcome, ...]]:
    if response.message.end <= closing.server_sent:
        return OUTCOME_OF[response.message.result], ALONE
    return _CUT_SHORT.get(closing.ending, Outcome.UNFINISHED), ALONE


def _unanswered(request: Located, closing: Closing) -> tuple[Outcome, tuple[Outcome, ...]]:
    if closing.server_sent > max(closing.server_known, request.ack):
        # The client acknowledged bytes that the capture lacks: there was an answer.
        return Outcome.NOT_CAPTURED, ALONE
    if not closing.server_captured:
        return Outcome.NOT_CAPTURED, (
            Outcome.NOT_CAPTURED,
            Outcome.REQUEST_LOST,
            Outcome.RESPONSE_LOST,
            Outcome.SERVER_SILENT,
        )
    acknowledged = closing.acknowledged >= request.message.end
    match closing.ending:
        case Ending.SERVER_RESET:
            return Outcome.SERVER_RESET, ALONE
        case Ending.SERVER_FIN:
            return Outcome.SERVER_CLOSED, ALONE
        case Ending.CLIENT_FIN | Ending.CLIENT_RESET:
            if acknowledged:
                return Outcome.CLIENT_ABORTED, (Outcome.CLIENT_ABORTED, Outcome.CLIENT_TIMEOUT, Outcome.SERVER_SILENT)
            return Outcome.CLIENT_ABORTED, (Outcome.CLIENT_ABORTED, Outcome.CLIENT_TIMEOUT, Outcome.REQUEST_LOST)
        case _:
            if acknowledged:
                return Outcome.UNFINISHED, (Outcome.UNFINISHED, Outcome.SERVER_SILENT)
            return Outcome.UNFINISHED, (Outcome.UNFINISHED, Outcome.REQUEST_LOST, Outcome.RESPONSE_LOST)


def judge_attempt(ending: Ending) -> tuple[Outcome, tuple[Outcome, ...]] | None:
    """The outcome of an attempt to connect that carried no byte; None where there is nothing to tell."""
    if ending is Ending.REFUSED:
        return Outcome.REFUSED, ALONE
    if ending is Ending.UNANSWERED:
        return Outcome.UNREACHABLE, (Outcome.UNREACHABLE, Outcome.REQUEST_LOST, Outcome.RESPONSE_LOST)
    return None
