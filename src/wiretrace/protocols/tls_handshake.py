"""Handshake messages of TLS that say who talks to whom, and how: hellos, certificates, alerts (RFC 5246, RFC 8446).

Rules: what is not as it should be is not there (an empty value), or the whole message is None; nothing raises. Text is
captured text: only what can be a host's or a protocol's name is taken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wiretrace.protocols.tls_certificate import certificate_names
from wiretrace.protocols.tls_suites import Suite, suite_of

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENT_HELLO, SERVER_HELLO, ENCRYPTED_EXTENSIONS, CERTIFICATE = 1, 2, 8, 11
FINISHED, KEY_UPDATE = 20, 24
SERVER_NAME, ALPN, ENCRYPT_THEN_MAC, PRE_SHARED_KEY, EARLY_DATA, SUPPORTED_VERSIONS = 0, 16, 22, 41, 42, 43
TLS_1_0, TLS_1_3 = 0x0301, 0x0304
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
"""The random of a HelloRetryRequest (RFC 8446 section 4.1.3)."""
DRAFT = 0x7F
"""High byte of the version numbers of drafts of TLS 1.3."""
VERSIONS = {0x0300: "SSL 3.0", 0x0301: "1.0", 0x0302: "1.1", 0x0303: "1.2", 0x0304: "1.3"}
NAME = re.compile(rb"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")
PROTOCOL_NAME = re.compile(rb"[!-~]{1,32}")
MOST_PROTOCOLS = 8
"""Protocols of an ALPN offer that are told."""
CLOSE_NOTIFY, USER_CANCELED, NO_RENEGOTIATION = 0, 90, 100
HARMLESS = (CLOSE_NOTIFY, USER_CANCELED, NO_RENEGOTIATION)
"""Alerts that do not end a connection as a failure."""
ALERTS = {
    0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 21: "decryption_failed", 22: "record_overflow",
    30: "decompression_failure", 40: "handshake_failure", 41: "no_certificate", 42: "bad_certificate",
    43: "unsupported_certificate", 44: "certificate_revoked", 45: "certificate_expired", 46: "certificate_unknown",
    47: "illegal_parameter", 48: "unknown_ca", 49: "access_denied", 50: "decode_error", 51: "decrypt_error",
    60: "export_restriction", 70: "protocol_version", 71: "insufficient_security", 80: "internal_error",
    86: "inappropriate_fallback", 90: "user_canceled", 100: "no_renegotiation", 109: "missing_extension",
    110: "unsupported_extension", 111: "certificate_unobtainable", 112: "unrecognized_name",
    113: "bad_certificate_status_response", 114: "bad_certificate_hash_value", 115: "unknown_psk_identity",
    116: "certificate_required", 120: "no_application_protocol", 121: "ech_required",
}  # fmt: skip
"""Names of alerts (IANA's registry "TLS Alerts")."""


@dataclass(slots=True, frozen=True)
class ClientHello:
    """What a client offers."""

    random: bytes
    session: bytes
    """Identifier of the session that it wants to resume, or of none."""
    server_name: str
    """From the extension server_name (RFC 6066 section 3); empty if there is none."""
    protocols: tuple[str, ...]
    """The ALPN offer (RFC 7301)."""
    versions: tuple[int, ...]
    """Offered versions, those of drafts and reserved values left out."""
    early_data: bool
    """Whether data follow before the server has answered (RFC 8446 section 4.2.10)."""


@dataclass(slots=True, frozen=True)
class ServerHello:
    """What a server chose."""

    random: bytes
    version: int
    suite: Suite
    protocol: str
    """From ALPN, where it is visible: up to TLS 1.2."""
    encrypt_then_mac: bool
    resumed: bool
    """By a pre-shared key (TLS 1.3)."""
    session: bytes
    """The session's identifier."""

    @property
    def retries(self) -> bool:
        """Whether it asks for another ClientHello."""
        return self.random == RETRY


def version_name(version: int) -> str:
    """'1.3' for 0x0304 and for the drafts of it."""
    return "1.3" if version >> 8 == DRAFT else VERSIONS.get(version, "")


def alert_name(number: int) -> str:
    """The name of an alert; its number where it has none."""
    return ALERTS.get(number, str(number))


class _Reader:
    """Takes vectors off the front of some bytes; `short` tells that there was too little."""

    __slots__ = ("at", "data", "short")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.short = False

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        found = self.data[self.at : self.at + count]
        self.at += count
        self.short |= len(found) < count
        return found

    def number(self, count: int) -> int:
        """The next `count` bytes as a number."""
        return int.from_bytes(self.take(count), "big")

    def vector(self, count: int) -> bytes:
        """A vector whose length stands in `count` bytes before it."""
        return self.take(self.number(count))

    @property
    def more(self) -> bool:
        return not self.short and self.at < len(self.data)


def read_client_hello(body: bytes) -> ClientHello | None:
    """A ClientHello (RFC 8446 section 4.1.2), without its message header."""
    reader = _Reader(body)
    version = reader.number(2)
    random = reader.take(32)
    session = reader.vector(1)
    reader.vector(2)
    reader.vector(1)
    if reader.short or version >> 8 != 3:
        return None
    extensions = dict(_extensions(reader.vector(2))) if reader.more else {}
    versions = _numbers(extensions.get(SUPPORTED_VERSIONS, b"")[1:])
    known = tuple(number for number in versions if number in VERSIONS) or (version,)
    return ClientHello(
        random,
        session,
        _server_name(extensions.get(SERVER_NAME, b"")),
        tuple(_protocols(extensions.get(ALPN, b""))),
        tuple(sorted(known)),
        EARLY_DATA in extensions,
    )


def read_server_hello(body: bytes) -> ServerHello | None:
    """A ServerHello or a HelloRetryRequest (RFC 8446 section 4.1.3), without its message header."""
    reader = _Reader(body)
    version = reader.number(2)
    random = reader.take(32)
    # Until draft 22, TLS 1.3 had neither session nor compression here.
    draft = version >> 8 == DRAFT
    session = b"" if draft else reader.vector(1)
    suite = suite_of(reader.number(2))
    reader.take(0 if draft else 1)
    if reader.short or version >> 8 not in (3, DRAFT):
        return None
    extensions = dict(_extensions(reader.vector(2))) if reader.more else {}
    chosen = int.from_bytes(extensions.get(SUPPORTED_VERSIONS, b"")[:2], "big") or version
    return ServerHello(
        random,
        TLS_1_3 if chosen >> 8 == DRAFT else chosen,
        suite,
        next(_protocols(extensions.get(ALPN, b"")), ""),
        ENCRYPT_THEN_MAC in extensions,
        PRE_SHARED_KEY in extensions,
        session,
    )


def read_chosen_protocol(body: bytes) -> str:
    """The protocol that the EncryptedExtensions of TLS 1.3 name; empty if none."""
    extensions = dict(_extensions(_Reader(body).vector(2)))
    return next(_protocols(extensions.get(ALPN, b"")), "")


def read_certificate(body: bytes, version: int) -> tuple[str, tuple[str, ...]]:
    """Common name and DNS names of the first certificate of a Certificate message."""
    reader = _Reader(body)
    if version >= TLS_1_3:
        reader.vector(1)
    certificates = _Reader(reader.vector(3))
    return certificate_names(certificates.vector(3))


def _extensions(data: bytes) -> Iterator[tuple[int, bytes]]:
    reader = _Reader(data)
    while reader.more:
        kind, body = reader.number(2), reader.vector(2)
        if not reader.short:
            yield kind, body


def _server_name(extension: bytes) -> str:
    reader = _Reader(_Reader(extension).vector(2))
    while reader.more:
        kind, name = reader.number(1), reader.vector(2)
        if kind == 0 and not reader.short and NAME.fullmatch(name):
            return name.decode("ascii").rstrip(".").lower()
    return ""


def _protocols(extension: bytes) -> Iterator[str]:
    reader = _Reader(_Reader(extension).vector(2))
    for _ in range(MOST_PROTOCOLS):
        if not reader.more:
            return
        name = reader.vector(1)
        if not reader.short and PROTOCOL_NAME.fullmatch(name):
            yield name.decode("ascii")


def _numbers(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data) - 1, 2)]
