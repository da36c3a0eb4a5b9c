"""BSON documents (bsonspec.org, version 1.1): their outline without values, and the values that may link them to others.

Rules: a document may be cut off anywhere, and its lengths may lie. Depth, the number of elements and what is collected are
bounded. Whatever is no element ends the reading; nothing is raised.
"""

from __future__ import annotations

import itertools
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from wiretrace.protocols.sensitive import REDACTED, is_sensitive

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DOUBLE, STRING, DOCUMENT, ARRAY, BINARY, OBJECT_ID, BOOLEAN, NULL, INT32, INT64 = 1, 2, 3, 4, 5, 7, 8, 10, 16, 18
"""Types of elements that are read; of the others only the size is known."""
DEEPEST = 10
"""Documents inside of each other that are entered."""
MOST_ELEMENTS = 400
"""Elements of one message that are read, those inside of others included."""
LONGEST_NAME = 200
OUTLINE_CHARACTERS = 400
LONGEST_VALUE = 128

NOTHING: frozenset[bytes] = frozenset()
_FIXED = {1: 8, 6: 0, 7: 12, 8: 1, 9: 8, 10: 0, 16: 4, 17: 8, 18: 8, 19: 16, 0x7F: 0, 0xFF: 0}
_STRINGS = frozenset({2, 13, 14})
_UUID_SUBTYPES = (3, 4)
_INT32 = struct.Struct("<i")
_INT64 = struct.Struct("<q")
_DOUBLE = struct.Struct("<d")
_NUMBERS = {INT32: _INT32, INT64: _INT64, DOUBLE: _DOUBLE}


class Element(NamedTuple):
    """One element of a document: where its value stands. ``end`` may lie behind what there is."""

    name: bytes
    kind: int
    at: int
    end: int


def elements(data: bytes, at: int, end: int) -> Iterator[Element]:
    """The elements of the document at `at`, as far as ``data[:end]`` has them."""
    return itertools.starmap(Element, walk(data, at, end))


def walk(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int, int]]:
    """The same as plain tuples, which are made in half the time."""
    if at + 4 > end:
        return
    end = min(end, at + max(0, _INT32.unpack_from(data, at)[0]))
    at += 4
    while at < end and data[at]:
        kind = data[at]
        name_end = data.find(b"\0", at + 1, min(end, at + 1 + LONGEST_NAME))
        if name_end < 0:
            return
        value = name_end + 1
        if kind in _FIXED:
            after = value + _FIXED[kind]
        else:
            after = _behind(data, kind, value, end)
            if after < value:
                return
        yield data[at + 1 : name_end], kind, value, after
        at = after


def _behind(data: bytes, kind: int, at: int, end: int) -> int:
    """The index behind a value whose size depends on it; -1 where that can not be told."""
    if kind == 0x0B:  # a regular expression: two texts that end with a zero
        first = data.find(b"\0", at, end)
        return data.find(b"\0", first + 1, end) + 1 or -1 if first >= 0 else -1
    if at + 4 > end:
        return -1
    length: int = _INT32.unpack_from(data, at)[0]
    if length < 0:
        return -1
    if kind in (DOCUMENT, ARRAY, 0x0F):
        return at + length if length >= 5 else -1
    if kind in _STRINGS:
        return at + 4 + length
    if kind == BINARY:
        return at + 5 + length
    return at + 16 + length if kind == 0x0C else -1


def number(data: bytes, element: Element, limit: int) -> float:
    """The value of a number or a boolean; 0 for everything else."""
    if element.end > limit:
        return 0
    unpacker = _NUMBERS.get(element.kind)
    if unpacker is None:
        return data[element.at] if element.kind == BOOLEAN else 0
    value: float = unpacker.unpack_from(data, element.at)[0]
    return value


def string(data: bytes, element: Element, limit: int) -> bytes:
    """The value of a string, as far as it is there; b"" for everything else."""
    return data[element.at + 4 : min(element.end - 1, limit)] if element.kind == STRING else b""


def values_of(data: bytes, at: int, end: int, room: int, skipped: frozenset[bytes]) -> bytes:
    """The values of a document that may link it to others, as `Outline.values` has them, and nothing else: much quicker.

    `room` is how many bytes of values are wanted; elements of the names in `skipped` are passed over.
    """
    found: list[bytes] = []
    _collect(data, at, end, found, [room, MOST_ELEMENTS], skipped)
    return b" ".join(found)


def _collect(
    data: bytes, at: int, end: int, found: list[bytes], left: list[int], skipped: frozenset[bytes],
    depth: int = 0, item_of: bool | None = None,
) -> None:  # fmt: skip
    """Add the values of a document, or of an array (`item_of`: whether that is secret), to those `found`.

    `left` are the bytes and the elements for which there is room.
    """
    for name, kind, value_at, behind in walk(data, at, end):
        if name in skipped:
            continue
        if left[0] <= 0 or left[1] <= 0:
            return
        left[1] -= 1
        if kind == DOCUMENT and depth < DEEPEST:
            _collect(data, value_at, min(behind, end), found, left, NOTHING, depth + 1)
            continue
        secret = _is_secret(name) if item_of is None else item_of
        if kind == ARRAY and depth < DEEPEST:
            _collect(data, value_at, min(behind, end), found, left, NOTHING, depth + 1, secret)
        elif behind <= end and not secret:
            value = _value(data, kind, value_at, behind)
            # Single digits are everywhere, and link nothing.
            if value and not (len(value) == 1 and value.isdigit()):
                found.append(value[: left[0]])
                left[0] -= len(value) + 1


