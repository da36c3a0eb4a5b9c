"""What a server asks of its client: deliveries and their acknowledgements, one by one or many at once."""

from __future__ import annotations

from wiretrace.exchanges.pairing import Located, Pair
from wiretrace.exchanges.pairing_delivery import WaitingGroups, pair_deliveries
from wiretrace.model.message import KEY_GROUP_BITS, Message, Role


def located(role: Role, at: int, key: int = -1, *, cumulative: bool = False) -> Located:
    message = Message(role, at, at + 1, key=key, cumulative=cumulative)
    return Located(message, at, at, 0, 0, 1, False)


def key(channel: int, tag: int) -> int:
    return channel << KEY_GROUP_BITS | tag


def starts(pairs: list[Pair]) -> list[tuple[int | None, int | None]]:
    return [
        (pair.request.start_ns if pair.request else None, pair.response.start_ns if pair.response else None)
        for pair in pairs
    ]


def test_an_acknowledgement_answers_its_delivery() -> None:
    pairs: list[Pair] = []
    delivered = [located(Role.REQUEST, 1, key(1, 1)), located(Role.REQUEST, 2, key(1, 2)), located(Role.ONE_WAY, 3)]
    _, _, waiting = pair_deliveries([located(Role.RESPONSE, 5, key(1, 2))], delivered, pairs)
    assert starts(pairs) == [(3, None), (2, 5)]
    assert all(pair.delivered for pair in pairs)
    assert [each.start_ns for each in waiting] == [1]


def test_a_cumulative_acknowledgement_answers_what_waits_in_its_channel() -> None:
    pairs: list[Pair] = []
    delivered = [located(Role.REQUEST, tag, key(channel, tag)) for channel in (1, 2) for tag in (1, 2, 3)]
    acknowledged = [located(Role.RESPONSE, 4, key(1, 2)), located(Role.RESPONSE, 5, key(1, 3), cumulative=True)]
    _, _, waiting = pair_deliveries(acknowledged, delivered, pairs)
    assert starts(pairs) == [(2, 4), (1, 5), (3, 5)]
    assert {each.message.key for each in waiting} == {key(2, tag) for tag in (1, 2, 3)}


def test_what_was_delivered_before_the_capture_is_a_half() -> None:
    pairs: list[Pair] = []
    pair_deliveries([located(Role.RESPONSE, 5, key(1, 2))], [], pairs)
    assert starts(pairs) == [(None, 5)]


def test_messages_of_other_kinds_are_left_alone() -> None:
    pairs: list[Pair] = []
    requests, responses = [located(Role.REQUEST, 1, 7)], [located(Role.RESPONSE, 2, 7), located(Role.PUSH, 3)]
    assert pair_deliveries(requests, responses, pairs) == (requests, responses, [])
    assert pairs == []


def test_a_key_is_settled_once() -> None:
    groups = WaitingGroups()
    for tag in (1, 2, 3):
        groups.add(key(1, tag))
    assert groups.before(key(1, 3), {key(1, 2): 0, key(1, 3): 0}) == [key(1, 2)]
    assert groups.before(key(1, 3), {key(1, 2): 0, key(1, 3): 0}) == []
