"""The blocks ``trees`` and ``calls``: what lists, filters and waterfalls need, decoded as soon as the page is up.

Calls stand in the order of `order.TreeOrder`. A call's start is stored from the start of its tree, and its parent as the
number of places up, so that the columns hold small numbers.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wiretrace.case.rows import RowReader
from wiretrace.model.errors import UserError
from wiretrace.report.block import Block
from wiretrace.report.grouping import CallFigures
from wiretrace.report.order import TreeOrder

CONFIDENCE_STEPS = 10_000
"""Confidence is stored in steps of one ten-thousandth; -1 stands for none."""


CALL_COLUMNS = (
    *("id", "start_ns", "server_start_ns", "server_end_ns", "client_exchange", "server_exchange", "confidence"),
    *("question", "basis", "protocol", "operation", "summary", "status", "outcome", "server_host", "server_address"),
    *("server_port", "client_host", "client_address"),
)
"""Columns of the table `calls` that are read."""
EXCHANGE_COLUMNS = ("connection", "request_start_ns", "request_end_ns", "response_start_ns", "response_end_ns")
"""Columns of the table `exchanges` that are read of the caller's view, or of the callee's where that is missing."""


def trees_block(
    order: TreeOrder, rows: NDArray[np.integer[Any]], trees: pa.Table, figures: CallFigures, origin_ns: int
) -> Block:
    """One row a tree, by start. Times are nanoseconds; `start` counts from `origin_ns`.

    `rows` are the rows of the table `calls` at each place of `order`.
    """
    tree_of_place = np.repeat(np.arange(len(order.trees)), order.call_counts)

    def count(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(tree_of_place, mask[rows], len(order.trees)).astype(np.int64)

    block = Block()
    block.numbers("first", order.first_places, steps=True)
    block.numbers("calls", order.call_counts)
    block.numbers("errors", count(figures.error))
    block.numbers("unknown", count(figures.unknown))
    block.numbers("questions", count(figures.columns.question))
    block.numbers("start", trees["start_ns"].to_numpy()[order.trees] - origin_ns, steps=True)
    block.numbers("duration", trees["duration_ns"].to_numpy()[order.trees])
    block.numbers("confidence", confidence_steps(trees["confidence"])[order.trees])
    return block


def calls_block(
    order: TreeOrder,
    rows: NDArray[np.integer[Any]],
    calls: pa.Table,
    trees: pa.Table,
    figures: CallFigures,
    exchanges: RowReader,
) -> Block:
    """One row a call, in the order of the report; `calls` holds `CALL_COLUMNS` of the calls at `rows`.

    `exchanges` reads `EXCHANGE_COLUMNS`. Raises UserError if the case is damaged.
    """
    start_ns = calls["start_ns"].to_numpy()
    server_start_ns = calls["server_start_ns"].to_numpy()
    server_end_ns = calls["server_end_ns"].to_numpy()
    tree_start_ns = np.repeat(trees["start_ns"].to_numpy()[order.trees], order.call_counts)
    both_sides = (server_start_ns >= 0) & (server_end_ns >= 0) & (calls["client_exchange"].to_numpy() >= 0)
    columns = figures.columns

    block = Block()
    block.text("id", calls["id"])
    block.numbers("depth", order.depths)
    block.numbers("up", np.where(order.parents >= 0, np.arange(len(rows)) - order.parents, 0))
    block.numbers("start", start_ns - tree_start_ns)
    block.numbers("duration", figures.duration_ns[rows])
    block.numbers("serverStart", np.where(both_sides, server_start_ns - start_ns, 0))
    block.numbers("serverDuration", np.where(both_sides, server_end_ns - server_start_ns, -1))
    block.numbers("confidence", confidence_steps(calls["confidence"]))
    block.numbers("question", calls["question"].to_numpy().astype(np.uint8))
    for name in ("basis", "protocol", "operation", "summary", "status", "outcome"):
        block.text(name, calls[name])
    _put_view(block, calls, exchanges)
    for side in ("client", "server"):
        block.text(f"{side}At", instances(calls, side))
    parties = pa.array(columns.parties, pa.string())
    callee = columns.callee_of_kind[columns.kind[rows]]
    for name, codes in (("client", columns.caller[rows]), ("server", callee)):
        block.text(name, pa.DictionaryArray.from_arrays(pa.array(codes), parties))
    return block


def instances(calls: pa.Table, side: str) -> pa.ChunkedArray:
    """Where the process ran that made ("client") or served ("server") each call: its host, or its address."""
    hosts = calls[f"{side}_host"].cast(pa.string())
    addresses = calls[f"{side}_address"].cast(pa.string())
    return pc.if_else(pc.fill_null(pc.not_equal(hosts, ""), False), hosts, addresses)


def _put_view(block: Block, calls: pa.Table, exchanges: RowReader) -> None:
    """Which connection carried each call, and how long sending and receiving took, as the caller's host saw it."""
    client, server = calls["client_exchange"].to_numpy(), calls["server_exchange"].to_numpy()
    view = np.where(client >= 0, client, server)
    is_seen = view >= 0
    if len(view) and int(view.max()) >= len(exchanges):
        raise UserError("the case is damaged: a call names an exchange that does not exist; make it again")
    seen = exchanges.take(view[is_seen])

    def lasted(what: str) -> NDArray[np.int64]:
        start, end = seen[f"{what}_start_ns"].to_numpy(), seen[f"{what}_end_ns"].to_numpy()
        lengths = np.zeros(len(view), np.int64)
        lengths[is_seen] = np.where((start >= 0) & (end >= start), end - start, 0)
        return lengths

    connection = np.full(len(view), -1, np.int64)
    connection[is_seen] = seen["connection"].to_numpy()
    block.numbers("connection", connection)
    block.numbers("send", lasted("request"))
    block.numbers("receive", lasted("response"))


def confidence_steps(confidence: pa.ChunkedArray) -> NDArray[np.int64]:
    """Probabilities as whole steps; -1 for null."""
    values = confidence.to_numpy() * CONFIDENCE_STEPS
    return np.asarray(np.nan_to_num(np.round(values), nan=-1), dtype=np.int64)
