"""Capture files become the rows that were written into them, whatever the format, and nothing is lost silently."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import random
import struct
import sys
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support import layers, pcapng
from tests.support.captures import (
    START_NS,
    Packet,
    TcpConversation,
    cut,
    merge,
    pcap_bytes,
    pcapng_bytes,
    udp_packet,
    write_pcap,
    write_pcapng,
)
from tests.support.packet_rows import differences, read_rows

from wiretrace.model.errors import UserError
from wiretrace.model.limits import Limits
from wiretrace.model.note import NoteKind, Notes
from wiretrace.model.side import Side
from wiretrace.packets.columns import FlowTable
from wiretrace.packets.reader import CaptureReader

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from pathlib import Path

SLOW_FIXTURES = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PCAP_HEADER, RECORD_HEADER = 24, 16


def lz4(data: bytes) -> bytes:
    """A frame of LZ4."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def dialogue(client: str = "10.0.0.1", server: str = "10.0.0.2", port: int = 40000, turns: int = 3) -> list[Packet]:
    conversation = TcpConversation((client, port), (server, 80)).open()
    for turn in range(turns):
        conversation.send(Side.CLIENT, b"GET /%d" % turn * 20).send(Side.SERVER, bytes([turn]) * 2000)
    return conversation.close().packets


def mixed() -> list[Packet]:
    """Two conversations and a datagram of both IP versions, and a packet that is not read."""
    arp = Packet(START_NS, bytes(12) + b"\x08\x06" + bytes(46))
    query = udp_packet(("10.0.0.1", 5353), ("10.0.0.2", 53), b"question", START_NS + 50_000)
    return merge(dialogue(), dialogue("fd00::1", "fd00::2", 40001), [arp, query])


def wrapped(packets: list[Packet], head: bytes) -> list[Packet]:
    """The same IP packets behind another link layer header."""
    return [packet._replace(data=head + packet.data[14:]) for packet in packets]


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("nanosecond", [True, False])
def test_pcap_of_any_byte_order_and_resolution_reads_the_same(
    tmp_path: Path, byte_order: str, nanosecond: bool
) -> None:
    """Byte order and time resolution change nothing (times here are whole microseconds)."""
    path = write_pcap(tmp_path / "a", mixed(), byte_order=byte_order, nanosecond=nanosecond)
    reading = read_rows(path)
    assert reading.rows == read_rows(write_pcapng(tmp_path / "b", mixed(), byte_order=byte_order)).rows
    assert reading.summary.format == "pcap"
    assert reading.summary.packets == len(mixed())
    assert {reason: count.packets for reason, count in reading.summary.not_decoded.items()} == {"ARP": 1}
    assert len(reading.flows.keys) == 3
    assert differences(path) == (len(mixed()) - 1, [])


def test_rows_are_the_headers_that_were_written(tmp_path: Path) -> None:
    """Every field of a TCP row is that of the packet."""
    conversation = TcpConversation(("10.0.0.9", 1234), ("10.0.0.2", 80), client_isn=7, server_isn=0xFFFFFFFF)
    conversation.open().send(Side.CLIENT, b"hello").segment(Side.SERVER, 0x14, window=0)
    rows = read_rows(write_pcap(tmp_path / "a", conversation.packets)).rows
    client, server = (layers.packed("10.0.0.9"), 1234), (layers.packed("10.0.0.2"), 80)
    step = 100_000
    assert [tuple(row) for row in rows] == [
        (1, START_NS, *client, *server, 6, 7, 0, 0x02, 65535, b"", 0),
        (2, START_NS + step, *server, *client, 6, 0xFFFFFFFF, 8, 0x12, 65535, b"", 0),
        (3, START_NS + 2 * step, *client, *server, 6, 8, 0, 0x10, 65535, b"", 0),
        (4, START_NS + 3 * step, *client, *server, 6, 8, 0, 0x18, 65535, b"hello", 5),
        (5, START_NS + 4 * step, *server, *client, 6, 0, 13, 0x14, 0, b"", 0),
    ]


