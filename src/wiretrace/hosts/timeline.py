"""Every view's times on the common time line, and both ends' times of every call.

Rules: a clock belongs to a host, and to a capture where that has no host. What one end did not see is MISSING there. The
end of a call that was never answered is, for linking, the end of its connection: until then its callee may have worked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wiretrace.hosts.clocks import ClockEstimate, PairSamples
from wiretrace.hosts.columns import CallTimes
from wiretrace.hosts.vantage import NO_HOST
from wiretrace.model.link_problem import MISSING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wiretrace.hosts.merge import Places, Roles
    from wiretrace.hosts.vantage import CaptureInfo, Hosts
    from wiretrace.hosts.views import Views

UNCOMPARED_NS = 3_600_000_000_000
"""Stands for the error between two clocks that could not be compared: an hour."""


class Moments(NamedTuple):
    """Times on the common time line, -1 where there is none. Shapes are (views,)."""

    request_start: NDArray[np.int64]
    request_end: NDArray[np.int64]
    response_start: NDArray[np.int64]
    response_end: NDArray[np.int64]
    given_up: NDArray[np.int64]
    """When the wait for an answer ended without one."""
    closed: NDArray[np.int64]
    """Last packet of the connection."""
    error: NDArray[np.int64]
    """Bound of the error of these."""


def number_clocks(hosts: Hosts, captures: Sequence[CaptureInfo]) -> tuple[NDArray[np.int64], list[str]]:
    """The number of the clock of each capture, and the names of the clocks."""
    names: list[str] = []
    of_host: dict[int, int] = {}
    numbers = []
    for capture, host in zip(captures, hosts.of_capture, strict=True):
        if host != NO_HOST and host in of_host:
            numbers.append(of_host[host])
            continue
        numbers.append(len(names))
        if host == NO_HOST:
            names.append(capture.name)
        else:
            of_host[host] = len(names)
            names.append(hosts.names[host])
    return np.array(numbers, dtype=np.int64), names


def pair_samples(views: Views, places: Places, key: NDArray[np.uint64], clock: NDArray[np.int64]) -> PairSamples:
    """First bytes of requests and responses that two clocks saw. `key` is equal for the views of one call."""
    order = np.lexsort((clock, places.position, key))
    before, after = order[:-1], order[1:]
    pair = (key[before] == key[after]) & (clock[before] != clock[after])
    before, after = before[pair], after[pair]
    asked = (views.request_start[before] >= 0) & (views.request_start[after] >= 0)
    answered = (views.response_start[before] >= 0) & (views.response_start[after] >= 0)
    halves = ((views.request_start, asked), (views.response_start, answered))
    return PairSamples(
        first=np.concatenate([clock[before[seen]] for _, seen in halves]),
        second=np.concatenate([clock[after[seen]] for _, seen in halves]),
        at_first=np.concatenate([times[before[seen]] for times, seen in halves]),
        at_second=np.concatenate([times[after[seen]] for times, seen in halves]),
        towards_second=np.repeat([True, False], [int(asked.sum()), int(answered.sum())]),
    )


def correct(
    views: Views, closed: NDArray[np.int64], clock: NDArray[np.int64], clocks: Sequence[ClockEstimate]
) -> Moments:
    """Bring all times of the views onto the common time line. `closed`: raw end of the connection of each view."""
    columns = [
        *(views.request_start, views.request_end, views.response_start, views.response_end),
        *(views.given_up, closed),
    ]
    moments = [column.copy() for column in columns]
    error = np.zeros(len(views), dtype=np.int64)
    for number, estimate in enumerate(clocks):
        if estimate.samples == 0:
            continue
        rows = np.flatnonzero(clock == number)
        for column, moment in zip(columns, moments, strict=True):
            moment[rows] = estimate.corrected(column[rows])
        seen = np.maximum(views.request_start[rows], views.response_start[rows])
        error[rows] = np.rint(estimate.error_at(seen)).astype(np.int64)
    request_start, request_end, response_start, response_end, given_up, ended = moments
    return Moments(request_start, request_end, response_start, response_end, given_up, ended, error)


def of_connections(views: Views, connection: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.int64]:
    """What `column` says of each view's connection, (views,); -1 where the connection is not known.

    `connection` holds the numbers of the connections, rising, and `column` a value of each.
    """
    if not len(connection):
        return np.full(len(views), -1, dtype=np.int64)
    place = np.minimum(np.searchsorted(connection, views.connection), len(connection) - 1)
    return np.where(connection[place] == views.connection, column[place], -1)


def call_times(
    roles: Roles,
    moments: Moments,
    one_way: NDArray[np.bool_],
    clock: NDArray[np.int64],
    home: tuple[NDArray[np.int64], NDArray[np.int64]],
    component: NDArray[np.int64],
) -> tuple[CallTimes, NDArray[np.bool_]]:
    """Both ends' times of every call, and which of them were moved because the clocks contradict causality.

    `clock` numbers the clock of each view; `home` those of the hosts of each call's caller and callee, -1 where they
    have none; `component` is equal for clocks that could be compared.
    """
    caller_start, caller_end = end_times(roles.client, moments, one_way)
    callee_start, callee_end = end_times(roles.server, moments, one_way)
    error = clock_errors(roles, moments, clock, home, component)
    both = (roles.client >= 0) & (roles.server >= 0) & (roles.client != roles.server)
    early = both & (caller_start != MISSING) & (callee_start != MISSING) & (callee_start < caller_start - error)
    answered = both.copy()
    answered[both] = (moments.response_end[roles.client[both]] >= 0) & (moments.response_end[roles.server[both]] >= 0)
    late = answered & (callee_end > caller_end + error)
    callee_start = np.where(early, caller_start, callee_start)
    callee_end = np.where(late, caller_end, callee_end)
    callee_end = np.where(early | late, np.maximum(callee_end, callee_start), callee_end)
    return CallTimes(caller_start, caller_end, callee_start, callee_end, error), early | late


def end_times(
    rows: NDArray[np.int64], moments: Moments, one_way: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and end of each call as one end saw it; MISSING where `rows` is -1."""
    if not len(rows):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    row = np.maximum(rows, 0)
    start = np.where(moments.request_start[row] >= 0, moments.request_start[row], moments.response_start[row])
    unanswered = np.where(one_way, moments.request_end[row], np.maximum(moments.request_end[row], moments.closed[row]))
    end = np.where(moments.response_end[row] >= 0, moments.response_end[row], unanswered)
    seen = (rows >= 0) & (start >= 0)
    return np.where(seen, start, MISSING), np.where(seen, np.maximum(start, end), MISSING)


