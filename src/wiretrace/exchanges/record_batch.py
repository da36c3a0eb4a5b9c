"""Turns the rows of one chunk into an Arrow record batch of the table `exchanges`.

Rules: what depends on packets or on the connection comes from array operations; what depends on a message's text is worked
out once for each distinct text and looked up for the others. All text passes `redaction.scrub` on its way in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np
import pyarrow as pa

from wiretrace.exchanges.message_table import NO_MESSAGE
from wiretrace.exchanges.queued_messages import queued_messages
from wiretrace.exchanges.redaction import scrub
from wiretrace.exchanges.remembered_values import RememberedValues
from wiretrace.exchanges.rows import OUTCOMES, PROOFS
from wiretrace.exchanges.scrubbing import scrubbed_changes
from wiretrace.model.message import Role
from wiretrace.model.schema import table_schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from wiretrace.exchanges.outcomes import Judgement
    from wiretrace.exchanges.rows import Rows
    from wiretrace.exchanges.values import ValueHasher
    from wiretrace.model.message import Message

    Marked = tuple[list[tuple[int, Message]], list[tuple[int, Message]]]
    """Some of the requests and of the answers, each with its row."""

NOWHERE = -(2**62)
"""Stands for the offset of no message."""
REMEMBERED_ATTRIBUTES = 20_000
"""Pairs of attributes whose text is remembered."""
DAMAGED_NOTE = "bytes of it were not captured"

Attributes = dict[str, str | int]

_encoder = msgspec.json.Encoder()


class MessageColumns(Protocol):
    """Messages with the packets behind them, as `MessageTable` has them of streams: see there for each column."""

    messages: list[Message]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    elsewhere: NDArray[np.int64]
    start_ns: NDArray[np.int64]
    end_ns: NDArray[np.int64]
    role: NDArray[np.int8]
    damaged: NDArray[np.bool_]
    first_frame: NDArray[np.int64]
    last_frame: NDArray[np.int64]
    frame: NDArray[np.int64]

    @property
    def several_protocols(self) -> bool:
        """Whether the messages of one connection may be of several protocols."""


@dataclass(slots=True)
class ConnectionColumns:
    """What rows take from their connections. All of shape (ranks,)."""

    number: NDArray[np.int64]
    """As in the table `connections`."""
    protocol: list[str]
    client: list[tuple[str, int]]
    """Address and port."""
    server: list[tuple[str, int]]
    client_base: NDArray[np.int64]
    """TCP sequence number of the client's stream offset 0; -1 if not known; 0 for UDP, where no byte is numbered."""
    server_base: NDArray[np.int64]
    opening: NDArray[np.int64]
    """Stream offset of the first request, of connections whose beginning was captured; else NOWHERE."""


