"""Records what goes over loopback, and waits for servers: what all scenarios share."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CAPTURES = Path(__file__).parents[1] / "captures"
SETTLE_SECONDS = 0.4
"""Time that tcpdump is given to begin, and to see the last packets."""


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def recorded(name: str, port: int, transport: str = "tcp") -> Iterator[None]:
    """Record the packets from and to `port` on loopback as the capture `name`; `transport` is tcp, udp or empty: both."""
    with recorded_by(name, f"{transport} port {port}".lstrip()):
        yield


@contextlib.contextmanager
def recorded_ports(name: str, *ports: int) -> Iterator[None]:
    """The same for TCP on several ports."""
    with recorded_by(name, " or ".join(f"tcp port {port}" for port in ports)):
        yield


@contextlib.contextmanager
def recorded_by(name: str, expression: str) -> Iterator[None]:
    """Record the packets on loopback that match the filter as the capture `name`."""
    path = CAPTURES / f"{name}.pcap"
    path.unlink(missing_ok=True)
    arguments = [
        "tcpdump",
        "-i",
        "lo",
        "-s",
        "0",
        "-U",
        "--immediate-mode",
        "-Z",
        "root",
        "-w",
        str(path),
        expression,
    ]
    recorder = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    time.sleep(SETTLE_SECONDS)
    try:
        yield
        time.sleep(SETTLE_SECONDS)
    finally:
        recorder.send_signal(signal.SIGINT)
        recorder.wait(timeout=10)


def wait_for(port: int) -> None:
    """Wait until somebody listens."""
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.05)
