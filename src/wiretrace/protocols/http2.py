"""HTTP/2 (RFC 9113), with prior knowledge or after an upgrade from HTTP/1.1, and gRPC on it.

Rules of this file:

- Frames of a direction are read in order. Those of one stream make one message, from the frame of its head to the one that
  ends the stream; adjacent ones are one piece of it, and where those of other streams lie between, it comes in pieces
  (`Role.PART`). Frames of the connection, and those that add nothing to a message, are CONTROL.
- Header blocks are decoded in order, all of them, because each may change the table that the next one refers to. That a
  SETTINGS frame changed its size is told once more in the blocks themselves (RFC 7541 section 6.3), in their order.
- How long a frame may be is for its receiver to say (section 6.5.2), whose word may come later here: any is believed.
- Content is passed over. That of gRPC and of event streams is looked into as it comes; a gap in it leaves the place inside
  the frame known, and reading goes on behind it.
- Any other gap may have held header blocks and ends of streams: the table is forgotten, and messages that are open may lack
  bytes. Nothing of them is guessed.
- A stream that the client resets is called off (section 8.1): its request ends with the reset, or a CANCEL message
  says so. What the server had sent of the answer ends when the server answers a stream that the client opened later, or
  with the connection.
- A stream that the server resets is given up; so are those above the last one that GOAWAY names (section 6.8).
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from itertools import islice
from typing import ClassVar

from wiretrace.model.limits import Limits
from wiretrace.model.message import Message, Result, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, Protocol, Violation
from wiretrace.protocols.http2_direction import CONNECTION, NOBODY, Direction, header_block
from wiretrace.protocols.http2_fields import Head, read_head
from wiretrace.protocols.http2_frames import (
    CONTINUATION,
    DATA,
    END_STREAM,
    GOAWAY,
    HEAD,
    HEAD_BYTES,
    HEADERS,
    LENGTH_OF,
    PADDED,
    PREFACE,
    PUSH_PROMISE,
    RST_STREAM,
    STREAM,
    USUAL_FRAME_BYTES,
    boundary_in,
    error_name,
    likelihood,
)
from wiretrace.protocols.http2_hpack import MalformedBlock
from wiretrace.protocols.http2_stream import MALFORMED_HEAD, Half, failed

OPEN_STREAMS = Limits().open_streams
STREAMS_AHEAD = 20_000
"""How far above the last stream that is known the streams behind a gap may be."""
TOO_MANY = "more streams were open than are followed"


class Http2(Protocol):
    """One connection of HTTP/2 in clear text: RFC 9113, with RFC 7541 (HPACK), RFC 8441 (extended CONNECT) and gRPC.

    Sees method, path, status, sizes and times of every stream; CONTINUATION, padding, interim responses, trailers, resets,
    pushed responses; calls of gRPC with their status and numbers of messages. Does not see: content; header fields that
    refer to some that were not captured (told as unknown); priorities and flow control; what runs in a tunnel (CONNECT);
    anything under TLS.
    """

    name: ClassVar[str] = "http2"
    ports: ClassVar[frozenset[int]] = frozenset({50051})
    blocking: ClassVar[bool] = False
    interleaves: ClassVar[bool] = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        started = context.started
        self._client = Direction(self.requests, started=started[0], opening=started[0])
        self._server = Direction(self.responses, started=started[1], opening=False)
        self._awaiting: dict[int, Message | None] = {}
        """Streams whose answer is not complete: the request once it is."""
        self._answered: tuple[set[int], set[int]] = (set(), set())
        """Streams whose answer was complete lately, and before that."""
        self._cancelled: deque[tuple[int, int]] = deque()
        """Where in the client's direction streams were reset, and which."""
        self._opened: dict[int, int] = {}
        """Where in the client's direction the streams of `_awaiting` began."""
        self._refused_above = STREAM + 1
        """Streams above this one will not be answered."""
        self._refusable: list[int] | None = None
        """Streams that a later GOAWAY may refuse, in rising order; None before the first one."""
        self._no_preface_before = 0
        """Offset in the client's direction before which no preface stands, from where one was last sought."""
        if context.opened_by is not None:
            # The request that asked for the upgrade is stream 1 (RFC 7540 section 3.2).
            self._opened[1], self._awaiting[1] = -1, None
            self._client.last = 1

    @classmethod
    def probe(cls, client: bytes, server: bytes) -> float:
        """The preface is unmistakable; frames in a row, whose header fields are those of their side, are likely."""
        if client[:1] not in (b"", b"P", b"\0") or server[:1] not in (b"", b"\0"):
            return 0.6 if client.startswith(PREFACE) else 0.0
        return likelihood(client, server)

    def parse(self, side: Side, data: bytes, at: int, base: int) -> int:
        """Read frames; see the contract."""
        direction = (self._client, self._server)[side]
        direction.owner, direction.tile, direction.reached = NOBODY, base + at, base + at
        try:
            at = self._read(side, direction, data, at, base)
        except Violation:
            direction.turn(NOBODY, max(direction.tile, direction.reached))
            raise
        direction.turn(NOBODY, base + at)
        return at

    def resync(self, side: Side, data: bytes, at: int, base: int) -> int | None:
        """The first frame that can be trusted, or the place in a frame that is still known; see `http2_frames`."""
        direction = (self._client, self._server)[side]
        if direction.left or base + at == direction.aligned:
            return at
        if side is Side.CLIENT and (preface := self._next_preface(data, at, base)) >= 0:
            direction.opening = True
            return preface
        last = max(self._client.last, direction.last)
        found = boundary_in(side, data, at, last + STREAMS_AHEAD if last else STREAM)
        if found is not None:
            direction.opening = False
        return found

    def _next_preface(self, data: bytes, at: int, base: int) -> int:
        """The index in `data[at:]` of the next preface, -1 if none is there.

        However often a boundary is sought in the same bytes, they are searched once.
        """
        start = max(at, self._no_preface_before - base)
        found = data.find(PREFACE, start)
        self._no_preface_before = base + (found if found >= 0 else max(start, len(data) - len(PREFACE) + 1))
        return found

    def lost(self, side: Side, start: int, end: int) -> None:
        """Remember what may be missing; a gap inside content that is looked into leaves the frame known."""
        direction = (self._client, self._server)[side]
        stream, flags = direction.reading
        half = direction.halves.get(stream)
        if half is not None and end - start <= direction.left and start == direction.tile:
            half.lose()
            direction.left -= end - start
            direction.owner = stream
            if direction.left:
                direction.turn(NOBODY, end)
                return
            direction.aligned = end
            if flags & END_STREAM:
                self._end(side, direction, stream, half.message(stream, self.context), end)
            direction.turn(NOBODY, end)
            return
        direction.left = 0
        direction.partial = True
        direction.opening = False
        direction.decoder.forget()
        for each in direction.sound.values():
            each.lose()
        direction.sound.clear()

    def finish(self, side: Side, offset: int) -> None:
        """Finish what is open as it stands."""
        direction = (self._client, self._server)[side]
        cancelled = {stream for _, stream in self._cancelled}
        for stream, half in list(direction.halves.items()):
            message = half.message(stream, self.context)
            if side is Side.SERVER and not half.damaged:
                message.result = Result.CANCELLED if stream in cancelled else Result.CUT_OFF
            self._end(side, direction, stream, message, direction.tile)

    def _read(self, side: Side, direction: Direction, data: bytes, at: int, base: int) -> int:
        size = len(data)
        if direction.opening:
            if not data.startswith(PREFACE, at):
                if PREFACE.startswith(data[at : at + len(PREFACE)]):
                    return at
                raise Violation("not the preface of HTTP/2")
            direction.opening = False
            direction.turn(CONNECTION, base + at)
            at += len(PREFACE)
        if direction.left:
            at = self._look_into(side, direction, data, at, base)
        unpack = HEAD.unpack_from
        while size - at >= HEAD_BYTES:
            high, low, kind, flags, stream = unpack(data, at)
            length = high << 8 | low
            stream &= STREAM
            end = at + HEAD_BYTES + length
            direction.reached = base + at
            if kind == DATA:
                if not stream:
                    raise Violation("content without a stream")
                if flags & PADDED and not self._is_there(direction, stream, at, end, size):
                    return at
                at = self._content(side, direction, data, at, end, flags, stream, base)
            elif kind in (HEADERS, PUSH_PROMISE):
                if not stream:
                    raise Violation("header fields without a stream")
                block, behind = header_block(data, at, end, kind, flags, stream)
                if behind < 0:
                    return at
                if kind == PUSH_PROMISE:
                    self._promised(side, direction, block, base + at, base + behind)
                else:
                    self._headers(side, direction, block, flags, stream, base + at, base + behind)
                at = behind
            elif kind == CONTINUATION:
                raise Violation("a continuation of nothing")
            else:
                if length != LENGTH_OF.get(kind, length) or length > USUAL_FRAME_BYTES:
                    raise Violation("a frame of the wrong length")
                if end > size and kind in (RST_STREAM, GOAWAY):
                    return at
                if kind == RST_STREAM and stream:
                    code = int.from_bytes(data[end - 4 : end], "big")
                    self._reset(side, direction, stream, error_name(code), base + at, base + end)
                else:
                    direction.turn(CONNECTION, base + at)
                    if kind == GOAWAY and length >= 8 and side is Side.SERVER:
                        self._refuse_above(int.from_bytes(data[at + 9 : at + 13], "big") & STREAM)
                at = end
        return at

    @staticmethod
    def _is_there(direction: Direction, stream: int, at: int, end: int, size: int) -> bool:
        """Whether enough of a padded DATA frame has come: all of one whose content is looked into."""
        half = direction.halves.get(stream)
        return size >= end if half is not None and half.is_read else size - at > HEAD_BYTES

    def _content(
        self, side: Side, direction: Direction, data: bytes, at: int, end: int, flags: int, stream: int, base: int
    ) -> int:
        """A DATA frame (section 6.1): pass over it, or look into it."""
        half = direction.halves.get(stream)
        if half is None:
            half = self._joined(side, direction, stream, base + at)
            if half is None:
                direction.turn(CONNECTION, base + at)
                return end
        direction.turn(stream, base + at)
        first, behind = at + HEAD_BYTES, end
        if flags & PADDED and first < end:
            behind = max(first + 1, end - data[first])
            first += 1
        half.body += behind - first
        if half.is_read and not flags & PADDED:
            direction.left, direction.reading = end - first, (stream, flags)
            return self._look_into(side, direction, data, first, base)
        if half.is_read:
            half.feed(data, first, behind)
        else:
            half.sample(data, first, behind, self.context.value_bytes)
        if flags & END_STREAM:
            self._end(side, direction, stream, half.message(stream, self.context), base + end)
        return end

    def _look_into(self, side: Side, direction: Direction, data: bytes, at: int, base: int) -> int:
        """Read on in the content of a DATA frame. Returns the index behind what was read or may be passed over."""
        stream, flags = direction.reading
        half = direction.halves.get(stream)
        if half is None:
            at, direction.left = at + direction.left, 0
            return at
        direction.turn(stream, base + at)
        there = min(direction.left, len(data) - at)
        half.feed(data, at, at + there)
        at += there
        direction.left -= there
        if direction.left and half.grpc is not None and half.grpc.skippable >= direction.left:
            half.grpc.skip(direction.left)
            at, direction.left = at + direction.left, 0
        if not direction.left and flags & END_STREAM:
            self._end(side, direction, stream, half.message(stream, self.context), base + at)
        return at

    def _decoded(self, direction: Direction, block: bytes) -> Head:
        try:
            return read_head(direction.decoder.decode(block))
        except MalformedBlock:
            return MALFORMED_HEAD

    def _headers(
        self, side: Side, direction: Direction, block: bytes, flags: int, stream: int, start: int, end: int
    ) -> None:
        """A head, an interim head, or a trailer (section 8.1), in frames that span ``[start, end)``."""
        head = self._decoded(direction, block)
        half = direction.halves.get(stream)
        if side is Side.SERVER and 100 <= head.status < 200 and not flags & END_STREAM:
            direction.turn(CONNECTION, start)
            return
        if half is not None and half.head is None and (head.asks or head.status >= 0):
            half.answer(head, self.context)
            direction.sound[stream] = half
        elif half is not None:
            half.end_with(head)
        else:
            half = self._begun(side, direction, stream, head, start)
            if half is None:
                direction.turn(CONNECTION, start)
                return
        direction.turn(stream, start)
        if flags & END_STREAM:
            self._end(side, direction, stream, half.message(stream, self.context), end)

    def _begun(self, side: Side, direction: Direction, stream: int, head: Head, start: int) -> Half | None:
        """The message that begins with `head`; None if it is not the first of its stream, or none of ours."""
        if side is Side.CLIENT:
            if stream <= direction.last and not direction.partial:
                return None
            if not head.asks and direction.partial and head is not MALFORMED_HEAD and not head.unknown:
                return self._joined(side, direction, stream, start, head)
            self._awaiting[stream], self._opened[stream] = None, start
            if self._refusable is not None:
                self._may_be_refused(stream)
            if len(self._awaiting) > 2 * OPEN_STREAMS:
                for oldest in list(islice(self._awaiting, OPEN_STREAMS)):
                    del self._awaiting[oldest]
                    self._opened.pop(oldest, None)
            half = Half(Role.REQUEST, head, self.context)
        else:
            if head.status < 0 and head is not MALFORMED_HEAD and not head.unknown:
                if not direction.partial:
                    return None
                return self._joined(side, direction, stream, start, head)
            self._release_before(direction, stream, start)
            half = Half(Role.RESPONSE, head, self.context)
        self._open(side, direction, stream, half, start)
        return half

    def _joined(
        self, side: Side, direction: Direction, stream: int, start: int, trailer: Head | None = None
    ) -> Half | None:
        """A message whose head was not captured; None if it can not be that."""
        if not direction.partial or (side is Side.CLIENT and not stream & 1):
            return None
        half = Half(Role.REQUEST if side is Side.CLIENT else Role.RESPONSE, None, self.context)
        if trailer is not None:
            half.end_with(trailer)
        self._open(side, direction, stream, half, start)
        return half

    def _open(self, side: Side, direction: Direction, stream: int, half: Half, start: int) -> None:
        direction.halves[stream] = direction.sound[stream] = half
        direction.last = max(direction.last, stream)
        if len(direction.halves) > OPEN_STREAMS:
            oldest, given_up = next(iter(direction.halves.items()))
            given_up.notes = (*given_up.notes, TOO_MANY)
            message = given_up.message(oldest, self.context)
            message.damaged = True
            direction.turn(NOBODY, start)
            self._end(side, direction, oldest, message, start)

    def _end(self, side: Side, direction: Direction, stream: int, message: Message, end: int) -> None:
        """Append the message of `stream`, whose last frame ends at `end`."""
        direction.turn(stream, end)
        direction.complete(message, end)
        direction.halves.pop(stream, None)
        direction.sound.pop(stream, None)
        if side is Side.SERVER:
            self._awaiting.pop(stream, None)
            self._opened.pop(stream, None)
            self._answered[0].add(stream)
            if len(self._answered[0]) > OPEN_STREAMS:
                self._answered = set(), self._answered[0]
        elif stream in self._awaiting:
            self._awaiting[stream] = message
            if stream > self._refused_above:
                refuse(message)

    def _promised(self, side: Side, direction: Direction, block: bytes, start: int, end: int) -> None:
        """PUSH_PROMISE (section 6.6): a response to a request that nobody sent will come."""
        if side is Side.CLIENT or len(block) < 4:
            raise Violation("a promise of the wrong side")
        stream = int.from_bytes(block[:4], "big") & STREAM
        head = self._decoded(direction, block[4:])
        if stream in direction.halves or stream & 1 or not stream:
            direction.turn(CONNECTION, start)
            return
        direction.turn(stream, start)
        half = Half(Role.PUSH, None, self.context, promise=head)
        half.damaged, half.notes = False, ()
        self._open(side, direction, stream, half, start)
        direction.turn(stream, start)

    def _reset(self, side: Side, direction: Direction, stream: int, word: str, start: int, end: int) -> None:
        """RST_STREAM (section 6.4)."""
        half = direction.halves.get(stream)
        if side is Side.CLIENT:
            self._cancelled.append((start, stream))
            if len(self._cancelled) > OPEN_STREAMS:
                self._cancelled.popleft()
            if half is not None:
                direction.turn(stream, start)
                self._end(side, direction, stream, failed(half, stream, self.context, Result.CANCELLED, word), end)
                return
            direction.turn(NOBODY, start)
            direction.tile = start
            direction.complete(Message(Role.CANCEL, start, end, key=stream, attributes={"error.type": word}), end)
            return
        if half is None and stream & 1 and not any(stream in answered for answered in self._answered):
            half = Half(Role.RESPONSE, MALFORMED_HEAD, self.context)
            half.notes, half.damaged = (), False
        if half is None:
            direction.turn(CONNECTION, start)
            return
        self._release_before(direction, stream, start)
        direction.turn(stream, start)
        self._end(side, direction, stream, failed(half, stream, self.context, Result.ABANDONED, word), end)

    def _release_before(self, direction: Direction, stream: int, offset: int) -> None:
        """The server deals with `stream`: what the client called off before it opened that will not be answered any more."""
        opened = self._opened.get(stream)
        while opened is not None and self._cancelled and self._cancelled[0][0] < opened:
            _, called_off = self._cancelled.popleft()
            half = direction.halves.get(called_off)
            if half is not None:
                direction.turn(NOBODY, offset)
                message = half.message(called_off, self.context)
                message.result = Result.CANCELLED
                self._end(Side.SERVER, direction, called_off, message, offset)
            self._awaiting.pop(called_off, None)
            self._opened.pop(called_off, None)

    def _may_be_refused(self, stream: int) -> None:
        """A stream is opened behind a GOAWAY, which another one may follow."""
        assert self._refusable is not None
        if len(self._refusable) > 4 * OPEN_STREAMS:
            self._refusable = sorted(self._awaiting)
        elif stream <= self._refused_above:
            insort(self._refusable, stream)

    def _refuse_above(self, last: int) -> None:
        """GOAWAY (section 6.8): the server did not and will not deal with later streams.

        It may say so again and again, of fewer streams: each stream is refused once.
        """
        if self._refusable is None:
            self._refusable = sorted(self._awaiting)
        self._refused_above = min(self._refused_above, last)
        while self._refusable and self._refusable[-1] > last:
            request = self._awaiting.get(self._refusable.pop())
            if request is not None:
                refuse(request)


def refuse(request: Message) -> None:
    """The server said that it will not deal with the request."""
    request.result = Result.ABANDONED
    request.attributes = {**(request.attributes or {}), "error.type": "GOAWAY"}