class BatchMaker:
    """Makes the record batches of one vantage point."""

    def __init__(self, capture: str, hasher: ValueHasher) -> None:
        self._capture = pa.array([capture])
        self._hasher = hasher
        self._values = RememberedValues(hasher)
        self._attributes: dict[tuple[int, int], str] = {}
        self._alive: list[tuple[object, object]] = []
        """The dicts whose identities are the keys of `_attributes`, so that their identities stay theirs."""

    def make(
        self, table: MessageColumns, rows: Rows, connections: ConnectionColumns, figures: Mapping[str, NDArray[Any]]
    ) -> pa.RecordBatch:
        """The batch of all `rows`, which are arranged; `figures` are columns of it that are made already."""
        rank, request, response = rows.rank, rows.request, rows.response
        count = len(rank)
        messages = table.messages
        asked = [messages[row] for row in request.tolist()]
        answers = [messages[row] for row in response.tolist()]
        named = asked
        if not request.all():
            named = [answer if each is NO_MESSAGE else each for each, answer in zip(asked, answers, strict=True)]
        values = [each.values for each in asked]
        request_tokens, response_tokens = self._values.tokens(values, [each.values for each in answers])
        delivered = rows.delivered.astype(np.bool_)
        clients, servers = (
            _Ends(connections.client + connections.server),
            _Ends(connections.server + connections.client),
        )
        # Where the server asked, it stands in the client's place.
        end = np.where(delivered, rank + len(connections.client), rank)
        asking = np.where(delivered, connections.server_base[rank], connections.client_base[rank])
        answering = np.where(delivered, connections.client_base[rank], connections.server_base[rank])
        operations = [each.operation for each in asked]
        marked = _marked(asked), _marked(answers)
        sent, received = queued_messages(*marked, answers, self._hasher)
        arrays: dict[str, Any] = {
            "capture": pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), self._capture),
            "connection": connections.number[rank],
            "protocol": _protocols(table, connections, rank, asked, answers),
            "operation": pa.array(
                operations if named is asked else [each.operation for each in named], pa.string()
            ).dictionary_encode(),
            "summary": _scrubbed([each.summary for each in named]),
            "status": pa.array([each.status for each in answers], pa.string()).dictionary_encode(),
            "outcome": pa.DictionaryArray.from_arrays(rows.outcome.astype(np.int32), pa.array(OUTCOMES, pa.string())),
            "possible": _sparse_lists(count, {row: judged.possible for row, judged in rows.judged.items()}),
            "proof": pa.DictionaryArray.from_arrays(rows.proof.astype(np.int32), pa.array(PROOFS, pa.string())),
            "client_address": clients.addresses(end),
            "client_port": clients.ports[end],
            "server_address": servers.addresses(end),
            "server_port": servers.ports[end],
            "request_start_ns": table.start_ns[request],
            "request_end_ns": table.end_ns[request],
            "response_start_ns": table.start_ns[response],
            "response_end_ns": table.end_ns[response],
            "request_bytes": table.end[request] - table.start[request] - table.elsewhere[request],
            "response_bytes": table.end[response] - table.start[response] - table.elsewhere[response],
            "request_frames": _frames(table, request),
            "response_frames": _frames(table, response),
            "request_seq": _sequence(table, request, asking),
            "response_seq": _sequence(table, response, answering),
            "request_digest": self._values.digests(operations, values),
            "transaction": rows.transaction,
            "one_way": table.role[request] == Role.ONE_WAY,
            "delivered": delivered,
            "sent": sent,
            "received": received,
            "opens": connections.opening[rank] == table.start[request],
            **figures,
            "given_up_ns": _given_up(count, rows.judged),
            "outcome_frames": _proof(count, rows.judged),
            "request_tokens": request_tokens,
            "response_tokens": response_tokens,
            "identifiers": _sparse_lists(count, _identifiers(marked)),
            "attributes": self._attribute_texts(asked, answers),
            "notes": _sparse_lists(count, _notes(marked, table.damaged[request] | table.damaged[response])),
        }
        schema = table_schema("exchanges")
        return pa.RecordBatch.from_arrays([pa.array(arrays[name]) for name in schema.names], schema=schema)

    def _attribute_texts(self, asked: list[Message], answers: list[Message]) -> pa.Array:
        """The attributes of both messages as one JSON object. Messages may share dicts: remembered by identity."""
        ones, others = [each.attributes for each in asked], [each.attributes for each in answers]
        known = self._attributes
        keys = list(zip(map(id, ones), map(id, others), strict=True))
        if len(known) > REMEMBERED_ATTRIBUTES:
            known.clear()
            self._alive.clear()
        texts = list(map(known.get, keys))
        if None in texts:
            places = {key: at for at, key in enumerate(keys) if texts[at] is None}
            self._alive += [(ones[at], others[at]) for at in places.values()]
            known.update(zip(places, _json([(ones[at], others[at]) for at in places.values()]), strict=True))
            texts = list(map(known.get, keys))
        return pa.array(texts, pa.string())


def _json(pairs: Sequence[tuple[Attributes | None, Attributes | None]]) -> list[str]:
    """The attributes of both messages of exchanges, scrubbed, as one JSON object each."""
    merged = [{**(one or {}), **(other or {})} for one, other in pairs]
    changes = scrubbed_changes({value for each in merged for value in each.values() if isinstance(value, str)})
    if changes:
        merged = [
            {name: changes.get(value, value) if isinstance(value, str) else value for name, value in each.items()}
            for each in merged
        ]
    return _encoder.encode_lines(merged).decode().split("\n")[:-1]


