"""Pairs what a server asks of its client: a broker delivers a message, the client acknowledges it.

Rules: by identifier (`Message.key`) alone, in the order of time. What is not acknowledged yet waits. An acknowledgement of
what was delivered before the capture is a half.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

from wiretrace.exchanges.pairing import Pair, Proof
from wiretrace.model.message import KEY_GROUP_BITS, Role

if TYPE_CHECKING:
    from collections.abc import Container

    from wiretrace.exchanges.pairing import Located

ASKS = (Role.REQUEST, Role.ONE_WAY)


class WaitingGroups:
    """Keys that wait, in the order of their numbers, by group: what a cumulative answer settles."""

    def __init__(self) -> None:
        self._keys: dict[int, deque[int]] = defaultdict(deque)

    def add(self, key: int) -> None:
        """A message with this key waits."""
        self._keys[key >> KEY_GROUP_BITS].append(key)

    def before(self, key: int, waiting: Container[int]) -> list[int]:
        """Keys of the same group below `key` that are still `waiting`. Each is given once."""
        keys = self._keys[key >> KEY_GROUP_BITS]
        found = []
        while keys and keys[0] < key:
            found.append(keys.popleft())
        return [each for each in dict.fromkeys(found) if each in waiting]


def unasked(response: Located, *, delivered: bool) -> Pair:
    """A response that answers nothing that was seen: a half, or a message of its own. `delivered`: the server sent it."""
    message = response.message
    if message.role is not Role.RESPONSE or message.messaging is None or not message.operation:
        return Pair(None, response, Proof.NONE, delivered=not delivered)
    message.role = Role.ONE_WAY
    return Pair(response, None, Proof.NONE, delivered=delivered)


def pair_deliveries(
    requests: list[Located], responses: list[Located], pairs: list[Pair]
) -> tuple[list[Located], list[Located], list[Located]]:
    """Pair what the server asks among `responses` with the answers among `requests`, appending to `pairs`.

    Returns the other messages of the client, those of the server, and the deliveries that still wait.
    """
    delivered = [each for each in responses if each.message.role in ASKS]
    settled = [each for each in requests if each.message.role is Role.RESPONSE]
    if not delivered and not settled:
        return requests, responses, []
    waiting: dict[int, Located] = {}
    groups = WaitingGroups()
    for located in sorted([*delivered, *settled], key=lambda each: each.start_ns):
        message = located.message
        if message.role is Role.ONE_WAY:
            pairs.append(Pair(located, None, Proof.NONE, delivered=True))
        elif message.role is Role.REQUEST:
            replaced = waiting.pop(message.key, None)
            if replaced is not None:
                pairs.append(Pair(replaced, None, Proof.NONE, delivered=True))
            waiting[message.key] = located
            groups.add(message.key)
        else:
            keys = groups.before(message.key, waiting) if message.cumulative else []
            answered = [waiting.pop(key) for key in (*keys, message.key) if key in waiting]
            pairs += [Pair(each, located, Proof.IDENTIFIER, delivered=True) for each in answered]
            if not answered:
                pairs.append(unasked(located, delivered=False))
    return (
        [each for each in requests if each.message.role is not Role.RESPONSE],
        [each for each in responses if each.message.role not in ASKS],
        list(waiting.values()),
    )
