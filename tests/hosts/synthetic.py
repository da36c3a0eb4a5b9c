"""Synthetic tables: a small world of hosts whose captures see the exchanges between them, each by its own clock."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wiretrace.hosts.calls import merge_exchanges
from wiretrace.hosts.knowledge import learn_hosts
from wiretrace.hosts.survey import Survey
from wiretrace.hosts.vantage import CaptureInfo
from wiretrace.model.note import Notes
from wiretrace.model.schema import table_schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wiretrace.hosts.clocks import ClockEstimate
    from wiretrace.model.link_problem import LinkProblem

EPOCH = 1_790_000_000_000_000_000
MILLISECOND = 1_000_000

EXCHANGE_DEFAULTS: dict[str, Any] = {
    "protocol": "http",
    "operation": "GET /",
    "summary": "GET /",
    "status": "200",
    "outcome": "ok",
    "possible": [],
    "proof": "acknowledged",
    "request_frames": [1],
    "response_frames": [2],
    "request_bytes": 100,
    "response_bytes": 200,
    "request_digest": 0,
    "transaction": -1,
    "one_way": False,
    "delivered": False,
    "sent": [],
    "received": [],
    "opens": False,
    "tls_ns": 0,
    "request_acknowledged": True,
    "response_acknowledged": True,
    "request_retransmitted": 0,
    "response_retransmitted": 0,
    "request_stalled_ns": 0,
    "response_stalled_ns": 0,
    "request_blocked_ns": 0,
    "response_blocked_ns": 0,
    "queued_ns": 0,
    "given_up_ns": -1,
    "outcome_frames": [],
    "request_tokens": [],
    "response_tokens": [],
    "identifiers": [],
    "attributes": "{}",
    "notes": [],
}
CONNECTION_DEFAULTS: dict[str, Any] = {
    "protocol": "http",
    "handshake": True,
    "ended": "client_fin",
    "handshake_rtt_ns": -1,
    "client_bytes": 0,
    "server_bytes": 0,
    "client_lost_bytes": 0,
    "server_lost_bytes": 0,
    "client_segments": 1,
    "server_segments": 1,
    "retransmitted_segments": 0,
    "out_of_order_segments": 0,
    "zero_windows": 0,
    "connect_ns": -1,
    "syns_repeated": 0,
    "syn_acks_repeated": 0,
    "client_data_rtt_ns": -1,
    "server_data_rtt_ns": -1,
    "client_retransmitted": 0,
    "server_retransmitted": 0,
    "keep_alives": 0,
    "client_zero_window_ns": 0,
    "server_zero_window_ns": 0,
    "reset_by": "",
    "unreachable": "",
    "client_think_ns": 0,
    "exchanges": 1,
}


@dataclass
class Whole:
    """All calls of a world, and what is known of it."""

    calls: pa.Table
    columns: LinkProblem
    hosts: pa.Table
    clocks: list[ClockEstimate]
    notes: Notes


def merge_all(exchanges: pa.Table, connections: pa.Table, captures: Sequence[CaptureInfo]) -> Whole:
    """Survey all exchanges, and merge them in one stretch."""
    notes = Notes()
    with tempfile.TemporaryDirectory() as folder:
        survey = Survey(len(exchanges), len(captures), Path(folder))
        for capture in captures:
            survey.add(capture.name, exchanges.filter(pc.equal(exchanges.column("capture"), capture.name)).to_batches())
        knowledge = learn_hosts(survey, connections, captures, notes)
    merged = merge_exchanges(exchanges, np.arange(len(exchanges)), knowledge)
    return Whole(merged.calls, merged.columns, knowledge.hosts_table(), knowledge.clocks, notes)


def table(name: str, rows: list[dict[str, Any]], defaults: dict[str, Any]) -> pa.Table:
    """A table with the schema of `name`; columns that a row does not give have their default."""
    schema = table_schema(name)
    arrays = []
    for column in schema:
        values = [row.get(column.name, defaults.get(column.name)) for row in rows]
        if pa.types.is_dictionary(column.type):
            arrays.append(pa.array(values, pa.string()).dictionary_encode())
        else:
            arrays.append(pa.array(values, column.type))
    return pa.table(arrays, schema=schema)


@dataclass
class World:
    """Hosts by name with their address; captures by name with their clock and what they see."""

    addresses: dict[str, str]
    clocks: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By capture: offset in ns, drift in ppm."""
    exchanges: list[dict[str, Any]] = field(default_factory=list)
    connections: dict[tuple[str, Any], dict[str, Any]] = field(default_factory=dict)
    ports: int = 40_000

    def shown(self, capture: str, true_ns: int) -> int:
        """What the clock of a capture shows at a true time."""
        offset, drift = self.clocks.get(capture, (0.0, 0.0))
        return true_ns + round(offset + drift * 1e-6 * (true_ns - EPOCH))

    def see(
        self, capture: str, ends: tuple[str, int, str, int], times: tuple[int, int, int, int], seq: int, **more: Any
    ) -> dict[str, Any]:
        """One view of an exchange: (client address, port, server address, port), true times relative to EPOCH, or -1."""
        identity = (capture, more.pop("connection_key", ends))
        raw = [self.shown(capture, EPOCH + time) if time >= 0 else -1 for time in times]
        seen = [time for time in raw if time >= 0]
        connection = self.connections.setdefault(
            identity,
            {
                "connection": len(self.connections),
                "capture": capture,
                "client_address": ends[0],
                "client_port": ends[1],
                "server_address": ends[2],
                "server_port": ends[3],
                "opened_ns": min(seen),
                "closed_ns": max(seen),
            },
        )
        connection["closed_ns"] = max(connection["closed_ns"], *seen)
        row = {
            "capture": capture,
            "connection": connection["connection"],
            "client_address": ends[0],
            "client_port": ends[1],
            "server_address": ends[2],
            "server_port": ends[3],
            "request_start_ns": raw[0],
            "request_end_ns": raw[1],
            "response_start_ns": raw[2],
            "response_end_ns": raw[3],
            "request_seq": seq if times[0] >= 0 else -1,
            "response_seq": seq + 7 if times[2] >= 0 else -1,
            **more,
        }
        self.exchanges.append(row)
        return row

    def call(
        self,
        client: str,
        server: str,
        start: int,
        *,
        port: int = 8080,
        client_port: int = 0,
        seq: int = 1000,
        duration: int = 5 * MILLISECOND,
        delay: int = 50_000,
        back: int | None = None,
        at: tuple[str, ...] | None = None,
        **more: Any,
    ) -> None:
        """One exchange as the captures of both hosts (or of those in `at`) see it. Times are relative to EPOCH."""
        ends = (self.addresses[client], client_port or self.ports, self.addresses[server], port)
        back = delay if back is None else back
        server_times = (start + delay, start + delay + 1000, start + delay + duration, start + delay + duration + 2000)
        client_times = (start, start + 1000, server_times[2] + back, server_times[3] + back)
        for name, times in ((client, client_times), (server, server_times)):
            if at is None or name in at:
                self.see(name, ends, times, seq, **more)

    def merge(self, *captures: CaptureInfo) -> Whole:
        """Merge what was seen; captures without further knowledge where none are given."""
        names = dict.fromkeys(row["capture"] for row in self.exchanges)
        return merge_all(
            table("exchanges", self.exchanges, EXCHANGE_DEFAULTS),
            table("connections", list(self.connections.values()), CONNECTION_DEFAULTS),
            captures or [CaptureInfo(name) for name in names],
        )


def chain(calls: int = 50, **clocks: tuple[float, float]) -> World:
    """client -> web1 -> app1 -> db1, `calls` times, captured on web1, app1 and db1."""
    world = World({"client": "10.0.0.1", "web1": "10.0.0.2", "app1": "10.0.0.3", "db1": "10.0.0.4"}, dict(clocks))
    random = np.random.default_rng(5)
    for number in range(calls):
        start = number * 20 * MILLISECOND
        queue = [50_000 + int(random.exponential(40_000)) for _ in range(6)]
        world.call(
            "client",
            "web1",
            start,
            client_port=50_000 + number,
            seq=number * 1000,
            duration=9 * MILLISECOND,
            at=("web1",),
        )
        world.call(
            "web1",
            "app1",
            start + MILLISECOND,
            client_port=40_001,
            seq=number * 500,
            duration=6 * MILLISECOND,
            delay=queue[0],
            back=queue[1],
        )
        world.call(
            "app1",
            "db1",
            start + 2 * MILLISECOND,
            port=5432,
            client_port=41_001,
            seq=number * 300,
            duration=2 * MILLISECOND,
            delay=queue[2],
            back=queue[3],
            protocol="postgresql",
            operation="SELECT orders",
        )
    return world
