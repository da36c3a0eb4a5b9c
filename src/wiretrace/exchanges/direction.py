"""The bytes of one direction of a connection on their way to a protocol: what is read, what waits, what is missing."""

from __future__ import annotations

from collections import deque


class Direction:
    """One direction. All positions are stream offsets unless they say index."""

    __slots__ = ("at", "base", "buffer", "gaps", "next", "openings", "origin", "resync", "runs", "skip_to", "started")

    def __init__(self, started: bool) -> None:
        self.started = started
        """Whether the first byte of the stream, or of the protocol that took over, is there."""
        self.buffer = b""
        self.base = 0
        """Offset of ``buffer[0]``."""
        self.at = 0
        """Index of the first unread byte; never beyond the buffer."""
        self.origin: int | None = None
        """Offset at which the present protocol took over; None before the first byte."""
        self.skip_to: int | None = None
        """Offset up to which bytes are passed over."""
        self.resync = False
        """Whether a message boundary has to be found before parsing goes on."""
        self.runs: deque[tuple[int, bytes]] = deque()
        """Runs that wait, with their offsets."""
        self.next = 0
        """Offset behind the last byte that was added."""
        self.gaps: deque[tuple[int, int]] = deque()
        """Spans that are missing, and not yet passed by `captured`."""
        self.openings: list[int] = []
        """Offsets at which the first segments began."""

    @property
    def position(self) -> int:
        """Offset of the first unread byte."""
        return self.base + self.at

    @property
    def end(self) -> int:
        """Offset behind the buffer."""
        return self.base + len(self.buffer)

    def add(self, start: int, data: bytes, *, joined: bool = False) -> bool:
        """Take one run of bytes, `joined` to the one before it where nothing is between. False if bytes are missing."""
        if joined and self.runs and start == self.next:
            before, held = self.runs[-1]
            self.runs[-1] = before, held + data
            self.next = start + len(data)
            return True
        if self.origin is None:
            self.origin = self.base = self.next = 0 if self.started and start > 0 else start
        whole = start <= self.next
        if not whole:
            self.gaps.append((self.next, start))
        self.next = start + len(data)
        self.runs.append((start, data))
        return whole

    def captured(self, start: int, end: int) -> int:
        """How many bytes of ``[start, end)`` were captured. Ask in rising order: earlier gaps are forgotten."""
        gaps = self.gaps
        while gaps and gaps[0][1] <= start:
            gaps.popleft()
        missing = 0
        for first, last in gaps:
            if first >= end:
                break
            missing += min(end, last) - max(start, first)
        return max(0, end - start - missing)

    def held(self, start: int, end: int) -> int:
        """As `captured`, and nothing is forgotten."""
        end = min(end, self.next)
        missing = sum(max(0, min(end, last) - max(start, first)) for first, last in self.gaps)
        return max(0, end - start - missing)

    def opening(self, bound: int) -> bytes:
        """The first unread bytes, at most `bound`."""
        if self.at < len(self.buffer):
            return self.buffer[self.at : self.at + bound]
        if self.runs and self.runs[0][0] == self.end:
            return self.runs[0][1][:bound]
        return b""

    def places(self, bound: int) -> list[bytes]:
        """The places where a message may begin, as `identify` wants them: at most `bound` bytes of each."""
        opening = self.opening(bound)
        found = [opening]
        if not opening and self.runs:
            # The beginning is missing: what comes first is no better than what comes later.
            found.append(self.runs[0][1][:bound])
        if self.runs and not (opening and self.started):
            start, data = self.runs[0]
            places = [offset - start for offset in self.openings if 0 < offset - start < len(data)]
            found += [data[place : place + bound] for place in places]
        return found

    def skip(self) -> bool:
        """Pass over bytes up to `skip_to`. Whether any were."""
        if self.skip_to is None:
            return False
        if self.skip_to <= self.end:
            self.at = max(self.at, self.skip_to - self.base)
            self.skip_to = None
            return True
        moved = self.at < len(self.buffer)
        self.at = len(self.buffer)
        return moved

    def append(self) -> bool:
        """Put the next run behind the buffer, if no gap matters. Whether one was put."""
        if not self.runs:
            return False
        start, data = self.runs[0]
        if self.skip_to is not None and start > self.end:
            if start > self.skip_to:
                # The gap reaches behind what is passed over: what comes next may lack its beginning.
                self.base, self.buffer, self.at, self.skip_to = self.skip_to, b"", 0, None
                return False
            self.runs.popleft()
            self.base, self.buffer, self.at = start, data, 0
            return True
        if start != self.end:
            return False
        self.runs.popleft()
        rest = self.buffer[self.at :]
        self.base = self.position
        self.buffer = rest + data if rest else data
        self.at = 0
        return True

    def forget(self) -> None:
        """Let go of the buffer where all of it is read: a connection may be idle for long."""
        if self.at == len(self.buffer):
            self.base, self.buffer, self.at = self.end, b"", 0

    def drop(self, behind: int) -> int:
        """Forget all that is unread. How many bytes of it lie behind offset `behind`."""
        first = max(self.position, behind)
        dropped = max(0, self.end - first)
        dropped += sum(start + len(data) - max(start, first) for start, data in self.runs if start + len(data) > first)
        self.runs.clear()
        self.buffer, self.at, self.base, self.skip_to = b"", 0, self.next, None
        return dropped
