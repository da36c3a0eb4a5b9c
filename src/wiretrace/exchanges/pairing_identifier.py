"""Pairs messages that carry identifiers (`Message.key`): HTTP/2 streams, and requests of memcached's binary protocol.

Rules: equal identifiers of one connection belong together, whatever lies between. Where several requests with one identifier
wait, they are answered in their order, if it is sure that the first still waits: nothing of the connection is missing, or
the client had received nothing between them. (So are channels of AMQP 0-9-1, whose methods arrive in the order in which they
were sent: section 4.7, "Content Ordering Guarantees".) A request that the client calls off ends with the client's last word
about it. What has no counterpart yet waits.
"""

from __future__ import annotations

import itertools
from collections import defaultdict, deque
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.exchanges.pairing import Habits, Located, Pair, Proof
from wiretrace.exchanges.pairing_delivery import WaitingGroups, unasked
from wiretrace.exchanges.pairing_order import pair_in_order
from wiretrace.exchanges.parts import frames_of
from wiretrace.model.message import Result, Role

if TYPE_CHECKING:
    from wiretrace.exchanges.message_table import MessageTable


CALLED_OFF = (Result.CANCELLED, Result.TIMED_OUT)
IMPATIENCE = 0.95
"""Share of the time that a client says it will wait after which it gave up because of it: clocks tick coarsely."""


def pair_before_identifiers(
    requests: list[Located], responses: list[Located], pairs: list[Pair], habits: Habits
) -> None:
    """Pair messages without an identifier in order, in a connection that later went over to a protocol that has them.

    What is paired, and no longer waits, leaves both lists.
    """
    plain = [each for each in requests if each.message.key < 0 and each.message.role is Role.REQUEST]
    answers = [each for each in responses if each.message.key < 0 and each.message.role is Role.RESPONSE]
    if plain and len(plain) == len(answers):
        pair_in_order(plain, answers, pairs, habits)
        requests[:] = [each for each in requests if each.message.key >= 0]
        responses[:] = [each for each in responses if each.message.key >= 0]


def pair_by_identifier(
    requests: list[Located],
    responses: list[Located],
    pairs: list[Pair],
    table: MessageTable,
    *,
    unique: bool,
    aligned: bool,
) -> tuple[list[Located], list[Located]]:
    """Pair messages that carry identifiers. Returns the requests and the responses that still wait.

    A one-way request with an identifier is answered only in some cases (quiet commands): it is complete without an answer
    as soon as a later request is answered. So is one that was called off, by a client whose later request is answered.
    What answers several requests is in several pairs. An answer may be complete before its request is; where identifiers
    are `unique` within a connection, it may even begin before it. `table` holds the messages of the chunk; `aligned` says
    that nothing of the connection is missing.
    """
    behind: defaultdict[int, deque[Located]] = defaultdict(deque)
    waiting: dict[int, Located] = {}
    early: dict[int, Located] = {}
    called_off = {each.message.key: each.message.end for each in requests if each.message.result in CALLED_OFF}
    calls_off = any(each.message.role is Role.CANCEL for each in requests)
    answered: dict[int, tuple[Located, Located]] = {}
    cumulative = any(each.message.cumulative for each in responses)
    groups = WaitingGroups()
    events = sorted([*requests, *responses], key=lambda located: located.start_ns)
    for located in events:
        message = located.message
        if message.role is Role.PUSH:
            pairs.append(Pair(None, located, Proof.NONE))
        elif message.role is Role.ONE_WAY and message.key < 0:
            pairs.append(Pair(located, None, Proof.NONE))
        elif message.role in (Role.REQUEST, Role.ONE_WAY):
            before = waiting.get(message.key)
            if before is not None:
                last = behind[message.key][-1] if message.key in behind else before
                if last.message.role is Role.REQUEST and (aligned or located.ack <= last.ack):
                    behind[message.key].append(located)
                    continue
                pairs += [Pair(each, None, Proof.NONE) for each in (before, *behind.pop(message.key, ()))]
                del waiting[message.key]
            if unique and message.key in early:
                pairs.append(Pair(located, early.pop(message.key), Proof.IDENTIFIER))
            else:
                waiting[message.key] = located
                if cumulative:
                    groups.add(message.key)
        elif message.role is Role.RESPONSE:
            if message.cumulative:
                pairs += [
                    Pair(waiting.pop(key), located, Proof.IDENTIFIER) for key in groups.before(message.key, waiting)
                ]
            request = waiting.pop(message.key, None)
            if request is None:
                orphan = early.pop(message.key, None)
                if orphan is not None:
                    pairs.append(unasked(orphan, delivered=True))
                early[message.key] = located
                continue
            if message.key in behind:
                waiting[message.key] = behind[message.key].popleft()
                if not behind[message.key]:
                    del behind[message.key]
            pairs.append(Pair(request, located, Proof.IDENTIFIER))
            if calls_off:
                answered[message.key] = request, located
            while waiting:
                key, earlier = next(iter(waiting.items()))
                if earlier.message.role is not Role.ONE_WAY or earlier.message.start > request.message.start:
                    break
                pairs.append(Pair(waiting.pop(key), None, Proof.NONE))
            if called_off:
                known = [key for key, offset in called_off.items() if offset <= request.message.start]
                pairs += [Pair(waiting.pop(key), None, Proof.NONE) for key in known if key in waiting]
                called_off = {key: offset for key, offset in called_off.items() if key not in known}
        elif message.role is Role.CANCEL:
            request, response = answered.get(message.key) or (waiting.get(message.key), None)
            if request is not None and (
                response is None or response.end_ns > located.start_ns or is_cancelled(response)
            ):
                call_off(request, located, table)
                if response is not None and is_cancelled(response):
                    response.message.result = request.message.result
                called_off[message.key] = located.message.end
    return [*waiting.values(), *itertools.chain.from_iterable(behind.values())], list(early.values())


def is_cancelled(response: Located) -> bool:
    """Whether a response is what came before the client called it off."""
    return response.message.result is Result.CANCELLED


def call_off(request: Located, last: Located, table: MessageTable) -> None:
    """The request ends with `last`, by which the client calls it off."""
    message = request.message
    request.frames = np.concatenate([frames_of(request, table), frames_of(last, table)])
    request.elsewhere += last.message.start - message.end
    message.end, request.end_ns = last.message.end, last.end_ns
    request.captured += last.captured
    waited_ms = (request.end_ns - request.start_ns) / 1_000_000
    in_time = message.patience_ms < 0 or waited_ms < IMPATIENCE * message.patience_ms
    message.result = Result.CANCELLED if in_time else Result.TIMED_OUT
    message.attributes = {**(message.attributes or {}), **(last.message.attributes or {})}
