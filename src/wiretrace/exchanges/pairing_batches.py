"""The answers of one batch of requests, found from its beginning, from its end, or by counting.

Rules:

- A batch is paired from its beginning up to the first gap on either side, and from its end back to the last one.
- Where requests behind a batch are missing, the answers tell: those to the batch were sent when the server had no more than
  the batch, those to what is missing acknowledge more.
- Inside a batch that is whole on one side, gaps on the other side that must each hold one message hold no more than that:
  where there are as many gaps as messages missing, each gap is one message, and all others keep their places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wiretrace.model.message import Role

if TYPE_CHECKING:
    from wiretrace.exchanges.pairing import Located


def adjacent(before: Located, after: Located) -> bool:
    """Whether nothing is missing between two messages of one side."""
    return before.message.end == after.message.start and not before.message.damaged


class _Bounds(NamedTuple):
    """Where a batch and its answers end, as stream offsets."""

    asked: int
    answered: int


def _bounds(
    batch: list[Located], region: list[Located], following: Located | None
) -> tuple[list[Located], _Bounds | None]:
    """The answers of `region` that may belong to the batch, and where both end; None where that is not known."""
    end = batch[-1].message.end
    if following is not None and adjacent(batch[-1], following):
        return region, _Bounds(following.message.start, following.ack)
    for index, answer in enumerate(region):
        if answer.ack > end:
            before = region[index - 1] if index else None
            known = before is not None and before.last_ack == end and adjacent(before, answer) and not batch[-1].damaged
            return region[:index], _Bounds(end, answer.message.start) if known else None
    if following is not None and region and region[-1].message.end == following.ack:
        # What is missing between the batch and the next request belongs to the one or to the other: the last answer tells.
        received = region[-1].last_ack
        if received in (end, following.message.start) and not region[-1].damaged:
            return region, _Bounds(received, following.ack)
    return region, None


def pair_batch(
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
        if at and not adjacent(messages[at - 1], messages[at]):
            return -1
        if messages[at].message.role is role:
            return at
        at += 1
    return -1
