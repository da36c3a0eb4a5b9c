"""Kafka's encoding: numbers, strings, arrays, flexible or not, and the records in batches.

Rules: a reader is given the beginning of a message, perhaps all of it, and raises `CutOff` where it would read behind what
is there: what was read until then counts. Lengths are compared with what there is before anything is made of them.
Facts: the protocol guide, sections "Protocol Primitive Types", "Record Batch" and "Message Set"; KIP-482 (tagged fields).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_ITEMS = 1 << 20
"""An array with more items is not believed."""
BATCH = struct.Struct(">qiibIhiqqqhii")
"""Head of a record batch: offset, length, leader epoch, magic, CRC, attributes, last offset, first and last time, producer's
id, epoch and sequence, number of records."""
BATCH_HEAD = 12
"""Bytes of a batch that its length does not count: offset and length."""
COMPRESSION, CONTROL = 7, 0x20
MAGIC_AT = 16
READ_RECORDS = 32
"""Records of a message that are looked into."""
READ_HEADERS = 32


class CutOff(Exception):  # noqa: N818 - a turn in reading, not an error of ours
    """What was to be read lies behind what there is, or can not be."""


class Fields:
    """Reads fields one after the other."""

    __slots__ = ("at", "data", "end", "flexible")

    def __init__(self, data: bytes, at: int, end: int, *, flexible: bool) -> None:
        self.data, self.at, self.end, self.flexible = data, at, min(end, len(data)), flexible

    def number(self, size: int) -> int:
        """A signed number of `size` bytes."""
        at = self.at
        if at + size > self.end:
            raise CutOff
        self.at = at + size
        return int.from_bytes(self.data[at : at + size], "big", signed=True)

    def varint(self) -> int:
        """An unsigned number of variable length."""
        value = shift = 0
        while shift < 70:
            if self.at >= self.end:
                raise CutOff
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise CutOff

    def zigzag(self) -> int:
        """A signed number of variable length."""
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def length(self, size: int) -> int:
        """The length of what follows; -1 for null. `size` is that of the plain form."""
        return self.varint() - 1 if self.flexible else self.number(size)

    def text(self) -> bytes | None:
        """A string; None for null."""
        length = self.length(2)
        return None if length < 0 else self.bytes(length)

    def bytes(self, length: int) -> bytes:
        """So many bytes."""
        at = self.at
        if length < 0 or at + length > self.end:
            raise CutOff
        self.at = at + length
        return self.data[at : self.at]

    def items(self) -> Iterator[None]:
        """Once for each item of the array that begins here; none for null."""
        count = self.length(4)
        if count > MOST_ITEMS:
            raise CutOff
        for _ in range(count):
            yield

    def tags(self) -> None:
        """Pass over tagged fields, where there are any."""
        if self.flexible:
            for _ in range(min(self.varint(), MOST_ITEMS)):
                self.varint()
                self.bytes(self.varint())

    def numbers(self, size: int) -> None:
        """Pass over an array of numbers of `size` bytes."""
        self.bytes(max(self.length(4), 0) * size)


class Record(NamedTuple):
    """What is read of one record."""

    key: bytes
    value: bytes
    headers: list[tuple[bytes, bytes]]


class Records:
    """What is read of the records of one partition."""

    __slots__ = ("compressed", "count", "cut_off", "identities", "records")

    def __init__(self) -> None:
        self.count = 0
        """How many records there are, those in compressed batches included."""
        self.compressed = 0
        """How many of them are in compressed batches, into which nothing looks."""
        self.cut_off = False
        """Whether there are batches that were not read."""
        self.identities: list[bytes] = []
        """Of each batch (or message of the old formats) what no broker changes: its checksum and its first time."""
        self.records: list[Record] = []
        """The first of them."""

    def read(self, data: bytes, at: int, end: int, there: int) -> None:
        """Read batches from ``data[at:end]``, of which the bytes before index `there` may be looked at.

        The last batch may be cut off by `end`: brokers send as much as was asked for.
        """
        while end - at > MAGIC_AT:
            if at + MAGIC_AT >= there:
                self.cut_off = True
                return
            behind = at + BATCH_HEAD + int.from_bytes(data[at + 8 : at + 12], "big", signed=True)
            if behind <= at + MAGIC_AT or behind > end:
                return
            try:
                if data[at + MAGIC_AT] >= 2:
                    self._batch(data, at, min(behind, there))
                else:
                    self._message(data, at, min(behind, there))
            except CutOff:
                self.cut_off = self.cut_off or behind > there
            at = behind

    def _batch(self, data: bytes, at: int, behind: int) -> None:
        """One batch of the format since Kafka 0.11."""
        if at + BATCH.size > behind:
            raise CutOff
        _, _, _, _, checksum, attributes, _, first_time, _, _, _, _, count = BATCH.unpack_from(data, at)
        if attributes & CONTROL:
            return
        self.identities.append(b"%08x:%d" % (checksum, first_time))
        count = max(count, 0)
        self.count += count
        if attributes & COMPRESSION:
            self.compressed += count
            return
        fields = Fields(data, at + BATCH.size, behind, flexible=True)
        for _ in range(min(count, READ_RECORDS - len(self.records))):
            length = fields.zigzag()
            next_record = fields.at + length
            fields.number(1)
            fields.zigzag()
            fields.zigzag()
            key, value = (fields.bytes(max(fields.zigzag(), 0)) for _ in range(2))
            headers = []
            for _ in range(min(fields.zigzag(), READ_HEADERS)):
                name, content = (fields.bytes(max(fields.zigzag(), 0)) for _ in range(2))
                headers.append((name, content))
            self.records.append(Record(key, value, headers))
            if length < 0 or next_record > behind:
                raise CutOff
            fields.at = next_record

    def _message(self, data: bytes, at: int, behind: int) -> None:
        """One message of the formats 0 and 1; a compressed one stands for others, whose number is not known."""
        fields = Fields(data, at + BATCH_HEAD, behind, flexible=False)
        checksum = fields.number(4) & 0xFFFFFFFF
        magic, attributes = fields.number(1), fields.number(1)
        time = fields.number(8) if magic else -1
        self.identities.append(b"%08x:%d" % (checksum, time))
        self.count += 1
        if attributes & COMPRESSION:
            self.compressed += 1
        elif len(self.records) < READ_RECORDS:
            key, value = (fields.bytes(max(fields.number(4), 0)) for _ in range(2))
            self.records.append(Record(key, value, []))
