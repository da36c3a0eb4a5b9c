"""Calls as spans, the noun of tracing tools: what their formats share.

A call is one span of the service that was asked (kind SERVER): parents and children then give the graph of services.
A span has a parent only where the link is likelier than not; a question begins a trace of its own and names the parents
that it may have. Times are on the common time line, and exported as corrected.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from wiretrace.case.calls import SLICE_ROWS, call_records
from wiretrace.case.forest import FOLLOWS, Forest, calls_by_id, topmost_calls
from wiretrace.case.rows import RowReader
from wiretrace.model.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

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
UNKNOWN_SERVICE = "unknown"
"""Name of a service of which not even the address is known."""


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
    followed: list[OtherParent]
    """Calls that put the messages on a queue which it took off, its parent among them."""


def spans(case: Case, rows: NDArray[np.integer[Any]] | None = None) -> Iterator[Span]:
    """All calls of a case as spans, trace by trace, parents before their children; or those of `rows`, in that order.

    Raises UserError as `call_records`.
    """
    forest = Forest.without_questions(case)
    if rows is None:
        rows, _ = forest.in_order()
    root = topmost_calls(forest.parent)
    ids = RowReader(case, "calls", ["id"])
    row_of_id = calls_by_id(case)
    records = call_records(case, rows)
    for start in range(0, len(rows), SLICE_ROWS):
        calls = list(islice(records, SLICE_ROWS))
        traces = ids.take(root[rows[start : start + SLICE_ROWS]]).column("id").to_pylist()
        others = [[*_others(call, trace), *_followed(call)] for call, trace in zip(calls, traces, strict=True)]
        named = [other for of_call in others for other, _ in of_call]
        found = row_of_id.rows(pa.chunked_array([pa.array(named, pa.string())]))
        known = iter(ids.take(root[found[found >= 0]]).column("id").to_pylist())
        trace_of = [next(known) if row >= 0 else None for row in found.tolist()]
        trace_of_named = iter(trace_of)
        for call, trace, of_call in zip(calls, traces, others, strict=True):
            asked_wrongly = call.protocol in ("http", "http2") and call.status.startswith("4")
            is_error = call.outcome not in NO_ERROR and not asked_wrongly
            named_others = [
                OtherParent(other, their_trace, share)
                for (other, share), their_trace in zip(of_call, trace_of_named, strict=False)
                if their_trace is not None
            ]
            followed = {other for other, _ in _followed(call)}
            yield Span(
                trace,
                None if call.id == trace else call.parent,
                party_name(call.server),
                party_name(call.client),
                is_error,
                _attributes(call, is_error),
                call,
                [other for other in named_others if other.id not in followed],
                [other for other in named_others if other.id in followed],
            )


def _others(call: CallRecord, trace: str) -> list[tuple[str, float]]:
    """Ids of calls that may have caused a call of this trace besides the parent that it has there, and how likely."""
    others = [(other.parent, other.confidence) for other in call.alternatives if other.parent is not None]
    if call.id == trace and call.parent is not None:
        others.insert(0, (call.parent, call.confidence or 0.0))
    return others


def _followed(call: CallRecord) -> list[tuple[str, float]]:
    """Ids of the calls that put the messages on a queue which this one took off, and how surely."""
    followed = [(other.parent, other.confidence) for other in call.also_follows if other.parent is not None]
    if call.relation == FOLLOWS and call.parent is not None:
        followed.insert(0, (call.parent, call.confidence or 0.0))
    return followed


def party_name(party: Party) -> str:
    """What to call an end of a call: its service, host or address."""
    return party.service or party.host or party.address or UNKNOWN_SERVICE


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
    template = call.operation.partition(" ")[2]
    if "http.request.method" in call.attributes and template.startswith("/") and not template.endswith("…"):
        attributes["url.template"] = template
    for name, value in call.attributes.items():
        attributes[name] = value if isinstance(value, (str, int, float, bool)) else str(value)
    attributes["wiretrace.summary"] = call.summary
    attributes["wiretrace.outcome"] = call.outcome
    if call.possible:
        attributes["wiretrace.possible"] = ", ".join(call.possible)
    if call.basis is not None and call.confidence is not None:
        attributes["wiretrace.link.basis"] = call.basis
        attributes["wiretrace.link.relation"] = call.relation or ""
        attributes["wiretrace.link.confidence"] = call.confidence
        attributes["wiretrace.link.evidence"] = "; ".join(f"{item.kind}: {item.detail}" for item in call.evidence)
    attributes["wiretrace.frames"] = "; ".join(
        f"{view.capture}: {', '.join(str(frame) for part in (view.request, view.response) if part for frame in part.frames)}"
        for view in call.views
    )
    return attributes
