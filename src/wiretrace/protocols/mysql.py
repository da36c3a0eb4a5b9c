"""MySQL and MariaDB client/server protocol ("MySQL Internals: Client/Server Protocol", MariaDB's page of that name).

Rules that hold here and in ``mysql_client`` and ``mysql_server``:

- The server speaks first: its greeting is control, the login is the client's handshake response and the OK or ERR that
  ends the authentication. What authenticates is passed over unread.
- While no byte is missing, answers are read as what the client asked, in order; the two directions wait for each other.
  Once bytes are missing, answers are read by their form alone, and statements that were prepared in the missing bytes
  stay numbers.
- Compressed connections are read up to the end of the login.
"""

from typing import ClassVar

from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, Protocol
from wiretrace.protocols.mysql_client import ClientReader
from wiretrace.protocols.mysql_server import ServerReader
from wiretrace.protocols.mysql_session import Session
from wiretrace.protocols.mysql_wire import HEADER, LENGTH, PREPARE, QUERY, client_boundary, is_command, server_boundary


class MySQL(Protocol):
    """One MySQL or MariaDB connection."""

    name = "mysql"
    ports: ClassVar[frozenset[int]] = frozenset({3306, 33060})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._session = Session(aligned=all(context.started))
        self._client = ClientReader(self, self._session, context.started[Side.CLIENT])
        self._server = ServerReader(self, self._session, context.started[Side.SERVER])

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
        return (self._client, self._server)[side].parse(data, at, base)

    def resync(self, side: Side, data: bytes, at: int, base: int) -> int | None:
        """See `Protocol.resync`."""
        if self._session.compressed:
            return None
        reader = (self._client, self._server)[side]
        if (_is_handshake, _is_greeting)[side](data, at):
            reader.begin()
            return at
        return (client_boundary, server_boundary)[side](data, at)

    def lost(self, side: Side, start: int, end: int) -> None:
        """See `Protocol.lost`."""
        (self._client, self._server)[side].break_off(start, True)
        self._session.misalign()

    def finish(self, side: Side, offset: int) -> None:
        """See `Protocol.finish`."""
        (self._client, self._server)[side].break_off(offset, False)
        self._session.ended[side] = True


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
    header: int = HEADER.unpack_from(data)[0]
    if header >> 24 in (0, 1) and data[4] == 0xFF and 4 <= header & LENGTH <= 1024:
        return 0.9 if data[7:8] == b"#" or header >> 24 == 0 else 0.0
    boundary = server_boundary(data, 0)
    if boundary is None:
        return 0.0
    return 0.8 if boundary == 0 else 0.45
