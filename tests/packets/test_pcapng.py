"""Files of pcapng that somebody made to be slow: what they cost grows with their size, and not faster."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from tests.support import pcapng
from tests.support.packet_rows import read_rows

from wiretrace.model.note import NoteKind
from wiretrace.packets.pcapng import MOST_DROPPED

if TYPE_CHECKING:
    from pathlib import Path

HEAD = pcapng.section_header("<") + pcapng.interface("<")
PACKET = pcapng.enhanced_packet("<", 1, bytes(60))
TLS_KEY_LOG = 0x544C534B


def seconds_to_read(path: Path, data: bytes) -> float:
    """Processor time that reading a file of these bytes takes."""
    path.write_bytes(data)
    begun = time.process_time()
    read_rows(path)
    return time.process_time() - begun


def test_very_many_tiny_key_logs_take_time_in_their_number(tmp_path: Path) -> None:
    """Each block of secrets is counted once, not again with every later one."""
    secret = pcapng.block("<", 10, TLS_KEY_LOG.to_bytes(4, "little") + (1).to_bytes(4, "little") + b"\n")
    assert seconds_to_read(tmp_path / "a.pcapng", HEAD + PACKET + secret * 40_000) < 5


def test_packets_of_very_many_interfaces_take_time_in_their_number(tmp_path: Path) -> None:
    """Packets are not gone through once for each of their interfaces."""
    interfaces = b"".join(pcapng.interface("<", resolution=number % 9) for number in range(60_000))
    packets = b"".join(pcapng.enhanced_packet("<", 1, b"", interface_id=number) for number in range(60_000))
    assert seconds_to_read(tmp_path / "a.pcapng", HEAD + interfaces + packets) < 5


@pytest.mark.parametrize("block", [PACKET, pcapng.block("<", 4, b"")], ids=["packets", "names"])
def test_damage_between_all_blocks_costs_little_each_time(tmp_path: Path, block: bytes) -> None:
    """The way back into the file is found from where it was lost, and the packets around it are decoded together."""
    assert seconds_to_read(tmp_path / "a.pcapng", HEAD + (block + b"\xff") * 20_000) < 5


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_the_way_back_leads_to_the_next_block_behind_what_looks_like_one(tmp_path: Path, byte_order: str) -> None:
    """Packets behind damage are read, on an interface that was described before it, though a type stands in the damage."""
    head = pcapng.section_header(byte_order) + pcapng.interface(byte_order, link_type=101)
    packet = pcapng.enhanced_packet(byte_order, 7, bytes(40))
    path = tmp_path / "a.pcapng"
    path.write_bytes(head + packet + b"\xff" + packet[:4] + b"\xff\0\0" + packet + packet)
    reading = read_rows(path)
    assert reading.summary.packets == 3
    assert reading.summary.link_types == {101}
    assert reading.notes.counts[NoteKind.FILE_DAMAGED, "a.pcapng"] == 1


def test_a_count_of_drops_that_can_not_be_is_told_as_the_most_that_are_believed(tmp_path: Path) -> None:
    """Counts of 64 bits, which add up to more than a table can hold, become one that can be added to others."""
    most = (1 << 64) - 1
    packet = pcapng.enhanced_packet("<", 1, bytes(60), dropped=most)
    statistics = pcapng.interface_statistics("<", 1, counters={5: most, 7: most})
    for data in (HEAD + packet * 3, (HEAD + PACKET + statistics) * 3):
        path = tmp_path / "a.pcapng"
        path.write_bytes(data)
        reading = read_rows(path)
        assert reading.summary.dropped == MOST_DROPPED
        assert reading.notes.counts[NoteKind.PACKETS_DROPPED, "a.pcapng"] == MOST_DROPPED
