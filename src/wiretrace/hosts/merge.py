"""The same exchange seen at several vantage points is one call.

Rules: TCP sequence numbers are the same at every vantage point, so a view is recognised by its ends and the sequence
number of its request, a half without request by that of its response. Where an address translator changed the ends, both
sequence numbers, the length and the digest must agree, and no capture may hold two such views. Equal numbers at
different times are a port that was used again: they are told apart once the clocks are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.hosts.vantage import NO_HOST, Hosts, is_loopback
from wiretrace.hosts.views import Views, mix, number_groups, rank_within, text_hash, unite
from wiretrace.model.connection import UDP_NUMBERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAME_CALL_NS = 60_000_000_000
"""Views of one call are seen at most this far apart on the common time line: a request may be sent again for a minute."""
SAME_CALL_DIFFERING_NS = 1_000_000_000
"""The same for views whose length or digest differ, because bytes of one of them were not captured."""

CLIENT_VIEW, MIDDLE_VIEW, SERVER_VIEW = 0, 1, 2
"""Where on the way from client to server a view was recorded."""


@dataclass(slots=True)
class Places:
    """Where each view was recorded. Shapes are (n,)."""

    client_host: NDArray[np.int32]
    server_host: NDArray[np.int32]
    at_client: NDArray[np.bool_]
    """Recorded by the client's host."""
    at_server: NDArray[np.bool_]
    position: NDArray[np.int8]
    """CLIENT_VIEW, MIDDLE_VIEW or SERVER_VIEW; a view of a host's own loopback is a client's view."""


def locate_views(views: Views, hosts: Hosts) -> Places:
    """Find the hosts of both ends of each view, and where it was recorded."""
    of_address = np.array(
        [hosts.of_address.get(address, NO_HOST) for address in views.addresses] or [0], dtype=np.int32
    )
    loopback = np.array([is_loopback(address) for address in views.addresses] or [False], dtype=bool)
    recorder = np.array(hosts.of_capture or [0], dtype=np.int32)[views.capture]
    own_loopback = np.array(hosts.of_loopback or [0], dtype=np.int32)[views.capture]
    client_host = np.where(loopback[views.client], own_loopback, of_address[views.client])
    server_host = np.where(loopback[views.server], own_loopback, of_address[views.server])
    inside = loopback[views.client] | loopback[views.server]
    at_client = inside | ((recorder == client_host) & (recorder != NO_HOST))
    at_server = inside | ((recorder == server_host) & (recorder != NO_HOST))
    position = np.where(at_client, CLIENT_VIEW, np.where(at_server, SERVER_VIEW, MIDDLE_VIEW)).astype(np.int8)
    return Places(client_host, server_host, at_client, at_server, position)


def conversation_keys(views: Views, hosts: Hosts, places: Places) -> NDArray[np.uint64]:
    """A hash of the two ends of each view, equal at every vantage point. Loopback ends are those of their host alone."""
    of_address = np.array([text_hash(address) for address in views.addresses] or [0], dtype=np.uint64)
    of_host = np.array([text_hash(name) for name in hosts.names] or [0], dtype=np.uint64)
    loopback = np.array([is_loopback(address) for address in views.addresses] or [False], dtype=bool)
    inside = loopback[views.client] | loopback[views.server]
    scope = np.where(inside & (places.client_host >= 0), of_host[np.maximum(places.client_host, 0)], np.uint64(0))
    return mix(1, of_address[views.client], views.client_port, of_address[views.server], views.server_port, scope)


