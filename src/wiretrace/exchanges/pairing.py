"""Which response answers which request, by what the packets prove (design, section 5).

Rules:

- By identifier, where the protocol has one (`Message.key`): `pairing_by_identifier`.
- By order, where nothing of the connection is missing: the k-th answer answers the k-th question.
- Behind a gap, or in a connection that was joined midway, order proves nothing by itself. Then the acknowledgements do. A
  request's packet acknowledges the server's bytes that the client had when it sent it: a client that waits for its answers
  had all earlier ones, so the answer begins exactly there. Requests that acknowledge the same byte were sent together; they
  form a *batch*, and the server's bytes from that byte up to the one that the next batch acknowledges hold its answers, in
  order. A batch is paired from its beginning up to the first gap on either side, and from its end back to the last one.
- Where requests are missing, what is left of a batch may lack its beginning. It has its beginning if the request before it
  was captured, if the server had received all that is missing when it sent the last byte before the batch's answers, or if
  it opens the stream. Where the capture joined midway, the first requests that a waiting client is seen to send have
  nothing before them that is still to be answered, if they came in one packet and the server sent as many answers.
- Where requests behind a batch are missing, the answers tell: those to the batch were sent when the server had no more than
  the batch, those to what is missing acknowledge more.
- Inside a batch that is whole on one side, gaps on the other side that must each hold one message hold no more than that:
  where there are as many gaps as messages missing, each gap is one message, and all others keep their places.
- A client may also keep several requests under way and send one more whenever an answer comes. Then batches mean nothing.
  Such a client is found out: a batch has fewer or more answers than requests, or an answer leaves before its server has
  the request. One such contradiction, and nothing behind a gap is paired on that connection any more.
- What this leaves open stays a half. A wrong pair is worse than two halves.
"""

from __future__ import annotations

import enum
import itertools
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from wiretrace.model.message import Message, Role

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


REQUEST, ONE_WAY, RESPONSE, PUSH = Role.REQUEST, Role.ONE_WAY, Role.RESPONSE, Role.PUSH


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


ACKNOWLEDGED, ORDER = Proof.ACKNOWLEDGED, Proof.ORDER


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
    last_ack: int
    """The same as `ack`, when the sender sent the last byte."""
    captured: int
    """Bytes of it that were captured."""
    damaged: bool
    """Bytes of it were not captured, or it was cut off by the end of the connection."""
    frames: NDArray[np.int64] | None = None
    """Frames behind it, where it is older than the chunk, or came in pieces."""
    elsewhere: int = 0
    """Bytes between its start and its end that belong to others."""


class Habits(msgspec.Struct):
    """What a connection has shown of its client's way of asking."""

    origin: int | None = None
    """Stream offset of the client's first byte, if it was captured."""
    opening: int | None = None
    """Stream offset of the first request that was read."""
    blocking: bool = True
    """Whether clients of the protocol usually wait for their answers."""
    batches_held: int = 0
    """Batches that were seen whole, with as many answers as requests."""
    asked_ack: int = 0
    """Acknowledgement of the last request that was answered."""
    answered_end: int = -(2**62)
    """Stream offset behind the last response that was paired by order."""
    overlaps: bool = False
    """The client has sent requests on while earlier ones were only partly answered: batches mean nothing."""

    @property
    def trusted(self) -> bool:
        """Whether batches may be relied on."""
        return not self.overlaps and (self.blocking or self.batches_held > 0)


class Pair(msgspec.Struct, gc=False):
    """An exchange, or a half."""

    request: Located | None
    response: Located | None
    proof: Proof
    skipped: bool = False
    """The server passed over the request because an earlier one of its unit failed."""


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
        pairs.append(Pair(request, response, _order_proof(request, response)))
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


def pair_by_acknowledgement(
    requests: list[Located],
    responses: list[Located],
    pairs: list[Pair],
    habits: Habits,
    reached: tuple[int, int] | None,
) -> tuple[int, int]:
    """Pair messages of a connection with gaps, appending to `pairs`, and learn the client's habits.

    `reached` holds, by side, the stream offset up to which bytes were delivered; None: nothing more will come. What speaks
    of bytes behind that waits, and so does what the last batch leaves unanswered. Returns how many requests and responses
    were used up.
    """
    if reached is not None:
        known = next((at for at, each in enumerate(responses) if each.ack > reached[0]), len(responses))
        responses = responses[:known]
    batches = _batches(requests)
    regions = _regions(batches, responses)
    begins = [_begins(batches, regions, index, habits) for index in range(len(batches))]
    _learn(batches, regions, begins, habits)
    used_requests = used_responses = 0
    for index, (batch, region) in enumerate(zip(batches, regions, strict=True)):
        following = batches[index + 1][0] if index + 1 < len(batches) else None
        waits = following is None or (reached is not None and following.ack > reached[1])
        paired = _pair_batch(batch, region, following, begins=begins[index]) if habits.trusted and batch else {}
        # Requests behind the last one that was answered may still be.
        keep_from = max(paired, default=-1) + 1 if waits else len(batch)
        answered = {id(response) for response in paired.values()}
        for position, request in enumerate(batch[:keep_from]):
            response = paired.get(position)
            if response is not None:
                pairs.append(Pair(request, response, _order_proof(request, response)))
            elif request.message.role in (Role.REQUEST, Role.ONE_WAY):
                pairs.append(Pair(request, None, Proof.NONE))
        pairs.extend(
            Pair(None, response, Proof.NONE)
            for response in region
            if response.message.role is not Role.CONTROL and id(response) not in answered
        )
        used_requests += keep_from
        used_responses += len(region)
        if waits:
            break
    return used_requests, used_responses


