"""The table of calls and the table of hosts.

Rules: texts are taken over from the most complete view with Arrow's own kernels, never through Python objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from wiretrace.hosts.outcome import OUTCOMES
from wiretrace.hosts.views import category, mix, rank_within
from wiretrace.model.link_problem import MISSING
from wiretrace.model.schema import table_schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wiretrace.hosts.clocks import ClockEstimate
    from wiretrace.hosts.columns import CallTimes
    from wiretrace.hosts.merge import Roles
    from wiretrace.hosts.names import Services
    from wiretrace.hosts.outcome import Verdicts
    from wiretrace.hosts.vantage import Hosts
    from wiretrace.hosts.views import Views

CLAMPED = "clocks disagree: the callee's time was moved to the caller's"
TAKEN_OVER = ("summary", "attributes")
CATEGORIES_TAKEN_OVER = ("protocol", "operation", "status")
LINKING_FILLS = ("tree", "parent", "basis", "relation", "confidence", "question", "self_ns")
"""Columns of the table `calls` that are not known before linking."""


@dataclass(slots=True)
class CallFacts:
    """What is known of each call. Arrays have shape (calls,), in the order of the table."""

    identity: NDArray[np.uint64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    parts: dict[str, NDArray[np.int64]]
    """The columns that add up to the whole time."""
    measured: NDArray[np.bool_]
    """Whether network time was measured."""
    times: CallTimes
    verdicts: Verdicts
    clamped: NDArray[np.bool_]
    client_host: NDArray[np.int32]
    server_host: NDArray[np.int32]
    client_service: NDArray[np.int32]
    server_service: NDArray[np.int32]
    lookup: NDArray[np.int64]
    """Row of the view of the lookup that served its connection, whose first call it is; else -1."""
    resolution: NDArray[np.int64]
    """As `Lookups.resolution`."""


def identify(
    views: Views, roles: Roles, conversation: NDArray[np.uint64], raw_start: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """A number for each call that no other call has, made of its ends and sequence numbers, not of corrected times."""
    if not len(roles.primary):
        return np.zeros(0, dtype=np.uint64)
    row = np.where(roles.client >= 0, roles.client, roles.primary)
    seq = np.where(views.request_seq[row] >= 0, views.request_seq[row], ~views.response_seq[row])
    number = mix(31, conversation[row], seq)
    rank = rank_within(number, raw_start[row], views.connection[row], row)
    number = np.where(rank > 0, mix(32, number, rank), number)
    while not (number.all() and np.diff(np.sort(number)).all()):
        number = np.where((rank_within(number, row) > 0) | (number == 0), mix(33, number, row), number)
    return number


def texts(codes: NDArray[np.int32], names: Sequence[str]) -> pa.Array:
    """A category column of numbered texts; null where the number is negative."""
    mask = codes < 0
    indices = pa.array(np.where(mask, 0, codes).astype(np.int32), mask=mask if mask.any() else None)
    return pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string()))


def calls_table(
    exchanges: pa.Table,
    rows: NDArray[np.int64],
    views: Views,
    roles: Roles,
    facts: CallFacts,
    host_names: Sequence[str],
    service_names: Sequence[str],
) -> pa.Table:
    """The table `calls` without what linking fills, and with ids as numbers. Row i is call i.

    `rows` are the numbers of `exchanges` in the whole analysis. Texts of hosts and services are taken from the lists.
    """
    primary = roles.primary
    client_row = np.where(roles.client >= 0, roles.client, primary)
    server_row = np.where(roles.server >= 0, roles.server, primary)
    schema = table_schema("calls")
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        "id": pa.array(facts.identity),
        "outcome": texts(facts.verdicts.outcome, OUTCOMES),
        "possible": facts.verdicts.possible_column(),
        "client_address": texts(views.client[client_row], views.addresses),
        "client_port": pa.array(views.client_port[client_row], pa.int32()),
        "client_host": texts(facts.client_host, host_names),
        "client_service": texts(facts.client_service, service_names),
        "server_address": texts(views.server[server_row], views.addresses),
        "server_port": pa.array(views.server_port[server_row], pa.int32()),
        "server_host": texts(facts.server_host, host_names),
        "server_service": texts(facts.server_service, service_names),
        "start_ns": pa.array(facts.start),
        "end_ns": pa.array(facts.end),
        "server_start_ns": pa.array(np.where(facts.times.callee_start == MISSING, -1, facts.times.callee_start)),
        "server_end_ns": pa.array(server_end(views, roles, facts.times)),
        "client_exchange": pa.array(numbered(rows, roles.client)),
        "server_exchange": pa.array(numbered(rows, roles.server)),
        "other_exchanges": pa.ListArray.from_arrays(
            pa.array(roles.other_offsets.astype(np.int32)), pa.array(numbered(rows, roles.other_rows))
        ),
        "lookup_exchange": pa.array(numbered(rows, facts.lookup)),
        "request_bytes": pa.array(views.request_bytes[primary]),
        "response_bytes": pa.array(views.response_bytes[primary]),
        **{name: pa.array(part) for name, part in facts.parts.items()},
        "whole_ns": pa.array(sum(facts.parts.values(), np.zeros(len(primary), np.int64))),
        "network_measured": pa.array(facts.measured),
        "retransmitted": pa.array(most_retransmitted(exchanges, roles), pa.int32()),
        "notes": noted(exchanges.column("notes"), primary, facts.clamped),
    }
    indices = pa.array(primary)
    for name in TAKEN_OVER:
        columns[name] = exchanges.column(name).take(indices)
    for name in CATEGORIES_TAKEN_OVER:
        codes, names = category(exchanges, name)
        columns[name] = texts(codes[primary], names)
    return pa.table({name: columns[name] for name in schema.names if name not in LINKING_FILLS})


def most_retransmitted(exchanges: pa.Table, roles: Roles) -> NDArray[np.int32]:
    """Segments of each call that were sent again, at the end that saw more of them."""
    both = np.zeros(len(exchanges) + 1, np.int32)
    for name in ("request_retransmitted", "response_retransmitted"):
        both[:-1] += exchanges.column(name).to_numpy()
    return np.maximum(both[roles.primary], np.maximum(both[roles.client], both[roles.server]))


def numbered(rows: NDArray[np.int64], at: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers of the rows `at`; -1 stays."""
    return np.append(rows, -1)[at]


