"""MySQL and MariaDB client/server protocol ("MySQL Internals: Client/Server Protocol", MariaDB's page of that name).

Rules that hold here and in ``mysql_client`` and ``mysql_server``:

- The server speaks first: its greeting is control, the login is the client's handshake response and the OK or ERR that
  ends the authentication. What authenticates is passed over unread.
- While no byte is missing, answers are read as what the client asked, in order; the two directions wait for each other.
  Once bytes are missing, answers are read by their form alone, and statements that were prepared in the missing bytes
  stay numbers.
- Compressed connections are unpacked behind the login (``mysql_compression``), and read as others are.
"""

from typing import ClassVar

from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, Protocol
from wiretrace.protocols.mysql_client import ClientReader
from wiretrace.protocols.mysql_compression import Unpacking, boundary, is_packet
from wiretrace.protocols.mysql_server import ServerReader
from wiretrace.protocols.mysql_session import Session
from wiretrace.protocols.mysql_wire import HEADER, LENGTH, PREPARE, QUERY, client_boundary, is_command, server_boundary
from wiretrace.protocols.sql_message import Statements


class MySQL(Protocol):
    """One MySQL or MariaDB connection."""

    name = "mysql"
    ports: ClassVar[frozenset[int]] = frozenset({3306, 33060})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._session = Session(Statements.of(context), context.pair, aligned=all(context.started))
        self._client = ClientReader(self, self._session, context.started[Side.CLIENT])
        self._server = ServerReader(self, self._session, context.started[Side.SERVER])
        self._unpacking: list[Unpacking | None] = [None, None]
        """By side, once it is compressed: what unpacks it."""

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
        unpacking = self._unpacking[side]
        if unpacking is None:
            reader = (self._client, self._server)[side]
            at = reader.parse(data, at, base)
            if not reader.packed_follows:
                return at
            unpacking = self._unpack(side, base + at)
        return unpacking.parse(data, at, base)

    def _unpack(self, side: Side, offset: int) -> Unpacking:
        """From now on the direction is compressed."""
        reader = (self._client, self._server)[side]
        reader.unpacked = True
        self._session.compressed = True
        unpacking = self._unpacking[side] = Unpacking(self, side, reader, offset)
        return unpacking

    def resync(self, side: Side, data: bytes, at: int, base: int) -> int | None:
        """See `Protocol.resync`."""
        reader = (self._client, self._server)[side]
        unpacking = self._unpacking[side]
        if unpacking is None and (_is_handshake, _is_greeting)[side](data, at):
            reader.begin()
            return at
        if unpacking is None and not self._session.compressed:
            found = (client_boundary, server_boundary)[side](data, at)
            # A small packet is carried as it is by a compressed one: what looks like a packet may stand inside of another.
            if found is not None and not (found >= at + 7 and is_packet(data, found - 7, side)):
                return found
            if boundary(data, at, side) is None:
                return found
        if unpacking is None:
            unpacking = self._unpack(side, base + at)
        return unpacking.resync(data, at, base)

    def lost(self, side: Side, start: int, end: int) -> None:
        """See `Protocol.lost`."""
        self._break_off(side, start, True)
        self._session.misalign()

    def finish(self, side: Side, offset: int) -> None:
        """See `Protocol.finish`."""
        self._break_off(side, offset, False)
        self._session.ended[side] = True

    def _break_off(self, side: Side, offset: int, lost: bool) -> None:
        (self._unpacking[side] or (self._client, self._server)[side]).break_off(offset, lost)


def _is_handshake(data: bytes, at: int) -> bool:
    """A handshake response (or the request for TLS) of MySQL 4.1 or later: capabilities, and 19 or more zero bytes."""
    if len(data) < at + 36:
        return False
    header: int = HEADER.unpack_from(data, at)[0]
    protocol_41 = data[at + 5] & 0x02
    return (
        header >> 24 == 1
        and 32 <= header & LENGTH <= 4096
        and bool(protocol_41)
        and data[at + 13 : at + 32] == bytes(19)
    )


def _is_greeting(data: bytes, at: int) -> bool:
    """A greeting of protocol version 10 with the server's version."""
    if len(data) < at + 5 or data[at + 3] != 0 or data[at + 4] != 0x0A:
        return False
    version = data[at + 5 : max(0, data.find(b"\0", at + 5, at + 105))]
    length: int = HEADER.unpack_from(data, at)[0]
    return 20 <= length <= 512 and len(version) >= 3 and version[:1].isdigit() and version.isascii()


def _probe_client(data: bytes) -> float:
    if len(data) < 5:
        return 0.3 if data else 0.0
    if _is_handshake(data, 0):
        return 0.9
    if is_packet(data, 0, Side.CLIENT):
        return 0.8
    length: int = HEADER.unpack_from(data)[0] & LENGTH
    if is_command(data, 0):
        position = 4 + length
        if position == len(data) or (position < len(data) and is_command(data, position)):
            return 0.8 if length > 1 or position < len(data) else 0.5
        if position > len(data):
            return 0.5 if data[4] in (QUERY, PREPARE) else 0.4
        return 0.0
    return 0.6 if client_boundary(data, 0) is not None else 0.0


def _probe_server(data: bytes) -> float:
    if len(data) < 5:
        return 0.3 if data else 0.0
    if _is_greeting(data, 0):
        return 1.0
    if is_packet(data, 0, Side.SERVER):
        return 0.7
    header: int = HEADER.unpack_from(data)[0]
    if header >> 24 in (0, 1) and data[4] == 0xFF and 4 <= header & LENGTH <= 1024:
        return 0.9 if data[7:8] == b"#" or header >> 24 == 0 else 0.0
    boundary = server_boundary(data, 0)
    if boundary is None:
        return 0.0
    return 0.8 if boundary == 0 else 0.45
