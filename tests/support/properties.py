"""What holds for every protocol, whatever the packets: splits change nothing, and what is missing only takes away.

Each function takes the streams of the two sides of one whole conversation.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from tests.support.dissect import Dissection, dissect

from wiretrace.protocols.contract import Context

if TYPE_CHECKING:
    from wiretrace.model.message import Message
    from wiretrace.protocols.contract import Protocol

SEEDS = 12
WHOLE = Context()


def told(message: Message) -> tuple[Any, ...]:
    """What a message says; its values may depend on where windows end."""
    return (
        message.role,
        message.start,
        message.end,
        message.operation,
        message.summary,
        message.status,
        message.result,
        message.key,
        message.attributes,
    )


def assert_splits_change_nothing(protocol: type[Protocol], client: bytes, server: bytes) -> Dissection:
    """Whatever the segments, the messages are the same, and all bytes are in messages. Returns the whole reading."""
    whole = dissect(protocol, client, server)
    assert whole.violations == []
    assert whole.unread == []
    for seed in range(SEEDS):
        parts = dissect(protocol, client, server, splits=random.Random(seed))
        assert list(map(told, parts.requests)) == list(map(told, whole.requests))
        assert list(map(told, parts.responses)) == list(map(told, whole.responses))
    return whole


def assert_gaps_only_take_away(
    protocol: type[Protocol], client: bytes, server: bytes, *, doubtful: tuple[str, ...] = ()
) -> int:
    """With bytes missing on either side, a whole message is one of the whole reading. Returns how many were still read.

    Operations that begin with one of `doubtful` may stand for others: what they refer to may be missing.
    """
    whole = dissect(protocol, client, server)
    known = (
        {(each.start, each.end): each for each in whole.requests},
        {(each.start, each.end): each for each in whole.responses},
    )
    chooser = random.Random(7)
    read = 0
    for _ in range(6 * SEEDS):
        streams: list[Any] = [client, server]
        side = chooser.randrange(2)
        content = streams[side]
        first = chooser.randrange(len(content))
        last = min(len(content), first + chooser.choice((1, 5, 40, 400)))
        streams[side] = [content[:first], last - first, content[last:]]
        found = dissect(protocol, streams[0], streams[1])
        read += _assert_known(found, known, doubtful)
    return read


def assert_late_joiners_read_the_rest(
    protocol: type[Protocol], client: bytes, server: bytes, *, doubtful: tuple[str, ...] = ()
) -> int:
    """Who comes late reads messages of the whole reading, and no others. Returns how many were read."""
    whole = dissect(protocol, client, server)
    known = (
        {(each.start, each.end): each for each in whole.requests},
        {(each.start, each.end): each for each in whole.responses},
    )
    read = 0
    for tenth in range(1, 10):
        missed = (len(client) * tenth // 10, len(server) * tenth // 10)
        streams = [[missed[0], client[missed[0] :]], [missed[1], server[missed[1] :]]]
        found = dissect(protocol, streams[0], streams[1], context=Context(started=(False, False)))
        read += _assert_known(found, known, doubtful)
    return read


def _assert_known(
    found: Dissection, known: tuple[dict[Any, Message], dict[Any, Message]], doubtful: tuple[str, ...]
) -> int:
    read = 0
    for side, messages in enumerate((found.requests, found.responses)):
        for message in messages:
            if message.damaged:
                continue
            true = known[side].get((message.start, message.end))
            assert true is not None, f"made up: {message}"
            read += 1
            if doubtful and message.operation.startswith(doubtful):
                continue
            assert (message.operation, message.status, message.result) == (true.operation, true.status, true.result)
    return read
