"""Collects exchanges as rows, and turns them into Arrow record batches of the table `exchanges`.

Rules: one tuple per exchange, transposed once per batch; whatever depends only on packets or on the connection is looked
up for the whole batch by array operations. All text passes `redaction.scrub` on its way in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from wiretrace.exchanges.redaction import scrub
from wiretrace.model.message import Role, Transaction
from wiretrace.model.schema import table_schema

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.exchanges.pairing import Located, Pair
    from wiretrace.exchanges.provenance import Provenance
    from wiretrace.exchanges.values import ValueHasher
    from wiretrace.model.outcome import Outcome

_TRANSACTION_BITS = 24
_ATTRIBUTE_CACHE = 20_000
_encode = msgspec.json.Encoder().encode
_NO_TOKENS: list[int] = []


class TransactionCounter:
    """Numbers the database transactions of one connection, from the states that its responses tell."""

    __slots__ = ("_base", "_count", "_open")

    def __init__(self, connection: int) -> None:
        self._base = connection << _TRANSACTION_BITS
        self._count = 0
        self._open = False

    def number(self, state: Transaction) -> int:
        """The transaction of the exchange whose response leaves the session in `state`; -1 if none."""
        if state is Transaction.UNKNOWN:
            return self._base + self._count if self._open else -1
        was_open = self._open
        self._open = state is not Transaction.IDLE
        if not was_open and not self._open:
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
        self._older_frames: list[NDArray[np.int64]] = []
        self._older_count = 0
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
        hasher = self._hasher
        request, response = pair.request, pair.response
        asked = request.message if request is not None else None
        answer = response.message if response is not None else None
        named = asked if asked is not None else answer
        assert named is not None
        if request is not None and asked is not None:
            request_part: tuple[Any, ...] = (
                request.start_ns,
                request.end_ns,
                asked.end - asked.start,
                *self._frames(request),
                asked.start,
                hasher.digest(asked.operation.encode() + b"\0" + asked.values) if asked.values else 0,
                hasher.tokens(asked.values) if asked.values else _NO_TOKENS,
                asked.role is Role.ONE_WAY,
            )
        else:
            request_part = (-1, -1, 0, 0, 0, None, 0, _NO_TOKENS, False)
        if response is not None and answer is not None:
            response_part: tuple[Any, ...] = (
                response.start_ns,
                response.end_ns,
                answer.end - answer.start,
                *self._frames(response),
                answer.start,
                hasher.tokens(answer.values) if answer.values else _NO_TOKENS,
                answer.status,
            )
        else:
            response_part = (-1, -1, 0, 0, 0, None, _NO_TOKENS, "")
        identifiers = [
            f"{kind}:{scrub(value.decode('ascii', 'replace'))}"
            for message in (asked, answer)
            if message is not None
            for kind, value in message.identifiers
        ]
        notes = [note for message in (asked, answer) if message is not None for note in message.notes]
        if (request is not None and request.damaged) or (response is not None and response.damaged):
            notes.append("bytes of it were not captured")
        self._rows.append(
            (
                connection,
                protocol,
                named.operation,
                scrub(named.summary),
                outcome,
                possible,
                pair.proof,
                transaction,
                identifiers,
                self._attributes_of(asked, answer),
                notes,
                request_part,
                response_part,
            )
        )

    def add_attempt(
        self, connection: int, outcome: Outcome, possible: tuple[Outcome, ...], start_ns: int, end_ns: int
    ) -> None:
        """Add an attempt to connect that carried no byte."""
        self._rows.append(
            (
                connection,
                "tcp",
                "connect",
                "connect",
                outcome,
                possible,
                "",
                -1,
                [],
                "{}",
                [],
                (start_ns, start_ns, 0, 0, 0, None, 0, _NO_TOKENS, False),
                (-1, end_ns if end_ns > start_ns else -1, 0, 0, 0, None, _NO_TOKENS, ""),
            )
        )

    def flush(self, provenance: Provenance) -> pa.RecordBatch:
        """The rows so far as a record batch of the table `exchanges`. They are forgotten."""
        columns = list(zip(*self._rows, strict=True))
        connection = np.array(columns[0], np.int64)
        (request_start, request_end, request_bytes, request_first, request_last, request_offset, digest, request_tokens,
         one_way) = zip(*columns[11], strict=True)  # fmt: skip
        (response_start, response_end, response_bytes, response_first, response_last, response_offset, response_tokens,
         status) = zip(*columns[12], strict=True)  # fmt: skip
        frames = np.concatenate([provenance.frame, *self._older_frames]).astype(np.int32)
        shift = len(provenance.frame)
        known = self._connections
        addresses = pa.array(list(known.addresses), pa.string())
        schema = table_schema("exchanges")
        count = len(self._rows)

        def address(codes: list[int]) -> pa.DictionaryArray:
            return pa.DictionaryArray.from_arrays(np.array(codes, np.int32)[connection], addresses)

        def taken(values: list[int], dtype: type[np.generic]) -> NDArray[Any]:
            return np.array(values, dtype)[connection]

        numbers = np.array(list(known.index), np.int64) + self._first_connection
        arrays: dict[str, Any] = {
            "capture": pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), pa.array([self._capture])),
            "connection": numbers[connection],
            "protocol": _category(columns[1]),
            "operation": _category(columns[2]),
            "summary": pa.array(columns[3], pa.string()),
            "status": _category(status),
            "outcome": _category(columns[4]),
            "possible": pa.array(columns[5], pa.list_(pa.string())),
            "proof": _category(columns[6]),
            "client_address": address(known.client_address),
            "client_port": taken(known.client_port, np.int32),
            "server_address": address(known.server_address),
            "server_port": taken(known.server_port, np.int32),
            "request_start_ns": np.array(request_start, np.int64),
            "request_end_ns": np.array(request_end, np.int64),
            "response_start_ns": np.array(response_start, np.int64),
            "response_end_ns": np.array(response_end, np.int64),
            "request_bytes": np.array(request_bytes, np.int64),
            "response_bytes": np.array(response_bytes, np.int64),
            "request_frames": _frame_lists(frames, shift, request_first, request_last),
            "response_frames": _frame_lists(frames, shift, response_first, response_last),
            "request_seq": _sequence(request_offset, taken(known.client_base, np.int64)),
            "response_seq": _sequence(response_offset, taken(known.server_base, np.int64)),
            "request_digest": np.array(digest, np.uint64),
            "transaction": np.array(columns[7], np.int64),
            "one_way": pa.array(one_way, pa.bool_()),
            "request_tokens": _token_lists(request_tokens),
            "response_tokens": _token_lists(response_tokens),
            "identifiers": pa.array(columns[8], pa.list_(pa.string())),
            "attributes": pa.array(columns[9], pa.string()),
            "notes": pa.array(columns[10], pa.list_(pa.string())),
        }
        batch = pa.RecordBatch.from_arrays([pa.array(arrays[name]) for name in schema.names], schema=schema)
        self._rows.clear()
        self._older_frames.clear()
        self._older_count = 0
        self._connections = ConnectionColumns()
        return batch

    def _frames(self, located: Located) -> tuple[int, int]:
        """Where the frames of a message stand: a range of the provenance, or, below zero, of what is older."""
        if located.frames is None:
            return located.first, located.last + 1
        self._older_frames.append(located.frames)
        start = self._older_count
        self._older_count += len(located.frames)
        return -1 - start, -1 - self._older_count

    def _attributes_of(self, asked: Any, answer: Any) -> str:
        """The attributes of both messages as one JSON object. Messages may share dicts: remember by identity."""
        one = asked.attributes if asked is not None else None
        other = answer.attributes if answer is not None else None
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


def _category(values: Any) -> pa.DictionaryArray:
    return pa.array(values, pa.string()).dictionary_encode()


def _sequence(offsets: Any, base: NDArray[np.int64]) -> NDArray[np.int64]:
    """TCP sequence numbers of stream offsets (None: none). Shape (n,)."""
    missing = np.array([offset is None for offset in offsets], np.bool_)
    offset = np.array([0 if offset is None else offset for offset in offsets], np.int64)
    return np.where(missing | (base < 0), -1, (base + offset) & 0xFFFFFFFF)


def _frame_lists(frames: NDArray[np.int32], shift: int, first: Any, last: Any) -> pa.ListArray:
    """Lists of frames from ranges ``[first, last)``; ranges below zero count from `shift` on. Shapes (n,)."""
    start, stop = np.array(first, np.int64), np.array(last, np.int64)
    older = start < 0
    start, stop = np.where(older, shift - 1 - start, start), np.where(older, shift - 1 - stop, stop)
    lengths = stop - start
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    picks = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - start, lengths)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(frames[picks]))


def _token_lists(lists: Any) -> pa.ListArray:
    lengths = [len(tokens) for tokens in lists]
    offsets = np.concatenate([[0], np.cumsum(np.array(lengths, np.int64))]).astype(np.int32)
    values = np.array([token for tokens in lists for token in tokens], np.uint64)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
