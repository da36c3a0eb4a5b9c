"""What must be known of all exchanges before any of them is merged: a first, quick pass over the vantage points.

Rules: exchanges stream by; what is kept is the ends that serve, what they are asked for, a bounded sample, and in files
the times. The sample takes an exchange at every vantage point or at none, so that clocks can be compared by it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from wiretrace.hosts.moments import Moments
from wiretrace.hosts.names import HINTED_CALLS, WEB_PROTOCOLS, name_hints
from wiretrace.hosts.views import VIEW_COLUMNS, category, integers, mix, number_groups
from wiretrace.model.schema import table_schema

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SAMPLED_EXCHANGES = 100_000
"""Exchanges of all vantage points together that hosts and clocks are recognised by; where there is one, a tenth."""


SAMPLE_SCHEMA = pa.schema(
    [
        (field.name, pa.string() if pa.types.is_dictionary(field.type) else field.type)
        for field in map(table_schema("exchanges").field, VIEW_COLUMNS)
    ]
)
"""Columns of the sample, with categories as plain texts."""


class ServerEnd(NamedTuple):
    """Where something was asked for, and in which protocol."""

    capture: int
    """Number of the vantage point that saw it: loopback addresses mean the host that recorded them."""
    address: str
    port: int
    protocol: str


class Survey:
    """What is known of the exchanges of all vantage points, in the order in which they were added."""

    def __init__(self, exchanges: int, vantage_points: int, folder: Path) -> None:
        """`exchanges` is how many there are in all, at so many vantage points; files go into `folder`."""
        self._folder = folder
        self.captures: list[str] = []
        """Names of the vantage points."""
        self.moments: list[Moments] = []
        """By vantage point: when each exchange began and ended."""
        self.asked: Counter[ServerEnd] = Counter()
        """How often each server was asked for anything."""
        self.operations: dict[ServerEnd, set[str]] = defaultdict(set)
        """What it was asked for."""
        self.hints: dict[ServerEnd, Counter[str]] = defaultdict(Counter)
        """By server of the web: names by which it was asked for."""
        sampled = SAMPLED_EXCHANGES if vantage_points > 1 else SAMPLED_EXCHANGES // 10
        self._one_in = -(-max(exchanges, 1) // sampled)
        self._sampled: list[pa.RecordBatch] = []

    def add(self, capture: str, parts: Iterable[pa.RecordBatch]) -> None:
        """Look at all exchanges of one vantage point; `parts` have the schema of the table `exchanges`."""
        moments = Moments(self._folder / f"{len(self.captures)}.moments")
        for part in parts:
            table = pa.table(part)
            request_start, response_start = integers(table, "request_start_ns"), integers(table, "response_start_ns")
            start = np.where(request_start >= 0, request_start, response_start)
            answered = np.maximum(integers(table, "request_end_ns"), integers(table, "response_end_ns"))
            moments.add(start, np.maximum(start, answered))
            self._look_at_servers(table)
            self._sampled.append(self._sample(table))
        self.captures.append(capture)
        self.moments.append(moments)

    @property
    def sample(self) -> pa.Table:
        """The sampled exchanges: the columns of the table `exchanges` that views are made of."""
        return pa.Table.from_batches(self._sampled, SAMPLE_SCHEMA)

    def _look_at_servers(self, table: pa.Table) -> None:
        capture = len(self.captures)
        address, addresses = category(table, "server_address")
        protocol, protocols = category(table, "protocol")
        operation, operations = category(table, "operation")
        port = integers(table, "server_port")
        attributes = table.column("attributes")
        server, servers = number_groups(mix(51, address, port, protocol))
        for rows in np.split(np.argsort(server, kind="stable"), np.cumsum(np.bincount(server, minlength=servers))[:-1]):
            if not len(rows):
                continue
            row = rows[0]
            end = ServerEnd(capture, addresses[address[row]], int(port[row]), protocols[protocol[row]])
            self.asked[end] += len(rows)
            self.operations[end].update(operations[code] for code in np.unique(operation[rows]).tolist())
            if end.protocol in WEB_PROTOCOLS and self.hints[end].total() < HINTED_CALLS:
                self.hints[end].update(name_hints(attributes.take(pa.array(rows[:HINTED_CALLS]))))

    def _sample(self, table: pa.Table) -> pa.RecordBatch:
        chosen = table.select(VIEW_COLUMNS)
        if self._one_in > 1:
            asked, answered = integers(table, "request_seq"), integers(table, "response_seq")
            drawn = mix(53, asked, answered) % np.uint64(self._one_in) == 0
            chosen = chosen.filter(pa.array(drawn & (asked >= 0) & (answered >= 0)))
        # Texts are copied: a category would keep the whole part that it was read with.
        return pa.RecordBatch.from_arrays(
            [chosen.column(field.name).cast(field.type).combine_chunks() for field in SAMPLE_SCHEMA],
            schema=SAMPLE_SCHEMA,
        )
