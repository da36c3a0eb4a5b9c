"""Cipher suites of TLS: their names, and what it takes to open records protected by them.

The numbers and names are those of IANA's registry "TLS Cipher Suites". A suite whose cipher is not read keeps its name; one
that is not listed is called by its number.
"""

from __future__ import annotations

from typing import NamedTuple

SUITES = {
    "TLS_RSA": (
        "0001 NULL_MD5, 0002 NULL_SHA, 0004 RC4_128_MD5, 0005 RC4_128_SHA, 000a 3DES_EDE_CBC_SHA, "
        "002f AES_128_CBC_SHA, 0035 AES_256_CBC_SHA, 003b NULL_SHA256, 003c AES_128_CBC_SHA256, "
        "003d AES_256_CBC_SHA256, 0041 CAMELLIA_128_CBC_SHA, 0084 CAMELLIA_256_CBC_SHA, 009c AES_128_GCM_SHA256, "
        "009d AES_256_GCM_SHA384, 00ba CAMELLIA_128_CBC_SHA256, 00c0 CAMELLIA_256_CBC_SHA256, c09c AES_128_CCM, "
        "c09d AES_256_CCM, c0a0 AES_128_CCM_8, c0a1 AES_256_CCM_8"
    ),
    "TLS_DHE_DSS": (
        "0013 3DES_EDE_CBC_SHA, 0032 AES_128_CBC_SHA, 0038 AES_256_CBC_SHA, 0040 AES_128_CBC_SHA256, "
        "0044 CAMELLIA_128_CBC_SHA, 006a AES_256_CBC_SHA256, 0087 CAMELLIA_256_CBC_SHA, 00a2 AES_128_GCM_SHA256, "
        "00a3 AES_256_GCM_SHA384, 00bd CAMELLIA_128_CBC_SHA256, 00c3 CAMELLIA_256_CBC_SHA256"
    ),
    "TLS_DHE_RSA": (
        "0016 3DES_EDE_CBC_SHA, 0033 AES_128_CBC_SHA, 0039 AES_256_CBC_SHA, 0045 CAMELLIA_128_CBC_SHA, "
        "0067 AES_128_CBC_SHA256, 006b AES_256_CBC_SHA256, 0088 CAMELLIA_256_CBC_SHA, 009e AES_128_GCM_SHA256, "
        "009f AES_256_GCM_SHA384, 00be CAMELLIA_128_CBC_SHA256, 00c4 CAMELLIA_256_CBC_SHA256, c09e AES_128_CCM, "
        "c09f AES_256_CCM, c0a2 AES_128_CCM_8, c0a3 AES_256_CCM_8, ccaa CHACHA20_POLY1305_SHA256"
    ),
    "TLS_DH_anon": (
        "0018 RC4_128_MD5, 001b 3DES_EDE_CBC_SHA, 0034 AES_128_CBC_SHA, 003a AES_256_CBC_SHA, "
        "0046 CAMELLIA_128_CBC_SHA, 006c AES_128_CBC_SHA256, 006d AES_256_CBC_SHA256, 0089 CAMELLIA_256_CBC_SHA, "
        "00a6 AES_128_GCM_SHA256, 00a7 AES_256_GCM_SHA384, 00bf CAMELLIA_128_CBC_SHA256, "
        "00c5 CAMELLIA_256_CBC_SHA256"
    ),
    "TLS_PSK": (
        "002c NULL_SHA, 008c AES_128_CBC_SHA, 008d AES_256_CBC_SHA, 00a8 AES_128_GCM_SHA256, "
        "00a9 AES_256_GCM_SHA384, 00ae AES_128_CBC_SHA256, 00af AES_256_CBC_SHA384, 00b0 NULL_SHA256, "
        "00b1 NULL_SHA384, c094 CAMELLIA_128_CBC_SHA256, c095 CAMELLIA_256_CBC_SHA384, c0a4 AES_128_CCM, "
        "c0a5 AES_256_CCM, c0a8 AES_128_CCM_8, c0a9 AES_256_CCM_8, ccab CHACHA20_POLY1305_SHA256"
    ),
    "TLS_DHE_PSK": (
        "002d NULL_SHA, 0090 AES_128_CBC_SHA, 0091 AES_256_CBC_SHA, 00aa AES_128_GCM_SHA256, "
        "00ab AES_256_GCM_SHA384, 00b2 AES_128_CBC_SHA256, 00b3 AES_256_CBC_SHA384, 00b4 NULL_SHA256, "
        "00b5 NULL_SHA384, c096 CAMELLIA_128_CBC_SHA256, c097 CAMELLIA_256_CBC_SHA384, c0a6 AES_128_CCM, "
        "c0a7 AES_256_CCM, ccad CHACHA20_POLY1305_SHA256"
    ),
    "TLS_RSA_PSK": (
        "002e NULL_SHA, 0094 AES_128_CBC_SHA, 0095 AES_256_CBC_SHA, 00ac AES_128_GCM_SHA256, "
        "00ad AES_256_GCM_SHA384, 00b6 AES_128_CBC_SHA256, 00b7 AES_256_CBC_SHA384, 00b8 NULL_SHA256, "
        "00b9 NULL_SHA384, c098 CAMELLIA_128_CBC_SHA256, c099 CAMELLIA_256_CBC_SHA384, "
        "ccae CHACHA20_POLY1305_SHA256"
    ),
    "TLS": (
        "1301 AES_128_GCM_SHA256, 1302 AES_256_GCM_SHA384, 1303 CHACHA20_POLY1305_SHA256, 1304 AES_128_CCM_SHA256, "
        "1305 AES_128_CCM_8_SHA256"
    ),
    "TLS_ECDHE_ECDSA": (
        "c006 NULL_SHA, c007 RC4_128_SHA, c008 3DES_EDE_CBC_SHA, c009 AES_128_CBC_SHA, c00a AES_256_CBC_SHA, "
        "c023 AES_128_CBC_SHA256, c024 AES_256_CBC_SHA384, c02b AES_128_GCM_SHA256, c02c AES_256_GCM_SHA384, "
        "c072 CAMELLIA_128_CBC_SHA256, c073 CAMELLIA_256_CBC_SHA384, c0ac AES_128_CCM, c0ad AES_256_CCM, "
        "c0ae AES_128_CCM_8, c0af AES_256_CCM_8, cca9 CHACHA20_POLY1305_SHA256"
    ),
    "TLS_ECDHE_RSA": (
        "c010 NULL_SHA, c011 RC4_128_SHA, c012 3DES_EDE_CBC_SHA, c013 AES_128_CBC_SHA, c014 AES_256_CBC_SHA, "
        "c027 AES_128_CBC_SHA256, c028 AES_256_CBC_SHA384, c02f AES_128_GCM_SHA256, c030 AES_256_GCM_SHA384, "
        "c076 CAMELLIA_128_CBC_SHA256, c077 CAMELLIA_256_CBC_SHA384, cca8 CHACHA20_POLY1305_SHA256"
    ),
    "TLS_ECDH_anon": "c015 NULL_SHA, c016 RC4_128_SHA, c017 3DES_EDE_CBC_SHA, c018 AES_128_CBC_SHA, c019 AES_256_CBC_SHA",
    "TLS_SRP_SHA": "c01d AES_128_CBC_SHA, c020 AES_256_CBC_SHA",
    "TLS_SRP_SHA_RSA": "c01e AES_128_CBC_SHA, c021 AES_256_CBC_SHA",
    "TLS_SRP_SHA_DSS": "c01f AES_128_CBC_SHA, c022 AES_256_CBC_SHA",
    "TLS_ECDHE_PSK": (
        "c035 AES_128_CBC_SHA, c036 AES_256_CBC_SHA, c037 AES_128_CBC_SHA256, c038 AES_256_CBC_SHA384, "
        "c039 NULL_SHA, c03a NULL_SHA256, c03b NULL_SHA384, c09a CAMELLIA_128_CBC_SHA256, "
        "c09b CAMELLIA_256_CBC_SHA384, ccac CHACHA20_POLY1305_SHA256"
    ),
    "TLS_PSK_DHE": "c0aa AES_128_CCM_8, c0ab AES_256_CCM_8",
}
"""By key exchange: number and rest of the name of its suites."""

