"""From the secrets of a TLS connection to the keys of its records.

RFC 2246 section 5 (TLS 1.0 and 1.1), RFC 5246 section 5 and 6.3 (TLS 1.2), RFC 8446 section 7 (TLS 1.3).
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from wiretrace.protocols.tls_suites import Suite

TLS_1_2 = 0x0303
IV_BYTES = 12
"""Bytes of the nonce of every cipher of TLS 1.3."""
HASH_BYTES = {"": 0, "md5": 16, "sha1": 20, "sha256": 32, "sha384": 48}


class Keys(NamedTuple):
    """What protects the records of one direction."""

    key: bytes
    iv: bytes
    """The fixed part of the nonce (AEAD), or the first initialization vector (CBC of TLS 1.0)."""
    mac_key: bytes = b""


def traffic_keys(secret: bytes, suite: Suite) -> Keys:
    """The keys that a traffic secret of TLS 1.3 gives."""
    return Keys(
        expand_label(secret, b"key", suite.key_bytes, suite.digest), expand_label(secret, b"iv", IV_BYTES, suite.digest)
    )


def next_secret(secret: bytes, suite: Suite) -> bytes:
    """The traffic secret behind a KeyUpdate (RFC 8446 section 7.2)."""
    return expand_label(secret, b"traffic upd", len(secret), suite.digest)


def connection_keys(
    master: bytes, version: int, suite: Suite, client_random: bytes, server_random: bytes
) -> tuple[Keys, Keys]:
    """The keys of the client's and the server's direction that a master secret gives (up to TLS 1.2)."""
    mac_bytes = HASH_BYTES[suite.mac]
    sizes = [mac_bytes, mac_bytes, suite.key_bytes, suite.key_bytes, suite.fixed_bytes, suite.fixed_bytes]
    seed = b"key expansion" + server_random + client_random
    if version >= TLS_1_2:
        block = expand(master, seed, sum(sizes), suite.digest)
    else:
        half = (len(master) + 1) // 2
        with_md5 = expand(master[:half], seed, sum(sizes), "md5")
        with_sha1 = expand(master[len(master) - half :], seed, sum(sizes), "sha1")
        block = bytes(one ^ other for one, other in zip(with_md5, with_sha1, strict=True))
    parts = []
    for size in sizes:
        parts.append(block[:size])
        block = block[size:]
    return Keys(parts[2], parts[4], parts[0]), Keys(parts[3], parts[5], parts[1])


def expand(secret: bytes, seed: bytes, size: int, digest: str) -> bytes:
    """P_hash (RFC 5246 section 5)."""
    found = b""
    link = seed
    while len(found) < size:
        link = hmac.digest(secret, link, digest)
        found += hmac.digest(secret, link + seed, digest)
    return found[:size]


def expand_label(secret: bytes, label: bytes, size: int, digest: str) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 8446 section 7.1). One block is enough for every size used here."""
    label = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes((len(label),)) + label + b"\0"
    return hmac.digest(secret, info + b"\x01", digest)[:size]
