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
import pyarrow.compute as pc

from wiretrace.case.forest import in_order
from wiretrace.model.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

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


def call_records(case: Case, order: pa.Array | None = None) -> Iterator[CallRecord]:
    """All calls of a case, sorted by start and then by id; or the rows of `calls` named by `order`, in that order.

    Raises UserError if the case contradicts itself (attributes that are not JSON, rows that do not exist).
    """
    calls = case.table("calls")
    if order is None:
        order = in_order(calls)
    evidence = _EvidenceOfCalls(case)
    views = _ViewsOfCalls(case)
    attributes_seen: dict[str | None, dict[str, Any]] = {None: {}, "": {}, "{}": {}}
    for start in range(0, len(order), SLICE_ROWS):
        rows = order.slice(start, SLICE_ROWS)
        part = calls.take(rows)
        values = {name: plain_list(part.column(name)) for name in part.column_names if name not in _UNUSED_COLUMNS}
        numbers = rows.to_numpy().astype(np.int64)
        evidences, alternatives = evidence.evidence(numbers), evidence.alternatives(numbers)
        call_views = views.of(part)
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


_UNUSED_COLUMNS = frozenset(
    (
        "question",
        "server_start_ns",
        "server_end_ns",
        "client_exchange",
        "server_exchange",
        "other_exchanges",
        "request_bytes",
        "response_bytes",
        "notes",
    )
)


def _decode_attributes(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        raise UserError("the case is damaged: attributes of a call are not a JSON object; make it again") from None


def _groups(keys: NDArray[np.int64], count: int) -> tuple[list[int], NDArray[np.int64]]:
    """Rows by key: the rows of key k are ``order[offsets[k]:offsets[k + 1]]``, in their order. Negative keys are dropped."""
    order = np.argsort(keys, kind="stable")
    offsets = np.searchsorted(keys[order], np.arange(count + 1))
    return order.tolist(), offsets


def _positions(column: pa.ChunkedArray, ids: pa.ChunkedArray) -> NDArray[np.int64]:
    """Row of each value of `column` in `ids`; -1 for null and for what is not there."""
    found = pc.index_in(column, value_set=ids, skip_nulls=True).fill_null(-1)
    return np.asarray(found.to_numpy(), dtype=np.int64)


class _EvidenceOfCalls:
    """Evidence and runners-up by row of `calls`."""

    def __init__(self, case: Case) -> None:
        calls, links, evidence = case.table("calls"), case.table("links"), case.table("evidence")
        ids = calls.column("id")
        runners_up = links.filter(pc.greater(links.column("rank"), 0)).sort_by("rank")
        self._links, self._link_offsets = _groups(_positions(runners_up.column("child"), ids), len(calls))
        self._link_parent = plain_list(runners_up.column("parent"))
        self._link_confidence = plain_list(runners_up.column("confidence"))
        child = _positions(evidence.column("child"), ids)
        chosen = np.append(_positions(calls.column("parent"), ids), -2)[child]
        is_for_chosen = _positions(evidence.column("parent"), ids) == chosen
        self._items, self._item_offsets = _groups(np.where(is_for_chosen & (chosen >= 0), child, -1), len(calls))
        self._kind = plain_list(evidence.column("kind"))
        self._weight = plain_list(evidence.column("weight"))
        self._detail = plain_list(evidence.column("detail"))

    def evidence(self, rows: NDArray[np.int64]) -> list[Sequence[Evidence]]:
        """Evidence for the chosen parent of each of the calls in `rows`."""
        kind, weight, detail, items = self._kind, self._weight, self._detail, self._items
        bounds = zip(self._item_offsets[rows].tolist(), self._item_offsets[rows + 1].tolist(), strict=True)
        return [
            [Evidence(kind[item], weight[item], detail[item]) for item in items[begin:end]] if begin < end else ()
            for begin, end in bounds
        ]

    def alternatives(self, rows: NDArray[np.int64]) -> list[Sequence[Alternative]]:
        """The runners-up of each of the calls in `rows`."""
        parent, confidence, links = self._link_parent, self._link_confidence, self._links
        bounds = zip(self._link_offsets[rows].tolist(), self._link_offsets[rows + 1].tolist(), strict=True)
        return [
            [Alternative(parent[link] or None, confidence[link]) for link in links[begin:end]] if begin < end else ()
            for begin, end in bounds
        ]


class _ViewsOfCalls:
    """Views by row of `calls`, read from the rows of `exchanges` that the calls name."""

    def __init__(self, case: Case) -> None:
        self._exchanges = case.table("exchanges").select(VIEW_COLUMNS)

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
