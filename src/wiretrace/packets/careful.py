"""The careful path: IP fragments and IPv6 extension headers, one packet at a time.

Rules: a packet resolved here fills in the same columns of `Segments` as the kernel would; a datagram rebuilt from
fragments stands in the buffer behind the chunk, at the row of the packet that completed it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.packets.columns import TCP, UDP
from wiretrace.packets.fragments import LONGEST_DATAGRAM, Datagram, DatagramKey, Fragment, FragmentTable
from wiretrace.packets.link import ETHERTYPE_IPV4
from wiretrace.packets.network import CAREFUL, EXTENSION_HEADERS, IPV6_HEADER_BYTES, Segments
from wiretrace.packets.reasons import Reason, reason_code

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.packets.buffer import PacketBuffer

FRAGMENT_HEADER = 44
FRAGMENT_HEADER_BYTES = 8
AUTHENTICATION_HEADER = 51

WAITING = -2
"""In place of a reason: a fragment whose siblings may still come. Counted when its datagram is."""


@dataclass(slots=True)
class _Segment:
    protocol: int
    offset: int
    captured: int
    wire: int


class CarefulPath:
    """Resolves what the kernel marks CAREFUL. Keeps the fragments of one file from block to block."""

    def __init__(self, fragment_bytes: int, extension_headers: int) -> None:
        self.fragments = FragmentTable(fragment_bytes)
        self.joined_packets = 0
        """Fragments that a later packet completed."""
        self.joined_bytes = 0
        """Captured bytes of those packets."""
        self._extension_headers = extension_headers

    def resolve(
        self,
        buffer: PacketBuffer,
        segments: Segments,
        network: NDArray[np.int64],
        ethertype: NDArray[np.uint16],
        captured: NDArray[np.int64],
        time_ns: NDArray[np.int64],
    ) -> None:
        """Fill in the rows of `segments` whose reason is CAREFUL; their reason becomes 0, WAITING or a code."""
        for row in np.flatnonzero(segments.reason == CAREFUL).tolist():
            place = _Segment(
                int(segments.protocol[row]),
                int(segments.offset[row]),
                int(segments.captured[row]),
                int(segments.wire[row]),
            )
            arrival = (int(time_ns[row]), int(captured[row]))
            if ethertype[row] == ETHERTYPE_IPV4:
                reason = self._ipv4(buffer, int(network[row]), place, *arrival)
            else:
                reason = self._ipv6(buffer, int(network[row]), place, *arrival)
            if reason == 0 and place.protocol not in (TCP, UDP):
                reason = reason_code(Reason.IP_PROTOCOL, place.protocol)
            segments.reason[row] = reason
            segments.protocol[row] = place.protocol
            segments.offset[row] = place.offset
            segments.captured[row] = place.captured
            segments.wire[row] = place.wire

    def _ipv4(self, buffer: PacketBuffer, network: int, place: _Segment, time_ns: int, captured: int) -> int:
        """A fragment of IPv4."""
        view = buffer.view
        identification, word = struct.unpack_from(">HH", view, network + 4)
        key = DatagramKey(
            bytes(view[network + 12 : network + 16]),
            bytes(view[network + 16 : network + 20]),
            identification,
            place.protocol,
        )
        start, more = (word & 0x1FFF) * 8, bool(word & 0x2000)
        if more and place.wire % 8:
            return Reason.MALFORMED_IPV4
        if start + place.wire > LONGEST_DATAGRAM or not place.wire:
            return Reason.MALFORMED_IPV4
        return self._join(buffer, key, place, start, more, time_ns, captured)

    def _ipv6(self, buffer: PacketBuffer, network: int, place: _Segment, time_ns: int, captured: int) -> int:
        """Extension headers (RFC 8200 section 4), a fragment header among them or not."""
        joined = False
        for _ in range(self._extension_headers):
            if place.protocol not in EXTENSION_HEADERS:
                return 0
            if place.captured < 8:
                return Reason.CUT if place.wire >= 8 else Reason.MALFORMED_IPV6
            view, offset = buffer.view, place.offset
            following, length = view[offset], view[offset + 1]
            if place.protocol == FRAGMENT_HEADER:
                _, _, word, identification = struct.unpack_from(">BBHI", view, offset)
                _advance(place, following, FRAGMENT_HEADER_BYTES)
                start, more = word & 0xFFF8, bool(word & 1)
                if start == 0 and not more:
                    continue  # an atomic fragment (RFC 6946)
                if joined or (more and place.wire % 8) or start + place.wire > LONGEST_DATAGRAM or not place.wire:
                    return Reason.MALFORMED_IPV6
                addresses = network + 8, network + 24, network + IPV6_HEADER_BYTES
                key = DatagramKey(
                    bytes(view[addresses[0] : addresses[1]]),
                    bytes(view[addresses[1] : addresses[2]]),
                    identification,
                    -1,
                )
                reason = self._join(buffer, key, place, start, more, time_ns, captured)
                if reason:
                    return reason
                joined = True
                continue
            size = (length + 2) * 4 if place.protocol == AUTHENTICATION_HEADER else (length + 1) * 8
            if size > place.captured:
                return Reason.CUT if size <= place.wire else Reason.MALFORMED_IPV6
            _advance(place, following, size)
        return 0 if place.protocol not in EXTENSION_HEADERS else Reason.EXTENSION_HEADERS

    def _join(
        self,
        buffer: PacketBuffer,
        key: DatagramKey,
        place: _Segment,
        start: int,
        more: bool,
        time_ns: int,
        captured: int,
    ) -> int:
        """Hand a fragment to the table. When it completes its datagram, `place` becomes the datagram's payload."""
        data = bytes(buffer.view[place.offset : place.offset + place.captured])
        fragment = Fragment(start, place.wire, data, not more, place.protocol, captured)
        datagram = self.fragments.add(key, time_ns, fragment)
        if datagram is None:
            return WAITING
        self._count(datagram)
        place.protocol = datagram.protocol
        place.offset = buffer.append(datagram.data)
        place.captured = len(datagram.data)
        place.wire = datagram.length
        return 0

    def _count(self, datagram: Datagram) -> None:
        self.joined_packets += datagram.earlier
        self.joined_bytes += datagram.earlier_bytes


def _advance(place: _Segment, protocol: int, size: int) -> None:
    """Pass over a header of `size` bytes."""
    place.protocol = protocol
    place.offset += size
    place.captured -= size
    place.wire -= size
