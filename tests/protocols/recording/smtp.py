"""SMTP: aiosmtpd and smtplib, with pipelining by hand, a login, refusals and STARTTLS."""

from __future__ import annotations

import contextlib
import datetime
import smtplib
import socket
import ssl
import tempfile
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.protocols.recording.loopback import free_port, recorded

LETTER = "Subject: Your order\r\n\r\nIt is on its way.\r\n.. and this line begins with dots\r\n"


class Handler:
    """Takes what is for shop.test."""

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        if not address.endswith("@shop.test"):
            return "550 not here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        return "451 later" if b"busy" in envelope.content else "250 taken"


def certificate(folder: Path) -> ssl.SSLContext:
    """A context with a certificate of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.shop.test")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    signed = builder.sign(key, hashes.SHA256())
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def smtp_letters() -> None:
    """Letters one by one and pipelined, refusals, a login, and a session that goes over to TLS."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        server = Controller(
            Handler(),
            hostname="127.0.0.1",
            port=port,
            tls_context=certificate(Path(folder)),
            authenticator=lambda *_: AuthResult(success=True),
            auth_require_tls=False,
        )
        server.start()
        try:
            with recorded("smtp_letters", port):
                talk(port)
        finally:
            server.stop()


def talk(port: int) -> None:
    """What the clients say."""
    with smtplib.SMTP("127.0.0.1", port, local_hostname="web1.shop.test") as client:
        client.login("shop", "secret-word")
        client.sendmail("shop@shop.test", ["alice@shop.test"], LETTER)
        with contextlib.suppress(smtplib.SMTPException):
            client.sendmail("shop@shop.test", ["bob@elsewhere.test"], LETTER)
        with contextlib.suppress(smtplib.SMTPException):
            client.sendmail("shop@shop.test", ["carol@shop.test"], LETTER + "busy\r\n")
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.recv(1000)
        client.sendall(b"EHLO web1.shop.test\r\n")
        client.recv(1000)
        client.sendall(b"MAIL FROM:<a@shop.test> SIZE=20\r\nRCPT TO:<b@shop.test>\r\nDATA\r\n")
        answers = b""
        while b"354" not in answers:
            answers += client.recv(1000)
        client.sendall(b"short\r\n.\r\nNOOP\r\nQUIT\r\n")
        while client.recv(1000):
            pass
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.1", port, local_hostname="web1.shop.test") as client:
        client.starttls(context=context)
        client.sendmail("shop@shop.test", ["alice@shop.test"], LETTER)


SCENARIOS = (smtp_letters,)
