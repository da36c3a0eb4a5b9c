"""Exchanges of many vantage points in, calls on one time line out: the way through this floor.

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

from wiretrace.hosts.clocks import ClockEstimate, estimate_clocks
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
from wiretrace.hosts.names import name_services
from wiretrace.hosts.outcome import OUTCOMES, judge
from wiretrace.hosts.table import CallFacts, calls_table, hosts_table, identify
from wiretrace.hosts.timeline import (
    Moments,
    call_times,
    connection_ends,
    correct,
    number_clocks,
    pair_samples,
    shown_times,
)
from wiretrace.hosts.vantage import CaptureInfo, Hosts, Sightings, recognise_hosts
from wiretrace.hosts.views import Views, category, integers, mix, read_views
from wiretrace.model.note import NoteKind, Notes
from wiretrace.model.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


Number = TypeVar("Number", np.int32, np.int64)
"""The type of a column of whole numbers."""


@dataclass(slots=True)
class Merged:
    """The calls, and all that goes with them."""

    calls: pa.Table
    """Schema of `calls`; tree, parent, basis, confidence and question are null, linking fills them."""
    hosts: pa.Table
    """Schema of `hosts`."""
    clocks: list[ClockEstimate]
    """One for each host that recorded captures, and for each capture without a host."""
    columns: LinkColumns
    """Row i is call i of `calls`."""
    notes: Notes


def merge_vantage_points(exchanges: pa.Table, connections: pa.Table, captures: Sequence[CaptureInfo]) -> Merged:
    """Merge the exchanges of all captures into calls.

    `exchanges` and `connections` have the schemas of those tables; every capture in them is in `captures`.
    """
    notes = Notes()
    exchanges = exchanges.combine_chunks()  # taking rows out of many chunks is slow
    views = read_views(exchanges, [capture.name for capture in captures])
    hosts = find_hosts(views, connections, captures)
    places = locate_views(views, hosts)
    own_conversation = conversation_keys(views, hosts, places)
    key = group_views(views, translate_addresses(views, own_conversation))

    clock_of_capture, clock_names = number_clocks(hosts, captures)
    clock = clock_of_capture[views.capture]
    clocks = estimate_clocks(pair_samples(views, places, key, clock), clock_names)
    component, known = compared_clocks(clocks, notes)
    closed = connection_ends(views, integers(connections, "connection"), integers(connections, "closed_ns"))
    moments = correct(views, closed, clock, clocks)

    call = split_by_time(
        views, key, np.where(moments.request_start >= 0, moments.request_start, moments.response_start)
    )
    roles = assign_roles(views, places, call)
    client_host, server_host = call_hosts(roles, places)
    outcome, decided = call_outcomes(
        exchanges, views, roles, moments, watched_hosts(views, hosts, moments), server_host
    )
    lost = outcome == OUTCOMES.index(Outcome.RESPONSE_LOST)
    start, end = shown_times(roles, moments, lost)
    identity = identify(views, roles, own_conversation, np.maximum(views.request_start, views.response_start))
    order = np.lexsort((identity, start))
    roles = reorder_roles(roles, order)
    client_host, server_host = client_host[order], server_host[order]

    home = clock_of_host(hosts, clock_of_capture)
    one_way = exchanges.column("one_way").take(pa.array(roles.primary)).to_numpy().astype(np.bool_, copy=False)
    times, clamped = call_times(roles, moments, one_way, clock, (home[client_host], home[server_host]), component)
    protocol, protocols = category(exchanges, "protocol")
    server_row = np.where(roles.server >= 0, roles.server, roles.primary)
    services = name_services(
        hosts,
        client_host,
        server_host,
        views.server_port[server_row],
        protocol[roles.primary],
        protocols,
        exchanges.column("attributes").take(pa.array(roles.primary)),
    )
    facts = CallFacts(
        identity[order],
        start[order],
        end[order],
        times,
        outcome[order],
        decided[order],
        clamped,
        client_host,
        server_host,
    )
    return Merged(
        calls=calls_table(exchanges, views, roles, facts, hosts, services),
        hosts=hosts_table(hosts, services, clocks, known),
        clocks=clocks,
        columns=link_columns(exchanges, views, roles, times, client_host, server_host, hosts.names, services),
        notes=notes,
    )


def find_hosts(views: Views, connections: pa.Table, captures: Sequence[CaptureInfo]) -> Hosts:
    """Recognise the hosts by the connections, or by the exchanges where a capture has none."""
    numbers = {capture.name: number for number, capture in enumerate(captures)}
    capture, capture_names = category(connections, "capture")
    client, client_names = category(connections, "client_address")
    server, server_names = category(connections, "server_address")
    addresses = sorted({*views.addresses, *client_names, *server_names})
    place = {address: number for number, address in enumerate(addresses)}

    def renumber(codes: NDArray[np.int32], names: list[str], order: dict[str, int]) -> NDArray[np.int32]:
        return np.array([order[name] for name in names] or [0], dtype=np.int32)[codes]

    seen_capture = renumber(capture, capture_names, numbers)
    without = ~np.isin(views.capture, seen_capture)
    waiting = np.full(len(captures), np.nan)
    complete = (views.request_end >= 0) & (views.response_start >= 0)
    for number in range(len(captures)):
        rows = complete & (views.capture == number)
        if rows.any():
            waiting[number] = np.median(views.response_start[rows] - views.request_end[rows])
    clients = np.concatenate(
        (renumber(client, client_names, place), renumber(views.client[without], views.addresses, place))
    )
    servers = np.concatenate(
        (renumber(server, server_names, place), renumber(views.server[without], views.addresses, place))
    )
    client_ports = np.concatenate((integers(connections, "client_port"), views.client_port[without]))
    server_ports = np.concatenate((integers(connections, "server_port"), views.server_port[without]))
    sightings = Sightings(
        capture=np.concatenate((seen_capture, views.capture[without])),
        client=clients,
        server=servers,
        ends=mix(41, clients, client_ports, servers, server_ports),
        addresses=addresses,
        waiting_ns=waiting,
    )
    return recognise_hosts(sightings, captures, addresses)


def compared_clocks(clocks: Sequence[ClockEstimate], notes: Notes) -> tuple[NDArray[np.int64], list[bool]]:
    """By clock: a number that is equal for clocks that could be compared, and whether it belongs to the largest such set.

    The others are counted in the notes.
    """
    references = sorted({clock.reference for clock in clocks})
    component = np.array([references.index(clock.reference) for clock in clocks], dtype=np.int64)
    if not len(component):
        return component, []
    largest = int(np.argmax(np.bincount(component)))
    comparable = len(clocks) == 1 or int((component == largest).sum()) > 1
    known = [comparable and number == largest for number in component.tolist()]
    for clock, is_known in zip(clocks, known, strict=True):
        if not is_known:
            notes.add(NoteKind.CLOCK_UNKNOWN, clock.host)
    return component, known


def clock_of_host(hosts: Hosts, clock_of_capture: NDArray[np.int64]) -> NDArray[np.int64]:
    """By host: the number of its clock, or -1. One more entry at the end, for the host number -1."""
    clock = np.full(len(hosts.names) + 1, -1, dtype=np.int64)
    for number, host in zip(clock_of_capture.tolist(), hosts.of_capture, strict=True):
        if host >= 0:
            clock[host] = number
    return clock


def call_hosts(roles: Roles, places: Places) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The caller's and the callee's host of each call, each as its own view says: translators change addresses."""
    client_row = np.where(roles.client >= 0, roles.client, roles.primary)
    server_row = np.where(roles.server >= 0, roles.server, roles.primary)
    return places.client_host[client_row], places.server_host[server_row]


def watched_hosts(views: Views, hosts: Hosts, moments: Moments) -> NDArray[np.int64]:
    """First and last time at which each host's own captures saw anything; shape (hosts + 1, 2), (1, 0) for: never."""
    span = np.tile(np.array([np.iinfo(np.int64).max, -1], dtype=np.int64), (len(hosts.names) + 1, 1))
    recorder = np.array(hosts.of_capture or [-1], dtype=np.int64)[views.capture]
    seen = np.where(moments.request_start >= 0, moments.request_start, moments.response_start)
    last = np.maximum(np.maximum(seen, moments.response_end), moments.closed)
    np.minimum.at(span[:, 0], recorder, np.where(seen >= 0, seen, np.iinfo(np.int64).max))
    np.maximum.at(span[:, 1], recorder, last)
    span[-1] = (1, 0)
    return span


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
