"""The two lists that are compared, in one form: what tshark's decode lists (the oracle), and our exchanges.

Rules: an oracle entry that is no exchange of ours by design is left out here, each with its reason. Frames are packet
numbers in the file, as both sides count them.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PROTOCOLS = {
    "http": "http",
    "http2": "http2",
    "grpc": "grpc",
    "websocket": "websocket",
    "pgsql": "postgresql",
    "mysql": "mysql",
    "redis": "redis",
    "memcache": "memcached",
    "kafka": "kafka",
    "amqp": "amqp",
    "dns": "dns",
    "mongo": "mongodb",
    "tds": "tds",
    "tns": "tns",
}
"""Protocols that are compared: the oracle's word, and ours."""
KEY_LOG_OPTION = "tls.keylog_file:"
"""How the oracle was told of a key log."""
NEGOTIATION = frozenset({"sslrequest", "gssencrequest"})
"""PostgreSQL's questions before the first message: the oracle has no answers to them, because it is a single byte."""
GRPC_STATUSES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
"""Names of gRPC's statuses by their numbers, which the oracle gives."""
WEBSOCKET_CONTROL = frozenset({"9", "10"})
"""Ping and Pong: bytes of the protocol, and of no session."""
GREETING = "ServerGreeting"
"""MySQL's first packet: nobody asked for it."""
CONNECT = "Packet Type: Connect"
"""The packets of Oracle's protocol that are compared: of others the oracle knows only what text stands in them."""
GOODBYE = "Quit (1)"
"""MySQL's COM_QUIT: it asks for nothing, and we count it as bytes of the protocol."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """A request and its response as the oracle lists them; either may be missing."""

    protocol: str
    client: str
    server: str
    request_frame: int | None
    response_frame: int | None
    text: str
    """What was asked for, in the form of `Exchange.text`; empty where the oracle does not tell."""
    status: str
    """The answer's status where the oracle tells one."""
    response_told: bool = True
    """Whether the oracle can tell the response."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange of ours."""

    protocol: str
    client: str
    server: str
    request_frames: tuple[int, ...]
    response_frames: tuple[int, ...]
    text: str
    """The request in one line, not redacted."""
    status: str
    outcome: str


def endpoint(address: str, port: int | str) -> str:
    """An endpoint in one spelling of its address (IPv6 without brackets, as the oracle writes it)."""
    return f"{ipaddress.ip_address(address)}:{port}"


def read_oracle(path: Path) -> list[Transaction]:
    """The transactions of an oracle file, of the protocols that are compared."""
    found = []
    for entry in _as_we_count(json.loads(path.read_text())["transactions"]):
        protocol = PROTOCOLS.get(entry["protocol"])
        if protocol is not None and not _left_out(entry):
            found.append(
                Transaction(
                    protocol,
                    endpoint(*entry["client"].rsplit(":", 1)),
                    endpoint(*entry["server"].rsplit(":", 1)),
                    entry["req_frame"],
                    entry["resp_frame"],
                    _text(protocol, entry["request"] or {}),
                    _status(protocol, entry["response"] or {}),
                    (entry["request"] or {}).get("kind") not in NEGOTIATION and not entry.get("response_not_told"),
                )
            )
    return found


def read_key_log_path(oracle: Path, captures: Path) -> Path | None:
    """The key log that the oracle was given for its capture, if it lies beside it (else it is inside)."""
    for option in json.loads(oracle.read_text())["options"]:
        if option.startswith(KEY_LOG_OPTION):
            path = captures / option.removeprefix(KEY_LOG_OPTION)
            return path if path.is_file() else None
    return None


def exchange_of(row: dict[str, Any]) -> Exchange:
    """An exchange from a row of the table `exchanges`."""
    return Exchange(
        row["protocol"],
        endpoint(row["client_address"], row["client_port"]),
        endpoint(row["server_address"], row["server_port"]),
        tuple(row["request_frames"]),
        tuple(row["response_frames"]),
        row["summary"],
        row["status"],
        row["outcome"],
    )


def exchanges_of(rows: Iterable[dict[str, Any]]) -> list[Exchange]:
    """The exchanges of the protocols that are compared."""
    compared = frozenset(PROTOCOLS.values())
    return [exchange_of(row) for row in rows if row["protocol"] in compared]


