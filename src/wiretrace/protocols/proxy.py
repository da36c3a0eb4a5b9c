"""The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): a header in front of any TCP protocol.

Rules: the header is bytes of no exchange. Whose connection the proxy passes on is told of every request behind it: the
client's address as OpenTelemetry's ``client.address``, and both ends as an identifier, which the requests on the
connection between those ends have as well. What the connection speaks behind the header is found out by its bytes.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import ClassVar

from wiretrace.model.identifier import IdentifierKind, connection_ends
from wiretrace.model.message import Message, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, Protocol, Succession, Violation

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
"""Section 2.2: the first 12 bytes of version 2."""
FIXED_BYTES = 16
"""Bytes of a header of version 2 before the addresses."""
VERSION_1 = re.compile(
    rb"PROXY (?:UNKNOWN[^\r\n]{0,90}|TCP[46] ([0-9A-Fa-f:.]{2,39}) ([0-9A-Fa-f:.]{2,39}) (\d{1,5}) (\d{1,5}))\r\n"
)
LONGEST_LINE = 107
"""Section 2.1: bytes of the longest header of version 1."""
MOST_MORE_BYTES = 4096
"""Bytes of addresses and further fields of version 2 that are believed; senders write a few hundred at most."""
STREAMS = {0x11: (4, 12), 0x21: (16, 36)}
"""Section 2.2: family and transport of TCP over IPv4 and IPv6; the bytes of an address, and of the whole block."""
LOCAL, PROXIED = 0x20, 0x21
"""Version and command: the proxy asks for itself (a health check), or for a client."""
HIGHEST_PORT = 65535


class Proxy(Protocol):
    """The beginning of a connection that a proxy opened."""

    name = "proxy"
    ports: ClassVar[frozenset[int]] = frozenset({80, 443})
    precedes = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._server_begins: int | None = None
        """Stream offset of the server's first byte, once there is one."""

    @classmethod
    def probe(cls, client: bytes, server: bytes) -> float:
        """A whole header is unmistakable, and half a signature likely."""
        if client.startswith(SIGNATURE):
            return 1.0
        return 1.0 if VERSION_1.match(client) else 0.0

    def parse(self, side: Side, data: bytes, at: int, base: int) -> int:
        """Read the header; the server's side waits for what comes behind it."""
        if side is Side.SERVER:
            self._server_begins = base + at
            return at
        if data.startswith(b"PROXY", at):
            line = VERSION_1.match(data, at)
            if line is None:
                if len(data) - at > LONGEST_LINE or b"\n" in data[at:]:
                    raise Violation("not a header of version 1")
                return at
            ends = _ends(line[1], line[3], line[2], line[4]) if line[1] else None
            return self._hand_on(at, line.end(), base, ends)
        if len(data) - at < FIXED_BYTES:
            return at
        if not data.startswith(SIGNATURE, at) or data[at + 12] not in (LOCAL, PROXIED):
            raise Violation("not a header of version 2")
        size = data[at + 14] << 8 | data[at + 15]
        if size > MOST_MORE_BYTES:
            raise Violation("a header that is too long")
        end = at + FIXED_BYTES + size
        if end > len(data):
            return at
        address_bytes, block_bytes = STREAMS.get(data[at + 13], (0, 0))
        ends = None
        if data[at + 12] == PROXIED and 0 < block_bytes <= size:
            ends = _packed_ends(data[at + FIXED_BYTES : at + FIXED_BYTES + block_bytes], address_bytes)
        return self._hand_on(at, end, base, ends)

    def _hand_on(self, at: int, end: int, base: int, ends: tuple[str, int, str, int] | None) -> int:
        """The header is read: the next protocol begins behind it."""
        self.requests.append(Message(Role.CONTROL, base + at, base + end))
        attributes: dict[str, str | int] = {}
        identifiers: tuple[tuple[IdentifierKind, bytes], ...] = ()
        if ends is not None:
            client, client_port, server, server_port = ends
            attributes = {"client.address": client, "client.port": client_port}
            attributes |= {"wiretrace.proxy.address": server, "wiretrace.proxy.port": server_port}
            identifiers = ((IdentifierKind.PROXIED_CONNECTION, connection_ends(*ends).encode()),)
        self.succession = Succession(
            "", base + end, self._server_begins or 0, attributes=attributes, identifiers=identifiers
        )
        return end

    def resync(self, side: Side, data: bytes, at: int, base: int) -> int | None:
        """A header stands at the beginning or nowhere."""
        return None

    def lost(self, side: Side, start: int, end: int) -> None:
        """Nothing to forget: a header that is not whole was never read."""

    def finish(self, side: Side, offset: int) -> None:
        """Nothing ends with the connection."""


def _ends(client: bytes, client_port: bytes, server: bytes, server_port: bytes) -> tuple[str, int, str, int] | None:
    """Both ends of the connection that is passed on, as version 1 writes them; None where they are none."""
    ports = int(client_port), int(server_port)
    if max(ports) > HIGHEST_PORT:
        return None
    try:
        return str(ip_address(client.decode())), ports[0], str(ip_address(server.decode())), ports[1]
    except ValueError:
        return None


def _packed_ends(block: bytes, size: int) -> tuple[str, int, str, int]:
    """Both ends, as version 2 writes them: two addresses of `size` bytes, two ports."""
    kind = IPv4Address if size == 4 else IPv6Address
    client, server = kind(block[:size]), kind(block[size : 2 * size])
    at = 2 * size
    return str(client), block[at] << 8 | block[at + 1], str(server), block[at + 2] << 8 | block[at + 3]
