"""Pairs by the identifiers that a protocol gives its messages (`Message.key`)."""

from __future__ import annotations

from wiretrace.exchanges.pairing import Located, Pair, Proof
from wiretrace.model.message import Role


def pair_by_identifier(requests: list[Located], responses: list[Located], pairs: list[Pair]) -> list[Located]:
    """Pair messages that carry identifiers. Returns the requests that still wait.

    A one-way request with an identifier is answered only in some cases (quiet commands): it is complete without an answer
    as soon as a later request is answered.
    """
    waiting: dict[int, Located] = {}
    events = sorted([*requests, *responses], key=lambda located: located.start_ns)
    for located in events:
        message = located.message
        if message.role is Role.PUSH:
            pairs.append(Pair(None, located, Proof.NONE))
        elif message.role is Role.ONE_WAY and message.key < 0:
            pairs.append(Pair(located, None, Proof.NONE))
        elif message.role in (Role.REQUEST, Role.ONE_WAY):
            replaced = waiting.pop(message.key, None)
            if replaced is not None:
                pairs.append(Pair(replaced, None, Proof.NONE))
            waiting[message.key] = located
        elif message.role is Role.RESPONSE:
            request = waiting.pop(message.key, None)
            pairs.append(Pair(request, located, Proof.IDENTIFIER if request is not None else Proof.NONE))
            if request is not None:
                for key, earlier in list(waiting.items()):
                    if earlier.message.role is not Role.ONE_WAY or earlier.message.start > request.message.start:
                        break
                    pairs.append(Pair(waiting.pop(key), None, Proof.NONE))
    return list(waiting.values())
