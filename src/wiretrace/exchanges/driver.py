"""Drives one vantage point: chunks of ordered bytes in, record batches of exchanges out.

Rules: a chunk is worked through in whole turns: all its connections are parsed, then the packets behind all new messages
are looked up at once, then requests and responses are paired and written as rows. What is not finished waits in its
`Thread`, with copies of what it needs, so that nothing refers to an earlier chunk's buffer.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.exchanges.connection_rows import Spoken, connection_table
from wiretrace.exchanges.conversation import Conversation
from wiretrace.exchanges.outcomes import ALONE, OUTCOME_OF, Closing, judge, judge_attempt
from wiretrace.exchanges.pairing import (
    Habits,
    Located,
    Pair,
    Proof,
    pair_by_acknowledgement,
    pair_in_order,
)
from wiretrace.exchanges.pairing_by_identifier import pair_before_identifiers, pair_by_identifier
from wiretrace.exchanges.parts import Assembly, join_parts
from wiretrace.exchanges.provenance import Provenance
from wiretrace.exchanges.rows import ExchangeRows, TransactionCounter
from wiretrace.model.analysis import Payload
from wiretrace.model.message import Message, Result, Role, Transaction
from wiretrace.model.note import NoteKind, Notes
from wiretrace.model.side import Side
from wiretrace.tcp.connections import NEVER, Ending
from wiretrace.tcp.reassembly import Reassembler

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from wiretrace.exchanges.direction import Direction
    from wiretrace.exchanges.values import ValueHasher
    from wiretrace.model.limits import Limits
    from wiretrace.packets.columns import FlowTable, PacketColumns
    from wiretrace.protocols.contract import Protocol
    from wiretrace.tcp.connections import ConnectionTable
    from wiretrace.tcp.streams import StreamChunk


class Thread:
    """A conversation with the messages that wait for their other half or for their end."""

    __slots__ = ("conversation", "exchanges", "habits", "parts", "requests", "responses", "transactions", "unended")

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.requests: list[Located] = []
        self.responses: list[Located] = []
        self.unended: tuple[list[Message], list[Message]] = ([], [])
        """By side: the message whose end has not arrived."""
        self.parts: tuple[dict[int, Assembly], dict[int, Assembly]] = ({}, {})
        """By side: messages of which some pieces have arrived, by key."""
        self.transactions = TransactionCounter(conversation.connection)
        self.exchanges = 0
        self.habits = Habits()

    def ready(self, side: int, *, final: bool) -> list[Message]:
        """Messages of `side` whose bytes are all there (or never will be)."""
        messages = self.unended[side] + self.conversation.messages[side]
        self.conversation.messages[side].clear()
        self.unended[side].clear()
        if messages and not final and messages[-1].end > self.conversation.side(side).next:
            self.unended[side].append(messages.pop())
        return messages

    def keep_from(self, side: int) -> int:
        """Stream offset from which the packets of `side` are still needed."""
        if self.unended[side]:
            return self.unended[side][0].start
        state = self.conversation.side(side)
        if not self.conversation.protocol:
            return state.position
        # An empty piece may follow, which stands for the byte before it.
        return max(self.conversation.last_end[side], state.origin or 0) - self.conversation.interleaves


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
    ) -> None:
        """`first_connection` is what the vantage point's own numbers of connections are added to."""
        self._capture = capture
        self._first_connection = first_connection
        self._flows = flows
        self._limits = limits
        self._notes = notes
        self._keep_values = keep_values
        self._reassembler = Reassembler(limits, notes)
        self._provenance = Provenance(limits, notes)
        self._rows = ExchangeRows(capture, hasher, first_connection)
        self._threads: dict[int, Thread] = {}
        self._last_protocol: dict[tuple[bytes, int], type[Protocol]] = {}
        self._shared: dict[str, dict[str, object]] = {}
        self._spoken: dict[int, Spoken] = {}
        """What was learned of each connection that is over."""
        self._claimed = 0
        """Captured bytes inside messages."""
        self._addresses: dict[bytes, str] = {}
        self.accounting: Counter[Payload] = Counter()
        """TCP payload bytes by where they ended up. They add up to `payload_bytes`."""

    @property
    def payload_bytes(self) -> int:
        """TCP payload bytes in the packets that were fed."""
        return self._reassembler.payload_bytes

    @property
    def lost_bytes(self) -> int:
        """TCP payload bytes that the capture lacks."""
        table = self._reassembler.connections
        return int(table.lost_of[: 2 * table.count].sum())

    def feed(self, columns: PacketColumns) -> Iterator[pa.RecordBatch]:
        """Work through one chunk of packets."""
        yield from self._work(self._reassembler.feed(columns), final=False)

    def finish(self) -> Iterator[pa.RecordBatch]:
        """The capture has ended: finish every connection."""
        yield from self._work(self._reassembler.finish(), final=True)
        missing = self._reassembler.payload_bytes - self._reassembler.delivered_bytes
        self.accounting[Payload.REPEATED] += missing
        self.accounting[Payload.CONTROL] += (
            self._claimed - self.accounting[Payload.IN_EXCHANGES] - self.accounting[Payload.IN_HALVES]
        )

    def connections(self) -> pa.Table:
        """The table `connections` of this vantage point."""
        table = self._reassembler.connections
        return connection_table(self._capture, table, self._flows, self._spoken, self._first_connection)

    def _work(self, chunk: StreamChunk, *, final: bool) -> Iterator[pa.RecordBatch]:
        table = self._reassembler.connections
        self._provenance.extend(chunk.segments)
        touched = self._read(chunk, table)
        over = self._over(touched, table, final=final)
        for connection in over:
            self._threads[connection].conversation.finish(self._ends(connection, table))
        active = sorted(touched | over)
        self._locate(active, over)
        closings = self._closings(over, table)
        for connection in active:
            self._pair(self._threads[connection], closings.get(connection))
        for connection in over:
            thread = self._threads.pop(connection)
            self._account(thread)
        if final:
            self._attempts(table)
        if len(self._rows):
            yield self._rows.flush(self._provenance)
        if not final:
            self._carry()

    def _read(self, chunk: StreamChunk, table: ConnectionTable) -> set[int]:
        """Parse the new bytes of every connection. Returns the connections that have some."""
        touched: set[int] = set()
        offsets = chunk.segments.offset
        previous: Conversation | None = None
        for run in chunk.runs:
            connection, direction = run.stream >> 1, run.stream & 1
            if previous is not None and previous.connection != connection:
                self._advance(previous)
                previous = None
            if table.finished_of[connection]:
                self.accounting[Payload.AFTER_THE_END] += int(chunk.segments.length[run.first : run.last].sum())
                continue
            thread = self._threads.get(connection)
            if thread is None:
                thread = self._threads[connection] = Thread(self._begin(connection, table))
            previous = thread.conversation
            openings = [] if previous.decided else offsets[run.first : run.first + 8].tolist()
            previous.add(direction, run.start, chunk.data(run), openings)
            touched.add(connection)
        if previous is not None:
            self._advance(previous)
        return touched

    def _begin(self, connection: int, table: ConnectionTable) -> Conversation:
        key = self._flows.keys[table.flow_of[connection]]
        client = int(table.client_of[connection])
        conversation = Conversation(
            connection,
            client,
            (bool(table.started_of[2 * connection]), bool(table.started_of[2 * connection + 1])),
            (key.port_a, key.port_b),
            self._limits,
            self._notes,
            self._shared,
            self._keep_values,
        )
        if client >= 0:
            conversation.hint = self._last_protocol.get(
                (key.address_a, key.port_a) if client else (key.address_b, key.port_b)
            )
        return conversation

    def _advance(self, conversation: Conversation) -> None:
        known = conversation.protocol
        conversation.advance(final=False)
        if conversation.protocol is not None and known is None:
            key = self._flows.keys[self._reassembler.connections.flow_of[conversation.connection]]
            server = (key.address_a, key.port_a) if conversation.client else (key.address_b, key.port_b)
            self._last_protocol[server] = type(conversation.protocol)

    def _over(self, touched: set[int], table: ConnectionTable, *, final: bool) -> set[int]:
        """Connections of which nothing more will come."""
        if final:
            over = set(self._threads)
        else:
            numbers = np.array(list(self._threads), np.int64)
            fins = (table.fin_of[2 * numbers] >= 0) & (table.fin_of[2 * numbers + 1] >= 0)
            delivered = (table.next_of[2 * numbers] >= table.fin_of[2 * numbers]) & (
                table.next_of[2 * numbers + 1] >= table.fin_of[2 * numbers + 1]
            )
            over = set(numbers[(fins & delivered) | (table.reset_by_of[numbers] >= 0)].tolist())
            excess = len(self._threads) - len(over) - self._limits.connections
            if excess > 0:
                idle = [number for number in self._threads if number not in over and number not in touched]
                idle.sort(key=lambda number: int(table.last_ns_of[number]))
                over.update(idle[:excess])
                self._notes.add(NoteKind.LIMIT_REACHED, "connections", min(excess, len(idle)))
        for connection in over:
            table.finished_of[connection] = True
        return over

    @staticmethod
    def _ends(connection: int, table: ConnectionTable) -> tuple[int, int]:
        """Stream offsets up to which bytes of each direction are known to exist."""
        ends = []
        for stream in (2 * connection, 2 * connection + 1):
            fin = int(table.fin_of[stream])
            acknowledged = int(table.acknowledged_of[stream])
            delivered = int(table.next_of[stream])
            if fin >= 0:
                end = max(fin, delivered)
            else:
                # An acknowledgement far ahead of what was sent is not to be believed (RFC 9293 section 3.10.7.4).
                end = acknowledged if delivered < acknowledged < delivered + (1 << 30) else delivered
            if end > delivered:
                table.lost_of[stream] += end - delivered
            ends.append(end)
        return ends[0], ends[1]

    def _closings(self, over: set[int], table: ConnectionTable) -> dict[int, Closing]:
        """How the connections that are over stood in the end."""
        if not over:
            return {}
        numbers = np.array(sorted(over), np.int64)
        clients = np.array([self._threads[number].conversation.client for number in numbers.tolist()], np.int64)
        asking, answering = 2 * numbers + clients, 2 * numbers + 1 - clients
        acknowledged = table.acknowledged_of[asking]
        columns = (
            table.endings(clients, numbers).tolist(),
            acknowledged.tolist(),
            ((table.bytes_of[answering] > 0) | (acknowledged > NEVER)).tolist(),
            table.next_of[answering].tolist(),
        )
        closings = {}
        for number, ending, acked, captured, known in zip(numbers.tolist(), *columns, strict=True):
            gaps = self._threads[number].conversation.side(Side.SERVER).gaps
            sent = max(known, gaps[-1][1]) if gaps else known
            closings[number] = Closing(Ending(ending), acked, captured, known, sent)
        return closings

    def _locate(self, connections: list[int], over: set[int]) -> None:
        """Find the packets behind all messages that are ready."""
        found: list[tuple[list[Located], list[Message], Direction]] = []
        streams: list[int] = []
        starts: list[int] = []
        ends: list[int] = []
        for connection in connections:
            thread = self._threads[connection]
            conversation = thread.conversation
            for side in (0, 1):
                messages = thread.ready(side, final=connection in over)
                if not messages:
                    continue
                state = conversation.side(side)
                stream = 2 * connection + (side ^ conversation.client)
                streams.extend([stream] * len(messages))
                starts.extend([message.start for message in messages])
                ends.extend([min(message.end, state.next) for message in messages])
                found.append(((thread.requests, thread.responses)[side], messages, state))
        where = self._provenance
        if not streams or not len(where.stream):
            return
        spans = np.array(starts), np.array(ends)
        # An empty message stands for the byte before it.
        first, last = where.locate(np.array(streams), spans[0] - (spans[0] == spans[1]), spans[1])
        start_ns, end_ns = where.time_ns[first].tolist(), where.time_ns[last].tolist()
        ack, last_ack = where.ack[first].tolist(), where.ack[last].tolist()
        first_list, last_list = first.tolist(), last.tolist()
        at = 0
        for waiting, messages, state in found:
            gaps = bool(state.gaps)
            for message in messages:
                start, end = starts[at], ends[at]
                captured = state.captured(start, end) if gaps else max(0, end - start)
                self._claimed += captured
                damaged = message.damaged or captured < message.end - start
                waiting.append(
                    Located(
                        message,
                        start_ns[at],
                        end_ns[at],
                        ack[at],
                        first_list[at],
                        last_list[at],
                        last_ack[at],
                        captured,
                        damaged,
                    )
                )
                at += 1

    def _pair(self, thread: Thread, closing: Closing | None) -> None:
        conversation = thread.conversation
        requests, responses = thread.requests, thread.responses
        if not requests and not responses:
            return
        final = closing is not None
        if conversation.interleaves:
            for side, located in enumerate((requests, responses)):
                located[:] = join_parts(located, thread.parts[side], self._provenance.frame, self._limits, self._notes)
        if conversation.protocol is not None:
            thread.habits.blocking = conversation.protocol.blocking
            client = conversation.side(Side.CLIENT)
            thread.habits.origin = client.origin if client.started else None
        if thread.habits.opening is None and requests:
            thread.habits.opening = requests[0].message.start
        pairs: list[Pair] = []
        left: list[Pair] = []
        if any(located.message.key >= 0 for located in requests[:1] + responses[:1]) or conversation.interleaves:
            if conversation.interleaves:
                # What came before the protocol that sends identifiers was answered in order.
                pair_before_identifiers(requests, responses, pairs, thread.habits)
            waiting = pair_by_identifier(
                requests, responses, pairs, self._provenance.frame, unique=conversation.interleaves
            )
            thread.requests, thread.responses = waiting
        else:
            if conversation.aligned:
                used, answered = pair_in_order(requests, responses, pairs, thread.habits)
            else:
                self._pair_whole(thread, pairs)
                reached = None if final else (conversation.side(Side.CLIENT).next, conversation.side(Side.SERVER).next)
                used, answered = pair_by_acknowledgement(requests, responses, pairs, thread.habits, reached)
            del requests[:used]
            del responses[:answered]
        bound = self._limits.pending_messages
        excess = max(0, len(thread.requests) - bound, len(thread.responses) - bound)
        if excess:
            self._notes.add(NoteKind.LIMIT_REACHED, "pending_messages", excess)
            pairs += [Pair(located, None, Proof.NONE) for located in thread.requests[:excess]]
            pairs += [Pair(None, located, Proof.NONE) for located in thread.responses[:excess]]
            del thread.requests[:excess]
            del thread.responses[:excess]
        if final:
            left = [Pair(located, None, Proof.NONE) for located in thread.requests]
            left += [Pair(None, located, Proof.NONE) for located in thread.responses]
            thread.requests, thread.responses = [], []
        self._write(thread, pairs, left, closing)

    @staticmethod
    def _pair_whole(thread: Thread, pairs: list[Pair]) -> None:
        """Pair in order what came before the first bytes that broke the rules of the protocol."""
        client_end, server_end = thread.conversation.whole
        requests = list(itertools.takewhile(lambda each: each.message.end <= client_end, thread.requests))
        responses = list(itertools.takewhile(lambda each: each.message.end <= server_end, thread.responses))
        if requests and responses:
            used, answered = pair_in_order(requests, responses, pairs, thread.habits)
            del thread.requests[:used]
            del thread.responses[:answered]

    def _write(self, thread: Thread, pairs: list[Pair], left: list[Pair], closing: Closing | None) -> None:
        if not pairs and not left:
            return
        conversation = thread.conversation
        number = self._announce(conversation)
        protocol = conversation.protocol_name
        response_end = conversation.side(Side.SERVER).next
        transactions = thread.transactions
        add = self._rows.add
        whole = half = count = 0
        for at, pair in enumerate(pairs + left):
            request, response = pair.request, pair.response
            if request is not None and response is not None and closing is None:
                answer = response.message
                state = transactions.number(answer.transaction) if answer.transaction or transactions.open else -1
                spoken = request.message.protocol or answer.protocol or protocol
                add(number, spoken, pair, OUTCOME_OF[answer.result], ALONE, state)
                whole += request.captured + response.captured
                count += 1
                continue
            message = (request or response).message  # type: ignore[union-attr]
            role = message.role
            if role is Role.CONTROL or role is Role.CANCEL:
                continue
            # How the connection ended judges what was left over then, and answers that were cut off.
            ended = closing if response is not None or at >= len(pairs) else None
            outcome, possible = judge(pair, ended, response_end)
            transaction = transactions.number(response.message.transaction if response else Transaction.UNKNOWN)
            add(number, message.protocol or protocol, pair, outcome, possible, transaction)
            count += 1
            captured = (request.captured if request else 0) + (response.captured if response else 0)
            if (request and response) or role in (Role.ONE_WAY, Role.PUSH) or pair.skipped:
                whole += captured
            else:
                half += captured
        thread.exchanges += count
        self.accounting[Payload.IN_EXCHANGES] += whole
        self.accounting[Payload.IN_HALVES] += half

    def _announce(self, conversation: Conversation) -> int:
        table = self._reassembler.connections
        key = self._flows.keys[table.flow_of[conversation.connection]]
        ends = ((self._address(key.address_a), key.port_a), (self._address(key.address_b), key.port_b))
        bases = [int(table.base_of[2 * conversation.connection + direction]) for direction in (0, 1)]
        client = conversation.client
        return self._rows.connection(
            conversation.connection, ends[client], ends[1 - client], (bases[client], bases[1 - client])
        )

    def _attempts(self, table: ConnectionTable) -> None:
        """Attempts to connect that came to nothing."""
        for connection in np.flatnonzero(
            (table.syn_ns_of[: table.count] >= 0) & ~table.finished_of[: table.count]
        ).tolist():
            client = int(table.client_of[connection])
            judged = judge_attempt(table.ending(connection, client))
            if judged is None:
                continue
            key = self._flows.keys[table.flow_of[connection]]
            ends = ((self._address(key.address_a), key.port_a), (self._address(key.address_b), key.port_b))
            bases = [int(table.base_of[2 * connection + direction]) for direction in (0, 1)]
            number = self._rows.connection(
                connection, ends[client], ends[1 - client], (bases[client], bases[1 - client])
            )
            start_ns, reset_ns = int(table.syn_ns_of[connection]), int(table.reset_ns_of[connection])
            attempt = Message(Role.REQUEST, 0, 0, operation="connect", summary="connect")
            request = Located(attempt, start_ns, start_ns, 0, 0, -1, 0, 0, damaged=False)
            response = None
            if reset_ns >= 0:
                refusal = Message(Role.RESPONSE, 0, 0, status="RST", result=Result.SERVER_ERROR)
                frames = np.array([int(table.reset_frame_of[connection])])
                response = Located(refusal, reset_ns, reset_ns, 0, 0, -1, 0, 0, damaged=False, frames=frames)
            self._rows.add(number, "tcp", Pair(request, response, Proof.NONE), *judged, -1)
            self._spoken[connection] = Spoken("", client, 1)

    def _account(self, thread: Thread) -> None:
        """A connection is over: every byte of it has its place."""
        conversation = thread.conversation
        self._spoken[conversation.connection] = Spoken(
            conversation.protocol_name, conversation.client, thread.exchanges
        )
        self.accounting.update(conversation.unread)

    def _carry(self) -> None:
        """Copy what waiting messages need out of the chunk."""
        keep: dict[int, int] = {}
        frame = self._provenance.frame
        for connection, thread in self._threads.items():
            for located in thread.requests + thread.responses:
                if located.frames is None:
                    located.frames = frame[located.first : located.last + 1].copy()
            for side in (0, 1):
                state = thread.conversation.side(side)
                if state.origin is not None:
                    offset = thread.keep_from(side)
                    if offset < state.next:
                        keep[2 * connection + (side ^ thread.conversation.client)] = offset
        self._provenance.retain(keep)

    def _address(self, packed: bytes) -> str:
        text = self._addresses.get(packed)
        if text is None:
            text = self._addresses[packed] = str(ipaddress.ip_address(packed))
        return text
