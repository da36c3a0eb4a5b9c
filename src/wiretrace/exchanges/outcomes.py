"""What happened to an exchange, and what else may have, as far as one vantage point can tell (design, section 6).

Rules:

- The first question is whether the capture lost it: bytes that the receiver acknowledged arrived, whatever the capture
  holds. Every later packet of the client says how much of the answer it had by then.
- A request that was sent again and is never acknowledged was lost, or all that answers it was. A bare acknowledgement of
  the server says how much it has sent: beyond what was captured and acknowledged, an answer was lost.
- Who left first, and whether the other end still did anything afterwards, tells an aborted wait from a silent server.
- What is judged without knowing at which end the capture was made. ``hosts/outcome.py`` knows, and takes out of `possible`
  what that end would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wiretrace.model.message import Result, Role
from wiretrace.model.outcome import Outcome
from wiretrace.tcp.connections import Ending

if TYPE_CHECKING:
    from wiretrace.exchanges.closing import Closing, Departure
    from wiretrace.exchanges.pairing import Located, Pair

Outcomes = tuple[Outcome, ...]

ALONE: Outcomes = ()
"""No outcome but the one given is possible."""
CALLED_OFF: Outcomes = (Outcome.CLIENT_ABORTED, Outcome.CLIENT_TIMEOUT)
"""What a client that leaves leaves open."""
ENCRYPTED: Outcomes = (Outcome.OK, Outcome.ERROR)
"""What an answer may be that can not be read."""

OUTCOME_OF = {
    Result.OK: Outcome.OK,
    Result.CLIENT_ERROR: Outcome.ERROR,
    Result.SERVER_ERROR: Outcome.ERROR,
    Result.CANCELLED: Outcome.CLIENT_ABORTED,
    Result.TIMED_OUT: Outcome.CLIENT_TIMEOUT,
    Result.ABANDONED: Outcome.SERVER_RESET,
    Result.CUT_OFF: Outcome.UNFINISHED,
    Result.TLS_FAILED: Outcome.TLS_FAILED,
    Result.UNREADABLE: Outcome.OK,
}
"""What happened to an exchange, by how its response judges it."""

SHORTEST_RETRANSMISSION_NS = 200_000_000
"""What is not acknowledged for so long is sent again: the shortest time that common systems wait (RFC 6298 allows 1 s)."""
SILENCE_NS = 1_000_000_000
"""A server that does nothing for so long after its client left, and for as long as the client waited, is silent."""

_NOT_SETTLED = {
    Ending.CLIENT_FIN: Outcome.SERVER_CLOSED,
    Ending.CLIENT_RESET: Outcome.SERVER_RESET,
    Ending.SERVER_FIN: Outcome.CLIENT_ABORTED,
    Ending.SERVER_RESET: Outcome.CLIENT_ABORTED,
}
"""What became of a delivery that was not acknowledged: there the ends have each other's parts."""


@dataclass(slots=True, frozen=True)
class Resent:
    """How often a message was sent again."""

    times: int = 0
    first_ns: int = -1
    """When it was first sent again."""
    frames: tuple[int, ...] = ()


@dataclass(slots=True, frozen=True)
class Judgement:
    """What happened, what else may have, and what proves it."""

    outcome: Outcome
    possible: Outcomes = ALONE
    """Every outcome that is possible, where that is more than one."""
    given_up_ns: int = -1
    """When the wait for the answer ended without one."""
    frames: tuple[int, ...] = field(default=())
    """Packets that prove it, beside those of the messages."""


NOT_RESENT = Resent()


def judge(
    pair: Pair,
    closing: Closing | None,
    response_end: int,
    asked_again: Resent = NOT_RESENT,
    answered_again: Resent = NOT_RESENT,
) -> Judgement:
    """The outcome of an exchange.

    `closing` is given for what was left when the connection ended, and for answers that were not acknowledged by then.
    `response_end` is the stream offset up to which the server's bytes were delivered.
    """
    response = pair.response
    if response is not None:
        if response.message.role is Role.PUSH:
            return Judgement(OUTCOME_OF[response.message.result])
        if pair.request is None:
            failed = response.message.result is Result.TLS_FAILED
            return Judgement(Outcome.TLS_FAILED if failed else Outcome.NOT_CAPTURED)
        result = response.message.result
        if closing is not None and (result is Result.CUT_OFF or response.message.end > response_end):
            return _cut_short(pair.request, response, closing, answered_again)
        if closing is not None and closing.response_acknowledged < response.message.end:
            return _unacknowledged(pair.request, response, closing, answered_again)
        return _answered(result)
    request = pair.request
    assert request is not None
    if pair.skipped:
        return Judgement(Outcome.ERROR)
    if request.message.role is Role.ONE_WAY:
        return Judgement(Outcome.OK)
    if request.message.result is Result.CANCELLED:
        return Judgement(Outcome.CLIENT_ABORTED, (*CALLED_OFF, Outcome.SERVER_SILENT))
    if request.message.result in (Result.ABANDONED, Result.TIMED_OUT, Result.TLS_FAILED):
        return Judgement(OUTCOME_OF[request.message.result])
    if closing is None:
        return Judgement(Outcome.NOT_CAPTURED)
    if pair.delivered:
        return Judgement(_NOT_SETTLED.get(closing.ending, Outcome.UNFINISHED))
    return _unanswered(request, closing, asked_again)


