"""The injector: makes calls that fail, and writes down how.

Usage: python -m tests.lab.faults.client TRUTH COUNT SEED [FAULT ...]
Makes COUNT calls of each FAULT (of all, where none is named) and of each control, in a random order, on eight threads.
"""

import contextlib
import os
import random
import socket
import ssl
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from tests.lab import topology
from tests.lab.faults.truth import (
    CLOSED_PORT,
    DNS_PORT,
    EARLY_RESET_PORT,
    EARLY_STOP_PORT,
    EXPIRED_TLS_PORT,
    HEADER,
    HTTP_PORT,
    OLD_TLS_PORT,
    OUTCOME_OF,
    SERVER,
    SILENT_PORT,
    TLS_PORT,
    FaultyCall,
    write_truth,
)

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS = 8
TIMEOUT_SECONDS = 0.5
"""How long this client waits for an answer that does not come."""
PATIENCE_SECONDS = 5.0
"""How long it waits for one that comes, however busy the machine is: giving up would be another fault."""
SHORTEST_ABORT, LONGEST_ABORT = 0.02, 0.45
"""Seconds after which a person gives up."""
LATEST_ABORT, LATEST_TIMEOUT = 0.47, 0.8
"""Seconds after which it is too late for a person, who leaves before the timeout, and for the timeout, before the answer."""
MOST_EARLIER = 2
GIVEN_UP = ("request_dropped", "response_dropped", "server_stopped", "client_timeout")
"""Faults that this client ends itself."""
STATEMENTS = ("SELECT 1 / 0", "SELECT name FROM no_such_table", "INSERT INTO users VALUES ('not a number')", "SELEC 1")
SERVER_ADDRESS = topology.ipv4(SERVER)


