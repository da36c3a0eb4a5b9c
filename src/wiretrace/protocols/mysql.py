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
from wiretrace.protocols.mysql_wire import HEADER, LENGTH, client_boundary, is_command, server_boundary


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
            return 0.0
        return max(asked, answered)

    def parse(self, side: Side, data: bytes, at: int, base: int) -> int:
        """See `Protocol.parse`."""
        return (self._client, self._server)[side].parse(data, at, base)

    def resync(self, side: Side, data: bytes, at: int, base: int) -> int | None:
        """See `Protocol.resync`."""
        if self._session.compressed:
            return None
        return client_boundary(data, at) if side is Side.CLIENT else server_boundary(data, at)

    def lost(self, side: Side, start: int, end: int) -> None:
        """See `Protocol.lost`."""
        (self._client, self._server)[side].break_off(start, True)
        self._session.misalign()

    def finish(self, side: Side, offset: int) -> None:
        """See `Protocol.finish`."""
        (self._client, self._server)[side].break_off(offset, False)
        self._session.ended[side] = True


def _probe_client(data: bytes) -> float:
    if len(data) < 5:
        return 0.3 if data else 0.0
    header: int = HEADER.unpack_from(data)[0]
    length, sequence = header & LENGTH, header >> 24
    if sequence == 1 and 32 <= length <= 4096 and len(data) >= 36:
        capable = data[5] & 0x02  # CLIENT_PROTOCOL_41
        return 0.9 if capable and data[13:32] == bytes(19) else 0.0
    if is_command(data, 0):
        position = 4 + length
        if position == len(data) or (position < len(data) and is_command(data, position)):
            return 0.8 if length > 1 or position < len(data) else 0.5
        return 0.5 if position > len(data) else 0.0
    boundary = client_boundary(data, 0)
    return 0.6 if boundary is not None else 0.0


def _probe_server(data: bytes) -> float:
    if len(data) < 5:
        return 0.3 if data else 0.0
    header: int = HEADER.unpack_from(data)[0]
    length, sequence = header & LENGTH, header >> 24
    if sequence == 0 and data[4] == 0x0A and 20 <= length <= 512:
        version = data[5 : data.find(b"\0", 5, 105)]
        return 1.0 if len(version) >= 3 and version[:1].isdigit() and version.isascii() else 0.0
    if sequence in (0, 1) and data[4] == 0xFF and length >= 4:
        return 0.9 if data[7:8] == b"#" or sequence == 0 else 0.0
    boundary = server_boundary(data, 0)
    if boundary is None:
        return 0.0
    return 0.8 if boundary == 0 else 0.6
