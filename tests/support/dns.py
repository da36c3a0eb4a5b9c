"""DNS messages for tests, written from Python (RFC 1035 section 4)."""

from __future__ import annotations

import ipaddress
import struct

A, CNAME, AAAA = 1, 5, 28


def name(text: str) -> bytes:
    """A name without compression."""
    labels = [label.encode() for label in text.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def query(number: int, asked: str, kind: int = A) -> bytes:
    """A question."""
    return struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + name(asked) + struct.pack(">HH", kind, 1)


def record(owner: bytes, kind: int, content: bytes, seconds: int = 60) -> bytes:
    """A record of the Internet class."""
    return owner + struct.pack(">HHIH", kind, 1, seconds, len(content)) + content


def response(number: int, asked: str, *addresses: str, kind: int = A, code: int = 0, seconds: int = 60) -> bytes:
    """The response to `query`, with an address record for each address."""
    records = [
        record(b"\xc0\x0c", AAAA if ":" in address else A, ipaddress.ip_address(address).packed, seconds)
        for address in addresses
    ]
    head = struct.pack(">HHHHHH", number, 0x8180 | code, 1, len(records), 0, 0)
    return head + name(asked) + struct.pack(">HH", kind, 1) + b"".join(records)
