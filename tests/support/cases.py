"""Builds a small realistic case without packets, for the tests of everything that reads a case.

A browser asks web; web asks shop; shop asks redis, postgresql and price, and tells audit without waiting. web1, app1,
app2 and db1 were captured; price1 was not. Some requests fail, some answers were lost or not captured, some links are
stated, some inferred, some only a question. Equal arguments give equal cases.
"""

import hashlib
import json
import random
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from tests.support.tables import table_of

from wiretrace.case.manifest import Manifest
from wiretrace.case.reader import Case
from wiretrace.case.writer import CaseWriter
from wiretrace.model.analysis import InputFile, Payload
from wiretrace.model.progress import NoProgress
from wiretrace.model.schema import table_schema
from wiretrace.model.settings import Settings
from wiretrace.model.tables import TABLES
from wiretrace.pipeline import analyze

START_NS = 1_795_211_204_000_000_000
CALLS_PER_REQUEST = 7
MILLISECOND = 1_000_000
HOSTS = {
    "web1": ("10.0.0.2", 3_200_000, 40_000),
    "app1": ("10.0.0.11", 0, 0),
    "app2": ("10.0.0.12", -1_750_000_000, 120_000),
    "db1": ("10.0.0.20", 12_400_000, 55_000),
}
"""Captured hosts: address, clock offset and its error in nanoseconds."""
SERVICE_ADDRESSES = {
    "postgresql": ("10.0.0.20", 5432, "db1"),
    "redis": ("10.0.0.20", 6379, "db1"),
    "price": ("10.0.0.30", 7000, None),
    "audit": ("10.0.0.12", 9000, "app2"),
}


@dataclass
class Analysis:
    """What a case is made of."""

    tables: dict[str, pa.Table]
    accounting: dict[str, int]
    inputs: list[InputFile] = field(default_factory=list)


def manifest_of(analysis: Analysis, settings: Settings) -> Manifest:
    """The manifest that the pipeline would write."""
    return Manifest(inputs=analysis.inputs, settings=settings.recorded(), accounting=analysis.accounting)


def case_of(analysis: Analysis, settings: Settings | None = None) -> Case:
    """An open case that was never written."""
    tables = {
        name: analysis.tables[name] if name in analysis.tables else table_schema(name).empty_table() for name in TABLES
    }
    return Case(Path("a.case"), manifest_of(analysis, settings or Settings()), tables)


def write_case(path: Path, analysis: Analysis, settings: Settings, overwrite: bool = False) -> None:
    """Write the case of an analysis."""
    with CaseWriter(path, overwrite) as writer:
        fill(writer, analysis, settings)


def fill(writer: CaseWriter, analysis: Analysis, settings: Settings) -> None:
    """Write all tables, and commit."""
    for name, table in analysis.tables.items():
        writer.write_table(name, table)
    writer.commit(manifest_of(analysis, settings))


