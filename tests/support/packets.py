"""Packets written from Python, read through the packets floor: for tests of the floors behind it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.captures import write_pcap

from wiretrace.exchanges.driver import ExchangeDriver
from wiretrace.exchanges.key_logs import read_key_log
from wiretrace.exchanges.spool import SpoolWriter
from wiretrace.exchanges.values import ValueHasher
from wiretrace.model.limits import Limits
from wiretrace.model.note import Notes
from wiretrace.model.schema import table_schema
from wiretrace.packets.columns import FlowTable
from wiretrace.packets.reader import CaptureReader
from wiretrace.tcp.reassembly import Reassembler

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.support.captures import Packet

    from wiretrace.packets.columns import PacketColumns
    from wiretrace.tcp.trouble import Repeats

import pyarrow as pa


def columns_of(packets: Iterable[Packet], limits: Limits, flows: FlowTable, notes: Notes) -> Iterator[PacketColumns]:
    """The packets as chunks of columns, `limits.chunk_bytes` of the file at a time."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "packets.pcap"
        write_pcap(path, packets)
        yield from CaptureReader(path, flows, limits, notes).chunks()


class Streams:
    """What the tcp floor makes of packets: the bytes of each stream by offset."""

    def __init__(self, packets: Iterable[Packet], limits: Limits | None = None) -> None:
        limits = limits or Limits()
        self.flows = FlowTable()
        self.notes = Notes()
        self.reassembler = Reassembler(limits, self.notes)
        self.runs: dict[int, list[tuple[int, bytes]]] = {}
        """By stream: (offset, bytes) in the order in which they were delivered."""
        self.repeats: list[Repeats] = []
        """What was sent again or came late, of the chunks that have any."""
        for columns in columns_of(packets, limits, self.flows, self.notes):
            self._take(self.reassembler.feed(columns))
        self._take(self.reassembler.finish())

    def _take(self, chunk: object) -> None:
        from wiretrace.tcp.streams import StreamChunk

        assert isinstance(chunk, StreamChunk)
        if len(chunk.repeats):
            self.repeats.append(chunk.repeats)
        for run in chunk.runs:
            self.runs.setdefault(run.stream, []).append((run.start, chunk.data(run)))

    def bytes_of(self, stream: int) -> bytes:
        """The bytes of a stream, joined over gaps."""
        return b"".join(data for _, data in self.runs.get(stream, []))


class ExchangesOfFile:
    """What the exchanges floor makes of a capture file."""

    def __init__(
        self, path: Path, limits: Limits | None = None, *, keep_values: bool = True, key_log: Path | None = None
    ) -> None:
        limits = limits or Limits()
        flows = FlowTable()
        self.notes = Notes()
        driver = ExchangeDriver(
            "test", flows, limits, self.notes, ValueHasher(b"test", limits), keep_values=keep_values,
            key_log=read_key_log(key_log, limits),
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            with SpoolWriter(Path(folder) / "exchanges.arrow") as writer:
                for columns in CaptureReader(path, flows, limits, self.notes).chunks():
                    for batch in driver.feed(columns):
                        writer.write(batch)
                for batch in driver.finish():
                    writer.write(batch)
            parts = list(driver.settle(writer.spool()).parts())
        self.table = pa.Table.from_batches(parts, schema=table_schema("exchanges"))
        self.rows = sorted(
            self.table.to_pylist(), key=lambda row: max(row["request_start_ns"], row["response_start_ns"])
        )
        self.connections = driver.connections().to_pylist()
        self.accounting = +driver.accounting
        self.payload_bytes = driver.payload_bytes

    @property
    def unexplained(self) -> int:
        """Payload bytes that no entry of the accounting explains."""
        return self.payload_bytes - sum(self.accounting.values())

    def pairs(self) -> list[tuple[str, str, str]]:
        """(request, status, outcome) of each exchange, in order of time."""
        return [(row["summary"], row["status"], row["outcome"]) for row in self.rows]


class Exchanges(ExchangesOfFile):
    """What the exchanges floor makes of packets."""

    def __init__(
        self,
        packets: Iterable[Packet],
        limits: Limits | None = None,
        *,
        keep_values: bool = True,
        key_log: Path | None = None,
    ) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "packets.pcap"
            write_pcap(path, packets)
            super().__init__(path, limits, keep_values=keep_values, key_log=key_log)
