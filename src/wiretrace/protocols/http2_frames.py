"""Frames of HTTP/2 (RFC 9113 sections 4 and 6): their kinds, and where they begin in bytes whose past is not known.

Rules: strict, because a false boundary costs false messages. A frame is believed by what its kind allows of length, flags
and stream; behind a gap it takes three of them in a row, or as many as fill what there is, to the byte.
"""

from __future__ import annotations

import re
import struct
from itertools import islice

from wiretrace.model.side import Side
from wiretrace.protocols.http2_fields import read_head
from wiretrace.protocols.http2_hpack import FieldDecoder, MalformedBlock

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends first (section 3.4)."""
HEAD = struct.Struct(">HBBBI")
"""Length (its two upper bytes, and the lowest), kind, flags, stream."""
HEAD_BYTES = 9
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x4, 0x8, 0x20
STREAM = 0x7FFFFFFF
"""The bits of the stream's number; the one above is reserved."""
USUAL_FRAME_BYTES = 1 << 14
"""Payload that every receiver takes (section 6.5.2)."""

ERROR_NAMES = (
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
    "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
)  # fmt: skip
"""Error codes by their numbers (section 7)."""

FLAGS_OF = {
    DATA: END_STREAM | PADDED,
    HEADERS: END_STREAM | END_HEADERS | PADDED | WITH_PRIORITY,
    PRIORITY: 0,
    RST_STREAM: 0,
    SETTINGS: 1,
    PUSH_PROMISE: END_HEADERS | PADDED,
    PING: 1,
    GOAWAY: 0,
    WINDOW_UPDATE: 0,
    CONTINUATION: END_HEADERS,
}
"""Flags that each kind defines."""
LENGTH_OF = {PRIORITY: 5, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}
"""Length of kinds that have one."""
OF_THE_CONNECTION = frozenset({SETTINGS, PING, GOAWAY})
CHAIN = 3
"""Frames in a row that are enough."""
FRAME_AHEAD = re.compile(
    rb"(?=[\x00\x01]..(?:[\x00-\x03\x05\x09][\x00-\x2d](?!\0{4})[\x00-\x7f]|[\x04\x06\x07][\x00\x01]\0{4}|\x08\0[\x00-\x7f]))",
    re.DOTALL,
)
"""Where a frame may begin; none of more than 128 KiB is looked for."""
PLACES_TRIED = 20_000
"""Places in one run of bytes that are tried as the beginning of a frame; beyond it the run is passed over."""


def error_name(code: int) -> str:
    """The name of an error code; one that is not defined, as a number."""
    return ERROR_NAMES[code] if code < len(ERROR_NAMES) else str(code)


def is_plausible(length: int, kind: int, flags: int, stream: int, side: Side) -> bool:
    """Whether a frame with this head may come from `side`."""
    defined = FLAGS_OF.get(kind)
    if defined is None or flags & ~defined or stream > STREAM or length != LENGTH_OF.get(kind, length):
        return False
    if kind in OF_THE_CONNECTION:
        if stream:
            return False
        if kind == SETTINGS:
            return length % 6 == 0 and (not flags or not length)
        return kind == PING or length >= 8
    if kind == WINDOW_UPDATE:
        return True
    if not stream or (side is Side.CLIENT and kind == HEADERS and not stream & 1):
        return False
    if kind == DATA and not length and not flags:
        return False  # it would say nothing
    return kind != PUSH_PROMISE or (side is Side.SERVER and length >= 4)


def chain(side: Side, data: bytes, at: int, most: int = STREAM) -> tuple[int, bool]:
    """How many plausible frames stand at `at` in a row, at most CHAIN, and whether they fill `data` to the end.

    A frame whose end lies behind the end counts if it carries a body or a header block. None is of a stream above `most`.
    """
    size, count = len(data), 0
    while size - at >= HEAD_BYTES and count < CHAIN:
        high, low, kind, flags, stream = HEAD.unpack_from(data, at)
        length = high << 8 | low
        if stream > most or not is_plausible(length, kind, flags, stream, side):
            return 0, False
        at += HEAD_BYTES + length
        count += 1
        if at > size:
            return count, kind in (DATA, HEADERS) and length <= USUAL_FRAME_BYTES
    return count, at == size


def boundary_in(side: Side, data: bytes, at: int, most: int) -> int | None:
    """The index in `data[at:]` of the first frame of `side` that can be trusted, or None; see `chain` for `most`."""
    count, fills = chain(side, data, at, most)
    if count and (count >= CHAIN or fills):
        return at
    for place in islice(FRAME_AHEAD.finditer(data, at + 1), PLACES_TRIED):
        count, fills = chain(side, data, place.start(), most)
        if count >= CHAIN or (fills and count > 1):
            return place.start()
    return None


def likelihood(client: bytes, server: bytes) -> float:
    """How surely these first bytes of two directions are HTTP/2, in these roles; see `Protocol.probe`."""
    opens = PREFACE.startswith(client[: len(PREFACE)]) and len(client) >= 3
    answers = start_likelihood(Side.SERVER, server) if server else None
    if opens:
        return 1.0 if answers != 0.0 and len(client) >= len(PREFACE) else 0.6
    asks = start_likelihood(Side.CLIENT, client) if client else None
    known = [likely for likely in (asks, answers) if likely is not None]
    return min(known) if known and 0.0 not in known else 0.0


def start_likelihood(side: Side, data: bytes) -> float | None:
    """How surely `data` is the beginning of frames that `side` sends; None: it may be, and does not tell."""
    if len(data) < HEAD_BYTES or data[0]:
        return 0.0
    count, fills = chain(side, data, 0)
    if not count or not (fills or count >= CHAIN):
        return 0.0
    decoder = FieldDecoder(from_the_start=False)
    at, proved = 0, 0.0
    for _ in range(count):
        high, low, kind, flags, _ = HEAD.unpack_from(data, at)
        end = at + HEAD_BYTES + (high << 8 | low)
        if side is Side.SERVER and kind == SETTINGS and at == 0 and not flags:
            proved = 0.8 if low or count > 1 else 0.0
        if kind == HEADERS and flags & END_HEADERS and end <= len(data):
            try:
                head = read_head(decoder.decode(block_of(data, at, end, flags)))
            except MalformedBlock:
                return 0.0
            if (head.status >= 0) if side is Side.CLIENT else head.asks:
                return 0.0
            if head.asks or head.status >= 0:
                proved = 0.85
        at = end
    return proved or (0.6 if count >= CHAIN else None)


def block_of(data: bytes, at: int, end: int, flags: int) -> bytes:
    """The header block in the HEADERS frame ``data[at:end]``, without padding and priority."""
    at += HEAD_BYTES
    if flags & PADDED:
        end -= data[at] if at < end else 0
        at += 1
    return data[at + 5 * bool(flags & WITH_PRIORITY) : max(end, at)]
