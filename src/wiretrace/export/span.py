"""Calls as spans, the noun of tracing tools: what their formats share.

A call is one span of the service that was asked (kind SERVER): parents and children then give the graph of services.
A span has a parent only where the link is likelier than not; a question begins a trace of its own and names the parents
that it may have. Times are on the common time line, and exported as corrected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from wiretrace.case.calls import call_records, plain_list
from wiretrace.case.forest import Forest, without_questions
from wiretrace.model.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.case.calls import CallRecord, Party
    from wiretrace.case.reader import Case

Value = str | int | float | bool
ERROR_TYPES: dict[str, str] = {
    Outcome.SERVER_RESET: "connection_reset",
    Outcome.SERVER_CLOSED: "connection_closed",
    Outcome.CLIENT_ABORTED: "connection_aborted",
    Outcome.CLIENT_TIMEOUT: "timeout",
    Outcome.REFUSED: "connection_refused",
    Outcome.UNREACHABLE: "host_unreachable",
}
"""OpenTelemetry's `error.type` of outcomes, where it is not the word of the outcome itself."""
NO_ERROR = (Outcome.OK, Outcome.UNFINISHED, Outcome.NOT_CAPTURED)
"""Outcomes that say nothing against the server: the last two are about the capture."""


class OtherParent(NamedTuple):
    """A call that may have caused another, and is not taken for its parent."""

    id: str
    trace: str
    """Id of the first call of its trace."""
    confidence: float


class Span(NamedTuple):
    """One call."""

    trace: str
    """Id of the first call of the trace, 16 hexadecimal digits."""
    parent: str | None
    """Id of the parent span; None for the first of a trace."""
    service: str
    """Service that was asked; its host or address where the service is not known."""
    caller: str
    """The same of the caller."""
    is_error: bool
    """Whether the server failed. A client's error (HTTP 4xx) is none of the server's: OpenTelemetry leaves it unset."""
    attributes: dict[str, Value]
    """OpenTelemetry attributes of the call, and ours under `wiretrace.`."""
    call: CallRecord
    """The call itself."""
    others: list[OtherParent]
    """Parents that it may have besides its own; of a question, the likeliest comes first."""


def spans(case: Case) -> Iterator[Span]:
    """All calls of a case as spans, trace by trace, parents before their children. Raises UserError as `call_records`."""
    calls = case.table("calls")
    ids = plain_list(calls.column("id"))
    forest = Forest(without_questions(calls))
    rows: list[int] = []
    traces: list[str] = []
    for root in forest.roots:
        for row, _ in forest.walk(root):
            rows.append(row)
            traces.append(ids[root])
    trace_of = {ids[row]: trace for row, trace in zip(rows, traces, strict=True)}
    for call, trace in zip(call_records(case, pa.array(np.array(rows, dtype=np.int64))), traces, strict=True):
        parent = None if call.id == trace else call.parent
        others = [(other.parent, other.confidence) for other in call.alternatives if other.parent is not None]
        if parent is None and call.parent is not None:
            others.insert(0, (call.parent, call.confidence or 0.0))
        is_error = call.outcome not in NO_ERROR and not (
            call.protocol in ("http", "http2") and call.status.startswith("4")
        )
        yield Span(
            trace,
            parent,
            party_name(call.server),
            party_name(call.client),
            is_error,
            _attributes(call, is_error),
            call,
            [OtherParent(other, trace_of[other], share) for other, share in others if other in trace_of],
        )


def party_name(party: Party) -> str:
    """What to call an end of a call: its service, host or address."""
    return party.service or party.host or party.address or "unknown"


def _attributes(call: CallRecord, is_error: bool) -> dict[str, Value]:
    """The attributes of a call. Those that the protocol gave win over what is derived here."""
    attributes: dict[str, Value] = {"server.address": call.server.address, "client.address": call.client.address}
    if call.server.port > 0:
        attributes["server.port"] = call.server.port
    if call.client.port > 0:
        attributes["client.port"] = call.client.port
    if is_error:
        word = call.status if call.outcome == Outcome.ERROR else ERROR_TYPES.get(call.outcome, call.outcome)
        attributes["error.type"] = word or "_OTHER"
    for name, value in call.attributes.items():
        attributes[name] = value if isinstance(value, (str, int, float, bool)) else str(value)
    attributes["wiretrace.summary"] = call.summary
    attributes["wiretrace.outcome"] = call.outcome
    if call.possible:
        attributes["wiretrace.possible"] = ", ".join(call.possible)
    if call.basis is not None and call.confidence is not None:
        attributes["wiretrace.link.basis"] = call.basis
        attributes["wiretrace.link.confidence"] = call.confidence
        attributes["wiretrace.link.evidence"] = "; ".join(f"{item.kind}: {item.detail}" for item in call.evidence)
    attributes["wiretrace.frames"] = "; ".join(
        f"{view.capture}: {', '.join(str(frame) for part in (view.request, view.response) if part for frame in part.frames)}"
        for view in call.views
    )
    return attributes
