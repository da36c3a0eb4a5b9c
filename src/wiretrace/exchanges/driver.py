"""Drives one vantage point: chunks of packets in, record batches of exchanges out. Datagrams have a driver of their own.

Rules: a chunk is worked through in a turn, or in several where it holds very many messages: connections are parsed, then
the packets behind all new messages are looked up at once, then requests and responses are paired, and their exchanges
become one record batch. What is not finished waits in its `Thread`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa

from wiretrace.exchanges.attempts import attempts_to_connect
from wiretrace.exchanges.closing import closings
from wiretrace.exchanges.collector import collector_paused
from wiretrace.exchanges.connection_rows import ConnectionEnds, Spoken, connection_table
from wiretrace.exchanges.datagrams import DatagramDriver
from wiretrace.exchanges.health import Health, TransferHealth
from wiretrace.exchanges.late import LateAcknowledgements
from wiretrace.exchanges.matching import Matcher
from wiretrace.exchanges.message_table import MessageTable
from wiretrace.exchanges.provenance import Provenance
from wiretrace.exchanges.record_batch import BatchMaker
from wiretrace.exchanges.threads import Threads
from wiretrace.exchanges.transfer import transfer_figures
from wiretrace.model.analysis import Payload
from wiretrace.packets.flows import packed_key
from wiretrace.protocols.sql_message import statements_in
from wiretrace.tcp.connections import NEVER
from wiretrace.tcp.reassembly import Reassembler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.exchanges.rows import Rows
    from wiretrace.exchanges.spool import Spool
    from wiretrace.exchanges.values import ValueHasher
    from wiretrace.model.limits import Limits
    from wiretrace.model.note import Notes
    from wiretrace.packets.columns import FlowTable, PacketColumns
    from wiretrace.protocols.sql_message import Statements
    from wiretrace.protocols.tls_key_log import KeyLog
    from wiretrace.tcp.streams import StreamChunk


class ExchangeDriver:
    """Turns the packets of one vantage point into exchanges. Connection numbers are local to it."""

    def __init__(
        self,
        capture: str,
        flows: FlowTable,
        limits: Limits,
        notes: Notes,
        hasher: ValueHasher,
        *,
        keep_values: bool,
        first_connection: int = 0,
        key_log: KeyLog | None = None,
    ) -> None:
        """`first_connection` is what the vantage point's own numbers of connections are added to.

        `key_log` holds the secrets of TLS connections; what is added to it later serves connections that begin later.
        """
        self._capture = capture
        self._first_connection = first_connection
        self._flows = flows
        self.accounting: Counter[Payload] = Counter()
        """TCP and UDP payload bytes by where they ended up. They add up to `payload_bytes`."""
        self._reassembler = Reassembler(limits, notes)
        self._table = self._reassembler.connections
        self._provenance = Provenance(limits, notes)
        self._health = TransferHealth(limits, notes)
        self._now_ns = -1
        """Time of the last packet."""
        self._threads = Threads(flows, self._table, limits, notes, keep_values=keep_values, key_log=key_log)
        self._matcher = Matcher(limits, notes, self.accounting)
        self._batches = BatchMaker(capture, hasher)
        self._datagrams = DatagramDriver(flows, limits, notes, keep_values=keep_values)
        self._ends = ConnectionEnds(flows, self._table, first_connection)
        self._late = LateAcknowledgements(limits, notes)
        self._made = 0
        """Exchanges in the batches so far."""
        self._spoken: dict[int, Spoken] = {}
        """What was learned of each connection that is over."""
        self._claimed = 0
        """Captured bytes inside messages."""
        self._keep: dict[int, int] = {}
        """By stream: the offset from which its packets are still needed."""

    @property
    def payload_bytes(self) -> int:
        """TCP and UDP payload bytes in the packets that were fed, copies left out."""
        return self._reassembler.payload_bytes + self._datagrams.payload_bytes

    @property
    def lost_bytes(self) -> int:
        """TCP payload bytes that the capture lacks."""
        return int(self._table.lost_of[: 2 * self._table.count].sum())

    @property
    def statements(self) -> dict[str, Statements]:
        """By protocol: the statements that connections prepared."""
        found = {name: statements_in(shared) for name, shared in self._threads.shared.items()}
        return {name: statements for name, statements in found.items() if statements is not None}

    def feed(self, columns: PacketColumns) -> Iterator[pa.RecordBatch]:
        """Work through one chunk of packets."""
        if len(columns):
            self._now_ns = max(self._now_ns, int(columns.time_ns[-1]))
        with collector_paused():
            chunk = self._reassembler.feed(columns)
            for error in columns.unreachable:
                flow = self._flows.numbers.get(packed_key(error.key))
                if flow is not None:
                    self._table.mark_unreachable(flow, error.time_ns, error.frame, error.code)
        yield from self._work(chunk, final=False)
        with collector_paused():
            datagrams = self._datagrams.feed(columns, self._batches, self._first_connection)
            self._made += sum(len(batch) for batch in datagrams)
        yield from datagrams

    def finish(self) -> Iterator[pa.RecordBatch]:
        """The capture has ended: finish every connection."""
        yield from self._work(self._reassembler.finish(), final=True)
        yield from self._attempts()
        missing = self._reassembler.payload_bytes - self._reassembler.delivered_bytes
        self.accounting[Payload.REPEATED] += missing
        self.accounting[Payload.CONTROL] += (
            self._claimed - self.accounting[Payload.IN_EXCHANGES] - self.accounting[Payload.IN_HALVES]
        )
        yield from self._datagrams.finish(self._batches, self._first_connection)
        self.accounting.update(self._datagrams.accounting)

    def settle(self, spool: Spool) -> Spool:
        """Say of the exchanges in `spool`, which holds all batches, what came after them. Raises OSError."""
        return self._late.settle(spool, self._table.acknowledged_of)

    def connections(self) -> pa.Table:
        """The table `connections` of this vantage point: those of TCP, then the conversations of UDP."""
        streams = connection_table(self._capture, self._table, self._flows, self._spoken, self._first_connection)
        return pa.concat_tables([streams, self._datagrams.conversations(self._capture, self._first_connection)])

    def _work(self, chunk: StreamChunk, *, final: bool) -> Iterator[pa.RecordBatch]:
        with collector_paused():
            self._provenance.extend(chunk.segments, self._table.fin_of)
            self._health.extend(chunk, self._provenance)
        reading = self._threads.read(chunk, self.accounting)
        touched: set[int] = set()
        is_last = False
        while not is_last:
            with collector_paused():
                read, is_last = next(reading)
                touched |= read
                over = self._threads.finish(touched, final=final) if is_last else set()
                batches = self._turn(read, over, final=final)
            yield from batches
        if not final:
            self._provenance.retain(self._keep)
            # What is told of a message are those of its packets that came before it was in an exchange.
            self._health.retain(number for number in self._threads.open if self._threads.open[number].waits)

    def _turn(self, read: set[int], over: set[int], *, final: bool) -> list[pa.RecordBatch]:
        """Make exchanges of the messages of connections that were `read`, or are `over`."""
        threads = self._threads.open
        active = sorted(read | over)
        messages = MessageTable(
            [threads[number] for number in active], over, self._provenance, self._table.acknowledged_of
        )
        self._claimed += messages.fresh_bytes
        health = self._health.of_messages(messages)
        rows = self._matcher.match(messages, closings(over, threads, self._table, self._now_ns), health)
        self._health.join(messages, health)
        batches = self._batch(messages, rows, health)
        for connection in over:
            thread = threads.pop(connection)
            conversation = thread.conversation
            self._spoken[connection] = Spoken(
                conversation.protocol_name, conversation.client, thread.exchanges, thread.think_ns
            )
            if conversation.unread:
                self.accounting.update(conversation.unread)
        if not final or not over:
            self._carry(active, over, messages)
        return batches

    def _batch(self, messages: MessageTable, rows: Rows, health: Health) -> list[pa.RecordBatch]:
        if not len(rows):
            return []
        rows.arrange()
        ends = self._ends.columns(messages.threads)
        figures = transfer_figures(messages, rows, health, self._health, self._table)
        self._late.remember(self._made, messages, rows, figures, self._table.acknowledged_of)
        self._made += len(rows)
        return [self._batches.make(messages, rows, ends, figures)]

    def _attempts(self) -> Iterator[pa.RecordBatch]:
        """Attempts to connect that came to nothing are exchanges too."""
        for threads, rows in attempts_to_connect(self._table, self._threads):
            for thread in threads:
                conversation = thread.conversation
                self._spoken[conversation.connection] = Spoken("", conversation.client, 1, 0)
            messages = MessageTable(threads, set(), self._provenance, self._table.acknowledged_of)
            yield from self._batch(messages, rows, self._health.of_messages(messages))

    def _carry(self, active: list[int], over: set[int], messages: MessageTable) -> None:
        """Copy what waiting messages need out of the chunk."""
        keep, acknowledged = self._keep, self._table.acknowledged_of
        for connection in active:
            if connection in over:
                keep.pop(2 * connection, None)
                keep.pop(2 * connection + 1, None)
                continue
            thread = self._threads.open[connection]
            for located in thread.requests + thread.responses:
                if located.frames is None:
                    located.frames = messages.frames_of(located.index)
            for side in (0, 1):
                state = thread.conversation.side(side)
                stream = 2 * connection + (side ^ thread.conversation.client)
                offset = thread.keep_from(side)
                if NEVER < (heard := int(acknowledged[stream])) < offset:
                    # What the receiver has not acknowledged may be sent again.
                    offset = heard
                if state.origin is not None and offset < state.next:
                    keep[stream] = offset
                else:
                    keep.pop(stream, None)
