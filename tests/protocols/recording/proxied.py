"""Connections that proxies open, to an HTTP server: haproxy with both versions of the PROXY protocol, and a SOCKS proxy."""

from __future__ import annotations

import contextlib
import http.server
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

from tests.protocols.recording.http import curl
from tests.protocols.recording.loopback import free_port, recorded_ports, wait_for

HAPROXY = """
defaults
  mode tcp
  timeout connect 2s
  timeout client 5s
  timeout server 5s
frontend first
  bind 127.0.0.1:{first}
  default_backend one
frontend second
  bind 127.0.0.1:{second}
  default_backend two
backend one
  server a 127.0.0.1:{server} send-proxy
backend two
  server a 127.0.0.1:{server} send-proxy-v2
"""


class Behind(http.server.BaseHTTPRequestHandler):
    """Answers, whatever stands in front of the request."""

    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        head = self.rfile.peek(16)[:16]
        if head.startswith(b"PROXY"):
            self.rfile.readline()
        elif head.startswith(b"\r\n\r\n\0"):
            fixed = self.rfile.read(16)
            self.rfile.read(int.from_bytes(fixed[14:], "big"))

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def http_server() -> Iterator[int]:
    """A server on a free port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Behind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def haproxy(first: int, second: int, server: int) -> Iterator[None]:
    """A proxy that passes two ports on to `server`, each with a version of the protocol."""
    program = shutil.which("haproxy", path="/usr/sbin:/usr/bin")
    assert program is not None, "haproxy is needed: apt-get install haproxy"
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "haproxy.cfg"
        configuration.write_text(HAPROXY.format(first=first, second=second, server=server))
        process = subprocess.Popen([program, "-db", "-f", configuration], stderr=subprocess.DEVNULL)
        try:
            wait_for(first)
            yield
        finally:
            process.terminate()
            process.wait(timeout=10)


def proxy_headers() -> None:
    """Two clients of each version, with two requests on one connection."""
    first, second = free_port(), free_port()
    with (
        http_server() as server,
        haproxy(first, second, server),
        recorded_ports("proxy_headers", first, second, server),
    ):
        for port in (first, second):
            curl(f"http://127.0.0.1:{port}/orders/1", f"http://127.0.0.1:{port}/orders/2")


def relay(one: socket.socket, other: socket.socket) -> None:
    """Pass bytes on until either end closes."""
    with contextlib.suppress(OSError):
        while data := one.recv(4096):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)


def serve_socks(listener: socket.socket) -> None:
    """A SOCKS 4a and 5 proxy in few lines: whoever asks is let in, whatever he says."""
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=serve_one, args=(client,), daemon=True).start()


def serve_one(client: socket.socket) -> None:
    """One client."""
    with client:
        stream = client.makefile("rb")
        version = stream.read(1)[0]
        if version == 5:
            methods = stream.read(stream.read(1)[0])
            client.sendall(bytes([5, 2 if 2 in methods else 0]))
            if 2 in methods:
                stream.read(1)
                stream.read(stream.read(1)[0])
                stream.read(stream.read(1)[0])
                client.sendall(b"\x01\x00")
            _, _, _, kind = stream.read(4)
            host = stream.read(stream.read(1)[0]).decode() if kind == 3 else socket.inet_ntoa(stream.read(4))
            port = int.from_bytes(stream.read(2), "big")
            granted, refused = b"\x05\x00\x00\x01" + bytes(6), b"\x05\x05\x00\x01" + bytes(6)
        else:
            _, high, low = stream.read(3)
            port, address = high << 8 | low, stream.read(4)
            while stream.read(1) != b"\0":
                pass
            host = socket.inet_ntoa(address)
            granted, refused = b"\x00\x5a" + bytes(6), b"\x00\x5b" + bytes(6)
        try:
            server = socket.create_connection((host, port), timeout=2)
        except OSError:
            client.sendall(refused)
            return
        with server:
            client.sendall(granted)
            back = threading.Thread(target=relay, args=(server, client), daemon=True)
            back.start()
            relay(client, server)
            back.join(timeout=2)


def curl_through(proxy: str, *urls: str) -> None:
    """Run curl, whatever it thinks of the answers."""
    subprocess.run(
        ["curl", "--silent", "--noproxy", "nobody.test", "--max-time", "10", "--proxy", proxy, *urls],
        stdout=subprocess.DEVNULL,
        check=False,
    )


def socks_tunnels() -> None:
    """curl through SOCKS 5 with and without a login, by name and by address, through SOCKS 4, and to nobody."""
    nobody = free_port()
    with http_server() as server, socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        threading.Thread(target=serve_socks, args=(listener,), daemon=True).start()
        with recorded_ports("socks_tunnels", port):
            url = f"http://127.0.0.1:{server}/orders"
            curl_through(f"socks5://127.0.0.1:{port}", f"{url}/1", f"{url}/2")
            curl_through(f"socks5h://shopper:secret-word@127.0.0.1:{port}", f"http://localhost:{server}/orders/3")
            curl_through(f"socks4://127.0.0.1:{port}", f"{url}/4")
            curl_through(f"socks5://127.0.0.1:{port}", f"http://127.0.0.1:{nobody}/orders/5")


SCENARIOS = (proxy_headers, socks_tunnels)
