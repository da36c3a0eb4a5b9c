"""What the tcp floor hands on for each chunk of packets: ordered segments and the runs of bytes that they make.

Rules: *streams* are numbered ``2 * connection + direction``, where direction 0 is sent by end `a` of the flow and 1 by
end `b`. *Offsets* count the payload bytes of a stream from 0, the first byte behind the SYN or the first byte seen;
bytes from before that have negative offsets. Offsets do not wrap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.tcp.trouble import Closures, Repeats

NO_ACK = -(2**62)
"""Stands for the acknowledgement of a segment without the ACK flag."""


@dataclass(slots=True)
class Segments:
    """New payload, every byte once, sorted by stream and then by offset. All arrays have shape (n,)."""

    stream: NDArray[np.int64]
    """Number of the stream."""
    offset: NDArray[np.int64]
    """Stream offset of the first byte."""
    length: NDArray[np.int64]
    """Bytes, all of them captured. Bytes that an earlier segment brought are cut off."""
    time_ns: NDArray[np.int64]
    """Capture time of the packet."""
    frame: NDArray[np.int64]
    """Number of the packet in its file."""
    ack: NDArray[np.int64]
    """Offset in the opposite stream up to which the sender had received everything; `NO_ACK` without the ACK flag."""
    position: NDArray[np.int64]
    """Index in the chunk's buffer of the first byte; negative: in `StreamChunk.held`, at ``-1 - position``."""

    def __len__(self) -> int:
        return len(self.stream)


@dataclass(slots=True)
class Run:
    """Contiguous new bytes of one stream."""

    stream: int
    start: int
    """Stream offset of the first byte."""
    first: int
    """Index of its first segment in `Segments`."""
    last: int
    """Index behind its last segment."""
    lost_before: int
    """Bytes missing between what was delivered of this stream before and this run."""


@dataclass(slots=True)
class StreamChunk:
    """All that one chunk of packets brought."""

    segments: Segments
    runs: list[Run]
    """Sorted by stream, then by offset."""
    touched: list[int]
    """Connections that have new runs, a new lifecycle event (SYN, FIN, RST), or lost bytes at their end, ascending."""
    buffer: memoryview
    held: memoryview
    """Bytes that waited behind a hole since an earlier chunk."""
    repeats: Repeats
    """Segments that were sent again or came late."""
    closures: Closures
    """Times, now over, in which an end took no more bytes."""

    def data(self, run: Run) -> bytes:
        """The bytes of a run, joined."""
        positions = self.segments.position[run.first : run.last].tolist()
        lengths = self.segments.length[run.first : run.last].tolist()
        buffer = self.buffer
        if len(positions) == 1 and positions[0] >= 0:
            return bytes(buffer[positions[0] : positions[0] + lengths[0]])
        held = self.held
        return b"".join(
            [
                buffer[position : position + length] if position >= 0 else held[-1 - position : length - 1 - position]
                for position, length in zip(positions, lengths, strict=True)
            ]
        )


def pieces_in_time(chunk: StreamChunk, runs: list[Run], most_bytes: int) -> Iterator[list[Run]]:
    """The runs of one connection, in pieces of about so many bytes: both directions up to one packet, then up to another.

    What answers a request is never in an earlier piece than the request, unless it was captured so.
    """
    parts = [slice(run.first, run.last) for run in runs]
    lengths = np.concatenate([chunk.segments.length[part] for part in parts])
    if int(lengths.sum()) <= most_bytes:
        yield runs
        return
    # A segment that fills a hole comes late: what lies behind it in its run was not there before.
    latest = [np.maximum.accumulate(chunk.segments.frame[part]) for part in parts]
    frames = np.concatenate(latest)
    order = np.argsort(frames, kind="stable")
    piece = np.cumsum(lengths[order]) // most_bytes
    cuts = [*frames[order][np.flatnonzero(np.diff(piece))].tolist(), int(frames.max())]
    begun = [run.first for run in runs]
    for cut in cuts:
        found = []
        for place, run in enumerate(runs):
            last = run.first + int(np.searchsorted(latest[place], cut, "right"))
            if last > begun[place]:
                start = int(chunk.segments.offset[begun[place]])
                lost = run.lost_before if begun[place] == run.first else 0
                found.append(Run(run.stream, start, begun[place], last, lost))
                begun[place] = last
        if found:
            yield found
