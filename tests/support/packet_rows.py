"""PacketColumns as plain tuples, and the same rows decoded by dpkt, which is slow and independent.

`python -m tests.support.packet_rows FOLDER` compares both on every capture below a folder.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import dpkt

from wiretrace.model.errors import UserError
from wiretrace.model.limits import Limits
from wiretrace.model.note import Notes
from wiretrace.packets.columns import FlowTable
from wiretrace.packets.reader import CaptureReader

if TYPE_CHECKING:
    from wiretrace.packets.summary import CaptureSummary


class Row(NamedTuple):
    """One TCP or UDP packet."""

    frame: int
    time_ns: int
    source: bytes
    source_port: int
    destination: bytes
    destination_port: int
    transport: int
    seq: int
    ack: int
    flags: int
    window: int
    payload: bytes
    wire_length: int


class Reading(NamedTuple):
    """All of one capture file."""

    rows: list[Row]
    summary: CaptureSummary
    notes: Notes
    flows: FlowTable
    flow: list[int]


def read_rows(path: Path, limits: Limits | None = None, flows: FlowTable | None = None) -> Reading:
    """Read a capture with the product's reader, and check that every packet is accounted for."""
    notes, table, rows, numbers = Notes(), flows or FlowTable(), [], []
    reader = CaptureReader(path, table, limits or Limits(), notes)
    for columns in reader.chunks():
        assert len(columns)
        for index in range(len(columns)):
            key = table.keys[columns.flow[index]]
            ends = (key.address_a, key.port_a), (key.address_b, key.port_b)
            direction = int(columns.direction[index])
            start, length = int(columns.payload_offset[index]), int(columns.payload_length[index])
            assert key.transport == columns.transport[index]
            assert ends[0] <= ends[1]
            rows.append(
                Row(
                    int(columns.frame[index]),
                    int(columns.time_ns[index]),
                    *ends[direction],
                    *ends[1 - direction],
                    int(columns.transport[index]),
                    int(columns.seq[index]),
                    int(columns.ack[index]),
                    int(columns.flags[index]),
                    int(columns.window[index]),
                    bytes(columns.buffer[start : start + length]),
                    int(columns.wire_length[index]),
                )
            )
        numbers += columns.flow.tolist()
    summary = reader.summary
    assert summary.decoded == len(rows)
    assert summary.packets == summary.decoded + sum(count.packets for count in summary.not_decoded.values())
    assert summary.payload_bytes == sum(len(row.payload) for row in rows)
    return Reading(rows, summary, notes, table, numbers)


def dpkt_packets(path: Path) -> list[tuple[int, bytes, int]] | None:
    """(link type, bytes, nanoseconds) of a plain or gzip file as dpkt reads it; None where dpkt can not read the file."""
    compressed = path.read_bytes()[:2] == b"\x1f\x8b"
    with gzip.open(path) if compressed else path.open("rb") as file:
        try:
            reader = dpkt.pcap.UniversalReader(file)
            return [(reader.datalink() & 0x03FFFFFF, data, round(float(time) * 1e9)) for time, data in reader]
        except (ValueError, dpkt.dpkt.Error, KeyError, IndexError, OverflowError, TypeError):
            return None


LINKS = {
    0: dpkt.loopback.Loopback,
    1: dpkt.ethernet.Ethernet,
    12: dpkt.ip.IP,
    101: dpkt.ip.IP,
    113: dpkt.sll.SLL,
    228: dpkt.ip.IP,
    276: dpkt.sll2.SLL2,
}


def dpkt_row(link_type: int, data: bytes) -> tuple[object, ...] | None:
    """(source, port, destination, port, transport, seq, ack, flags, window, payload) by dpkt; None if not plain TCP or UDP.

    Fragments, IPv6 extension headers and lengths that contradict each other are left to other tests: dpkt bends them.
    """
    try:
        packet = LINKS[link_type](data)
    except (KeyError, dpkt.dpkt.Error, IndexError, ValueError):
        return None
    network = packet if isinstance(packet, dpkt.ip.IP) else packet.data
    if isinstance(network, dpkt.ip.IP):
        if network.mf or network.offset or network.len < network.hl * 4 or network.v != 4:
            return None
        length = network.len - network.hl * 4
    elif isinstance(network, dpkt.ip6.IP6):
        if network.all_extension_headers or network.plen == 0 or network.v != 6:
            return None
        length = network.plen
    else:
        return None
    segment = network.data
    if isinstance(segment, dpkt.tcp.TCP):
        if segment.off < 5 or segment.off * 4 > length:
            return None
        payload = bytes(segment.data)
        fields = 6, segment.seq, segment.ack if segment.flags & 16 else 0, segment.flags & 0xFF, segment.win
    elif isinstance(segment, dpkt.udp.UDP):
        if not 8 <= segment.ulen <= length:
            return None
        payload = bytes(segment.data)[: segment.ulen - 8]
        fields = 17, 0, 0, 0, 0
    else:
        return None
    return (network.src, segment.sport, network.dst, segment.dport, *fields, payload)


def differences(path: Path) -> tuple[int, list[str]]:
    """How many packets of a capture both decoders read, and what they disagree about."""
    expected = dpkt_packets(path)
    rows = {row.frame: row for row in read_rows(path).rows}
    compared, found = 0, []
    for frame, (link_type, data, time_ns) in enumerate(expected or [], 1):
        fields = dpkt_row(link_type, data)
        if fields is None:
            continue
        compared += 1
        row = rows.get(frame)
        if row is None:
            found.append(f"{path}: frame {frame} is not decoded")
        elif row[2:-1] != fields or abs(row.time_ns - time_ns) > 1000:
            found.append(f"{path}: frame {frame}: {row} is not {fields}")
    return compared, found


def main(folder: Path) -> int:
    """Compare on every file below `folder`; print disagreements."""
    files = packets = wrong = 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            compared, found = differences(path)
        except UserError:
            continue
        files, packets, wrong = files + 1, packets + compared, wrong + len(found)
        for line in found[:3]:
            print(line[:400])
    print(f"{files} captures, {packets} packets compared, {wrong} differ")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
