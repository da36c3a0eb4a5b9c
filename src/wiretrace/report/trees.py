"""The blocks ``trees`` and ``calls``: what lists, filters and waterfalls need, decoded as soon as the page is up.

Calls stand in the order of `order.TreeOrder`. A call's start is stored from the start of its tree, and its parent as the
number of places up, so that the columns hold small numbers.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wiretrace.case.forest import following
from wiretrace.case.rows import RowReader
from wiretrace.model.errors import UserError
from wiretrace.report.block import Block
from wiretrace.report.grouping import HeldFigures
from wiretrace.report.order import TreeOrder

CONFIDENCE_STEPS = 10_000
"""Confidence is stored in steps of one ten-thousandth; -1 stands for none."""


PARTS = {
    "opening": ("lookup_ns", "connect_ns", "tls_ns"),
    "send": ("request_ns",),
    "receive": ("response_ns",),
    "stalled": ("retransmission_ns", "zero_window_ns"),
}
"""Parts of a call's time that its bar shows, and the columns that each adds up."""
PARTS_SUMMED = tuple(name for names in PARTS.values() for name in names)

CALL_COLUMNS = (
    *("id", "start_ns", "server_start_ns", "server_end_ns", "client_exchange", "server_exchange", "confidence"),
    *("question", "basis", "relation", "protocol", "operation", "summary", "status", "outcome"),
    *("server_host", "server_address"),
    *("client_host", "client_address", *PARTS_SUMMED),
)
"""Columns of the table `calls` that are read."""
EXCHANGE_COLUMNS = ("connection",)
"""Columns of the table `exchanges` that are read of the caller's view, or of the callee's where that is missing."""


def trees_block(order: TreeOrder, trees: pa.Table, figures: HeldFigures, origin_ns: int) -> Block:
    """One row a tree, by start. Times are nanoseconds; `start` counts from `origin_ns`."""
    tree_of_place = np.repeat(np.arange(len(order.trees)), order.call_counts)

    def count(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(tree_of_place, mask, len(order.trees)).astype(np.int64)

    block = Block()
    block.numbers("first", order.first_places, steps=True)
    block.numbers("calls", order.call_counts)
    block.numbers("errors", count(figures.error))
    block.numbers("unknown", count(figures.unknown))
    block.numbers("questions", count(figures.question))
    block.numbers("start", trees["start_ns"].to_numpy()[order.trees] - origin_ns, steps=True)
    block.numbers("duration", trees["duration_ns"].to_numpy()[order.trees])
    block.numbers("confidence", confidence_steps(trees["confidence"])[order.trees])
    return block


def calls_block(
    order: TreeOrder,
    calls: pa.Table,
    trees: pa.Table,
    figures: HeldFigures,
    exchanges: RowReader,
    connections: NDArray[np.int64],
) -> Block:
    """One row a call, in the order of the report; `calls` holds `CALL_COLUMNS` of them.

    `exchanges` reads `EXCHANGE_COLUMNS`, and `connections` are the numbers of the connections, by row.
    Raises UserError if the case is damaged.
    """
    start_ns = calls["start_ns"].to_numpy()
    server_start_ns = calls["server_start_ns"].to_numpy()
    server_end_ns = calls["server_end_ns"].to_numpy()
    tree_start_ns = np.repeat(trees["start_ns"].to_numpy()[order.trees], order.call_counts)
    both_sides = (server_start_ns >= 0) & (server_end_ns >= 0) & (calls["client_exchange"].to_numpy() >= 0)

    block = Block()
    block.text("id", calls["id"])
    block.numbers("depth", order.depths)
    block.numbers("up", np.where(order.parents >= 0, np.arange(len(calls)) - order.parents, 0))
    block.numbers("start", start_ns - tree_start_ns)
    block.numbers("duration", figures.duration_ns)
    block.numbers("serverStart", np.where(both_sides, server_start_ns - start_ns, 0))
    block.numbers("serverDuration", np.where(both_sides, server_end_ns - server_start_ns, -1))
    block.numbers("confidence", confidence_steps(calls["confidence"]))
    block.numbers("question", calls["question"].to_numpy().astype(np.uint8))
    block.numbers("follows", following(calls["relation"]).astype(np.uint8))
    for name in ("basis", "protocol", "operation", "summary", "status", "outcome"):
        block.text(name, calls[name])
    block.numbers("connection", _connections(calls, exchanges, connections))
    for name, columns_summed in PARTS.items():
        total = np.zeros(len(calls), np.int64)
        for column in columns_summed:
            total += calls[column].to_numpy()
        block.numbers(name, total)
    for side in ("client", "server"):
        block.text(f"{side}At", instances(calls, side))
    parties = pa.array(figures.parties, pa.string())
    for name, codes in (("client", figures.caller), ("server", figures.callee)):
        block.text(name, pa.DictionaryArray.from_arrays(pa.array(codes), parties))
    return block


def instances(calls: pa.Table, side: str) -> pa.ChunkedArray:
    """Where the process ran that made ("client") or served ("server") each call: its host, or its address."""
    hosts = calls[f"{side}_host"].cast(pa.string())
    addresses = calls[f"{side}_address"].cast(pa.string())
    return pc.if_else(pc.fill_null(pc.not_equal(hosts, ""), False), hosts, addresses)


def _connections(calls: pa.Table, exchanges: RowReader, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row of the connection that carried each call, as the caller's host saw it, or else the callee's; -1 for none."""
    client, server = calls["client_exchange"].to_numpy(), calls["server_exchange"].to_numpy()
    view = np.where(client >= 0, client, server)
    is_seen = view >= 0
    if len(view) and int(view.max()) >= len(exchanges):
        raise UserError("the case is damaged: a call names an exchange that does not exist; make it again")
    connection = np.full(len(view), -1, np.int64)
    if not len(numbers):
        return connection
    named = exchanges.take(view[is_seen])["connection"].to_numpy()
    order = np.argsort(numbers, kind="stable")
    place = np.minimum(np.searchsorted(numbers[order], named), len(numbers) - 1)
    connection[is_seen] = np.where(numbers[order][place] == named, order[place], -1)
    return connection


def confidence_steps(confidence: pa.ChunkedArray) -> NDArray[np.int64]:
    """Probabilities as whole steps; -1 for null."""
    values = confidence.to_numpy() * CONFIDENCE_STEPS
    return np.asarray(np.nan_to_num(np.round(values), nan=-1), dtype=np.int64)