def _first_to_leave(request: Located, closing: Closing) -> tuple[Departure | None, bool]:
    """Who ended the wait for an answer, if anybody, and whether it was the client."""
    server, client = closing.server_left, closing.client_left
    if server is not None and (client is None or server.time_ns <= client.time_ns):
        return server, False
    if client is not None and client.time_ns >= request.start_ns:
        return client, True
    return None, False


def _server_left(request: Located, departure: Departure) -> Judgement:
    """The server's end ended the connection; perhaps before the request that it had not yet seen."""
    outcome = Outcome.SERVER_RESET if departure.by_reset else Outcome.SERVER_CLOSED
    return Judgement(outcome, ALONE, max(departure.time_ns, request.start_ns), (departure.frame,))


def _client_left(request: Located, closing: Closing, departure: Departure, others: Outcomes) -> Judgement:
    """The client gave up. `others` are what else may have been the reason, if the server is not seen to have lived on."""
    server = closing.server_left
    lived = server is not None and server.time_ns >= departure.time_ns
    if lived:
        return Judgement(Outcome.CLIENT_ABORTED, CALLED_OFF, departure.time_ns, (departure.frame,))
    waited = departure.time_ns - request.start_ns
    quiet = closing.over_ns - departure.time_ns
    outcome = Outcome.CLIENT_ABORTED
    if not departure.by_reset and Outcome.SERVER_SILENT in others and quiet >= max(SILENCE_NS, waited):
        # A server that lives notices that its client has closed, and closes, too, or answers late.
        outcome = Outcome.SERVER_SILENT
    return Judgement(outcome, (*CALLED_OFF, *others), departure.time_ns, (departure.frame,))


def _cut_short(request: Located, response: Located, closing: Closing, again: Resent) -> Judgement:
    """The answer began, and its end was not captured."""
    message = response.message
    if message.result is not Result.CUT_OFF and message.end <= closing.server_sent:
        return _answered(message.result)
    departure, by_client = _first_to_leave(request, closing)
    if departure is not None and not by_client:
        return _server_left(request, departure)
    lost = (Outcome.RESPONSE_LOST,) if closing.server_claimed > closing.server_known or again.times else ALONE
    if departure is not None:
        return _client_left(request, closing, departure, (Outcome.SERVER_SILENT, *lost))
    if lost:
        return Judgement(Outcome.RESPONSE_LOST, (*lost, Outcome.UNFINISHED), -1, again.frames)
    return Judgement(Outcome.UNFINISHED, (Outcome.UNFINISHED, Outcome.SERVER_SILENT, Outcome.RESPONSE_LOST))


def _unacknowledged(request: Located, response: Located, closing: Closing, again: Resent) -> Judgement:
    """The answer was captured whole, and the client never acknowledged the end of it."""
    outcome = OUTCOME_OF[response.message.result]
    client = closing.client_left
    if client is not None and request.start_ns <= client.time_ns < response.start_ns:
        # At the client it may have been sent before, and have been lost.
        return Judgement(Outcome.CLIENT_ABORTED, (*CALLED_OFF, Outcome.RESPONSE_LOST), client.time_ns, (client.frame,))
    spoke = closing.client_heard_ns >= response.end_ns + SHORTEST_RETRANSMISSION_NS
    if spoke:
        # It is alive, and has had time to acknowledge: what it sends says that it has not got the answer.
        return Judgement(Outcome.RESPONSE_LOST, ALONE, client.time_ns if client else -1, again.frames)
    if again.times and not (client is not None and client.by_reset):
        # Nothing comes from the client any more: the answer is lost, or all that acknowledges it.
        return Judgement(Outcome.RESPONSE_LOST, (Outcome.RESPONSE_LOST, outcome), -1, again.frames)
    return _answered(response.message.result)