def _order_proof(request: Located, response: Located) -> Proof:
    return ACKNOWLEDGED if response.ack >= request.message.end else ORDER


def _batches(requests: list[Located]) -> list[list[Located]]:
    """Requests that were sent on the same knowledge of the server's bytes, and what was sent between them.

    What asks for nothing (the steps of a login) begins no batch. The first batch holds what came before any request.
    """
    batches: list[list[Located]] = [[]]
    known = -(2**62)
    for request in requests:
        if request.message.role is Role.REQUEST and request.ack > known:
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


def _begins(batches: list[list[Located]], regions: list[list[Located]], index: int, habits: Habits) -> bool:
    """Whether nothing is missing between the batch before and what was captured of this one."""
    batch = batches[index]
    if not batch:
        return False
    start = batch[0].message.start
    if start == habits.origin or (start == habits.opening and _nothing_waits(batch, regions[index], habits)):
        return True
    if index and batches[index - 1] and _adjacent(batches[index - 1][-1], batch[0]):
        return True
    before = next((region[-1] for region in reversed(regions[:index]) if region), None)
    return (
        before is not None
        and before.message.end == batch[0].ack
        and not before.message.damaged
        and before.last_ack >= batch[0].message.start
    )


def _nothing_waits(batch: list[Located], region: list[Located], habits: Habits) -> bool:
    """Whether no request from before the capture waits for an answer when its first requests are sent.

    They are sent in one packet, so that none of them is missing, and bring as many answers: an older one would add one.
    """
    asked = _closing(batch, Role.REQUEST)
    together = bool(asked) and batch[0].start_ns == asked[-1].start_ns
    return habits.blocking and together and len(asked) == len(_closing(region, Role.RESPONSE))


def _learn(batches: list[list[Located]], regions: list[list[Located]], begins: list[bool], habits: Habits) -> None:
    """Compare how many requests and answers batches have, where the packets tell."""
    for index, (batch, region) in enumerate(zip(batches, regions, strict=True)):
        if not index or not region or region[0].message.start != batch[0].ack or not _contiguous(region):
            continue
        following = batches[index + 1][0] if index + 1 < len(batches) else None
        asked = _closing(batch, Role.REQUEST)
        answers = _closing(region, Role.RESPONSE)
        answered_whole = following is not None and region[-1].message.end == following.ack
        # The server's acknowledgements tell of requests behind the last one that was captured.
        ends = region[-1].last_ack <= batch[-1].message.end if following is None else _adjacent(batch[-1], following)
        asked_whole = begins[index] and ends and _contiguous(batch)
        if (answered_whole and len(answers) < len(asked)) or (asked_whole and len(answers) > len(asked)):
            habits.overlaps = True
        if answered_whole and asked_whole:
            habits.batches_held += 1
            pairs = zip(asked, answers, strict=False)
            if any(answer.ack <= request.message.start for request, answer in pairs):
                habits.overlaps = True


def _closing(messages: list[Located], role: Role) -> list[Located]:
    return [each for each in messages if each.message.role is role and each.message.closes]


def _adjacent(before: Located, after: Located) -> bool:
    return before.message.end == after.message.start and not before.message.damaged


def _contiguous(messages: list[Located]) -> bool:
    return all(_adjacent(before, after) for before, after in itertools.pairwise(messages))


class _Bounds(NamedTuple):
    """Where a batch and its answers end, as stream offsets."""

    asked: int
    answered: int


def _bounds(
    batch: list[Located], region: list[Located], following: Located | None
) -> tuple[list[Located], _Bounds | None]:
    """The answers of `region` that may belong to the batch, and where both end; None where that is not known."""
    end = batch[-1].message.end
    if following is not None and _adjacent(batch[-1], following):
        return region, _Bounds(following.message.start, following.ack)
    for index, answer in enumerate(region):
        if answer.ack > end:
            before = region[index - 1] if index else None
            known = (
                before is not None and before.last_ack == end and _adjacent(before, answer) and not batch[-1].damaged
            )
            return region[:index], _Bounds(end, answer.message.start) if known else None
    if following is not None and region and region[-1].message.end == following.ack:
        # What is missing between the batch and the next request belongs to the one or to the other: the last answer tells.
        received = region[-1].last_ack
        if received in (end, following.message.start) and not region[-1].damaged:
            return region, _Bounds(received, following.ack)
    return region, None