@pytest.mark.parametrize(
    ("link_type", "head"),
    [
        (0, struct.pack("<I", 2)),
        (0, struct.pack(">I", 2)),
        (108, struct.pack(">I", 2)),
        (1, bytes(12) + b"\x08\x00"),
        (1 | 0xF4000000, bytes(12) + b"\x08\x00"),
        (1, bytes(12) + b"\x81\x00\x00\x05\x08\x00"),
        (1, bytes(12) + b"\x88\xa8\x00\x05\x81\x00\x00\x06\x81\x00\x00\x07\x08\x00"),
        (12, b""),
        (14, b""),
        (101, b""),
        (228, b""),
        (113, bytes(14) + b"\x08\x00"),
        (113, bytes(14) + b"\x81\x00\x00\x05\x08\x00"),
        (276, b"\x08\x00" + bytes(18)),
    ],
)
def test_link_types_read_the_same(tmp_path: Path, link_type: int, head: bytes) -> None:
    """The link layer changes nothing behind it."""
    packets = dialogue()
    expected = read_rows(write_pcap(tmp_path / "a", packets)).rows
    assert read_rows(write_pcap(tmp_path / "b", wrapped(packets, head), link_type=link_type)).rows == expected


@pytest.mark.parametrize("family", [10, 24, 28, 30])
def test_loopback_families_of_ipv6(tmp_path: Path, family: int) -> None:
    """AF_INET6 has another value on every system."""
    packets = dialogue("fd00::1", "fd00::2")
    path = write_pcap(tmp_path / "a", wrapped(packets, struct.pack("<I", family)), link_type=0)
    assert len(read_rows(path).rows) == len(packets)


@pytest.mark.parametrize(
    ("link_type", "data", "reason"),
    [
        (1, bytes(12) + b"\x88\xcc" + bytes(40), "LLDP"),
        (1, bytes(12) + b"\x99\x99" + bytes(40), "ethertype 0x9999"),
        (1, bytes(12) + b"\x00\x20" + bytes(40), "IEEE 802.3 LLC"),
        (1, bytes(12) + b"\x81\x00\0\1" * 17 + b"\x08\0" + bytes(60), "too many VLAN tags or labels"),
        (1, b"", "cut before the transport header"),
        (1, layers.ethernet(layers.ipv4("1.2.3.4", "1.2.3.5", 1, bytes(8))), "ICMP"),
        (1, layers.ethernet(layers.ipv4("1.2.3.4", "1.2.3.5", 132, bytes(8))), "SCTP"),
        (1, layers.ethernet(layers.ipv4("1.2.3.4", "1.2.3.5", 6, bytes(8))), "malformed TCP"),
        (1, layers.ethernet(layers.ipv4("1.2.3.4", "1.2.3.5", 6, bytes(20))), "malformed TCP"),
        (1, layers.ethernet(layers.ipv4("1.2.3.4", "1.2.3.5", 17, bytes(4) + b"\0\7" + bytes(9))), "malformed UDP"),
        (1, layers.ethernet(layers.ipv4("1.2.3.4", "1.2.3.5", 6, bytes(20), total_length=9)), "malformed IPv4"),
        (1, layers.ethernet(layers.ipv4("1.2.3.4", "1.2.3.5", 6, bytes(20)))[:40], "cut before the transport header"),
        (1, layers.ethernet(layers.ipv6("::1", "::2", 58, bytes(8))), "ICMPv6"),
        (1, bytes(12) + b"\x86\xdd" + bytes(60), "malformed IPv6"),
        (1, layers.ethernet(layers.ipv6("::1", "::2", 0, b"\0\0" + bytes(6)) * 20), "malformed IPv6"),
        (0, bytes(40), "loopback, not IP"),
        (101, b"\x20" + bytes(40), "neither IPv4 nor IPv6"),
        (113, b"\0\0" + struct.pack(">H", 824) + bytes(60), "netlink"),
        (147, bytes(40), "link type 147"),
    ],
)
def test_what_is_not_read_is_counted_by_reason(tmp_path: Path, link_type: int, data: bytes, reason: str) -> None:
    """A packet that does not become a row is counted, with its bytes, and noted."""
    reading = read_rows(write_pcap(tmp_path / "a", [Packet(START_NS, data)], link_type=link_type))
    assert {words: (count.packets, count.bytes) for words, count in reading.summary.not_decoded.items()} == {
        reason: (1, len(data))
    }
    assert reading.notes.counts == {(NoteKind.PACKET_NOT_DECODED, reason): 1}