def _as_we_count(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The oracle's entries, those that it counts in another way brought into ours.

    A request that goes over to HTTP/2 (h2c) is answered on stream 1, and its 101 is an interim response. A WebSocket session
    is one exchange; the oracle lists its frames. A DNS query that is sent again before it is answered is one exchange; the
    oracle lists every datagram.
    """
    entries = _queries_sent_once(entries)
    upgraded = {
        entry.get("stream"): entry
        for entry in entries
        if entry["protocol"] in ("http2", "grpc") and entry.get("h2_stream") == 1 and not entry["request"]
    }
    ends = {entry.get("stream"): entry for entry in entries if entry["protocol"] == "http"}
    counted = _amqp_exchanges([entry for entry in entries if entry["protocol"] == "amqp"])
    for entry in entries:
        if entry["protocol"] == "amqp":
            continue
        answer = upgraded.get(entry.get("stream"))
        switches = entry["protocol"] == "http" and (entry["response"] or {}).get("status") == 101
        if answer is not None and switches:
            kept = ("response", "resp_frame", "protocol")
            counted.append({**entry, **{name: answer[name] for name in kept}})
        elif entry is answer and entry["stream"] in ends:
            continue
        elif entry["protocol"] == "tns":
            if str(entry.get("type")).startswith(CONNECT):
                counted.append(_connection(entry))
        elif entry["protocol"] == "websocket":
            if entry.get("stream") in ends:
                counted.append(_session(entry, ends[entry["stream"]]))
        else:
            counted.append(entry)
    return counted


def _amqp_exchanges(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Frames of AMQP, which the oracle lists one by one, as questions and answers of a channel.

    What carries content is told by its method alone: it asks for nothing, or its acknowledgement is left out here.
    """
    found: list[dict[str, Any]] = []
    waiting: dict[tuple[str, str, str], dict[str, Any]] = {}
    for frame in frames:
        if not frame["method"]:
            continue
        name = frame["method"].removeprefix("Method: ").partition(" ")[0]
        kind = (frame["class"] or "").removeprefix("Class: ").partition(" ")[0]
        if name == "Tune":
            name, kind = "Start-Ok-Ok", "Connection"
        asked = waiting.pop((frame["stream"], frame["channel"], f"{kind}.{name.removesuffix('-Ok')}"), None)
        if asked is not None:
            asked["resp_frame"] = frame["frame"]
        elif name == "Close" and frame["reply_code"] not in (None, "0", "200"):
            for key in [key for key in waiting if key[:2] == (frame["stream"], frame["channel"])][-1:]:
                waiting.pop(key)["resp_frame"] = frame["frame"]
        elif name in ("Start", "Tune-Ok", "Ack", "Nack", "Reject", "Close-Ok"):
            continue
        else:
            delivered = name == "Deliver"
            entry = {
                "protocol": "amqp", "client": frame["from"], "server": frame["to"], "req_frame": frame["frame"],
                "resp_frame": None, "request": {}, "response": None, "response_not_told": delivered or name == "Publish",
            }  # fmt: skip
            found.append(entry)
            if not entry["response_not_told"]:
                waiting[frame["stream"], frame["channel"], f"{kind}.{name}"] = entry
    return found


def _queries_sent_once(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries without DNS queries that repeat one which was not answered until then, and without answers to those."""
    kept = []
    open_until: dict[tuple[object, ...], float] = {}
    for entry in entries:
        request = entry["request"] if entry["protocol"] == "dns" else None
        if request and entry["req_frame"] is not None:
            key = (
                entry["client"],
                entry["server"],
                request.get("id"),
                str(request.get("qname")),
                str(request.get("qtype")),
            )
            asked = float(entry["req_time"])
            if asked < open_until.get(key, asked):
                continue
            open_until[key] = float(entry["resp_time"] or "inf")
        kept.append(entry)
    return kept


def _connection(entry: dict[str, Any]) -> dict[str, Any]:
    """A Connect of Oracle's protocol as one entry; the oracle lists packets, and does not pair them."""
    return {
        **entry,
        "client": entry["from"],
        "server": entry["to"],
        "request": {},
        "response": {},
        "req_frame": entry["frame"],
        "resp_frame": None,
        "response_not_told": True,
    }


def _session(entry: dict[str, Any], opened_by: dict[str, Any]) -> dict[str, Any]:
    """A WebSocket session as one entry: the first frames of the two sides stand for request and response."""
    first: dict[str, int] = {}
    for frame in entry["frames"]:
        if frame["op"] not in WEBSOCKET_CONTROL:
            first.setdefault(endpoint(*frame["from"].rsplit(":", 1)), frame["frame"])
    asked = first.get(endpoint(*opened_by["client"].rsplit(":", 1)))
    answered = first.get(endpoint(*opened_by["server"].rsplit(":", 1)))
    return {
        **opened_by,
        "protocol": "websocket",
        "request": {},
        "response": {},
        "req_frame": asked or opened_by["req_frame"],
        "resp_frame": answered,
        "response_not_told": answered is None,
    }


def _left_out(entry: dict[str, Any]) -> bool:
    response = entry["response"] or {}
    if response.get("interim"):
        # HTTP 1xx comes before the response and is a part of its exchange (RFC 9110 section 15.2).
        return True
    return (entry["request"] or {}).get("command") in (GREETING, GOODBYE)


def _text(protocol: str, request: dict[str, Any]) -> str:
    match protocol:
        case "grpc":
            return (request.get("path") or "").removeprefix("/")
        case "websocket" | "kafka" | "amqp":
            return ""
        case "http" | "http2":
            return (
                f"{request['method']} {request.get('path') or request.get('uri') or ''}" if "method" in request else ""
            )
        case "postgresql" | "mysql":
            return request.get("sql") or ""
        case "redis":
            words = request.get("command")
            return " ".join(str(word) for word in words) if isinstance(words, list) else ""
        case "dns":
            types = [text.partition(" ")[0] for text in request.get("qtype") or []]
            return f"{types[0]} {(request.get('qname') or [''])[0]}" if types else ""
        case _:
            operation, key = request.get("op") or "", request.get("key") or ""
            return f"{operation} {key}".strip() if operation and not operation.startswith("Opcode") else ""


def _status(protocol: str, response: dict[str, Any]) -> str:
    if protocol in ("http", "http2"):
        return str(response.get("status") or "")
    if protocol == "grpc" and str(response.get("grpc_status") or "").isdigit():
        number = int(response["grpc_status"])
        return GRPC_STATUSES[number] if number < len(GRPC_STATUSES) else str(number)
    return ""
