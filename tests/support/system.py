"""Builds cases of a system that a test describes call by call: services on hosts, both ends of every call captured.

For the tests of rules: times in milliseconds, connections by port, and nothing random. `System.case()` gives the case.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tests.support.tables import table_of

from wiretrace.case.manifest import Manifest
from wiretrace.case.reader import Case
from wiretrace.model.schema import table_schema
from wiretrace.model.settings import Settings
from wiretrace.model.tables import TABLES

START_NS = 1_795_211_204_000_000_000
MILLISECOND = 1_000_000
PORTS = {"http": 80, "postgresql": 5432, "mysql": 3306, "redis": 6379, "dns": 53}
SERVER_VIEWS = 1 << 20
"""Added to the number of a connection where its server's host captured it."""
WAY_NS = 100_000
"""Time that a call is on its way, there and back each."""


class System:
    """Calls of a system; `call` adds one and returns its row."""

    def __init__(self, settings: dict[str, object] | None = None) -> None:
        self.calls: list[dict[str, Any]] = []
        self.exchanges: list[dict[str, Any]] = []
        self.connections: dict[tuple[str, str], dict[str, Any]] = {}
        self.settings = settings or {}
        self._addresses: dict[str, str] = {}

    def call(
        self,
        parent: dict[str, Any] | None,
        ends: tuple[str, str],
        operation: str,
        at: float,
        took: float,
        *,
        protocol: str = "http",
        status: str = "200",
        outcome: str = "ok",
        content: str = "",
        connection: str = "",
        size: int = 900,
        asked: int = 200,
        way: float = 0.0,
        stalled: float = 0.0,
        values: tuple[str, ...] = (),
        one_way: bool = False,
        question: bool = False,
        follows: bool = False,
    ) -> dict[str, Any]:
        """Add a call between two hosts, such as web1 and shop2 (a number at the end is the instance of a service).

        `at` and `took` are milliseconds, `way` milliseconds lost between the two hosts, `stalled` those of them in which it
        waited for segments to be sent again; `content` makes digests equal; `connection` names the connection that
        carries it (one for all calls between two hosts, if not given). One that `follows` takes off a queue what its parent
        put there.
        """
        client, server = ends
        number = len(self.calls)
        start, length = START_NS + round(at * MILLISECOND), round(took * MILLISECOND)
        lost = round(way * MILLISECOND / 2)
        answered = status != "" and not one_way
        identity = _number(f"call {number}")
        port = 40_000 + len(self.connections) % 20_000
        link = self.connections.setdefault(
            (connection or f"{client} {server}", server),
            {"connection": len(self.connections), "port": port, "opened": start, "closed": start, "exchanges": 0},
        )
        link["closed"] = max(link["closed"], start + length)
        link["exchanges"] += 1
        link |= {"protocol": protocol, "client": client, "server": server}
        away = WAY_NS + lost
        row = {
            "id": f"{identity:016x}",
            "tree": parent["tree"] if parent else f"{identity:016x}",
            "parent": parent["id"] if parent else None,
            "basis": "inferred" if parent else None,
            "confidence": (0.3 if question else 0.99) if parent else None,
            "question": question,
            "relation": ("follows" if follows else "child") if parent else None,
            "protocol": protocol,
            "operation": operation,
            "summary": operation,
            "status": status,
            "outcome": outcome,
            "possible": [],
            "client_address": self._address(client),
            "client_port": link["port"],
            "client_host": client,
            "client_service": client.rstrip("0123456789"),
            "server_address": self._address(server),
            "server_port": PORTS.get(protocol, 9000),
            "server_host": server,
            "server_service": server.rstrip("0123456789"),
            "start_ns": start,
            "end_ns": start + (length if answered else 0),
            "server_start_ns": start + min(away, length // 2),
            "server_end_ns": start + max(length - away, length // 2) if answered else start + min(away, length // 2),
            "client_exchange": len(self.exchanges),
            "server_exchange": len(self.exchanges) + 1,
            "other_exchanges": [],
            "request_bytes": asked,
            "response_bytes": size if answered else 0,
            "retransmission_ns": round(stalled * MILLISECOND),
            "retransmitted": int(stalled > 0),
            "attributes": "{}",
            "notes": [],
        }
        self.calls.append(row)
        for host in ends:
            self.exchanges.append(
                {
                    "capture": host,
                    "connection": link["connection"],
                    "protocol": protocol,
                    "operation": operation,
                    "summary": operation,
                    "status": status,
                    "outcome": outcome,
                    "possible": [],
                    "proof": "acknowledged" if answered else "",
                    "client_address": row["client_address"],
                    "client_port": row["client_port"],
                    "server_address": row["server_address"],
                    "server_port": row["server_port"],
                    "request_start_ns": start,
                    "request_end_ns": start,
                    "response_start_ns": start + length if answered else -1,
                    "response_end_ns": start + length if answered else -1,
                    "request_bytes": asked,
                    "response_bytes": row["response_bytes"],
                    "request_frames": [len(self.exchanges) + 1],
                    "response_frames": [len(self.exchanges) + 2] if answered else [],
                    "request_seq": number,
                    "response_seq": number if answered else -1,
                    "request_digest": _number(f"{operation} {content or number}"),
                    "transaction": -1,
                    "one_way": one_way,
                    "request_tokens": [_number(value) for value in values],
                    "response_tokens": [],
                    "identifiers": [],
                    "attributes": json.dumps({}),
                    "notes": [],
                }
            )
        return row

    def case(self) -> Case:
        """The case, open and in memory."""
        empty = {name: table_schema(name).empty_table() for name in TABLES}
        rows = {"calls": self.calls, "exchanges": self.exchanges, "connections": self._connection_rows()}
        hosts = sorted(self._addresses)
        rows["hosts"] = [
            {"host": host, "addresses": [address], "services": [], "captures": [host]}
            for host, address in sorted(self._addresses.items())
        ]
        rows["captures"] = [
            {"capture": host, "path": f"{host}.pcap", "format": "pcap", "bytes": 0, "sha256": "", "packets": 0,
             "decoded": 0, "dropped": -1, "first_ns": START_NS, "last_ns": START_NS, "host": host}
            for host in hosts
        ]  # fmt: skip
        rows["trees"] = [
            {"tree": call["id"], "operation": call["operation"], "service": call["server_service"],
             "start_ns": call["start_ns"], "duration_ns": call["end_ns"] - call["start_ns"], "calls": 1, "errors": 0,
             "depth": 1, "outcome": call["outcome"], "confidence": 1.0}
            for call in self.calls if call["parent"] is None
        ]  # fmt: skip
        tables = {name: table_of(name, some) for name, some in rows.items()}
        settings = {**Settings().recorded(), **self.settings}
        return Case(Path("a.case"), Manifest(settings=settings), {**empty, **tables})

    def _connection_rows(self) -> list[dict[str, Any]]:
        end = max((call["end_ns"] for call in self.calls), default=START_NS)
        return [
            {
                "connection": link["connection"] + (0 if capture == link["client"] else SERVER_VIEWS),
                "capture": capture,
                "transport": "tcp",
                "protocol": link["protocol"],
                "client_address": self._address(link["client"]),
                "client_port": link["port"],
                "server_address": self._address(link["server"]),
                "server_port": PORTS.get(link["protocol"], 9000),
                "opened_ns": link["opened"],
                "closed_ns": link["closed"] if "ended" in link else max(link["closed"], end),
                "handshake": True,
                "ended": link.get("ended", "open"),
                "handshake_rtt_ns": 100_000,
                "client_bytes": 0,
                "server_bytes": 0,
                "client_lost_bytes": 0,
                "server_lost_bytes": 0,
                "client_segments": link["exchanges"],
                "server_segments": link["exchanges"],
                "retransmitted_segments": 0,
                "out_of_order_segments": 0,
                "zero_windows": 0,
                "exchanges": link["exchanges"],
                **told,
            }
            for link in self.connections.values()
            for capture, told in link.get("views", {link["client"]: {}}).items()
        ]

    def send(
        self,
        ends: tuple[str, str],
        sent: tuple[int, int],
        lost: tuple[int, int] = (0, 0),
        needless: tuple[int, int] = (0, 0),
        seen_by: str = "",
        **more: int,
    ) -> None:
        """Tell what client and server sent each other on the connection between two hosts that calls went over.

        `lost` and `needless` are, of each, the segments that were sent again and came once, or came both times; both
        hosts captured it, or only `seen_by`. `more` are further columns of its rows.
        """
        views: dict[str, dict[str, int]] = {}
        for at, host in enumerate(ends):
            views[host] = dict(more)
            for sender, side in enumerate(("client", "server")):
                away = 0 if sender == at else lost[sender]
                views[host][f"{side}_segments"] = sent[sender] - away
                views[host][f"{side}_retransmitted"] = lost[sender] + needless[sender] - away
        chosen = {host: view for host, view in views.items() if seen_by in ("", host)}
        self.connections[" ".join(ends), ends[1]]["views"] = chosen

    def end_connection(self, name: str, server: str, at: float) -> None:
        """The client closes a connection at this time."""
        link = self.connections[name, server]
        link["ended"], link["closed"] = "client_fin", START_NS + round(at * MILLISECOND)

    def _address(self, host: str) -> str:
        return self._addresses.setdefault(host, f"10.0.{len(self._addresses) // 250}.{len(self._addresses) % 250 + 1}")


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