@lru_cache(maxsize=4096)
def _is_secret(name: bytes) -> bool:
    """Whether values under a name are secrets."""
    return is_sensitive(name.decode("utf-8", "replace"))


class Outline:
    """Collects what documents look like, and their values."""

    def __init__(self, room: int, keep_values: bool) -> None:
        """`room` is how many bytes of values are wanted."""
        self._keep_values = keep_values
        self._text: list[str] = []
        self._characters = OUTLINE_CHARACTERS
        self._values: list[bytes] = []
        self._room = room
        self._elements = MOST_ELEMENTS
        self._hidden = 0
        """Arrays around the present element of which it is not the first item."""

    @property
    def text(self) -> str:
        """Names, and '?' for values: ``{filter: {customer: ?, state: {$in: [?, ...]}}, limit: ?}``."""
        return "".join(self._text)

    @property
    def values(self) -> bytes:
        """Strings, numbers and identifiers, separated by spaces."""
        return b" ".join(self._values)

    def add(
        self,
        data: bytes,
        at: int,
        end: int,
        skipped: frozenset[bytes] = frozenset(),
        sequences: Sequence[tuple[bytes, int, int]] = (),
        depth: int = 0,
    ) -> None:
        """Take the document at `at`, without the elements of the names in `skipped`.

        `sequences` are documents that stand elsewhere and belong to it as arrays: a name, and where they begin and end.
        """
        self._write("{")
        first = True
        for element in elements(data, at, end):
            if element.name in skipped:
                continue
            if self._elements <= 0 or (self._characters <= 0 and self._room <= 0):
                break
            self._elements -= 1
            if self._characters > 0 and not self._hidden:
                self._write(f"{'' if first else ', '}{element.name.decode('utf-8', 'replace')}: ")
            first = False
            self._add_value(data, element, end, depth, _is_secret(element.name))
        for named, begin, behind in sequences:
            self._write(f"{'' if first else ', '}{named.decode('utf-8', 'replace')}: [")
            self._add_sequence(data, begin, behind)
            self._write("]")
            first = False
        self._write("}")

    def _add_sequence(self, data: bytes, at: int, end: int) -> None:
        """Documents one behind the other."""
        index = 0
        while at + 5 <= end and self._elements > 0 and self._room > 0:
            self._begin_item(index)
            self.add(data, at, end, depth=1)
            self._hidden -= index > 0
            index += 1
            at += max(5, int(_INT32.unpack_from(data, at)[0]))

    def _add_array(self, data: bytes, element: Element, end: int, depth: int, secret: bool) -> None:
        self._write("[")
        end = min(element.end, end)
        for index, each in enumerate(elements(data, element.at, end)):
            if self._elements <= 0 or self._room <= 0:
                break
            self._elements -= 1
            self._begin_item(index)
            self._add_value(data, each, end, depth, secret)
            self._hidden -= index > 0
        self._write("]")

    def _begin_item(self, index: int) -> None:
        """Only the first item of an array is shown; of all of them the values are taken."""
        if index == 1:
            self._write(", ...")
        self._hidden += index > 0

    def _add_value(self, data: bytes, element: Element, end: int, depth: int, secret: bool) -> None:
        kind = element.kind
        if kind in (DOCUMENT, ARRAY) and depth < DEEPEST:
            if kind == DOCUMENT:
                self.add(data, element.at, min(element.end, end), depth=depth + 1)
            else:
                self._add_array(data, element, end, depth + 1, secret)
            return
        value = b"" if secret or element.end > end else _value(data, kind, element.at, element.end)
        # Single digits are everywhere, and link nothing.
        if value and self._room > 0 and not (len(value) == 1 and value.isdigit()):
            self._values.append(value[: self._room])
            self._room -= len(value) + 1
        if self._keep_values and secret:
            self._write(REDACTED)
        else:
            self._write(value.decode("utf-8", "replace") if self._keep_values and value else "?")

    def _write(self, text: str) -> None:
        if self._characters > 0 and not self._hidden:
            self._text.append(text[: self._characters])
            self._characters -= len(text)


def _value(data: bytes, kind: int, at: int, end: int) -> bytes:
    """A value as text; b"" where it can not link anything."""
    if kind == STRING:
        return data[at + 4 : min(end - 1, at + 4 + LONGEST_VALUE)]
    if kind == INT32:
        return b"%d" % _INT32.unpack_from(data, at)[0]
    if kind == INT64:
        return b"%d" % _INT64.unpack_from(data, at)[0]
    if kind == OBJECT_ID:
        return data[at:end].hex().encode()
    if kind == DOUBLE:
        real: float = _DOUBLE.unpack_from(data, at)[0]
        return b"%d" % int(real) if real.is_integer() else repr(real).encode()
    if kind == BINARY and end - at == 21 and data[at + 4] in _UUID_SUBTYPES:
        return data[at + 5 : end].hex().encode()
    return b""
