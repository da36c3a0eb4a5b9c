"""Real TLS: a certificate for tests, servers that use it, and clients that write a key log."""

from __future__ import annotations

import contextlib
import datetime
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NAME = "shop.test"
NGINX = """
daemon off; master_process off; worker_processes 1; error_log {folder}/error.log; pid {folder}/nginx.pid; {user}
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; keepalive_timeout 20; keepalive_requests 10000;
  client_max_body_size 4m;
  server {{
    listen 127.0.0.1:{port} ssl{http2};
    server_name {name}; root {folder}/www; default_type text/plain;
    ssl_certificate {folder}/certificate.pem; ssl_certificate_key {folder}/key.pem;
    ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3; {more}
    location /hello {{ return 200 "hello\\n"; }}
    location /slow {{ limit_rate 256k; alias {folder}/www/; }}
    location /moved {{ return 302 /hello; }}
  }}
}}
"""


def make_certificate(folder: Path) -> None:
    """Write certificate.pem and key.pem: self-signed, for `NAME`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    begin = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1881)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME), x509.DNSName(f"www.{NAME}")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    (folder / "key.pem").chmod(0o600)


@contextlib.contextmanager
def nginx_tls(port: int, folder: Path, *, http2: bool = False, more: str = "") -> Iterator[None]:
    """An nginx with TLS at `port` of 127.0.0.1, with files of some sizes; `folder` holds all that it needs."""
    from tests.protocols.recording.loopback import wait_for

    program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    assert program is not None, "nginx is needed: apt-get install nginx-light"
    make_certificate(folder)
    (folder / "www").mkdir()
    for size in (0, 100, 5_000, 16_384, 100_000, 1_000_000):
        (folder / "www" / f"{size}.txt").write_bytes((b"ten bytes\n" * (size // 10 + 1))[:size])
    user = "user root;" if Path.home() == Path("/root") else ""
    configuration = NGINX.format(
        folder=folder, port=port, user=user, name=NAME, http2=" http2" if http2 else "", more=more
    )
    (folder / "nginx.conf").write_text(configuration)
    server = subprocess.Popen([program, "-c", folder / "nginx.conf", "-p", folder], stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield
    finally:
        server.terminate()
        server.wait(timeout=10)


def client_context(
    key_log: Path,
    *,
    version: ssl.TLSVersion | None = None,
    ciphers: str = "",
    protocols: tuple[str, ...] = (),
) -> ssl.SSLContext:
    """A context that verifies nothing, and writes its secrets to `key_log`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.keylog_filename = str(key_log)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def shaken_hands(folder: Path, context: ssl.SSLContext, dialogue: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    """What both ends send when a client with `context` and a server with the certificate in `folder` talk, in memory."""
    accepting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    accepting.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    bios = [ssl.MemoryBIO() for _ in range(4)]
    client = context.wrap_bio(bios[0], bios[1], server_hostname=NAME)
    server = accepting.wrap_bio(bios[2], bios[3], server_side=True)
    sent = [b"", b""]

    def move(side: int) -> None:
        """Pass on what `side` has written."""
        data = bios[2 * side + 1].read()
        sent[side] += data
        bios[2 - 2 * side].write(data)

    for _ in range(4):
        for side, end in enumerate((client, server)):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
            move(side)
    for asked, answered in dialogue:
        client.write(asked)
        move(0)
        assert server.read(1 << 16) == asked
        server.write(answered)
        move(1)
        assert client.read(1 << 16) == answered
    return sent[0], sent[1]
