"""HTTP/2 and server-sent events: nginx, curl, httpx, hypercorn, and a server that does what others seldom do."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import httpx

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

from tests.protocols.recording.loopback import free_port, recorded, wait_for

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

NGINX = """
daemon off; master_process off; worker_processes 1; error_log {folder}/error.log; pid {folder}/nginx.pid; {user}
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; keepalive_timeout 20;
  server {{
    listen 127.0.0.1:{port} http2;
    root {folder}/www; default_type text/plain; http2_chunk_size 1k;
    location /hello {{ return 200 "hello\\n"; }}
    location /moved {{ return 302 /hello; }}
    location /broken {{ return 500; }}
    location /empty {{ return 204; }}
    location /slow {{ limit_rate 4k; alias {folder}/www/; }}
    location /pushed {{ http2_push /hello; return 200 "take this too\\n"; }}
    location /orders {{ return 200 "an order\\n"; }}
  }}
}}
"""


@contextlib.contextmanager
def nginx(port: int) -> Iterator[None]:
    """An nginx that speaks HTTP/2 in clear text."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    assert program is not None, "nginx is needed: apt-get install nginx-light"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "www").mkdir()
        for size in (900, 9000):
            (folder / "www" / f"{size}.txt").write_bytes(b"ten bytes\n" * (size // 10))
        user = "user root;" if Path.home() == Path("/root") else ""
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, user=user))
        server = subprocess.Popen([program, "-c", folder / "nginx.conf", "-p", folder], stderr=subprocess.DEVNULL)
        try:
            wait_for(port)
            yield
        finally:
            server.terminate()
            server.wait(timeout=10)


def curl(*arguments: str) -> None:
    """Run curl, whatever it thinks of the answers."""
    subprocess.run(
        ["curl", "--silent", "--noproxy", "*", "--max-time", "10", *arguments], stdout=subprocess.DEVNULL, check=False
    )


def http2_nginx() -> None:
    """A client with prior knowledge: one connection, one request after the other."""
    port = free_port()
    with nginx(port), recorded("http2_nginx", port), prior_knowledge(port) as client:
        client.get("/hello?token=abc", headers={"traceparent": TRACE})
        client.head("/9000.txt")
        client.get("/9000.txt", headers={"X-Request-Id": "order-1881"})
        client.post("/orders/1881", content="article=paint-77")
        for path in ("/moved", "/empty", "/broken", "/nothing/here", "/pushed"):
            client.get(path)


def http2_interleaved() -> None:
    """Several responses at once on one connection, their frames between each other."""

    async def visit(port: int) -> None:
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(http1=False, http2=True, trust_env=False, base_url=url) as client:
            await client.get("/hello")
            await asyncio.gather(*(client.get(f"/slow/9000.txt?n={number}") for number in (1, 2, 3)))

    port = free_port()
    with nginx(port), recorded("http2_interleaved", port):
        asyncio.run(visit(port))


def http2_curl() -> None:
    """curl with prior knowledge."""
    port = free_port()
    with nginx(port), recorded("http2_curl", port):
        curl("--http2-prior-knowledge", f"http://127.0.0.1:{port}/900.txt")


def prior_knowledge(port: int) -> httpx.Client:
    """A client that begins with the preface."""
    return httpx.Client(http1=False, http2=True, trust_env=False, base_url=f"http://127.0.0.1:{port}")


def http2_upgrade() -> None:
    """curl asks a server for HTTP/2 by Upgrade: the first request goes over to stream 1."""
    asyncio.run(with_hypercorn("http2_upgrade", lambda url: run_curl("--http2", f"{url}/a", f"{url}/b?session=secret")))


def http1_events() -> None:
    """Server-sent events over HTTP/1.1."""
    asyncio.run(with_hypercorn("http1_events", lambda url: run_curl("--http1.1", f"{url}/events")))


def http2_events() -> None:
    """Server-sent events over HTTP/2."""
    asyncio.run(with_hypercorn("http2_events", lambda url: run_curl("--http2-prior-knowledge", f"{url}/events")))


async def run_curl(*arguments: str) -> None:
    """Run curl beside a server of this process."""
    await asyncio.to_thread(curl, *arguments)


async def application(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[..., Any]) -> None:
    """An ASGI application: streams of events under /events, a short text elsewhere."""
    if scope["type"] != "http":
        return
    events = scope["path"] == "/events"
    kind = b"text/event-stream" if events else b"text/plain"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    if events:
        for number in range(5):
            await send({"type": "http.response.body", "body": b": still here\n\n", "more_body": True})
            body = b"event: tick\ndata: %d\n\n" % number
            await send({"type": "http.response.body", "body": body, "more_body": True})
            await asyncio.sleep(0.02)
    await send({"type": "http.response.body", "body": b"" if events else b"here you are\n"})


