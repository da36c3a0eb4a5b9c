"""The blocks ``details-0``, ``details-1``, ...: what only an opened call shows, decoded when it is opened.

Each holds the calls of `CALLS_PER_BLOCK` places: attributes, notes, endpoints, the views of every vantage point with
their frames, and the candidates for the parent with the evidence. Lists are stored as a length per row and one column
of all values. Frame lists are cut at `FRAMES_KEPT`; the page says so, and how many there are.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wiretrace.case.calls import VIEWS_OF_CALL
from wiretrace.case.claims import ClaimRows, Claims
from wiretrace.case.ids import RowsOfIds
from wiretrace.case.reader import Case
from wiretrace.case.rows import RowReader
from wiretrace.model.errors import UserError
from wiretrace.report.block import Block
from wiretrace.report.trees import confidence_steps

CALLS_PER_BLOCK = 4096
"""Calls whose details are decoded together: some milliseconds in the browser."""

FRAMES_KEPT = 100
"""Frames of one request or response that are listed one by one."""

WEIGHT_STEPS = 1000
"""Weights of evidence are stored in thousandths."""

_CALL_TEXTS = ("attributes", "client_address", "client_host", "server_address", "server_host")
_CALL_NUMBERS = (
    *("client_port", "server_port", "request_bytes", "response_bytes", "lookup_ns", "connect_ns", "tls_ns"),
    *("request_ns", "queued_ns", "network_ns", "server_ns", "response_ns", "retransmission_ns", "zero_window_ns"),
    *("retransmitted", "network_measured"),
)
_CALL_LISTS = ("notes", "possible")
_VIEW_TEXTS = ("capture", "client_address", "server_address", "proof")
_VIEW_NUMBERS = ("client_port", "server_port", "request_bytes", "response_bytes")
_VIEW_LISTS = ("request_frames", "response_frames")


def details_blocks(case: Case, rows: NDArray[np.integer[Any]]) -> Iterator[Block]:
    """The blocks of details of the calls in `rows`, in the order of the report. Raises UserError if the case is damaged."""
    read = [*_CALL_TEXTS, *_CALL_NUMBERS, *_CALL_LISTS]
    calls = RowReader(case, "calls", ["id", *read, *VIEWS_OF_CALL])
    exchanges = RowReader(case, "exchanges", [*_VIEW_TEXTS, *_VIEW_NUMBERS, *_VIEW_LISTS])
    places = _places(case, rows)
    candidates = ClaimRows(len(rows), RowReader(case, "links", ["parent", "rank", "basis", "confidence"]))
    for piece in case.pieces("links", ["child", "rank"]):
        place = places.rows(piece["child"])
        candidates.add(place, place >= 0, piece["rank"].to_numpy())
    reasons = ClaimRows(len(rows), RowReader(case, "evidence", ["parent", "kind", "detail", "weight"]))
    for piece in case.pieces("evidence", ["child", "weight"]):
        place = places.rows(piece["child"])
        reasons.add(place, place >= 0, -piece["weight"].to_numpy())
    for first in range(0, len(rows), CALLS_PER_BLOCK):
        part = calls.take(rows[first : first + CALLS_PER_BLOCK])
        end = first + len(part)
        block = Block()
        _put_calls(block, part)
        views, view_counts = _views(part, exchanges)
        block.numbers("views", view_counts)
        claims = {"candidates": candidates.claims(first, end), "reasons": reasons.claims(first, end)}
        for name, claimed in claims.items():
            block.numbers(name, np.diff(claimed.bounds))
        _put_views(block, views)
        _put_candidates(block, claims["candidates"], places, first)
        _put_reasons(block, claims["reasons"], places, first)
        yield block


def _put_calls(block: Block, calls: pa.Table) -> None:
    for name in _CALL_TEXTS:
        block.text(name, calls[name])
    for name in _CALL_NUMBERS:
        block.numbers(name, np.asarray(calls[name].to_numpy(), np.int64))
    for name in _CALL_LISTS:
        block.numbers(name, _lengths(calls[name]))
        block.text(f"{name}_values", pc.list_flatten(calls[name]))


def _put_views(block: Block, views: pa.Table) -> None:
    for name in _VIEW_TEXTS:
        block.text(f"view_{name}", views[name])
    for name in _VIEW_NUMBERS:
        block.numbers(f"view_{name}", views[name].to_numpy())
    block.numbers("view_role", views["role"].to_numpy())
    for name in _VIEW_LISTS:
        kept = pc.list_slice(views[name], 0, FRAMES_KEPT)
        block.numbers(f"{name}_total", _lengths(views[name]))
        block.numbers(name, _lengths(kept))
        block.numbers(f"{name}_values", pc.list_flatten(kept).to_numpy(), steps=True)


def _put_candidates(block: Block, candidates: Claims, places: RowsOfIds, first: int) -> None:
    _put_parent(block, "candidate_up", candidates, places, first)
    parents = candidates.table["parent"]
    is_elsewhere = pa.array(places.rows(parents) < 0)
    block.text("candidate_elsewhere", pc.if_else(is_elsewhere, parents, pa.scalar("", pa.string())))
    block.numbers("candidate_rank", candidates.table["rank"].to_numpy())
    block.text("candidate_basis", candidates.table["basis"])
    block.numbers("candidate_confidence", confidence_steps(candidates.table["confidence"]))


def _put_reasons(block: Block, reasons: Claims, places: RowsOfIds, first: int) -> None:
    _put_parent(block, "reason_up", reasons, places, first)
    block.text("reason_kind", reasons.table["kind"])
    block.text("reason_detail", reasons.table["detail"])
    weights = np.nan_to_num(reasons.table["weight"].to_numpy()) * WEIGHT_STEPS
    block.numbers("reason_weight", np.clip(np.round(weights), -(2**31), 2**31 - 1).astype(np.int64))


def _put_parent(block: Block, name: str, claims: Claims, places: RowsOfIds, first: int) -> None:
    """The parent that each claim speaks of, as places up from its call; 0 where it speaks of having none here."""
    owners = np.repeat(np.arange(first, first + len(claims.bounds) - 1), np.diff(claims.bounds))
    parents = places.rows(claims.table["parent"])
    block.numbers(name, np.where(parents >= 0, owners - parents, 0))


def _views(calls: pa.Table, exchanges: RowReader) -> tuple[pa.Table, NDArray[np.int64]]:
    """What each vantage point saw of calls, call by call: role 0 at the caller, 1 at the callee, 2 elsewhere.

    And how many saw each call, shape (n,).
    """
    owners = np.arange(len(calls))
    others = calls["other_exchanges"]
    rows = [
        calls["client_exchange"].to_numpy(),
        calls["server_exchange"].to_numpy(),
        pc.list_flatten(others).to_numpy(),
    ]
    role = np.repeat(np.arange(3), [len(part) for part in rows])
    row, owner = np.concatenate(rows), np.concatenate([owners, owners, np.repeat(owners, _lengths(others))])
    order = np.lexsort((role, owner))
    order = order[row[order] >= 0]
    if len(order) and int(row[order].max()) >= len(exchanges):
        raise UserError("the case is damaged: a call names an exchange that does not exist; make it again")
    views = exchanges.take(row[order]).append_column("role", pa.array(role[order]))
    return views, np.bincount(owner[order], minlength=len(calls))


def _places(case: Case, rows: NDArray[np.integer[Any]]) -> RowsOfIds:
    """The place of each call of the report, by its id."""
    ids = RowReader(case, "calls", ["id"])
    starts = range(0, len(rows), CALLS_PER_BLOCK)
    return RowsOfIds(lambda: (ids.take(rows[start : start + CALLS_PER_BLOCK])["id"] for start in starts))


def _lengths(lists: pa.ChunkedArray) -> NDArray[np.int64]:
    """Length of each list; 0 for null."""
    return np.asarray(pc.fill_null(pc.list_value_length(lists), 0).to_numpy(), dtype=np.int64)
