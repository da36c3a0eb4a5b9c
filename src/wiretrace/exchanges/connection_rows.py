"""What outputs say of connections, from the state that the tcp floor keeps and what was read: the table `connections`, and
the columns that rows of `exchanges` take from it."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from wiretrace.exchanges.message_table import integers
from wiretrace.exchanges.record_batch import NOWHERE, ConnectionColumns
from wiretrace.model.schema import table_schema
from wiretrace.packets.unreachable import unreachable_words
from wiretrace.tcp.connections import Ending
from wiretrace.tcp.health import windows_still_closed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wiretrace.exchanges.threads import Thread
    from wiretrace.packets.columns import FlowTable
    from wiretrace.tcp.connections import ConnectionTable


class Spoken(NamedTuple):
    """What was learned of a connection that is over."""

    protocol: str
    client: int
    """Direction of the client."""
    exchanges: int
    think_ns: int
    """As `Thread.think_ns`."""


class ConnectionEnds:
    """Who is at the ends of connections, for the rows of the table `exchanges`."""

    def __init__(self, flows: FlowTable, table: ConnectionTable, first_connection: int) -> None:
        self._flows = flows
        self._table = table
        self._first_connection = first_connection
        self._addresses: dict[bytes, str] = {}

    def columns(self, threads: Sequence[Thread]) -> ConnectionColumns:
        """What the exchanges of `threads` have in common, in their order."""
        table = self._table
        number = integers([thread.conversation.connection for thread in threads])
        client = integers([thread.conversation.client for thread in threads])
        keys = [self._flows.keys[flow] for flow in table.flow_of[number].tolist()]
        ends = [
            ((self._text(key.address_a), key.port_a), (self._text(key.address_b), key.port_b))[:: -1 if swapped else 1]
            for key, swapped in zip(keys, client.tolist(), strict=True)
        ]
        return ConnectionColumns(
            number + self._first_connection,
            [thread.conversation.protocol_name for thread in threads],
            [each[0] for each in ends],
            [each[1] for each in ends],
            table.base_of[2 * number + client],
            table.base_of[2 * number + 1 - client],
            integers([_opening(thread) for thread in threads]),
        )

    def _text(self, packed: bytes) -> str:
        text = self._addresses.get(packed)
        if text is None:
            text = self._addresses[packed] = str(ipaddress.ip_address(packed))
        return text


def _opening(thread: Thread) -> int:
    """Stream offset of the first request, where the beginning of the connection was captured."""
    opening = thread.habits.asked
    if opening is None or not all(state.started for state in thread.conversation.directions):
        return NOWHERE
    return opening


def connection_table(
    capture: str, table: ConnectionTable, flows: FlowTable, spoken: dict[int, Spoken], first_connection: int
) -> pa.Table:
    """All connections, in order of their numbers, which count from `first_connection`."""
    count = table.count
    known = np.array(list(spoken), np.int64)
    client = np.maximum(table.client_of[:count], 0).astype(np.int64)
    client[known] = [each.client for each in spoken.values()]
    exchanges = np.zeros(count, np.int64)
    exchanges[known] = [each.exchanges for each in spoken.values()]
    think = np.zeros(count, np.int64)
    think[known] = [each.think_ns for each in spoken.values()]
    protocol = np.full(count, "", object)
    protocol[known] = [each.protocol for each in spoken.values()]
    stream = 2 * np.arange(count)
    asking, answering = stream + client, stream + 1 - client
    syn, syn_ack = table.syn_ns_of[:count], table.syn_ack_ns_of[:count]
    both = (syn >= 0) & (syn_ack >= syn)
    handshake = table.handshake_ns_of[:count]
    still = windows_still_closed(table)
    closed_ns = table.closed_ns_of[: 2 * count].copy()
    closed_ns[still.stream] += np.maximum(still.end_ns - still.begin_ns, 0)

    codes: dict[bytes, int] = {}
    flow = table.flow_of[:count]
    used = flows.keys
    end_codes = np.array(
        [(codes.setdefault(key.address_a, len(codes)), codes.setdefault(key.address_b, len(codes))) for key in used],
        np.int32,
    ).reshape(-1, 2)
    end_ports = np.array([(key.port_a, key.port_b) for key in used], np.int32).reshape(-1, 2)
    addresses = pa.array([str(ipaddress.ip_address(packed)) for packed in codes], pa.string())
    rows = np.arange(count)

    def address(direction: NDArray[np.int64]) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(end_codes[flow][rows, direction], addresses)

    columns: dict[str, Any] = {
        "connection": rows + first_connection,
        "capture": pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), pa.array([capture])),
        "transport": pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), pa.array(["tcp"])),
        "protocol": pa.array(protocol, pa.string()).dictionary_encode(),
        "client_address": address(client),
        "client_port": end_ports[flow][rows, client],
        "server_address": address(1 - client),
        "server_port": end_ports[flow][rows, 1 - client],
        "opened_ns": table.first_ns_of[:count],
        "closed_ns": table.last_ns_of[:count],
        "handshake": syn >= 0,
        "ended": pa.DictionaryArray.from_arrays(
            pa.array(table.endings(client), pa.int32()), pa.array([ending.name.lower() for ending in Ending])
        ),
        "handshake_rtt_ns": np.where(both, syn_ack - syn, -1),
        "connect_ns": np.where((syn >= 0) & (handshake >= syn), handshake - syn, -1),
        "syns_repeated": table.syns_repeated_of[:count],
        "syn_acks_repeated": table.syn_acks_repeated_of[:count],
        "client_data_rtt_ns": table.data_rtt_ns_of[asking],
        "server_data_rtt_ns": table.data_rtt_ns_of[answering],
        "client_bytes": table.bytes_of[asking],
        "server_bytes": table.bytes_of[answering],
        "client_lost_bytes": table.lost_of[asking],
        "server_lost_bytes": table.lost_of[answering],
        "client_segments": table.segments_of[asking],
        "server_segments": table.segments_of[answering],
        "retransmitted_segments": table.retransmitted_of[asking] + table.retransmitted_of[answering],
        "client_retransmitted": table.retransmitted_of[asking],
        "server_retransmitted": table.retransmitted_of[answering],
        "keep_alives": table.keep_alives_of[asking] + table.keep_alives_of[answering],
        "out_of_order_segments": table.out_of_order_of[asking] + table.out_of_order_of[answering],
        "zero_windows": table.zero_windows_of[:count],
        "client_zero_window_ns": closed_ns[asking],
        "server_zero_window_ns": closed_ns[answering],
        "reset_by": _resetting_ends(table.reset_by_of[:count], client),
        "unreachable": _unreachable(table.unreachable_code_of[:count]),
        "client_think_ns": think,
        "exchanges": exchanges,
    }
    schema = table_schema("connections")
    return pa.Table.from_arrays([pa.array(columns[name]) for name in schema.names], schema=schema)


def _resetting_ends(reset_by: NDArray[np.int8], client: NDArray[np.int64]) -> pa.DictionaryArray:
    """The end that sent the first RST of each connection, as a word."""
    code = np.where(reset_by < 0, 0, np.where(reset_by == client, 1, 2)).astype(np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(code), pa.array(["", "client", "server"]))


def _unreachable(code: NDArray[np.int32]) -> pa.DictionaryArray:
    """What ICMP said of each connection, in words."""
    known, index = np.unique(code, return_inverse=True)
    words = ["" if number < 0 else unreachable_words(number) for number in known.tolist()]
    return pa.DictionaryArray.from_arrays(pa.array(index.astype(np.int32)), pa.array(words, pa.string()))
