"""How far each side of an HTTP/1 connection was read, and the careful ways: chunks, empty lines, unusual heads.

Rules: functions over a `Direction`, which remembers what was searched in vain, so that nothing is searched twice. Before
`Violation` is raised, a message under construction is appended, damaged.
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING

from wiretrace.model.message import Message, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Violation
from wiretrace.protocols.http1_head import Fields, normalised_head, read_request_line, read_status_line
from wiretrace.protocols.http_fields import PACKED_BYTES, body_values

if TYPE_CHECKING:
    from wiretrace.protocols.event_stream import EventCounter

LONGEST_CHUNK_LINE = 4096
"""Bytes of a chunk's size and extensions; a longer line is not one."""
LONGEST_CUT_LINE = 4096
"""Bytes of an unfinished start line that are remembered in case that the rest is lost."""

EMPTY_LINES = re.compile(rb"[\r\n]+")
END_OF_HEAD = re.compile(rb"\n\r?\n")
CHUNKS_LOOKED_INTO = 4
FIRST_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,13})[ \t]*(?:;[^\n]{0,4000})?\r?\n")
CHUNK_LINE = re.compile(rb"\r?\n([0-9A-Fa-f]{1,13})[ \t]*(?:;[^\n]{0,4000})?\r?\n")
FIRST_CHUNK_LINE_BEGUN = re.compile(rb"[0-9A-Fa-f]{1,13}[ \t]*(?:;[^\n]*)?\r?\Z")
CHUNK_LINE_BEGUN = re.compile(rb"\r?\Z|\r?\n(?:[0-9A-Fa-f]{1,13}[ \t]*(?:;[^\n]*)?\r?)?\Z")
REQUEST_BEGUN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}(?: [^\x00-\x1f\x7f]*\r?)?\Z")
RESPONSE_BEGUN = re.compile(
    rb"H(?:T(?:T(?:P(?:/(?:1(?:\.(?:[01](?: (?:[1-9](?:[0-9](?:[0-9](?:[ \r][^\n]*)?)?)?)?)?)?)?)?)?)?)?)?\Z"
)


class Stage(enum.IntEnum):
    """Where the reading of a message that is under construction stands."""

    CHUNK = 0
    """Behind the head, before the line of the first chunk."""
    NEXT_CHUNK = 1
    """Behind the data of a chunk, before its line end."""
    TRAILER = 2
    """Behind the line of the last chunk."""
    DOUBT = 3
    """Behind the head of a response that may or may not have a body."""
    CLOSE = 4
    """In a body that ends with the connection."""


class Direction:
    """How far one side was read."""

    __slots__ = ("building", "cut", "events", "fields", "finished", "padding", "reached", "searched", "stage")

    def __init__(self) -> None:
        self.reached = 0
        """Stream offset behind the last thing that was read or lost."""
        self.finished = False
        self.forget()

    def forget(self) -> None:
        """Begin at a message boundary."""
        self.building: Message | None = None
        """The message whose head was read and whose end is not known yet."""
        self.stage = Stage.CHUNK
        self.events: EventCounter | None = None
        """Counts the events in the body of the message under construction, if it is a stream of them."""
        self.fields: Fields | None = None
        """Those of the message in doubt."""
        self.searched = 0
        """Stream offset up to which the end of the head was looked for in vain."""
        self.padding = -1
        """Stream offset of empty lines that belong to no message yet."""
        self.cut: tuple[int, bytes, bool] | None = None
        """Of a head whose end has not come: its offset, its first line, and whether that line is whole."""

    def begins(self, offset: int) -> bool:
        """Whether nothing of the message at `offset` was looked at, and nothing before it waits for its word."""
        return self.padding < 0 and self.cut is None and self.searched <= offset


def pass_over_chunks(direction: Direction, messages: list[Message], data: bytes, at: int, base: int, most: int) -> int:
    """Pass over the chunks and the trailer of the message under construction (RFC 9112 section 7.1).

    Appends the message once its end is read. Returns the index behind what was read; `most` bytes at most may wait.
    """
    message, size = direction.building, len(data)
    if message is None:
        return at
    while direction.stage <= Stage.NEXT_CHUNK:
        if at >= size:
            return at
        first = direction.stage is Stage.CHUNK
        found = (FIRST_CHUNK_LINE if first else CHUNK_LINE).match(data, at)
        if found is None:
            begun = (FIRST_CHUNK_LINE_BEGUN if first else CHUNK_LINE_BEGUN).match(data[at : at + LONGEST_CHUNK_LINE])
            if begun and size - at < LONGEST_CHUNK_LINE:
                return at
            finish_damaged(direction, messages, base + at, "its chunks are malformed")
            raise Violation("not a chunk")
        chunk = int(found[1], 16)
        at = found.end()
        if chunk:
            if direction.events is not None:
                count_events(direction.events, data, at, at + chunk)
            at += chunk
            direction.stage = Stage.NEXT_CHUNK
        else:
            direction.stage = Stage.TRAILER
    if data.startswith(b"\r\n", at):
        at += 2
    elif data.startswith(b"\n", at):
        at += 1
    else:
        found = END_OF_HEAD.search(data, max(at, direction.searched - base))
        if found is None:
            direction.searched = base + max(at, size - 2)
            if size - at >= most:
                finish_damaged(direction, messages, base + at, "its trailer is too long")
                raise Violation("trailer too long")
            return at
        at = found.end()
    message.end = base + at
    if direction.events is not None:
        message.attributes = direction.events.told(message.attributes)
    messages.append(message)
    direction.building = None
    return at


