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
from wiretrace.tcp.connections import Ending

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
    opening = thread.habits.opening
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
    protocol = np.full(count, "", object)
    protocol[known] = [each.protocol for each in spoken.values()]
    stream = 2 * np.arange(count)
    asking, answering = stream + client, stream + 1 - client
    syn, syn_ack = table.syn_ns_of[:count], table.syn_ack_ns_of[:count]
    both = (syn >= 0) & (syn_ack >= syn)

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
        "connect_ns": np.full(count, -1),
        "syns_repeated": np.zeros(count, np.int64),
        "syn_acks_repeated": np.zeros(count, np.int64),
        "client_data_rtt_ns": np.full(count, -1),
        "server_data_rtt_ns": np.full(count, -1),
        "client_bytes": table.bytes_of[asking],
        "server_bytes": table.bytes_of[answering],
        "client_lost_bytes": table.lost_of[asking],
        "server_lost_bytes": table.lost_of[answering],
        "retransmitted_segments": table.retransmitted_of[asking] + table.retransmitted_of[answering],
        "client_retransmitted": table.retransmitted_of[asking],
        "server_retransmitted": table.retransmitted_of[answering],
        "keep_alives": np.zeros(count, np.int64),
        "out_of_order_segments": table.out_of_order_of[asking] + table.out_of_order_of[answering],
        "zero_windows": table.zero_windows_of[:count],
        "client_zero_window_ns": np.zeros(count, np.int64),
        "server_zero_window_ns": np.zeros(count, np.int64),
        "reset_by": pa.array([""] * count, pa.string()).dictionary_encode(),
        "unreachable": pa.array([""] * count, pa.string()).dictionary_encode(),
        "client_think_ns": np.zeros(count, np.int64),
        "exchanges": exchanges,
    }
    schema = table_schema("connections")
    return pa.Table.from_arrays([pa.array(columns[name]) for name in schema.names], schema=schema)
