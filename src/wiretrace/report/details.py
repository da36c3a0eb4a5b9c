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

from wiretrace.report.block import Block
from wiretrace.report.grouping import plain
from wiretrace.report.order import TreeOrder
from wiretrace.report.trees import confidence_steps

CALLS_PER_BLOCK = 4096
"""Calls whose details are decoded together: some milliseconds in the browser."""

FRAMES_KEPT = 100
"""Frames of one request or response that are listed one by one."""

WEIGHT_STEPS = 1000
"""Weights of evidence are stored in thousandths."""

_CALL_TEXTS = ("attributes", "client_address", "client_host", "server_address", "server_host")
_CALL_NUMBERS = ("client_port", "server_port", "request_bytes", "response_bytes")
_CALL_LISTS = ("notes", "possible")
_VIEW_TEXTS = ("capture", "client_address", "server_address", "proof")
_VIEW_NUMBERS = ("client_port", "server_port", "request_bytes", "response_bytes")


class _Owned:
    """Rows that belong to calls: sorted by the place of their call, with the bounds of each place."""

    def __init__(self, table: pa.Table, owners: NDArray[np.int64], ranks: NDArray[Any], call_count: int) -> None:
        known = np.flatnonzero(owners >= 0)
        sequence = known[np.lexsort((ranks[known], owners[known]))]
        self.table = table.take(pa.array(sequence))
        self.owners = owners[sequence]
        self.counts = np.bincount(self.owners, minlength=call_count)
        self._bounds = np.append(0, np.cumsum(self.counts))

    def part(self, first: int, end: int) -> tuple[pa.Table, NDArray[np.int64]]:
        """The rows of the places from `first` to before `end`, and the places they belong to."""
        low, high = int(self._bounds[first]), int(self._bounds[end])
        return self.table.slice(low, high - low), self.owners[low:high]


def details_blocks(
    order: TreeOrder, calls: pa.Table, exchanges: pa.Table, links: pa.Table, evidence: pa.Table
) -> Iterator[Block]:
    """The blocks of details, in the order of the report."""
    call_count = len(order.rows)
    in_order = calls.select([*_CALL_TEXTS, *_CALL_NUMBERS, *_CALL_LISTS]).take(pa.array(order.rows))
    views = _views(order, calls, exchanges)
    candidates = _claims(order, calls["id"], links, links["rank"].to_numpy())
    reasons = _claims(order, calls["id"], evidence, -evidence["weight"].to_numpy())
    for first in range(0, call_count, CALLS_PER_BLOCK):
        end = min(first + CALLS_PER_BLOCK, call_count)
        block = Block()
        _put_calls(block, in_order.slice(first, end - first))
        for name, owned in (("views", views), ("candidates", candidates), ("reasons", reasons)):
            block.numbers(name, owned.counts[first:end])
        _put_views(block, views.part(first, end)[0])
        _put_candidates(block, *candidates.part(first, end))
        _put_reasons(block, *reasons.part(first, end))
        yield block


def _put_calls(block: Block, calls: pa.Table) -> None:
    for name in _CALL_TEXTS:
        block.text(name, calls[name])
    for name in _CALL_NUMBERS:
        block.numbers(name, calls[name].to_numpy())
    for name in _CALL_LISTS:
        block.numbers(name, _lengths(calls[name]))
        block.text(f"{name}_values", pc.list_flatten(calls[name]))


def _put_views(block: Block, views: pa.Table) -> None:
    for name in _VIEW_TEXTS:
        block.text(f"view_{name}", views[name])
    for name in _VIEW_NUMBERS:
        block.numbers(f"view_{name}", views[name].to_numpy())
    block.numbers("view_role", views["role"].to_numpy())
    for name in ("request_frames", "response_frames"):
        kept = pc.list_slice(views[name], 0, FRAMES_KEPT)
        block.numbers(f"{name}_total", _lengths(views[name]))
        block.numbers(name, _lengths(kept))
        block.numbers(f"{name}_values", pc.list_flatten(kept).to_numpy(), steps=True)


def _put_candidates(block: Block, candidates: pa.Table, owners: NDArray[np.int64]) -> None:
    _put_parent(block, "candidate_up", candidates, owners)
    block.text("candidate_basis", candidates["basis"])
    block.numbers("candidate_confidence", confidence_steps(candidates["confidence"]))


def _put_reasons(block: Block, reasons: pa.Table, owners: NDArray[np.int64]) -> None:
    _put_parent(block, "reason_up", reasons, owners)
    block.text("reason_kind", reasons["kind"])
    block.text("reason_detail", reasons["detail"])
    weights = np.nan_to_num(reasons["weight"].to_numpy()) * WEIGHT_STEPS
    block.numbers("reason_weight", np.clip(np.round(weights), -(2**31), 2**31 - 1).astype(np.int64))


def _put_parent(block: Block, name: str, claims: pa.Table, owners: NDArray[np.int64]) -> None:
    """The parent that each claim speaks of, as places up from its call; 0 where it speaks of having none."""
    parents = claims["parent_place"].to_numpy()
    block.numbers(name, np.where(parents >= 0, owners - parents, 0))


def _views(order: TreeOrder, calls: pa.Table, exchanges: pa.Table) -> _Owned:
    """What each vantage point saw of a call: role 0 at the caller, 1 at the callee, 2 elsewhere."""
    others = calls["other_exchanges"]
    rows = [
        calls["client_exchange"].to_numpy(),
        calls["server_exchange"].to_numpy(),
        pc.list_flatten(others).to_numpy(),
    ]
    owners = [order.places, order.places, np.repeat(order.places, _lengths(others))]
    roles = np.repeat(np.arange(3), [len(part) for part in rows])
    row, owner = np.concatenate(rows), np.concatenate(owners)
    seen = row >= 0
    columns = [*_VIEW_TEXTS, *_VIEW_NUMBERS, "request_frames", "response_frames"]
    table = exchanges.select(columns).take(pa.array(row[seen])).append_column("role", pa.array(roles[seen]))
    return _Owned(table, owner[seen], roles[seen], len(order.rows))


def _claims(order: TreeOrder, ids: pa.ChunkedArray, claims: pa.Table, ranks: NDArray[Any]) -> _Owned:
    """Rows of ``links`` or ``evidence`` by the place of their child, with the place of the parent they speak of."""
    child, parent = (_places(order, ids, claims[name]) for name in ("child", "parent"))
    return _Owned(claims.append_column("parent_place", pa.array(parent)), child, ranks, len(order.rows))


def _places(order: TreeOrder, ids: pa.ChunkedArray, named: pa.ChunkedArray) -> NDArray[np.int64]:
    """The place of each call that is named; -1 where the name is null or no call's."""
    found = pc.index_in(plain(named), value_set=plain(ids))
    row = np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
    return np.where(row >= 0, order.places[row], -1) if len(order.places) else row


def _lengths(lists: pa.ChunkedArray) -> NDArray[np.int64]:
    """Length of each list; 0 for null."""
    return np.asarray(pc.fill_null(pc.list_value_length(lists), 0).to_numpy(), dtype=np.int64)
