"""CaptureReader: one capture file as PacketColumns, chunk by chunk.

Rules: memory does not grow with the file: a chunk is read, what is left of it (a record that straddles) is carried to the
next. Every packet of the file is counted once: as a row, or under a reason. Nothing that the file holds raises, once its
first bytes have shown it to be a capture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wiretrace.model.errors import UserError
from wiretrace.model.file_names import told_name
from wiretrace.model.note import NoteKind
from wiretrace.packets import pcap, pcapng
from wiretrace.packets.buffer import PacketBuffer
from wiretrace.packets.decode import BlockDecoder
from wiretrace.packets.source import ByteSource, Ending
from wiretrace.packets.summary import CaptureSummary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wiretrace.model.limits import Limits
    from wiretrace.model.note import Notes
    from wiretrace.packets.columns import FlowTable, PacketColumns
    from wiretrace.packets.records import RecordIndex, Records


class NotACaptureError(UserError):
    """The file can be read, and is no capture."""


class CaptureReader:
    """Reads one capture file as PacketColumns; counts what it could not read.

    Raises UserError where the file can not be opened or is no capture: at construction, or while iterating where it
    vanishes or fails in between.
    """

    def __init__(self, path: Path, flows: FlowTable, limits: Limits, notes: Notes) -> None:
        self.summary = CaptureSummary()
        """What is known of the file; complete once `chunks` is exhausted."""
        self._path = path
        self._name = told_name(path.name)
        self._limits = limits
        self._notes = notes
        self._decoder = BlockDecoder(flows, limits, self.summary)
        self._source = ByteSource(path)
        self._buffer = PacketBuffer(limits.chunk_bytes + pcap.USUAL_PACKET_BYTES)
        self._index = self._recognise()

    def chunks(self) -> Iterator[PacketColumns]:
        """The packets of the file, in its order. A chunk's arrays and buffer are valid until the next one is asked for."""
        buffer = self._buffer
        with self._source:
            final = False
            while not final:
                records, consumed, final = self._next_records()
                chunk_end = buffer.used
                if len(records):
                    columns = self._decoder.decode(buffer, records)
                    if len(columns):
                        yield columns
                buffer.used = chunk_end
                buffer.keep_from(consumed)
            self._finish()

    def records(self) -> Iterator[tuple[PacketBuffer, Records]]:
        """The packets of the file undecoded, in its order. A chunk is valid until the next one is asked for."""
        buffer = self._buffer
        with self._source:
            final = False
            while not final:
                records, consumed, final = self._next_records()
                yield buffer, records
                buffer.keep_from(consumed)
            self._finish()

    @property
    def stored_bytes(self) -> int:
        """Bytes of the file read so far, as stored."""
        return self._source.stored_bytes

    def first_packet_ns(self) -> int:
        """Time of the first packet, -1 if it is not in the first chunk. Closes the file: nothing can be read after it."""
        with self._source:
            self._next_records()
        return self.summary.first_ns

    def _next_records(self) -> tuple[Records, int, bool]:
        """Read a chunk behind what is left of the last one: its records, the bytes they used up, and if it is the last."""
        buffer, wanted = self._buffer, self._limits.chunk_bytes
        buffer.reserve(buffer.used + wanted)
        count = self._source.readinto(buffer.view[buffer.used : buffer.used + wanted])
        buffer.used += count
        final = count < wanted
        records, consumed = self._index.index(buffer, final)
        self._count(records)
        return records, consumed, final

    def _recognise(self) -> RecordIndex:
        """Read the first bytes and choose the format."""
        buffer = self._buffer
        summary = self.summary
        buffer.used = self._source.readinto(buffer.view[: pcap.FILE_HEADER_BYTES])
        head = bytes(buffer.view[: buffer.used])
        suffix = f"+{self._source.compression}" if self._source.compression else ""
        if head[:4] in pcap.MAGICS and len(head) == pcap.FILE_HEADER_BYTES:
            summary.format = "pcap" + suffix
            self._source.readinto(buffer.view[: pcap.MAGICS[head[:4]][3] - len(head)])
            buffer.used = 0
            return pcap.PcapIndex(head, self._name, self._limits, self._notes, summary)
        if head[:4] == pcapng.MAGIC and head[8:12] in pcapng.BYTE_ORDER_MAGICS:
            summary.format = "pcapng" + suffix
            return pcapng.PcapngIndex(self._name, self._limits, self._notes, summary)
        with self._source:
            if not head:
                raise NotACaptureError(f"{self._path}: the file is empty. Give a capture file (pcap or pcapng).")
            raise NotACaptureError(f"{self._path}: not a capture. Give a pcap or pcapng file, plain or compressed.")

    def _count(self, records: Records) -> None:
        if len(records):
            summary = self.summary
            summary.packets += len(records)
            first, last = int(records.time_ns[0]), int(records.time_ns[-1])
            summary.first_ns = first if summary.first_ns < 0 else summary.first_ns
            summary.last_ns = last

    def _finish(self) -> None:
        """The end of the file: complete the summary, and note what could not be read."""
        source, summary, notes = self._source, self.summary, self._notes
        source.finish()
        summary.bytes = source.stored_bytes
        summary.sha256 = source.sha256
        if source.ending is Ending.CUT:
            notes.add(NoteKind.FILE_TRUNCATED, self._name)
        elif source.ending is Ending.CORRUPT:
            notes.add(NoteKind.FILE_DAMAGED, self._name)
        if summary.dropped > 0:
            notes.add(NoteKind.PACKETS_DROPPED, self._name, summary.dropped)
        self._decoder.finish(notes, self._name)
