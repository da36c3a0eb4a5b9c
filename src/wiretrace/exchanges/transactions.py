"""Numbers the database transactions of connections, from the states that responses tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.model.message import Transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_TRANSACTION_BITS = 24


class TransactionCounter:
    """Numbers the database transactions of one connection."""

    __slots__ = ("base", "count", "open")

    def __init__(self, connection: int) -> None:
        self.base = connection << _TRANSACTION_BITS
        """What the numbers of this connection's transactions are added to."""
        self.count = 0
        """Transactions so far."""
        self.open = False
        """Whether a transaction is open."""

    def number(self, state: Transaction) -> int:
        """The transaction of the exchange whose response leaves the session in `state`; -1 if none."""
        if state is Transaction.UNKNOWN:
            return self.base + self.count if self.open else -1
        was_open = self.open
        self.open = state is not Transaction.IDLE
        if not was_open and not self.open:
            return -1
        if not was_open:
            self.count += 1
        return self.base + self.count


def number_transactions(
    state: NDArray[np.uint8], firsts: NDArray[np.int64], counters: Sequence[TransactionCounter]
) -> NDArray[np.int64]:
    """What `TransactionCounter.number` gives for the exchanges of several connections, one after another.

    `state` (n,) holds Transaction; the exchanges of the connection of ``counters[k]`` begin at ``firsts[k]`` (k,), none is
    without any. Returns int64 (n,).
    """
    numbers = np.full(len(state), -1)
    if not state.any() and not any(counter.open for counter in counters):
        return numbers
    lengths = np.diff(firsts, append=len(state))
    open_first = np.array([counter.open for counter in counters])
    known = state != Transaction.UNKNOWN
    told = known.copy()
    told[firsts] = True
    says_open = np.where(known, state != Transaction.IDLE, np.repeat(open_first, lengths))
    open_behind = says_open[np.maximum.accumulate(np.where(told, np.arange(len(state)), 0))]
    open_before = np.empty_like(open_behind)
    open_before[1:] = open_behind[:-1]
    open_before[firsts] = open_first
    begun: NDArray[np.int64] = np.cumsum(open_behind & ~open_before)
    begun_before: NDArray[np.int64] = begun[firsts] - (open_behind & ~open_before)[firsts]
    offset = np.array([counter.base + counter.count for counter in counters]) - begun_before
    inside = open_before | open_behind
    numbers[inside] = (begun + np.repeat(offset, lengths))[inside]
    lasts = firsts + lengths - 1
    for counter, is_open, count in zip(
        counters, open_behind[lasts].tolist(), (begun[lasts] - begun_before).tolist(), strict=True
    ):
        counter.open = is_open
        counter.count += count
    return numbers
