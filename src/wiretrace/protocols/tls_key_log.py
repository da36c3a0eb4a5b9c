"""Secrets of TLS connections in the NSS key log format, which browsers, curl, Python, Java agents and proxies write.

Rules: a line is a label, the client's random, and a secret, the last two in hexadecimal. Other lines are passed over. What
is held is bounded; further secrets are passed over, and counted. Secrets are shown nowhere, not even by `repr`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MASTER_SECRET = "CLIENT_RANDOM"
"""Up to TLS 1.2: the master secret of the connection."""
EARLY, HANDSHAKE, APPLICATION = 0, 1, 2
TRAFFIC_SECRETS = (
    ("CLIENT_EARLY_TRAFFIC_SECRET", "CLIENT_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0"),
    ("", "SERVER_HANDSHAKE_TRAFFIC_SECRET", "SERVER_TRAFFIC_SECRET_0"),
)
"""TLS 1.3 (RFC 8446 section 7.1): by side, the labels of the secrets in the order in which they are used."""
LABELS = {MASTER_SECRET: 0, **{label: 1 + at for at, label in enumerate(filter(None, sum(TRAFFIC_SECRETS, ())))}}
LINE = re.compile(rb"\s*([A-Z_0-9]{8,40})[ \t]+([0-9a-fA-F]{64})[ \t]+([0-9a-fA-F]{64,128})\s*")
LONGEST_LINE = 1024


class KeyLog:
    """Secrets by label and client random."""

    __slots__ = ("_most", "_secrets", "refused")

    def __init__(self, most: int) -> None:
        """At most `most` secrets are held."""
        self._most = most
        self._secrets: dict[bytes, bytes] = {}
        self.refused = 0
        """Secrets that were passed over because there were too many."""

    def __len__(self) -> int:
        return len(self._secrets)

    def add(self, lines: Iterable[bytes]) -> None:
        """Take the secrets of these lines."""
        for line in lines:
            found = LINE.fullmatch(line) if len(line) <= LONGEST_LINE else None
            label = LABELS.get(found[1].decode()) if found is not None else None
            if found is None or label is None or len(found[3]) % 2:
                continue
            key = bytes((label,)) + bytes.fromhex(found[2].decode())
            if len(self._secrets) >= self._most and key not in self._secrets:
                self.refused += 1
            else:
                self._secrets[key] = bytes.fromhex(found[3].decode())

    def secret(self, label: str, client_random: bytes) -> bytes | None:
        """The secret of that label of the connection whose ClientHello had this random; None if it is not known."""
        number = LABELS.get(label)
        return None if number is None else self._secrets.get(bytes((number,)) + client_random)
