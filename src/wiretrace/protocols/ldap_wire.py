"""LDAP's encoding (RFC 4511 section 5, X.690 basic encoding rules): lengths, and where messages begin.

Rules: elements inside of elements are followed by who knows what stands there, never as deep as the bytes say. Only definite
lengths are read, as section 5.1 demands.
"""

from __future__ import annotations

from typing import NamedTuple

from wiretrace.model.side import Side

SEQUENCE, INTEGER, OCTETS, ENUMERATED = 0x30, 0x02, 0x04, 0x0A
BIND, UNBIND, SEARCH, MODIFY, ADD, DELETE, RENAME, COMPARE, ABANDON, EXTENDED = (
    0x60, 0x42, 0x63, 0x66, 0x68, 0x4A, 0x6C, 0x6E, 0x50, 0x77,
)  # fmt: skip
"""Tags of what a client asks."""
BIND_ANSWER, ENTRY, SEARCH_DONE, REFERENCE, EXTENDED_ANSWER, INTERMEDIATE = 0x61, 0x64, 0x65, 0x73, 0x78, 0x79
"""Tags of what a server answers; those of the others are one higher than their requests'."""
OPERATIONS = {
    BIND: "bind", UNBIND: "unbind", SEARCH: "search", MODIFY: "modify", ADD: "add", DELETE: "delete", RENAME: "modify dn",
    COMPARE: "compare", ABANDON: "abandon", EXTENDED: "extended",
}  # fmt: skip
ANSWERS = frozenset(
    {BIND_ANSWER, ENTRY, SEARCH_DONE, REFERENCE, EXTENDED_ANSWER, INTERMEDIATE, 0x67, 0x69, 0x6B, 0x6D, 0x6F}
)
HIGHEST_NUMBER = (1 << 31) - 1
_LONGEST_MESSAGE = 64 << 20
_MOST_LENGTH_BYTES = 4


class Element(NamedTuple):
    """A tag with its content, of which the end may not be there."""

    tag: int
    at: int
    end: int


def element(data: bytes, at: int, end: int) -> Element | None:
    """The element at `at`; None where its beginning is not all there, or is none."""
    end = min(end, len(data))
    if at + 2 > end:
        return None
    tag, length = data[at], data[at + 1]
    at += 2
    if length & 0x80:
        size = length & 0x7F
        if not 0 < size <= _MOST_LENGTH_BYTES or at + size > end:
            return None
        length = int.from_bytes(data[at : at + size], "big")
        at += size
    return Element(tag, at, at + length)


def children(data: bytes, at: int, end: int, most: int) -> list[Element]:
    """The elements between `at` and `end`, at most so many."""
    found: list[Element] = []
    while len(found) < most:
        child = element(data, at, end)
        if child is None:
            break
        found.append(child)
        at = child.end
    return found


def number(data: bytes, part: Element) -> int:
    """The value of an INTEGER or ENUMERATED; -1 for what is none."""
    if part.tag not in (INTEGER, ENUMERATED) or not 0 < part.end - part.at <= 8 or part.end > len(data):
        return -1
    return int.from_bytes(data[part.at : part.end], "big", signed=True)


def octets(data: bytes, part: Element, limit: int) -> bytes:
    """The content of a string, as far as it is there and up to `limit` bytes."""
    return data[part.at : min(part.end, part.at + limit)]


class Envelope(NamedTuple):
    """An LDAPMessage: its number, its operation, and the index behind it."""

    number: int
    operation: Element
    end: int


def envelope(data: bytes, at: int) -> Envelope | None:
    """The message at `at`; None where its beginning is not all there, or is none (then `is_start` says so)."""
    outer = element(data, at, len(data))
    if outer is None or outer.tag != SEQUENCE or outer.end - outer.at > _LONGEST_MESSAGE:
        return None
    first = element(data, outer.at, outer.end)
    if first is None or first.end > len(data):
        return None
    operation = element(data, first.end, outer.end)
    if operation is None:
        return None
    value = number(data, first)
    if not 0 <= value <= HIGHEST_NUMBER or operation.end > outer.end:
        return None
    return Envelope(value, operation, outer.end)


def is_start(data: bytes, at: int, side: Side) -> float:
    """How surely a message of `side` begins at `at`."""
    found = envelope(data, at)
    if found is None or found.operation.tag not in (OPERATIONS, ANSWERS)[side]:
        return 0.0
    tag, part = found.operation.tag, found.operation
    first = element(data, part.at, part.end)
    wanted = {
        BIND: INTEGER,
        SEARCH: OCTETS,
        MODIFY: OCTETS,
        ADD: OCTETS,
        RENAME: OCTETS,
        COMPARE: OCTETS,
        ENTRY: OCTETS,
    }
    wanted[EXTENDED] = 0x80
    if side is Side.SERVER and tag not in (ENTRY, REFERENCE, INTERMEDIATE):
        wanted[tag] = ENUMERATED
    if tag in wanted and (first is None or first.tag != wanted[tag]):
        return 0.0
    if (tag == UNBIND) != (part.end == part.at) and tag != INTERMEDIATE:
        return 0.0
    if found.end > len(data):
        return 0.6
    if found.end == len(data):
        return 0.85
    return 0.9 if data[found.end] == SEQUENCE else 0.0
