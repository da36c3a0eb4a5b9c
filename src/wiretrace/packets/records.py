"""Records: where the packets of one chunk stand, whatever the format of the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.packets.buffer import PacketBuffer

NO_INTERFACE = 0xFFFFFFFF
"""Link type of a packet whose interface the file does not describe."""


@dataclass(slots=True)
class Records:
    """The packet records of one chunk, in file order. Shapes are all (n,)."""

    offset: NDArray[np.int64]
    """Index in the buffer of the packet's first byte."""
    captured: NDArray[np.int64]
    """Bytes of it that were captured."""
    wire: NDArray[np.int64]
    """Bytes that it had on the wire."""
    time_ns: NDArray[np.int64]
    """Capture time, nanoseconds since the epoch."""
    link_type: NDArray[np.uint32]
    """Link type (LINKTYPE_ value), or `NO_INTERFACE`."""
    interface: NDArray[np.int64]
    """Number of the interface in the section of the file; 0 where the format knows only one."""

    def __len__(self) -> int:
        return len(self.offset)

    def part(self, start: int, end: int) -> Records:
        """Records `start` to `end`, as views."""
        part = slice(start, end)
        return Records(
            self.offset[part],
            self.captured[part],
            self.wire[part],
            self.time_ns[part],
            self.link_type[part],
            self.interface[part],
        )


def no_records() -> Records:
    """Records of a chunk that holds none."""
    none = np.empty(0, np.int64)
    return Records(none, none, none, none, np.empty(0, np.uint32), none)


def join_records(parts: list[Records]) -> Records:
    """All of `parts`, one behind the other."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return no_records()
    return Records(
        np.concatenate([part.offset for part in parts]),
        np.concatenate([part.captured for part in parts]),
        np.concatenate([part.wire for part in parts]),
        np.concatenate([part.time_ns for part in parts]),
        np.concatenate([part.link_type for part in parts]),
        np.concatenate([part.interface for part in parts]),
    )


class RecordIndex(Protocol):
    """Finds the packet records of one file format, chunk by chunk."""

    def index(self, buffer: PacketBuffer, final: bool) -> tuple[Records, int]:
        """Find the records in the used bytes of `buffer`.

        Returns them and how many bytes were consumed; the rest is presented again with more behind it. `final` says
        that nothing comes behind: everything is consumed, and what is left over becomes a note.
        """
