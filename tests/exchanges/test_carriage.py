"""A conversation inside of another one: its messages at the offsets of the units that carried them."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from wiretrace.exchanges.carriage import Carriage
from wiretrace.exchanges.conversation import Conversation
from wiretrace.exchanges.direction import Direction
from wiretrace.model.limits import Limits
from wiretrace.model.message import Role
from wiretrace.model.note import Notes
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Carried

HEADER, TRAILER = 13, 16
FIRST = 700
"""Stream offset at which the first unit begins."""


def units_of(plain: bytes, chooser: random.Random) -> list[Carried]:
    """The bytes in units of random sizes, empty ones between them."""
    units = []
    at, offset = 0, FIRST
    while at < len(plain):
        size = chooser.choice((0, 1, 5, 40, 300))
        data = plain[at : at + size]
        end = offset + HEADER + len(data) + TRAILER
        units.append(Carried(offset, end, offset + HEADER, data))
        at, offset = at + len(data), end
    return units


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_messages_tile_the_units_that_carry_them(seed: int) -> None:
    """Whatever the units are: as many messages, each over exactly its bytes, and every byte of a unit is counted once."""
    chooser = random.Random(seed)
    bodies = [chooser.choice((0, 3, 500)) for _ in range(6)]
    asked = [b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(6)]
    answered = [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size for size in bodies]
    inner = Conversation(0, 0, (True, True), (40000, 443), Limits(), Notes(), {}, True, (bytes(4), bytes(4)))
    carriage = Carriage(inner, (0, 0))
    outer = (Direction(True), Direction(True))
    streams = (b"".join(asked), b"".join(answered))
    sides = [units_of(stream, chooser) for stream in streams]
    for side in Side:
        outer[side].add(0, bytes(sides[side][-1].end))
    taken: list[list[tuple[int, int]]] = [[], []]
    common: dict[str, str | int] = {"server.address": "shop.test"}
    while any(sides):
        side = chooser.choice([side for side in Side if sides[side]])
        carriage.take(side, sides[side].pop(0))
        inner.advance(final=False)
        for each in Side:
            found, strays = carriage.messages(each, outer[each], common, final=False)
            assert strays == 0
            taken[each] += [(one.start, one.end) for one in found if one.role is not Role.CONTROL]
            for one in found:
                assert one.role is not Role.REQUEST or (one.attributes or {})["server.address"] in ("shop.test", "a")
    carriage.finish((0, 0))
    for each, plain in zip(Side, streams, strict=True):
        found, _ = carriage.messages(each, outer[each], common, final=True)
        taken[each] += [(one.start, one.end) for one in found if one.role is not Role.CONTROL]
        assert len(taken[each]) == 6
        assert all(before[1] <= after[0] for before, after in zip(taken[each], taken[each][1:], strict=False))
        assert taken[each][0][0] >= FIRST
        assert sum(end - start for start, end in taken[each]) >= len(plain)
    assert inner.unread.total() == 0
    assert carriage.control_bytes >= 0


def test_a_message_that_is_passed_over_ends_where_its_last_unit_does() -> None:
    """A body that has not come yet: the message is given out once it has, and memory of its units is not kept."""
    inner = Conversation(0, 0, (True, True), (40000, 443), Limits(), Notes(), {}, True, (bytes(4), bytes(4)))
    carriage = Carriage(inner, (0, 0))
    outer = Direction(True)
    asked = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    carriage.take(Side.CLIENT, Carried(0, len(asked) + 29, 13, asked))
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
    at = 0
    for data in (head, *[b"x" * 1000] * 5):
        end = at + HEADER + len(data) + TRAILER
        carriage.take(Side.SERVER, Carried(at, end, at + HEADER, data))
        at = end
        outer.add(outer.next, bytes(end - outer.next))
        inner.advance(final=False)
        found, _ = carriage.messages(Side.SERVER, outer, None, final=False)
        assert len(found) == (data == b"x" * 1000 and outer.next == len(head) + 5000 + 6 * 29)
    assert (found[0].start, found[0].end) == (0, at)
