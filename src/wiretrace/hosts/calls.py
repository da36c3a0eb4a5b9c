"""Exchanges of all vantage points in, calls on one time line out.

Rules: one row for each call, in the order of its start. Raw times stay in the exchanges; what stands here is corrected.
Where correction would let the callee see a request before the caller sent it by more than the error bound, the callee's
time is moved to the caller's, and a note says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wiretrace.hosts.columns import LinkColumns, link_columns
from wiretrace.hosts.merge import (
    Places,
    Roles,
    assign_roles,
    conversation_keys,
    group_views,
    locate_views,
    split_by_time,
    translate_addresses,
)
from wiretrace.hosts.outcome import OUTCOMES, judge
from wiretrace.hosts.phases import SetUp, split_time
from wiretrace.hosts.table import CallFacts, calls_table, identify
from wiretrace.hosts.timeline import Moments, call_times, correct, of_connections, shown_times
from wiretrace.hosts.views import Views, category, read_views
from wiretrace.model.outcome import Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.hosts.knowledge import Knowledge


Number = TypeVar("Number", np.int32, np.int64)
"""The type of a column of whole numbers."""


@dataclass(slots=True)
class Merged:
    """The calls of some exchanges."""

    calls: pa.Table
    """Schema of `calls` without what linking fills; ids are numbers."""
    columns: LinkColumns
    """Row i is call i of `calls`."""


def merge_exchanges(exchanges: pa.Table, rows: NDArray[np.int64], knowledge: Knowledge) -> Merged:
    """Merge exchanges into calls, in the order of their start and then of their ids.

    `exchanges` has the schema of that table; `rows` (n,) are the numbers of its rows in the whole analysis. All views of
    a call should be among them.
    """
    exchanges = exchanges.combine_chunks()  # taking rows out of many chunks is slow
    hosts = knowledge.hosts
    views = read_views(exchanges, knowledge.captures)
    places = locate_views(views, hosts)
    own_conversation = conversation_keys(views, hosts, places)
    key = group_views(views, translate_addresses(views, own_conversation))
    clock = knowledge.clock_of_capture[views.capture]
    closed = of_connections(views, knowledge.connections, knowledge.closed_ns)
    moments = correct(views, closed, clock, knowledge.clocks)
    call = split_by_time(
        views, key, np.where(moments.request_start >= 0, moments.request_start, moments.response_start)
    )
    roles = assign_roles(views, places, call)
    client_host, server_host = call_hosts(roles, places)
    outcome, decided = call_outcomes(exchanges, views, roles, moments, knowledge.watched, server_host)
    lost = outcome == OUTCOMES.index(Outcome.RESPONSE_LOST)
    start, end = shown_times(roles, moments, lost)
    identity = identify(views, roles, own_conversation, np.maximum(views.request_start, views.response_start))
    order = np.lexsort((identity, start))
    roles = reorder_roles(roles, order)
    client_host, server_host = client_host[order], server_host[order]

    home = knowledge.clock_of_host()
    one_way = exchanges.column("one_way").take(pa.array(roles.primary)).to_numpy().astype(np.bool_, copy=False)
    times, clamped = call_times(
        roles, moments, one_way, clock, (home[client_host], home[server_host]), knowledge.component
    )
    server_row = np.where(roles.server >= 0, roles.server, roles.primary)
    start, end = start[order], end[order]
    parts, measured = split_time(views, moments, roles, start, end, _set_up(views, knowledge))
    facts = CallFacts(
        identity[order],
        start,
        end,
        parts,
        measured,
        times,
        outcome[order],
        decided[order],
        clamped,
        client_host,
        server_host,
        knowledge.services.of_callers(client_host),
        knowledge.services.of_callees(server_host, views.server_port[server_row]),
    )
    return Merged(
        calls_table(exchanges, rows, views, roles, facts, hosts.names, knowledge.services.names),
        link_columns(exchanges, views, roles, facts, knowledge),
    )


def _set_up(views: Views, knowledge: Knowledge) -> SetUp:
    """How long what came before the first exchange of each view's connection took."""
    connect, rtt = (
        np.maximum(of_connections(views, knowledge.connections, column), 0)
        for column in (knowledge.connect_ns, knowledge.handshake_rtt_ns)
    )
    nothing = np.zeros_like(connect)
    return SetUp(nothing, connect, nothing, rtt)


def call_hosts(roles: Roles, places: Places) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The caller's and the callee's host of each call, each as its own view says: translators change addresses."""
    client_row = np.where(roles.client >= 0, roles.client, roles.primary)
    server_row = np.where(roles.server >= 0, roles.server, roles.primary)
    return places.client_host[client_row], places.server_host[server_row]


def call_outcomes(
    exchanges: pa.Table,
    views: Views,
    roles: Roles,
    moments: Moments,
    watched: NDArray[np.int64],
    server_host: NDArray[np.int32],
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """The outcome of each call, and whether nothing else is left open."""
    codes, names = category(exchanges, "outcome")
    outcome = np.array([OUTCOMES.index(name) for name in names] or [0], dtype=np.int32)[codes]
    possible = exchanges.column("possible").combine_chunks()
    open_lost = np.zeros(len(views), dtype=bool)
    if len(views):
        parents = pc.list_parent_indices(possible).to_numpy()
        open_lost[parents[pc.equal(pc.list_flatten(possible), str(Outcome.REQUEST_LOST)).to_numpy(False)]] = True
        open_lost |= outcome == OUTCOMES.index(Outcome.REQUEST_LOST)
    caller = with_rows(outcome, roles.client)
    callee = with_rows(outcome, roles.server)
    request = with_rows(moments.request_start, roles.client)
    watching = (watched[server_host, 0] <= request) & (request < watched[server_host, 1])
    may_be_lost = with_rows(open_lost.astype(np.int32), roles.client) > 0
    judged = judge(caller, callee, may_be_lost, watching)
    decided = (roles.client_own & roles.server_own) | (judged != with_rows(outcome, roles.primary))
    return judged, decided


def with_rows(column: NDArray[Number], rows: NDArray[np.int64]) -> NDArray[Number]:
    """The column at the rows, -1 where the row is -1."""
    if not len(column):
        return column[:0]
    return np.where(rows >= 0, column[np.maximum(rows, 0)], -1).astype(column.dtype)


def reorder_roles(roles: Roles, order: NDArray[np.int64]) -> Roles:
    """The same roles with the calls in another order."""
    length = np.diff(roles.other_offsets)[order]
    offsets = np.concatenate(([0], np.cumsum(length))).astype(np.int64)
    source = np.repeat(roles.other_offsets[:-1][order] - offsets[:-1], length) + np.arange(offsets[-1])
    return Roles(
        roles.client[order],
        roles.server[order],
        roles.primary[order],
        roles.client_own[order],
        roles.server_own[order],
        offsets,
        roles.other_rows[source],
    )