class CaseBuilder:
    """Collects rows of the tables; `analysis()` hands them over as the pipeline would."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
        self.accounting = {fate.value: 0 for fate in Payload}
        self._calls = 0

    def call(
        self,
        parent: dict[str, Any] | None,
        protocol: str,
        operation: str,
        summary: str,
        client: tuple[str, int, str | None, str | None],
        server: tuple[str, int, str | None, str | None],
        start_ns: int,
        duration_ns: int,
        *,
        status: str = "200",
        outcome: str = "ok",
        basis: str = "inferred",
        relation: str = "child",
        confidence: float = 0.98,
        alternatives: tuple[tuple[str | None, float], ...] = (),
        evidence: tuple[tuple[str, float, str], ...] = (("timing", 2.1, "begins 0.3 ms after its parent"),),
        attributes: dict[str, str | int] | None = None,
        possible: tuple[str, ...] = (),
        one_way: bool = False,
        notes: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """Add a call, its exchanges at the hosts that were captured, its link and its evidence; returns its row."""
        self._calls += 1
        identity = hashlib.blake2b(str(self._calls).encode(), digest_size=8).hexdigest()
        answered = not one_way and status != ""
        captured = [host for host in (client[2], server[2]) if host in HOSTS]
        transit = 150_000 if client[2] != server[2] else 20_000
        views = {}
        for host in dict.fromkeys(captured):
            offset = HOSTS[host][1]
            begin = start_ns + offset + (transit if host == server[2] else 0)
            end = start_ns + duration_ns + offset - (transit if host == server[2] else 0)
            frame = len(self.rows["exchanges"]) * 2 + 1
            views[host] = len(self.rows["exchanges"])
            seen = (answered and outcome not in ("response_lost",)) or (answered and host == server[2])
            self.rows["exchanges"].append(
                {
                    "capture": host,
                    "connection": self._calls % 64,
                    "protocol": protocol,
                    "operation": operation,
                    "summary": summary,
                    "status": status if seen else "",
                    "outcome": outcome,
                    "possible": list(possible),
                    "proof": "acknowledged" if seen else "",
                    "client_address": client[0],
                    "client_port": client[1],
                    "server_address": server[0],
                    "server_port": server[1],
                    "request_start_ns": begin,
                    "request_end_ns": begin + 5_000,
                    "response_start_ns": end - 7_000 if seen else -1,
                    "response_end_ns": end if seen else -1,
                    "request_bytes": 180 + len(summary),
                    "response_bytes": 900 if seen else 0,
                    "request_frames": [frame],
                    "response_frames": [frame + 1, frame + 2] if seen else [],
                    "request_seq": self._calls * 1000 & 0xFFFFFFFF,
                    "response_seq": self._calls * 2000 & 0xFFFFFFFF if seen else -1,
                    "request_digest": self._calls,
                    "transaction": -1,
                    "one_way": one_way,
                    "delivered": False,
                    "sent": [],
                    "received": [],
                    "opens": False,
                    "tls_ns": 0,
                    "request_acknowledged": True,
                    "response_acknowledged": seen,
                    "request_retransmitted": 0,
                    "response_retransmitted": 0,
                    "request_stalled_ns": 0,
                    "response_stalled_ns": 0,
                    "request_blocked_ns": 0,
                    "response_blocked_ns": 0,
                    "queued_ns": 0,
                    "given_up_ns": -1,
                    "outcome_frames": [],
                    "request_tokens": [self._calls],
                    "response_tokens": [],
                    "identifiers": ["x-request-id:req-7"] if basis == "stated" else [],
                    "attributes": json.dumps(attributes or {}),
                    "notes": list(notes),
                }
            )
            request, response = 180 + len(summary), 900 if seen else 0
            self.accounting[Payload.CAPTURED] += request + response
            self.accounting[Payload.IN_EXCHANGES if seen or one_way else Payload.IN_HALVES] += request + response
        row = {
            "id": identity,
            "tree": parent["tree"] if parent else identity,
            "parent": parent["id"] if parent else None,
            "basis": basis if parent else None,
            "relation": relation if parent else None,
            "confidence": confidence if parent else None,
            "question": bool(parent) and confidence < 0.5,
            "protocol": protocol,
            "operation": operation,
            "summary": summary,
            "status": status,
            "outcome": outcome,
            "possible": list(possible),
            "client_address": client[0],
            "client_port": client[1],
            "client_host": client[2],
            "client_service": client[3],
            "server_address": server[0],
            "server_port": server[1],
            "server_host": server[2],
            "server_service": server[3],
            "start_ns": start_ns,
            "end_ns": start_ns + (5_000 if one_way else duration_ns),
            "server_start_ns": start_ns + transit if server[2] in HOSTS else -1,
            "server_end_ns": start_ns + duration_ns - transit if server[2] in HOSTS else -1,
            "client_exchange": views.get(client[2], -1) if client[2] else -1,
            "server_exchange": views.get(server[2], -1) if server[2] and server[2] != client[2] else -1,
            "other_exchanges": [],
            "request_bytes": 180 + len(summary),
            "response_bytes": 900 if answered else 0,
            **self._phases(5_000 if one_way else duration_ns, transit if len(views) > 1 else 0),
            "self_ns": 5_000 if one_way else duration_ns,
            "retransmitted": 0,
            "attributes": json.dumps(attributes or {}),
            "notes": list(notes),
        }
        self.rows["calls"].append(row)
        if parent:
            self.rows["links"].append(
                {
                    "child": identity,
                    "parent": parent["id"],
                    "rank": 0,
                    "basis": basis,
                    "relation": relation,
                    "confidence": confidence,
                }
            )
            for kind, weight, detail in evidence:
                self.rows["evidence"].append(
                    {"child": identity, "parent": parent["id"], "kind": kind, "weight": weight, "detail": detail}
                )
        for rank, (other, share) in enumerate(alternatives, start=1):
            self.rows["links"].append(
                {
                    "child": identity,
                    "parent": other,
                    "rank": rank,
                    "basis": "inferred",
                    "relation": relation,
                    "confidence": share,
                }
            )
        return row

    @staticmethod
    def _phases(duration_ns: int, transit_ns: int) -> dict[str, int | bool]:
        """Parts of a call's time that add up to it."""
        request = min(5_000, duration_ns)
        network = min(2 * transit_ns, duration_ns - request)
        response = min(7_000, duration_ns - request - network)
        return {
            "whole_ns": duration_ns,
            "lookup_ns": 0,
            "connect_ns": 0,
            "tls_ns": 0,
            "request_ns": request,
            "queued_ns": 0,
            "network_ns": network,
            "server_ns": duration_ns - request - network - response,
            "response_ns": response,
            "retransmission_ns": 0,
            "zero_window_ns": 0,
            "network_measured": network > 0,
        }

    def finish(self) -> None:
        """Add the tables that follow from the calls: trees, connections, captures and hosts."""
        self._trees()
        self._connections()
        first = min((row["request_start_ns"] for row in self.rows["exchanges"]), default=START_NS)
        last = max((row["response_end_ns"] for row in self.rows["exchanges"]), default=START_NS)
        for host, (address, offset, error) in HOSTS.items():
            packets = sum(row["capture"] == host for row in self.rows["exchanges"]) * 3
            self.rows["captures"].append(
                {
                    "capture": host,
                    "path": f"shop/{host}.pcap",
                    "format": "pcap",
                    "bytes": packets * 300 + 24,
                    "sha256": hashlib.sha256(host.encode()).hexdigest(),
                    "packets": packets,
                    "decoded": packets,
                    "dropped": 3 if host == "web1" else -1,
                    "first_ns": first,
                    "last_ns": last,
                    "host": host,
                }
            )
            self.rows["hosts"].append(
                {
                    "host": host,
                    "addresses": [address],
                    "services": sorted(
                        {row["server_service"] for row in self.rows["calls"] if row["server_host"] == host} - {None}
                    ),
                    "captures": [host],
                    "clock_offset_ns": float(offset),
                    "clock_drift_ppm": 1.5,
                    "clock_error_ns": float(error),
                }
            )
        self.rows["hosts"].append({"host": "price1", "addresses": ["10.0.0.30"], "services": ["price"], "captures": []})

    def analysis(self) -> Analysis:
        """The rows in the shape that the pipeline returns."""
        return Analysis(
            tables={name: table_of(name, rows) for name, rows in self.rows.items()},
            accounting=self.accounting,
            inputs=[
                InputFile(row["path"], row["bytes"], row["sha256"], row["packets"], row["dropped"])
                for row in self.rows["captures"]
            ],
        )

    def _trees(self) -> None:
        members: dict[str, list[dict[str, Any]]] = {}
        depth: dict[str, int] = {}
        for row in self.rows["calls"]:
            members.setdefault(row["tree"], []).append(row)
            depth[row["id"]] = depth.get(row["parent"], 0) + 1 if row["parent"] else 1
        for tree, calls in members.items():
            root = calls[0]
            confidence = 1.0
            for row in calls[1:]:
                confidence *= row["confidence"]
            self.rows["trees"].append(
                {
                    "tree": tree,
                    "operation": root["operation"],
                    "service": root["server_service"],
                    "start_ns": root["start_ns"],
                    "duration_ns": root["end_ns"] - root["start_ns"],
                    "calls": len(calls),
                    "errors": sum(row["outcome"] != "ok" for row in calls),
                    "depth": max(depth[row["id"]] for row in calls),
                    "outcome": root["outcome"],
                    "confidence": confidence,
                }
            )

    def _connections(self) -> None:
        groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for row in self.rows["exchanges"]:
            groups.setdefault((row["capture"], row["connection"]), []).append(row)
        for number, ((capture, _), exchanges) in enumerate(groups.items()):
            for row in exchanges:
                row["connection"] = number
            first = exchanges[0]
            self.rows["connections"].append(
                {
                    "connection": number,
                    "capture": capture,
                    **{
                        name: first[name]
                        for name in ("protocol", "client_address", "client_port", "server_address", "server_port")
                    },
                    "opened_ns": first["request_start_ns"] - 400_000,
                    "closed_ns": max(row["request_end_ns"] for row in exchanges),
                    "handshake": number % 5 != 0,
                    "ended": "open" if number % 5 else "client_fin",
                    "handshake_rtt_ns": 310_000 if number % 5 else -1,
                    "client_bytes": sum(row["request_bytes"] for row in exchanges),
                    "server_bytes": sum(row["response_bytes"] for row in exchanges),
                    "client_lost_bytes": 0,
                    "server_lost_bytes": 0,
                    "client_segments": len(exchanges) + number % 3,
                    "server_segments": len(exchanges),
                    "retransmitted_segments": number % 3,
                    "out_of_order_segments": 0,
                    "zero_windows": 0,
                    "connect_ns": 320_000 if number % 5 else -1,
                    "syns_repeated": 0,
                    "syn_acks_repeated": 0,
                    "client_data_rtt_ns": 300_000,
                    "server_data_rtt_ns": 20_000,
                    "client_retransmitted": number % 3,
                    "server_retransmitted": 0,
                    "keep_alives": 0,
                    "client_zero_window_ns": 0,
                    "server_zero_window_ns": 0,
                    "reset_by": "",
                    "unreachable": "",
                    "client_think_ns": 0,
                    "exchanges": len(exchanges),
                }
            )