def server_end(views: Views, roles: Roles, times: CallTimes) -> NDArray[np.int64]:
    """The end of each call at the callee; of the request where there was no response; -1 where it was not captured."""
    if not len(roles.server):
        return np.zeros(0, dtype=np.int64)
    row = np.maximum(roles.server, 0)
    length = np.where(views.response_end[row] >= 0, 0, views.request_end[row] - views.request_start[row])
    end = np.where(views.response_end[row] >= 0, times.callee_end, times.callee_start + np.maximum(length, 0))
    return np.where(times.callee_start == MISSING, -1, end)


def noted(column: pa.ChunkedArray, rows: NDArray[np.int64], clamped: NDArray[np.bool_]) -> pa.ChunkedArray:
    """Notes of the rows, with one more where `clamped`."""
    moved = np.flatnonzero(clamped)
    if not len(moved):
        return column.take(pa.array(rows))
    longer = [[*(notes or []), CLAMPED] for notes in column.take(pa.array(rows[moved])).to_pylist()]
    more = pa.chunked_array([*column.chunks, pa.array(longer, column.type)])
    indices = rows.copy()
    indices[moved] = len(column) + np.arange(len(moved))
    return more.take(pa.array(indices))


def hosts_table(hosts: Hosts, services: Services, clocks: Sequence[ClockEstimate], known: Sequence[bool]) -> pa.Table:
    """The table `hosts`. `known`: by clock, whether it could be compared with the others (or is alone)."""
    by_name = {clock.host: clock for clock, is_known in zip(clocks, known, strict=True) if is_known}
    recorded = [
        by_name.get(name) if captures else None for name, captures in zip(hosts.names, hosts.captures, strict=True)
    ]
    return pa.table(
        [
            pa.array(hosts.names, pa.string()),
            pa.array(hosts.addresses, pa.list_(pa.string())),
            pa.array(services.run_by, pa.list_(pa.string())),
            pa.array(hosts.captures, pa.list_(pa.string())),
            pa.array([clock.offset_ns if clock else None for clock in recorded], pa.float64()),
            pa.array([clock.drift_ppm if clock else None for clock in recorded], pa.float64()),
            pa.array([clock.error_ns if clock else None for clock in recorded], pa.float64()),
        ],
        schema=table_schema("hosts"),
    )
