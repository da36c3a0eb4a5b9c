"""Cassandra's native protocol ("CQL binary protocol", versions 3 to 5), which ScyllaDB speaks, too.

Rules that hold here and in ``cassandra_messages``:

- Answers are paired by the number of their stream, in whatever order they come.
- In version 5 messages are carried by frames behind STARTUP, and are unpacked before they are read.
- Bodies are read as far as their beginning; what authenticates is passed over unread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from wiretrace.model.side import Side
from wiretrace.protocols.cassandra_frames import Frames, is_frame
from wiretrace.protocols.cassandra_messages import Messages, Session
from wiretrace.protocols.cassandra_wire import boundary, is_message
from wiretrace.protocols.contract import Context, Protocol

if TYPE_CHECKING:
    from wiretrace.protocols.sql_message import Description

_STATEMENTS = "statements"
_OUTER_AT_MOST = 8 + 9


class Cassandra(Protocol):
    """One connection to a Cassandra node."""

    name = "cassandra"
    ports: ClassVar[frozenset[int]] = frozenset({9042, 9142})
    blocking = False
    overtakes = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        statements: dict[bytes, Description] = {}
        known = context.shared.setdefault(_STATEMENTS, statements)
        assert isinstance(known, dict)
        self._session = Session(aligned=all(context.started), statements=known)
        self._readers = (
            Messages(context, self._session, Side.CLIENT, self.requests),
            Messages(context, self._session, Side.SERVER, self.responses),
        )
        self._frames: list[Frames | None] = [None, None]
        """By side, once frames carry its messages: what reads them."""

    @classmethod
    def probe(cls, client: bytes, server: bytes) -> float:
        """See `Protocol.probe`."""
        asked, answered = _probe(client, Side.CLIENT), _probe(server, Side.SERVER)
        if (client and not asked) or (server and not answered):
            return 0.0
        return min(asked, answered) if client and server else max(asked, answered)

    def parse(self, side: Side, data: bytes, at: int, base: int) -> int:
        """See `Protocol.parse`."""
        frames = self._frames[side]
        if frames is None:
            reader = self._readers[side]
            at = reader.parse(data, at, base)
            if reader.framed_from < 0:
                return at
            frames = self._begin_frames(side, base + at, self._session.compression == "lz4")
        return frames.parse(data, at, base)

    def _begin_frames(self, side: Side, offset: int, compressed: bool | None) -> Frames:
        reader = self._readers[side]
        reader.framed = True
        frames = Frames(self, (self.requests, self.responses)[side], reader, offset, compressed)
        self._frames[side] = frames
        return frames

    def resync(self, side: Side, data: bytes, at: int, base: int) -> int | None:
        """See `Protocol.resync`."""
        frames = self._frames[side]
        if frames is not None:
            return frames.resync(data, at, base)
        found = boundary(data, at, side)
        carried = self._begin_frames(side, base + at, None)
        # A frame carries messages as they are where it is not packed: the one around the other comes first. A frame that is
        # farther from the message is none, and is not looked for: what lies between would be gone through every time.
        first, last = (at, len(data)) if found is None else (max(at, found - _OUTER_AT_MOST), found)
        framed = carried.first_frame(data, first, last)
        if framed is not None:
            carried.resync(data, framed, base)
            return framed
        self._frames[side] = None
        self._readers[side].framed = False
        return found

    def lost(self, side: Side, start: int, end: int) -> None:
        """See `Protocol.lost`."""
        (self._frames[side] or self._readers[side]).break_off(start, True)
        self._session.aligned = False

    def finish(self, side: Side, offset: int) -> None:
        """See `Protocol.finish`."""
        (self._frames[side] or self._readers[side]).break_off(offset, False)
        self._session.ended[side] = True


def _probe(opening: bytes, side: Side) -> float:
    if not opening:
        return 0.0
    if is_frame(opening, 0, False) or is_frame(opening, 0, True):
        return 0.9
    return is_message(opening, 0, side)
