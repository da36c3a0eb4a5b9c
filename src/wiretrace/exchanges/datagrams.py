"""Reads the UDP of one vantage point: chunks of packets in, record batches of exchanges out.

Rules: a conversation is judged by the first datagram of each of its ends, and read from the one on that a protocol claims;
what no protocol claims is only counted, by array operations. A claimed datagram is read once, and requests and responses are
paired by their identifiers. A request that is sent again while it waits is one exchange with all its packets. What waits is
bounded, and given up as a half when its conversation falls silent.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

import msgspec
import numpy as np

from wiretrace.exchanges.datagram_rows import DatagramRows, conversation_table
from wiretrace.exchanges.detection import LIKELY, SURE
from wiretrace.exchanges.outcomes import ALONE, OUTCOME_OF
from wiretrace.exchanges.unread_datagrams import name_unread
from wiretrace.model.analysis import Payload
from wiretrace.model.message import Message, Role
from wiretrace.model.note import NoteKind, Notes
from wiretrace.model.outcome import Outcome
from wiretrace.packets.columns import UDP
from wiretrace.protocols.contract import Context, DatagramProtocol
from wiretrace.protocols.registry import known_datagram_protocols
from wiretrace.tcp.datagrams import SILENCE_NS, ConversationTable

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from wiretrace.exchanges.record_batch import BatchMaker
    from wiretrace.model.limits import Limits
    from wiretrace.packets.columns import FlowTable, PacketColumns

PORT_HINT = 0.04
VIOLATIONS_AT_MOST = 20
"""Datagrams without a message after which a conversation is given up, unless it brought twice as many exchanges."""
PATIENCE_NS = 5_000_000_000
"""A request is unfinished, not unanswered, if the capture ended so soon behind it: resolvers wait so long."""
PAYLOAD_OF = {
    NoteKind.ENCRYPTED: Payload.ENCRYPTED,
    NoteKind.PROTOCOL_UNKNOWN: Payload.PROTOCOL_UNKNOWN,
    NoteKind.MALFORMED: Payload.MALFORMED,
}
UNDECIDED = 0
UNHEARD = (Outcome.NOT_CAPTURED, Outcome.REQUEST_LOST, Outcome.RESPONSE_LOST, Outcome.SERVER_SILENT)
SILENT = (Outcome.SERVER_SILENT, Outcome.REQUEST_LOST, Outcome.RESPONSE_LOST)
UNFINISHED = (Outcome.UNFINISHED, *SILENT)


class Sent(msgspec.Struct, gc=False):
    """A message with the datagrams behind it."""

    message: Message
    start_ns: int
    """Capture time of its first datagram."""
    end_ns: int
    """Capture time of its last datagram."""
    frames: list[int]
    captured: int
    """Bytes of it that were captured, each datagram of it once."""
    checksum: int
    """CRC-32 of its first datagram: the same at every vantage point."""


class Talk:
    """What waits of one conversation."""

    __slots__ = ("answered", "detail_bits", "latest", "open", "waiting")

    def __init__(self, detail_bits: int) -> None:
        self.detail_bits = detail_bits
        self.waiting: dict[int, Sent] = {}
        """Requests without a response, by key, oldest first."""
        self.latest: dict[int, int] = {}
        """By identifier alone: the key of the last request that had it, where keys say more."""
        self.open: dict[int, tuple[Sent, Sent]] = {}
        """Requests and responses of which more datagrams are to come, by key."""
        self.answered: set[int] = set()
        """Keys of requests that were sent more than once, and so may be answered more than once."""

    def add(self, request: Sent) -> None:
        """A request begins to wait."""
        key = request.message.key
        self.waiting[key] = request
        if self.detail_bits:
            self.latest[key >> self.detail_bits] = key

    def take(self, key: int) -> Sent | None:
        """The request that a response with this key answers; None if none waits for it."""
        request = self.waiting.pop(key, None)
        if request is None and self.detail_bits and self.waiting:
            # One of the two may not say what the other does (an error, of what could not be read).
            number = key >> self.detail_bits
            other = self.latest.get(number, -1)
            if (key == number << self.detail_bits or other == number << self.detail_bits) and other in self.waiting:
                return self.waiting.pop(other)
        return request


class Finished(NamedTuple):
    """An exchange, or a half."""

    conversation: int
    client: int
    """Direction of the client."""
    request: Sent | None
    response: Sent | None
    outcome: Outcome
    possible: tuple[Outcome, ...]


class DatagramDriver:
    """Turns the UDP packets of one vantage point into exchanges. Conversation numbers are local to it."""

    def __init__(self, flows: FlowTable, limits: Limits, notes: Notes, *, keep_values: bool) -> None:
        self.payload_bytes = 0
        """UDP payload bytes in the packets that were fed, copies left out."""
        self.accounting: Counter[Payload] = Counter()
        """UDP payload bytes by where they ended up. They add up to `payload_bytes` in the end."""
        self._flows = flows
        self._limits = limits
        self._notes = notes
        self._table = ConversationTable()
        self._protocols: list[DatagramProtocol] = [
            protocol(Context(keep_values=keep_values, value_bytes=limits.value_bytes))
            for protocol in known_datagram_protocols().values()
        ]
        """A conversation of protocol k has state k + 1."""
        self._reasons: dict[tuple[NoteKind, str], int] = {}
        """Why conversations are not read; one that is not for reason k has state -1 - k."""
        self._payload_of_reason: list[Payload] = []
        self._usual: dict[int, int] = {}
        """By lower port: the state of the last conversation that a protocol claimed."""
        self._talks: dict[int, Talk] = {}
        self._malformed: Counter[int] = Counter()
        """Datagrams without a message, by conversation."""
        self._answering: set[tuple[bytes, int]] = set()
        """Servers that were heard, by packed address and port."""
        self._finished: list[Finished] = []
        self._last_ns = -1
        """Time of the last packet so far, of whatever transport."""

    def feed(self, columns: PacketColumns, batches: BatchMaker, first_connection: int) -> list[pa.RecordBatch]:
        """Work through one chunk of packets. Numbers in the batches count from `first_connection`."""
        rows = np.flatnonzero((columns.transport == UDP) & ~columns.copy)
        self._last_ns = max(self._last_ns, int(columns.time_ns.max(initial=-1)))
        if not len(rows):
            return []
        flow, direction, time_ns = columns.flow[rows], columns.direction[rows], columns.time_ns[rows]
        length = columns.payload_length[rows].astype(np.int64)
        self.payload_bytes += int(length.sum())
        conversation = self._table.assign(flow, direction, time_ns, length)
        stream = 2 * conversation + direction
        loaded = length > 0
        fresh = np.flatnonzero(loaded & ~self._table.looked_at_of[stream] & (self._table.state_of[conversation] <= 0))
        late = self._decide(columns, rows[fresh], stream[fresh]) if len(fresh) else {}
        state = self._table.state_of[conversation]
        for number, (row, before) in late.items():
            state[(conversation == number) & (rows < row)] = before
        self._count_unread(state, length)
        chosen = np.flatnonzero((state > UNDECIDED) & (length > 0))
        if len(chosen):
            self._read(columns, rows[chosen], conversation[chosen], direction[chosen], state[chosen])
        if self._talks:
            self._give_up_silent()
        return self._batch(batches, first_connection)

    def finish(self, batches: BatchMaker, first_connection: int) -> list[pa.RecordBatch]:
        """The capture has ended: give up what waits."""
        for conversation in list(self._talks):
            self._end(conversation, final=True)
        states = self._table.state_of[: self._table.count]
        counts = np.bincount(-1 - states[states < UNDECIDED], minlength=len(self._reasons)).tolist()
        for (kind, subject), count in zip(self._reasons, counts, strict=True):
            if count:
                self._notes.add(kind, subject, count)
        return self._batch(batches, first_connection)

    def conversations(self, capture: str, first_connection: int) -> pa.Table:
        """All conversations, in the form of the table `connections`."""
        names = [protocol.name for protocol in self._protocols]
        return conversation_table(capture, self._table, self._flows, names, first_connection)

    def _decide(
        self, columns: PacketColumns, rows: NDArray[np.int64], stream: NDArray[np.int64]
    ) -> dict[int, tuple[int, int]]:
        """Find out what the conversations of these datagrams speak, by the first of each end. Shapes (n,).

        Returns those that are known only from the second end's datagram on: its row, and the state until then.
        """
        streams, first = np.unique(stream, return_index=True)
        order = np.argsort(first)
        self._table.looked_at_of[streams] = True
        state_of, flow_of = self._table.state_of, self._table.flow_of
        late: dict[int, tuple[int, int]] = {}
        for each, row in zip(streams[order].tolist(), rows[first[order]].tolist(), strict=True):
            number, sender = each >> 1, each & 1
            before = int(state_of[number])
            if before > UNDECIDED:
                continue
            key = self._flows.keys[flow_of[number]]
            ports = (key.port_b, key.port_a) if sender else (key.port_a, key.port_b)
            datagram = self._payload(columns, row)
            state = self._identify(datagram, ports)
            if state:
                state_of[number] = state
                if before:
                    late[number] = row, before
            elif not before:
                state_of[number] = self._unread(*name_unread(datagram, ports))
        return late

    def _identify(self, datagram: bytes, ports: tuple[int, int]) -> int:
        """The state of a conversation with this datagram, where a protocol claims it; 0 where none does."""
        usual = self._usual.get(min(ports), UNDECIDED)
        if usual and self._protocols[usual - 1].probe(datagram, ports) >= SURE:
            return usual
        best, chosen = 0.0, 0
        for at, protocol in enumerate(self._protocols):
            score = protocol.probe(datagram, ports)
            if score >= LIKELY:
                score += PORT_HINT * (not protocol.ports.isdisjoint(ports))
                if score > best:
                    best, chosen = score, at + 1
        if chosen:
            self._usual[min(ports)] = chosen
        return chosen

    def _unread(self, kind: NoteKind, subject: str) -> int:
        """The state of conversations that are not read for this reason."""
        reason = self._reasons.setdefault((kind, subject), len(self._reasons))
        if reason == len(self._payload_of_reason):
            self._payload_of_reason.append(PAYLOAD_OF[kind])
        return -1 - reason

    def _count_unread(self, state: NDArray[np.int32], length: NDArray[np.int64]) -> None:
        """Count the bytes of conversations that are not read. Shapes (n,)."""
        if not self._reasons:
            return
        unread = state < UNDECIDED
        counts = np.bincount(-1 - state[unread], weights=length[unread], minlength=len(self._reasons))
        for payload, count in zip(self._payload_of_reason, counts.astype(np.int64).tolist(), strict=True):
            if count:
                self.accounting[payload] += count

    @staticmethod
    def _payload(columns: PacketColumns, row: int) -> bytes:
        start = int(columns.payload_offset[row])
        return bytes(columns.buffer[start : start + int(columns.payload_length[row])])

    def _read(
        self,
        columns: PacketColumns,
        rows: NDArray[np.int64],
        conversation: NDArray[np.int64],
        direction: NDArray[np.uint8],
        state: NDArray[np.int32],
    ) -> None:
        """Read datagrams of known protocols, in capture order. Shapes (n,)."""
        buffer, accounting = columns.buffer, self.accounting
        fields = (
            conversation.tolist(),
            direction.tolist(),
            state.tolist(),
            columns.payload_offset[rows].tolist(),
            columns.payload_length[rows].tolist(),
            columns.wire_length[rows].tolist(),
            columns.time_ns[rows].tolist(),
            columns.frame[rows].tolist(),
        )
        for number, sender, protocol, offset, captured, length, time_ns, frame in zip(*fields, strict=True):
            datagram = bytes(buffer[offset : offset + captured])
            message = self._protocols[protocol - 1].read(datagram, max(length, captured))
            if message is None:
                accounting[Payload.MALFORMED] += captured
                self._violated(number, protocol)
                continue
            sent = Sent(message, time_ns, time_ns, [frame], captured, crc32(datagram))
            role = message.role
            if role is Role.REQUEST:
                self._ask(number, sender, sent)
            elif role is Role.RESPONSE:
                self._answer(number, 1 - sender, sent)
            elif role is Role.ONE_WAY:
                accounting[Payload.IN_EXCHANGES] += captured
                self._finished.append(Finished(number, sender, sent, None, Outcome.OK, ALONE))
            elif role is Role.PUSH:
                accounting[Payload.IN_EXCHANGES] += captured
                self._finished.append(Finished(number, 1 - sender, None, sent, Outcome.OK, ALONE))
            else:
                accounting[Payload.CONTROL] += captured

    def _ask(self, number: int, client: int, sent: Sent) -> None:
        talk = self._talks.get(number)
        if talk is None:
            protocol = self._protocols[int(self._table.state_of[number]) - 1]
            talk = self._talks[number] = Talk(protocol.detail_bits)
            self._table.client_of[number] = client
        key = sent.message.key
        earlier = talk.waiting.get(key)
        if earlier is not None and earlier.checksum == sent.checksum:
            earlier.frames += sent.frames
            earlier.end_ns = sent.end_ns
            self.accounting[Payload.REPEATED] += sent.captured
            attributes = earlier.message.attributes or {}
            resent = attributes.get("wiretrace.request.resent", 0)
            earlier.message.attributes = {**attributes, "wiretrace.request.resent": int(resent) + 1}
            talk.answered.add(key)
            return
        if earlier is not None:
            self._half(number, talk.waiting.pop(key), final=False)
        elif len(talk.waiting) >= self._limits.pending_messages:
            self._notes.add(NoteKind.LIMIT_REACHED, "pending_messages")
            self._half(number, talk.waiting.pop(next(iter(talk.waiting))), final=False)
        talk.add(sent)

    def _answer(self, number: int, client: int, sent: Sent) -> None:
        if not self._table.answered_of[number]:
            self._hear(number, client)
        key, accounting = sent.message.key, self.accounting
        talk = self._talks.get(number)
        if talk is None:
            self._lone_answer(number, client, sent)
            return
        request = talk.take(key)
        if request is None:
            begun = talk.open.get(key)
            if begun is not None:
                request, response = begun
                response.frames += sent.frames
                response.end_ns = sent.end_ns
                response.captured += sent.captured
                response.message.end += sent.message.end
                if sent.message.closes:
                    del talk.open[key]
                    self._pair(number, client, request, response)
            elif key in talk.answered:
                accounting[Payload.REPEATED] += sent.captured
            else:
                self._lone_answer(number, client, sent)
        elif sent.message.closes:
            self._pair(number, client, request, sent)
        else:
            talk.open[key] = request, sent
        if not (talk.waiting or talk.open or talk.answered):
            del self._talks[number]

    def _pair(self, number: int, client: int, request: Sent, response: Sent) -> None:
        self.accounting[Payload.IN_EXCHANGES] += request.captured + response.captured
        outcome = OUTCOME_OF[response.message.result]
        self._finished.append(Finished(number, client, request, response, outcome, ALONE))

    def _lone_answer(self, number: int, client: int, response: Sent) -> None:
        self.accounting[Payload.IN_HALVES] += response.captured
        self._finished.append(Finished(number, client, None, response, Outcome.NOT_CAPTURED, ALONE))

    def _hear(self, number: int, client: int) -> None:
        """Remember that the server of a conversation says something, and which end it is."""
        self._table.answered_of[number] = True
        self._table.client_of[number] = client
        if len(self._answering) < self._limits.connections:
            self._answering.add(self._server(number, client))

    def _server(self, number: int, client: int) -> tuple[bytes, int]:
        key = self._flows.keys[self._table.flow_of[number]]
        return (key.address_a, key.port_a) if client else (key.address_b, key.port_b)

    def _half(self, number: int, request: Sent, *, final: bool) -> None:
        """A request that found no response. `final`: because the capture has ended."""
        client = int(self._table.client_of[number])
        self.accounting[Payload.IN_HALVES] += request.captured
        possible: tuple[Outcome, ...] = UNHEARD
        if self._table.answered_of[number] or self._server(number, client) in self._answering:
            possible = UNFINISHED if final and self._last_ns - request.end_ns < PATIENCE_NS else SILENT
        self._finished.append(Finished(number, client, request, None, possible[0], possible))

    def _violated(self, number: int, protocol: int) -> None:
        """A datagram of a known protocol holds no message of it: give the conversation up where that goes on."""
        if self._table.state_of[number] < UNDECIDED:
            return
        name = self._protocols[protocol - 1].name
        self._notes.add(NoteKind.MALFORMED, f"{name}: not a message")
        self._malformed[number] += 1
        count = self._malformed[number]
        if count > VIOLATIONS_AT_MOST and count > 2 * int(self._table.exchanges_of[number]):
            self._table.state_of[number] = self._unread(NoteKind.MALFORMED, f"not {name} any more")
            self._end(number, final=False)

    def _give_up_silent(self) -> None:
        """Give up what waits in conversations that are over, and in the longest silent ones of too many."""
        numbers = np.fromiter(self._talks, np.int64, len(self._talks))
        last_ns = self._table.last_ns_of[numbers]
        over = self._last_ns - last_ns > SILENCE_NS
        excess = len(numbers) - int(over.sum()) - self._limits.connections
        if excess > 0:
            over[np.argsort(last_ns, kind="stable")[: int(over.sum()) + excess]] = True
            self._notes.add(NoteKind.LIMIT_REACHED, "connections", excess)
        for number in numbers[over].tolist():
            self._end(number, final=False)

    def _end(self, number: int, *, final: bool) -> None:
        """Nothing more comes of a conversation."""
        talk = self._talks.pop(number, None)
        if talk is None:
            return
        for request in talk.waiting.values():
            self._half(number, request, final=final)
        for request, response in talk.open.values():
            response.message.damaged = True
            self._pair(number, int(self._table.client_of[number]), request, response)

    def _batch(self, batches: BatchMaker, first_connection: int) -> list[pa.RecordBatch]:
        """The exchanges that are complete."""
        if not self._finished:
            return []
        finished, self._finished = self._finished, []
        names = [protocol.name for protocol in self._protocols]
        rows = DatagramRows(finished, self._table, self._flows, names, first_connection)
        np.add.at(self._table.exchanges_of, [each.conversation for each in finished], 1)
        return [batches.make(rows.messages, rows.rows, rows.connections, rows.figures)]