def test_distinct_reasons_are_bounded(tmp_path: Path) -> None:
    """A capture full of strange ethertypes can not grow the summary without limit."""
    packets = [Packet(START_NS, bytes(12) + struct.pack(">H", 0x9A00 + n) + bytes(20)) for n in range(200)]
    reading = read_rows(write_pcap(tmp_path / "a", packets), Limits(decode_reasons=10))
    assert len(reading.summary.not_decoded) == 11
    assert reading.summary.not_decoded["other reasons"].packets == 190
    assert reading.notes.counts[NoteKind.LIMIT_REACHED, "decode_reasons"] == 190


def test_total_length_zero_means_the_rest_of_the_packet(tmp_path: Path) -> None:
    """Segmentation offload leaves the IPv4 total length empty."""
    segment = layers.tcp(("1.2.3.4", 1), ("1.2.3.5", 2), seq=1, payload=b"x" * 3000)
    packet = layers.ipv4("1.2.3.4", "1.2.3.5", 6, segment, total_length=0)
    rows = read_rows(write_pcap(tmp_path / "a", [Packet(START_NS, layers.ethernet(packet))])).rows
    assert [(row.payload, row.wire_length) for row in rows] == [(b"x" * 3000, 3000)]


def test_padding_is_not_payload(tmp_path: Path) -> None:
    """Ethernet fills short frames up to 60 bytes; TCP and UDP end where IP and UDP say."""
    tcp = TcpConversation().segment(Side.CLIENT, 0x10, b"ab").packets[0]
    udp = udp_packet(("10.0.0.1", 1), ("10.0.0.2", 2), b"cd")
    packets = [packet._replace(data=packet.data.ljust(60, b"\xff")) for packet in (tcp, udp)]
    assert [row.payload for row in read_rows(write_pcap(tmp_path / "a", packets)).rows] == [b"ab", b"cd"]


@pytest.mark.parametrize("captured", [54, 60, 100])
def test_snap_length_leaves_the_length_on_the_wire(tmp_path: Path, captured: int) -> None:
    """What the snap length cut is missing from the payload and counted on the wire."""
    packets = cut(TcpConversation().segment(Side.CLIENT, 0x10, b"p" * 500).packets, 0, captured)
    reading = read_rows(write_pcap(tmp_path / "a.pcap", packets))
    assert [(row.payload, row.wire_length) for row in reading.rows] == [(b"p" * (captured - 54), 500)]
    assert reading.notes.counts == {(NoteKind.PACKET_CUT, "a.pcap"): 1}


def test_chunks_do_not_show(tmp_path: Path) -> None:
    """However small the chunks, the same rows come out: records that straddle are carried over."""
    for path in (write_pcap(tmp_path / "a", mixed()), write_pcapng(tmp_path / "b", mixed())):
        whole = read_rows(path)
        for size in (64, 1000, 4096):
            small = read_rows(path, Limits(chunk_bytes=size))
            assert (small.rows, small.summary) == (whole.rows, whole.summary)


def test_compressed_files_read_the_same(tmp_path: Path) -> None:
    """One stream or several, of every compression, hold what they hold; the digest is that of the file as stored."""
    plain = pcap_bytes(mixed())
    expected = read_rows(write_pcap(tmp_path / "plain", mixed())).rows
    forms = {
        "pcap": plain,
        "pcap+gzip": gzip.compress(plain),
        "pcap+zstd": zstd.compress(plain),
        "pcap+xz": lzma.compress(plain),
        "pcap+bzip2": bz2.compress(plain),
        "pcap+lz4": lz4(plain),
    }
    forms_twice = {
        "pcap+gzip": gzip.compress(plain[:999]) + gzip.compress(plain[999:]) + bytes(100),
        "pcap+zstd": zstd.compress(plain[:999]) + zstd.compress(plain[999:]),
        "pcap+xz": lzma.compress(plain[:999]) + lzma.compress(plain[999:]),
        "pcap+bzip2": bz2.compress(plain[:999]) + bz2.compress(plain[999:]),
        "pcap+lz4": lz4(plain[:999]) + lz4(plain[999:]),
    }
    for name, data in [*forms.items(), *forms_twice.items()]:
        path = tmp_path / "file"
        path.write_bytes(data)
        reading = read_rows(path, Limits(chunk_bytes=3000))
        assert reading.rows == expected
        assert not reading.notes.counts.keys() - {(NoteKind.PACKET_NOT_DECODED, "ARP")}
        summary = reading.summary
        assert (summary.format, summary.bytes, summary.sha256) == (name, len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress, lzma.compress, lz4])
