"""A conversation inside of another one: what TLS carries, once it is opened.

Rules: the inner conversation reads the carried bytes at offsets of their own. Its messages are given the stream offsets of
the bytes that stand for theirs; one that begins or ends with a unit (a record) takes the unit's header and trailer with it.
So messages tile the stream of the connection as all others do, and the packets behind them are found in the same way. What
of the units is in no message is CONTROL, or was left unread by the inner conversation, which says why.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from wiretrace.model.analysis import Payload
from wiretrace.model.message import Message, Role
from wiretrace.model.side import Side

if TYPE_CHECKING:
    from collections import Counter

    from wiretrace.exchanges.conversation import Conversation
    from wiretrace.exchanges.direction import Direction
    from wiretrace.protocols.contract import Carried

ASKING = (Role.REQUEST, Role.ONE_WAY, Role.PUSH)
"""Messages that are given the attributes of what carries them."""
REMEMBERED_ATTRIBUTES = 10_000


class Unit(NamedTuple):
    """A unit, and where what it carries stands in the carried stream."""

    plain: int
    plain_end: int
    start: int
    end: int
    body: int
    before: int
    """Bytes of the units of this side before it."""


class _Side:
    """One direction: the units that may still be asked for, in order."""

    def __init__(self, plain: int) -> None:
        self.units: deque[Unit] = deque()
        self.plain = plain
        """Carried offset behind what was taken."""
        self.bytes = 0
        """Bytes of all units."""
        self.inside = 0
        """Bytes of units that are in messages."""
        self.mapped = -1
        """Stream offset behind the last message."""
        self.plain_mapped = plain
        """Carried offset behind the last message."""
        self.opened: tuple[int, int] | None = None
        """Where the message begins whose end has not come: stream offset, and bytes of units before it."""

    def start(self, plain: int) -> tuple[int, int]:
        """Stream offset of the message that begins at `plain`, and bytes of units before it. Forgets what is behind."""
        units = self.units
        while len(units) > 1 and units[0].plain_end <= plain:
            units.popleft()
        unit = units[0]
        if plain <= unit.plain:
            return unit.start, unit.before
        if plain >= unit.plain_end:
            return unit.end, unit.before + unit.end - unit.start
        at = unit.body + plain - unit.plain
        return at, unit.before + at - unit.start

    def end(self, plain: int) -> tuple[int, int]:
        """Stream offset behind the message that ends at `plain`, and bytes of units before that. Forgets what is behind."""
        units = self.units
        while len(units) > 1 and units[0].plain_end < plain:
            units.popleft()
        return ended(units[0], plain)

    def behind(self, plain: int) -> int:
        """As `end`, the stream offset alone, and nothing is forgotten."""
        unit = next((unit for unit in self.units if unit.plain_end >= plain), self.units[-1] if self.units else None)
        return ended(unit, plain)[0] if unit is not None else max(self.mapped, 0)

    def forget(self) -> None:
        """What came so far is needed no more but for its end."""
        while len(self.units) > 1:
            self.units.popleft()


def ended(unit: Unit, plain: int) -> tuple[int, int]:
    """Where in or around `unit` the carried offset `plain` ends: stream offset, and bytes of units before it."""
    if plain >= unit.plain_end:
        return unit.end + plain - unit.plain_end, unit.before + unit.end - unit.start
    if plain <= unit.plain:
        return unit.start - (unit.plain - plain), unit.before
    at = unit.body + plain - unit.plain
    return at, unit.before + at - unit.start


def take_back(unread: Counter[Payload], count: int) -> None:
    """So many bytes that were counted as unread are in a message after all: it reaches over the gap beside them."""
    for reason in (Payload.SKIPPED_AFTER_GAP, Payload.MALFORMED, Payload.UNFINISHED):
        part = min(max(count, 0), unread[reason])
        unread[reason] -= part
        count -= part


class Carriage:
    """What is inside of one conversation."""

    def __init__(self, inner: Conversation, begins: tuple[int, int]) -> None:
        """`begins` holds, by side, the offset at which the carried stream begins."""
        self.inner = inner
        self._sides = (_Side(begins[0]), _Side(begins[1]))
        self._attributes: dict[int, tuple[dict[str, str | int], dict[str, str | int]]] = {}
        for side in Side:
            state = inner.side(side)
            state.origin = state.base = state.next = begins[side]

    def take(self, side: Side, unit: Carried) -> None:
        """Take one unit, in stream order."""
        state = self._sides[side]
        plain = state.plain + unit.missing
        behind = plain + len(unit.data)
        if state.mapped < 0:
            state.mapped = unit.start
        state.units.append(Unit(plain, behind, unit.start, unit.end, unit.body, state.bytes))
        state.bytes += unit.end - unit.start
        state.plain = behind
        if unit.data:
            self.inner.add(side ^ self.inner.client, plain, unit.data, [plain])

    def finish(self, unseen: tuple[int, int]) -> None:
        """The connection is over; of each side so many bytes more are known to exist. Messages are then to be taken."""
        ends = [state.plain + more for state, more in zip(self._sides, unseen, strict=True)]
        self.inner.finish((ends[self.inner.client], ends[1 - self.inner.client]))

    @property
    def control_bytes(self) -> int:
        """Bytes of units that are in no message, and that the inner conversation does not count as unread."""
        return sum(state.bytes - state.inside for state in self._sides) - self.inner.unread.total()

    def whole(self) -> tuple[int, int]:
        """`Conversation.whole` of the inner conversation, as stream offsets."""
        return self._sides[0].behind(self.inner.whole[0]), self._sides[1].behind(self.inner.whole[1])

    def messages(
        self, side: Side, outer: Direction, attributes: dict[str, str | int] | None, *, final: bool
    ) -> tuple[list[Message], int]:
        """Take the messages of `side` that are complete, at stream offsets.

        Also returned is how many captured bytes within them belong to no unit (they lie beside a gap).
        """
        state, waiting = self._sides[side], self.inner.messages[side]
        taken: list[Message] = []
        strays = 0
        for at, message in enumerate(waiting):
            if message.end > state.plain and not final:
                if state.opened is None:
                    state.opened = state.start(message.start)
                state.forget()
                del waiting[:at]
                return taken, strays
            if not state.units:
                continue
            strays += self._place(state, message, outer, taken)
            if attributes and message.role in ASKING:
                message.attributes = self._merged(message.attributes, attributes)
            taken.append(message)
        waiting.clear()
        if self.inner.protocol is None and self.inner.decided:
            state.forget()
        return taken, strays

    @staticmethod
    def _place(state: _Side, message: Message, outer: Direction, taken: list[Message]) -> int:
        """Give a message its stream offsets; returns how many captured bytes within it belong to no unit."""
        plain, plain_end = message.start, message.end
        if plain == plain_end and state.opened is None:
            message.start = message.end = state.mapped
            return 0
        start, before = state.opened or state.start(plain)
        state.opened = None
        start = max(start, state.mapped)
        if (
            start > state.mapped
            and plain == state.plain_mapped
            and outer.held(state.mapped, start) == start - state.mapped
        ):
            # Records between two messages that carry nothing: session tickets, alerts.
            taken.append(Message(Role.CONTROL, state.mapped, start, key=0 if message.key >= 0 else -1))
            state.inside += start - state.mapped
        end, behind = state.end(plain_end)
        end = max(end, start)
        state.inside += behind - before
        state.mapped, state.plain_mapped = end, plain_end
        message.start, message.end = start, end
        return outer.held(start, end) - (behind - before)

    def _merged(self, own: dict[str, str | int] | None, common: dict[str, str | int]) -> dict[str, str | int]:
        """Both attributes; equal dicts give the same dict, which costs less further on."""
        known = self._attributes.get(id(own))
        if known is not None and known[0] is own:
            return known[1]
        merged = {**common, **(own or {})}
        if own is not None:
            if len(self._attributes) >= REMEMBERED_ATTRIBUTES:
                self._attributes.clear()
            self._attributes[id(own)] = (own, merged)
        return merged
