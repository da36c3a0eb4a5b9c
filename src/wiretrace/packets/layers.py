"""All layers of a block of packets, from the link layer to the innermost transport header.

Rules: a block goes through the kernels as a whole. Packets that turn out to be tunnels become frames again, all of them
at once, and go through the same kernels, until nothing more can be opened; each depth is bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.packets.careful import CarefulPath
from wiretrace.packets.columns import UDP
from wiretrace.packets.frames import Frames, new_frames
from wiretrace.packets.link import locate_frames
from wiretrace.packets.network import EXTENDED, FRAGMENT, Segments, locate_segments, pass_extension_headers
from wiretrace.packets.reasons import Reason
from wiretrace.packets.records import NO_INTERFACE, Records
from wiretrace.packets.shims import pass_shims
from wiretrace.packets.tunnels import is_no_packet, tunnel_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.model.limits import Limits
    from wiretrace.packets.buffer import PacketBuffer


class LayerWalk:
    """Finds the innermost segments of the packets of one file. Keeps fragments from block to block."""

    def __init__(self, limits: Limits) -> None:
        self.careful = CarefulPath(limits.fragment_bytes)
        self._limits = limits

    def segments(self, buffer: PacketBuffer, block: Records) -> Segments:
        """(n,) records -> their innermost segments that can be read. Rebuilt datagrams are appended to `buffer`."""
        return self._walk(buffer, link_frames(buffer, block), block.captured, block.time_ns, self._limits.tunnels)

    def _walk(
        self,
        buffer: PacketBuffer,
        frames: Frames,
        captured: NDArray[np.int64],
        time_ns: NDArray[np.int64],
        tunnels: int,
    ) -> Segments:
        """Frames at any header -> segments. `captured` are whole packets as recorded; `tunnels` may still be opened."""
        pass_shims(buffer, frames, self._limits.link_headers)
        segments = locate_segments(buffer, frames)
        if (segments.reason < 0).any():
            self._pass_headers(buffer, segments, captured, time_ns)
        inside = tunnel_frames(buffer, segments)
        if inside is None:
            return segments
        rows, inner = inside
        over_udp = (segments.protocol[rows] == UDP) & (segments.reason[rows] == 0)
        if not tunnels:
            segments.reason[rows[~over_udp]] = Reason.TUNNELS
            return segments
        part = self._walk(buffer, inner, captured[rows], time_ns[rows], tunnels - 1)
        segments.put(rows, part, ~over_udp | ~is_no_packet(inner, part))
        return segments

    def _pass_headers(
        self, buffer: PacketBuffer, segments: Segments, captured: NDArray[np.int64], time_ns: NDArray[np.int64]
    ) -> None:
        """Pass over extension headers, before fragments, and again in the datagrams that they make."""
        headers = self._limits.extension_headers
        pass_extension_headers(buffer, segments, headers)
        self.careful.resolve(buffer, segments, captured, time_ns)
        pass_extension_headers(buffer, segments, headers)
        again = (segments.reason == FRAGMENT) | (segments.reason == EXTENDED)
        segments.reason[again] = Reason.MALFORMED_IPV6


def link_frames(buffer: PacketBuffer, block: Records) -> Frames:
    """The frames of a block, whatever link types are mixed in it."""
    first = int(block.link_type[0])
    if (block.link_type == first).all() and first != NO_INTERFACE:
        return locate_frames(buffer, first, block.offset, block.captured, block.wire)
    frames = new_frames(block.offset.copy(), block.offset + block.captured, block.offset + block.wire)
    frames.reason[:] = Reason.NO_INTERFACE
    for link_type in np.unique(block.link_type).tolist():
        if link_type != NO_INTERFACE:
            rows = np.flatnonzero(block.link_type == link_type)
            part = locate_frames(buffer, link_type, block.offset[rows], block.captured[rows], block.wire[rows])
            for name in Frames.__slots__:
                getattr(frames, name)[rows] = getattr(part, name)
    return frames