def clock_errors(
    roles: Roles,
    moments: Moments,
    clock: NDArray[np.int64],
    home: tuple[NDArray[np.int64], NDArray[np.int64]],
    component: NDArray[np.int64],
) -> NDArray[np.int64]:
    """How far the clocks of the two ends of each call may still be apart; 0 where both ends' times are of one clock."""
    if not len(roles.primary):
        return np.zeros(0, dtype=np.int64)
    of_client = np.where(roles.client >= 0, clock[np.maximum(roles.client, 0)], home[0])
    of_server = np.where(roles.server >= 0, clock[np.maximum(roles.server, 0)], home[1])
    worst = np.zeros(len(component), dtype=np.int64)
    np.maximum.at(worst, clock, moments.error)
    error = np.zeros(len(roles.primary), dtype=np.int64)
    for rows, clocks in ((roles.client, of_client), (roles.server, of_server)):
        error += np.where(rows >= 0, moments.error[np.maximum(rows, 0)], worst[np.maximum(clocks, 0)])
    apart = (of_client >= 0) & (of_server >= 0) & (of_client != of_server)
    compared = component[np.maximum(of_client, 0)] == component[np.maximum(of_server, 0)]
    return np.where(apart, np.where(compared, error, UNCOMPARED_NS), 0)


def shown_times(
    views: Views, roles: Roles, moments: Moments, response_lost: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and end of each call for a person: the caller's where it was captured, else the callee's.

    A call that was given up ends then, whatever came later; one that nobody answered when it was sent for the last time.
    """
    start = np.full(len(roles.primary), -1, dtype=np.int64)
    end = np.full(len(roles.primary), -1, dtype=np.int64)
    if not len(moments.error):
        return start, end
    ended = np.where(moments.given_up >= 0, moments.given_up, moments.response_end)
    sent = np.where(moments.request_end >= 0, moments.request_end + views.request_stalled, -1)
    for rows in (roles.client, roles.server, roles.primary):
        row = np.maximum(rows, 0)
        seen = rows >= 0
        start = np.where(seen & (start < 0), moments.request_start[row], start)
        usable = seen & (end < 0) & ~(response_lost & (rows == roles.server) & (rows != roles.client))
        end = np.where(usable, ended[row], end)
    for rows in (roles.client, roles.server, roles.primary):
        row = np.maximum(rows, 0)
        start = np.where((rows >= 0) & (start < 0), moments.response_start[row], start)
        end = np.where((rows >= 0) & (end < 0), sent[row], end)
    return start, np.maximum(start, end)
