"""Messages that brokers pass on, as linking wants them: who put them there, who took them off, and when.

Rules: whoever takes a message off works on it as if it were a request. A delivery is one: the broker asks the consumer. A
call that fetches messages is made by the consumer; for linking it arrives there when its answer does, and lasts until the
consumer fetches again. What the consumer does next is then caused by it, and it follows whoever put the message there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.hosts.views import category, mix
from wiretrace.model.link_problem import MISSING, Ragged

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from wiretrace.hosts.merge import Roles
    from wiretrace.hosts.views import Views
    from wiretrace.model.link_problem import LinkProblem

FETCHES_AHEAD = frozenset({"kafka"})
"""Protocols whose clients fetch again before they work on what they have: there a receipt lasts until the next one."""


def see_receipts(columns: LinkProblem, exchanges: pa.Table, views: Views, roles: Roles) -> None:
    """Tell equal destinations of different brokers apart, and turn calls that take messages off them into receipts."""
    primary = roles.primary
    sent, received = columns.sent, columns.received
    if sent is None or received is None or not (len(sent.values) or len(received.values)):
        return
    delivered = views.delivered[primary]
    broker = np.where(delivered, columns.caller_service, columns.callee_service)
    columns.sent = _at_brokers(sent, columns.callee_service)
    columns.received = _at_brokers(received, broker)
    takes = np.diff(received.offsets) > 0
    fetches = takes & ~delivered
    alone = takes
    if fetches.any():
        alone = takes | _of_loops(columns, fetches)
        _turn(columns, fetches, _next_fetches(columns, exchanges, primary, fetches))
    columns.caller = np.where(alone, -1, columns.caller).astype(np.int32)


def _of_loops(columns: LinkProblem, fetches: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which calls fetch as `fetches` (calls,) do, on their connections: a consumer asks again and again."""
    kind = mix(62, columns.connection, columns.operation.astype(np.int64))
    same: NDArray[np.bool_] = np.isin(kind, kind[fetches]) & (columns.connection >= 0)
    return same


def _at_brokers(messages: Ragged, broker: NDArray[np.int32]) -> Ragged:
    """Hashes of destinations told apart by the service of the broker that has them; contents stay."""
    values = messages.values.copy()
    owner = np.repeat(np.arange(len(messages.offsets) - 1), np.diff(messages.offsets))
    values[::2] = mix(61, values[::2], broker[owner[::2]].astype(np.int64))
    return Ragged(messages.offsets, values)


def _next_fetches(
    columns: LinkProblem, exchanges: pa.Table, primary: NDArray[np.int64], fetches: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """When the consumer of each call fetches again on its connection; MISSING where it does not. Shape (calls,)."""
    protocol, names = category(exchanges, "protocol")
    ahead = np.isin(protocol[primary], [number for number, name in enumerate(names) if name in FETCHES_AHEAD])
    start = np.where(columns.caller_start_ns == MISSING, columns.callee_start_ns, columns.caller_start_ns)
    arrival = np.where(columns.caller_end_ns == MISSING, columns.callee_end_ns, columns.caller_end_ns)
    moment = np.where(ahead, arrival, start)
    # Of a connection that fetches ahead only what brought something counts.
    counts = ~ahead | fetches
    rows = np.flatnonzero(counts & (columns.connection >= 0))
    order = rows[np.lexsort((moment[rows], columns.operation[rows], columns.connection[rows]))]
    same = (columns.connection[order[1:]] == columns.connection[order[:-1]]) & (
        columns.operation[order[1:]] == columns.operation[order[:-1]]
    )
    following = np.full(len(columns), MISSING, np.int64)
    following[order[:-1][same]] = moment[order[1:][same]]
    return following


def _turn(columns: LinkProblem, fetches: NDArray[np.bool_], until: NDArray[np.int64]) -> None:
    """Let the calls that fetch messages be served by their callers, from their answer `until` the next one (calls,)."""
    arrival = np.where(columns.caller_end_ns == MISSING, columns.callee_end_ns, columns.caller_end_ns)
    lasts = np.where((until != MISSING) & (until >= arrival), until, arrival)
    columns.callee = np.where(fetches, columns.caller, columns.callee).astype(np.int32)
    columns.callee_service = np.where(fetches, columns.caller_service, columns.callee_service).astype(np.int32)
    columns.callee_start_ns = np.where(fetches, arrival, columns.callee_start_ns)
    columns.callee_end_ns = np.where(fetches, lasts, columns.callee_end_ns)
    columns.request_tokens = _chosen(columns.response_tokens, columns.request_tokens, fetches)


def _chosen(first: Ragged, second: Ragged, chosen: NDArray[np.bool_]) -> Ragged:
    """The lists of `first` where `chosen` (n,), else those of `second`."""
    counts = np.where(chosen, np.diff(first.offsets), np.diff(second.offsets))
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    begins = np.where(chosen, first.offsets[:-1], second.offsets[:-1] + len(first.values))
    picks = np.arange(offsets[-1]) + np.repeat(begins - offsets[:-1], counts)
    return Ragged(offsets, np.concatenate([first.values, second.values])[picks])
