"""Connections: how every pool is used, and the connections themselves with their health.

A *pool* is the connections of one client host to one port of one server as one vantage point saw them. Pools are counted
over all connections; of the connections the page holds `CONNECTIONS_KEPT`, those that went wrong and the busiest first.
"""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wiretrace.case.reader import Case
from wiretrace.diagnosis.names import distinct
from wiretrace.report.block import Block

CONNECTIONS_KEPT = 20_000
"""Connections that the page holds."""
POOLS_KEPT = 2_000
"""Pools that the page holds, those with most exchanges."""

COLUMNS = (
    *("capture", "protocol", "client_address", "client_port", "server_address", "server_port", "opened_ns"),
    *("closed_ns", "handshake", "ended", "handshake_rtt_ns", "client_bytes", "server_bytes", "client_lost_bytes"),
    *("server_lost_bytes", "retransmitted_segments", "out_of_order_segments", "zero_windows", "exchanges"),
)
"""Columns of the table `connections` that are read."""
COUNTED = (
    *("exchanges", "client_bytes", "server_bytes", "retransmitted_segments", "out_of_order_segments"),
    *("zero_windows", "lost_bytes"),
)
"""What is added up over the connections of a pool."""
WENT_WRONG = ("client_reset", "server_reset", "refused", "unanswered")
"""Ways to end that are told apart in the pools."""


class Connections(NamedTuple):
    """What the page says of connections."""

    pools: list[dict[str, Any]]
    """The pools, ready for JSON."""
    block: Block
    """One row a connection that is held, in the order of their opening."""
    kept: int
    """How many those are."""
    total: int
    """How many the case has."""


class _Columns(NamedTuple):
    """All connections of a case. Times are on the common time line, in nanoseconds. Arrays have shape (n,)."""

    table: pa.Table
    opened: NDArray[np.int64]
    closed: NDArray[np.int64]
    numbers: dict[str, NDArray[np.int64]]


def connections(case: Case, origin: int) -> Connections:
    """Pools and connections. Times count from `origin`. Raises UserError if the case is damaged."""
    columns = _read(case, origin)
    count = len(columns.opened)
    if not count:
        return Connections([], _block(columns, np.zeros(0, np.int64), np.zeros(0, np.int64)), 0, 0)
    words = {name: _codes(columns.table, name) for name in ("capture", "client_address", "server_address", "ended")}
    keys = [words["capture"], words["client_address"], words["server_address"]]
    ports = columns.table["server_port"].to_numpy().clip(0)  # in a case that somebody made: any number
    group, first = distinct([*keys, ports, _codes(columns.table, "protocol")])
    order = np.argsort(-np.bincount(group, columns.numbers["exchanges"], len(first)), kind="stable")
    rank = np.empty(len(first), np.int64)
    rank[order] = np.arange(len(first))
    pool = rank[group]
    pools = _pools(columns, pool, first[order], words["ended"])
    rows = np.sort(_chosen(columns, words["ended"]))
    rows = rows[np.argsort(columns.opened[rows], kind="stable")]
    return Connections(pools[:POOLS_KEPT], _block(columns, rows, pool), len(rows), count)


def _read(case: Case, origin: int) -> _Columns:
    table = case.columns("connections", COLUMNS).combine_chunks()
    offset = _clock_offsets(case)
    captures = table["capture"].combine_chunks()
    names = captures.dictionary.to_pylist() if len(table) else []
    shift = np.array([round(offset.get(name, 0.0)) for name in names] or [0], np.int64)
    shifts = shift[captures.indices.to_numpy()] if len(table) else np.zeros(0, np.int64)
    numbers = {name: table[name].to_numpy() for name in COUNTED if name != "lost_bytes"}
    numbers["lost_bytes"] = table["client_lost_bytes"].to_numpy() + table["server_lost_bytes"].to_numpy()
    return _Columns(
        table,
        table["opened_ns"].to_numpy() - shifts - origin,
        table["closed_ns"].to_numpy() - shifts - origin,
        numbers,
    )


def _clock_offsets(case: Case) -> dict[str, float]:
    """By capture, what its clock shows minus the common time line; captures of unknown clocks are left out."""
    hosts = case.table("hosts")
    return {
        capture: offset
        for captures, offset in zip(hosts["captures"].to_pylist(), hosts["clock_offset_ns"].to_pylist(), strict=True)
        for capture in captures or []
        if offset is not None
    }