def _answered(result: Result) -> Judgement:
    """There is a whole answer, which judges the request; one that is encrypted may be an error."""
    return Judgement(OUTCOME_OF[result], ENCRYPTED if result is Result.UNREADABLE else ALONE)


def _unanswered(request: Located, closing: Closing, again: Resent) -> Judgement:
    """There is no answer."""
    if closing.server_sent > max(closing.server_known, request.ack):
        # The client acknowledged bytes that the capture lacks: there was an answer.
        return Judgement(Outcome.NOT_CAPTURED)
    if not closing.server_captured:
        return Judgement(
            Outcome.NOT_CAPTURED,
            (Outcome.NOT_CAPTURED, Outcome.REQUEST_LOST, Outcome.RESPONSE_LOST, Outcome.SERVER_SILENT),
        )
    departure, by_client = _first_to_leave(request, closing)
    unheard = closing.acknowledged < request.message.end and again.first_ns >= 0
    if departure is not None and not by_client:
        if unheard and not departure.by_reset and again.first_ns < departure.time_ns:
            # The server closed an idle connection: its FIN acknowledges nothing of the request that was sent long before.
            return Judgement(Outcome.REQUEST_LOST, ALONE, -1, (*again.frames, departure.frame))
        return _server_left(request, departure)
    ended_ns = departure.time_ns if departure is not None else -1
    proof = (*again.frames, *((departure.frame,) if departure is not None else ()))
    if closing.server_claimed > max(closing.server_known, request.ack):
        # The server has sent more than arrived here. What the client says later shows that it did not arrive there, either.
        certain = departure is not None or again.times > 0
        possible = ALONE if certain else (Outcome.RESPONSE_LOST, Outcome.NOT_CAPTURED)
        return Judgement(Outcome.RESPONSE_LOST, possible, ended_ns, proof)
    if closing.acknowledged < request.message.end:
        return _unacknowledged_request(request, closing, again, departure)
    if departure is not None:
        # The acknowledgement of the client's FIN shows that the server had sent nothing until then.
        sent_nothing = closing.fin_acknowledged and not departure.by_reset
        others = (Outcome.SERVER_SILENT,) if sent_nothing else (Outcome.SERVER_SILENT, Outcome.RESPONSE_LOST)
        return _client_left(request, closing, departure, others)
    return Judgement(Outcome.UNFINISHED, (Outcome.UNFINISHED, Outcome.SERVER_SILENT, Outcome.RESPONSE_LOST))


def _unacknowledged_request(
    request: Located, closing: Closing, again: Resent, departure: Departure | None
) -> Judgement:
    """Nobody acknowledged the request, or the end of it."""
    ended_ns = departure.time_ns if departure is not None else -1
    if closing.unreachable_ns >= request.start_ns:
        return Judgement(Outcome.REQUEST_LOST, ALONE, closing.unreachable_ns, (closing.unreachable_frame,))
    if again.times:
        if closing.server_heard_ns > again.first_ns:
            # What the server sends arrives, and does not acknowledge it.
            return Judgement(Outcome.REQUEST_LOST, ALONE, ended_ns, again.frames)
        return Judgement(Outcome.REQUEST_LOST, (Outcome.REQUEST_LOST, Outcome.RESPONSE_LOST), ended_ns, again.frames)
    if departure is not None:
        return Judgement(
            Outcome.CLIENT_ABORTED,
            (*CALLED_OFF, Outcome.REQUEST_LOST, Outcome.RESPONSE_LOST),
            ended_ns,
            (departure.frame,),
        )
    return Judgement(Outcome.UNFINISHED, (Outcome.UNFINISHED, Outcome.REQUEST_LOST, Outcome.RESPONSE_LOST))


def judge_attempt(ending: Ending, given_up_ns: int, frames: tuple[int, ...]) -> Judgement | None:
    """The outcome of an attempt to connect that carried no byte; None where there is nothing to tell.

    `given_up_ns` is when the packet came that ended it, one of `frames`; -1 where none did.
    """
    match ending:
        case Ending.REFUSED:
            return Judgement(Outcome.REFUSED, ALONE, given_up_ns, frames)
        case Ending.UNANSWERED | Ending.HALF_OPEN | Ending.UNREACHABLE:
            return Judgement(Outcome.UNREACHABLE, ALONE, given_up_ns, frames)
        case Ending.SERVER_RESET:
            return Judgement(Outcome.SERVER_RESET, ALONE, given_up_ns, frames)
        case _:
            return None
