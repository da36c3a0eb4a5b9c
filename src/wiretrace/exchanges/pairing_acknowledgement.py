"""Pairs by acknowledgement, where bytes of the connection are missing or it was joined midway: batches of requests.

Rules:

- A request's packet acknowledges the server's bytes that the client had when it sent it: a client that waits for its answers
  had all earlier ones, so the answer begins exactly there. Requests that acknowledge the same byte were sent together; they
  form a *batch*, and the server's bytes from that byte up to the one that the next batch acknowledges hold its answers, in
  order (``pairing_batches.py``).
- Where requests are missing, what is left of a batch may lack its beginning. It has its beginning if the request before it
  was captured, if the server had received all that is missing when it sent the last byte before the batch's answers, or if
  it opens the stream. Where the capture joined midway, the first requests that a waiting client is seen to send have
  nothing before them that is still to be answered, if they came in one packet and the server sent as many answers.
- A client may also keep several requests under way and send one more whenever an answer comes. Then batches mean nothing.
  Such a client is found out: a batch has fewer or more answers than requests, or an answer leaves before its server has
  the request. One such contradiction, and nothing behind a gap is paired on that connection any more.
"""

from __future__ import annotations

import itertools

from wiretrace.exchanges.pairing import Habits, Located, Pair, Proof, order_proof
from wiretrace.exchanges.pairing_batches import adjacent, pair_batch
from wiretrace.model.message import Role


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
        paired = pair_batch(batch, region, following, begins=begins[index]) if habits.trusted and batch else {}
        # Requests behind the last one that was answered may still be.
        keep_from = max(paired, default=-1) + 1 if waits else len(batch)
        answered = {id(response) for response in paired.values()}
        for position, request in enumerate(batch[:keep_from]):
            response = paired.get(position)
            if response is not None:
                pairs.append(Pair(request, response, order_proof(request, response)))
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
    following = batches[index + 1][0] if index + 1 < len(batches) else None
    if start == habits.origin or (start == habits.opening and _nothing_waits(batch, regions[index], following, habits)):
        return True
    if index and batches[index - 1] and adjacent(batches[index - 1][-1], batch[0]):
        return True
    before = next((region[-1] for region in reversed(regions[:index]) if region), None)
    return (
        before is not None
        and before.message.end == batch[0].ack
        and not before.message.damaged
        and before.last_ack >= batch[0].message.start
    )


def _nothing_waits(batch: list[Located], region: list[Located], following: Located | None, habits: Habits) -> bool:
    """Whether no request from before the capture waits for an answer when its first requests are sent.

    They are sent in one packet, so that none of them is missing, and bring as many answers: an older one would add one.
    So all answers must have been captured, up to the byte that the request `following` them acknowledges.
    """
    if following is not None and not (_contiguous(region) and region and region[-1].message.end == following.ack):
        return False
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
        ends = region[-1].last_ack <= batch[-1].message.end if following is None else adjacent(batch[-1], following)
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


def _contiguous(messages: list[Located]) -> bool:
    return all(adjacent(before, after) for before, after in itertools.pairwise(messages))
