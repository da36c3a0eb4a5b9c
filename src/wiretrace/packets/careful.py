"""The careful path: IP fragments, one packet at a time.

Rules: a packet resolved here fills in the same columns of `Segments` as the kernel would; a datagram rebuilt from
fragments stands in the buffer behind the chunk, at the row of the packet that completed it.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.packets.fragments import LONGEST_DATAGRAM, Datagram, DatagramKey, Fragment, FragmentTable
from wiretrace.packets.network import FRAGMENT, Segments, reasons_of
from wiretrace.packets.reasons import Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.packets.buffer import PacketBuffer

FRAGMENT_HEADER_BYTES = 8

WAITING = -2
"""In place of a reason: a fragment whose siblings may still come. Counted when its datagram is."""


class CarefulPath:
    """Puts together what the kernel marks FRAGMENT. Keeps the fragments of one file from block to block."""

    def __init__(self, fragment_bytes: int) -> None:
        self.fragments = FragmentTable(fragment_bytes)
        self.joined_packets = 0
        """Fragments that a later packet completed."""
        self.joined_bytes = 0
        """Captured bytes of those packets."""

    def resolve(
        self, buffer: PacketBuffer, segments: Segments, captured: NDArray[np.int64], time_ns: NDArray[np.int64]
    ) -> None:
        """Fill in the rows of `segments` whose reason is FRAGMENT; their reason becomes what follows from the datagram.

        `captured`: bytes of each packet that were captured, shape (n,).
        """
        rows = np.flatnonzero(segments.reason == FRAGMENT)
        for row in rows.tolist():
            resolve = self._ipv4 if segments.is_ipv4[row] else self._ipv6
            segments.reason[row] = resolve(buffer, segments, row, int(time_ns[row]), int(captured[row]))
        whole = rows[segments.reason[rows] == 0]
        segments.reason[whole] = reasons_of(segments.protocol[whole], segments.is_ipv4[whole])

    def _ipv4(self, buffer: PacketBuffer, segments: Segments, row: int, time_ns: int, captured: int) -> int:
        view, network = buffer.view, int(segments.network[row])
        identification, word = struct.unpack_from(">HH", view, network + 4)
        protocol = int(segments.protocol[row])
        key = DatagramKey(
            bytes(view[network + 12 : network + 16]),
            bytes(view[network + 16 : network + 20]),
            identification,
            protocol,
        )
        start, more = (word & 0x1FFF) * 8, bool(word & 0x2000)
        return self._join(buffer, key, segments, row, start, more, time_ns, captured, Reason.MALFORMED_IPV4)

    def _ipv6(self, buffer: PacketBuffer, segments: Segments, row: int, time_ns: int, captured: int) -> int:
        """A fragment header (RFC 8200 section 4.5)."""
        if segments.captured[row] < FRAGMENT_HEADER_BYTES:
            return Reason.CUT if segments.wire[row] >= FRAGMENT_HEADER_BYTES else Reason.MALFORMED_IPV6
        view, network = buffer.view, int(segments.network[row])
        following, _, word, identification = struct.unpack_from(">BBHI", view, int(segments.offset[row]))
        segments.protocol[row] = following
        segments.offset[row] += FRAGMENT_HEADER_BYTES
        segments.captured[row] -= FRAGMENT_HEADER_BYTES
        segments.wire[row] -= FRAGMENT_HEADER_BYTES
        start, more = word & 0xFFF8, bool(word & 1)
        if start == 0 and not more:
            return 0  # an atomic fragment (RFC 6946)
        key = DatagramKey(
            bytes(view[network + 8 : network + 24]), bytes(view[network + 24 : network + 40]), identification, -1
        )
        return self._join(buffer, key, segments, row, start, more, time_ns, captured, Reason.MALFORMED_IPV6)

    def _join(
        self,
        buffer: PacketBuffer,
        key: DatagramKey,
        segments: Segments,
        row: int,
        start: int,
        more: bool,
        time_ns: int,
        captured: int,
        malformed: Reason,
    ) -> int:
        """Hand a fragment to the table. When it completes its datagram, the row becomes the datagram's payload."""
        wire, offset = int(segments.wire[row]), int(segments.offset[row])
        if not wire or (more and wire % 8) or start + wire > LONGEST_DATAGRAM:
            return malformed
        data = bytes(buffer.view[offset : offset + int(segments.captured[row])])
        fragment = Fragment(start, wire, data, not more, int(segments.protocol[row]), captured)
        datagram = self.fragments.add(key, time_ns, fragment)
        if datagram is None:
            return WAITING
        self._count(datagram)
        segments.protocol[row] = datagram.protocol
        segments.offset[row] = buffer.append(datagram.data)
        segments.captured[row] = len(datagram.data)
        segments.wire[row] = datagram.length
        return 0

    def _count(self, datagram: Datagram) -> None:
        self.joined_packets += datagram.earlier
        self.joined_bytes += datagram.earlier_bytes
