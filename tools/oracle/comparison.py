"""Compares the oracle's transactions of one file with our exchanges.

Rules:

- Both must name the same protocol, client and server.
- They agree where the frame in which the oracle saw the request complete brought a part of our request, and likewise the
  response, or both have none; or else where the status is the same, and the text or the frame of the request. (The
  oracle counts the packet that closes a connection as the end of a response that ends with it.)
- Each exchange agrees with one transaction at most. What is left on either side is a disagreement.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tools.oracle.transactions import Exchange, Transaction

TEXT_COMPARED = 60
"""Characters of the request's text that are compared: both sides cut long ones."""


class Kind(enum.StrEnum):
    """How a disagreement looks."""

    MISSING = "missing"
    """The oracle has it, and we have neither its request nor its response."""
    OTHERWISE = "otherwise"
    """We have its request or its response, with another counterpart."""
    EXTRA = "extra"
    """We have it, and nothing of it is in the oracle."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Something that only one side has, or that they have differently."""

    kind: Kind
    protocol: str
    transaction: Transaction | None
    exchanges: tuple[Exchange, ...]
    """Ours: the extra one, or those that hold the transaction's request and response."""


@dataclass(slots=True)
class Comparison:
    """Result for one protocol of one file."""

    transactions: int = 0
    agreed: list[tuple[Transaction, Exchange]] = field(default_factory=list)
    disagreements: list[Disagreement] = field(default_factory=list)


def compare(transactions: Sequence[Transaction], exchanges: Sequence[Exchange]) -> dict[str, Comparison]:
    """Compare the two lists of one file. Returns the result by protocol."""
    found: dict[str, Comparison] = defaultdict(Comparison)
    open_exchanges: dict[tuple[str, str, str], list[Exchange]] = defaultdict(list)
    for exchange in exchanges:
        open_exchanges[exchange.protocol, exchange.client, exchange.server].append(exchange)
    everything = {key: tuple(values) for key, values in open_exchanges.items()}
    rest = list(transactions)
    for transaction in transactions:
        found[transaction.protocol].transactions += 1
    for agrees in (_frames_and_text_agree, _frames_agree, _texts_agree):
        rest = _match(rest, open_exchanges, agrees, found)
    touched: set[int] = set()
    for transaction in rest:
        key = transaction.protocol, transaction.client, transaction.server
        parts = tuple(each for each in everything.get(key, ()) if _shares_a_frame(transaction, each))
        touched.update(id(each) for each in parts)
        kind = Kind.OTHERWISE if parts else Kind.MISSING
        found[transaction.protocol].disagreements.append(Disagreement(kind, transaction.protocol, transaction, parts))
    for left in open_exchanges.values():
        for exchange in left:
            # One that was named beside a transaction already is not told twice.
            if id(exchange) not in touched:
                disagreement = Disagreement(Kind.EXTRA, exchange.protocol, None, (exchange,))
                found[exchange.protocol].disagreements.append(disagreement)
    return dict(found)


def _match(
    transactions: list[Transaction],
    open_exchanges: dict[tuple[str, str, str], list[Exchange]],
    agrees: Callable[[Transaction, Exchange], bool],
    found: dict[str, Comparison],
) -> list[Transaction]:
    """Take away what agrees, in order. Returns the transactions that are left."""
    rest = []
    for transaction in transactions:
        candidates = open_exchanges.get((transaction.protocol, transaction.client, transaction.server), [])
        at = next((at for at, exchange in enumerate(candidates) if agrees(transaction, exchange)), None)
        if at is None:
            rest.append(transaction)
        else:
            found[transaction.protocol].agreed.append((transaction, candidates.pop(at)))
    return rest


def _frames_and_text_agree(transaction: Transaction, exchange: Exchange) -> bool:
    return _frames_agree(transaction, exchange) and _same_text(transaction, exchange)


def _frames_agree(transaction: Transaction, exchange: Exchange) -> bool:
    return _frame_agrees(transaction.request_frame, exchange.request_frames) and (
        not transaction.response_told or _frame_agrees(transaction.response_frame, exchange.response_frames)
    )


def _frame_agrees(frame: int | None, frames: tuple[int, ...]) -> bool:
    return not frames if frame is None else frame in frames


def _texts_agree(transaction: Transaction, exchange: Exchange) -> bool:
    same_frame = transaction.request_frame in exchange.request_frames
    return (
        bool(transaction.text)
        and (_same_text(transaction, exchange) or (bool(transaction.status) and same_frame))
        and (transaction.response_frame is None) == (not exchange.response_frames)
        and (transaction.request_frame is None) == (not exchange.request_frames)
        and (not transaction.status or transaction.status == exchange.status)
    )


def _same_text(transaction: Transaction, exchange: Exchange) -> bool:
    return _comparable(transaction.text) == _comparable(exchange.text)


def _comparable(text: str) -> str:
    return " ".join(text.split())[:TEXT_COMPARED].rstrip("… ").casefold()


def _shares_a_frame(transaction: Transaction, exchange: Exchange) -> bool:
    return (
        transaction.request_frame in exchange.request_frames or transaction.response_frame in exchange.response_frames
    )
