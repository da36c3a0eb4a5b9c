"""Calls in the fixed JSON form: one record a call, with its views, its evidence and its runners-up.

Records are made a slice of rows at a time from whole columns, so that memory does not grow with their number, and a
hundred thousand take about a second. The names and the order of the fields are relied on by users' scripts.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from wiretrace.case.claims import ClaimsOfCalls
from wiretrace.case.forest import calls_in_order
from wiretrace.case.rows import RowReader
from wiretrace.model.errors import UserError
from wiretrace.model.schema import table_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from wiretrace.case.claims import Claims
    from wiretrace.case.reader import Case

SLICE_ROWS = 1 << 12
"""Calls that are made into records at once."""

VIEW_COLUMNS = (
    "capture",
    "request_start_ns",
    "request_end_ns",
    "response_start_ns",
    "response_end_ns",
    "request_bytes",
    "response_bytes",
    "request_frames",
    "response_frames",
)
"""Columns of `exchanges` that a view is made of."""


class Evidence(msgspec.Struct, gc=False):
    """One reason to believe in the chosen parent."""

    kind: str
    weight: float
    detail: str


class Alternative(msgspec.Struct, gc=False):
    """Another parent that the call may have; null: it may be a root."""

    parent: str | None
    confidence: float


class Party(msgspec.Struct, gc=False):
    """One end of a call. Host and service are null where they are not known."""

    address: str
    port: int
    host: str | None
    service: str | None


class Part(msgspec.Struct, gc=False):
    """A request or a response as one vantage point saw it."""

    frames: list[int]
    bytes: int


class View(msgspec.Struct, gc=False):
    """A call as one vantage point saw it. Times are that capture's own; a half that it lacks is null."""

    capture: str
    role: str
    start_ns: int
    end_ns: int
    request: Part | None
    response: Part | None


class Phases(msgspec.Struct, gc=False):
    """Where the time went, in nanoseconds. The columns of the table `calls` say what the fields mean."""

    whole_ns: int
    lookup_ns: int
    connect_ns: int
    tls_ns: int
    request_ns: int
    queued_ns: int
    network_ns: int
    server_ns: int
    response_ns: int
    retransmission_ns: int
    zero_window_ns: int
    self_ns: int
    network_measured: bool


class CallRecord(msgspec.Struct, gc=False):
    """One call. The columns of the tables `calls`, `links`, `evidence` and `exchanges` say what the fields mean."""

    id: str
    tree: str
    parent: str | None
    basis: str | None
    confidence: float | None
    evidence: Sequence[Evidence]
    alternatives: Sequence[Alternative]
    protocol: str
    operation: str
    summary: str
    status: str
    outcome: str
    possible: Sequence[str]
    client: Party
    server: Party
    start_ns: int
    end_ns: int
    views: list[View]
    attributes: dict[str, Any]
    phases: Phases


def call_records(case: Case, order: NDArray[np.integer[Any]] | None = None) -> Iterator[CallRecord]:
    """All calls of a case, sorted by start and then by id; or the rows of `calls` named by `order`, in that order.

    Raises UserError if the case contradicts itself (attributes that are not JSON, rows that do not exist).
    """
    if order is None:
        order = calls_in_order(case)
    calls = RowReader(case, "calls", [name for name in table_schema("calls").names if name not in _UNUSED_COLUMNS])
    read = [name for name in calls.columns if name not in VIEWS_OF_CALL]
    claims = ClaimsOfCalls(case, order)
    views = _ViewsOfCalls(case)
    attributes_seen: dict[str | None, dict[str, Any]] = {None: {}, "": {}, "{}": {}}
    for start in range(0, len(order), SLICE_ROWS):
        part = calls.take(order[start : start + SLICE_ROWS])
        values = {name: plain_list(part.column(name)) for name in read}
        end = start + len(part)
        evidences, alternatives = _evidences(claims.reasons(start, end)), _alternatives(claims.runners_up(start, end))
        call_views = views.of(part)
        phases = [Phases(*figures) for figures in zip(*(values[name] for name in PHASES), strict=True)]
        for row, attributes in enumerate(values["attributes"]):
            decoded = attributes_seen.get(attributes)
            if decoded is None:
                decoded = _decode_attributes(attributes)
                if len(attributes_seen) < SLICE_ROWS:
                    attributes_seen[attributes] = decoded
            yield CallRecord(
                values["id"][row],
                values["tree"][row],
                values["parent"][row],
                values["basis"][row],
                values["confidence"][row],
                evidences[row],
                alternatives[row],
                values["protocol"][row] or "",
                values["operation"][row] or "",
                values["summary"][row] or "",
                values["status"][row] or "",
                values["outcome"][row] or "",
                values["possible"][row] or (),
                Party(
                    values["client_address"][row] or "",
                    values["client_port"][row],
                    values["client_host"][row] or None,
                    values["client_service"][row] or None,
                ),
                Party(
                    values["server_address"][row] or "",
                    values["server_port"][row],
                    values["server_host"][row] or None,
                    values["server_service"][row] or None,
                ),
                values["start_ns"][row],
                values["end_ns"][row],
                call_views[row],
                decoded,
                phases[row],
            )


