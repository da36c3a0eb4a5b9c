"""Collects exchanges as rows, and turns them into Arrow record batches of the table `exchanges`.

Rules: one tuple per exchange, transposed once per batch; whatever depends only on packets or on the connection is looked
up for the whole batch by array operations. All text passes `redaction.scrub` on its way in.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from wiretrace.exchanges.pairing import Located
from wiretrace.exchanges.redaction import scrub
from wiretrace.model.message import Message, Role, Transaction
from wiretrace.model.schema import table_schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wiretrace.exchanges.pairing import Pair
    from wiretrace.exchanges.provenance import Provenance
    from wiretrace.exchanges.values import ValueHasher
    from wiretrace.model.outcome import Outcome

_TRANSACTION_BITS = 24
_ATTRIBUTE_CACHE = 20_000
_encode = msgspec.json.Encoder().encode
_NONE: list[str] = []
ONE_WAY = Role.ONE_WAY

NO_MESSAGE = Message(Role.CONTROL, 0, 0)
NOTHING = Located(NO_MESSAGE, -1, -1, 0, 0, -1, 0, 0, damaged=False)
"""Stands in a row for the half that there is not."""


class TransactionCounter:
    """Numbers the database transactions of one connection, from the states that its responses tell."""

    __slots__ = ("_base", "_count", "open")

    def __init__(self, connection: int) -> None:
        self._base = connection << _TRANSACTION_BITS
        self._count = 0
        self.open = False
        """Whether a transaction is open."""

    def number(self, state: Transaction) -> int:
        """The transaction of the exchange whose response leaves the session in `state`; -1 if none."""
        if state is Transaction.UNKNOWN:
            return self._base + self._count if self.open else -1
        was_open = self.open
        self.open = state is not Transaction.IDLE
        if not was_open and not self.open:
            return -1
        if not was_open:
            self._count += 1
        return self._base + self._count


class ConnectionColumns:
    """What rows take from their connection: filled once per connection, looked up by array operations."""

    def __init__(self) -> None:
        self.index: dict[int, int] = {}
        self.client_address: list[int] = []
        self.client_port: list[int] = []
        self.server_address: list[int] = []
        self.server_port: list[int] = []
        self.client_base: list[int] = []
        self.server_base: list[int] = []
        self.addresses: dict[str, int] = {}

    def add(self, connection: int, client: tuple[str, int], server: tuple[str, int], bases: tuple[int, int]) -> int:
        """Remember a connection. Returns its index in the columns."""
        number = self.index.get(connection)
        if number is None:
            number = self.index[connection] = len(self.client_port)
            self.client_address.append(self.addresses.setdefault(client[0], len(self.addresses)))
            self.client_port.append(client[1])
            self.server_address.append(self.addresses.setdefault(server[0], len(self.addresses)))
            self.server_port.append(server[1])
            self.client_base.append(bases[0])
            self.server_base.append(bases[1])
        return number


class ExchangeRows:
    """Rows of one vantage point, until they are flushed as a record batch."""

    def __init__(self, capture: str, hasher: ValueHasher, first_connection: int) -> None:
        self._capture = capture
        self._first_connection = first_connection
        self._hasher = hasher
        self._rows: list[tuple[Any, ...]] = []
        self._connections = ConnectionColumns()
        self._attributes: dict[tuple[int, int], tuple[str, object, object]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def connection(
        self, connection: int, client: tuple[str, int], server: tuple[str, int], bases: tuple[int, int]
    ) -> int:
        """Announce a connection whose rows follow. Returns the number to give to `add`."""
        return self._connections.add(connection, client, server, bases)

    def add(
        self,
        connection: int,
        protocol: str,
        pair: Pair,
        outcome: Outcome,
        possible: tuple[Outcome, ...],
        transaction: int,
    ) -> None:
        """Add one exchange. `connection` is the number that `connection` gave."""
        self._rows.append((connection, protocol, pair, outcome, possible, transaction))

    def flush(self, provenance: Provenance) -> pa.RecordBatch:
        """The rows so far as a record batch of the table `exchanges`. They are forgotten."""
        connections, protocols, pairs, outcomes, possible, transactions = zip(*self._rows, strict=True)
        connection = np.array(connections, np.int64)
        requests = [pair.request or NOTHING for pair in pairs]
        responses = [pair.response or NOTHING for pair in pairs]
        asked = [request.message for request in requests]
        answers = [response.message for response in responses]
        named = [answer if request is NO_MESSAGE else request for request, answer in zip(asked, answers, strict=True)]
        frames = _Frames(provenance)
        known = self._connections
        addresses = pa.array(list(known.addresses), pa.string())
        schema = table_schema("exchanges")
        count = len(pairs)
        tokens, digest = self._hasher.tokens, self._hasher.digest

        def address(codes: list[int]) -> pa.DictionaryArray:
            return pa.DictionaryArray.from_arrays(np.array(codes, np.int32)[connection], addresses)

        def taken(values: list[int], dtype: type[np.generic]) -> NDArray[Any]:
            return np.array(values, dtype)[connection]

        numbers = np.array(list(known.index), np.int64) + self._first_connection
        asked_start, answered_start = _column([each.start for each in asked]), _column([each.start for each in answers])
        arrays: dict[str, Any] = {
            "capture": pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), pa.array([self._capture])),
            "connection": numbers[connection],
            "protocol": _category(protocols),
            "operation": _category([each.operation for each in named]),
            "summary": pa.array([scrub(each.summary) for each in named], pa.string()),
            "status": _category([each.status for each in answers]),
            "outcome": _category(outcomes),
            "possible": pa.array(possible, pa.list_(pa.string())),
            "proof": _category([pair.proof for pair in pairs]),
            "client_address": address(known.client_address),
            "client_port": taken(known.client_port, np.int32),
            "server_address": address(known.server_address),
            "server_port": taken(known.server_port, np.int32),
            "request_start_ns": _column([each.start_ns for each in requests]),
            "request_end_ns": _column([each.end_ns for each in requests]),
            "response_start_ns": _column([each.start_ns for each in responses]),
            "response_end_ns": _column([each.end_ns for each in responses]),
            "request_bytes": _lengths(requests),
            "response_bytes": _lengths(responses),
            "request_frames": frames.lists(requests),
            "response_frames": frames.lists(responses),
            "request_seq": _sequence(asked_start, requests, taken(known.client_base, np.int64)),
            "response_seq": _sequence(answered_start, responses, taken(known.server_base, np.int64)),
            "request_digest": np.array([digest(each.operation, each.values) for each in asked], np.uint64),
            "transaction": _column(transactions),
            "one_way": np.array([each.role is ONE_WAY for each in asked], np.bool_),
            "request_tokens": _token_lists([tokens(each.values) for each in asked]),
            "response_tokens": _token_lists([tokens(each.values) for each in answers]),
            "identifiers": pa.array(_identifiers(asked, answers), pa.list_(pa.string())),
            "attributes": pa.array(list(map(self._attributes_of, asked, answers)), pa.string()),
            "notes": pa.array(_notes(requests, responses), pa.list_(pa.string())),
        }
        batch = pa.RecordBatch.from_arrays([pa.array(arrays[name]) for name in schema.names], schema=schema)
        self._rows.clear()
        self._connections = ConnectionColumns()
        return batch

    def _attributes_of(self, asked: Message, answer: Message) -> str:
        """The attributes of both messages as one JSON object. Messages may share dicts: remember by identity."""
        one, other = asked.attributes, answer.attributes
        if not one and not other:
            return "{}"
        key = (id(one), id(other))
        known = self._attributes.get(key)
        if known is not None:
            return known[0]
        merged = {**(one or {}), **(other or {})}
        text = _encode(
            {name: scrub(value) if isinstance(value, str) else value for name, value in merged.items()}
        ).decode()
        if len(self._attributes) >= _ATTRIBUTE_CACHE:
            self._attributes.clear()
        # The dicts are kept with the text, so that their identities stay theirs.
        self._attributes[key] = (text, one, other)
        return text


class _Frames:
    """Frames of messages: ranges of the chunk's provenance, and of what is older."""

    def __init__(self, provenance: Provenance) -> None:
        self._frame = provenance.frame

    def lists(self, located: list[Located]) -> pa.ListArray:
        """The frames of each message, as a list array."""
        start = _column([each.first for each in located])
        stop = _column([each.last for each in located]) + 1
        frame = self._frame
        older = [index for index, each in enumerate(located) if each.frames is not None]
        if older:
            pieces = [frames for index in older if (frames := located[index].frames) is not None]
            ends = len(frame) + np.cumsum([len(piece) for piece in pieces])
            frame = np.concatenate([frame, *pieces])
            stop[older] = ends
            start[older] = np.concatenate([[len(self._frame)], ends[:-1]])
        lengths = stop - start
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        picks = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - start, lengths)
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(frame[picks].astype(np.int32)))