def add_request(builder: CaseBuilder, number: int, start_ns: int, chance: random.Random, previous: str | None) -> str:
    """Add one request tree of CALLS_PER_REQUEST calls; returns the id of shop's call."""
    instance = "app1" if number % 2 else "app2"
    shop = (HOSTS[instance][0], 8080, instance, "shop")
    slow = chance.random() < 0.05
    failed = chance.random() < 0.04
    lost = not failed and chance.random() < 0.02
    extra = chance.randrange(20 * MILLISECOND) + (400 * MILLISECOND if slow else 0)
    order = 40 + number % 500
    http = {"http.request.method": "GET", "server.port": 80}
    outcome = {"status": "500", "outcome": "error"} if failed else {}
    root = builder.call(
        None,
        "http",
        "GET /orders/{id}",
        f"GET /orders/{order}",
        ("198.51.100.7", 50_000 + number % 9000, None, "198.51.100.7"),
        (HOSTS["web1"][0], 80, "web1", "web"),
        start_ns,
        40 * MILLISECOND + extra,
        attributes=http,
        **outcome,
    )
    shop_call = builder.call(
        root,
        "http",
        "GET /api/orders/{id}",
        f"GET /api/orders/{order}?token=[redacted]",
        (HOSTS["web1"][0], 40_000 + number % 999, "web1", "web"),
        shop,
        start_ns + MILLISECOND,
        38 * MILLISECOND + extra,
        basis="stated",
        confidence=1.0,
        evidence=(("identifiers", 20.0, "both carry the same x-request-id"), ("timing", 1.4, "within its parent")),
        attributes=http,
        **outcome,
    )

    def peer(service: str) -> tuple[str, int, str | None, str | None]:
        address, port, host = SERVICE_ADDRESSES[service]
        return (address, port, host, service)

    def own(port: int) -> tuple[str, int, str | None, str | None]:
        return (shop[0], port + number % 50, instance, "shop")

    at = start_ns + 2 * MILLISECOND
    builder.call(
        shop_call, "redis", "GET", "GET order:42", own(41_000), peer("redis"), at, MILLISECOND, status="OK",
        basis="measured", evidence=(("values", 6.5, "a rare value of the parent's request is in this request"),),
    )  # fmt: skip
    sql = {"db.system.name": "postgresql", "db.query.summary": "SELECT orders"}
    builder.call(
        shop_call,
        "postgresql",
        "SELECT orders",
        "SELECT * FROM orders WHERE id = ?",
        own(42_000),
        peer("postgresql"),
        at + 2 * MILLISECOND,
        20 * MILLISECOND + extra // 2,
        status="40P01" if failed else "SELECT 1",
        outcome="error" if failed else "ok",
        attributes={**sql, "error.type": "40P01"} if failed else sql,
    )
    uncertain = number % 11 == 3
    builder.call(
        shop_call,
        "postgresql",
        "UPDATE stock",
        "UPDATE stock SET reserved = reserved + ? WHERE sku = ?",
        own(42_000),
        peer("postgresql"),
        at + 23 * MILLISECOND + extra // 2,
        3 * MILLISECOND,
        status="UPDATE 1",
        confidence=0.41 if uncertain else 0.83,
        alternatives=((previous, 0.38 if uncertain else 0.12), (None, 0.05)) if previous else (),
        notes=("prepared before the capture",) if number % 7 == 0 else (),
    )
    builder.call(
        shop_call,
        "http",
        "POST /quote",
        "POST /quote",
        own(43_000),
        peer("price"),
        at + 27 * MILLISECOND + extra // 2,
        6 * MILLISECOND,
        status="" if lost else "200",
        outcome="server_silent" if lost else "ok",
        possible=("server_silent", "response_lost") if lost else (),
    )
    builder.call(
        shop_call, "http", "POST /audit", "POST /audit", own(44_000), peer("audit"), at + 35 * MILLISECOND,
        80 * MILLISECOND, status="", one_way=True, confidence=0.91,
        evidence=(("timing", 1.1, "begins 0.2 ms after its sibling"), ("call plan", 0.9, "one of these a request")),
    )  # fmt: skip
    return str(shop_call["id"])


