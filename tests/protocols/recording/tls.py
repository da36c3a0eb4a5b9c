"""TLS: nginx, OpenSSL's server, PostgreSQL and MariaDB, each capture with its key log beside it (NAME.keylog)."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pymysql
from tests.protocols.recording.loopback import CAPTURES, free_port, recorded, wait_for
from tests.support import servers
from tests.support.tls import NAME, client_context, make_certificate, nginx_tls

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PAUSE_SECONDS = 0.05


def key_log(name: str) -> Path:
    """The key log beside the capture of this name, empty."""
    path = CAPTURES / f"{name}.keylog"
    path.unlink(missing_ok=True)
    return path


@contextlib.contextmanager
def recorded_nginx(name: str, *, http2: bool = False, more: str = "") -> Iterator[tuple[int, Path]]:
    """Record an nginx; gives its port and where the key log goes."""
    port = free_port()
    with (
        tempfile.TemporaryDirectory() as folder,
        nginx_tls(port, Path(folder), http2=http2, more=more),
        recorded(name, port),
    ):
        yield port, key_log(name)


def ask(
    port: int, context: ssl.SSLContext, paths: Sequence[str], session: ssl.SSLSession | None = None
) -> ssl.SSLSession:
    """Ask for `paths` on one connection; returns the session, for another one to resume."""
    plain = socket.create_connection(("127.0.0.1", port))
    with context.wrap_socket(plain, server_hostname=NAME, session=session) as secure:
        connection = http.client.HTTPConnection(NAME, port)
        connection.sock = secure
        for path in paths:
            if path.startswith("/upload"):
                connection.request("POST", path, body=b"article=paint-77&" * 40)
            else:
                connection.request("GET", path, headers={"X-Request-Id": f"order-{len(path)}"})
            connection.getresponse().read()
        found = secure.session
        assert found is not None
        return found


def tls13_http() -> None:
    """TLS 1.3: three requests on one connection, then a resumed one, AES-128 and ChaCha20."""
    with recorded_nginx("tls13_http") as (port, keys):
        context = client_context(keys, version=ssl.TLSVersion.TLSv1_3)
        session = ask(port, context, ["/hello?token=abc", "/5000.txt", "/moved"])
        ask(port, context, ["/100.txt", "/upload/1881"], session)


def tls12_http() -> None:
    """TLS 1.2: one connection for each way of protecting records, and a resumed one."""
    suites = (
        "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES128-SHA",
        "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-CCM", "ECDHE-ECDSA-AES256-CCM8",
    )  # fmt: skip
    with recorded_nginx("tls12_http", more="ssl_ciphers ALL:@SECLEVEL=0;") as (port, keys):
        for suite in suites:
            ciphers = f"{suite}:@SECLEVEL=0"
            context = client_context(keys, version=ssl.TLSVersion.TLSv1_2, ciphers=ciphers)
            session = ask(port, context, ["/hello", "/100.txt?n=2"])
            if suite == suites[0]:
                ask(port, context, ["/moved"], session)


def tls10_http() -> None:
    """TLS 1.0 and 1.1, with AES in CBC mode."""
    with recorded_nginx("tls10_http", more="ssl_ciphers ALL:@SECLEVEL=0;") as (port, keys):
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            context = client_context(keys, version=version, ciphers="ALL:@SECLEVEL=0")
            ask(port, context, ["/hello", "/100.txt"])


def tls_http2() -> None:
    """curl with HTTP/2, chosen by ALPN."""
    with recorded_nginx("tls_http2", http2=True) as (port, keys):
        url = f"https://{NAME}:{port}"
        command = ["curl", "--silent", "--insecure", "--noproxy", "*", "--max-time", "10", "--http2"]
        command += ["--resolve", f"{NAME}:{port}:127.0.0.1", f"{url}/hello", f"{url}/5000.txt", f"{url}/nothing/here"]
        subprocess.run(command, env={"SSLKEYLOGFILE": str(keys)}, stdout=subprocess.DEVNULL, check=True)


def tls13_key_update() -> None:
    """Both sides change their keys in the middle of a connection: openssl s_client against openssl s_server."""
    port = free_port()
    keys = key_log("tls13_key_update")
    program = shutil.which("openssl")
    assert program is not None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_certificate(folder)
        server = subprocess.Popen(
            [program, "s_server", "-accept", f"127.0.0.1:{port}", "-cert", "certificate.pem", "-key", "key.pem", "-tls1_3"],
            cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            time.sleep(0.5)
            with recorded("tls13_key_update", port):
                client = subprocess.Popen(
                    [program, "s_client", "-connect", f"127.0.0.1:{port}", "-servername", NAME, "-tls1_3",
                     "-keylogfile", str(keys)],
                    stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )  # fmt: skip
                assert client.stdin is not None
                time.sleep(0.5)
                for number in range(3):
                    for end, text in (
                        (client, f"GET /{number} HTTP/1.1\nHost: {NAME}\n\n"),
                        (server, "HTTP/1.1 200 OK\nContent-Length: 3\n\nok\n"),
                        (client, "K\n"),
                        (server, "K\n"),
                    ):
                        assert end.stdin is not None
                        end.stdin.write(text.encode())
                        end.stdin.flush()
                        time.sleep(0.2)
                client.stdin.write(b"Q\n")
                client.stdin.close()
                client.wait(timeout=5)
        finally:
            server.terminate()
            server.wait(timeout=5)


def tls_failures() -> None:
    """Handshakes that fail: by the client (an unknown CA, both versions) and by the server (no cipher suite in common)."""
    port = free_port()
    with tempfile.TemporaryDirectory() as name, nginx_tls(port, Path(name)), recorded("tls_failures", port):
        keys = key_log("tls_failures")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            strict = ssl.create_default_context()
            strict.minimum_version = strict.maximum_version = version
            strict.keylog_filename = str(keys)
            fail(port, strict)
        fail(port, client_context(keys, version=ssl.TLSVersion.TLSv1_2, ciphers="ECDHE-RSA-AES128-GCM-SHA256"))


def fail(port: int, context: ssl.SSLContext) -> None:
    """Try to connect, in vain."""
    with contextlib.suppress(ssl.SSLError, OSError), socket.create_connection(("127.0.0.1", port)) as plain:
        plain.settimeout(3)
        with context.wrap_socket(plain, server_hostname=NAME) as secure:
            secure.sendall(f"GET /hello HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
            secure.recv(100)
    time.sleep(PAUSE_SECONDS)


def tls13_client_certificate() -> None:
    """A server that asks for a certificate and gets none: its alert comes when the request was sent (TLS 1.3)."""
    port = free_port()
    program = shutil.which("openssl")
    assert program is not None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_certificate(folder)
        server = subprocess.Popen(
            [program, "s_server", "-accept", f"127.0.0.1:{port}", "-cert", "certificate.pem", "-key", "key.pem", "-www",
             "-Verify", "1"],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_for(port)
            time.sleep(PAUSE_SECONDS)
            with recorded("tls13_client_certificate", port):
                fail(port, client_context(key_log("tls13_client_certificate"), version=ssl.TLSVersion.TLSv1_3))
        finally:
            server.terminate()
            server.wait(timeout=5)


def postgresql_tls() -> None:
    """asyncpg asks PostgreSQL for TLS, and goes on inside."""

    async def visit(port: int, context: ssl.SSLContext) -> None:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=port, user="shop", password="correct horse", database="postgres", ssl=context
        )
        await connection.execute("SELECT 1 AS article")
        await connection.fetch("SELECT $1::int + 1", 1881)
        with contextlib.suppress(asyncpg.PostgresError):
            await connection.execute("SELECT nothing FROM nowhere")
        await connection.close()

    with servers.postgresql(tls=True) as port, recorded("postgresql_tls", port):
        asyncio.run(visit(port, client_context(key_log("postgresql_tls"))))


def mysql_tls() -> None:
    """PyMySQL asks MariaDB for TLS, and goes on inside."""
    with servers.mariadb(tls=True) as port, recorded("mysql_tls", port):
        keys = key_log("mysql_tls")
        with (
            pymysql.connect(
                host="127.0.0.1",
                port=port,
                user="shop",
                password="correct horse",
                database="shop",
                ssl=client_context(keys),
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("CREATE TABLE articles (id INT, name TEXT)")
            cursor.execute("INSERT INTO articles VALUES (%s, %s)", (1881, "paint"))
            cursor.execute("SELECT * FROM articles")
            with contextlib.suppress(pymysql.Error):
                cursor.execute("SELECT nothing FROM nowhere")


SCENARIOS = (
    tls13_http, tls12_http, tls10_http, tls_http2, tls13_key_update, tls_failures, tls13_client_certificate,
    postgresql_tls, mysql_tls,
)  # fmt: skip
