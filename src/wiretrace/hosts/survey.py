"""What must be known of all exchanges before any of them is merged: a first, quick pass over the vantage points.

Rules: exchanges stream by; what is kept is the ends that serve, what they are asked for, a bounded sample, and in files
the times. The sample takes an exchange at every vantage point or at none, so that clocks can be compared by it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from wiretrace.hosts.lookups import read_answers
from wiretrace.hosts.moments import Moments
from wiretrace.hosts.names import HINTED_CALLS, WEB_PROTOCOLS, is_host_name, name_hints
from wiretrace.hosts.timeouts import find_timeouts, waits_given_up
from wiretrace.hosts.views import VIEW_COLUMNS, category, integers, mix, number_groups
from wiretrace.model.schema import table_schema

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

SAMPLED_EXCHANGES = 100_000
"""Exchanges of all vantage points together that hosts and clocks are recognised by; where there is one, a tenth."""
LOOKED_UP = 100_000
"""Addresses whose names are kept of what was looked up."""


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
        self.operations: dict[ServerEnd, Counter[str]] = defaultdict(Counter)
        """What it was asked for, and how often."""
        self.delivered: dict[ServerEnd, Counter[str]] = defaultdict(Counter)
        """What brokers deliver to their clients, by client; its port counts for nothing and is 0."""
        self.hints: dict[ServerEnd, Counter[str]] = defaultdict(Counter)
        """By server of the web: names by which it was asked for."""
        self.looked_up: dict[str, Counter[str]] = defaultdict(Counter)
        """By address: names that were looked up and led to it, how often; at most `LOOKED_UP` addresses."""
        sampled = SAMPLED_EXCHANGES if vantage_points > 1 else SAMPLED_EXCHANGES // 10
        self._one_in = -(-max(exchanges, 1) // sampled)
        self._sampled: list[pa.RecordBatch] = []
        self._waits: list[tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]] = []
        """Capture, caller and length of the waits that clients gave up."""

    def add(self, capture: str, parts: Iterable[pa.RecordBatch]) -> None:
        """Look at all exchanges of one vantage point; `parts` have the schema of the table `exchanges`."""
        moments = Moments(self._folder / f"{len(self.captures)}.moments")
        for part in parts:
            table = pa.table(part)
            request_start, response_start = integers(table, "request_start_ns"), integers(table, "response_start_ns")
            start = np.where(request_start >= 0, request_start, response_start)
            answered = np.maximum(integers(table, "request_end_ns"), integers(table, "response_end_ns"))
            moments.add(start, np.maximum(start, answered))
            delivered = table.column("delivered").to_numpy().astype(np.bool_, copy=False)
            self._look_at_servers(table.filter(pa.array(~delivered)) if delivered.any() else table)
            if delivered.any():
                self._look_at_deliveries(table.filter(pa.array(delivered)))
            self._look_at_answers(table)
            self._sampled.append(self._sample(table))
            callers, waited = waits_given_up(table)
            if len(callers):
                self._waits.append((np.full(len(callers), len(self.captures)), callers, waited))
        self.captures.append(capture)
        self.moments.append(moments)

    @property
    def sample(self) -> pa.Table:
        """The sampled exchanges: the columns of the table `exchanges` that views are made of."""
        return pa.Table.from_batches(self._sampled, SAMPLE_SCHEMA)

    def timeouts(self) -> dict[int, list[tuple[int, int]]]:
        """The waits that clients show again and again; see `find_timeouts`."""
        if not self._waits:
            return {}
        capture, caller, waited = (np.concatenate(column) for column in zip(*self._waits, strict=True))
        return find_timeouts(capture, caller, waited)

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
            codes, counts = np.unique(operation[rows], return_counts=True)
            told = zip(codes.tolist(), counts.tolist(), strict=True)
            self.operations[end].update({operations[code]: count for code, count in told})
            if end.protocol in WEB_PROTOCOLS and self.hints[end].total() < HINTED_CALLS:
                self.hints[end].update(name_hints(attributes.take(pa.array(rows[:HINTED_CALLS]))))

    def _look_at_deliveries(self, table: pa.Table) -> None:
        columns = ("server_address", "protocol", "operation")
        for row in table.select(columns).group_by(columns).aggregate([([], "count_all")]).to_pylist():
            end = ServerEnd(len(self.captures), row["server_address"], 0, row["protocol"])
            self.delivered[end][row["operation"]] += row["count_all"]

    def _look_at_answers(self, table: pa.Table) -> None:
        for _, answers in read_answers(table):
            name = answers.name.rstrip(".").lower()
            if not is_host_name(name):
                continue
            for address in answers.addresses:
                if address in self.looked_up or len(self.looked_up) < LOOKED_UP:
                    self.looked_up[address][name] += 1

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