def translate_addresses(views: Views, conversation: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Give connections that are one connection with changed addresses the same conversation key."""
    whole = np.flatnonzero((views.request_seq >= 0) & (views.response_seq >= 0) & (views.digest != 0))
    if not len(whole):
        return conversation
    key = mix(2, *(c[whole] for c in (views.request_seq, views.response_seq, views.request_bytes, views.digest)))
    group, count = number_groups(key)
    size = np.bincount(group, minlength=count)
    several = size[group] > 1
    whole, group = whole[several], group[several]
    if not len(whole):
        return conversation
    order = np.lexsort((views.connection[whole], views.capture[whole], group))
    whole, group = whole[order], group[order]
    same_group = group[1:] == group[:-1]
    twice = np.zeros(count, dtype=bool)
    twice[group[1:][same_group & (views.capture[whole[1:]] == views.capture[whole[:-1]])]] = True
    joins = same_group & ~twice[group[1:]] & (conversation[whole[1:]] != conversation[whole[:-1]])
    if not joins.any():
        return conversation
    connection, count = number_groups(views.connection)
    component = unite(connection[whole[:-1][joins]], connection[whole[1:][joins]], count)
    representative = np.full(count, np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(representative, component[connection], conversation)
    joined = np.zeros(count, dtype=bool)
    joined[component[connection[whole[:-1][joins]]]] = True
    return np.where(joined[component[connection]], representative[component[connection]], conversation)


def group_views(views: Views, conversation: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A key for each view that is equal for the views of one call, as far as can be told without clocks."""
    asked = views.request_seq >= 0
    answered = views.response_seq >= 0
    key = mix(3, conversation, views.request_seq)
    response_key = mix(4, conversation, views.response_seq)
    both = np.flatnonzero(asked & answered)
    halves = np.flatnonzero(~asked & answered)
    if len(halves):
        key[halves] = response_key[halves]
    if len(both) and len(halves):
        order = both[np.argsort(response_key[both], kind="stable")]
        place = np.minimum(np.searchsorted(response_key[order], response_key[halves]), len(order) - 1)
        match = response_key[order[place]] == response_key[halves]
        key[halves[match]] = key[order[place[match]]]
    datagrams = np.flatnonzero((views.connection & UDP_NUMBERS) != 0)
    if len(datagrams):
        # A datagram may be sent again and mean another exchange: the k-th in one capture is the k-th in the other.
        moment = np.maximum(views.request_start[datagrams], views.response_start[datagrams])
        again = rank_within(mix(8, key[datagrams], views.connection[datagrams]), moment, datagrams)
        key[datagrams] = np.where(again > 0, mix(9, key[datagrams], again), key[datagrams])
    neither = np.flatnonzero(~asked & ~answered)
    if len(neither):
        alike = mix(5, conversation[neither], views.request_bytes[neither], views.digest[neither])
        in_capture = mix(6, alike, views.capture[neither])
        moment = np.maximum(views.request_start[neither], views.response_start[neither])
        key[neither] = mix(7, alike, rank_within(in_capture, moment, views.connection[neither]))
    return key


def split_by_time(views: Views, key: NDArray[np.uint64], moment: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the calls: views with one key, but far apart on the common time line, are different calls.

    `moment` is the time of each view on the common time line, of the request where it was seen.
    """
    if not len(key):
        return np.zeros(0, dtype=np.int64)
    order = np.lexsort((moment, key))
    before, after = order[:-1], order[1:]
    apart = moment[after] - moment[before]
    alike = (views.digest[after] == views.digest[before]) & (views.request_bytes[after] == views.request_bytes[before])
    half = (views.request_start[after] < 0) | (views.request_start[before] < 0)
    far = apart > np.where(alike | half, SAME_CALL_NS, SAME_CALL_DIFFERING_NS)
    call = np.empty(len(key), dtype=np.int64)
    call[order] = np.concatenate(([0], np.cumsum((key[after] != key[before]) | far)))
    return call


@dataclass(slots=True)
class Roles:
    """The views of each call. Shapes are (calls,); -1: none."""

    client: NDArray[np.int64]
    """Row of the caller's view, or of a view between the two where the caller has none of its own."""
    server: NDArray[np.int64]
    """Row of the callee's view, likewise."""
    primary: NDArray[np.int64]
    """Row of the most complete view: the caller's, where it is as complete as any."""
    client_own: NDArray[np.bool_]
    """Whether `client` was recorded by the caller's host."""
    server_own: NDArray[np.bool_]
    other_offsets: NDArray[np.int64]
    """Shape (calls + 1,): the further views of call i are ``other_rows[other_offsets[i]:other_offsets[i + 1]]``."""
    other_rows: NDArray[np.int64]


def assign_roles(views: Views, places: Places, call: NDArray[np.int64]) -> Roles:
    """Which view of each call is the caller's, which the callee's, and which are further ones."""
    calls = int(call.max()) + 1 if len(call) else 0
    completeness = views.completeness

    def best(among: NDArray[np.bool_]) -> NDArray[np.int64]:
        rows = np.flatnonzero(among)
        chosen = np.full(calls, -1, dtype=np.int64)
        order = rows[np.lexsort((rows, -completeness[rows], call[rows]))]
        first = np.concatenate(([True], call[order[1:]] != call[order[:-1]])) if len(order) else np.zeros(0, dtype=bool)
        chosen[call[order[first]]] = order[first]
        return chosen

    client = best(places.at_client)
    server = best(places.at_server)
    middle = best(places.position == MIDDLE_VIEW)
    client_own, server_own = client >= 0, server >= 0
    client = np.where(client_own, client, middle)
    server = np.where(server_own, server, middle)
    primary = best(np.ones(len(views), dtype=bool))
    as_complete = client_own & (completeness[np.maximum(client, 0)] >= completeness[primary]) if calls else client_own
    primary = np.where(as_complete, client, primary)
    rows = np.arange(len(views))
    further = np.flatnonzero((client[call] != rows) & (server[call] != rows)) if calls else rows
    further = further[np.argsort(call[further], kind="stable")]
    offsets = np.concatenate(([0], np.cumsum(np.bincount(call[further], minlength=calls)))).astype(np.int64)
    return Roles(client, server, primary, client_own, server_own, offsets, further)
