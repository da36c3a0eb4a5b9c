"""Which response answers which request, by what the packets prove (design, section 5).

Rules:

- By identifier, where the protocol has one (`Message.key`).
- By order, where nothing of the connection is missing: the k-th answer answers the k-th question.
- Behind a gap, or in a connection that was joined midway, order proves nothing by itself. Then the acknowledgements do. A
  request's packet acknowledges the server's bytes that the client had when it sent it: a client that waits for its answers
  had all earlier ones, so the answer begins exactly there. Requests that acknowledge the same byte were sent together; they
  form a *batch*, and the server's bytes from that byte up to the one that the next batch acknowledges hold its answers, in
  order. A batch is paired from its beginning up to the first gap on either side, and from its end back to the last one.
- A client may also keep several requests under way and send one more whenever an answer comes. Then batches mean nothing.
  Such a client is found out: a batch whose answers are all captured has a different number of them, or an answer leaves
  before its server has the request. One such contradiction, and nothing behind the gap is paired.
- What this leaves open stays a half. A wrong pair is worse than two halves.
"""

from __future__ import annotations

import enum
import itertools
from typing import TYPE_CHECKING

import msgspec

from wiretrace.model.message import Message, Role

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Proof(enum.StrEnum):
    """Why a request and a response belong together."""

    ACKNOWLEDGED = "acknowledged"
    """In order, and the packet that opens the response acknowledges the whole request."""
    IDENTIFIER = "identifier"
    """They carry the same identifier within their connection."""
    ORDER = "order"
    """In order in a connection of which nothing is missing; the response began before the request was all acknowledged."""
    NONE = ""
    """A half: there is no other part to belong to."""


class Located(msgspec.Struct, gc=False):
    """A message with the packets behind it."""

    message: Message
    start_ns: int
    """Capture time of its first byte."""
    end_ns: int
    """Capture time of its last byte."""
    ack: int
    """Stream offset of the other direction up to which the sender had everything when it sent the first byte."""
    first: int
    """Index of its first segment in the chunk's provenance."""
    last: int
    """Index of its last segment."""
    captured: int
    """Bytes of it that were captured."""
    damaged: bool
    """Bytes of it were not captured, or it was cut off by the end of the connection."""
    frames: NDArray[np.int64] | None = None
    """Frames behind it, where it is older than the chunk."""


class Pair(msgspec.Struct, gc=False):
    """An exchange, or a half."""

    request: Located | None
    response: Located | None
    proof: Proof
    skipped: bool = False
    """The server passed over the request because an earlier one of its unit failed."""


def pair_in_order(requests: list[Located], responses: list[Located], pairs: list[Pair]) -> tuple[int, int]:
    """Pair messages of a connection of which nothing is missing, appending to `pairs`.

    Returns how many requests and responses were used up. Requests without an answer yet are left.
    """
    at = 0
    count = len(requests)
    for index, response in enumerate(responses):
        message = response.message
        if message.role is not Role.RESPONSE:
            if message.role is Role.PUSH:
                pairs.append(Pair(None, response, Proof.NONE))
            continue
        while at < count and requests[at].message.role is not Role.REQUEST:
            if requests[at].message.role is Role.ONE_WAY:
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
        pairs.append(Pair(request, response, _order_proof(request, response)))
        if message.closes and not request.message.closes:
            while at < count:
                skipped = requests[at]
                at += 1
                if skipped.message.role is Role.REQUEST:
                    pairs.append(Pair(skipped, None, Proof.NONE, skipped=True))
                if skipped.message.closes:
                    break
    while at < count and requests[at].message.role is not Role.REQUEST:
        if requests[at].message.role is Role.ONE_WAY:
            pairs.append(Pair(requests[at], None, Proof.NONE))
        at += 1
    return at, len(responses)


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


def pair_by_acknowledgement(
    requests: list[Located], responses: list[Located], pairs: list[Pair], *, final: bool
) -> tuple[int, int]:
    """Pair messages of a connection with gaps, appending to `pairs`.

    Returns how many requests and responses were used up; the last batch waits for what comes, unless `final`.
    """
    batches = _batches(requests)
    regions = _regions(batches, responses)
    trusted = _batches_hold(batches, regions)
    used_requests = used_responses = 0
    for index, (batch, region) in enumerate(zip(batches, regions, strict=True)):
        last = index == len(batches) - 1
        following = None if last else batches[index + 1][0]
        paired = _pair_batch(batch, region, following) if trusted and batch else {}
        keep_from = len(batch)
        if last and not final:
            # Requests behind the last one that was answered may still be.
            keep_from = max(paired, default=-1) + 1
            if not trusted:
                keep_from = len(batch)
        answered = {id(response) for response in paired.values()}
        for position, request in enumerate(batch[:keep_from]):
            role = request.message.role
            response = paired.get(position)
            if response is not None:
                pairs.append(Pair(request, response, _order_proof(request, response)))
            elif role in (Role.REQUEST, Role.ONE_WAY):
                pairs.append(Pair(request, None, Proof.NONE))
        pairs.extend(
            Pair(None, response, Proof.NONE)
            for response in region
            if response.message.role is not Role.CONTROL and id(response) not in answered
        )
        used_requests += keep_from
        used_responses += len(region)
    return used_requests, used_responses


