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

from wiretrace.hosts.columns import link_columns
from wiretrace.hosts.lookups import Lookups, brought_nothing, find_lookups, is_lookup
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
from wiretrace.hosts.outcome import CALLED_OFF, Verdicts, bits, judge, number, read_verdicts
from wiretrace.hosts.phases import SetUp, split_time
from wiretrace.hosts.receipts import see_receipts
from wiretrace.hosts.table import CallFacts, calls_table, identify
from wiretrace.hosts.timeline import Moments, call_times, correct, of_connections, shown_times
from wiretrace.hosts.timeouts import callers_of, shown_timeouts
from wiretrace.hosts.views import Views, category, read_views
from wiretrace.model.outcome import Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.hosts.knowledge import Knowledge
    from wiretrace.model.link_problem import LinkProblem


Number = TypeVar("Number", np.int32, np.int64)
"""The type of a column of whole numbers."""


@dataclass(slots=True)
class Merged:
    """The calls of some exchanges."""

    calls: pa.Table
    """Schema of `calls` without what linking fills; ids are numbers."""
    columns: LinkProblem
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
    verdicts = call_outcomes(exchanges, views, roles, moments, knowledge, server_host)
    opened = of_connections(views, knowledge.connections, knowledge.opened_ns)
    lookups = find_lookups(exchanges, views, places, opened, brought_nothing(exchanges))
    failed = lookups.failed[roles.primary]
    verdicts.put(failed, number(Outcome.DNS_FAILED), bits(Outcome.DNS_FAILED))
    unanswered = is_lookup(exchanges)[roles.primary] & verdicts.is_one_of((Outcome.UNFINISHED, Outcome.SERVER_SILENT))
    verdicts.possible[unanswered] |= bits(Outcome.DNS_FAILED)
    start, end = shown_times(views, roles, moments, verdicts.is_one_of((Outcome.RESPONSE_LOST,)))
    identity = identify(views, roles, own_conversation, np.maximum(views.request_start, views.response_start))
    order = np.lexsort((identity, start))
    roles = reorder_roles(roles, order)
    client_host, server_host = client_host[order], server_host[order]

    home = knowledge.clock_of_host()
    one_way = exchanges.column("one_way").take(pa.array(roles.primary)).to_numpy().astype(np.bool_, copy=False)
    times, clamped = call_times(
        roles, moments, one_way, clock, (home[client_host], home[server_host]), knowledge.component
    )
    client_row = np.where(roles.client >= 0, roles.client, roles.primary)
    server_row = np.where(roles.server >= 0, roles.server, roles.primary)
    client_service = knowledge.services.of_callers(client_host)
    server_service = knowledge.services.of_callees(server_host, views.server_port[server_row])
    delivered = views.delivered[roles.primary]
    if delivered.any():
        # What serves the connection asks, and what has opened it answers.
        asking = knowledge.services.of_callees(client_host, views.client_port[client_row])
        client_service = np.where(delivered, asking, client_service)
        server_service = np.where(delivered, knowledge.services.of_callers(server_host), server_service)
    start, end = start[order], end[order]
    parts, measured = split_time(
        views, moments, roles, start, end, _set_up(exchanges, views, moments, lookups, knowledge)
    )
    facts = CallFacts(
        identity[order],
        start,
        end,
        parts,
        measured,
        times,
        verdicts.at(order),
        clamped,
        client_host,
        server_host,
        client_service,
        server_service,
        lookups.served_by[client_row],
        lookups.resolution[client_row],
    )
    exchanges = knowledge.templates.apply(exchanges, roles.primary, facts.server_service)
    columns = link_columns(exchanges, views, roles, facts, knowledge)
    see_receipts(columns, exchanges, views, roles)
    return Merged(
        calls_table(exchanges, rows, views, roles, facts, hosts.names, knowledge.services.names),
        columns,
    )


def is_handshake(exchanges: pa.Table) -> NDArray[np.bool_]:
    """(exchanges,): whether each is a TLS handshake that failed: one that succeeds is no exchange."""
    protocols, names = category(exchanges, "protocol")
    operations, words = category(exchanges, "operation")
    tls = names.index("tls") if "tls" in names else -1
    handshake = words.index("handshake") if "handshake" in words else -1
    found: NDArray[np.bool_] = (protocols == tls) & (operations == handshake)
    return found


def _set_up(exchanges: pa.Table, views: Views, moments: Moments, lookups: Lookups, knowledge: Knowledge) -> SetUp:
    """How long what came before the first exchange of each view's connection took."""
    connect, rtt = (
        np.maximum(of_connections(views, knowledge.connections, column), 0)
        for column in (knowledge.connect_ns, knowledge.handshake_rtt_ns)
    )
    lasted = np.append(moments.response_end - moments.request_start, 0)
    return SetUp(np.maximum(lasted[lookups.served_by], 0), connect, views.tls, rtt, is_handshake(exchanges))


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
    knowledge: Knowledge,
    server_host: NDArray[np.int32],
) -> Verdicts:
    """What happened to each call, and what else may have."""
    said = read_verdicts(exchanges)
    # Where packets were dropped, an answer that nobody saw may have been among them.
    missed = said.is_one_of((Outcome.UNFINISHED,)) & knowledge.dropped[views.capture]
    said.possible[missed] |= bits(Outcome.NOT_CAPTURED)
    # A view of both ends, of a loopback interface or between them, says its word once.
    once = roles.client == roles.server
    caller, callee = said.at(roles.client), said.at(np.where(once, -1, roles.server))
    # The callee's own capture would have seen the answer leave, and has seen the request arrive.
    unanswered = roles.server_own & (with_rows(views.response_start, roles.server) < 0)
    asked = with_rows(views.request_start, roles.server) >= 0
    callee.rule_out(unanswered & asked, Outcome.RESPONSE_LOST, Outcome.REQUEST_LOST)
    # There, an answer that left late was not lost before.
    left = with_rows(moments.given_up, roles.server)
    late = roles.server_own & (left >= 0) & (with_rows(moments.response_start, roles.server) > left)
    callee.rule_out(late & callee.is_one_of(CALLED_OFF), Outcome.RESPONSE_LOST)
    request = with_rows(moments.request_start, roles.client)
    watched = knowledge.watched[server_host]
    watching = (watched[:, 0] <= request) & (request < watched[:, 1]) & ~roles.server_own
    verdicts = judge(caller, callee, watching, knowledge.may_have_missed[server_host])
    _tell_timeouts(exchanges, roles, moments, knowledge, verdicts)
    return verdicts


def _tell_timeouts(
    exchanges: pa.Table, roles: Roles, moments: Moments, knowledge: Knowledge, verdicts: Verdicts
) -> None:
    """A client that gave up after a wait that it shows again and again, or was late to, likely had a timeout."""
    row = np.where(roles.client >= 0, roles.client, roles.primary)
    open_between = verdicts.leaves_open(Outcome.CLIENT_ABORTED) & verdicts.leaves_open(Outcome.CLIENT_TIMEOUT)
    calls = np.flatnonzero(open_between)
    if not len(calls) or not knowledge.timeouts:
        return
    waited = moments.given_up[row[calls]] - moments.request_start[row[calls]]
    known = moments.given_up[row[calls]] >= 0
    calls, waited = calls[known], waited[known]
    likely = shown_timeouts(callers_of(exchanges.take(pa.array(row[calls]))), waited, knowledge.timeouts)
    likely_calls = calls[likely & verdicts.is_one_of((Outcome.CLIENT_ABORTED,))[calls]]
    verdicts.outcome[likely_calls] = number(Outcome.CLIENT_TIMEOUT)


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
