"""The columns of the exchanges as NumPy arrays, and the vector operations that the floor shares.

Rules: row i is exchange i everywhere; texts stay in Arrow, and are numbered where they are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


VIEW_COLUMNS = (
    "capture",
    "connection",
    "client_address",
    "client_port",
    "server_address",
    "server_port",
    "request_start_ns",
    "request_end_ns",
    "response_start_ns",
    "response_end_ns",
    "request_bytes",
    "response_bytes",
    "request_seq",
    "response_seq",
    "request_digest",
    "opens",
    "request_stalled_ns",
    "response_stalled_ns",
    "request_blocked_ns",
    "response_blocked_ns",
    "queued_ns",
)
"""Columns of the table `exchanges` that `read_views` takes."""


@dataclass(slots=True)
class Views:
    """The exchanges as seen. All arrays have shape (n,)."""

    capture: NDArray[np.int32]
    """Number of the capture."""
    connection: NDArray[np.int64]
    client: NDArray[np.int32]
    """Address of the client: index into `addresses`."""
    client_port: NDArray[np.int64]
    server: NDArray[np.int32]
    server_port: NDArray[np.int64]
    request_start: NDArray[np.int64]
    request_end: NDArray[np.int64]
    response_start: NDArray[np.int64]
    response_end: NDArray[np.int64]
    request_bytes: NDArray[np.int64]
    response_bytes: NDArray[np.int64]
    request_seq: NDArray[np.int64]
    response_seq: NDArray[np.int64]
    digest: NDArray[np.uint64]
    opens: NDArray[np.bool_]
    """Whether it is the first of its connection."""
    request_stalled: NDArray[np.int64]
    response_stalled: NDArray[np.int64]
    request_blocked: NDArray[np.int64]
    response_blocked: NDArray[np.int64]
    queued: NDArray[np.int64]
    addresses: list[str]
    """Every address once."""

    def __len__(self) -> int:
        return len(self.capture)

    @property
    def completeness(self) -> NDArray[np.int64]:
        """How much of each exchange was seen: 3 both halves, 2 the request, 1 the response."""
        return 2 * (self.request_start >= 0) + (self.response_start >= 0)


def read_views(exchanges: pa.Table, captures: Sequence[str]) -> Views:
    """Take the `VIEW_COLUMNS` out of exchanges. Captures are numbered as in `captures`."""
    capture_codes, capture_names = category(exchanges, "capture")
    numbers = {name: number for number, name in enumerate(captures)}
    of_code = np.array([numbers[name] for name in capture_names] or [0], dtype=np.int32)
    client, client_names = category(exchanges, "client_address")
    server, server_names = category(exchanges, "server_address")
    addresses = sorted({*client_names, *server_names})
    number_of = {address: number for number, address in enumerate(addresses)}
    of_client = np.array([number_of[name] for name in client_names] or [0], dtype=np.int32)
    of_server = np.array([number_of[name] for name in server_names] or [0], dtype=np.int32)
    return Views(
        capture=of_code[capture_codes],
        connection=integers(exchanges, "connection"),
        client=of_client[client],
        client_port=integers(exchanges, "client_port"),
        server=of_server[server],
        server_port=integers(exchanges, "server_port"),
        request_start=integers(exchanges, "request_start_ns"),
        request_end=integers(exchanges, "request_end_ns"),
        response_start=integers(exchanges, "response_start_ns"),
        response_end=integers(exchanges, "response_end_ns"),
        request_bytes=integers(exchanges, "request_bytes"),
        response_bytes=integers(exchanges, "response_bytes"),
        request_seq=integers(exchanges, "request_seq"),
        response_seq=integers(exchanges, "response_seq"),
        digest=exchanges.column("request_digest").to_numpy().astype(np.uint64, copy=False),
        opens=exchanges.column("opens").to_numpy().astype(np.bool_, copy=False),
        request_stalled=integers(exchanges, "request_stalled_ns"),
        response_stalled=integers(exchanges, "response_stalled_ns"),
        request_blocked=integers(exchanges, "request_blocked_ns"),
        response_blocked=integers(exchanges, "response_blocked_ns"),
        queued=integers(exchanges, "queued_ns"),
        addresses=addresses,
    )


def integers(table: pa.Table, name: str) -> NDArray[np.int64]:
    """A column of whole numbers without nulls."""
    column: NDArray[Any] = table.column(name).to_numpy()
    return column.astype(np.int64, copy=False)


def category(table: pa.Table, name: str) -> tuple[NDArray[np.int32], list[str]]:
    """A column of few distinct texts: their numbers, and the texts. Null is the empty text."""
    column = table.column(name)
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    column = column.unify_dictionaries()
    if column.num_chunks == 0:
        return np.zeros(0, dtype=np.int32), []
    texts: list[str] = ["" if text is None else text for text in column.chunk(0).dictionary.to_pylist()]
    parts = []
    for chunk in column.chunks:
        codes = chunk.indices
        if codes.null_count:
            if "" not in texts:
                texts.append("")
            codes = codes.fill_null(texts.index(""))
        parts.append(codes.to_numpy().astype(np.int32, copy=False))
    return np.concatenate(parts), texts


def mix(seed: int, *columns: NDArray[Any]) -> NDArray[np.uint64]:
    """A 64-bit hash of each row of the columns (the finaliser of SplitMix64 over each in turn)."""
    value = np.full(len(columns[0]), seed, dtype=np.uint64)
    for column in columns:
        value ^= column.astype(np.uint64, copy=False)
        value += np.uint64(0x9E3779B97F4A7C15)
        value ^= value >> np.uint64(30)
        value *= np.uint64(0xBF58476D1CE4E5B9)
        value ^= value >> np.uint64(27)
        value *= np.uint64(0x94D049BB133111EB)
        value ^= value >> np.uint64(31)
    return value


def text_hash(text: str) -> int:
    """A 64-bit hash of a text, the same in every run."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def number_groups(key: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
    """Number rows with equal keys alike, from 0; and how many numbers there are."""
    if not len(key):
        return np.zeros(0, dtype=np.int64), 0
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    number = np.empty(len(key), dtype=np.int64)
    number[order] = np.concatenate(([0], np.cumsum(ordered[1:] != ordered[:-1])))
    return number, int(number[order[-1]]) + 1


def rank_within(key: NDArray[Any], *by: NDArray[Any]) -> NDArray[np.int64]:
    """For each row, how many rows with the same key come before it in the order of `by` (first column first)."""
    order = np.lexsort((*by[::-1], key))
    ordered = key[order]
    begins = np.concatenate(([True], ordered[1:] != ordered[:-1])) if len(key) else np.zeros(0, dtype=bool)
    position = np.arange(len(key))
    start = np.maximum.accumulate(np.where(begins, position, 0)) if len(key) else position
    rank = np.empty(len(key), dtype=np.int64)
    rank[order] = position - start
    return rank


def unite(first: NDArray[np.int64], second: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Components of the graph of `count` nodes with an edge from ``first[i]`` to ``second[i]``: a number for each node.

    The number of a component is its lowest node: labels sink along the edges, and jump to the labels of their labels,
    until none moves.
    """
    label = np.arange(count)
    while True:
        lowest = np.minimum(label[first], label[second])
        sunk = label.copy()
        np.minimum.at(sunk, label[first], lowest)
        np.minimum.at(sunk, label[second], lowest)
        sunk = sunk[sunk]
        if np.array_equal(sunk, label):
            return label
        label = sunk
