"""Classic pcap files (draft-ietf-opsawg-pcap): where the records stand.

Rules: the record headers form a chain. A chunk is walked in several lanes at once, all lanes one step per NumPy call; a
lane starts where a record seems to begin. The result counts only if every lane ends exactly where the next one starts
(then it is the sequential walk, by induction); else the chunk is walked sequentially. Where the chain breaks, the next
place is sought from which several plausible headers follow each other, and the bytes between are counted as damage.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.model.note import NoteKind
from wiretrace.packets.buffer import unaligned
from wiretrace.packets.records import Records

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.model.limits import Limits
    from wiretrace.model.note import Notes
    from wiretrace.packets.buffer import PacketBuffer
    from wiretrace.packets.summary import CaptureSummary

FILE_HEADER_BYTES = 24
HEADER_BYTES = 16
MODIFIED_HEADER_BYTES = 24
LONGER_FILE_HEADER_BYTES = 28
MAGICS: dict[bytes, tuple[str, int, int, int]] = {
    struct.pack(order + "I", magic): (order, scale, header, file_header)
    for magic, scale, header, file_header in (
        (0xA1B2C3D4, 1000, HEADER_BYTES, FILE_HEADER_BYTES),
        (0xA1B23C4D, 1, HEADER_BYTES, FILE_HEADER_BYTES),
        (0xA12B3C4D, 1000, HEADER_BYTES, FILE_HEADER_BYTES),
        (0xA1B2CD34, 1000, MODIFIED_HEADER_BYTES, FILE_HEADER_BYTES),
        (0x1C0001AC, 1, HEADER_BYTES, LONGER_FILE_HEADER_BYTES),
        (0x1C0001AB, 1000, HEADER_BYTES, LONGER_FILE_HEADER_BYTES),
    )
    for order in ("<", ">")
}
"""First four bytes -> (byte order, nanoseconds in a unit of the fraction, bytes of a record header, of the file header).

In the order of the magic numbers: microseconds, nanoseconds, Navtel's (the same as the first), a libpcap that was patched
to record the interface, too, behind the usual fields, and Ixia's hardware and software captures, which say the size of all
records behind the file header.
"""

LINK_TYPE_MASK = 0x03FFFFFF
"""The bits above say whether and how long a frame check sequence is."""
HALF_WORD, LOWER_WORD = np.uint64(32), np.uint64(0xFFFFFFFF)
USUAL_PACKET_BYTES = 262_144
"""The largest snap length of libpcap: a longer record is believed only where the file's own snap length allows it."""

LANES = 64
LANE_BYTES = 1 << 14
"""Shortest lane that pays for finding its start."""
LANE_SEARCH_BYTES = 8192
LANE_WINDOW_SECONDS = 86_400
"""A lane starts at a record within a day of the chunk's first one. Others only cost the lane."""

CHAIN = 3
"""Plausible headers in a row that count as the way back into a damaged file."""
RESYNC_WINDOW_SECONDS = 30 * 86_400
RESYNC_KEEP_BYTES = 1 << 16
"""Bytes that stay in the buffer while the way back has not been found: more than two usual records."""
SUSPECT_JUMP_SECONDS = 86_400
SUSPECTS = 64
"""Records in a row that may look odd before the file is believed to be odd."""


