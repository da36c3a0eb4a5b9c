"""How much of HTTP/1.1 under TLS is found without the keys, compared with the same capture and its keys.

A real nginx and real clients on loopback: keep-alive and one request a connection, answers of 0 bytes to 1 MB, uploads,
TLS 1.2 and 1.3, full and resumed handshakes, a server that thinks. With the keys every exchange is read; without them there
are opaque calls. *Count* compares how many there are; *first byte* how far the times to the first byte of the answer are
apart, exchange by exchange (those whose request begins at the same byte).
"""

from __future__ import annotations

import http.client
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.protocols.recording.loopback import free_port  # noqa: E402 - the path is set only now
from tests.support.tls import NAME, client_context, nginx_tls  # noqa: E402

from wiretrace.exchanges.vantage import read_vantage_point  # noqa: E402
from wiretrace.model.note import Notes  # noqa: E402
from wiretrace.model.settings import Settings  # noqa: E402
from wiretrace.packets.captures import find_captures  # noqa: E402

SIZES = (0, 100, 5_000, 16_384, 100_000, 1_000_000)
COUNT_APART_AT_MOST = 0.03
FIRST_BYTE_APART_AT_MOST_NS = 1_000_000
REQUESTS = 400
CLIENTS = 4
THINKING_SECONDS = 0.004


def main(requests: int = REQUESTS) -> bool:
    """Print the table. False if a goal is missed."""
    good = True
    print(
        f"TLS without keys against the same capture with keys: {requests} requests of HTTP/1.1 in each row, real nginx"
    )
    print(f"{'':<34}{'with keys':>10}{'without':>9}{'apart':>8}{'matched':>9}{'first byte, median':>20}{'p95':>12}")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        for way in ("keep-alive", "a connection each", "resumed each", "offering h2"):
            with tempfile.TemporaryDirectory() as folder:
                capture, key_log = record(Path(folder), version, way, requests)
                opened, opaque = exchanges(capture, key_log), exchanges(capture, None)
            apart = abs(len(opaque) - len(opened)) / max(1, len(opened))
            differences = sorted(
                abs(opaque[key][1] - opened[key][1]) for key in opened.keys() & opaque.keys() if opened[key][1] >= 0
            )
            median = differences[len(differences) // 2] if differences else 10**12
            tail = differences[len(differences) * 95 // 100] if differences else 10**12
            print(
                f"{f'{version.name}, {way}':<34}{len(opened):>10}{len(opaque):>9}{apart:>8.2%}"
                f"{len(differences) / max(1, len(opened)):>9.1%}{median / 1e6:>17.3f} ms{tail / 1e6:>9.3f} ms",
                flush=True,
            )
            enough = len(opened) >= requests * 0.99
            good = good and enough and apart <= COUNT_APART_AT_MOST and median <= FIRST_BYTE_APART_AT_MOST_NS
    return good


def record(folder: Path, version: ssl.TLSVersion, way: str, requests: int) -> tuple[Path, Path]:
    """Let clients ask nginx, and record it. Returns the capture and the key log."""
    port, behind = free_port(), free_port()
    capture, key_log = folder / "tls.pcap", folder / "keys.log"
    more = f"location ~ /(think|upload) {{ proxy_pass http://127.0.0.1:{behind}; }}"
    stop = threading.Event()
    thinker = threading.Thread(target=think, args=(behind, stop), daemon=True)
    thinker.start()
    with nginx_tls(port, folder, more=more):
        recorder = subprocess.Popen(
            ["tcpdump", "-i", "lo", "-s", "0", "-B", "65536", "-Z", "root", "-w", str(capture), f"tcp port {port}"],
            stderr=subprocess.DEVNULL,
        )
        time.sleep(1)
        clients = [
            threading.Thread(target=ask, args=(port, key_log, version, way, requests // CLIENTS, seed))
            for seed in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        time.sleep(1)
        recorder.send_signal(signal.SIGINT)
        recorder.wait(timeout=20)
    stop.set()
    thinker.join(timeout=5)
    return capture, key_log


def think(port: int, stop: threading.Event) -> None:
    """A server behind nginx that takes its time."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.settimeout(0.2)
        while not stop.is_set():
            try:
                connected, _ = listener.accept()
            except TimeoutError:
                continue
            with connected:
                received = connected.recv(1 << 16)
                head, _, body = received.partition(b"\r\n\r\n")
                found = re.search(rb"(?i)content-length: (\d+)", head)
                left = int(found[1]) - len(body) if found else 0
                while left > 0:
                    left -= len(connected.recv(1 << 20))
                time.sleep(THINKING_SECONDS)
                connected.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nthink\n")


def ask(port: int, key_log: Path, version: ssl.TLSVersion, way: str, requests: int, seed: int) -> None:
    """One client."""
    chooser = random.Random(seed)
    protocols = ("h2", "http/1.1") if way == "offering h2" else ()
    context = client_context(key_log, version=version, protocols=protocols)
    session: ssl.SSLSession | None = None
    connection: http.client.HTTPConnection | None = None
    for number in range(requests):
        if connection is None:
            plain = socket.create_connection(("127.0.0.1", port))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            secure = context.wrap_socket(
                plain, server_hostname=NAME, session=session if way == "resumed each" else None
            )
            connection = http.client.HTTPConnection(NAME, port)
            connection.sock = secure
        match chooser.randrange(8):
            case 0 | 1 | 2 | 3:
                connection.request("GET", f"/{chooser.choice(SIZES)}.txt?number={number}")
            case 4 | 5:
                connection.request("GET", f"/think?number={number}")
            case 6:
                connection.request("POST", "/upload", body=b"x" * chooser.choice(SIZES))
            case _:
                connection.request("GET", f"/nothing/here/{number}")
        connection.getresponse().read()
        session = secure.session
        if way != "keep-alive" and (way != "offering h2" or number % 10 == 9):
            connection.close()
            connection = None
    if connection is not None:
        connection.close()


def exchanges(capture: Path, key_log: Path | None) -> dict[tuple[int, int], tuple[int, int]]:
    """The exchanges, by client port and sequence number of the request: when it began, and time to the first byte."""
    with tempfile.TemporaryDirectory() as folder:
        [found] = find_captures([capture], Notes())
        read = read_vantage_point(found, 0, Path(folder) / "exchanges.arrow", b"", Settings(jobs=1, tls_keylog=key_log))
        rows: list[dict[str, Any]] = [row for part in read.spool.parts() for row in part.to_pylist()]
    times = {}
    for row in rows:
        start, answer = row["request_start_ns"], row["response_start_ns"]
        times[row["client_port"], row["request_seq"]] = (start, answer - start if min(start, answer) >= 0 else -1)
    return times


if __name__ == "__main__":
    sys.exit(0 if main(int(sys.argv[1]) if len(sys.argv) > 1 else REQUESTS) else 1)
