"""What a capture lacks or holds twice, told apart: copies, packets cut by the snap length, one direction missing, holes.

Rules: counted by array operations, a chunk at a time. A hole is bytes that the receiver acknowledged and the capture does
not hold; those that the snap length cut off are not counted among them. A flow lacks a direction only where the other one
acknowledges something: that proves that there was one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.model.note import NoteKind, Notes
from wiretrace.packets.columns import ACK, RST, TCP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.packets.columns import PacketColumns


class Coverage:
    """Counts for one vantage point."""

    def __init__(self) -> None:
        self.copies = 0
        """Packets that are copies."""
        self.copied_bytes = 0
        """Their payload bytes that were captured, of TCP and UDP."""
        self.cut_bytes = 0
        """TCP payload bytes that the snap length cut off, copies left out."""
        self._seen = np.zeros(4096, np.bool_)
        """At 4 * flow + 2 * direction: whether a TCP packet without acknowledgement was seen; behind it: one with."""

    def feed(self, columns: PacketColumns) -> None:
        """Count one more chunk."""
        copies = np.count_nonzero(columns.copy)
        if copies:
            self.copies += int(copies)
            self.copied_bytes += int(columns.payload_length[columns.copy].sum())
        tcp: NDArray[np.bool_] = columns.transport == TCP
        cut = columns.wire_length > columns.payload_length
        if cut.any():
            rows = cut & tcp & ~columns.copy
            self.cut_bytes += int((columns.wire_length[rows].astype(np.int64) - columns.payload_length[rows]).sum())
        places = 4 * (int(columns.flow.max(initial=-1)) + 1)
        if places > len(self._seen):
            self._seen = np.concatenate([self._seen, np.zeros(places, np.bool_)])
        acknowledges = (columns.flags & (ACK | RST)) == ACK
        place: NDArray[np.int64] = 4 * columns.flow.astype(np.int64) + 2 * columns.direction + acknowledges
        self._seen[place[tcp]] = True

    @property
    def one_directional(self) -> int:
        """TCP flows of which only one direction was captured, and the other is proved."""
        seen = self._seen.reshape(-1, 2, 2)
        either = seen[:, :, 0] | seen[:, :, 1]
        lone = either[:, 0] != either[:, 1]
        return int(np.count_nonzero(lone & (seen[:, 0, 1] | seen[:, 1, 1])))

    def note(self, notes: Notes, capture: str, lost_bytes: int) -> None:
        """Say what was counted of the vantage point `capture`, whose streams lack `lost_bytes`."""
        holes = lost_bytes - self.cut_bytes
        for kind, count in (
            (NoteKind.NOT_CAPTURED, holes),
            (NoteKind.ONE_DIRECTION, self.one_directional),
            (NoteKind.COPIES, self.copies),
        ):
            if count > 0:
                notes.add(kind, capture, count)
