"""Why a call's outcome is what it is said to be, in plain words, with the packets that prove it, and what is left open.

Rules: what is said rests on the rows of `exchanges` that the call names. Frames are named with their capture. Nothing is
said of a call that succeeded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from wiretrace.case.calls import plain_list
from wiretrace.case.rows import RowReader
from wiretrace.model.outcome import Outcome

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wiretrace.case.reader import Case

FRAMES_NAMED = 6
VIEW_COLUMNS = (
    *("capture", "status", "request_start_ns", "request_end_ns", "response_start_ns", "given_up_ns"),
    *("request_retransmitted", "response_retransmitted", "request_acknowledged", "request_stalled_ns"),
    *("response_stalled_ns", "request_bytes", "outcome_frames"),
)
CALL_COLUMNS = (
    *("outcome", "possible", "status", "protocol", "server_port", "server_host", "start_ns", "end_ns"),
    *("client_exchange", "server_exchange", "other_exchanges", "request_bytes", "network_measured"),
)

MAY_BE = {
    Outcome.OK: "the answer arrived after all",
    Outcome.ERROR: "the callee refused it",
    Outcome.REQUEST_LOST: "the request was lost on the way",
    Outcome.RESPONSE_LOST: "the answer was lost on the way back",
    Outcome.SERVER_SILENT: "the callee would never have answered",
    Outcome.SERVER_RESET: "the callee reset the connection",
    Outcome.SERVER_CLOSED: "the callee closed the connection",
    Outcome.CLIENT_ABORTED: "somebody at the caller called it off",
    Outcome.CLIENT_TIMEOUT: "the callee was only slower than the caller's timeout",
    Outcome.REFUSED: "the connection was refused",
    Outcome.UNREACHABLE: "the callee could not be reached",
    Outcome.TLS_FAILED: "the TLS handshake failed",
    Outcome.DNS_FAILED: "the name could not be looked up",
    Outcome.MALFORMED: "a message was malformed",
    Outcome.UNFINISHED: "the answer came when the capture had ended",
    Outcome.NOT_CAPTURED: "it took place, and the capture missed it",
}
"""What else an outcome may be, behind "it may be that"."""


class Words(NamedTuple):
    """What is told of one call."""

    sentences: list[str]
    """What happened, and what proves it; empty where it succeeded."""
    open: str
    """What the packets leave open, and what would tell; empty where nothing is."""


def explain(case: Case, row: NDArray[np.int64]) -> Words:
    """The words for the call in `row`, shape (1,). Raises UserError if the case is damaged."""
    call = _one(RowReader(case, "calls", CALL_COLUMNS).take(row))
    named = (call["client_exchange"], call["server_exchange"], *(call["other_exchanges"] or ()))
    rows = [each for each in named if each >= 0]
    reader = RowReader(case, "exchanges", VIEW_COLUMNS)
    views = {}
    for each in dict.fromkeys(rows):
        if each < len(reader):
            views[each] = _one(reader.take(row * 0 + each))
    caller = views.get(call["client_exchange"]) or next(iter(views.values()), None)
    callee = views.get(call["server_exchange"])
    if caller is None or call["outcome"] == Outcome.OK:
        return Words([], "")
    told = _TELLERS.get(call["outcome"])
    sentences = told(call, caller, callee if callee is not caller else None) if told else []
    return Words([each for each in sentences if each], _open(call))


def _one(table: Any) -> dict[str, Any]:
    return {name: plain_list(table.column(name))[0] for name in table.column_names}


def _time(nanoseconds: int) -> str:
    """A duration in few digits."""
    for unit, size in (("s", 10**9), ("ms", 10**6), ("µs", 10**3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds} ns"


def _frames(view: dict[str, Any]) -> str:
    """The packets that prove it, in brackets."""
    frames = view["outcome_frames"] or []
    if not frames:
        return ""
    named = ", ".join(map(str, frames[:FRAMES_NAMED])) + (", …" if len(frames) > FRAMES_NAMED else "")
    return f" (frame{'s' * (len(frames) > 1)} {named} of {view['capture']})"


def _waited(view: dict[str, Any]) -> str:
    """How long the caller waited before it gave up."""
    if view["given_up_ns"] < 0 or view["request_start_ns"] < 0:
        return ""
    return f" after {_time(view['given_up_ns'] - view['request_start_ns'])}"


def _times(count: int) -> str:
    return "once" if count == 1 else "twice" if count == 2 else f"{count:,} times"


def _request_lost(call: dict[str, Any], caller: dict[str, Any], callee: dict[str, Any] | None) -> list[str]:
    again = caller["request_retransmitted"]
    sent = (
        f"The request was sent again {_times(again)} within {_time(caller['request_stalled_ns'])}{_frames(caller)}, and its "
        "receipt was never acknowledged."
        if again
        else "The receipt of the request was never acknowledged."
    )
    absent = call["server_exchange"] < 0 and not call["possible"]
    watched = "The callee's host was capturing at that time and has no packet of it." if absent and not again else ""
    return [sent, watched, "Look at the network between the two: the callee had nothing to answer."]


def _response_lost(call: dict[str, Any], caller: dict[str, Any], callee: dict[str, Any] | None) -> list[str]:
    sender = callee or caller
    again = sender["response_retransmitted"]
    if sender["response_start_ns"] < 0:
        sent = f"The callee says that it has sent more than arrived: its answer was lost on the way{_frames(caller)}."
    elif again:
        sent = (
            f"The callee answered, and sent the answer again {_times(again)}{_frames(sender)}: nobody acknowledged it."
        )
    else:
        sent = f"The callee answered, and the caller never acknowledged it{_frames(sender)}."
    return [
        sent,
        "Look at the network on the way back: the callee did its work, and may have changed what it was asked to.",
    ]


def _server_silent(call: dict[str, Any], caller: dict[str, Any], callee: dict[str, Any] | None) -> list[str]:
    left = f" The caller gave up{_waited(caller)}{_frames(caller)}." if _waited(caller) else ""
    return [
        f"The callee's host acknowledged the request, and no answer was sent.{left}",
        "Its kernel is alive; the process that should answer is stopped, stuck or overloaded." if callee else "",
    ]


def _server_left(call: dict[str, Any], caller: dict[str, Any], callee: dict[str, Any] | None) -> list[str]:
    did = "reset" if call["outcome"] == Outcome.SERVER_RESET else "closed"
    if not call["request_bytes"]:
        return [
            f"The callee accepted the connection and {did} it{_waited(caller)}, before it was asked{_frames(caller)}."
        ]
    begun = "in the middle of its answer" if caller["response_start_ns"] >= 0 else "without an answer"
    return [
        f"The callee's end {did} the connection{_waited(caller)}, {begun}{_frames(caller)}.",
        "A process that dies, or is restarted, does so; so does one that closes idle connections just when it is asked.",
    ]


def _client_left(call: dict[str, Any], caller: dict[str, Any], callee: dict[str, Any] | None) -> list[str]:
    late = caller["response_start_ns"] > caller["given_up_ns"] >= 0
    again = " It shows this wait again and again: a timeout." if call["outcome"] == Outcome.CLIENT_TIMEOUT else ""
    answer = f" The answer came {_time(caller['response_start_ns'] - caller['given_up_ns'])} too late." if late else ""
    return [f"The caller gave up{_waited(caller)}{_frames(caller)}.{again}{answer}"]


def _refused(call: dict[str, Any], caller: dict[str, Any], callee: dict[str, Any] | None) -> list[str]:
    return [f"The callee's host is there, and nothing listens at its port {call['server_port']}{_frames(caller)}."]


def _unreachable(call: dict[str, Any], caller: dict[str, Any], callee: dict[str, Any] | None) -> list[str]:
    if caller["given_up_ns"] >= 0:
        return [f"The network says that the callee can not be reached{_frames(caller)}."]
    return ["Nobody answered the attempt to connect: the host is down, a filter drops it, or its listen queue is full."]


def _failed(call: dict[str, Any], caller: dict[str, Any], callee: dict[str, Any] | None) -> list[str]:
    what = "name could not be looked up" if call["outcome"] == Outcome.DNS_FAILED else "TLS handshake failed"
    word = call["status"] or (callee or caller)["status"]
    return [f"The {what}: {word.replace('_', ' ')}." if word else f"The {what}: nobody answered."]


def _ended_first(call: dict[str, Any], caller: dict[str, Any], callee: dict[str, Any] | None) -> list[str]:
    if call["outcome"] == Outcome.UNFINISHED:
        return ["The capture ended before the answer came."]
    return ["It took place, and the capture lacks a half of it: this says nothing of the call."]


_TELLERS = {
    Outcome.REQUEST_LOST: _request_lost,
    Outcome.RESPONSE_LOST: _response_lost,
    Outcome.SERVER_SILENT: _server_silent,
    Outcome.SERVER_RESET: _server_left,
    Outcome.SERVER_CLOSED: _server_left,
    Outcome.CLIENT_ABORTED: _client_left,
    Outcome.CLIENT_TIMEOUT: _client_left,
    Outcome.REFUSED: _refused,
    Outcome.UNREACHABLE: _unreachable,
    Outcome.DNS_FAILED: _failed,
    Outcome.TLS_FAILED: _failed,
    Outcome.UNFINISHED: _ended_first,
    Outcome.NOT_CAPTURED: _ended_first,
}


def _open(call: dict[str, Any]) -> str:
    """What else is possible, and what would tell."""
    others = [each for each in call["possible"] or [] if each != call["outcome"]]
    if not others:
        return ""
    words = " or that ".join(MAY_BE.get(each, each.replace("_", " ")) for each in others)
    if call["client_exchange"] >= 0 and call["server_exchange"] >= 0:
        return f"It may also be that {words}."
    return f"From this side it may also be that {words}: a capture at the other end would tell."
