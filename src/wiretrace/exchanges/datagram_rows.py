"""Exchanges read from datagrams as rows, and UDP conversations as rows of the table `connections`."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from wiretrace.exchanges.message_table import NO_MESSAGE, integers
from wiretrace.exchanges.outcomes import Judgement
from wiretrace.exchanges.pairing import Proof
from wiretrace.exchanges.record_batch import NOWHERE, ConnectionColumns
from wiretrace.exchanges.rows import OUTCOME_CODES, PROOF_CODES, Rows
from wiretrace.model.connection import UDP_NUMBERS
from wiretrace.model.schema import table_schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wiretrace.exchanges.datagrams import Finished, Sent
    from wiretrace.model.message import Message
    from wiretrace.packets.columns import FlowTable
    from wiretrace.tcp.datagrams import ConversationTable


STALLS = (
    *("request_stalled_ns", "response_stalled_ns", "request_blocked_ns", "response_blocked_ns"),
    *("queued_ns", "tls_ns"),
)
"""Columns of the table `exchanges` that are 0 in UDP, which waits for nothing."""
NOT_MEASURED = ("handshake_rtt_ns", "connect_ns", "client_data_rtt_ns", "server_data_rtt_ns")
"""Columns of the table `connections` of which UDP shows nothing."""


class DatagramMessages:
    """The messages of some exchanges as columns, in the form that `BatchMaker` takes. Arrays have shape (n,), int64.

    Row 0 stands for "no message". In place of a TCP sequence number stands the checksum of the first datagram.
    """

    several_protocols = False
    """Whether the messages of one conversation may be of several protocols."""

    def __init__(self, sent: Sequence[Sent]) -> None:
        self.messages: list[Message] = [NO_MESSAGE, *(each.message for each in sent)]
        self.start = integers([0, *(each.checksum for each in sent)])
        self.end = self.start + integers([0, *(each.message.end for each in sent)])
        self.elsewhere = np.zeros(len(self.messages), np.int64)
        self.start_ns = integers([-1, *(each.start_ns for each in sent)])
        self.end_ns = integers([-1, *(each.end_ns for each in sent)])
        self.role = np.frombuffer(bytes([message.role for message in self.messages]), np.int8)
        self.damaged = np.frombuffer(bytes([message.damaged for message in self.messages]), np.bool_)
        counts = integers([0, *(len(each.frames) for each in sent)])
        self.last_frame = np.cumsum(counts) - 1
        self.first_frame = self.last_frame + 1 - counts
        self.frame = integers([frame for each in sent for frame in each.frames])


class DatagramRows:
    """Finished exchanges, ready for `BatchMaker`."""

    def __init__(
        self,
        finished: Sequence[Finished],
        table: ConversationTable,
        flows: FlowTable,
        protocols: Sequence[str],
        first_connection: int,
    ) -> None:
        sent: list[Sent] = []
        ranks: dict[tuple[int, int], int] = {}
        places: list[tuple[int, int, int]] = []
        for each in finished:
            place = ranks.setdefault((each.conversation, each.client), len(ranks))
            at = [0, 0]
            for side, message in enumerate((each.request, each.response)):
                if message is not None:
                    sent.append(message)
                    at[side] = len(sent)
            places.append((place, at[0], at[1]))
        self.messages = DatagramMessages(sent)
        self.rows = Rows()
        rank, request, response = (integers(list(column)) for column in zip(*places, strict=True))
        proof = np.where((request > 0) & (response > 0), PROOF_CODES[Proof.IDENTIFIER], PROOF_CODES[Proof.NONE])
        outcome = integers([OUTCOME_CODES[each.outcome] for each in finished])
        judged = {at: Judgement(each.outcome, each.possible) for at, each in enumerate(finished) if each.possible}
        self.rows.set_plain(rank, request, response, proof, outcome, np.full(len(finished), -1), judged)
        self.figures = _figures(self.messages, request)
        self.connections = _ends(list(ranks), table, flows, protocols, first_connection)


def _figures(messages: DatagramMessages, request: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """What TCP tells of how messages travelled: of UDP only how often a question was asked again, and how long that took."""
    count = len(request)
    datagrams = messages.last_frame[request] + 1 - messages.first_frame[request]
    nothing, never = np.zeros(count, np.int64), np.zeros(count, np.bool_)
    return {
        "request_acknowledged": never,
        "response_acknowledged": never,
        "request_retransmitted": np.where(request > 0, np.maximum(datagrams - 1, 0), 0),
        "response_retransmitted": nothing,
        **dict.fromkeys(STALLS, nothing),
    }


def _ends(
    ranks: Sequence[tuple[int, int]],
    table: ConversationTable,
    flows: FlowTable,
    protocols: Sequence[str],
    first_connection: int,
) -> ConnectionColumns:
    """Who talks in each of the pairs of a conversation and the direction of its client."""
    number = integers([conversation for conversation, _ in ranks])
    clients, servers = [], []
    for flow, (_, client) in zip(table.flow_of[number].tolist(), ranks, strict=True):
        key = flows.keys[flow]
        ends = (address_text(key.address_a), key.port_a), (address_text(key.address_b), key.port_b)
        clients.append(ends[client])
        servers.append(ends[1 - client])
    zeros = np.zeros(len(number), np.int64)
    names = [protocols[state - 1] if state > 0 else "" for state in table.state_of[number].tolist()]
    return ConnectionColumns(
        number + (first_connection + UDP_NUMBERS), names, clients, servers, zeros, zeros, zeros + NOWHERE
    )


@lru_cache(maxsize=65536)
def address_text(packed: bytes) -> str:
    """The text of an address of 4 or 16 bytes."""
    return str(ipaddress.ip_address(packed))


def conversation_table(
    capture: str, table: ConversationTable, flows: FlowTable, protocols: Sequence[str], first_connection: int
) -> pa.Table:
    """All conversations as rows of the table `connections`; `protocols` are the names of the states from 1 on."""
    count = table.count
    client = table.client_of[:count].astype(np.int64)
    stream = 2 * np.arange(count)
    keys = [flows.keys[flow] for flow in table.flow_of[:count].tolist()]
    addresses = np.array([(address_text(key.address_a), address_text(key.address_b)) for key in keys], object)
    ports = np.array([(key.port_a, key.port_b) for key in keys], np.int32).reshape(-1, 2)
    addresses = addresses.reshape(-1, 2)
    rows = np.arange(count)
    names = np.array(["", *protocols], object)[np.maximum(table.state_of[:count], 0)]

    def constant(text: str) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), pa.array([text]))

    def texts(values: NDArray[Any]) -> pa.DictionaryArray:
        return pa.array(values, pa.string()).dictionary_encode()

    columns: dict[str, Any] = {
        "connection": rows + (first_connection + UDP_NUMBERS),
        "capture": constant(capture),
        "transport": constant("udp"),
        "protocol": texts(names),
        "client_address": texts(addresses[rows, client]),
        "client_port": ports[rows, client],
        "server_address": texts(addresses[rows, 1 - client]),
        "server_port": ports[rows, 1 - client],
        "opened_ns": table.first_ns_of[:count],
        "closed_ns": table.last_ns_of[:count],
        "handshake": np.ones(count, np.bool_),
        "ended": constant("open"),
        "reset_by": constant(""),
        "unreachable": constant(""),
        "client_bytes": table.bytes_of[stream + client],
        "server_bytes": table.bytes_of[stream + 1 - client],
        "exchanges": table.exchanges_of[:count],
        **dict.fromkeys(NOT_MEASURED, np.full(count, -1)),
    }
    schema = table_schema("connections")
    # What is left counts what TCP does and UDP does not.
    zeros = np.zeros(count, np.int64)
    return pa.Table.from_arrays([pa.array(columns.get(name, zeros)) for name in schema.names], schema=schema)