def _order_proof(request: Located, response: Located) -> Proof:
    return Proof.ACKNOWLEDGED if response.ack >= request.message.end else Proof.ORDER


def _batches(requests: list[Located]) -> list[list[Located]]:
    """Requests that were sent on the same knowledge of the server's bytes. The first batch may be empty."""
    batches: list[list[Located]] = [[]]
    known = -(2**62)
    for request in requests:
        if request.ack > known:
            known = request.ack
            batches.append([])
        batches[-1].append(request)
    return batches


def _regions(batches: list[list[Located]], responses: list[Located]) -> list[list[Located]]:
    """For each batch, the server's messages from the byte that it acknowledges up to the one that the next one does."""
    regions: list[list[Located]] = []
    at = 0
    for index in range(len(batches)):
        bound = batches[index + 1][0].ack if index + 1 < len(batches) else None
        region = []
        while at < len(responses) and (bound is None or responses[at].message.start < bound):
            region.append(responses[at])
            at += 1
        regions.append(region)
    return regions


def _batches_hold(batches: list[list[Located]], regions: list[list[Located]]) -> bool:
    """Whether the client waits for all answers of a batch before it sends the next one, as far as the packets tell."""
    for index in range(len(batches) - 1):
        batch, region = batches[index], regions[index]
        if not batch:
            continue
        following = batches[index + 1][0]
        asked = [request for request in batch if request.message.role is Role.REQUEST]
        answers = [response for response in region if response.message.role is Role.RESPONSE]
        whole = (
            bool(region)
            and region[0].message.start == batch[0].ack
            and region[-1].message.end == following.ack
            and _contiguous(region)
            and _contiguous([*batch, following])
        )
        if not whole:
            continue
        if all(request.message.closes for request in asked):
            if len(asked) != len(answers):
                return False
            pairs = zip(asked, answers, strict=True)
            if any(answer.ack <= request.message.start for request, answer in pairs):
                return False
        elif sum(request.message.closes for request in asked) != sum(answer.message.closes for answer in answers):
            return False
    return True


def _contiguous(messages: list[Located]) -> bool:
    return all(
        before.message.end == after.message.start and not before.message.damaged
        for before, after in itertools.pairwise(messages)
    )


def _pair_batch(batch: list[Located], region: list[Located], following: Located | None) -> dict[int, Located]:
    """Answers of a batch, by position in the batch."""
    paired: dict[int, Located] = {}
    taken: set[int] = set()
    request_at = response_at = 0
    # Forward: the first answer begins at the byte that the batch acknowledges.
    if region and region[0].message.start == batch[0].ack:
        while True:
            request_at = _next(batch, request_at, Role.REQUEST)
            response_at = _next(region, response_at, Role.RESPONSE)
            if request_at < 0 or response_at < 0:
                break
            request, response = batch[request_at], region[response_at]
            if response.ack <= request.message.start:
                break
            paired[request_at] = response
            taken.add(response_at)
            if response.message.closes and not request.message.closes:
                # The rest of the unit was passed over by the server.
                while request_at < len(batch) and not batch[request_at].message.closes:
                    request_at += 1
            request_at += 1
            response_at += 1
    # Backward: the last answer ends at the byte that the next batch acknowledges.
    if following is None or not region or region[-1].message.end != following.ack:
        return paired
    request_at, response_at = len(batch) - 1, len(region) - 1
    after_request, after_response = following, None
    while request_at >= 0 and response_at >= 0:
        request, response = batch[request_at], region[response_at]
        if request.message.end != after_request.message.start or request.message.damaged:
            break
        if after_response is not None and response.message.end != after_response.message.start:
            break
        if response.message.damaged and after_response is not None:
            break
        if request.message.role is not Role.REQUEST:
            after_request = request
            request_at -= 1
            continue
        if response.message.role is not Role.RESPONSE:
            after_response = response
            response_at -= 1
            continue
        if request_at in paired or response_at in taken or not (request.message.closes and response.message.closes):
            break
        if response.ack <= request.message.start:
            break
        paired[request_at] = response
        after_request, after_response = request, response
        request_at -= 1
        response_at -= 1
    return paired


def _next(messages: list[Located], at: int, role: Role) -> int:
    """Index of the next message of `role` from `at` on, -1 where there is none or a gap comes first."""
    while at < len(messages):
        if at and (messages[at - 1].message.end != messages[at].message.start or messages[at - 1].message.damaged):
            return -1
        if messages[at].message.role is role:
            return at
        at += 1
    return -1