class _Ends:
    """Addresses and ports of one end of each connection."""

    def __init__(self, ends: Sequence[tuple[str, int]]) -> None:
        self._addresses = pa.array([address for address, _ in ends], pa.string()).dictionary_encode()
        self.ports = np.fromiter([port for _, port in ends], np.int32, len(ends))

    def addresses(self, rank: NDArray[np.int64]) -> pa.DictionaryArray:
        """The addresses of the ends `rank` (n,)."""
        return self._addresses.take(pa.array(rank))


def _protocols(
    table: MessageColumns,
    connections: ConnectionColumns,
    rank: NDArray[np.int64],
    asked: list[Message],
    answers: list[Message],
) -> pa.DictionaryArray:
    """The protocol of each exchange: its connection's, unless its messages say otherwise."""
    if not table.several_protocols:
        return pa.array(connections.protocol, pa.string()).dictionary_encode().take(pa.array(rank))
    usual = [connections.protocol[at] for at in rank.tolist()]
    own = [one.protocol or other.protocol or known for one, other, known in zip(asked, answers, usual, strict=True)]
    return pa.array(own, pa.string()).dictionary_encode()


def _frames(table: MessageColumns, rows: NDArray[np.int64]) -> pa.ListArray:
    """The frames behind each message, as a list array."""
    first = table.first_frame[rows]
    lengths = table.last_frame[rows] + 1 - first
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    picks = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - first, lengths)
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(table.frame[picks].astype(np.int32)))


def _sequence(table: MessageColumns, rows: NDArray[np.int64], base: NDArray[np.int64]) -> NDArray[np.int64]:
    """TCP sequence numbers of messages; -1 where there is no message. Shapes (n,)."""
    return np.where((rows == 0) | (base < 0), -1, (base + table.start[rows]) & 0xFFFFFFFF)


def _scrubbed(texts: list[str]) -> pa.Array:
    """The texts, scrubbed, each distinct one once."""
    changes = scrubbed_changes(set(texts))
    return pa.array([changes.get(text, text) for text in texts] if changes else texts, pa.string())


def _sparse_lists(count: int, lists: Mapping[int, Sequence[str]]) -> pa.ListArray:
    """`count` lists of strings, empty where `lists` has none for the row."""
    lengths = np.zeros(count + 1, np.int32)
    values: list[str] = []
    for row in sorted(lists):
        lengths[row + 1] = len(lists[row])
        values += lists[row]
    return pa.ListArray.from_arrays(pa.array(np.cumsum(lengths, dtype=np.int32)), pa.array(values, pa.string()))


def _given_up(count: int, judged: Mapping[int, Judgement]) -> NDArray[np.int64]:
    """When each wait ended without an answer; -1 where it did not."""
    moments = np.full(count, -1)
    for row, judgement in judged.items():
        moments[row] = judgement.given_up_ns
    return moments


def _proof(count: int, judged: Mapping[int, Judgement]) -> pa.ListArray:
    """The packets that prove each outcome."""
    lengths = np.zeros(count + 1, np.int32)
    frames: list[int] = []
    for row in sorted(judged):
        lengths[row + 1] = len(judged[row].frames)
        frames += judged[row].frames
    return pa.ListArray.from_arrays(pa.array(np.cumsum(lengths, dtype=np.int32)), pa.array(frames, pa.int32()))


def _marked(messages: list[Message]) -> list[tuple[int, Message]]:
    """Those of `messages` that say what hardly any does, each with its place: one look for all of that."""
    return [
        (row, each) for row, each in enumerate(messages) if each.identifiers or each.notes or each.messaging is not None
    ]


def _identifiers(marked: Marked) -> dict[int, list[str]]:
    """By row, where there are any: the identifiers of both messages."""
    found: dict[int, list[str]] = {}
    for messages in marked:
        for row, message in messages:
            if message.identifiers:
                found.setdefault(row, []).extend(
                    f"{kind}:{scrub(value.decode('ascii', 'replace'))}" for kind, value in message.identifiers
                )
    return found


def _notes(marked: Marked, damaged: NDArray[np.bool_]) -> dict[int, list[str]]:
    """By row, where there are any: what could not be read of both messages."""
    found: dict[int, list[str]] = {}
    for messages in marked:
        for row, message in messages:
            if message.notes:
                found.setdefault(row, []).extend(message.notes)
    for row in np.flatnonzero(damaged).tolist():
        found.setdefault(row, []).append(DAMAGED_NOTE)
    return found
