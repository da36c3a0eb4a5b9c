"""What exchanges put on queues and take off them, as keyed hashes.

Rules: an answer that does not say where its messages come from is understood by its request. Exchanges of other protocols
cost a look at one field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wiretrace.exchanges.values import ValueHasher
    from wiretrace.model.message import Message, QueuedMessage


def queued_messages(
    asked: list[Message], answers: list[Message], hasher: ValueHasher
) -> tuple[pa.ListArray, pa.ListArray]:
    """The columns `sent` and `received` of exchanges, whose requests and answers (n,) are given."""
    sent: dict[int, list[int]] = {}
    received: dict[int, list[int]] = {}

    def note(row: int, found: dict[int, list[int]], messages: tuple[QueuedMessage, ...]) -> None:
        if messages:
            found.setdefault(row, []).extend(hashed for message in messages for hashed in hasher.queued(message))

    for messages in (asked, answers):
        messagings = [each.messaging for each in messages]
        if not any(messagings):
            continue
        for row, messaging in enumerate(messagings):
            if messaging is None:
                continue
            note(row, sent, messaging.sent)
            note(row, received, messaging.received)
            if messaging.taken is not None and messages is asked and answers[row].values:
                note(row, received, messaging.taken(answers[row].values))
    return _lists(len(asked), sent), _lists(len(asked), received)


def _lists(count: int, lists: Mapping[int, list[int]]) -> pa.ListArray:
    """`count` lists of numbers, empty where `lists` has none for the row."""
    lengths = np.zeros(count + 1, np.int32)
    values: list[int] = []
    for row in sorted(lists):
        lengths[row + 1] = len(lists[row])
        values += lists[row]
    return pa.ListArray.from_arrays(pa.array(np.cumsum(lengths, dtype=np.int32)), pa.array(np.array(values, np.uint64)))