async def with_hypercorn(name: str, visit: Callable[[str], Awaitable[None]]) -> None:
    """Record what `visit` does with a server at the URL that it is given."""
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    port = free_port()
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.accesslog = config.errorlog = None
    over = asyncio.Event()
    server = asyncio.create_task(serve(application, config, shutdown_trigger=over.wait))  # type: ignore[arg-type]
    await asyncio.to_thread(wait_for, port)
    recording = recorded(name, port)
    await asyncio.to_thread(recording.__enter__)
    await visit(f"http://127.0.0.1:{port}")
    await asyncio.to_thread(recording.__exit__, None, None, None)
    over.set()
    await server


class H2Server(threading.Thread):
    """A server of one connection that does what other servers seldom do."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]

    def run(self) -> None:
        """Answer by the path."""
        connected, _ = self.listener.accept()
        self.listener.close()
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.local_settings[h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL] = 1
        connection.initiate_connection()
        with connected:
            connected.sendall(connection.data_to_send())
            while chunk := connected.recv(1 << 16):
                for event in connection.receive_data(chunk):
                    if isinstance(event, h2.events.RequestReceived):
                        self.answer(connection, event.stream_id, dict(event.headers))
                connected.sendall(connection.data_to_send())

    @staticmethod
    def answer(connection: h2.connection.H2Connection, stream: int, headers: dict[bytes, bytes]) -> None:
        """One answer, whole or not."""
        path = headers.get(b":path", b"")
        if path == b"/reset":
            connection.reset_stream(stream, 2)
        elif path == b"/half":
            connection.send_headers(stream, [(":status", "200"), ("content-type", "text/plain")])
            connection.send_data(stream, b"only the beginning")
            connection.reset_stream(stream, 11)
        elif path == b"/silent":
            pass
        elif path == b"/never-ends":
            connection.send_headers(stream, [(":status", "200")])
            connection.send_data(stream, b"and so on")
        elif path == b"/early":
            connection.send_headers(stream, [(":status", "103"), ("link", "</style.css>")])
            connection.send_headers(stream, [(":status", "200")])
            connection.send_data(stream, b"padded", pad_length=40)
            connection.send_headers(stream, [("x-checksum", "17")], end_stream=True)
        elif path == b"/chat":
            connection.send_headers(stream, [(":status", "200")])
        elif path == b"/push":
            request = [(":method", "GET"), (":path", "/style.css"), (":scheme", "http"), (":authority", "shop")]
            connection.push_stream(stream, 2, request)
            connection.send_headers(stream, [(":status", "200")], end_stream=True)
            connection.send_headers(2, [(":status", "200"), ("content-type", "text/css")])
            connection.send_data(2, b"p { color: red }", end_stream=True)
        elif path == b"/last":
            connection.send_headers(stream, [(":status", "200")], end_stream=True)
            connection.close_connection(0, last_stream_id=stream)
        else:
            connection.send_headers(stream, [(":status", "200"), ("x-path", path.decode())], end_stream=True)


def http2_unusual() -> None:
    """Resets by either side, interim responses, padding, trailers, a push, extended CONNECT, long header fields, GOAWAY."""
    server = H2Server()
    server.start()
    with recorded("http2_unusual", server.port), socket.create_connection(("127.0.0.1", server.port)) as connected:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        connection.initiate_connection()

        def ask(stream: int, path: str, *more: tuple[str, str], method: str = "GET", end: bool = True) -> None:
            headers = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "shop:8080"), *more]
            connection.send_headers(stream, headers, end_stream=end)
            exchange()

        def exchange(seconds: float = 0.05) -> None:
            connected.sendall(connection.data_to_send())
            time.sleep(seconds)
            connected.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                while chunk := connected.recv(1 << 16):
                    connection.receive_data(chunk)
            connected.sendall(connection.data_to_send())

        exchange()
        ask(1, "/reset")
        ask(3, "/half")
        ask(5, "/silent")
        connection.reset_stream(5, 8)
        exchange()
        ask(7, "/never-ends")
        connection.reset_stream(7, 8)
        exchange()
        ask(9, "/early")
        ask(11, "/push")
        ask(13, "/chat", (":protocol", "websocket"), method="CONNECT", end=False)
        ask(15, "/long", ("x-long", "0123456789abcdef" * 1200))
        connection.send_headers(
            17, [(":method", "POST"), (":path", "/upload"), (":scheme", "http"), (":authority", "shop:8080")]
        )
        connection.send_data(17, b"a body", pad_length=20)
        connection.send_headers(17, [("x-checksum", "9")], end_stream=True)
        exchange()
        connection.update_settings({h2.settings.SettingCodes.HEADER_TABLE_SIZE: 0})
        exchange()
        ask(19, "/small-table")
        ask(21, "/last")
    server.join(timeout=5)


SCENARIOS = (http2_nginx, http2_curl, http2_interleaved, http2_upgrade, http2_unusual, http2_events, http1_events)
