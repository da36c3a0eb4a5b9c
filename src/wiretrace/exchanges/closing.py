"""How connections stood when nothing more came of them: what outcomes are judged by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.model.side import Side
from wiretrace.tcp.connections import NEVER, NONE, Ending

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wiretrace.exchanges.threads import Thread
    from wiretrace.tcp.connections import ConnectionTable


@dataclass(slots=True, frozen=True)
class Departure:
    """The first FIN or RST of one end."""

    time_ns: int
    frame: int
    by_reset: bool


@dataclass(slots=True, frozen=True)
class Closing:
    """How a connection stood when nothing more came of it. Offsets are stream offsets, times capture times; -1: none."""

    ending: Ending
    acknowledged: int
    """How much of the client's bytes the server's host acknowledged."""
    response_acknowledged: int
    """How much of the server's bytes the client's host acknowledged."""
    server_captured: bool
    """Whether any packet of the server was captured."""
    server_known: int
    """Up to where the server's bytes were captured without a gap behind it."""
    server_sent: int
    """Up to where the server's bytes are known to have arrived: captured, or acknowledged by the client."""
    server_claimed: int
    """Up to where the server's own acknowledgements say that it has sent."""
    client_left: Departure | None
    server_left: Departure | None
    client_heard_ns: int
    """When the client last acknowledged anything."""
    server_heard_ns: int
    """When the server last acknowledged anything."""
    fin_acknowledged: bool
    """Whether the client closed in order, and the server's host acknowledged that."""
    unreachable_ns: int
    """When an ICMP error said that the server can not be reached."""
    unreachable_frame: int
    over_ns: int
    """When the capture ended, or the connection was given up."""


def closings(over: set[int], threads: Mapping[int, Thread], table: ConnectionTable, now_ns: int) -> dict[int, Closing]:
    """How the connections that are over stood in the end, at the time `now_ns` of the capture."""
    if not over:
        return {}
    numbers = np.array(sorted(over), np.int64)
    clients = np.array([threads[number].conversation.client for number in numbers.tolist()], np.int64)
    asking, answering = 2 * numbers + clients, 2 * numbers + 1 - clients
    acknowledged, fin = table.acknowledged_of[asking], table.fin_of[asking]
    claimed = table.sent_of[answering]
    # Behind its FIN an end counts one more (RFC 9293 section 3.4).
    claimed = np.where(table.fin_of[answering] >= 0, np.minimum(claimed, table.fin_of[answering]), claimed)
    columns = (
        table.endings(clients, numbers).tolist(),
        acknowledged.tolist(),
        table.acknowledged_of[answering].tolist(),
        ((table.bytes_of[answering] > 0) | (acknowledged > NEVER)).tolist(),
        table.next_of[answering].tolist(),
        claimed.tolist(),
        table.heard_ns_of[asking].tolist(),
        table.heard_ns_of[answering].tolist(),
        ((fin >= 0) & (acknowledged > fin)).tolist(),
        table.unreachable_ns_of[numbers].tolist(),
        table.unreachable_frame_of[numbers].tolist(),
    )
    found = {}
    for (
        number,
        client,
        ending,
        acked,
        answered,
        captured,
        known,
        claims,
        asked_ns,
        heard_ns,
        fin_acked,
        icmp_ns,
        icmp,
    ) in zip(numbers.tolist(), clients.tolist(), *columns, strict=True):
        gaps = threads[number].conversation.side(Side.SERVER).gaps
        found[number] = Closing(
            Ending(ending),
            acked,
            answered,
            captured,
            known,
            max(known, gaps[-1][1]) if gaps else known,
            claims,
            departure(table, number, client),
            departure(table, number, 1 - client),
            asked_ns,
            heard_ns,
            fin_acked,
            icmp_ns,
            icmp,
            now_ns,
        )
    return found


def departure(table: ConnectionTable, connection: int, direction: int) -> Departure | None:
    """The first FIN or RST that was sent in `direction`; None if there was none."""
    stream = 2 * connection + direction
    fin_ns = int(table.fin_ns_of[stream])
    reset_ns = int(table.reset_ns_of[connection]) if table.reset_by_of[connection] == direction else NONE
    if reset_ns != NONE and (fin_ns == NONE or reset_ns < fin_ns):
        return Departure(reset_ns, int(table.reset_frame_of[connection]), True)
    if fin_ns != NONE:
        return Departure(fin_ns, int(table.fin_frame_of[stream]), False)
    return None
