"""The connections of a vantage point that are being read: begun, given their bytes, and finished when they are over.

Rules: what is not finished waits in its `Thread`, with copies of what it needs, so that nothing refers to an earlier
chunk's buffer. A connection is over when both ends closed it and all bytes came, when it was reset, when it is the longest
idle of too many, and when the capture ends.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.exchanges.conversation import Conversation
from wiretrace.exchanges.pairing import Habits
from wiretrace.exchanges.transactions import TransactionCounter
from wiretrace.model.analysis import Payload
from wiretrace.model.note import NoteKind, Notes
from wiretrace.model.side import Side
from wiretrace.protocols.tls import Tls
from wiretrace.protocols.tls_session import KEY_LOG
from wiretrace.tcp.streams import pieces_in_time

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from wiretrace.exchanges.pairing import Located
    from wiretrace.exchanges.parts import Assembly
    from wiretrace.exchanges.turns import Turns
    from wiretrace.model.limits import Limits
    from wiretrace.model.message import Message
    from wiretrace.packets.columns import FlowTable
    from wiretrace.protocols.contract import Protocol
    from wiretrace.protocols.tls_key_log import KeyLog
    from wiretrace.tcp.connections import ConnectionTable
    from wiretrace.tcp.streams import StreamChunk

OPENINGS = 8
"""First segments of a run whose beginnings may be beginnings of messages."""


MESSAGES_AT_ONCE = 50_000
"""Messages of a chunk that are in memory before they are made exchanges: they are many times as large as their bytes."""
BYTES_AT_ONCE = 1 << 18
"""Bytes of one connection that are read at once."""


class Thread:
    """A conversation with the messages that wait for their other half or for their end."""

    __slots__ = (
        "conversation",
        "exchanges",
        "habits",
        "last_answer_ns",
        "parts",
        "requests",
        "responses",
        "think_ns",
        "transactions",
        "turns",
        "unended",
    )

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.requests: list[Located] = []
        """Requests that wait for their responses."""
        self.responses: list[Located] = []
        """Responses that wait for their requests."""
        self.unended: tuple[list[Message], list[Message]] = ([], [])
        """By side: the message whose end has not arrived."""
        self.parts: tuple[dict[int, Assembly], dict[int, Assembly]] = ({}, {})
        """By side: messages of which some pieces have arrived, by key."""
        self.turns: Turns | None = None
        """The turns that are open, where its messages are turns."""
        self.transactions = TransactionCounter(conversation.connection)
        self.exchanges = 0
        self.last_answer_ns = -1
        """When the last answer ended; -1 before the first."""
        self.think_ns = 0
        """Time between answers and the requests behind them."""
        self.habits = Habits()

    @property
    def waits(self) -> bool:
        """Whether any message is not yet in an exchange."""
        return bool(self.requests or self.responses or any(self.unended) or any(self.parts))

    def ready(self, side: int, acknowledged: int, *, final: bool) -> list[Message]:
        """Messages of `side` whose bytes are all there (or never will be).

        The server's last one waits until the client has acknowledged it, up to the offset `acknowledged`, too: before that
        it may still be lost. Where bytes of the connection are missing it does not: what proves pairs there comes together.
        """
        messages = self.unended[side] + self.conversation.messages[side]
        self.conversation.messages[side].clear()
        self.unended[side].clear()
        if messages and not final:
            last = messages[-1].end
            unheard = side == Side.SERVER and self.conversation.aligned and last > acknowledged
            if unheard or last > self.conversation.side(side).next:
                self.unended[side].append(messages.pop())
        return messages

    def known(self, side: int) -> int:
        """Stream offset up to which all messages of `side` are known."""
        if self.unended[side]:
            return self.unended[side][0].start
        return max(self.conversation.last_end[side], self.conversation.side(side).origin or 0)

    def keep_from(self, side: int) -> int:
        """Stream offset from which the packets of `side` are still needed."""
        if self.unended[side]:
            return self.unended[side][0].start
        state = self.conversation.side(side)
        if self.conversation.reader is None:
            return state.position
        # An empty piece may follow, which stands for the byte before it.
        return max(self.conversation.last_end[side], state.origin or 0) - self.conversation.interleaves


class Threads:
    """All connections that are being read, by number."""

    def __init__(
        self,
        flows: FlowTable,
        table: ConnectionTable,
        limits: Limits,
        notes: Notes,
        *,
        keep_values: bool,
        key_log: KeyLog | None = None,
    ) -> None:
        """`key_log` holds the secrets of TLS connections."""
        self.open: dict[int, Thread] = {}
        self._flows = flows
        self._table = table
        self._limits = limits
        self._notes = notes
        self._keep_values = keep_values
        self.shared: dict[str, dict[str, object]] = {Tls.name: {KEY_LOG: key_log}}
        """By protocol: what its connections share."""
        self._last_protocol: dict[tuple[bytes, int], type[Protocol]] = {}
        """What the last connection to a server spoke."""

    def read(self, chunk: StreamChunk, accounting: Counter[Payload]) -> Iterator[tuple[set[int], bool]]:
        """Parse the new bytes of every connection. Yields connections that have some, and whether they are the last: all at
        once, or in turns where there are very many messages. A connection may be in several turns.

        Bytes of connections that are over are counted in `accounting`.
        """
        touched: set[int] = set()
        messages = 0
        offsets = chunk.segments.offset
        finished = self._table.finished_of
        for connection, runs in groupby(chunk.runs, key=lambda run: run.stream >> 1):
            if finished[connection]:
                accounting[Payload.AFTER_THE_END] += sum(
                    int(chunk.segments.length[run.first : run.last].sum()) for run in runs
                )
                continue
            thread = self.open.get(connection)
            if thread is None:
                thread = self.open[connection] = self.begin(connection)
            conversation = thread.conversation
            for piece in pieces_in_time(chunk, list(runs), BYTES_AT_ONCE):
                for run in piece:
                    decided = conversation.decided
                    openings = [] if decided else offsets[run.first : min(run.first + OPENINGS, run.last)].tolist()
                    conversation.add(run.stream & 1, run.start, chunk.data(run), openings)
                touched.add(connection)
                before = sum(map(len, conversation.messages))
                self._advance(conversation)
                messages += sum(map(len, conversation.messages)) - before
                if messages >= MESSAGES_AT_ONCE:
                    yield touched, False
                    touched, messages = set(), 0
        yield touched, True

    def begin(self, connection: int) -> Thread:
        """A thread for a connection of which nothing was read yet."""
        table = self._table
        key = self._flows.keys[table.flow_of[connection]]
        client = int(table.client_of[connection])
        conversation = Conversation(
            connection,
            client,
            (bool(table.started_of[2 * connection]), bool(table.started_of[2 * connection + 1])),
            (key.port_a, key.port_b),
            self._limits,
            self._notes,
            self.shared,
            self._keep_values,
            (key.address_a, key.address_b),
        )
        if client >= 0:
            conversation.hint = self._last_protocol.get(
                (key.address_a, key.port_a) if client else (key.address_b, key.port_b)
            )
        return Thread(conversation)

    def _advance(self, conversation: Conversation) -> None:
        known = conversation.protocol
        conversation.advance(final=False)
        if conversation.protocol is not None and known is None:
            key = self._flows.keys[self._table.flow_of[conversation.connection]]
            server = (key.address_a, key.port_a) if conversation.client else (key.address_b, key.port_b)
            self._last_protocol[server] = type(conversation.protocol)

    def finish(self, touched: set[int], *, final: bool) -> set[int]:
        """Finish the connections of which nothing more will come; returns them. `final`: the capture has ended."""
        table, open_ = self._table, self.open
        if final:
            over = set(open_)
        else:
            numbers = np.fromiter(open_, np.int64, len(open_))
            fins = (table.fin_of[2 * numbers] >= 0) & (table.fin_of[2 * numbers + 1] >= 0)
            delivered = (table.next_of[2 * numbers] >= table.fin_of[2 * numbers]) & (
                table.next_of[2 * numbers + 1] >= table.fin_of[2 * numbers + 1]
            )
            over = set(numbers[(fins & delivered) | (table.reset_by_of[numbers] >= 0)].tolist())
            excess = len(open_) - len(over) - self._limits.connections
            if excess > 0:
                idle = [number for number in open_ if number not in over and number not in touched]
                idle.sort(key=lambda number: int(table.last_ns_of[number]))
                over.update(idle[:excess])
                self._notes.add(NoteKind.LIMIT_REACHED, "connections", min(excess, len(idle)))
        for connection in over:
            table.finished_of[connection] = True
            open_[connection].conversation.finish(self._ends(connection))
        return over

    def _ends(self, connection: int) -> tuple[int, int]:
        """Stream offsets up to which bytes of each direction are known to exist."""
        table = self._table
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