def _column(values: Sequence[int]) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def _lengths(located: list[Located]) -> NDArray[np.int64]:
    """Bytes of each message, without those of others that lie between its own. Shape (n,)."""
    return _column([each.message.end - each.message.start - each.elsewhere for each in located])


def _category(values: Any) -> pa.DictionaryArray:
    return pa.array(values, pa.string()).dictionary_encode()


def _sequence(offset: NDArray[np.int64], located: list[Located], base: NDArray[np.int64]) -> NDArray[np.int64]:
    """TCP sequence numbers of stream offsets; -1 where there is no message. Shape (n,)."""
    missing = np.array([each is NOTHING for each in located], np.bool_)
    return np.where(missing | (base < 0), -1, (base + offset) & 0xFFFFFFFF)


def _token_lists(lists: list[list[int]]) -> pa.ListArray:
    offsets = np.concatenate([[0], np.cumsum([len(tokens) for tokens in lists])]).astype(np.int32)
    values = np.array(list(itertools.chain.from_iterable(lists)), np.uint64)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))


def _identifiers(asked: list[Message], answers: list[Message]) -> list[list[str]]:
    found = []
    for request, answer in zip(asked, answers, strict=True):
        both = request.identifiers + answer.identifiers
        found.append([f"{kind}:{scrub(value.decode('ascii', 'replace'))}" for kind, value in both] if both else _NONE)
    return found


def _notes(requests: list[Located], responses: list[Located]) -> list[list[str]]:
    found = []
    for request, response in zip(requests, responses, strict=True):
        notes = [*request.message.notes, *response.message.notes]
        if request.damaged or response.damaged:
            notes.append("bytes of it were not captured")
        found.append(notes)
    return found