class Injector:
    """Makes one call after another."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def make(self, fault: str) -> FaultyCall:
        """Make one call that meets with `fault`."""
        make: Callable[[str], FaultyCall] = {
            "refused": self._attempt,
            "reset_before": self._reset_early,
            "unanswered_syn": self._attempt,
            "sql_error": self._statement,
            "name_lookup": self._look_up,
            "tls": self._handshake,
        }.get(fault, self._ask)
        return make(fault)

    def _ask(self, fault: str) -> FaultyCall:
        """An HTTP request, often on a connection that served others before.

        On a busy machine a person may leave as late as the timeout, and a timeout be noticed as late as the answer: the
        packets then show something else, and another call is made instead.
        """
        latest = {"client_abort": LATEST_ABORT, "client_timeout": LATEST_TIMEOUT}.get(fault, float("inf"))
        while True:
            call, closed_ns = self._ask_once(fault)
            if closed_ns - call.start_ns <= latest * 1e9:
                return call

    def _ask_once(self, fault: str) -> tuple[FaultyCall, int]:
        """One such request, and when its connection was closed."""
        wish, variants = {
            "request_dropped": ("", ("lose-request", "cut-request")),
            "response_dropped": ("", ("lose-response", "cut-response")),
            "server_stopped": ("stop", ("", "early")),
            "server_killed": ("kill", ("", "half")),
            "reset_after": ("reset", ("", "half")),
            "server_error": ("error", ("500 Internal Server Error", "503 Service Unavailable")),
            "client_abort": ("late", ("", "notices")),
            "client_timeout": ("late", ("", "notices")),
            "none": ("", ("",)),
            "slow": ("slow", ("",)),
        }[fault]
        variant = self._chance.choice(variants)
        early = variant == "early"
        earlier = 0 if early else self._chance.randint(0, MOST_EARLIER)
        opened = time.time_ns()
        connection = socket.create_connection((SERVER_ADDRESS, EARLY_STOP_PORT if early else HTTP_PORT), 5)
        port = connection.getsockname()[1]
        for _ in range(earlier):
            self._request(connection, "", PATIENCE_SECONDS)
            time.sleep(self._chance.uniform(0, 0.02))
        wait = TIMEOUT_SECONDS if fault in GIVEN_UP else PATIENCE_SECONDS
        if fault == "client_abort":
            wait = self._chance.uniform(SHORTEST_ABORT, LONGEST_ABORT)
        begun = time.time_ns()
        self._request(connection, f"{wish} {variant}".strip(), wait)
        if fault == "client_abort" and self._chance.random() < 0.5:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ended = time.time_ns()
        connection.close()
        server_port = EARLY_STOP_PORT if early else HTTP_PORT
        return FaultyCall(fault, variant, port, server_port, opened, begun, ended, earlier), time.time_ns()

    def _request(self, connection: socket.socket, wish: str, seconds: float) -> None:
        """Ask, and wait for the answer, but not longer than `seconds`, and not behind the end of the connection."""
        order = self._chance.randint(1, 9999)
        head = b"GET /orders/%d HTTP/1.1\r\nHost: shop\r\n%b%b\r\n\r\n" % (order, HEADER, wish.encode())
        until = time.monotonic() + seconds
        received = b""
        try:
            connection.sendall(head)
            while b"\r\n\r\n" not in received or len(received) < received.index(b"\r\n\r\n") + 4 + _length(received):
                connection.settimeout(max(until - time.monotonic(), 0.001))
                piece = connection.recv(65536)
                if not piece:
                    return
                received += piece
        except OSError:
            return

    def _reset_early(self, fault: str) -> FaultyCall:
        with socket.socket() as connection:
            connection.bind(("", 0))
            port = connection.getsockname()[1]
            begun = time.time_ns()
            with contextlib.suppress(OSError):
                connection.connect((SERVER_ADDRESS, EARLY_RESET_PORT))  # may notice the reset at once
                # However busy the server is: asking, or leaving, before it has reset would be another fault.
                connection.settimeout(5)
                connection.recv(1)
        return FaultyCall(fault, "", port, EARLY_RESET_PORT, begun, begun, time.time_ns())

    def _attempt(self, fault: str) -> FaultyCall:
        server_port = CLOSED_PORT if fault == "refused" else SILENT_PORT
        with socket.socket() as attempt:
            attempt.bind(("", 0))
            attempt.settimeout(1.5)
            port = attempt.getsockname()[1]
            begun = time.time_ns()
            with contextlib.suppress(OSError):
                attempt.connect((SERVER_ADDRESS, server_port))
        return FaultyCall(fault, "", port, server_port, begun, begun, time.time_ns())

    def _statement(self, fault: str) -> FaultyCall:
        opened = time.time_ns()
        with psycopg.connect(
            host=SERVER_ADDRESS, user=topology.USER, password=topology.PASSWORD, dbname=topology.DATABASE,
            autocommit=True, sslmode="disable", gssencmode="disable",
        ) as connection:  # fmt: skip
            duplicate = socket.socket(fileno=os.dup(connection.fileno()))
            port = duplicate.getsockname()[1]
            duplicate.close()
            earlier = self._chance.randint(0, MOST_EARLIER)
            for _ in range(earlier):
                connection.execute("SELECT 1")
            statement = self._chance.choice(STATEMENTS)
            begun = time.time_ns()
            with contextlib.suppress(psycopg.Error):
                connection.execute(statement)
            return FaultyCall(
                fault, statement.split()[0], port, topology.POSTGRESQL_PORT, opened, begun, time.time_ns(), earlier
            )

    def _look_up(self, fault: str) -> FaultyCall:
        """Ask for a name that is missing, cannot be told, or is never answered; ask twice where there is no answer."""
        variant = self._chance.choice(("missing", "broken", "silent"))
        number = self._chance.getrandbits(16)
        labels = (f"{variant}-{number}".encode(), b"shop", b"example")
        question = b"".join(bytes([len(label)]) + label for label in labels) + b"\0" + struct.pack(">HH", 1, 1)
        query = struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + question
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as names:
            names.bind(("", 0))
            port = names.getsockname()[1]
            names.connect((SERVER_ADDRESS, DNS_PORT))
            names.settimeout(TIMEOUT_SECONDS)
            begun = time.time_ns()
            for _ in range(2):
                names.send(query)
                with contextlib.suppress(OSError):
                    names.recv(4096)
                    break
        return FaultyCall(fault, variant, port, DNS_PORT, begun, begun, time.time_ns())

    def _handshake(self, fault: str) -> FaultyCall:
        """A TLS handshake that fails: a certificate that is not trusted or over, or no version in common."""
        variant, server_port = self._chance.choice(
            (("unknown", TLS_PORT), ("expired", EXPIRED_TLS_PORT), ("version", OLD_TLS_PORT))
        )
        context = ssl.create_default_context()
        if variant == "version":
            context.minimum_version = ssl.TLSVersion.TLSv1_3
        begun = time.time_ns()
        with socket.create_connection((SERVER_ADDRESS, server_port), 5) as connection:
            port = connection.getsockname()[1]
            with contextlib.suppress(OSError, ssl.SSLError):
                context.wrap_socket(connection, server_hostname="shop")
        return FaultyCall(fault, variant, port, server_port, begun, begun, time.time_ns())


def _length(received: bytes) -> int:
    """What the head of a response says of the length of its body."""
    return int(received.split(b"Content-Length: ", 1)[1].split(b"\r\n", 1)[0])


def main() -> None:
    """Make all calls, and write the truth."""
    target, count, seed, *wanted = sys.argv[1:]
    jobs = [fault for fault in (wanted or OUTCOME_OF) for _ in range(int(count))]
    random.Random(int(seed)).shuffle(jobs)
    injectors = [Injector(int(seed) + number) for number in range(len(jobs))]
    with ThreadPoolExecutor(THREADS) as pool:
        calls = list(pool.map(Injector.make, injectors, jobs))
    write_truth(Path(target), calls)


if __name__ == "__main__":
    main()