def _pools(
    columns: _Columns, pool: NDArray[np.int64], firsts: NDArray[np.int64], ended: NDArray[np.int64]
) -> list[dict[str, Any]]:
    """The figures of each pool; `firsts` holds a row of each."""
    count = len(firsts)
    sums = {name: np.bincount(pool, columns.numbers[name], count).astype(np.int64) for name in COUNTED}
    members = np.bincount(pool, minlength=count)
    midway = np.bincount(pool, ~columns.table["handshake"].to_numpy(zero_copy_only=False), count).astype(np.int64)
    endings = columns.table["ended"].combine_chunks().dictionary.to_pylist()
    wrong = {
        name: np.bincount(pool, ended == (endings.index(name) if name in endings else -1), count).astype(np.int64)
        for name in WENT_WRONG
    }
    lasted = columns.closed - columns.opened
    rtt = columns.table["handshake_rtt_ns"].to_numpy()
    heads = columns.table.take(pa.array(firsts)).select(
        ["capture", "protocol", "client_address", "server_address", "server_port"]
    )
    most = _most_at_once(columns, pool, count)
    medians = {"lasted": _medians(lasted, pool, count), "rtt": _medians(np.where(rtt < 0, np.nan, rtt), pool, count)}
    figures = {"connections": members, "midway": midway, "most": most, **sums, **wrong, **medians}
    return [
        head | {name: int(values[number]) for name, values in figures.items()}
        for number, head in enumerate(heads.to_pylist())
    ]


def _medians(values: NDArray[Any], pool: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The median of the known values of each pool; -1 where none is known."""
    known = np.flatnonzero(~np.isnan(values)) if values.dtype.kind == "f" else np.arange(len(values))
    order = known[np.lexsort((values[known], pool[known]))]
    sizes = np.bincount(pool[known], minlength=count)
    first = np.cumsum(sizes) - sizes
    found = np.full(count, -1, np.int64)
    has = sizes > 0
    found[has] = values[order[first[has] + (sizes[has] - 1) // 2]]
    return found


def _most_at_once(columns: _Columns, pool: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The most connections of each pool that were open at the same time."""
    pools = np.concatenate([pool, pool])
    times = np.concatenate([columns.opened, columns.closed])
    step = np.repeat(np.array([1, -1], np.int64), len(pool))
    order = np.lexsort((-step, times, pools))
    level = np.cumsum(step[order])  # every pool ends at the level at which it began: 0
    most = np.zeros(count, np.int64)
    np.maximum.at(most, pools[order], level)
    return most


def _chosen(columns: _Columns, ended: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of the connections that the page holds."""
    if len(ended) <= CONNECTIONS_KEPT:
        return np.arange(len(ended))
    endings = columns.table["ended"].combine_chunks().dictionary.to_pylist()
    is_wrong = np.isin(ended, [number for number, name in enumerate(endings) if name in WENT_WRONG])
    is_wrong |= columns.numbers["lost_bytes"] > 0
    order = np.lexsort((-columns.numbers["exchanges"], -columns.numbers["retransmitted_segments"], ~is_wrong))
    return order[:CONNECTIONS_KEPT]


def _block(columns: _Columns, rows: NDArray[np.int64], pool: NDArray[np.int64]) -> Block:
    """The connections in `rows`; `row` is the number by which calls name them."""
    table = columns.table.take(pa.array(rows))
    block = Block()
    block.numbers("row", rows, steps=True)
    block.numbers("pool", pool[rows] if len(rows) else rows)
    block.numbers("opened", columns.opened[rows], steps=True)
    block.numbers("lasted", (columns.closed - columns.opened)[rows])
    for name in ("capture", "protocol", "client_address", "server_address", "ended"):
        block.text(name, table[name])
    for name in ("client_port", "server_port", "handshake_rtt_ns"):
        block.numbers(name, table[name].to_numpy())
    block.numbers("handshake", pc.cast(table["handshake"], pa.uint8()).to_numpy())
    for name in COUNTED:
        block.numbers(name, columns.numbers[name][rows])
    return block


def _codes(table: pa.Table, name: str) -> NDArray[np.int64]:
    """The number of each word of a category column. Shape (n,)."""
    column = table[name].combine_chunks()
    return np.asarray(column.indices.fill_null(0).to_numpy(), np.int64)
