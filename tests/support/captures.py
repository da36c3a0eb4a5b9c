"""Captures for tests, written from Python.

    conversation = (
        TcpConversation(client=("10.0.0.1", 40000), server=("10.0.0.2", 80))
        .open()
        .send(Side.CLIENT, b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
        .send(Side.SERVER, b"HTTP/1.1 204 No Content\\r\\n\\r\\n")
        .close()
    )
    write_pcap(path, conversation.packets)
    write_pcap(path, drop(conversation.packets, 3))

A capture is a list of `Packet`, in the order in which the capturing host saw them. `drop`, `duplicate`, `reorder` and `cut`
make the list that a worse capture would hold. `merge` interleaves conversations by time.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from tests.support import layers, pcapng

from wiretrace.model.side import Side

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
START_NS = 1_700_000_000_000_000_000
ETHERNET = 1


class Packet(NamedTuple):
    """A packet as captured."""

    time_ns: int
    """Capture time, nanoseconds since the epoch."""
    data: bytes
    """The captured bytes, beginning with the link layer."""
    wire_length: int = -1
    """Its length on the wire; -1 where all of it was captured."""

    @property
    def original_length(self) -> int:
        """Its length on the wire."""
        return len(self.data) if self.wire_length < 0 else self.wire_length


class TcpConversation:
    """A scripted TCP dialogue as one vantage point sees it. Every method appends packets and returns the conversation.

    Each packet comes `step_ns` after the one before. Sequence and acknowledgement numbers are those of hosts that
    receive everything at once: every packet acknowledges all that its sender was sent so far. No delayed
    acknowledgements are made up: call `acknowledge` where a bare one is wanted.
    """

    def __init__(
        self,
        client: tuple[str, int] = ("10.0.0.1", 40000),
        server: tuple[str, int] = ("10.0.0.2", 80),
        *,
        start_ns: int = START_NS,
        step_ns: int = 100_000,
        mss: int = 1460,
        client_isn: int = 1_000,
        server_isn: int = 5_000_000,
        window: int = 65535,
    ) -> None:
        self.packets: list[Packet] = []
        self.now_ns = start_ns
        self._ends = (client, server)
        self._next = [client_isn, server_isn]
        self._step_ns = step_ns
        self._mss = mss
        self._window = window

    def segment(
        self,
        side: Side,
        flags: int,
        payload: bytes = b"",
        *,
        seq: int | None = None,
        ack: int | None = None,
        window: int | None = None,
        options: bytes = b"",
    ) -> TcpConversation:
        """Append one segment. With `seq` given it is an extra one (a retransmission, a probe) and nothing advances."""
        source, destination = self._ends[side], self._ends[side.other]
        acknowledged = self._next[side.other] if ack is None else ack
        segment = layers.tcp(
            source,
            destination,
            seq=self._next[side] if seq is None else seq,
            ack=acknowledged if flags & ACK else 0,
            flags=flags,
            window=self._window if window is None else window,
            options=options,
            payload=payload,
        )
        packet = layers.ip(source[0], destination[0], layers.TCP, segment)
        self.packets.append(Packet(self.now_ns, layers.ethernet(packet, from_client=side is Side.CLIENT)))
        self.now_ns += self._step_ns
        if seq is None:
            self._next[side] += len(payload) + bool(flags & SYN) + bool(flags & FIN)
        return self

    def open(self) -> TcpConversation:
        """The three-way handshake."""
        mss = struct.pack(">BBH", 2, 4, self._mss)
        self.segment(Side.CLIENT, SYN, options=mss)
        self.segment(Side.SERVER, SYN | ACK, options=mss)
        return self.segment(Side.CLIENT, ACK)

    def send(self, side: Side, data: bytes) -> TcpConversation:
        """`data` in segments of at most the MSS, PSH on the last."""
        for start in range(0, len(data), self._mss):
            last = start + self._mss >= len(data)
            self.segment(side, ACK | (PSH if last else 0), data[start : start + self._mss])
        return self

    def acknowledge(self, side: Side) -> TcpConversation:
        """A bare acknowledgement by `side` of all that it was sent."""
        return self.segment(side, ACK)

    def wait(self, nanoseconds: int) -> TcpConversation:
        """Let time pass before the next packet."""
        self.now_ns += nanoseconds
        return self

    def close(self, by: Side = Side.CLIENT) -> TcpConversation:
        """An orderly close begun by `by`: FIN, FIN and ACK, ACK."""
        self.segment(by, FIN | ACK)
        self.segment(by.other, FIN | ACK)
        return self.segment(by, ACK)

    def reset(self, by: Side) -> TcpConversation:
        """`by` resets the connection."""
        return self.segment(by, RST | ACK)


def udp_packet(
    source: tuple[str, int], destination: tuple[str, int], payload: bytes, time_ns: int = START_NS
) -> Packet:
    """A UDP datagram in an Ethernet frame."""
    datagram = layers.udp(source, destination, payload)
    return Packet(time_ns, layers.ethernet(layers.ip(source[0], destination[0], layers.UDP, datagram)))


def drop(packets: Sequence[Packet], *indexes: int) -> list[Packet]:
    """Without the packets at `indexes` (from 0)."""
    return [packet for index, packet in enumerate(packets) if index not in indexes]


def duplicate(packets: Sequence[Packet], index: int) -> list[Packet]:
    """With the packet at `index` captured twice."""
    return [*packets[: index + 1], *packets[index:]]


def reorder(packets: Sequence[Packet], index: int, to: int) -> list[Packet]:
    """With the packet at `index` seen at place `to` instead. Places keep their times: only the bytes move."""
    moved = list(packets)
    moved.insert(to, moved.pop(index))
    return [packet._replace(time_ns=place.time_ns) for place, packet in zip(packets, moved, strict=True)]


def cut(packets: Sequence[Packet], index: int, captured: int) -> list[Packet]:
    """With only the first `captured` bytes of the packet at `index` kept, as a snap length does."""
    packet = packets[index]
    short = packet._replace(data=packet.data[:captured], wire_length=packet.original_length)
    return [*packets[:index], short, *packets[index + 1 :]]


def merge(*conversations: Iterable[Packet]) -> list[Packet]:
    """All packets in order of time, as one vantage point sees them."""
    return sorted((packet for packets in conversations for packet in packets), key=lambda packet: packet.time_ns)


def pcap_bytes(
    packets: Iterable[Packet], *, nanosecond: bool = True, byte_order: str = "<", link_type: int = ETHERNET
) -> bytes:
    """A classic pcap file; `byte_order` is that of struct. `link_type` is the whole word, FCS bits included."""
    magic = 0xA1B23C4D if nanosecond else 0xA1B2C3D4
    parts = [struct.pack(byte_order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link_type)]
    for packet in packets:
        seconds, fraction = divmod(packet.time_ns, 1_000_000_000)
        fraction //= 1 if nanosecond else 1000
        head = struct.pack(byte_order + "IIII", seconds, fraction, len(packet.data), packet.original_length)
        parts.append(head + packet.data)
    return b"".join(parts)


def write_pcap(
    path: Path,
    packets: Iterable[Packet],
    *,
    nanosecond: bool = True,
    byte_order: str = "<",
    link_type: int = ETHERNET,
) -> Path:
    """Write a classic pcap file and return its path."""
    path.write_bytes(pcap_bytes(packets, nanosecond=nanosecond, byte_order=byte_order, link_type=link_type))
    return path


def pcapng_bytes(
    packets: Iterable[Packet], *, byte_order: str = "<", link_type: int = ETHERNET, comment: str = ""
) -> bytes:
    """A pcapng file of one section with one interface that counts nanoseconds. Odder files: `tests.support.pcapng`."""
    blocks = [
        pcapng.section_header(byte_order, comment=comment),
        pcapng.interface(byte_order, link_type=link_type, resolution=9),
    ]
    blocks += [
        pcapng.enhanced_packet(byte_order, packet.time_ns, packet.data, original_length=packet.original_length)
        for packet in packets
    ]
    return b"".join(blocks)


def write_pcapng(
    path: Path, packets: Iterable[Packet], *, byte_order: str = "<", link_type: int = ETHERNET, comment: str = ""
) -> Path:
    """Write a pcapng file and return its path."""
    path.write_bytes(pcapng_bytes(packets, byte_order=byte_order, link_type=link_type, comment=comment))
    return path