def plain_list(column: pa.ChunkedArray | pa.Array) -> list[Any]:
    """The values of a column as Python objects; categories and lists of numbers much faster than `to_pylist`.

    Equal values of a category are one object.
    """
    if isinstance(column, pa.ChunkedArray):
        if not len(column):
            return []
        column = column.unify_dictionaries().combine_chunks()
    if pa.types.is_dictionary(column.type):
        words = [*column.dictionary.to_pylist(), None]
        indices = column.indices.fill_null(len(words) - 1).to_pylist()
        return [words[index] for index in indices]
    if pa.types.is_list(column.type) and pa.types.is_integer(column.type.value_type) and not column.null_count:
        offsets = (column.offsets.to_numpy() - column.offsets[0].as_py()).tolist()
        numbers = column.flatten().to_numpy(zero_copy_only=False).tolist()
        return [numbers[begin:end] for begin, end in itertools.pairwise(offsets)]
    if pa.types.is_primitive(column.type) and not pa.types.is_boolean(column.type) and not column.null_count:
        return column.to_numpy().tolist()  # type: ignore[no-any-return]
    return column.to_pylist()  # type: ignore[no-any-return]


PHASES = Phases.__struct_fields__
"""Columns of `calls` that the phases of a call are made of."""
VIEWS_OF_CALL = ("client_exchange", "server_exchange", "other_exchanges")
"""Columns that name the views of a call."""
_UNUSED_COLUMNS = frozenset(
    ("question", "server_start_ns", "server_end_ns", "request_bytes", "response_bytes", "retransmitted", "notes")
)


def _decode_attributes(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        raise UserError("the case is damaged: attributes of a call are not a JSON object; make it again") from None


def _evidences(claims: Claims) -> list[Sequence[Evidence]]:
    """The evidence of each of some calls."""
    columns = (plain_list(claims.table.column(name)) for name in ("kind", "weight", "detail"))
    every = [Evidence(*values) for values in zip(*columns, strict=True)]
    return [every[begin:end] if begin < end else () for begin, end in itertools.pairwise(claims.bounds.tolist())]


def _alternatives(claims: Claims) -> list[Sequence[Alternative]]:
    """The runners-up of each of some calls."""
    columns = (plain_list(claims.table.column(name)) for name in ("parent", "confidence"))
    every = [Alternative(parent or None, confidence) for parent, confidence in zip(*columns, strict=True)]
    return [every[begin:end] if begin < end else () for begin, end in itertools.pairwise(claims.bounds.tolist())]


class _ViewsOfCalls:
    """Views by row of `calls`, read from the rows of `exchanges` that the calls name."""

    def __init__(self, case: Case) -> None:
        self._exchanges = RowReader(case, "exchanges", VIEW_COLUMNS)

    def of(self, calls: pa.Table) -> list[list[View]]:
        """The views of the calls in `calls`: the caller's, the callee's, then the others."""
        clients = plain_list(calls.column("client_exchange"))
        servers = plain_list(calls.column("server_exchange"))
        others = plain_list(calls.column("other_exchanges"))
        rows = np.array(
            [
                *(row for row in clients if row >= 0),
                *(row for row in servers if row >= 0),
                *(row for more in others if more for row in more),
            ],
            dtype=np.int64,
        )
        if len(rows) and (rows.max() >= len(self._exchanges) or rows.min() < 0):
            raise UserError("the case is damaged: a call names an exchange that does not exist; make it again")
        views = self._views(rows)
        as_client = iter(views)
        as_server = iter(views[sum(row >= 0 for row in clients) :])
        as_other = iter(views[sum(row >= 0 for row in clients) + sum(row >= 0 for row in servers) :])
        result = []
        for client, server, more in zip(clients, servers, others, strict=True):
            call_views = []
            if client >= 0:
                call_views.append(next(as_client))
            if server >= 0:
                view = next(as_server)
                view.role = "server"
                call_views.append(view)
            for _ in more or ():
                view = next(as_other)
                view.role = "other"
                call_views.append(view)
            result.append(call_views)
        return result

    def _views(self, rows: NDArray[np.int64]) -> list[View]:
        """One view for each of the exchanges in `rows`, in the role of a caller's."""
        taken = self._exchanges.take(rows)
        return [
            View(
                capture or "",
                "client",
                request_start if request_start >= 0 else response_start,
                response_end if response_end >= 0 else request_end,
                Part(request_frames, request_bytes) if request_start >= 0 else None,
                Part(response_frames, response_bytes) if response_start >= 0 else None,
            )
            for (
                capture,
                request_start,
                request_end,
                response_start,
                response_end,
                request_bytes,
                response_bytes,
                request_frames,
                response_frames,
            ) in zip(*(plain_list(taken.column(name)) for name in VIEW_COLUMNS), strict=True)
        ]
