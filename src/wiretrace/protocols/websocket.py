"""WebSocket (RFC 6455), behind an upgrade from HTTP/1.1: a session in outline.

Rules of this file:

- A session is one exchange: what the client sends from the upgrade to its Close frame is the request, what the server sends
  is the response. How many messages and bytes there were is told; each of them alone is not: there may be millions.
- Payloads are passed over, masked as they are. Of Close frames the code is read.
- Ping and Pong are CONTROL, and so cut a session into pieces (`Role.PART`).
- A direction that ends without a Close frame was cut off (code 1006 in section 7.1.5, which is never sent).
- Frames behind a gap are believed if several of them in a row fill what there is, to the byte: their heads are short.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import ClassVar

from wiretrace.model.message import Message, Result, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, Protocol, Violation

CONTINUED, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
DATA_KINDS = (CONTINUED, TEXT, BINARY)
CONTROL_KINDS = (CLOSE, PING, PONG)
FINAL, COMPRESSED, RESERVED, KIND = 0x80, 0x40, 0x30, 0x0F
MASKED, LENGTH = 0x80, 0x7F
LONGEST_CONTROL = 125
LONGEST_HEAD = 14
LONGEST_PAYLOAD = 1 << 53
"""A length from here on is not believed."""
FRAME_AHEAD = (
    re.compile(rb"(?=[\x01\x02\x80-\x82\x88-\x8a\xc1\xc2][\x80-\xff])"),
    re.compile(rb"(?=[\x01\x02\x80-\x82\x88-\x8a\xc1\xc2][\x00-\x7f])"),
)
"""By side: where a frame may begin."""
PLACES_TRIED = 20_000
"""Places in one run of bytes that are tried as the beginning of a frame; beyond it the run is passed over."""
SESSION = 1
"""The key of the two messages of a session; CONTROL messages have 0."""
CHAIN = 4
"""Frames in a row that are enough behind a gap."""
NO_CODE = 1005
"""Stands for a Close frame without a code (section 7.1.5)."""
UNREMARKABLE = frozenset({1000, NO_CODE})
"""Codes that say no more than that the session is over (section 7.4.1)."""
PEER_AT_FAULT = frozenset({1002, 1003, 1007, 1008, 1009, 1010})
"""Codes by which an end complains of the other one."""
OWN_FAULT = frozenset({1011, 1012, 1013, 1014})
"""Codes by which a server says that it can not go on."""


class Half:
    """What one side sent."""

    __slots__ = ("compressed", "damaged", "done", "frames", "messages", "octets", "reached", "text", "tile", "within")

    def __init__(self) -> None:
        self.messages = 0
        self.text = 0
        """Messages that are text; the others are binary."""
        self.octets = 0
        """Bytes of payload."""
        self.frames = 0
        self.compressed = 0
        """Messages that are compressed (RFC 7692)."""
        self.damaged = False
        self.done = False
        """Whether its message was made."""
        self.tile = 0
        """Stream offset where the present piece begins."""
        self.reached = -1
        """Stream offset behind the last frame that was read; -1 before the first byte."""
        self.within = False
        """Whether the present piece belongs to the session, rather than being CONTROL."""


class WebSocket(Protocol):
    """One connection behind an upgrade to WebSocket: RFC 6455, with RFC 7692 (compression) told as such.

    Sees the session with its times, the number and bytes of its messages each way, how many are text and how many
    compressed, and the code with which it was closed. Does not see: contents; single messages; a session whose upgrade was
    not captured, because nothing tells its first bytes from others; sessions over HTTP/2, which are streams of it.
    """

    name: ClassVar[str] = "websocket"
    ports: ClassVar[frozenset[int]] = frozenset({80})
    blocking: ClassVar[bool] = False
    interleaves: ClassVar[bool] = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._halves = (Half(), Half())
        self._codes: list[int | None] = [None, None]
        """By side: the code of its Close frame."""

    @classmethod
    def probe(cls, client: bytes, server: bytes) -> float:
        """Nothing in a frame is unmistakable: only an upgrade leads here."""
        return 0.0

    def parse(self, side: Side, data: bytes, at: int, base: int) -> int:
        """Read frames; see the contract."""
        half = self._halves[side]
        half.tile = half.reached = base + at
        half.within = not half.done
        try:
            at = self._read(side, half, data, at, base)
        finally:
            self._turn(side, half, within=not half.within, offset=half.reached)
        return at

    def resync(self, side: Side, data: bytes, at: int, base: int) -> int | None:
        """The first of several frames that fill what there is, or of four in a row."""
        for found in islice(FRAME_AHEAD[side].finditer(data, at), PLACES_TRIED):
            place = found.start()
            count, fills = chain(side, data, place)
            if count >= CHAIN or (fills and count > (0 if place == at else 1)):
                return place
        return None

    def lost(self, side: Side, start: int, end: int) -> None:
        """How many messages there were is not known any more."""
        half = self._halves[side]
        half.damaged = True
        half.tile = half.reached = end

    def finish(self, side: Side, offset: int) -> None:
        """A session that was not closed ends here."""
        half = self._halves[side]
        silent = side is Side.SERVER and not half.frames and self._codes == [None, None]
        if not half.done and not silent:
            half.tile = half.reached = offset if half.reached < 0 else max(half.reached, half.tile)
            self._complete(side, half)

    def _read(self, side: Side, half: Half, data: bytes, at: int, base: int) -> int:
        size = len(data)
        while size - at >= 2:
            if half.done:
                half.reached = base + size
                return size
            head = frame_head(data, at)
            if head is None:
                return at
            kind, payload, length, masked = head
            if kind < 0:
                raise Violation("not a WebSocket frame")
            end = payload + length
            control = kind in CONTROL_KINDS
            if kind == CLOSE and end > size:
                return at
            self._turn(side, half, within=kind not in (PING, PONG), offset=base + at)
            half.reached = base + end
            if kind == CLOSE:
                self._codes[side] = close_code(data[payload:end], data[payload - 4 : payload] if masked else b"")
                self._complete(side, half)
            elif not control:
                half.frames += 1
                half.octets += length
                if kind != CONTINUED:
                    half.messages += 1
                    half.text += kind == TEXT
                    half.compressed += bool(data[at] & COMPRESSED)
            at = end
        return at

    def _turn(self, side: Side, half: Half, *, within: bool, offset: int) -> None:
        """What comes at `offset` belongs to the session, or does not: finish the piece before it if that differs."""
        if within != half.within:
            if offset > half.tile:
                role, key = (Role.PART, SESSION) if half.within else (Role.CONTROL, 0)
                self._messages(side).append(Message(role, half.tile, offset, key=key))
            half.within, half.tile = within, offset

    def _messages(self, side: Side) -> list[Message]:
        return (self.requests, self.responses)[side]

    def _complete(self, side: Side, half: Half) -> None:
        """Append the message of one side, which ends at `half.reached`."""
        message = Message(
            Role.REQUEST if side is Side.CLIENT else Role.RESPONSE, half.tile, half.reached, key=SESSION,
            damaged=half.damaged, attributes=self._outline(side, half),
        )  # fmt: skip
        opened_by = self.context.opened_by
        if side is Side.CLIENT:
            operation, summary = "", ""
            if opened_by is not None:
                operation, summary = opened_by.operation.partition(" ")[2], opened_by.summary.partition(" ")[2]
                message.identifiers = opened_by.identifiers
            message.operation, message.summary = f"WEBSOCKET {operation}".rstrip(), f"WEBSOCKET {summary}".rstrip()
        else:
            code = self._codes[Side.SERVER]
            message.status, message.result = judged(code, self._codes[Side.CLIENT])
        self._messages(side).append(message)
        half.tile, half.within, half.done = half.reached, False, True

    def _outline(self, side: Side, half: Half) -> dict[str, str | int]:
        """What is told of one side's messages."""
        prefix = f"wiretrace.websocket.{side.name.lower()}"
        attributes: dict[str, str | int] = {"network.protocol.name": "websocket"}
        opened_by = self.context.opened_by
        if side is Side.CLIENT and opened_by is not None:
            kept = ("url.path", "url.query", "server.address", "server.port", "user_agent.original")
            attributes |= {name: value for name, value in (opened_by.attributes or {}).items() if name in kept}
        if not half.damaged:
            attributes[f"{prefix}.messages"] = half.messages
            attributes[f"{prefix}.text_messages"] = half.text
            attributes[f"{prefix}.payload_bytes"] = half.octets
            if half.compressed:
                attributes[f"{prefix}.compressed_messages"] = half.compressed
        code = self._codes[side]
        if code is not None:
            attributes[f"{prefix}.close_code"] = code
        return attributes


