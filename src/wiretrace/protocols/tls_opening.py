"""Opens protected records of TLS: one class for each way of protecting them. `cryptography` is loaded when one is made.

Rules: a record opens only if it is authentic under the sequence number that is tried: nothing is guessed. An opener does not
raise, whatever the bytes are.
"""

from __future__ import annotations

import hmac
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from wiretrace.protocols.tls_key_schedule import HASH_BYTES, IV_BYTES, TLS_1_2

if TYPE_CHECKING:
    from wiretrace.protocols.tls_key_schedule import Keys
    from wiretrace.protocols.tls_suites import Suite

HEADER_BYTES = 5
TLS_1_3 = 0x0304
EXPLICIT_NONCE_BYTES = 8


class Opener(ABC):
    """Opens the records of one direction that one set of keys protects."""

    before: int = 0
    """Bytes of a record's payload in front of the first one that stands for a byte of its content."""
    overhead: int = 0
    """How much longer than its content a payload is at least."""
    ordered: bool = False
    """Whether each record needs all that came before it."""

    @abstractmethod
    def open(self, sequence: int, header: bytes, payload: bytes) -> tuple[int, bytes] | None:
        """Content type and content of the record with this number; None where it is not authentic."""

    def pass_over(self, payload: bytes) -> None:  # noqa: B027 - most have nothing to do
        """Go on behind a record that could not be opened."""


class Aead(Opener):
    """AES-GCM, AES-CCM and ChaCha20-Poly1305 (RFC 5246 section 6.2.3.3, RFC 7905, RFC 8446 section 5)."""

    def __init__(self, suite: Suite, keys: Keys, version: int) -> None:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers import aead

        self._not_authentic = InvalidTag
        tag = 8 if suite.way == "ccm8" else 16
        self._cipher: Any
        if suite.way == "gcm":
            self._cipher = aead.AESGCM(keys.key)
        elif suite.way == "chacha":
            self._cipher = aead.ChaCha20Poly1305(keys.key)
        else:
            self._cipher = aead.AESCCM(keys.key, tag_length=tag)
        self._typed = version >= TLS_1_3
        """Whether the content type is inside, at the end."""
        self._iv = keys.iv
        self._iv_number = int.from_bytes(keys.iv, "big")
        self.before = EXPLICIT_NONCE_BYTES if len(keys.iv) < IV_BYTES else 0
        self._tag = tag
        self.overhead = self.before + tag + self._typed

    def open(self, sequence: int, header: bytes, payload: bytes) -> tuple[int, bytes] | None:
        """See `Opener.open`."""
        size = len(payload) - self.before - self._tag
        if size < 0:
            return None
        if self.before:
            nonce = self._iv + payload[: self.before]
            payload = payload[self.before :]
        else:
            nonce = (self._iv_number ^ sequence).to_bytes(IV_BYTES, "big")
        associated = header if self._typed else sequence.to_bytes(8, "big") + header[:3] + size.to_bytes(2, "big")
        try:
            content = self._cipher.decrypt(nonce, payload, associated)
        except self._not_authentic:
            return None
        if not self._typed:
            return header[0], content
        content = content.rstrip(b"\0")
        return (content[-1], content[:-1]) if content else None


class Cbc(Opener):
    """Block ciphers in CBC mode with an HMAC (RFC 5246 section 6.2.3.2), also encrypt-then-MAC (RFC 7366)."""

    def __init__(self, suite: Suite, keys: Keys, version: int, *, encrypt_then_mac: bool) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher, modes

        self._algorithm = _block_cipher(suite.way, keys.key)
        self._cipher, self._mode = Cipher, modes.CBC
        self._mac, self._mac_key = suite.mac, keys.mac_key
        self._mac_bytes = HASH_BYTES[suite.mac]
        self._block = suite.fixed_bytes
        self._then_mac = encrypt_then_mac
        self.ordered = version < TLS_1_2 - 1
        """TLS 1.0: the last block of a record is the initialization vector of the next."""
        self._iv = keys.iv
        self.before = 0 if self.ordered else self._block
        self.overhead = self.before + self._mac_bytes + 1

    def open(self, sequence: int, header: bytes, payload: bytes) -> tuple[int, bytes] | None:
        """See `Opener.open`."""
        sealed = payload
        if self._then_mac:
            sealed, mac = payload[: -self._mac_bytes], payload[-self._mac_bytes :]
            if not self._authentic(sequence, header, sealed, mac):
                return None
        iv, ciphertext = (self._iv, sealed) if self.ordered else (sealed[: self._block], sealed[self._block :])
        if len(ciphertext) % self._block or not ciphertext or len(iv) != self._block:
            return None
        decryptor = self._cipher(self._algorithm, self._mode(iv)).decryptor()
        plain = decryptor.update(ciphertext) + decryptor.finalize()
        padding = plain[-1] + 1
        content = plain[: len(plain) - padding]
        if padding > len(plain) or plain[len(content) :] != bytes((padding - 1,)) * padding:
            return None
        if not self._then_mac:
            if len(content) < self._mac_bytes:
                return None
            content, mac = content[: -self._mac_bytes], content[-self._mac_bytes :]
            if not self._authentic(sequence, header, content, mac):
                return None
        if self.ordered:
            self._iv = ciphertext[-self._block :]
        return header[0], content

    def pass_over(self, payload: bytes) -> None:
        """See `Opener.pass_over`."""
        if self.ordered:
            self._iv = payload[-self._block - self._then_mac * self._mac_bytes :][: self._block]

    def _authentic(self, sequence: int, header: bytes, text: bytes, mac: bytes) -> bool:
        head = sequence.to_bytes(8, "big") + header[:3] + len(text).to_bytes(2, "big")
        return hmac.compare_digest(hmac.digest(self._mac_key, head + text, self._mac), mac)


class Rc4(Opener):
    """RC4 with an HMAC (RFC 5246 section 6.2.3.1)."""

    ordered = True

    def __init__(self, suite: Suite, keys: Keys) -> None:
        from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4
        from cryptography.hazmat.primitives.ciphers import Cipher

        self._stream = Cipher(ARC4(keys.key), mode=None).decryptor()
        self._mac, self._mac_key = suite.mac, keys.mac_key
        self._mac_bytes = HASH_BYTES[suite.mac]
        self.overhead = self._mac_bytes
        self._lost = False

    def open(self, sequence: int, header: bytes, payload: bytes) -> tuple[int, bytes] | None:
        """See `Opener.open`."""
        if self._lost:
            return None
        plain = self._stream.update(payload)
        content, mac = plain[: -self._mac_bytes], plain[-self._mac_bytes :]
        head = sequence.to_bytes(8, "big") + header[:3] + len(content).to_bytes(2, "big")
        if not hmac.compare_digest(hmac.digest(self._mac_key, head + content, self._mac), mac):
            self._lost = True
            return None
        return header[0], content


def opener(suite: Suite, keys: Keys, version: int, *, encrypt_then_mac: bool = False) -> Opener:
    """The opener of a direction. `suite.way` is not empty."""
    if suite.is_aead:
        return Aead(suite, keys, version)
    if suite.way == "rc4":
        return Rc4(suite, keys)
    return Cbc(suite, keys, version, encrypt_then_mac=encrypt_then_mac)


def _block_cipher(way: str, key: bytes) -> Any:
    if way == "aes-cbc":
        from cryptography.hazmat.primitives.ciphers.algorithms import AES

        return AES(key)
    from cryptography.hazmat.decrepit.ciphers.algorithms import Camellia, TripleDES

    return Camellia(key) if way == "camellia-cbc" else TripleDES(key)
