"""nginx: HTTP/1.1 (keep-alive, pipelined) in clear and under TLS, HTTP/2 in clear and under TLS, several streams at once."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http.client
import io
import shutil
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from tests.lab.speakers.diary import CLIENTS, Diary, Scenario, at_once
from tests.support.servers import free_port, running
from tests.support.tls import NAME, client_context, make_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator

NGINX = """
daemon off; master_process off; worker_processes 1; error_log {folder}/error.log; pid {folder}/nginx.pid; {user}
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; keepalive_timeout 60; keepalive_requests 100000;
  client_max_body_size 1m; gzip on; gzip_types text/plain; gzip_min_length 100; gzip_http_version 1.1;
  server {{
    listen 127.0.0.1:{port}{how}; server_name {name}; root {folder}/www; default_type text/plain; {more}
    location /hello {{ return 200 "hello\\n"; }}
    location /nothing {{ return 204; }}
    location /moved {{ return 302 /hello; }}
    location /broken {{ return 503; }}
    location /forbidden {{ return 403; }}
    location /upload {{ client_body_buffer_size 2m; proxy_pass http://127.0.0.1:{port_behind}/; }}
  }}
  server {{ listen 127.0.0.1:{port_behind}; location / {{ return 201 "taken\\n"; }} }}
}}
"""
FILES = {"empty": 0, "small": 90, "packed": 40_000, "large": 1_000_000}
ASKED: tuple[tuple[str, str, bytes, dict[str, str]], ...] = (
    ("GET", "/hello", b"", {}),
    ("GET", "/empty.txt", b"", {}),
    ("GET", "/small.txt", b"", {}),
    ("GET", "/large.txt", b"", {}),
    ("GET", "/packed.txt", b"", {"Accept-Encoding": "gzip"}),
    ("HEAD", "/large.txt", b"", {}),
    ("GET", "/large.txt", b"", {"Range": "bytes=100-299"}),
    ("GET", "/small.txt", b"", {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}),
    ("GET", "/nothing", b"", {}),
    ("GET", "/moved", b"", {}),
    ("GET", "/broken", b"", {}),
    ("GET", "/forbidden", b"", {}),
    ("GET", "/missing", b"", {}),
    ("POST", "/small.txt", b"not here", {}),
    ("POST", "/upload", b"", {}),
    ("POST", "/upload", b"order-42", {}),
    ("PUT", "/upload", b"paint " * 50_000, {}),
    ("DELETE", "/upload", b"", {}),
    ("OPTIONS", "/hello", b"", {}),
)
PIPELINED = tuple(each for each in ASKED if each[0] in ("GET", "HEAD"))
"""What may be sent before the answer to what is in front of it: an answer must be read to the end to find the next."""
SECONDS = 60.0


@contextlib.contextmanager
def nginx(folder: Path, *, how: str = "", more: str = "") -> Iterator[int]:
    """A server that listens as nginx's words `how` say."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    assert program is not None, "nginx is needed (apt install nginx-light)"
    make_certificate(folder)
    (folder / "www").mkdir(exist_ok=True)
    for name, size in FILES.items():
        (folder / "www" / f"{name}.txt").write_bytes((b"ten bytes\n" * (size // 10 + 1))[:size])
    port = free_port()
    configuration = NGINX.format(
        folder=folder, port=port, port_behind=free_port(), how=how, name=NAME, more=more.format(folder=folder),
        user="user root;" if Path.home() == Path("/root") else "",
    )  # fmt: skip
    (folder / "nginx.conf").write_text(configuration)
    with running([program, "-c", str(folder / "nginx.conf"), "-p", str(folder)], port, None):
        yield port


def outcome_of(status: int) -> str:
    """How a status code is judged."""
    return "ok" if status < 400 else "error"


def speak(port: int, diary: Diary, calls: int, *, version: ssl.TLSVersion | None = None) -> None:
    """HTTP/1.1; inside TLS if a version is given."""
    at_once(lambda _: visit(port, diary, max(1, calls // CLIENTS // (len(ASKED) + len(PIPELINED))), version))


def connected(port: int, diary: Diary, version: ssl.TLSVersion | None) -> socket.socket:
    """A connection, inside TLS if a version is given."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if version is None:
        return plain
    return client_context(diary.key_log, version=version).wrap_socket(plain, server_hostname=NAME)


def visit(port: int, diary: Diary, rounds: int, version: ssl.TLSVersion | None) -> None:
    """One client: a connection for some rounds, and one on which requests are sent without waiting."""
    with contextlib.closing(http.client.HTTPConnection(NAME, port)) as client:
        client.sock = connected(port, diary, version)
        own = client.sock.getsockname()[1]
        for _ in range(rounds):
            for method, path, body, headers in ASKED:
                nonce = diary.nonce()
                client.request(method, f"{path}?order=nonce{nonce}", body or None, headers)
                answer = client.getresponse()
                answer.read()
                diary.note(
                    f"{method} {path}", str(answer.status), outcome_of(answer.status), nonce=nonce, connection=own
                )
    for _ in range(rounds):
        with connected(port, diary, version) as stream:
            own = stream.getsockname()[1]
            nonces = [diary.nonce() for _ in PIPELINED]
            for nonce, (method, path, _, headers) in zip(nonces, PIPELINED, strict=True):
                lines = [f"{method} {path}?order=nonce{nonce} HTTP/1.1", f"Host: {NAME}"]
                lines += [f"{name}: {value}" for name, value in headers.items()]
                stream.sendall("\r\n".join([*lines, "", ""]).encode())
            answers = Answers(stream)
            for nonce, (method, path, _, _) in zip(nonces, PIPELINED, strict=True):
                response = http.client.HTTPResponse(answers, method=method)  # type: ignore[arg-type]
                response.begin()
                response.read()
                status = response.status
                diary.note(f"{method} {path}", str(status), outcome_of(status), nonce=nonce, connection=own)


class Answers(io.BufferedReader):
    """What comes over a stream. Its responses share it: none closes it, none keeps what belongs to the next."""

    def __init__(self, stream: socket.socket) -> None:
        super().__init__(socket.SocketIO(stream, "r"))

    def makefile(self, _mode: str) -> Answers:
        """What http.client reads from."""
        return self

    def close(self) -> None:
        """The stream is closed by who opened it."""


async def visit_by_streams(port: int, diary: Diary, rounds: int, secure: bool) -> None:
    """One client of HTTP/2: requests one by one, then all at once."""
    context = client_context(diary.key_log) if secure else False
    url = f"{'https' if secure else 'http'}://127.0.0.1:{port}"
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(
        http1=False, http2=True, trust_env=False, base_url=url, verify=context, timeout=SECONDS, limits=limits
    ) as client:

        async def ask(method: str, path: str, body: bytes, headers: dict[str, str]) -> None:
            nonce = diary.nonce()
            if path != "/upload":
                body = b""  # the answer may come before it: then the library fails to send the rest
            answer = await client.request(
                method,
                f"{path}?order=nonce{nonce}",
                content=body or None,
                headers={"Accept-Encoding": "identity"} | headers,
            )
            own = answer.extensions["network_stream"].get_extra_info("client_addr")[1]
            status = answer.status_code
            diary.note(f"{method} {path}", str(status), outcome_of(status), nonce=nonce, connection=own)

        for number in range(rounds):
            if number % 2:
                await asyncio.gather(*(ask(*each) for each in ASKED))
            else:
                for each in ASKED:
                    await ask(*each)


def speak_by_streams(port: int, diary: Diary, calls: int, *, secure: bool) -> None:
    """HTTP/2."""

    async def visits() -> None:
        rounds = max(2, calls // CLIENTS // len(ASKED))
        await asyncio.gather(*(visit_by_streams(port, diary, rounds, secure) for _ in range(CLIENTS)))

    asyncio.run(visits())


CERTIFICATE = (
    "ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {folder}/certificate.pem; ssl_certificate_key {folder}/key.pem;"
)
secure = functools.partial(nginx, how=" ssl", more=CERTIFICATE)
SCENARIOS = (
    Scenario("nginx, HTTP/1.1", nginx, speak),
    Scenario("nginx, HTTP/1.1 over TLS 1.2", secure, functools.partial(speak, version=ssl.TLSVersion.TLSv1_2)),
    Scenario("nginx, HTTP/1.1 over TLS 1.3", secure, functools.partial(speak, version=ssl.TLSVersion.TLSv1_3)),
    Scenario(
        "nginx, HTTP/2", functools.partial(nginx, how=" http2"), functools.partial(speak_by_streams, secure=False),
    ),
    Scenario(
        "nginx, HTTP/2 over TLS", functools.partial(nginx, how=" ssl http2", more=CERTIFICATE),
        functools.partial(speak_by_streams, secure=True),
    ),
)  # fmt: skip
