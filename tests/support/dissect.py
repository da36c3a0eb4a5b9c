"""A small driver: feeds a protocol two byte streams as the contract says, in random splits and with gaps.

What it returns does not depend on the splits, if the protocol keeps the contract: a gap is declared, and a direction
finished, only when neither side can go on with all that arrived. It checks the contract while it drives: ``parse``
never goes back, and the messages of a side are in stream order and do not overlap.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, Protocol, Succession, Violation

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from wiretrace.model.message import Message

KEPT_FOR_RESYNC = 64
"""Bytes that are given again after ``resync`` found nothing, as the contract promises."""


@dataclass
class Dissection:
    """What a protocol made of a connection."""

    protocol: Protocol
    requests: list[Message] = field(default_factory=list)
    responses: list[Message] = field(default_factory=list)
    violations: list[tuple[Side, str]] = field(default_factory=list)
    unread: list[tuple[Side, int, int]] = field(default_factory=list)
    """Spans of captured bytes (side, start, end) that are in no message."""

    @property
    def succession(self) -> Succession | None:
        """The protocol that takes over, if any."""
        return self.protocol.succession


class Direction:
    """One side's stream and how far it was read."""

    def __init__(self, side: Side, stream: bytes | Sequence[bytes | int], synchronised: bool) -> None:
        self.side = side
        self.pieces: list[tuple[int, bytes]] = []
        """Runs of contiguous bytes with their stream offsets."""
        self.synchronised = synchronised
        self.position = 0
        self.finished = False
        offset = 0
        for part in [stream] if isinstance(stream, bytes) else stream:
            if isinstance(part, int):
                offset += part
            elif part:
                if self.pieces and self.pieces[-1][0] + len(self.pieces[-1][1]) == offset:
                    start, before = self.pieces.pop()
                    self.pieces.append((start, before + part))
                else:
                    self.pieces.append((offset, part))
                offset += len(part)
        self.length = offset
        self.visible = 0

    def run(self) -> tuple[int, bytes] | None:
        """The contiguous run that holds `position`, or None where it is in a gap or at the end."""
        for start, content in self.pieces:
            if start <= self.position < start + len(content):
                return start, content
        return None

    def next_run(self) -> int | None:
        """Where the first run behind `position` begins."""
        return next((start for start, _ in self.pieces if start > self.position), None)


def dissect(
    protocol_class: type[Protocol],
    client: bytes | Sequence[bytes | int],
    server: bytes | Sequence[bytes | int],
    *,
    context: Context | None = None,
    splits: random.Random | None = None,
) -> Dissection:
    """Feed the two streams to a new object of `protocol_class`; whole windows, or random splits where `splits` is given."""
    context = context or Context()
    result = Dissection(protocol_class(context))
    directions = (
        Direction(Side.CLIENT, client, context.started[Side.CLIENT]),
        Direction(Side.SERVER, server, context.started[Side.SERVER]),
    )
    rounds = 0
    bound = 1000 + 20 * sum(direction.length + len(direction.pieces) for direction in directions)
    while result.protocol.succession is None:
        rounds += 1
        assert rounds < bound, "the protocol makes no progress and does not say so"
        moved = False
        for direction in directions:
            while advance(result, direction, splits):
                moved = True
                rounds += 1
                assert rounds < bound, "the protocol makes no progress and does not say so"
                if result.protocol.succession is not None:
                    break
            if result.protocol.succession is not None:
                break
        if moved or result.protocol.succession is not None or show_more(directions, splits):
            continue
        if not give_up_something(result, directions):
            break
    collect(result)
    account(result, directions)
    return result


def show_more(directions: Sequence[Direction], splits: random.Random | None) -> bool:
    """Let more bytes of the streams arrive. False: everything is there."""
    waiting = [direction for direction in directions if direction.visible < direction.length]
    if not waiting:
        return False
    if splits is None:
        for direction in waiting:
            direction.visible = direction.length
    else:
        direction = splits.choice(waiting)
        step = splits.choice((1, 2, 7, 40, 300, 5000))
        direction.visible = min(direction.length, direction.visible + splits.randint(1, step))
    return True


def advance(result: Dissection, direction: Direction, splits: random.Random | None) -> bool:
    """One call of ``parse`` or ``resync``. True: the position moved, or messages came."""
    protocol, side, run = result.protocol, direction.side, direction.run()
    if run is None or direction.finished or direction.visible <= direction.position:
        return False
    start, content = run
    low = direction.position if splits is None else max(start, direction.position - splits.randint(0, 100))
    data = content[low - start : max(0, direction.visible - start)]
    at = direction.position - low
    if not direction.synchronised:
        found = protocol.resync(side, data, at, low)
        if found is None:
            kept = max(direction.position, low + len(data) - KEPT_FOR_RESYNC)
            moved = kept > direction.position
            direction.position = kept
            return moved
        assert at <= found <= len(data)
        direction.position = low + found
        direction.synchronised = True
        return True
    try:
        read = protocol.parse(side, data, at, low)
    except Violation as violation:
        result.violations.append((side, str(violation)))
        ends = [message.end for message in (protocol.requests, protocol.responses)[side]]
        direction.position = max([direction.position, *ends])
        protocol.lost(side, direction.position, direction.position + 1)
        direction.position += 1
        direction.synchronised = False
        collect(result)
        return True
    assert read >= at, "parse went back"
    moved = low + read > direction.position or len((protocol.requests, protocol.responses)[side]) > 0
    direction.position = low + read
    collect(result)
    return moved


def give_up_something(result: Dissection, directions: Sequence[Direction]) -> bool:
    """Nothing moves and everything has arrived: declare one gap, or finish one side. False: all is done."""
    for direction in directions:
        following = direction.next_run()
        run = direction.run()
        end_of_run = direction.position if run is None else run[0] + len(run[1])
        if following is not None or end_of_run < direction.length:
            behind = following if following is not None else direction.length
            if direction.synchronised:
                result.protocol.lost(direction.side, end_of_run, behind)
            direction.position = behind
            direction.synchronised = False
            return True
    # A side that was read to its end first, and then the server's, as the driver does.
    for direction in sorted(directions, key=lambda each: (each.position < each.length, each.side is Side.CLIENT)):
        if not direction.finished:
            direction.finished = True
            result.protocol.finish(direction.side, direction.length)
            return True
    return False


def collect(result: Dissection) -> None:
    """Take the messages, as the driver does, and check that they are in order and do not overlap."""
    for taken, fresh in (
        (result.requests, result.protocol.requests),
        (result.responses, result.protocol.responses),
    ):
        for message in fresh:
            assert message.start <= message.end
            assert not taken or taken[-1].end <= message.start, "messages overlap"
            taken.append(message)
        fresh.clear()


def account(result: Dissection, directions: Sequence[Direction]) -> None:
    """Find the captured bytes that are in no message."""
    for direction in directions:
        succession = result.succession
        handed_over = (
            None if succession is None else (succession.client_offset, succession.server_offset)[direction.side]
        )
        messages = (result.requests, result.responses)[direction.side]
        for start, content in direction.pieces:
            end = start + len(content)
            if handed_over is not None:
                end = min(end, handed_over)
            reached = start
            for message in messages:
                if message.end > reached and message.start < end:
                    if message.start > reached:
                        result.unread.append((direction.side, reached, message.start))
                    reached = message.end
            if reached < end:
                result.unread.append((direction.side, reached, end))
