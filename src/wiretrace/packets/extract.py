"""Single packets of captures, read again by their numbers, and written as one pcapng file.

Nothing is decoded or changed: a packet is copied as it was captured. A capture that is not what it was when the numbers
were made is refused, because they would name other packets.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wiretrace.model.errors import UserError
from wiretrace.model.limits import Limits
from wiretrace.model.note import Notes
from wiretrace.packets.columns import FlowTable
from wiretrace.packets.reader import CaptureReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

SECTION_HEADER, INTERFACE, ENHANCED_PACKET = 0x0A0D0D0A, 1, 6
"""Block types of draft-ietf-opsawg-pcapng, section 11.1."""
COMMENT, INTERFACE_NAME, TIME_RESOLUTION = 1, 2, 9
"""Options of those blocks: opt_comment, if_name, if_tsresol."""
NANOSECONDS = b"\x09"
"""Resolution of times: 10 to the power of -9 seconds."""


class Packet(NamedTuple):
    """One packet as it was captured."""

    capture: str
    frame: int
    """Its number in the file, from 1."""
    time_ns: int
    link_type: int
    wire_bytes: int
    """Its length on the wire."""
    data: bytes


class CapturePackets:
    """Packets of several captures, by capture and number."""

    def __init__(self, files: Mapping[str, Sequence[tuple[Path, str]]]) -> None:
        """`files` are those of each capture, with their digests."""
        self._files = files
        self._packets: dict[tuple[str, int], Packet] = {}

    def read(self, wanted: Mapping[str, Sequence[int]]) -> None:
        """Read packets. Raises UserError if a capture is not there, has changed, or stands in several files."""
        for capture, frames in wanted.items():
            files = self._files.get(capture, ())
            if len(files) != 1:
                raise UserError(
                    f"{capture}: stands in {len(files)} files, so that its packets can not be told by number"
                )
            path, digest = files[0]
            for frame, packet in extract(capture, path, digest, frames).items():
                self._packets[capture, frame] = packet

    def pcapng(self, wanted: Mapping[str, Sequence[int]]) -> bytes:
        """Some of the packets that were read as a pcapng file, in the order of their times."""
        keys = ((capture, frame) for capture, frames in wanted.items() for frame in frames)
        found = [self._packets[key] for key in keys if key in self._packets]
        return pcapng(sorted(found, key=lambda packet: (packet.time_ns, packet.capture, packet.frame)))


def extract(capture: str, path: Path, sha256: str, frames: Iterable[int]) -> dict[int, Packet]:
    """The packets of one capture file with these numbers, by number; a number that it does not have is left out.

    Raises UserError if the file can not be read, or is not the one with this digest.
    """
    wanted = np.unique(np.fromiter(frames, np.int64))
    reader = CaptureReader(path, FlowTable(), Limits(), Notes())
    found: dict[int, Packet] = {}
    first = 1
    for buffer, records in reader.records():
        begin, end = np.searchsorted(wanted, (first, first + len(records)))
        for frame in wanted[begin:end].tolist():
            row = frame - first
            offset, captured = int(records.offset[row]), int(records.captured[row])
            found[frame] = Packet(
                capture,
                frame,
                int(records.time_ns[row]),
                int(records.link_type[row]),
                int(records.wire[row]),
                bytes(buffer.view[offset : offset + captured]),
            )
        first += len(records)
    if reader.summary.sha256 != sha256:
        raise UserError(
            f"{path}: has changed since it was analyzed, so that its packets can not be told; analyze it again"
        )
    return found


def pcapng(packets: Iterable[Packet]) -> bytes:
    """A pcapng file of packets: an interface for each capture and link type, and with each packet where it comes from."""
    blocks = [_block(SECTION_HEADER, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))]
    interfaces: dict[tuple[str, int], int] = {}
    for packet in packets:
        key = packet.capture, packet.link_type
        if key not in interfaces:
            interfaces[key] = len(interfaces)
            options = {INTERFACE_NAME: packet.capture.encode(), TIME_RESOLUTION: NANOSECONDS}
            blocks.append(_block(INTERFACE, struct.pack("<HHI", packet.link_type & 0xFFFF, 0, 0) + _options(options)))
        head = struct.pack(
            "<IIIII",
            interfaces[key],
            packet.time_ns >> 32 & 0xFFFFFFFF,
            packet.time_ns & 0xFFFFFFFF,
            len(packet.data),
            packet.wire_bytes & 0xFFFFFFFF,
        )
        comment = {COMMENT: f"frame {packet.frame} of {packet.capture}".encode()}
        blocks.append(_block(ENHANCED_PACKET, head + _padded(packet.data) + _options(comment)))
    return b"".join(blocks)


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def _options(values: Mapping[int, bytes]) -> bytes:
    given = b"".join(struct.pack("<HH", code, len(value)) + _padded(value) for code, value in values.items())
    return given + bytes(4)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
