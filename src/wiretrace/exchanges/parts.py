"""Puts messages together that came in pieces, because those of others lie between them (HTTP/2 streams).

Rules: pieces of one direction come in stream order. A message that is put together has the time, frames and
acknowledgement of its first piece and the end of its last one; what lies between and is not its own is counted in
`Located.elsewhere`. Frames of unfinished messages are copied, because they outlive the chunk, and bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.model.message import Role
from wiretrace.model.note import NoteKind, Notes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.exchanges.message_table import MessageTable
    from wiretrace.exchanges.pairing import Located
    from wiretrace.model.limits import Limits

COMPACTED_AT = 1024
"""Pieces after which the frames of a message are put into one array."""


class Assembly:
    """The pieces of one message so far."""

    __slots__ = ("first", "frames", "last", "size")

    def __init__(self, first: Located) -> None:
        self.first = first
        self.last = first
        self.size = 0
        self.frames: list[NDArray[np.int64]] = []

    def add(self, piece: Located, table: MessageTable, most: int, notes: Notes) -> None:
        """Take one more piece; `table` holds the messages of the chunk."""
        if self.first is not piece:
            self.first.captured += piece.captured
            self.first.damaged |= piece.damaged
        self.last = piece
        self.size += piece.message.end - piece.message.start
        self.frames.append(frames_of(piece, table))
        if len(self.frames) > COMPACTED_AT:
            joined = distinct(self.frames)
            if len(joined) > most:
                joined = np.concatenate([joined[: most // 4], joined[-most // 4 :]])
                notes.add(NoteKind.LIMIT_REACHED, "message_segments")
            self.frames = [joined]

    def finish(self, last: Located, table: MessageTable) -> Located:
        """The whole message, in `last`, which is its last piece."""
        first, message = self.first, last.message
        size = self.size + message.end - message.start
        if message.end > message.start:
            self.frames.append(frames_of(last, table))
        else:
            last.end_ns, last.last_ack = self.last.end_ns, self.last.last_ack
            message.end = self.last.message.end
        message.start = first.message.start
        last.start_ns, last.ack = first.start_ns, first.ack
        last.captured += first.captured
        last.damaged |= first.damaged
        last.elsewhere = message.end - message.start - size
        last.frames = distinct(self.frames)
        return last


def join_parts(
    located: list[Located],
    assemblies: dict[int, Assembly],
    table: MessageTable,
    limits: Limits,
    notes: Notes,
) -> list[Located]:
    """The whole messages among `located`, pieces of one direction in stream order; the others wait in `assemblies`."""
    whole = []
    for piece in located:
        message = piece.message
        key = message.key
        if message.role is Role.PART:
            assembly = assemblies.get(key)
            if assembly is None:
                assembly = assemblies[key] = Assembly(piece)
            assembly.add(piece, table, limits.message_segments, notes)
        elif message.role is Role.CONTROL or message.role is Role.CANCEL:
            whole.append(piece)
        else:
            assembly = assemblies.pop(key, None)
            whole.append(piece if assembly is None else assembly.finish(piece, table))
    return whole


def frames_of(located: Located, table: MessageTable) -> NDArray[np.int64]:
    """Frames behind a message; `table` holds those of the chunk."""
    return located.frames if located.frames is not None else table.frames_of(located.index)


def distinct(frames: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """The frames of all arrays, each once, in their order."""
    if len(frames) == 1:
        return frames[0]
    return np.array(list(dict.fromkeys(np.concatenate(frames).tolist())), np.int64)