def _pair_batch(
    batch: list[Located], region: list[Located], following: Located | None, *, begins: bool
) -> dict[int, Located]:
    """Answers of a batch, by position in the batch. `begins`: what was captured of it has its beginning."""
    region, bounds = _bounds(batch, region, following)
    if begins and bounds is not None:
        by_count = _pair_by_count(batch, region, bounds)
        if by_count is not None:
            return by_count
    paired, taken = _pair_forward(batch, region) if begins else ({}, 0)
    if bounds is not None and region and region[-1].message.end == bounds.answered:
        _pair_backward(batch, region, bounds, paired, taken)
    return paired


def _pair_forward(batch: list[Located], region: list[Located]) -> tuple[dict[int, Located], int]:
    """From the beginning up to the first gap: the first answer begins at the byte that the batch acknowledges.

    Returns the pairs, and how many messages of the region they reach over.
    """
    paired: dict[int, Located] = {}
    request_at = response_at = taken = 0
    if not region or region[0].message.start != batch[0].ack:
        return paired, taken
    while True:
        request_at = _next(batch, request_at, Role.REQUEST)
        response_at = _next(region, response_at, Role.RESPONSE)
        if request_at < 0 or response_at < 0:
            return paired, taken
        request, response = batch[request_at], region[response_at]
        if response.ack <= request.message.start:
            return paired, taken
        paired[request_at] = response
        if response.message.closes and not request.message.closes:
            # The rest of the unit was passed over by the server.
            while request_at < len(batch) and not batch[request_at].message.closes:
                request_at += 1
        request_at += 1
        response_at += 1
        taken = response_at


def _pair_backward(
    batch: list[Located], region: list[Located], bounds: _Bounds, paired: dict[int, Located], taken: int
) -> None:
    """From the end back to the last gap, adding to `paired`: the last answer ends where the batch's answers end."""
    request_at, response_at = len(batch) - 1, len(region) - 1
    asked_end, answered_end = bounds
    while request_at >= 0 and response_at >= taken:
        request, response = batch[request_at], region[response_at]
        if request.message.end != asked_end or request.message.damaged:
            return
        if response.message.end != answered_end or (response.message.damaged and response is not region[-1]):
            return
        if request.message.role is not Role.REQUEST:
            asked_end = request.message.start
            request_at -= 1
        elif response.message.role is not Role.RESPONSE:
            answered_end = response.message.start
            response_at -= 1
        else:
            closes = request.message.closes and response.message.closes
            if request_at in paired or not closes or response.ack <= request.message.start:
                return
            paired[request_at] = response
            asked_end, answered_end = request.message.start, response.message.start
            request_at -= 1
            response_at -= 1


def _pair_by_count(batch: list[Located], region: list[Located], bounds: _Bounds) -> dict[int, Located] | None:
    """Answers of a batch that is whole on one side and, on the other, lacks one message in each gap. None: it is not so."""
    asked = [at for at, each in enumerate(batch) if each.message.role is Role.REQUEST]
    answers = [each for each in region if each.message.role is Role.RESPONSE]
    if any(not each.message.closes or each.damaged for each in [batch[at] for at in asked] + answers):
        return None
    request_gaps = _gaps(batch, batch[0].message.start, bounds.asked)
    response_gaps = _gaps(region, batch[0].ack, bounds.answered)
    if not request_gaps and len(asked) - len(answers) == len(response_gaps):
        places = _places(region, response_gaps, Role.RESPONSE)
        pairs = {asked[place]: answer for place, answer in zip(places, answers, strict=True)}
    elif not response_gaps and len(answers) - len(asked) == len(request_gaps):
        places = _places(batch, request_gaps, Role.REQUEST)
        pairs = {at: answers[place] for place, at in zip(places, asked, strict=True)}
    else:
        return None
    if any(answer.ack <= batch[at].message.start for at, answer in pairs.items()):
        return None
    return pairs


def _gaps(messages: list[Located], start: int, end: int) -> set[int]:
    """Stream offsets at which gaps begin between messages that should fill ``[start, end)``."""
    gaps = set()
    reached = start
    for each in messages:
        if each.message.start > reached:
            gaps.add(reached)
        reached = each.message.end
    if end > reached:
        gaps.add(reached)
    return gaps


def _places(messages: list[Located], gaps: set[int], role: Role) -> list[int]:
    """The place of each message of `role`, where every gap takes one place too."""
    places = []
    place = 0
    remaining = sorted(gaps, reverse=True)
    for each in messages:
        while remaining and remaining[-1] <= each.message.start:
            remaining.pop()
            place += 1
        if each.message.role is role:
            places.append(place)
            place += 1
    return places


def _next(messages: list[Located], at: int, role: Role) -> int:
    """Index of the next message of `role` from `at` on, -1 where there is none or a gap comes first."""
    while at < len(messages):
        if at and not _adjacent(messages[at - 1], messages[at]):
            return -1
        if messages[at].message.role is role:
            return at
        at += 1
    return -1
