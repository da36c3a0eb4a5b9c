"""PostgreSQL frontend/backend protocol 3 (manual, chapter "Frontend/Backend Protocol").

Rules that hold here and in ``postgresql_client`` and ``postgresql_server``:

- A unit of the extended protocol ends with Sync and ReadyForQuery; messages before its last have ``closes=False``.
- Each direction is cut into messages by its own bytes alone, so that either may be missing. The two cuts agree: where
  the client's side begins a request inside a unit, the server's begins a response.
- Passwords, SASL messages, cancel keys and CopyData are passed over unread.
"""

from typing import ClassVar

from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, Protocol, Succession
from wiretrace.protocols.postgresql_client import ClientReader
from wiretrace.protocols.postgresql_server import ServerReader
from wiretrace.protocols.postgresql_wire import (
    CANCEL,
    CLIENT_KINDS,
    GSSENC,
    LONGEST_STARTUP,
    PROTOCOL_3,
    SERVER_KINDS,
    SSL,
    STARTUP,
    chain,
    client_boundary,
    server_boundary,
)


class PostgreSQL(Protocol):
    """One PostgreSQL connection."""

    name = "postgresql"
    ports: ClassVar[frozenset[int]] = frozenset({5432, 6432})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._client = ClientReader(self, context.started[Side.CLIENT])
        self._server = ServerReader(self, context.started[Side.SERVER])

    @classmethod
    def probe(cls, client: bytes, server: bytes) -> float:
        """See `Protocol.probe`."""
        asked, answered = _probe_client(client), _probe_server(server)
        if (client and asked == 0) or (server and answered == 0):
            # One side may have been joined in the middle of something long.
            return 0.7 if max(asked, answered) >= 0.9 else 0.0
        return max(asked, answered)

    def parse(self, side: Side, data: bytes, at: int, base: int) -> int:
        """See `Protocol.parse`."""
        if side is Side.CLIENT:
            return self._client.parse(data, at, base)
        after = self._server.parse(data, at, base)
        if self._server.accepted_tls:
            # The client sent nothing but eight bytes for each answer of one byte.
            self.succession = Succession("tls", 8 * (base + after), base + after)
        return after

    def resync(self, side: Side, data: bytes, at: int, base: int) -> int | None:
        """See `Protocol.resync`."""
        if side is Side.SERVER:
            return server_boundary(data, at)
        if _is_startup(data, at):
            self._client.begin()
            return at
        return client_boundary(data, at)

    def lost(self, side: Side, start: int, end: int) -> None:
        """See `Protocol.lost`."""
        (self._client, self._server)[side].break_off(start, True)

    def finish(self, side: Side, offset: int) -> None:
        """See `Protocol.finish`."""
        (self._client, self._server)[side].break_off(offset, False)

    def unread(self, side: Side) -> str:
        """See `Protocol.unread`."""
        return "encrypted" if (self._client, self._server)[side].encrypted else "unfinished message"


def _is_startup(data: bytes, at: int) -> bool:
    """A StartupMessage with its user, which every one has."""
    if len(data) < at + 8:
        return False
    length, major, _ = STARTUP.unpack_from(data, at)
    return major == PROTOCOL_3 and 8 <= length <= LONGEST_STARTUP and b"user\0" in data[at + 8 : at + length]


def _probe_client(data: bytes) -> float:
    if len(data) < 8:
        return 0.5 if data[:2] == b"\0\0"[: len(data)] and data else 0.0
    length, major, minor = STARTUP.unpack_from(data)
    code = major << 16 | minor
    if code in (SSL, GSSENC):
        return 1.0 if length == 8 else 0.0
    if code == CANCEL:
        return 1.0 if 16 <= length <= 272 else 0.0
    if major == PROTOCOL_3 and 8 <= length <= LONGEST_STARTUP:
        return 1.0 if b"user\0" in data[8:length] else 0.5
    return _probe_chain(data, CLIENT_KINDS, b"QPBX")


def _probe_server(data: bytes) -> float:
    if not data:
        return 0.0
    if data[:1] in (b"S", b"N", b"G") and (len(data) == 1 or data[1:2] in (b"R", b"E", b"\x16", b"N", b"S")):
        # An answer to SSLRequest or GSSENCRequest contradicts nothing, and proves nothing without the question.
        return 0.1
    return _probe_chain(data, SERVER_KINDS, b"REv12CTtZ")


def _probe_chain(data: bytes, kinds: frozenset[int], openings: bytes) -> float:
    count, _ = chain(data, 0, kinds)
    if count < 0 or data[0] not in openings:
        boundary = client_boundary(data, 0) if kinds is CLIENT_KINDS else server_boundary(data, 0)
        return 0.7 if boundary is not None and boundary < len(data) else 0.0
    if count == 0:
        return 0.4 if len(data) >= 5 else 0.2
    return 0.9 if count > 1 or data[0] in b"QRE" else 0.6