def judged(server: int | None, client: int | None) -> tuple[str, Result]:
    """Status and result of a session by the codes with which its sides closed it; the one that complains is believed."""
    if server is None and client is None:
        return "", Result.CUT_OFF
    if server in OWN_FAULT or client in PEER_AT_FAULT:
        return str(server if server in OWN_FAULT else client), Result.SERVER_ERROR
    if server in PEER_AT_FAULT:
        return str(server), Result.CLIENT_ERROR
    if server is None or (server in UNREMARKABLE and client is not None):
        # Who closes says why; many servers answer that with 1000 whatever it was.
        return str(client), Result.OK
    return str(server), Result.OK


def frame_head(data: bytes, at: int) -> tuple[int, int, int, bool] | None:
    """Kind, index of the payload, its length, and whether it is masked (section 5.2); None: more bytes are needed.

    A kind of -1 means that this is no frame.
    """
    first, second = data[at], data[at + 1]
    kind, length = first & KIND, second & LENGTH
    at += 2
    if length == 126:
        if len(data) - at < 2:
            return None
        length = int.from_bytes(data[at : at + 2], "big")
        at += 2
    elif length == 127:
        if len(data) - at < 8:
            return None
        length = int.from_bytes(data[at : at + 8], "big")
        at += 8
    control = kind in CONTROL_KINDS
    if (
        not (control or kind in DATA_KINDS)
        or first & RESERVED
        or length >= LONGEST_PAYLOAD
        or (control and (length > LONGEST_CONTROL or not first & FINAL))
    ):
        return -1, at, 0, False
    masked = bool(second & MASKED)
    if masked:
        at += 4
        if at > len(data):
            return None
    return kind, at, length, masked


def chain(side: Side, data: bytes, at: int) -> tuple[int, bool]:
    """How many frames of `side` stand at `at` in a row, at most CHAIN, and whether they fill `data` to the end."""
    count = 0
    while len(data) - at >= 2 and count < CHAIN:
        head = frame_head(data, at)
        if head is None or head[0] < 0 or head[3] != (side is Side.CLIENT):
            return 0, False
        at = head[1] + head[2]
        count += 1
        if at > len(data):
            return 0, False
    return count, at == len(data)


def close_code(payload: bytes, mask: bytes) -> int:
    """The code of a Close frame (section 5.5.1); NO_CODE where it has none."""
    if len(payload) < 2:
        return NO_CODE
    code = bytes(byte ^ mask[at] for at, byte in enumerate(payload[:2])) if mask else payload[:2]
    return int.from_bytes(code, "big")
