"""Records of TLS: what stands in clear around everything (RFC 8446 section 5.1), and what tells them from other bytes."""

from __future__ import annotations

import re

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA, HEARTBEAT = 20, 21, 22, 23, 24
KINDS = frozenset({CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA, HEARTBEAT})
HEADER_BYTES = 5
LONGEST_RECORD = (1 << 14) + 2048
"""Bytes of a payload that are allowed (RFC 5246 section 6.2.3)."""
CLIENT_HELLO, SERVER_HELLO = 1, 2
LONGEST_HELLO = 1 << 16
RECORD_AHEAD = re.compile(rb"(?=[\x14-\x17]\x03[\x00-\x04])")
CHAIN = 3
"""Records in a row that are enough behind a gap."""


def record_head(data: bytes, at: int) -> tuple[int, int]:
    """Kind and length of the record whose header stands at `at`; a kind of -1 means that this is no record."""
    kind, length = data[at], data[at + 3] << 8 | data[at + 4]
    if kind not in KINDS or data[at + 1] != 3 or data[at + 2] > 4 or length > LONGEST_RECORD:
        return -1, 0
    if not length and kind != APPLICATION_DATA:
        return -1, 0
    return kind, length


def boundary(data: bytes, at: int) -> int | None:
    """Where the first of several records stands that fill `data` to the end, or of three in a row."""
    for found in RECORD_AHEAD.finditer(data, at):
        place = found.start()
        position, count = place, 0
        while position + HEADER_BYTES <= len(data) and count < CHAIN:
            kind, length = record_head(data, position)
            if kind < 0:
                count = -1
                break
            position += HEADER_BYTES + length
            count += 1
        if count >= CHAIN or (count > 0 and position == len(data)):
            return place
    return None


def probe_side(data: bytes, hello: int) -> float:
    """How surely `data` is the beginning of a direction of TLS, or of a record in its middle. `hello` opens it."""
    if len(data) < HEADER_BYTES + 1:
        return 0.3 if data[:2] in (b"\x16", b"\x16\x03") else 0.0
    kind, length = record_head(data, 0)
    if kind < 0:
        return 0.0
    first = data[HEADER_BYTES]
    if kind == HANDSHAKE and first == hello and length >= 4:
        return 1.0
    if kind == ALERT and length == 2 and first in (1, 2):
        return 0.6
    if kind == HEARTBEAT or length < 16:
        return 0.0
    following = HEADER_BYTES + length
    if following + HEADER_BYTES <= len(data):
        return 0.9 if record_head(data, following)[0] >= 0 else 0.0
    return 0.6
