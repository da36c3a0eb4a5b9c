"""The messages of one chunk as columns: what array operations pair, and rows are made of.

Rules: row 0 stands for "no message"; behind it come, connection by connection in rising order, the messages of the client's
side and those of the server's side, each in stream order, with what waited since an earlier chunk in its place. Times,
frames and acknowledgements of all of them are looked up at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.exchanges.pairing import Located
from wiretrace.model.message import Message, Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Set

    from numpy.typing import NDArray

    from wiretrace.exchanges.direction import Direction
    from wiretrace.exchanges.provenance import Provenance
    from wiretrace.exchanges.threads import Thread

NO_MESSAGE = Message(Role.CONTROL, 0, 0)
"""Stands in a row for the half that there is not."""


class MessageTable:
    """Messages with the packets behind them. Arrays have shape (n,), int64 unless they say otherwise."""

    def __init__(
        self, threads: Iterable[Thread], over: Set[int], provenance: Provenance, acknowledged: NDArray[np.int64]
    ) -> None:
        """Take the messages that are ready out of `threads`; `over` holds the connections of which nothing more comes.

        `acknowledged`: by stream, the offset up to which its bytes were acknowledged.
        """
        self.threads: list[Thread] = []
        """The threads that have messages here. Their places in this list are the *ranks* below."""
        self.messages: list[Message] = [NO_MESSAGE]
        self._waited: dict[int, Located] = {}
        bounds, streams, reached = [1], [0], [0]
        gapped: list[tuple[int, Direction]] = []
        messages = self.messages
        for thread in threads:
            conversation = thread.conversation
            connection, client = conversation.connection, conversation.client
            final = connection in over
            before = len(messages)
            for side, waiting in enumerate((thread.requests, thread.responses)):
                if waiting:
                    self._waited.update(enumerate(waiting, len(messages)))
                    messages += [located.message for located in waiting]
                    waiting.clear()
                state = conversation.directions[side ^ client]
                fresh = thread.ready(side, int(acknowledged[2 * connection + (side ^ client)]), final=final)
                if fresh and state.gaps:
                    gapped.append((len(messages), state))
                messages += fresh
                streams.append(2 * connection + (side ^ client))
                reached.append(state.next)
                bounds.append(len(messages))
            if len(messages) == before:
                del bounds[-2:], streams[-2:], reached[-2:]
            else:
                self.threads.append(thread)
        self.bounds = integers(bounds)
        """(2 * ranks + 1,): rows at which the sides begin: the client's of rank r at ``2 * r``, the server's behind it."""
        self.reached = integers(reached[1:])
        """(2 * ranks,): stream offset up to which the bytes of each side were delivered."""
        self.start = integers([message.start for message in messages])
        self.end = integers([message.end for message in messages])
        self.role = np.frombuffer(bytes([message.role for message in messages]), np.int8)
        """int8: Role."""
        self.closes = np.frombuffer(bytes([message.closes for message in messages]), np.bool_)
        """bool: as `Message.closes`."""
        counts = np.diff(self.bounds)
        self.rank = np.concatenate([[-1], np.repeat(np.arange(len(counts)) >> 1, counts)])
        """The place of its connection in `threads`; -1 for "no message"."""
        self.asks = np.concatenate([[False], np.repeat(np.arange(len(counts)) & 1 == 0, counts)])
        """bool: whether the client sent it."""
        sides = np.concatenate([[1], counts])
        held = np.minimum(self.end, np.repeat(integers(reached), sides))
        self.stream = np.repeat(integers(streams), sides)
        """The stream that it travelled in; 0 for "no message"."""
        self._look_up(provenance, self.stream, held)
        self._correct_gaps(gapped)
        self.joined = np.zeros(0, np.int64)
        """(m,): rows of messages that were put together of pieces, or called off, once they are."""
        self.fresh_bytes = int(self.captured.sum()) - sum(located.captured for located in self._waited.values())
        """Captured bytes inside the messages that are new in this chunk."""

    def __len__(self) -> int:
        return len(self.messages)

    @property
    def several_protocols(self) -> bool:
        """Whether the messages of one connection may be of several protocols."""
        return any(thread.conversation.interleaves or thread.conversation.varied for thread in self.threads)

    def _look_up(self, provenance: Provenance, stream: NDArray[np.int64], held: NDArray[np.int64]) -> None:
        """Find the packets behind all messages, and what of them was captured, as if there were no gaps.

        `stream` (n,) is the stream of each, `held` (n,) the stream offset up to which its bytes may be there.
        """
        count = len(self.messages)
        fresh = np.arange(1, count)
        if self._waited:
            fresh = np.setdiff1d(fresh, list(self._waited), assume_unique=True)
        if not len(provenance.stream):
            fresh = fresh[:0]
        # An empty message stands for the byte before it.
        starts = self.start[fresh] - (self.start[fresh] == held[fresh])
        first, last = provenance.locate(stream[fresh], starts, held[fresh])

        def placed(none: int, values: NDArray[np.int64]) -> NDArray[np.int64]:
            column = np.full(count, none)
            column[fresh] = values
            return column

        self.start_ns = placed(-1, provenance.time_ns[first])
        """Capture time of the first byte; -1 for "no message"."""
        self.end_ns = placed(-1, provenance.time_ns[last])
        """Capture time of the last byte; -1 for "no message"."""
        self.ack = placed(0, provenance.ack[first])
        """As `Located.ack`."""
        self.last_ack = placed(0, provenance.ack[last])
        """As `Located.last_ack`."""
        self.captured = np.maximum(held - self.start, 0)
        """Bytes of it that were captured."""
        damaged = np.frombuffer(bytes([message.damaged for message in self.messages]), np.bool_)
        self.damaged = damaged | (self.captured < self.end - self.start)
        """bool: as `Located.damaged`."""
        self.first_frame = placed(0, first)
        """Index in `frame` of its first packet."""
        self.last_frame = placed(-1, last)
        """Index in `frame` of its last packet."""
        self.frame = provenance.frame
        """Frame numbers, those behind a message side by side. Its shape is its own."""
        self.elsewhere = np.zeros(count, np.int64)
        """As `Located.elsewhere`."""
        if self._waited:
            self._correct_waited()

    def _correct_waited(self) -> None:
        """What came in an earlier chunk knows its packets itself."""
        self._take(list(self._waited), list(self._waited.values()))

    def correct(self, changed: list[Located]) -> None:
        """Take what was learned of messages since: those that were put together of pieces, or called off."""
        if changed:
            rows = [located.index for located in changed]
            self.joined = integers(rows)
            self.start[rows] = [located.message.start for located in changed]
            self.end[rows] = [located.message.end for located in changed]
            self._take(rows, changed)

    def _take(self, rows: list[int], known: list[Located]) -> None:
        """Set the columns of `rows` to what `known` says; all of these have frames."""
        for name in ("start_ns", "end_ns", "ack", "last_ack", "captured", "damaged", "elsewhere"):
            getattr(self, name)[rows] = [getattr(located, name) for located in known]
        pieces = [located.frames for located in known if located.frames is not None]
        ends = len(self.frame) + np.cumsum([len(piece) for piece in pieces])
        self.last_frame[rows] = ends - 1
        self.first_frame[rows] = np.concatenate([[len(self.frame)], ends[:-1]])
        self.frame = np.concatenate([self.frame, *pieces])

    def _correct_gaps(self, gapped: list[tuple[int, Direction]]) -> None:
        """Count what was captured of messages in directions with gaps: `gapped` holds the first new row of each."""
        for first, state in gapped:
            behind = int(self.bounds[np.searchsorted(self.bounds, first, "right")])
            for row in range(first, behind):
                message = self.messages[row]
                captured = state.captured(message.start, min(message.end, state.next))
                self.captured[row] = captured
                self.damaged[row] |= captured < message.end - message.start

    def located(self, first: int, last: int) -> list[Located]:
        """The messages of the rows ``[first, last)``, one by one."""
        span = slice(first, last)
        found = [
            Located(*values)
            for values in zip(
                self.messages[span],
                self.start_ns[span].tolist(),
                self.end_ns[span].tolist(),
                self.ack[span].tolist(),
                self.last_ack[span].tolist(),
                self.captured[span].tolist(),
                self.damaged[span].tolist(),
                range(first, last),
                strict=True,
            )
        ]
        if self._waited:
            for located in found:
                waited = self._waited.get(located.index)
                if waited is not None:
                    located.frames, located.elsewhere = waited.frames, waited.elsewhere
        return found

    def frames_of(self, index: int) -> NDArray[np.int64]:
        """The frames behind the message in row `index`, as a copy that outlives the chunk."""
        return self.frame[self.first_frame[index] : self.last_frame[index] + 1].copy()


def integers(values: list[int]) -> NDArray[np.int64]:
    """The numbers as an int64 array."""
    return np.fromiter(values, np.int64, len(values))