def test_decompression_bomb_does_not_fill_memory(tmp_path: Path, compress: object) -> None:
    """Twenty megabytes of nothing in a small file pass through the buffer chunk by chunk."""
    path = tmp_path / "bomb"
    assert callable(compress)
    path.write_bytes(compress(pcap_bytes(dialogue()) + bytes(20_000_000)))
    reader = CaptureReader(path, FlowTable(), Limits(chunk_bytes=1 << 20), Notes())
    for columns in reader.chunks():
        assert len(columns.buffer) < 4 << 20
    assert reader.summary.decoded == len(dialogue())
    assert reader.summary.damaged_bytes == 20_000_000


@SLOW_FIXTURES
@given(share=st.floats(0, 1), form=st.sampled_from(["pcap", "pcapng"]), chunk=st.sampled_from([100, 1 << 20]))
def test_truncated_anywhere_keeps_all_whole_records(tmp_path: Path, share: float, form: str, chunk: int) -> None:
    """A file that ends anywhere gives every whole record before that, and a note."""
    packets = mixed()
    data = pcap_bytes(packets) if form == "pcap" else pcapng_bytes(packets)
    sizes = [RECORD_HEADER + len(p.data) if form == "pcap" else 32 + (len(p.data) + 3 & ~3) for p in packets]
    begin = len(data) - sum(sizes)
    length = begin + round(share * sum(sizes))
    ends = np.cumsum([begin, *sizes]).tolist()
    path = tmp_path / "cut"
    path.write_bytes(data[:length])
    reading = read_rows(path, Limits(chunk_bytes=chunk))
    assert reading.summary.packets == sum(end <= length for end in ends[1:])
    assert ((NoteKind.FILE_TRUNCATED, "cut") in reading.notes.counts) == (length not in ends)
    assert (NoteKind.FILE_DAMAGED, "cut") not in reading.notes.counts


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress, lzma.compress, lz4])
def test_truncated_compressed_file_is_noted(tmp_path: Path, compress: object) -> None:
    """What could be decompressed is read."""
    random.seed(5)
    packets = [udp_packet(("10.0.0.1", 1), ("10.0.0.2", 2), random.randbytes(1000)) for _ in range(500)]
    assert callable(compress)
    data = compress(pcap_bytes(packets))
    path = tmp_path / "cut"
    path.write_bytes(data[: len(data) // 2])
    reading = read_rows(path)
    assert 100 < len(reading.rows) < 260
    assert reading.notes.counts[NoteKind.FILE_TRUNCATED, "cut"] >= 1


@pytest.mark.parametrize("chunk", [2000, 1 << 20])
@pytest.mark.parametrize("form", ["pcap", "pcapng"])
@pytest.mark.parametrize("damage", [b"\xff" * 40, bytes(3000), b"GET / HTTP/1.1\r\n" * 9])
def test_damage_in_the_middle_is_passed_over(tmp_path: Path, form: str, damage: bytes, chunk: int) -> None:
    """Bytes that are no records cost nothing else: all packets before and behind them are read, and a note counts."""
    packets = dialogue(turns=20)
    expected = read_rows(write_pcap(tmp_path / "whole", packets)).rows
    whole, first = (
        (pcap_bytes(packets), pcap_bytes(packets[:25]))
        if form == "pcap"
        else (pcapng_bytes(packets), pcapng_bytes(packets[:25]))
    )
    path = tmp_path / "hurt"
    path.write_bytes(first + damage + whole[len(first) :])
    reading = read_rows(path, Limits(chunk_bytes=chunk))
    assert reading.rows == expected
    assert reading.notes.counts == {(NoteKind.FILE_DAMAGED, "hurt"): 1}
    assert reading.summary.damaged_bytes == len(damage)


@pytest.mark.parametrize("length", [100_000_000, 200_000, 3000, 0])
def test_wrong_length_of_one_record_costs_that_record(tmp_path: Path, length: int) -> None:
    """A record header with a wrong length is passed over, and the records behind it are found again."""
    packets = dialogue(turns=200)
    data = bytearray(pcap_bytes(packets))
    start = len(pcap_bytes(packets[:300]))
    data[start + 8 : start + 12] = struct.pack("<I", length)
    path = tmp_path / "hurt"
    path.write_bytes(data)
    reading = read_rows(path)
    expected = [packet.time_ns for packet in packets]
    lost = set(expected) - {row.time_ns for row in reading.rows}
    assert lost <= {expected[300], expected[301]}
    assert reading.notes.counts[NoteKind.FILE_DAMAGED, "hurt"] == 1


@SLOW_FIXTURES
@given(flips=st.lists(st.tuples(st.floats(0, 0.9999), st.integers(1, 255)), min_size=1, max_size=8), form=st.booleans())
def test_flipped_bytes_never_raise_and_never_lose_count(
    tmp_path: Path, flips: list[tuple[float, int]], form: bool
) -> None:
    """Whatever bytes are wrong behind the file header, the file is read to its end and the counts add up."""
    data = bytearray(pcap_bytes(mixed()) if form else pcapng_bytes(mixed()))
    for place, change in flips:
        data[28 + int(place * (len(data) - 28))] ^= change
    path = tmp_path / "flipped"
    path.write_bytes(data)
    whole = read_rows(path)
    assert whole.summary.sha256 == hashlib.sha256(data).hexdigest()
    assert read_rows(path, Limits(chunk_bytes=1 << 16)).rows == whole.rows


@SLOW_FIXTURES
@given(data=st.binary(max_size=600), form=st.sampled_from([pcap_bytes([]), pcapng_bytes([]), b""]))
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: bytes, form: bytes) -> None:
    """Any bytes behind a file header are read to the end; without one the file is refused in one line."""
    path = tmp_path / "any"
    path.write_bytes(form + data)
    if form:
        read_rows(path)
    else:
        with pytest.raises(UserError) as refused:
            read_rows(path)
        assert "\n" not in str(refused.value)


def test_packets_of_any_bytes_are_decoded_or_counted(tmp_path: Path) -> None:
    """Random packets of every link type, cut anywhere, neither raise nor get lost, whatever is behind them."""
    random.seed(7)
    shapes = [packet.data for packet in mixed()]
    for link_type in (0, 1, 12, 108, 113, 276):
        packets = []
        for number in range(400):
            data = bytearray(random.choice(shapes))
            for _ in range(random.randrange(4)):
                data[random.randrange(len(data))] = random.randrange(256)
            packets.append(Packet(START_NS + number, bytes(data[: random.randrange(len(data) + 1)]), 2000))
        path = write_pcap(tmp_path / "a", packets, link_type=link_type)
        whole = read_rows(path)
        assert whole.summary.packets == 400
        assert read_rows(path, Limits(chunk_bytes=3000)).rows == whole.rows


def test_pcapng_sections_interfaces_and_times(tmp_path: Path) -> None:
    """Each section has its byte order and interfaces, each interface its link type, resolution and offset."""
    ethernet = TcpConversation().segment(Side.CLIENT, 0x10, b"one").packets[0].data
    raw = ethernet[14:]
    path = tmp_path / "a.pcapng"
    path.write_bytes(
        pcapng.section_header("<", comment='wiretrace:{"host": "web1", "pid": [1]}')
        + pcapng.interface("<")
        + pcapng.interface("<", link_type=101, resolution=0x80 | 10, offset_seconds=100)
        + pcapng.enhanced_packet("<", 5_000_001, ethernet)
        + pcapng.enhanced_packet("<", 3 << 10 | 512, raw, interface_id=1)
        + pcapng.block("<", 0x0BAD, b"\1\2\3\4custom")
        + pcapng.simple_packet("<", ethernet)
        + pcapng.obsolete_packet("<", 7_000_000, ethernet)
        + pcapng.enhanced_packet("<", 0, ethernet, interface_id=9)
        + pcapng.section_header(">")
        + pcapng.interface(">", link_type=228, resolution=3)
        + pcapng.enhanced_packet(">", 9_001, raw)
    )
    reading = read_rows(path)
    assert [(row.frame, row.time_ns, row.payload) for row in reading.rows] == [
        (1, 5_000_001_000, b"one"),
        (2, 103_500_000_000, b"one"),
        (3, 103_500_000_000, b"one"),
        (4, 7_000_000_000, b"one"),
        (6, 9_001_000_000, b"one"),
    ]
    assert reading.summary.host == "web1"
    assert reading.summary.link_types == {1, 101, 228}
    assert reading.summary.not_decoded["unknown interface"].packets == 1
    assert reading.notes.counts[NoteKind.TIME_UNKNOWN, "a.pcapng"] == 1


def test_pcapng_names_and_drops(tmp_path: Path) -> None:
    """Name records are taken, and drops: statistics outrank the packets' own counts; without either nothing is claimed."""
    head = pcapng.section_header("<") + pcapng.interface("<")
    packet = pcapng.enhanced_packet("<", 1, mixed()[0].data, dropped=3)
    statistics = [pcapng.interface_statistics("<", 1, counters={5: 2, 7: count}) for count in (1, 9)]
    names = pcapng.name_resolution("<", {"10.0.0.1": ["web1", "alias"], "fd00::1": ["web1-v6"]})
    path = tmp_path / "a"
    for blocks, dropped in (
        ([], -1),
        ([packet, packet], 6),
        ([packet, statistics[0], statistics[1], names], 11),
        ([packet, head, statistics[0]], 6),
    ):
        path.write_bytes(b"".join([head, *blocks]))
        summary = read_rows(path).summary
        assert summary.dropped == dropped
        assert summary.names == ({"10.0.0.1": "web1", "fd00::1": "web1-v6"} if names in blocks else {})


@pytest.mark.parametrize(
    "comment", ["wiretrace:{", "wiretrace:" + "[" * 30_000, 'wiretrace:{"host":7}', "wiretrace:{}"]
)
def test_comment_that_is_not_ours_names_no_host(tmp_path: Path, comment: str) -> None:
    """Only the agent's JSON names a host; anything else is passed over."""
    assert read_rows(write_pcapng(tmp_path / "a", mixed(), comment=comment)).summary.host == ""


def test_patched_pcap_with_longer_record_headers(tmp_path: Path) -> None:
    """The libpcap patch of old that records the interface is understood."""
    packets = dialogue()
    data = struct.pack("<IHHiIII", 0xA1B2CD34, 2, 4, 0, 0, 65535, 1)
    for packet in packets:
        seconds, fraction = divmod(packet.time_ns // 1000, 1_000_000)
        data += struct.pack("<IIIIIHBx", seconds, fraction, len(packet.data), len(packet.data), 1, 0, 0) + packet.data
    path = tmp_path / "a"
    path.write_bytes(data)
    assert read_rows(path).rows == read_rows(write_pcap(tmp_path / "b", packets)).rows


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize(
    ("magic", "scale", "more"), [(0xA12B3C4D, 1000, b""), (0x1C0001AC, 1, b"size"), (0x1C0001AB, 1000, b"size")]
)
def test_pcap_of_other_makers_reads_the_same(
    tmp_path: Path, byte_order: str, magic: int, scale: int, more: bytes
) -> None:
    """Navtel's, and Ixia's two, whose file header has one more field."""
    packets = dialogue()
    data = struct.pack(byte_order + "IHHiIII", magic, 2, 4, 0, 0, 65535, 1) + more
    for packet in packets:
        seconds, fraction = divmod(packet.time_ns // scale, 1_000_000_000 // scale)
        data += struct.pack(byte_order + "IIII", seconds, fraction, len(packet.data), len(packet.data)) + packet.data
    path = tmp_path / "a"
    path.write_bytes(data)
    assert read_rows(path).rows == read_rows(write_pcap(tmp_path / "b", packets)).rows


def test_key_logs_of_the_file_are_handed_on(tmp_path: Path) -> None:
    """Decryption secrets of TLS are kept as text, bounded; those of other protocols, and what is odd, are not."""
    head = pcapng.section_header("<") + pcapng.interface("<")

    def secrets(kind: int, data: bytes, length: int | None = None) -> bytes:
        return pcapng.block("<", 10, struct.pack("<II", kind, len(data) if length is None else length) + data)

    line = b"CLIENT_RANDOM 00 11\n"
    path = tmp_path / "a"
    blocks = [secrets(0x544C534B, line), secrets(0x57474B4C, b"other"), secrets(0x544C534B, b"odd", 1 << 31)]
    path.write_bytes(head + b"".join(blocks) + pcapng.block("<", 10, b"") + secrets(0x544C534B, line * 2))
    reading = read_rows(path)
    assert reading.summary.secrets == [line.decode(), "odd\0", line.decode() * 2]
    assert "CLIENT_RANDOM" not in repr(reading.summary)
    small = read_rows(path, Limits(secret_bytes=30))
    assert small.summary.secrets == [line.decode(), "odd\0"]
    assert small.notes.counts == {(NoteKind.LIMIT_REACHED, "secret_bytes"): 1}


def test_blocks_that_carry_no_packets_are_passed_over(tmp_path: Path) -> None:
    """The systemd journal, custom blocks of both kinds, and types that nobody has defined; interfaces have names."""
    packet = mixed()[0].data
    named = struct.pack("<HHI", 1, 0, 0) + pcapng.option("<", 2, b"eth0") + pcapng.option("<", 0, b"")
    blocks = [pcapng.block("<", kind, b"__REALTIME_TIMESTAMP=1\n") for kind in (9, 0x0BAD, 0x40000BAD, 7, 0x80000001)]
    path = tmp_path / "a"
    path.write_bytes(
        pcapng.section_header("<")
        + pcapng.block("<", 1, named)
        + b"".join(blocks)
        + pcapng.enhanced_packet("<", 5, packet)
    )
    reading = read_rows(path)
    assert [row.time_ns for row in reading.rows] == [5000]
    assert reading.summary.interfaces == {"eth0": 1}
    assert reading.notes.counts == {}


def test_what_the_capturing_host_dropped_is_noted(tmp_path: Path) -> None:
    """With the count that the file gives."""
    path = tmp_path / "web1.pcapng"
    path.write_bytes(
        pcapng.section_header("<") + pcapng.interface("<") + pcapng.interface_statistics("<", 1, counters={5: 2, 7: 9})
    )
    assert read_rows(path).notes.counts == {(NoteKind.PACKETS_DROPPED, "web1.pcapng"): 11}


def test_flow_numbers_go_on_in_the_next_file(tmp_path: Path) -> None:
    """The files of one vantage point share their flows."""
    flows = FlowTable()
    first = read_rows(write_pcap(tmp_path / "a", dialogue()), flows=flows)
    second = read_rows(write_pcap(tmp_path / "b", dialogue(port=4) + dialogue()), flows=flows)
    assert set(first.flow) == {0}
    assert second.flow == [1] * len(dialogue()) + [0] * len(dialogue())


def test_capture_without_packets(tmp_path: Path) -> None:
    """tcpdump leaves files of 24 bytes at a rotation."""
    summary = read_rows(write_pcap(tmp_path / "a", [])).summary
    assert (summary.packets, summary.first_ns, summary.last_ns, summary.dropped) == (0, -1, -1, -1)


def test_bad_input_is_one_clear_line(tmp_path: Path) -> None:
    """What is wrong, and where, for each way in which a file is no capture."""
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    text = tmp_path / "text"
    text.write_bytes(b"hello, this is no capture at all")
    packed = tmp_path / "packed.gz"
    packed.write_bytes(gzip.compress(b"hello, this is no capture at all"))
    for path, words in (
        (empty, "the file is empty"),
        (text, "not a capture"),
        (packed, "not a capture"),
        (tmp_path, "is a directory"),
        (tmp_path / "none", "there is no such file"),
    ):
        with pytest.raises(UserError, match=words) as refused:
            CaptureReader(path, FlowTable(), Limits(), Notes())
        assert str(refused.value).startswith(str(path))
