"""Protocol Buffers without a schema: the values in a message that may link it to others.

Follows the encoding's own description (protobuf.dev, "Encoding"). Rules: numbers and readable strings are taken, everything
else is passed over. Whether bytes are a string or a message in a message is not said: what reads as text is text; what else
reads as fields to its very end is a message. A message that is cut off, or none at all, gives what came before.
"""

from __future__ import annotations

DEEPEST = 8
"""Messages inside messages that are entered."""
SMALLEST_NUMBER = 10
"""Single digits are everywhere, and link nothing."""
MOST_FIELDS = 256
"""Fields of one message, with those inside it, that are read."""
LONGEST_VARINT = 10


def values_in(message: bytes, room: int) -> bytes:
    """The values of a message, of which the end may be missing, separated by spaces; at most `room` bytes."""
    found: list[bytes] = []
    read_fields(message, 0, len(message), 0, found, MOST_FIELDS)
    return b" ".join(found)[:room]


def read_fields(data: bytes, at: int, end: int, depth: int, found: list[bytes], budget: int) -> int:
    """Append the values of the fields in ``data[at:end]`` to `found`. Returns how many fields may still be read.

    -1: these bytes are not fields.
    """
    while at < end:
        if budget <= 0:
            return 0
        budget -= 1
        tag, at = varint(data, at, end)
        if at < 0 or tag < 8:
            return -1
        kind = tag & 7
        if kind == 0:
            number, at = varint(data, at, end)
            if at < 0:
                return -1
            if number >= SMALLEST_NUMBER:
                found.append(b"%d" % number)
        elif kind == 1:
            at += 8
        elif kind == 5:
            at += 4
        elif kind == 2:
            length, at = varint(data, at, end)
            if at < 0:
                return -1
            if at + length > end:
                # Cut off: a word of which the end is missing would be another word.
                if depth < DEEPEST and not is_text(data[at:end]):
                    read_fields(data, at, end, depth + 1, found, budget)
                return 0
            budget = read_content(data, at, at + length, depth, found, budget)
            at += length
        else:
            return -1
    return budget if at == end else -1


def read_content(data: bytes, at: int, end: int, depth: int, found: list[bytes], budget: int) -> int:
    """Append the values of a string, or of a message in the message. Returns how many fields may still be read."""
    content = data[at:end]
    if is_text(content):
        found.append(content)
    elif depth < DEEPEST and content:
        known = len(found)
        left = read_fields(data, at, end, depth + 1, found, budget)
        if left >= 0:
            return left
        del found[known:]
    return budget


def is_text(content: bytes) -> bool:
    """Whether bytes read as a line of text."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return False
    return bool(text) and text.isprintable()


def varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and the index behind it; -1 where there is none."""
    number = shift = 0
    for place in range(at, min(end, at + LONGEST_VARINT)):
        byte = data[place]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & 0xFFFFFFFFFFFFFFFF, place + 1
        shift += 7
    return 0, -1