class PcapIndex:
    """The records of one classic pcap file."""

    def __init__(self, header: bytes, name: str, limits: Limits, notes: Notes, summary: CaptureSummary) -> None:
        self._order, self._scale, self._header, _ = MAGICS[header[:4]]
        _, _, snap_length, link_word = struct.unpack(self._order + "iIII", header[8:FILE_HEADER_BYTES])
        self._link_type = link_word & LINK_TYPE_MASK
        self._longest = min(limits.record_bytes, max(snap_length, USUAL_PACKET_BYTES))
        self._units = 1_000_000_000 // self._scale
        self._name = name
        self._notes = notes
        self._summary = summary
        self._last_seconds = -1
        self._lost = False
        summary.link_types.add(self._link_type)

    def index(self, buffer: PacketBuffer, final: bool) -> tuple[Records, int]:
        """See `RecordIndex.index`."""
        words = unaligned(buffer.u8, self._order + "u4")
        end = buffer.used
        first = np.empty(0, np.int64)
        position = 0
        if not self._lost:
            starts = self._lane_starts(words, end)
            lanes = walk_lanes(words, self._header, self._longest, starts)
            if lanes is not None:
                first, position = lanes, int(starts[-1])
        rest: list[int] = []
        floor = 0  # no way back is taken twice: the search always moves on
        while True:
            if self._lost:
                position = self._resume(words, position, end, final)
                if self._lost:
                    break
            position = walk(buffer.view, self._order, self._header, self._longest, position, end, rest)
            broken = position + self._header <= end and not possible(buffer.view, self._order, self._longest, position)
            if not broken and (position == end or not final):
                break
            kept, back = self._way_back(words, rest, position, floor, broken, end, final)
            if not broken and back < 0:
                self._notes.add(NoteKind.FILE_TRUNCATED, self._name)
                position = end
                break
            self._notes.add(NoteKind.FILE_DAMAGED, self._name)
            if kept < len(rest):
                position = rest[kept]
                del rest[kept:]
            resume = back if back >= 0 else max(position, floor)
            self._summary.damaged_bytes += resume - position
            position, floor = resume, resume + 1
            self._lost = back < 0
        offsets = np.concatenate([first, np.array(rest, np.int64)])
        if len(offsets):
            self._last_seconds = int(words[offsets[-1]])
        return self._records(buffer, offsets), position

    def _way_back(
        self,
        words: NDArray[np.unsignedinteger],
        offsets: list[int],
        position: int,
        floor: int,
        broken: bool,
        end: int,
        final: bool,
    ) -> tuple[int, int]:
        """Where the chain of `offsets` breaks at `position`: how many of them are believed, and where records go on.

        The second is -1 where that is not known, or where only the last record is not whole.
        """
        trusted = self._trusted(words, offsets)
        resume = offsets[trusted - 1] + self._header if trusted else position + 1
        # A record that is whole but for its end was cut off: one header inside it is no reason to doubt that.
        back = self._find_chain(words, max(resume, floor), end, final, shortest=1 if broken else 2)
        if back in offsets[trusted:] or back == position:
            # The records that looked odd are sound after all: only what stands at `position` is in doubt.
            back = self._find_chain(words, max(position + 1, floor), end, final) if broken else -1
            return len(offsets), back
        if back < 0:
            return trusted, back
        kept = len(offsets)
        while kept and position > back:
            kept -= 1
            position = offsets[kept]
        return kept, back

    def _resume(self, words: NDArray[np.unsignedinteger], position: int, end: int, final: bool) -> int:
        """Pass over damage from `position` on, to the next readable record or as far as can be said."""
        found = self._find_chain(words, position, end, final)
        self._lost = found < 0
        resume = found if found >= 0 else end if final else max(position, end - RESYNC_KEEP_BYTES)
        self._summary.damaged_bytes += resume - position
        return resume

    def _trusted(self, words: NDArray[np.unsignedinteger], offsets: list[int]) -> int:
        """How many records before a break are believed: those behind the last jump may follow from a wrong length."""
        lowest = max(len(offsets) - SUSPECTS, 0)
        for count in range(len(offsets), lowest, -1):
            offset = offsets[count - 1]
            before = int(words[offsets[count - 2]]) if count > 1 else self._last_seconds
            if not (
                (before >= 0 and abs(int(words[offset]) - before) > SUSPECT_JUMP_SECONDS)
                or int(words[offset + 4]) >= self._units
                or int(words[offset + 8]) > int(words[offset + 12])
            ):
                return count
        return 0 if lowest == 0 else len(offsets)

    def _lane_starts(self, words: NDArray[np.unsignedinteger], end: int) -> NDArray[np.int64]:
        """Places where a record seems to begin, about evenly spread, the first of them 0."""
        lanes = min(LANES, end // LANE_BYTES)
        starts = [0]
        if lanes < 2:
            return np.array(starts, np.int64)
        lowest = max(int(words[0]) - LANE_WINDOW_SECONDS, 0)
        span = np.uint32(min(2 * LANE_WINDOW_SECONDS, 0xFFFFFFFF - lowest))
        for lane in range(1, lanes):
            place = end * lane // lanes
            seconds = words[place : min(place + LANE_SEARCH_BYTES, end)].astype(np.uint32)
            for candidate in np.flatnonzero(seconds - np.uint32(lowest) <= span)[:8].tolist():
                start = place + candidate
                if self._leads(words, start, end):
                    if start > starts[-1]:
                        starts.append(start)
                    break
        return np.array(starts, np.int64)

    def _leads(self, words: NDArray[np.unsignedinteger], start: int, end: int) -> bool:
        """Whether plausible headers follow each other from `start`."""
        for _ in range(CHAIN):
            if start + self._header > end:
                return False
            captured, wire = int(words[start + 8]), int(words[start + 12])
            if captured > self._longest or captured > wire or int(words[start + 4]) >= self._units:
                return False
            start += self._header + captured
        return True

    def _find_chain(
        self, words: NDArray[np.unsignedinteger], begin: int, end: int, final: bool, shortest: int = 1
    ) -> int:
        """First place from `begin` on where plausible headers follow each other; -1 if there is none before `end`.

        At the end of the file, `shortest` headers are enough if the last one's record ends exactly there.
        """
        size = 4096
        while begin + self._header <= end:
            stop = min(begin + size, end - self._header + 1)
            captured = words[begin + 8 : stop + 8]
            start = np.flatnonzero((captured > 0) & (captured <= self._longest)) + begin
            start = start[self._plausible(words, start)]
            at = start
            reached = np.ones(len(start), np.int64)
            accepted = np.zeros(len(start), bool)
            for _ in range(CHAIN - 1):
                following = at + self._header + words[at + 8]
                beyond = following + self._header > end
                enough = reached >= (shortest if final else CHAIN)
                accepted |= beyond & ((reached >= CHAIN - 1) | (enough & (following == end)))
                go = ~beyond
                go[go] = self._plausible(words, following[go])
                reached += go
                keep = go | accepted
                start, at, reached, accepted = start[keep], following[keep], reached[keep], accepted[keep]
                at = np.where(accepted, 0, at)
            accepted |= reached == CHAIN
            if accepted.any():
                return int(start[np.argmax(accepted)])
            begin, size = stop, min(size * 2, 1 << 18)
        return -1

    def _plausible(self, words: NDArray[np.unsignedinteger], at: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n,) offsets -> (n,) bool: whether a header may stand there. Stricter than the walk, which bears odd files."""
        captured, wire = words[at + 8], words[at + 12]
        plausible: NDArray[np.bool_] = (
            (captured <= wire) & (captured <= self._longest) & (captured > 0) & (words[at + 4] < self._units)
        )
        if self._last_seconds >= 0:
            away = words[at].astype(np.int64) - self._last_seconds
            plausible &= np.abs(away) <= RESYNC_WINDOW_SECONDS
        return plausible

    def _records(self, buffer: PacketBuffer, offsets: NDArray[np.int64]) -> Records:
        """(n,) offsets of record headers -> their records. Headers are spread over the chunk: each is gathered in two
        pieces, and not in four."""
        pairs = unaligned(buffer.u8, self._order + "u8")
        seconds, fraction = self._halves(pairs[offsets])
        captured, wire = self._halves(pairs[offsets + 8])
        return Records(
            offsets + self._header,
            captured,
            wire,
            seconds * 1_000_000_000 + fraction * self._scale,
            np.full(len(offsets), self._link_type, np.uint32),
            np.zeros(len(offsets), np.int64),
        )

    def _halves(self, pair: NDArray[np.unsignedinteger]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(n,) 64-bit words in the file's byte order -> the 32-bit words that stand first and second in them."""
        native = pair.astype(np.uint64)
        upper, lower = (native >> HALF_WORD).astype(np.int64), (native & LOWER_WORD).astype(np.int64)
        return (upper, lower) if self._order == ">" else (lower, upper)


def walk(view: memoryview, order: str, header: int, longest: int, begin: int, end: int, offsets: list[int]) -> int:
    """Append the offsets of the whole and possible records from `begin` on. Returns where the chain ends."""
    captured_at = struct.Struct(order + "I").unpack_from
    append = offsets.append
    last = end - header
    while begin <= last:
        captured = captured_at(view, begin + 8)[0]
        following = begin + header + captured
        if following > end or captured > longest:
            break
        if not captured and not possible(view, order, longest, begin):
            break
        append(begin)
        begin = following
    return begin


def possible(view: memoryview, order: str, longest: int, offset: int) -> bool:
    """Whether the record header at `offset` can be one. A block of zeros, as a crash leaves it, is not a row of packets."""
    captured = struct.unpack_from(order + "I", view, offset + 8)[0]
    return captured <= longest and (captured > 0 or any(view[offset : offset + HEADER_BYTES]))


def walk_lanes(
    words: NDArray[np.unsignedinteger], header: int, longest: int, starts: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """Offsets (n,) of the records from the first to before the last of `starts` (lanes,), all lanes in step.

    None where a lane does not end exactly where the next one starts (then one of `starts` is no record), where a record
    is empty or longer than `longest`, or where there is but one lane.
    """
    at, stop = starts[:-1], starts[1:]
    steps, sizes = [], []
    while len(at):
        steps.append(at)
        captured = words[at + 8]
        sizes.append(captured)
        at = at + captured + header
        active = at < stop
        if not active.all():
            if (at > stop).any():
                return None
            at, stop = at[active], stop[active]
    if not steps:
        return None
    captured = np.concatenate(sizes)
    if (captured > longest).any() or not captured.all():
        return None
    offsets = np.concatenate(steps)
    offsets.sort()
    return offsets
