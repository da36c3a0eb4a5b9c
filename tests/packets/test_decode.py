"""Packets that hypothesis builds decode as they were built: any link layer, IP version, options, fragments."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support import layers
from tests.support.captures import START_NS, Packet, write_pcap
from tests.support.packet_rows import Row, differences, read_rows

from wiretrace.model.limits import Limits
from wiretrace.model.note import NoteKind

if TYPE_CHECKING:
    from pathlib import Path

BUILT = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

ports = st.integers(0, 0xFFFF)
vlans = st.lists(st.tuples(st.sampled_from([0x8100, 0x88A8, 0x9100]), ports), max_size=8)
extensions = st.lists(st.tuples(st.sampled_from([0, 43, 60, 135]), st.sampled_from([8, 16, 64])), max_size=5)


@st.composite
def built_packets(draw: st.DrawFn) -> tuple[Packet, Row]:
    """A packet, and the row that it has to become (its frame number is 0)."""
    six = draw(st.booleans())
    last = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    addresses = [f"fd00::{byte}" if six else f"10.0.0.{byte}" for byte in last]
    ends = [(address, draw(ports)) for address in addresses]
    payload = draw(st.binary(max_size=64))
    time_ns = START_NS + draw(st.integers(0, 10**15))
    if draw(st.booleans()):
        protocol, options = layers.TCP, draw(st.binary(max_size=40))
        seq, ack, window = (draw(st.integers(0, top)) for top in (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFF))
        flags = draw(st.integers(0, 255))
        segment = layers.tcp(*ends, seq=seq, ack=ack, flags=flags, window=window, options=options, payload=payload)
        fields = (seq, ack if flags & 0x10 else 0, flags, window)
    else:
        protocol, segment, fields = layers.UDP, layers.udp(*ends, payload), (0, 0, 0, 0)
    if six:
        body, kind = segment, protocol
        for header, length in draw(extensions):
            body, kind = layers.ipv6_options(kind, length) + body, header
        network = layers.ipv6(*addresses, kind, body)
    else:
        network = layers.ipv4(*addresses, protocol, segment, options=draw(st.binary(max_size=40)))
    frame = layers.ethernet(network, vlans=draw(vlans)) + bytes(draw(st.integers(0, 20)))
    source, destination = ((layers.packed(address), port) for address, port in ends)
    return Packet(time_ns, frame), Row(0, time_ns, *source, *destination, protocol, *fields, payload, len(payload))


@BUILT
@given(built=st.lists(built_packets(), max_size=12))
def test_packets_decode_as_they_were_built(tmp_path: Path, built: list[tuple[Packet, Row]]) -> None:
    """Every field of every row, and its flow, is what was put in; dpkt agrees wherever it reads the packet."""
    path = write_pcap(tmp_path / "a", [packet for packet, _ in built])
    reading = read_rows(path)
    assert reading.rows == [row._replace(frame=frame) for frame, (_, row) in enumerate(built, 1)]
    conversations = [(row.transport, frozenset([row[2:4], row[4:6]])) for row in reading.rows]
    assert len(set(zip(reading.flow, conversations, strict=True))) == len(set(conversations)) == len(set(reading.flow))
    assert differences(path)[1] == []


@BUILT
@given(
    six=st.booleans(),
    length=st.integers(1, 3000),
    size=st.sampled_from([8, 256, 1024]),
    seed=st.integers(0, 1 << 16),
    repeated=st.integers(0, 4),
)
def test_fragments_in_any_order_are_put_together(
    tmp_path: Path, six: bool, length: int, size: int, seed: int, repeated: int
) -> None:
    """Whatever the order, and with pieces repeated, one row comes at the packet that completes the datagram."""
    shuffle = random.Random(seed)
    ends = (("fd00::1", 5), ("fd00::2", 6)) if six else (("10.0.0.1", 5), ("10.0.0.2", 6))
    payload = shuffle.randbytes(length)
    datagram = layers.udp(*ends, payload)
    pieces = layers.fragments(ends[0][0], ends[1][0], layers.UDP, datagram, size)
    order = pieces + [shuffle.choice(pieces) for _ in range(repeated)]
    shuffle.shuffle(order)
    needed = max(order.index(piece) for piece in pieces) + 1
    order = order[:needed]
    packets = [Packet(START_NS + number, layers.ethernet(piece)) for number, piece in enumerate(order)]
    reading = read_rows(write_pcap(tmp_path / "a", packets), Limits(chunk_bytes=1 << 16))
    assert [(row.frame, row.payload, row.wire_length) for row in reading.rows] == [(needed, payload, length)]
    waited = reading.summary.not_decoded.get("IP fragment, joined to a later packet")
    assert (waited.packets if waited else 0) == needed - 1


def test_fragments_without_their_siblings_are_counted(tmp_path: Path) -> None:
    """A datagram of which a piece is missing becomes no row."""
    datagram = layers.udp(("10.0.0.1", 5), ("10.0.0.2", 6), bytes(100))
    pieces = layers.fragments("10.0.0.1", "10.0.0.2", layers.UDP, datagram, 24)
    packets = [Packet(START_NS, layers.ethernet(piece)) for piece in pieces[1:]]
    reading = read_rows(write_pcap(tmp_path / "a", packets))
    assert reading.rows == []
    assert reading.summary.not_decoded["IP fragment without its siblings"].packets == len(packets)


def test_waiting_fragments_are_bounded(tmp_path: Path) -> None:
    """Beyond the limit the oldest datagrams are given up, with a note; the youngest can still be completed."""
    pieces = []
    for number in range(300):
        datagram = layers.udp(("10.0.0.1", number), ("10.0.0.2", 6), bytes(1000))
        pieces.append(layers.fragments("10.0.0.1", "10.0.0.2", layers.UDP, datagram, 512, identification=number))
    order = [first for first, _ in pieces] + [second for _, second in reversed(pieces)]
    packets = [Packet(START_NS, layers.ethernet(piece)) for piece in order]
    reading = read_rows(write_pcap(tmp_path / "a", packets), Limits(fragment_bytes=65_536))
    assert 0 < len(reading.rows) <= 65_536 // (512 + 128)
    assert reading.rows[0].source_port == 299
    assert reading.notes.counts[NoteKind.LIMIT_REACHED, "fragment_bytes"] > 100


def test_transport_behind_extension_and_fragment_headers(tmp_path: Path) -> None:
    """Options before the fragment header and inside the fragmented part are both passed over, and atomic fragments too."""
    ends = ("fd00::1", 5), ("fd00::2", 6)
    datagram = layers.ipv6_options(17) + layers.udp(*ends, b"x" * 100)
    packets = []
    for start in (0, 64):
        piece = datagram[start : start + 64]
        head = layers.ipv6_options(44) + layers.ipv6_fragment(60, 1, start, start == 0)
        packets.append(Packet(START_NS, layers.ethernet(layers.ipv6("fd00::1", "fd00::2", 0, head + piece))))
    atomic = layers.ipv6_fragment(17, 2, 0, False) + layers.udp(*ends, b"y")
    packets.append(Packet(START_NS, layers.ethernet(layers.ipv6("fd00::1", "fd00::2", 44, atomic))))
    rows = read_rows(write_pcap(tmp_path / "a", packets)).rows
    assert [(row.frame, row.source_port, row.payload) for row in rows] == [(2, 5, b"x" * 100), (3, 5, b"y")]


def test_extension_headers_are_bounded(tmp_path: Path) -> None:
    """A chain of headers that is longer than any real one is given up."""
    body, kind = layers.udp(("fd00::1", 5), ("fd00::2", 6), b""), 17
    for _ in range(40):
        body, kind = layers.ipv6_options(kind) + body, 60
    packets = [Packet(START_NS, layers.ethernet(layers.ipv6("fd00::1", "fd00::2", kind, body)))]
    reading = read_rows(write_pcap(tmp_path / "a", packets))
    assert list(reading.summary.not_decoded) == ["too many IPv6 extension headers"]
