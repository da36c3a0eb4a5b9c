"""What the injector writes down: which fault each call met, and what an honest reader of the packets may say of it."""

from pathlib import Path

import msgspec

FAULTS = {
    "request_dropped": "request_lost",
    "response_dropped": "response_lost",
    "server_stopped": "server_silent",
    "server_killed": "server_closed",
    "reset_before": "server_reset",
    "reset_after": "server_reset",
    "refused": "refused",
    "server_error": "error",
    "sql_error": "error",
    "client_abort": "client_aborted",
    "client_timeout": "client_timeout",
    "name_lookup": "dns_failed",
    "tls": "tls_failed",
}
"""Every class of fault, and its outcome. Resets before and after the request are one kind of fault in two places."""
CONTROLS = {"none": "ok", "slow": "ok", "unanswered_syn": "unreachable"}
"""What is recorded beside them: calls that must not be called failed, and a server that is not there."""
OUTCOME_OF = FAULTS | CONTROLS

HTTP_PORT, EARLY_RESET_PORT, EARLY_STOP_PORT, CLOSED_PORT, SILENT_PORT = 8080, 8081, 8082, 8083, 8084
TLS_PORT, EXPIRED_TLS_PORT, OLD_TLS_PORT, DNS_PORT = 8443, 8444, 8445, 53
CLIENT, SERVER = "client", "shop1"
"""Hosts of the lab's topology that play these parts."""
HEADER = b"X-Lab-Fault: "
"""Says in a request what shall happen to it. The analyzer gives no meaning to it."""


class FaultyCall(msgspec.Struct):
    """One call that the injector made."""

    fault: str
    """A key of `OUTCOME_OF`."""
    variant: str
    client_port: int
    server_port: int
    start_ns: int
    """Before the first packet of the call, of its connection where that is its own."""
    end_ns: int
    earlier: int = 0
    """Calls that succeeded on the same connection before it."""


def write_truth(path: Path, calls: list[FaultyCall]) -> None:
    """Write the calls, one JSON object a line, in the order of their start."""
    path.write_bytes(msgspec.json.Encoder().encode_lines(sorted(calls, key=lambda call: call.start_ns)))


def read_truth(path: Path) -> list[FaultyCall]:
    """Read what `write_truth` wrote."""
    decode = msgspec.json.Decoder(FaultyCall).decode
    return [decode(line) for line in path.read_bytes().splitlines()]
