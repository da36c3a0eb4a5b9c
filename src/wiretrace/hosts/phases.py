"""Where the time of each call went: one number for each part of it, which add up to the whole.

Rules: parts come from the view that gives the call its times. Where its callee has a view of its own, the way there and
back is the caller's wait less the callee's: two durations, each by one clock, so that no clocks need to be compared. What
was lost and what was blocked is taken out of the parts that it lengthened, never more than is in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.hosts.merge import Roles
    from wiretrace.hosts.timeline import Moments
    from wiretrace.hosts.views import Views

PARTS = (
    "lookup_ns",
    "connect_ns",
    "tls_ns",
    "request_ns",
    "queued_ns",
    "network_ns",
    "server_ns",
    "response_ns",
    "retransmission_ns",
    "zero_window_ns",
)
"""Columns of the table `calls` that add up to `whole_ns`."""


@dataclass(slots=True)
class SetUp:
    """What came before the first call of a connection, by view; 0 where it was not seen, or not first. Shapes (views,)."""

    lookup: NDArray[np.int64]
    connect: NDArray[np.int64]
    tls: NDArray[np.int64]
    rtt: NDArray[np.int64]
    """Round trip of the handshake of its connection, whichever call it is; 0 if not known."""


def split_time(
    views: Views, moments: Moments, roles: Roles, start: NDArray[np.int64], end: NDArray[np.int64], set_up: SetUp
) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.bool_]]:
    """The `PARTS` of each call, and whether its network time is measured. Shapes (calls,), nanoseconds.

    `start` and `end` (calls,) are those of the table `calls`.
    """
    if not len(roles.primary):
        return {name: np.zeros(0, np.int64) for name in PARTS}, np.zeros(0, np.bool_)
    base = np.where(roles.client >= 0, roles.client, roles.primary)
    sent = moments.request_end[base]
    sent = np.clip(np.where(sent >= 0, sent, start), start, end)
    answered = moments.response_start[base]
    answered = np.clip(np.where(answered >= 0, answered, end), sent, end)
    request, wait, response = sent - start, answered - sent, end - answered

    callee = np.maximum(roles.server, 0)
    callee_wait = moments.response_start[callee] - moments.request_end[callee]
    seen = (moments.response_start[base] >= 0) & (moments.request_end[base] >= 0)
    measured = seen & (roles.client >= 0) & (roles.server >= 0)
    measured &= (moments.response_start[callee] >= 0) & (moments.request_end[callee] >= 0)
    server = np.where(measured, np.clip(callee_wait, 0, wait), wait)
    network = wait - server

    def shown(column: NDArray[np.int64]) -> NDArray[np.int64]:
        """The value of the caller's view, or of the callee's where that is more: each sees what the other may not."""
        return np.maximum(column[base], np.where(roles.server >= 0, column[callee], 0))

    queued = np.minimum(shown(views.queued), server)
    server = server - queued
    rtt = set_up.rtt[base]
    lost, blocked = np.zeros_like(wait), np.zeros_like(wait)

    def take(total: NDArray[np.int64], wanted: NDArray[np.int64], part: NDArray[np.int64]) -> NDArray[np.int64]:
        """Move up to `wanted` from `part` to `total`, in place; returns what is still wanted."""
        moved = np.minimum(wanted, part)
        total += moved
        part -= moved
        return wanted - moved

    spare = np.where(measured, np.maximum(network - rtt, 0), 0)
    for stalled, transfer in (
        (shown(views.request_stalled), request),
        (shown(views.response_stalled), response),
    ):
        left = take(lost, stalled, spare)
        network = np.where(measured, np.minimum(network, rtt) + spare, network)
        left = take(lost, left, transfer)
        if transfer is request:
            # Where only one end was captured, the way there is part of the wait.
            waited = np.where(measured, 0, server)
            take(lost, left, waited)
            server = np.where(measured, server, waited)
    for stopped, transfer in (
        (shown(views.request_blocked), request),
        (shown(views.response_blocked), response),
    ):
        left = take(blocked, stopped, transfer)
        take(blocked, left, network)
    first = views.opens[base]
    before = (np.where(first, column[base], 0) for column in (set_up.lookup, set_up.connect, set_up.tls))
    values = (*before, request, queued, network, server, response, lost, blocked)
    return dict(zip(PARTS, values, strict=True)), measured