def count_events(events: EventCounter, data: bytes, at: int, end: int) -> None:
    """Look into the chunk ``data[at:end]``; one that has not all arrived is passed over all the same."""
    if end <= len(data):
        events.feed(data[at:end])
    else:
        events.give_up()


def finish_damaged(direction: Direction, messages: list[Message], offset: int, note: str) -> None:
    """Append the message under construction as it stands at `offset`, and say why."""
    message = direction.building
    if message is not None:
        message.end, message.damaged, message.notes = offset, True, (*message.notes, note)
        messages.append(message)
        direction.building = None


def first_chunks(data: bytes, at: int, room: int, packed: str) -> bytes:
    """The beginning of the body in chunks at `at`, as far as it is there: of the first chunk, or of some if it is packed.

    What packs a body sends its own few bytes of a head by themselves.
    """
    found = FIRST_CHUNK_LINE.match(data, at)
    if not packed:
        return data[found.end() : found.end() + min(int(found[1], 16), room)] if found else b""
    content = b""
    for _ in range(CHUNKS_LOOKED_INTO):
        size = int(found[1], 16) if found else 0
        if found is None or not size:
            break
        content += data[found.end() : found.end() + min(size, PACKED_BYTES)]
        if len(content) >= PACKED_BYTES:
            break
        found = CHUNK_LINE.match(data, found.end() + size)
    return body_values(packed, content, room)


def first_bytes(fields: Fields, data: bytes, at: int, room: int) -> bytes:
    """The beginning of the body at `at`, as far as it is there: of its declared length, or of what comes."""
    most = PACKED_BYTES if fields.packed else room
    content = data[at : at + (min(fields.length, most) if fields.length > 0 else most)]
    return body_values(fields.packed, content, room) if fields.packed else content


def skip_empty_lines(direction: Direction, data: bytes, at: int, base: int) -> int:
    """Pass over empty lines before a message (RFC 9112 section 2.2)."""
    if direction.padding < 0:
        direction.padding = base + at
    found = EMPTY_LINES.match(data, at)
    behind = found.end() if found else at
    direction.reached = base + behind
    return behind


def settle(direction: Direction, messages: list[Message], offset: int) -> None:
    """A message begins, or nothing more comes, at `offset`: empty lines before it become a CONTROL message."""
    if direction.padding >= 0:
        messages.append(Message(Role.CONTROL, direction.padding, offset))
    direction.padding = -1
    direction.cut = None


def careful_head(
    side: Side, direction: Direction, data: bytes, at: int, base: int, most: int
) -> tuple[bytes, bytes, int] | None:
    """The head at `at` as start line, header block and index behind it, where it is unfinished or unusual.

    None: its end has not come; its beginning is remembered in case that the rest is lost.
    """
    found = END_OF_HEAD.search(data, max(at, direction.searched - base))
    if found is not None:
        line, _, block = normalised_head(data[at : found.start()].removesuffix(b"\r")).partition(b"\r\n")
        return line, block, found.end()
    size = len(data)
    if size - at >= most:
        raise Violation("head too long")
    direction.searched = base + max(at, size - 3)
    if direction.cut is not None and direction.cut[2]:
        return None
    line_end = data.find(b"\n", at)
    line = data[at : min(line_end if line_end >= 0 else size, at + LONGEST_CUT_LINE)]
    if line_end >= 0:
        line = line.removesuffix(b"\r")
        whole = read_request_line(line, False) if side is Side.CLIENT else read_status_line(line)
        plausible = whole is not None or len(line) == LONGEST_CUT_LINE
    else:
        plausible = (REQUEST_BEGUN if side is Side.CLIENT else RESPONSE_BEGUN).match(line) is not None
    if not plausible:
        raise Violation("not a request line" if side is Side.CLIENT else "not a status line")
    direction.cut = (base + at, line, line_end >= 0)
    return None
