"""pcapng files (draft-ietf-opsawg-pcapng): where the packets stand, and what the other blocks say.

Rules: blocks are walked one by one and believed only when both their lengths agree; packet blocks are collected and
decoded column by column. Every section has its own byte order and interfaces. Unknown blocks are passed over by length.
Where the chain of blocks breaks, the next place is sought where a known block with two equal lengths stands.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.model.note import NoteKind
from wiretrace.packets.buffer import unaligned
from wiretrace.packets.pcapng_blocks import (
    Interface,
    interface_counters,
    interface_of,
    key_log_of,
    names_of,
    section_host,
    times,
)
from wiretrace.packets.records import NO_INTERFACE, Records, join_records

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.model.limits import Limits
    from wiretrace.model.note import Notes
    from wiretrace.packets.buffer import PacketBuffer
    from wiretrace.packets.summary import CaptureSummary

SECTION_HEADER = 0x0A0D0D0A
MAGIC = SECTION_HEADER.to_bytes(4, "big")
BYTE_ORDER_MAGICS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
INTERFACE, OBSOLETE_PACKET, SIMPLE_PACKET, NAME_RESOLUTION, STATISTICS, ENHANCED_PACKET = 1, 2, 3, 4, 5, 6
DECRYPTION_SECRETS = 10
FEWEST_BYTES = {INTERFACE: 20, OBSOLETE_PACKET: 32, SIMPLE_PACKET: 16, STATISTICS: 24, ENHANCED_PACKET: 32}
"""Shortest block of a type; 12 for others, 28 for a section header."""
SECTION_HEADER_BYTES = 28
BLOCK_BYTES = 12
KNOWN = (1, 2, 3, 4, 5, 6, 9, 10, 0x0BAD, 0x40000BAD)
"""Types that mark a way back into a damaged file, besides the section header."""
KNOWN_BLOCK = {
    order: re.compile(
        b"|".join(re.escape(kind) for kind in [MAGIC, *(struct.pack(order + "I", kind) for kind in KNOWN)]), re.DOTALL
    )
    for order in BYTE_ORDER_MAGICS.values()
}
"""By byte order: the types of those, as they stand in a file."""
PACKET_HEADER_BYTES = 28
"""From the start of an enhanced or obsolete packet block to the packet."""
OPTION_DROP_COUNT = 4
OPTIONS_READ = 16
"""Options of a packet that are looked through for its drop count."""
RESYNC_KEEP_BYTES = 1 << 16
MOST_DROPPED = 1 << 48
"""More packets than any host has dropped; a file that counts more is taken to say this, which can still be added up."""


class PcapngIndex:
    """The records of one pcapng file."""

    def __init__(self, name: str, limits: Limits, notes: Notes, summary: CaptureSummary) -> None:
        self._name = name
        self._limits = limits
        self._notes = notes
        self._summary = summary
        self._order = "<"
        self._interfaces: list[Interface] = []
        self._last_ns = 0
        self._lost = False
        self._dropped = -1
        """Packets that earlier sections say were dropped."""
        self._counted = -1
        """The same of the packets of this section, as they say."""
        self._reported: dict[int, int] = {}
        """The same of the interfaces of this section, as its statistics say."""
        self._secret_bytes = 0
        """Bytes of key logs that were taken."""

    def index(self, buffer: PacketBuffer, final: bool) -> tuple[Records, int]:
        """See `RecordIndex.index`."""
        end, position = buffer.used, 0
        parts: list[Records] = []
        packets: list[int] = []
        while True:
            if self._lost:
                position = self._resume(buffer, position, final)
                if self._lost:
                    break
            position, broken = self._walk(buffer, position, end, packets)
            if not broken and self._is_section(buffer, position, end):
                parts += self._records(buffer, packets)
                packets = []
                self._begin_section(buffer, position)
                position += self._length(buffer, position)
                continue
            if not broken and (position == end or not final):
                break
            if not broken and self._way_back(buffer, position + 1) < 0:
                self._notes.add(NoteKind.FILE_TRUNCATED, self._name)
                position = end
                break
            self._notes.add(NoteKind.FILE_DAMAGED, self._name)
            self._lost = True
            self._summary.damaged_bytes += 1
            position += 1
        # Damage ends no section: packets on both sides of it are decoded together.
        parts += self._records(buffer, packets)
        self._summary.dropped = self._drops()
        return join_records(parts), position

    def _walk(self, buffer: PacketBuffer, position: int, end: int, packets: list[int]) -> tuple[int, bool]:
        """Collect packet blocks from `position` on, up to a section header, the end, or damage; take in other blocks.

        Their offsets are put into `packets`. Returns where it stopped, and whether it did because of damage.
        """
        view = buffer.view
        head = struct.Struct(self._order + "II").unpack_from
        word = struct.Struct(self._order + "I").unpack_from
        longest = self._limits.record_bytes
        append = packets.append
        last = end - BLOCK_BYTES
        while position <= last:
            kind, length = head(view, position)
            following = position + length
            if kind == ENHANCED_PACKET and 32 <= length <= longest and following <= end and not length & 3:
                if word(view, following - 4)[0] != length:
                    return position, True
                append(position)
            elif not self._possible(buffer, position, end):
                return position, True
            elif kind == SECTION_HEADER or following > end:
                break
            elif kind in (OBSOLETE_PACKET, SIMPLE_PACKET):
                append(position)
            else:
                self._take(kind, bytes(view[position:following]))
            position = following
        return position, False

    def _is_section(self, buffer: PacketBuffer, position: int, end: int) -> bool:
        """Whether a section header stands at `position`, and all of it."""
        if position + SECTION_HEADER_BYTES > end or bytes(buffer.view[position : position + 4]) != MAGIC:
            return False
        return position + self._length(buffer, position) <= end

    def _begin_section(self, buffer: PacketBuffer, position: int) -> None:
        """Begin the section whose header stands at `position`."""
        view = buffer.view
        following = position + self._length(buffer, position)
        self._dropped = self._drops()
        self._counted = -1
        self._reported.clear()
        self._interfaces.clear()
        self._order = BYTE_ORDER_MAGICS[bytes(view[position + 8 : position + 12])]
        self._summary.host = self._summary.host or section_host(self._order, bytes(view[position:following]))

    def _possible(self, buffer: PacketBuffer, position: int, end: int) -> bool:
        """Whether a block may begin at `position`, as far as its bytes are there."""
        length = self._length(buffer, position)
        kind = struct.unpack_from(self._order + "I", buffer.view, position)[0]
        fewest = SECTION_HEADER_BYTES if kind == SECTION_HEADER else FEWEST_BYTES.get(kind, BLOCK_BYTES)
        if length < fewest or length & 3 or length > self._limits.record_bytes:
            return False
        if position + length > end:
            return True
        return bytes(buffer.view[position + 4 : position + 8]) == bytes(
            buffer.view[position + length - 4 : position + length]
        )

    def _length(self, buffer: PacketBuffer, position: int) -> int:
        """Length of the block at `position`; of a section header in its own byte order; 0 if that is not known."""
        view = buffer.view
        order: str | None = self._order
        if bytes(view[position : position + 4]) == MAGIC:
            order = BYTE_ORDER_MAGICS.get(bytes(view[position + 8 : position + 12]))
        return 0 if order is None else int(struct.unpack_from(order + "I", view, position + 4)[0])

    def _take(self, kind: int, block: bytes) -> None:
        """Take in a block that carries no packet."""
        if kind == INTERFACE:
            self._add_interface(block)
        elif kind == STATISTICS:
            number, dropped = interface_counters(self._order, block)
            if dropped >= 0 and number < len(self._interfaces):
                self._reported[number] = max(dropped, self._reported.get(number, 0))
        elif kind == DECRYPTION_SECRETS:
            self._add_secrets(key_log_of(self._order, block))
        elif kind == NAME_RESOLUTION:
            names = self._summary.names
            for address, name in names_of(self._order, block):
                if len(names) >= self._limits.name_records:
                    self._notes.add(NoteKind.LIMIT_REACHED, "name_records")
                    break
                names.setdefault(address, name)

    def _add_secrets(self, text: str) -> None:
        if self._secret_bytes + len(text) > self._limits.secret_bytes:
            self._notes.add(NoteKind.LIMIT_REACHED, "secret_bytes")
        elif text:
            self._secret_bytes += len(text)
            self._summary.secrets.append(text)

    def _add_interface(self, block: bytes) -> None:
        if len(self._interfaces) >= self._limits.interfaces:
            self._notes.add(NoteKind.LIMIT_REACHED, "interfaces")
            return
        interface = interface_of(self._order, block)
        self._interfaces.append(interface)
        self._summary.link_types.add(interface.link_type)
        self._summary.host = self._summary.host or interface.host
        if interface.name and interface.name not in self._summary.interfaces:
            self._summary.interfaces[interface.name] = interface.link_type

    def _drops(self) -> int:
        """Packets dropped so far, -1 where the file does not say: the statistics of a section, which are cumulative,
        outrank the counts of its packets."""
        here = sum(self._reported.values()) if self._reported else self._counted
        return min(here if self._dropped < 0 else self._dropped + max(here, 0), MOST_DROPPED)

    def _resume(self, buffer: PacketBuffer, position: int, final: bool) -> int:
        """Pass over damage from `position` on, to the next known block or as far as can be said."""
        found = self._way_back(buffer, position)
        self._lost = found < 0
        resume = found if found >= 0 else buffer.used if final else max(position, buffer.used - RESYNC_KEEP_BYTES)
        self._summary.damaged_bytes += resume - position
        return resume

    def _way_back(self, buffer: PacketBuffer, begin: int) -> int:
        """First place from `begin` on where a known block stands with both its lengths; -1 if there is none."""
        search, last = KNOWN_BLOCK[self._order].search, buffer.used - BLOCK_BYTES
        while (found := search(buffer.view, begin, max(last + 4, 0))) is not None:
            candidate = found.start()
            length = self._length(buffer, candidate)
            if 0 < length <= buffer.used - candidate and self._possible(buffer, candidate, buffer.used):
                return candidate
            begin = candidate + 1
        return -1

    def _records(self, buffer: PacketBuffer, packets: list[int]) -> list[Records]:
        """Offsets of packet blocks of one section -> their records, in a list; an empty one where there are none."""
        if not packets:
            return []
        blocks = np.array(packets, np.int64)
        words = unaligned(buffer.u8, self._order + "u4")
        kind = words[blocks]
        length = words[blocks + 4].astype(np.int64)
        interface = words[blocks + 8].astype(np.int64)
        captured = words[blocks + 20].astype(np.int64)
        wire = words[blocks + 24].astype(np.int64)
        offset = blocks + PACKET_HEADER_BYTES
        room = length - PACKET_HEADER_BYTES - 4
        obsolete = kind == OBSOLETE_PACKET
        if obsolete.any():
            interface[obsolete] = unaligned(buffer.u8, self._order + "u2")[blocks[obsolete] + 8]
        simple = kind == SIMPLE_PACKET
        if simple.any():
            interface[simple] = 0
            snap = self._interfaces[0].snap_length if self._interfaces else 0
            offset[simple] = blocks[simple] + 12
            wire[simple] = words[blocks[simple] + 8]
            room[simple] = length[simple] - 16
            captured[simple] = np.minimum(wire[simple], snap or self._limits.record_bytes)
        captured = np.minimum(captured, room)
        stamps = words[blocks + 12].astype(np.uint64) << np.uint64(32) | words[blocks + 16]
        time_ns, link_type = self._described(interface, stamps)
        self._fill_times(time_ns, simple)
        self._count_drops(buffer, blocks[kind == ENHANCED_PACKET], words)
        return [Records(offset, captured, wire, time_ns, link_type, interface)]

    def _described(
        self, interface: NDArray[np.int64], stamps: NDArray[np.uint64]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        """(n,) interfaces and time stamps of packets -> their times and link types, as the interfaces are described."""
        # One more stands for all that are not described.
        numbers, which = np.unique(np.minimum(interface, len(self._interfaces)), return_inverse=True)
        known = [*self._interfaces, Interface(link_type=NO_INTERFACE)]
        described = [known[number] for number in numbers.tolist()]
        resolution = np.array([each.resolution for each in described], np.uint8)[which]
        offset = np.array([each.bounded_offset for each in described], np.int64)[which]
        time_ns = np.empty(len(interface), np.int64)
        # There are few resolutions, whatever the number of interfaces.
        for one in np.unique(resolution).tolist():
            rows = resolution == one
            time_ns[rows] = times(one, offset[rows], stamps[rows])
        return time_ns, np.array([each.link_type for each in described], np.uint32)[which]

    def _fill_times(self, time_ns: NDArray[np.int64], simple: NDArray[np.bool_]) -> None:
        """Give simple packets, which have no time, the time of the packet before, in place."""
        if simple.any():
            self._notes.add(NoteKind.TIME_UNKNOWN, self._name, int(simple.sum()))
            with_before = np.concatenate([[self._last_ns], time_ns])
            source = np.where(np.concatenate([[False], simple]), 0, np.arange(len(with_before)))
            time_ns[:] = with_before[np.maximum.accumulate(source)][1:]
        self._last_ns = int(time_ns[-1])

    def _count_drops(self, buffer: PacketBuffer, blocks: NDArray[np.int64], words: NDArray[np.unsignedinteger]) -> None:
        """Add up epb_dropcount: look through the options of all packets in step."""
        shorts = unaligned(buffer.u8, self._order + "u2")
        option = blocks + PACKET_HEADER_BYTES + (words[blocks + 20].astype(np.int64) + 3 & ~3)
        end = blocks + words[blocks + 4] - 4
        for _ in range(OPTIONS_READ):
            inside = option + 4 <= end
            option, end = option[inside], end[inside]
            if not len(option):
                return
            code, length = shorts[option], shorts[option + 2].astype(np.int64)
            drops = option[(code == OPTION_DROP_COUNT) & (length == 8) & (option + 12 <= end)]
            if len(drops):
                counts = unaligned(buffer.u8, self._order + "u8")[drops + 4]
                self._counted = max(self._counted, 0) + sum(counts.tolist())
            option = np.where(code == 0, end, option + 4 + (length + 3 & ~3))
