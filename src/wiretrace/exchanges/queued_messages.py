"""What exchanges put on queues and take off them, as keyed hashes.

Rules: an answer that does not say where its messages come from is understood by its request. Exchanges of other protocols
cost a look at one field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from wiretrace.exchanges.values import ValueHasher
    from wiretrace.model.message import Message, QueuedMessage


def queued_messages(
    asked: Iterable[tuple[int, Message]],
    answered: Iterable[tuple[int, Message]],
    answers: Sequence[Message],
    hasher: ValueHasher,
) -> tuple[pa.ListArray, pa.ListArray]:
    """The columns `sent` and `received` of exchanges.

    `asked` and `answered` are those of their requests and answers, each with its row, that may put messages on queues or
    take them off; `answers` are all answers (n,).
    """
    sent: dict[int, list[int]] = {}
    received: dict[int, list[int]] = {}

    def note(row: int, found: dict[int, list[int]], messages: tuple[QueuedMessage, ...]) -> None:
        if messages:
            found.setdefault(row, []).extend(hashed for message in messages for hashed in hasher.queued(message))

    for messages in (asked, answered):
        for row, message in messages:
            messaging = message.messaging
            if messaging is None:
                continue
            note(row, sent, messaging.sent)
            note(row, received, messaging.received)
            if messaging.taken is not None and messages is asked and answers[row].values:
                note(row, received, messaging.taken(answers[row].values))
    return _lists(len(answers), sent), _lists(len(answers), received)


def _lists(count: int, lists: Mapping[int, list[int]]) -> pa.ListArray:
    """`count` lists of numbers, empty where `lists` has none for the row."""
    lengths = np.zeros(count + 1, np.int32)
    values: list[int] = []
    for row in sorted(lists):
        lengths[row + 1] = len(lists[row])
        values += lists[row]
    return pa.ListArray.from_arrays(pa.array(np.cumsum(lengths, dtype=np.int32)), pa.array(np.array(values, np.uint64)))
