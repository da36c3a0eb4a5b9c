"""memcached: the text protocol with its meta commands, and the binary protocol.

Rules: the first byte that a connection sends says which of the two it speaks (0x80 and 0x81 are binary), as in memcached
itself; the reader of the one (`memcached_text.py`) or the other (`memcached_binary.py`) does the work.
"""

from __future__ import annotations

from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, Protocol
from wiretrace.protocols.memcached_binary import MAGIC, BinaryReader, next_header
from wiretrace.protocols.memcached_text import COMMAND_LINE, REPLY_LINE, TextReader


class Memcached(Protocol):
    """One connection to a memcached server."""

    name = "memcached"
    ports = frozenset({11211, 11212})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._text = TextReader(context, self.requests, self.responses)
        self._binary = BinaryReader(context, self.requests, self.responses)
        self._is_binary: bool | None = None
        self._fresh = [True, True]
        """By side: whether `resync` has not been called since the last gap, and so begins behind it."""

    @classmethod
    def probe(cls, client: bytes, server: bytes) -> float:
        """Headers of the binary protocol are unmistakable; words of the text protocol need an answer in its words."""
        if client[:1] == b"\x80":
            return (1.0 if server[:1] == b"\x81" else 0.8 if not server else 0.0) if next_header(client, 0) else 0.0
        if not client:
            if server[:1] == b"\x81":
                return 0.6 if next_header(server, 0) else 0.0
            return 0.5 if REPLY_LINE.match(server) is not None else 0.0
        if COMMAND_LINE.match(client) is not None:
            return 0.7 if not server else 0.95 if REPLY_LINE.match(server) is not None else 0.3
        start = client.find(b"\r\n") + 2
        found = start > 1 and COMMAND_LINE.match(client, start) is not None
        return 0.6 if found and (not server or REPLY_LINE.search(server) is not None) else 0.0

    def parse(self, side: Side, data: bytes, at: int, base: int) -> int:
        """See the contract."""
        self._fresh[side] = False
        if at >= len(data):
            return at
        if self._is_binary is None:
            self._is_binary = data[at] in MAGIC
        if self._is_binary:
            return self._binary.parse(side, data, at, base)
        if side == Side.CLIENT:
            return self._text.parse_commands(data, at, base)
        return self._text.parse_replies(data, at, base)

    def resync(self, side: Side, data: bytes, at: int, base: int) -> int | None:
        """See the contract. Where nothing was read yet, both protocols are looked for."""
        fresh, self._fresh[side] = self._fresh[side], False
        if self._is_binary:
            return self._binary.resync(side, data, at)
        found = self._text.resync(side, data, at, fresh)
        if found is None and self._is_binary is None:
            return self._binary.resync(side, data, at)
        return found

    def lost(self, side: Side, start: int, end: int) -> None:
        """See the contract."""
        self._fresh[side] = True
        self._text.lost(side, start)

    def finish(self, side: Side, offset: int) -> None:
        """See the contract."""
        self._text.finish(side, offset)
