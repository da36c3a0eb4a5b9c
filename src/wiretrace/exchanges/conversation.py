"""One connection's bytes on their way into messages: detection, parsing of both sides, gaps, and the end.

Rules: a conversation is given runs of bytes of its two directions, and hands out messages in stream order. A side that
can not go on waits for the other one; a gap is passed only when neither side can go on without it. Every byte that it is
given ends in a message, or is counted in `unread` under its reason.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from wiretrace.exchanges.carriage import Carriage, take_back
from wiretrace.exchanges.detection import SURE, identify, looks_encrypted, stands_before
from wiretrace.exchanges.direction import Direction
from wiretrace.exchanges.prepared import pair_of
from wiretrace.exchanges.told import Told
from wiretrace.model.analysis import Payload
from wiretrace.model.note import NoteKind, Notes
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, Protocol, Succession, Violation
from wiretrace.protocols.registry import known_protocols

if TYPE_CHECKING:
    from wiretrace.model.limits import Limits
    from wiretrace.model.message import Message
    from wiretrace.protocols.contract import Carried

RESYNC_TAIL = 64
"""Bytes that a resync which found nothing is given again, in case a boundary straddles the end."""
VIOLATIONS_AT_MOST = 20
"""Violations after which a conversation is given up, unless it brought twice as many messages."""
BELIEVED = 0.6
"""A probe with this much is believed though the first bytes break the rules, unless another protocol claims them."""
OPENINGS = 8
"""Places that are tried as the start of a message in a direction that was joined midway."""
PAYLOAD_OF = {
    NoteKind.ENCRYPTED: Payload.ENCRYPTED,
    NoteKind.PROTOCOL_UNKNOWN: Payload.PROTOCOL_UNKNOWN,
    NoteKind.MALFORMED: Payload.MALFORMED,
}
EPHEMERAL_PORTS = 32768
"""Where the ports begin that Linux gives to clients."""


class Conversation:
    """One connection. Directions are numbered as in `tcp.streams`; sides are Side.CLIENT and Side.SERVER."""

    __slots__ = (
        "_excluded", "_inside", "_keep_values", "_limits", "_notes", "_produced", "_shared", "_told",
        "_unread_before", "_violations", "addresses", "aligned", "carriage", "client", "client_known", "connection",
        "decided", "directions", "given_up", "hint", "interleaves", "keyed", "last_end", "likelihood", "messages",
        "ports", "protocol", "protocol_name", "turns", "unread", "varied", "whole",
    )  # fmt: skip

    def __init__(
        self,
        connection: int,
        client: int,
        started: tuple[bool, bool],
        ports: tuple[int, int],
        limits: Limits,
        notes: Notes,
        shared: dict[str, dict[str, object]],
        keep_values: bool,
        addresses: tuple[bytes, bytes],
    ) -> None:
        self.connection = connection
        self.client_known = client >= 0
        self.client = max(client, 0)
        """Direction of the client, once known."""
        self.ports = ports
        self.addresses = addresses
        """Of ends a and b, in network byte order."""
        self.directions = (Direction(started[0]), Direction(started[1]))
        self.protocol: Protocol | None = None
        self.protocol_name = ""
        """Name of the protocol, or "" while or if it is not known."""
        self.decided = False
        """Whether the protocol was recognised, or given up."""
        self.given_up = Payload.PROTOCOL_UNKNOWN
        """Why the bytes are not read, where they are not."""
        self.hint: type[Protocol] | None = None
        """What the last connection to the same server spoke."""
        self.interleaves = False
        """Whether a protocol that it spoke sends messages in pieces."""
        self.keyed = False
        """Whether a protocol that it spoke pairs nothing by order."""
        self.turns = False
        """Whether it speaks a protocol whose messages are turns."""
        self.varied = False
        """Whether it has gone over to another protocol, so that its messages say themselves which was theirs."""
        self.carriage: Carriage | None = None
        """What is inside, where its protocol carries another one."""
        self.messages: tuple[list[Message], list[Message]] = ([], [])
        """By side: messages read and not yet taken."""
        self.last_end = [-(2**62), -(2**62)]
        """By side: stream offset behind the last message read."""
        self.aligned = all(started)
        """Whether nothing is missing so far, so that requests and responses can be counted."""
        self.whole = (0, 0)
        """By side: stream offset up to which nothing is missing and no rule is broken, where a violation ended that."""
        self.likelihood = 0.0
        """How surely the connection speaks its protocol, by its first bytes."""
        self.unread: Counter[Payload] = Counter()
        """Captured bytes that ended in no message, by reason."""
        self._limits = limits
        self._notes = notes
        self._shared = shared
        self._keep_values = keep_values
        self._excluded: frozenset[str] = frozenset()
        self._inside: Succession | None = None
        """How the protocol took over that carries the one before it."""
        self._told: Told | None = None
        """What the protocols before say of every request."""
        self._unread_before: dict[Payload, int] = {}
        self._violations = 0
        self._produced = 0

    def side(self, side: int) -> Direction:
        """The direction that `side` sends in."""
        return self.directions[side ^ self.client]

    @property
    def is_tls(self) -> bool:
        """Whether it is a TLS connection, opened or not."""
        return self.turns or self.carriage is not None

    @property
    def reader(self) -> Protocol | None:
        """The protocol that makes the messages of exchanges: the innermost one."""
        return self.protocol if self.carriage is None else self.carriage.inner.protocol

    def add(self, direction: int, start: int, data: bytes, openings: list[int]) -> None:
        """Take one run of bytes. `openings` are the offsets at which its first segments began."""
        state = self.directions[direction]
        if not state.add(start, data, joined=not self.decided):
            self.aligned = False
        if len(state.openings) < OPENINGS:
            state.openings.extend(openings[: OPENINGS - len(state.openings)])

    def advance(self, *, final: bool) -> None:
        """Read what can be read."""
        self._advance(final=final)
        if self.carriage is not None:
            self.carriage.inner.advance(final=False)
            self._take_carried(final=False)

    def _advance(self, *, final: bool) -> None:
        if not self.decided:
            self._decide(final=final)
        while self.protocol is not None:
            progressed = self._read(Side.CLIENT)
            if self.protocol is not None and self._read(Side.SERVER):
                progressed = True
            if self.protocol is not None and self.protocol.succession is not None:
                self._collect()
                self._succeed(self.protocol.succession, final=final)
            elif not progressed and not self._pass_gap():
                self._collect()
                for state in self.directions if self._produced else ():
                    state.forget()
                return
        if self.decided:
            self._drop()

    def finish(self, ends: tuple[int, int]) -> None:
        """The connection is over, at these stream offsets (by direction)."""
        for direction, end in enumerate(ends):
            state = self.directions[direction]
            if end > state.next and state.origin is not None:
                state.gaps.append((state.next, end))
                self.aligned = False
        self.advance(final=True)
        self._finish_protocol()
        if self.carriage is not None:
            states = self.side(Side.CLIENT), self.side(Side.SERVER)
            self.carriage.finish((ends[self.client] - states[0].next, ends[1 - self.client] - states[1].next))
            self._take_carried(final=True)
            self.unread.update(self.carriage.inner.unread)
            self.unread[Payload.CONTROL] += self.carriage.control_bytes
        if self.turns and self._produced:
            self._notes.add(NoteKind.ENCRYPTED, self.protocol_name)
        if self.protocol is None:
            return
        for side in Side:
            state = self.side(side)
            left = state.end - max(state.position, self.last_end[side])
            if left > 0:
                self.unread[Payload.UNFINISHED] += left

    def _finish_protocol(self) -> None:
        """Read the last of both sides, and tell the protocol that nothing more will come."""
        # A side that was read to its end first: that it will say nothing more may release what the other one waits for.
        for side in sorted((Side.SERVER, Side.CLIENT), key=lambda side: self.side(side).position < self.side(side).end):
            if self.protocol is None:
                return
            self._read(side)
            self._collect()
            if self.protocol is None:
                self._drop()
                return
            self.protocol.finish(side, max(self.side(side).end, self.last_end[side]))
        self._collect()

    def _places(self) -> tuple[list[bytes], list[bytes]]:
        bound = self._limits.probe_bytes
        return self.directions[0].places(bound), self.directions[1].places(bound)

    def _decide(self, *, final: bool) -> None:
        bound = self._limits.probe_bytes
        both = self._places()
        if self.hint is not None and self.hint.name not in self._excluded and self.client_known:
            client, server = both[self.client][0], both[1 - self.client][0]
            if self.hint.probe(client, server) >= SURE and not stands_before(client, server):
                self.likelihood = SURE
                self._adopt(self.hint)
                return
        enough = final or any(len(state.runs) > 1 or len(state.opening(bound)) >= bound for state in self.directions)
        guess = identify(both, self.ports, self.client if self.client_known else -1, self._excluded)
        if guess.protocol is not None and (guess.score >= SURE or enough):
            self.client = guess.client
            self.client_known = True
            self.likelihood = guess.score
            self._adopt(guess.protocol)
        elif guess.protocol is None and enough:
            if not self.client_known:
                self.client = int(self.ports[0] < self.ports[1])
            encrypted = any(looks_encrypted(opening) for direction in both for opening in direction[:1])
            port = self.ports[1 - self.client]
            reason = f"server port {port}" if port < EPHEMERAL_PORTS else "server port above 32767"
            self._give_up(NoteKind.ENCRYPTED if encrypted else NoteKind.PROTOCOL_UNKNOWN, reason)

    def _adopt(self, protocol: type[Protocol], succession: Succession | None = None) -> None:
        self.decided = True
        started = self.side(Side.CLIENT).started, self.side(Side.SERVER).started
        self.protocol = protocol(
            Context(
                started=started,
                keep_values=self._keep_values,
                value_bytes=self._limits.value_bytes,
                unparsed_bytes=self._limits.unparsed_bytes,
                opened_by=None if succession is None else succession.opened_by,
                prologue=(b"", b"") if succession is None else succession.prologue,
                pair=pair_of(self.addresses[self.client], self.addresses[1 - self.client], self.ports[1 - self.client]),
                shared=self._shared.setdefault(protocol.name, {}),
            )
        )
        self.protocol_name = protocol.name
        self.interleaves |= protocol.interleaves
        self.keyed |= protocol.keyed
        self.turns = protocol.turns
        self._unread_before = dict(self.unread)
        for state in self.directions:
            state.resync = not state.started
        if not all(started):
            self._notes.add(NoteKind.STARTED_MIDWAY, protocol.name)

    def _give_up(self, kind: NoteKind, reason: str) -> None:
        self.decided = True
        self.protocol = None
        self.given_up = PAYLOAD_OF[kind]
        self._notes.add(kind, reason)

    def _drop(self) -> None:
        """Count what is not read."""
        for side in Side:
            dropped = self.side(side).drop(self.last_end[side])
            if dropped:
                self.unread[self.given_up] += dropped

    def _read(self, side: Side) -> bool:
        """Parse what `side` has, without passing a gap. Whether anything was read."""
        state = self.side(side)
        progressed = False
        while self.protocol is not None and self.protocol.succession is None:
            if state.skip():
                progressed = True
            if state.at < len(state.buffer) and (not state.resync or self._resync(side, state)):
                before = state.at
                brought = self._parse(side, state)
                if brought or state.at > before or state.skip_to is not None or state.resync:
                    progressed = True
                    if state.skip_to is not None or state.resync:
                        continue
                if self.protocol is None or self.protocol.succession is not None:
                    return True
            if not state.append():
                return progressed
            progressed = True
        return progressed

    def _parse(self, side: Side, state: Direction) -> bool:
        """Parse what stands in the buffer. Whether it brought messages, which may release the other side.

        It may bring them and stand where it was: they were carried in a frame that holds more.
        """
        assert self.protocol is not None
        messages = (self.protocol.requests, self.protocol.responses)[side]
        before = len(messages)
        try:
            at = self.protocol.parse(side, state.buffer, state.at, state.base)
        except Violation as violation:
            if len(messages) > before:
                state.at = min(len(state.buffer), max(state.at, messages[-1].end - state.base))
            self._violated(side, state, str(violation))
            return True
        brought = len(messages) > before
        if at > len(state.buffer):
            state.skip_to = state.base + at
            state.at = len(state.buffer)
        elif at > state.at:
            state.at = at
        if len(state.buffer) - state.at > self._limits.unparsed_bytes:
            self._notes.add(NoteKind.LIMIT_REACHED, "unparsed_bytes")
            self._violated(side, state, "message too long to keep")
        return brought

    def _violated(self, side: Side, state: Direction, reason: str) -> None:
        """Pass over the byte that breaks the rules, or give the protocol up."""
        assert self.protocol is not None
        self._violations += 1
        self._collect()
        if not self._produced and self._rewind():
            return
        self._notes.add(NoteKind.MALFORMED, f"{self.protocol.name}: {reason}")
        if self.aligned:
            other = self.side(side.other).next
            self.whole = (state.position, other) if side is Side.CLIENT else (other, state.position)
        self.aligned = False
        if self._violations > VIOLATIONS_AT_MOST and self._violations * 2 > self._produced:
            for each in Side:
                self.protocol.finish(each, self.side(each).position)
            self._collect()
            self._give_up(NoteKind.MALFORMED, f"not {self.protocol.name} any more")
            return
        offset = state.position
        self.protocol.lost(side, offset, offset + 1)
        self._collect()
        if state.at < len(state.buffer):
            if self.last_end[side] <= offset:
                self.unread[Payload.MALFORMED] += 1
            state.at += 1
        state.resync = True

    def _rewind(self) -> bool:
        """Try another protocol where this one has read nothing yet. False if there is none that is likelier."""
        assert self.protocol is not None
        if any(state.origin is not None and state.base != state.origin for state in self.directions):
            return False
        excluded = self._excluded | {self.protocol.name}
        positions = [(state.at, state.skip_to) for state in self.directions]
        for state in self.directions:
            state.at, state.skip_to = 0, None
        if self.likelihood >= BELIEVED:
            client = self.client if self.client_known else -1
            if identify(self._places(), self.ports, client, excluded).protocol is None:
                for state, (at, skip_to) in zip(self.directions, positions, strict=True):
                    state.at, state.skip_to = at, skip_to
                return False
        self._excluded = excluded
        self.protocol = None
        self.protocol_name = ""
        self.decided = False
        self.unread = Counter(self._unread_before)
        self._decide(final=True)
        return True

    def _resync(self, side: Side, state: Direction) -> bool:
        """Find a message boundary. Whether one was found."""
        assert self.protocol is not None
        index = self.protocol.resync(side, state.buffer, state.at, state.base)
        skipped = (len(state.buffer) - RESYNC_TAIL if index is None else index) - state.at
        if skipped > 0:
            self.unread[Payload.SKIPPED_AFTER_GAP] += skipped
            state.at += skipped
        state.resync = index is None
        return index is not None

    def _pass_gap(self) -> bool:
        """Pass the next gap of the client's or else the server's direction. Whether there was one."""
        assert self.protocol is not None
        for side in Side:
            state = self.side(side)
            if not state.runs or state.runs[0][0] <= state.end:
                continue
            start, data = state.runs.popleft()
            lost_from = state.end
            left = lost_from - state.position
            self.protocol.lost(side, lost_from, start)
            self._collect()
            if left and self.last_end[side] < lost_from:
                self.unread[Payload.SKIPPED_AFTER_GAP] += left
            state.base, state.buffer, state.at, state.skip_to = start, data, 0, None
            state.resync = True
            return True
        return False

    def _succeed(self, succession: Succession, *, final: bool) -> None:
        """Another protocol takes over."""
        offsets = (succession.client_offset, succession.server_offset)
        for side in Side:
            for message in self.messages[side]:
                if message.key < 0:
                    message.protocol = message.protocol or self.protocol_name
            state = self.side(side)
            state.skip_to = state.origin = max(offsets[side], state.position)
            state.started, state.resync = True, False
            state.openings.clear()
            state.skip()
        if succession.attributes or succession.identifiers:
            self._told = Told(succession, self._told)
        self.protocol = None
        self._excluded = frozenset()
        self._produced = 0
        self.varied = True
        successor = known_protocols().get(succession.protocol)
        if successor is not None:
            self._inside = succession if succession.inside is not None else None
            self._adopt(successor, succession)
        elif succession.protocol:
            # What a security layer of SASL encrypts can not be read, and is no protocol of its own.
            kind = NoteKind.ENCRYPTED if succession.protocol == "sasl" else NoteKind.PROTOCOL_UNKNOWN
            self._give_up(kind, f"{succession.protocol} after {self.protocol_name}")
        else:
            self.decided = False
            self._decide(final=final)

    def _collect(self) -> None:
        """Take the messages that the protocol has read."""
        protocol = self.protocol
        if protocol is None:
            return
        for side, found in ((Side.CLIENT, protocol.requests), (Side.SERVER, protocol.responses)):
            if found:
                if self._told is not None and side is Side.CLIENT:
                    self._told.tell(found)
                self._produced += len(found)
                self.last_end[side] = found[-1].end
                self.messages[side].extend(found)
                found.clear()
        if protocol.carried is not None:
            self._carry(protocol.carried)

    def _carry(self, carried: tuple[list[Carried], list[Carried]]) -> None:
        """Hand what the protocol carries to the conversation inside."""
        if self.carriage is None:
            self.carriage = self._open_carriage()
        for side, units in zip(Side, carried, strict=True):
            for unit in units:
                self.carriage.take(side, unit)
                self._produced += 1
            units.clear()

    def _open_carriage(self) -> Carriage:
        inner = Conversation(
            self.connection, self.client, (True, True), self.ports, self._limits, self._notes, self._shared,
            self._keep_values, self.addresses,
        )  # fmt: skip
        succession = self._inside
        if succession is None:
            return Carriage(inner, (0, 0))
        inner.continue_with(succession)
        return Carriage(inner, (succession.client_offset, succession.server_offset))

    def continue_with(self, succession: Succession) -> None:
        """Go on with the protocol that has read the connection so far, inside of the one that took over."""
        protocol = succession.inside
        assert protocol is not None
        protocol.succession = None
        self.decided = True
        self.protocol, self.protocol_name = protocol, protocol.name
        self.interleaves, self.turns = protocol.interleaves, protocol.turns

    def _take_carried(self, *, final: bool) -> None:
        """Take the messages of the conversation inside as this one's."""
        carriage = self.carriage
        assert carriage is not None
        inner = carriage.inner
        if self.aligned and not inner.aligned:
            self.aligned = False
            self.whole = carriage.whole()
        attributes = self.protocol.carried_attributes if self.protocol is not None else None
        for side in Side:
            taken, strays = carriage.messages(side, self.side(side), attributes, final=final)
            if taken:
                self.messages[side].extend(taken)
                self.last_end[side] = taken[-1].end
            take_back(self.unread, strays)
        self.turns, self.interleaves, self.keyed = inner.turns, self.interleaves | inner.interleaves, inner.keyed
        self.varied |= inner.varied
        self.protocol_name = inner.protocol_name or self.protocol_name
