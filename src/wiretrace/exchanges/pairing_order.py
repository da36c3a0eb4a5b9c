"""Pairs by order, one connection at a time, whatever roles its messages have: nothing of the connection is missing."""

from __future__ import annotations

from wiretrace.exchanges.pairing import Habits, Located, Pair, Proof, order_proof
from wiretrace.model.message import Role

REQUEST, ONE_WAY, RESPONSE, PUSH = Role.REQUEST, Role.ONE_WAY, Role.RESPONSE, Role.PUSH


def pair_in_order(
    requests: list[Located], responses: list[Located], pairs: list[Pair], habits: Habits
) -> tuple[int, int]:
    """Pair messages of a connection of which nothing is missing, appending to `pairs`, and learn the client's habits.

    Returns how many requests and responses were used up. Requests without an answer yet are left.
    """
    at = 0
    count = len(requests)
    for index, response in enumerate(responses):
        message = response.message
        if message.role is not RESPONSE:
            if message.role is PUSH:
                pairs.append(Pair(None, response, Proof.NONE))
            continue
        while at < count and requests[at].message.role is not REQUEST:
            if requests[at].message.role is ONE_WAY:
                pairs.append(Pair(requests[at], None, Proof.NONE))
            at += 1
        if at == count:
            return at, index
        request = requests[at]
        if response.end_ns < request.start_ns and response.ack <= request.message.start:
            # Sent before the server can have known of the request: nobody asked for it.
            pairs.append(Pair(None, response, Proof.NONE))
            continue
        at += 1
        pairs.append(Pair(request, response, order_proof(request, response)))
        if request.ack < habits.answered_end and request.ack != habits.asked_ack:
            habits.overlaps = True
        habits.asked_ack, habits.answered_end = request.ack, message.end
        if message.closes and not request.message.closes:
            while at < count:
                skipped = requests[at]
                at += 1
                if skipped.message.role is REQUEST:
                    pairs.append(Pair(skipped, None, Proof.NONE, skipped=True))
                if skipped.message.closes:
                    break
    while at < count and requests[at].message.role is not REQUEST:
        if requests[at].message.role is ONE_WAY:
            pairs.append(Pair(requests[at], None, Proof.NONE))
        at += 1
    return at, len(responses)
