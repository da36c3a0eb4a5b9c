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

PROTOCOLS = {"http": "http", "pgsql": "postgresql", "mysql": "mysql", "redis": "redis", "memcache": "memcached"}
"""Protocols that are compared: the oracle's word, and ours."""
NEGOTIATION = frozenset({"sslrequest", "gssencrequest"})
"""PostgreSQL's questions before the first message: the oracle has no answers to them, because it is a single byte."""
GREETING = "ServerGreeting"
"""MySQL's first packet: nobody asked for it."""
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
    for entry in json.loads(path.read_text())["transactions"]:
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
                    (entry["request"] or {}).get("kind") not in NEGOTIATION,
                )
            )
    return found


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


def _left_out(entry: dict[str, Any]) -> bool:
    response = entry["response"] or {}
    if response.get("interim"):
        # HTTP 1xx comes before the response and is a part of its exchange (RFC 9110 section 15.2).
        return True
    return (entry["request"] or {}).get("command") in (GREETING, GOODBYE)


def _text(protocol: str, request: dict[str, Any]) -> str:
    match protocol:
        case "http":
            return (
                f"{request['method']} {request.get('path') or request.get('uri') or ''}" if "method" in request else ""
            )
        case "postgresql" | "mysql":
            return request.get("sql") or ""
        case "redis":
            words = request.get("command")
            return " ".join(str(word) for word in words) if isinstance(words, list) else ""
        case _:
            operation, key = request.get("op") or "", request.get("key") or ""
            return f"{operation} {key}".strip() if operation and not operation.startswith("Opcode") else ""


def _status(protocol: str, response: dict[str, Any]) -> str:
    if protocol == "http":
        return str(response.get("status") or "")
    return ""
