"""The walk in lanes is the walk one by one."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.support.captures import START_NS, Packet, pcap_bytes, write_pcap
from tests.support.packet_rows import read_rows

from wiretrace.model.limits import Limits
from wiretrace.packets.buffer import unaligned
from wiretrace.packets.pcap import FILE_HEADER_BYTES, HEADER_BYTES, USUAL_PACKET_BYTES, walk, walk_lanes

if TYPE_CHECKING:
    from pathlib import Path


def records(byte_order: str) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """2,000 records of many lengths, without the file header."""
    shuffle = random.Random(3)
    packets = [Packet(START_NS + number, shuffle.randbytes(shuffle.randrange(1, 900))) for number in range(2000)]
    return np.frombuffer(pcap_bytes(packets, byte_order=byte_order)[FILE_HEADER_BYTES:], np.uint8)


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("lanes", [2, 7, 64])
def test_lanes_find_what_the_walk_finds(byte_order: str, lanes: int) -> None:
    """Lanes that start at records give exactly the records before the last start."""
    data = records(byte_order)
    offsets: list[int] = []
    end = walk(data.data, byte_order, HEADER_BYTES, USUAL_PACKET_BYTES, 0, len(data), offsets)
    assert (end, len(offsets)) == (len(data), 2000)
    starts = np.array(offsets[:: 2000 // lanes], np.int64)
    found = walk_lanes(unaligned(data, byte_order + "u4"), HEADER_BYTES, USUAL_PACKET_BYTES, starts)
    assert found is not None
    assert found.tolist() == [offset for offset in offsets if offset < starts[-1]]


def test_lane_that_starts_at_no_record_is_refused() -> None:
    """One wrong start is enough: the lane before it does not end there."""
    data = records("<")
    offsets: list[int] = []
    walk(data.data, "<", HEADER_BYTES, USUAL_PACKET_BYTES, 0, len(data), offsets)
    starts = np.array([0, offsets[500] + 1, offsets[1000]], np.int64)
    assert walk_lanes(unaligned(data, "<u4"), HEADER_BYTES, USUAL_PACKET_BYTES, starts) is None
    assert walk_lanes(unaligned(data, "<u4"), HEADER_BYTES, USUAL_PACKET_BYTES, np.array([0], np.int64)) is None


def test_captures_inside_a_capture_do_not_mislead(tmp_path: Path) -> None:
    """Packets that carry a capture file themselves hold plausible record headers; each stays one packet."""
    inner = pcap_bytes([Packet(START_NS, bytes(60)) for _ in range(200)])
    packets = [Packet(START_NS + number, inner) for number in range(200)]
    reading = read_rows(write_pcap(tmp_path / "a", packets))
    assert reading.summary.packets == 200
    assert reading.summary.damaged_bytes == 0


def test_times_far_apart_are_not_damage(tmp_path: Path) -> None:
    """A clock that was set, and files put together from different years, are read in full."""
    times = [0, 10**9, START_NS, 5 * 10**9, START_NS, START_NS + 1, 10**18]
    path = write_pcap(tmp_path / "a", [Packet(time, bytes(60)) for time in times])
    data = path.read_bytes()
    path.write_bytes(data + struct.pack("<IIII", 5, 5, 90, 90) + bytes(10))
    reading = read_rows(path)
    assert (reading.summary.packets, reading.summary.damaged_bytes) == (len(times), 0)
    assert [kind.value for kind, _ in reading.notes.counts] == ["file_truncated", "packet_not_decoded"]


@pytest.mark.parametrize("cycle", [1, 3, 4, 7])
def test_headers_that_lead_astray_come_to_an_end(tmp_path: Path, cycle: int) -> None:
    """Plausible headers whose lengths are all wrong: every way back is tried once, and the file comes to its end."""
    head = struct.pack("<IIII", START_NS // 10**9, 1, cycle, cycle)
    path = tmp_path / "a"
    path.write_bytes(pcap_bytes([]) + head * 3000)
    for chunk in (4096, 1 << 20):
        summary = read_rows(path, Limits(chunk_bytes=chunk)).summary
        assert summary.damaged_bytes + summary.packets * (HEADER_BYTES + cycle) <= 3000 * HEADER_BYTES
        assert summary.damaged_bytes > 0
