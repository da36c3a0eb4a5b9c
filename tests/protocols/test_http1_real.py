"""HTTP/1 as nginx speaks it: what a relay recorded on loopback is read whole, and every answer has its status."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.dissect import dissect
from tests.support.relay import Relay

from wiretrace.model.message import Role
from wiretrace.protocols.http1 import Http1

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIGURATION = """
daemon off; master_process off; worker_processes 1; error_log {folder}/error.log; pid {folder}/nginx.pid;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; keepalive_timeout 20;
  server {{
    listen 127.0.0.1:{port};
    root {folder}/www; default_type text/plain;
    location /hello {{ return 200 "hello\\n"; }}
    location /moved {{ return 302 /hello; }}
    location /broken {{ return 500; }}
    location /empty {{ return 204; }}
    location /chunked {{ gzip on; gzip_types *; gzip_min_length 1; }}
    location /proxied {{ proxy_http_version 1.1; proxy_buffering off; proxy_pass http://127.0.0.1:{port}/large.txt; }}
  }}
}}
"""


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an nginx that serves the configuration above."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    assert program is not None, "nginx is needed: apt-get install nginx-light"
    folder = tmp_path_factory.mktemp("nginx")
    folder.chmod(0o755)
    www = folder / "www" / "chunked"
    www.mkdir(parents=True)
    (www / "page").write_bytes(b"a page that is compressed on its way\n" * 2000)
    (folder / "www" / "large.txt").write_bytes(random.Random(1).randbytes(300_000))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    configuration = folder / "nginx.conf"
    configuration.write_text(
        "user root;\n" * (Path.home() == Path("/root")) + CONFIGURATION.format(folder=folder, port=port)
    )
    server = subprocess.Popen([program, "-c", configuration, "-p", folder], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "nginx does not start"
                time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait(timeout=10)


REQUESTS = [
    (b"GET /hello HTTP/1.1\r\nHost: shop\r\n\r\n", "200"),
    (b"HEAD /large.txt HTTP/1.1\r\nHost: shop\r\n\r\n", "200"),
    (b"GET /large.txt HTTP/1.1\r\nHost: shop\r\nX-Request-Id: abc-1\r\n\r\n", "200"),
    (b"GET /large.txt HTTP/1.1\r\nHost: shop\r\nRange: bytes=0-9\r\n\r\n", "206"),
    (b"GET /chunked/page HTTP/1.1\r\nHost: shop\r\nAccept-Encoding: gzip\r\n\r\n", "200"),
    (b"HEAD /chunked/page HTTP/1.1\r\nHost: shop\r\nAccept-Encoding: gzip\r\n\r\n", "200"),
    (b"GET /moved HTTP/1.1\r\nHost: shop\r\n\r\n", "302"),
    (b"GET /empty HTTP/1.1\r\nHost: shop\r\n\r\n", "204"),
    (b"POST /hello HTTP/1.1\r\nHost: shop\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\nsome body", "200"),
    (b"POST /hello HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n0\r\n\r\n", "200"),
    (b"\r\nGET /nothing/here HTTP/1.1\r\nHost: shop\r\n\r\n", "404"),
    (b"GET /proxied HTTP/1.1\r\nHost: shop\r\n\r\n", "200"),
    (b"GET http://shop/hello HTTP/1.1\r\nHost: shop\r\n\r\n", "200"),
    (b"GET /broken HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n", "500"),
]


def converse(port: int, requests: list[bytes], pause: float) -> None:
    """Send requests on one connection, and read until the server closes it."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        for request in requests:
            client.sendall(request)
            time.sleep(pause)
        while client.recv(1 << 16):
            pass


@pytest.mark.parametrize("pause", [0.0, 0.01])
def test_a_conversation_with_nginx_is_read_whole(nginx: int, pause: float) -> None:
    """Pipelined or one by one: every request and every response is found, and every byte is in one of them."""
    with Relay(("127.0.0.1", nginx)) as relay:
        converse(relay.port, [request for request, _ in REQUESTS], pause)
    recording = relay.recordings[0]
    for splits in (None, random.Random(1), random.Random(2)):
        result = dissect(Http1, recording.client, recording.server, splits=splits)
        assert not result.unread
        assert not result.violations
        assert not any(message.damaged for message in result.requests + result.responses)
        assert [message.end - message.start for message in result.requests if message.role is Role.REQUEST] == [
            len(request.lstrip(b"\r\n")) for request, _ in REQUESTS
        ]
        assert [message.status for message in result.responses if message.role is Role.RESPONSE] == [
            status for _, status in REQUESTS
        ]
        assert sum(message.role is Role.CONTROL for message in result.responses) == 1, "100 Continue"


def test_a_response_of_http_1_0_ends_with_the_connection(nginx: int) -> None:
    with Relay(("127.0.0.1", nginx)) as relay:
        converse(relay.port, [b"GET /chunked/page HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n"], 0)
    recording = relay.recordings[0]
    result = dissect(Http1, recording.client, recording.server)
    assert [(message.start, message.end, message.damaged) for message in result.responses] == [
        (0, len(recording.server), False)
    ]
