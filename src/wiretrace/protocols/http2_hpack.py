"""HPACK, the compression of header fields in HTTP/2 (RFC 7541), for somebody who may have come late.

Rules:

- Indexes count back from the newest entry of the dynamic table (section 2.3.3): what was added since we listen is known
  whatever came before. An index behind that stands for an *unknown* field, never for a wrong one.
- Behind lost bytes nothing of the table can be trusted: it starts anew, as if we had come late.
- Entries are evicted as the encoder says (section 4.3). Before it has said, a table that was seen from its beginning holds
  4096 bytes (RFC 9113 section 6.5.2), any other what our limit allows: an encoder does not refer to what it has evicted.
- What a field means is worked out when it is added to the table, not each time that it is referred to.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from wiretrace.model.limits import Limits
from wiretrace.protocols.http2_fields import UNKNOWN_FIELD, meaning_of
from wiretrace.protocols.http2_huffman import HuffmanError, decode

if TYPE_CHECKING:
    from wiretrace.protocols.http_fields import Meaning

ENTRY_OVERHEAD = 32
"""Bytes that count for an entry beside its name and value (RFC 7541 section 4.1)."""
INITIAL_CAPACITY = 4096
"""Size of the table before the encoder says otherwise (RFC 9113 section 6.5.2)."""
LARGEST_TABLE = Limits().header_table_bytes
LONGEST_INTEGER = 6
"""Bytes of an integer behind its prefix; longer ones are not believed (RFC 7541 section 5.1)."""
CACHED_FIELD_BYTES = 512
"""Longest field whose meaning is remembered."""


class Entry(NamedTuple):
    """A field of the table."""

    name: bytes | None
    """None where it was not captured."""
    meaning: Meaning | None
    """What it means to an exchange; None: nothing."""
    size: int


class MalformedBlock(Exception):  # noqa: N818 - a verdict about bytes, not an error of ours
    """A header block that breaks the rules; the table can not be trusted behind it."""


STATIC_FIELDS = (
    (b":authority", b""), (b":method", b"GET"), (b":method", b"POST"), (b":path", b"/"), (b":path", b"/index.html"),
    (b":scheme", b"http"), (b":scheme", b"https"), (b":status", b"200"), (b":status", b"204"), (b":status", b"206"),
    (b":status", b"304"), (b":status", b"400"), (b":status", b"404"), (b":status", b"500"), (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"), (b"accept-language", b""), (b"accept-ranges", b""), (b"accept", b""),
    (b"access-control-allow-origin", b""), (b"age", b""), (b"allow", b""), (b"authorization", b""),
    (b"cache-control", b""), (b"content-disposition", b""), (b"content-encoding", b""), (b"content-language", b""),
    (b"content-length", b""), (b"content-location", b""), (b"content-range", b""), (b"content-type", b""),
    (b"cookie", b""), (b"date", b""), (b"etag", b""), (b"expect", b""), (b"expires", b""), (b"from", b""),
    (b"host", b""), (b"if-match", b""), (b"if-modified-since", b""), (b"if-none-match", b""), (b"if-range", b""),
    (b"if-unmodified-since", b""), (b"last-modified", b""), (b"link", b""), (b"location", b""), (b"max-forwards", b""),
    (b"proxy-authenticate", b""), (b"proxy-authorization", b""), (b"range", b""), (b"referer", b""), (b"refresh", b""),
    (b"retry-after", b""), (b"server", b""), (b"set-cookie", b""), (b"strict-transport-security", b""),
    (b"transfer-encoding", b""), (b"user-agent", b""), (b"vary", b""), (b"via", b""), (b"www-authenticate", b""),
)  # fmt: skip
"""RFC 7541 appendix A, from index 1 on."""
STATIC_ENTRIES = tuple(Entry(name, meaning_of(name, value), 0) for name, value in STATIC_FIELDS)
STATIC_COUNT = len(STATIC_ENTRIES)
UNKNOWN_ENTRY = Entry(None, UNKNOWN_FIELD, 0)


@lru_cache(maxsize=8192)
def known_entry(name: bytes, value: bytes) -> Entry:
    """The entry of a field, remembering the answer."""
    return Entry(name, meaning_of(name, value), ENTRY_OVERHEAD + len(name) + len(value))


class FieldDecoder:
    """The decoder's side of one direction: reads the header blocks that one end sent."""

    __slots__ = ("_entries", "_size", "capacity")

    def __init__(self, *, from_the_start: bool) -> None:
        """`from_the_start`: whether no header block of this direction came before the first one that will be decoded."""
        self._entries: deque[Entry] = deque()
        """The oldest first."""
        self._size = 0
        self.capacity = INITIAL_CAPACITY if from_the_start else LARGEST_TABLE

    def forget(self) -> None:
        """Header blocks may have been lost."""
        self._entries.clear()
        self._size = 0
        self.capacity = LARGEST_TABLE

    def decode(self, block: bytes) -> list[Meaning]:
        """What the fields of a header block mean, without those that do not matter.

        Raises MalformedBlock; the table is forgotten then.
        """
        try:
            return self._decode(block)
        except (MalformedBlock, HuffmanError, IndexError):
            self.forget()
            raise MalformedBlock from None

    def _decode(self, block: bytes) -> list[Meaning]:
        found: list[Meaning] = []
        at, size = 0, len(block)
        entries = self._entries
        while at < size:
            first = block[at]
            at += 1
            if first & 0x80:  # an indexed field (section 6.1)
                index = first & 0x7F
                if index == 0x7F:
                    index, at = integer(block, at, 0x7F)
                if 0 < index <= STATIC_COUNT:
                    meaning = STATIC_ENTRIES[index - 1].meaning
                elif 0 < index - STATIC_COUNT <= len(entries):
                    meaning = entries[STATIC_COUNT - index].meaning
                else:
                    meaning = absent(index).meaning
            elif first & 0x40:  # a literal that is added to the table (section 6.2.1)
                entry, at = self._literal(block, at, first & 0x3F, 0x3F)
                self._add(entry)
                meaning = entry.meaning
            elif first & 0x20:  # a new size of the table (section 6.3)
                capacity = first & 0x1F
                if capacity == 0x1F:
                    capacity, at = integer(block, at, 0x1F)
                self.capacity = min(capacity, LARGEST_TABLE)
                self._evict(self.capacity)
                continue
            else:  # a literal that is not added (sections 6.2.2 and 6.2.3)
                entry, at = self._literal(block, at, first & 0x0F, 0x0F)
                meaning = entry.meaning
            if meaning is not None:
                found.append(meaning)
        return found

    def _literal(self, block: bytes, at: int, index: int, prefix: int) -> tuple[Entry, int]:
        """The field at `at`, behind its first byte, and the index behind it."""
        name: bytes | None
        if index == 0:
            name, at = string(block, at)
        else:
            if index == prefix:
                index, at = integer(block, at, prefix)
            if index <= STATIC_COUNT:
                name = STATIC_ENTRIES[index - 1].name
            elif index - STATIC_COUNT <= len(self._entries):
                name = self._entries[STATIC_COUNT - index].name
            else:
                name = absent(index).name
        value, at = string(block, at)
        if name is None:
            return Entry(None, UNKNOWN_FIELD, ENTRY_OVERHEAD + len(value)), at
        remembered = len(name) + len(value) <= CACHED_FIELD_BYTES
        return (known_entry if remembered else known_entry.__wrapped__)(name, value), at

    def _add(self, entry: Entry) -> None:
        self._evict(self.capacity - entry.size)
        if entry.size <= self.capacity:
            self._entries.append(entry)
            self._size += entry.size

    def _evict(self, room: int) -> None:
        """Evict the oldest entries until what is left takes no more than `room`."""
        while self._entries and self._size > room:
            self._size -= self._entries.popleft().size


def absent(index: int) -> Entry:
    """What an index stands for that is not in the table as we know it."""
    if index == 0:
        raise MalformedBlock
    return UNKNOWN_ENTRY


def integer(block: bytes, at: int, prefix: int) -> tuple[int, int]:
    """An integer whose prefix is all ones (section 5.1), and the index behind it."""
    value, shift = prefix, 0
    for place in range(at, at + LONGEST_INTEGER):
        byte = block[place]
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
        shift += 7
    raise MalformedBlock


def string(block: bytes, at: int) -> tuple[bytes, int]:
    """A string (section 5.2), and the index behind it."""
    first = block[at]
    at += 1
    length = first & 0x7F
    if length == 0x7F:
        length, at = integer(block, at, 0x7F)
    end = at + length
    if end > len(block):
        raise MalformedBlock
    text = block[at:end]
    return (decode(text) if first & 0x80 else text), end