def build_analysis(calls: int = 280, seed: int = 7) -> Analysis:
    """The analysis of about `calls` calls (rounded up to whole requests)."""
    chance = random.Random(seed)
    builder = CaseBuilder()
    previous: str | None = None
    at = START_NS
    for number in range(-(-calls // CALLS_PER_REQUEST)):
        at += chance.randrange(5 * MILLISECOND, 60 * MILLISECOND)
        previous = add_request(builder, number, at, chance, previous)
    builder.rows["notes"] += [
        {"kind": "started_midway", "subject": "web1", "count": 3,
         "sentence": "Connections that were already open when the capture began."},
        {"kind": "encrypted", "subject": "tls", "count": 2,
         "sentence": "Connections that are encrypted, and whose contents we can not read."},
        {"kind": "not_captured", "subject": "app1", "count": 1448,
         "sentence": "Bytes that the peer acknowledged and that the capture lacks."},
    ]  # fmt: skip
    builder.rows["findings"].append(
        {
            "number": 1,
            "code": "first-cause",
            "severity": "critical",
            "title": "Requests to shop fail because postgresql reports deadlocks (40P01).",
            "detail": "Every failing GET /orders/{id} holds a failing SELECT orders.",
            "component_kind": "statement",
            "component": "SELECT orders (postgresql)",
            "owner": "team-data",
            "external": False,
            "requests": sum(row["status"] == "40P01" for row in builder.rows["calls"]),
            "occurrences": sum(row["status"] == "40P01" for row in builder.rows["calls"]),
            "calls": [row["id"] for row in builder.rows["calls"] if row["status"] == "40P01"][:20],
            "frames": ["app1:17", "app1:18", "db1:9"],
            "first_ns": START_NS,
            "last_ns": START_NS + 1_000 * MILLISECOND,
            "next_step": "Ask team-data which transactions lock orders in different orders.",
        }
    )
    builder.rows["suspects"] += [
        {
            "rank": rank,
            "component_kind": kind,
            "component": component,
            "owner": "team-data" if rank == 1 else "",
            "external": False,
            "score": score,
            "failing": failing,
            "good": 36,
            "cleared": score == 0,
            "words": words,
            "next_step": "Ask for GET /orders/{id} again." if rank == 1 else "",
        }
        for rank, kind, component, score, failing, words in (
            (1, "statement", "SELECT orders (postgresql)", 0.93, 4, "4 of 4 bad request trees failed here first."),
            (2, "host", "db1", 0.31, 4, "It runs SELECT orders (postgresql), and 36 good trees used it, too."),
            (3, "service", "redis", 0.0, 0, "36 good trees used it, and no bad one."),
        )
    ]
    builder.accounting[Payload.CAPTURED] += 4096
    builder.accounting[Payload.ENCRYPTED] += 4096
    builder.finish()
    return builder.analysis()


def build_case(path: Path, calls: int = 280, seed: int = 7, overwrite: bool = False) -> Case:
    """Write a case of about `calls` calls to `path` and open it."""
    write_case(path, build_analysis(calls, seed), Settings(), overwrite=overwrite)
    return Case.open(path)


def analyzed(path: Path, captures: list[Path], settings: Settings, executor: Executor | None = None) -> Case:
    """The case of real captures, written to `path` by the pipeline."""
    with CaseWriter(path) as writer:
        analyze(captures, settings, NoProgress(), writer, executor)
    return Case.open(path)
