"""The UDP conversations of one vantage point: which datagram belongs to which, and what was seen of each.

Rules: a flow (pair of endpoints) carries one conversation after another; silence ends one, because nothing else does. State
is kept in growing arrays, so that a chunk of datagrams is classified by array operations; no Python runs per datagram.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.tcp.growing import GrowingArrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

NONE = -1
SILENCE_NS = 120_000_000_000
"""A conversation that was silent for so long is over: an address translator may forget it then (RFC 4787 section 4.3)."""


class ConversationTable:
    """All conversations met so far. Attributes that end in ``_of`` are arrays indexed by conversation or by stream, where
    stream ``2 * conversation + direction`` is what one end sent."""

    def __init__(self) -> None:
        self.count = 0
        self._flows = GrowingArrays({"conversation": (np.int64, NONE)})
        self._conversations = GrowingArrays(
            {
                "flow": (np.int32, NONE),
                "client": (np.int8, NONE),
                "first_ns": (np.int64, NONE),
                "last_ns": (np.int64, NONE),
                "state": (np.int32, 0),
                "exchanges": (np.int64, 0),
                "answered": (np.bool_, 0),
            }
        )
        self._streams = GrowingArrays({"bytes": (np.int64, 0), "looked_at": (np.bool_, 0)})

    @property
    def flow_of(self) -> NDArray[np.int32]:
        """Flow number, by conversation."""
        return self._conversations.arrays["flow"]

    @property
    def client_of(self) -> NDArray[np.int8]:
        """Direction that the client sends in, by conversation; that of the first datagram, until its protocol tells."""
        return self._conversations.arrays["client"]

    @property
    def first_ns_of(self) -> NDArray[np.int64]:
        """Time of the first datagram, by conversation."""
        return self._conversations.arrays["first_ns"]

    @property
    def last_ns_of(self) -> NDArray[np.int64]:
        """Time of the last datagram, by conversation."""
        return self._conversations.arrays["last_ns"]

    @property
    def state_of(self) -> NDArray[np.int32]:
        """What the reader of the conversations makes of each; 0 until it says so."""
        return self._conversations.arrays["state"]

    @property
    def exchanges_of(self) -> NDArray[np.int64]:
        """Exchanges read from it, by conversation."""
        return self._conversations.arrays["exchanges"]

    @property
    def answered_of(self) -> NDArray[np.bool_]:
        """Whether anything of its server was read, by conversation."""
        return self._conversations.arrays["answered"]

    @property
    def looked_at_of(self) -> NDArray[np.bool_]:
        """Whether its first datagram was looked at, by stream."""
        return self._streams.arrays["looked_at"]

    @property
    def bytes_of(self) -> NDArray[np.int64]:
        """Payload bytes, by stream."""
        return self._streams.arrays["bytes"]

    def assign(
        self,
        flow: NDArray[np.int32],
        direction: NDArray[np.uint8],
        time_ns: NDArray[np.int64],
        length: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Number of the conversation of each datagram, making new ones where needed, and noting what was sent.

        All arrays have shape (n,), n > 0, in capture order. Returns int64, shape (n,).
        """
        self._flows.reserve(int(flow.max()) + 1)
        current = self._flows.arrays["conversation"]
        order = np.argsort(flow, kind="stable")
        ordered, times = flow[order], time_ns[order]
        is_first = np.ones(len(order), np.bool_)
        is_first[1:] = ordered[1:] != ordered[:-1]
        firsts = np.flatnonzero(is_first)
        known = current[ordered[firsts]]
        before = np.empty(len(order), np.int64)
        before[1:] = times[:-1]
        before[firsts] = np.where(known >= 0, self.last_ns_of[np.maximum(known, 0)], times[firsts])
        # Unsigned, so that times of arbitrary distance do not overflow.
        silence = times.view(np.uint64) - before.view(np.uint64)
        begins = (times > before) & (silence > SILENCE_NS)
        begins[firsts] |= known < 0
        starts = np.flatnonzero(begins | is_first)
        fresh = begins[starts]
        number = np.where(fresh, self.count + np.cumsum(fresh) - 1, current[ordered[starts]])
        new = number[fresh]
        self.count += len(new)
        self._conversations.reserve(self.count)
        self._streams.reserve(2 * self.count)
        opening = order[starts[fresh]]
        self.flow_of[new] = flow[opening]
        self.client_of[new] = direction[opening]
        self.first_ns_of[new] = time_ns[opening]
        # Where an index occurs more than once, NumPy keeps the last assignment.
        current[ordered[starts]] = number
        conversation = np.empty(len(order), np.int64)
        conversation[order] = np.repeat(number, np.diff(np.append(starts, len(order))))
        self.last_ns_of[conversation] = time_ns
        np.add.at(self.bytes_of, 2 * conversation + direction, length)
        return conversation