CIPHERS = {
    "AES_128_GCM": ("gcm", 16, 4),
    "AES_256_GCM": ("gcm", 32, 4),
    "AES_128_CCM": ("ccm", 16, 4),
    "AES_256_CCM": ("ccm", 32, 4),
    "AES_128_CCM_8": ("ccm8", 16, 4),
    "AES_256_CCM_8": ("ccm8", 32, 4),
    "CHACHA20_POLY1305": ("chacha", 32, 12),
    "AES_128_CBC": ("aes-cbc", 16, 16),
    "AES_256_CBC": ("aes-cbc", 32, 16),
    "CAMELLIA_128_CBC": ("camellia-cbc", 16, 16),
    "CAMELLIA_256_CBC": ("camellia-cbc", 32, 16),
    "3DES_EDE_CBC": ("3des-cbc", 24, 8),
    "RC4_128": ("rc4", 16, 0),
}
"""Way of opening, bytes of the key, and bytes of the fixed part of the nonce (of the block, for CBC)."""
HASHES = ("MD5", "SHA", "SHA256", "SHA384")


class Suite(NamedTuple):
    """A cipher suite."""

    name: str
    """As IANA registers it; '0x1a1a' where it is not listed here."""
    way: str = ""
    """How its records are opened: gcm, ccm, ccm8, chacha, aes-cbc, camellia-cbc, 3des-cbc, rc4; empty: not at all."""
    key_bytes: int = 0
    fixed_bytes: int = 0
    """Bytes of the nonce that come from the keys (AEAD), or of a block (CBC)."""
    mac: str = ""
    """Hash of the record's HMAC (md5, sha1, sha256, sha384); empty for AEAD."""
    digest: str = "sha256"
    """Hash of the key derivation of TLS 1.2 and 1.3."""

    @property
    def is_aead(self) -> bool:
        """Whether records are opened by authenticated encryption."""
        return bool(self.way) and not self.mac


def _suite(name: str, rest: str) -> Suite:
    cipher, _, digest = rest.rpartition("_")
    if digest not in HASHES:
        cipher, digest = rest, "SHA256"
    if cipher not in CIPHERS:
        return Suite(name)
    way, key_bytes, fixed_bytes = CIPHERS[cipher]
    mac = {"MD5": "md5", "SHA": "sha1"}.get(digest, digest.lower()) if way.endswith("cbc") or way == "rc4" else ""
    return Suite(name, way, key_bytes, fixed_bytes, mac, "sha384" if digest == "SHA384" else "sha256")


KNOWN = {
    int(entry[:4], 16): _suite(f"{exchange}_{'' if exchange == 'TLS' else 'WITH_'}{entry[5:]}", entry[5:])
    for exchange, entries in SUITES.items()
    for entry in entries.split(", ")
}


def suite_of(number: int) -> Suite:
    """The suite of a number."""
    return KNOWN.get(number) or Suite(f"0x{number:04x}")
