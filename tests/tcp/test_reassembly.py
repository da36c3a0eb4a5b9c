"""The tcp floor gives every captured payload byte once and in order, whatever order the packets came in."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.captures import (
    ACK,
    SYN,
    Packet,
    TcpConversation,
    cut,
    drop,
    duplicate,
    merge,
)
from tests.support.packets import Streams

from wiretrace.model.limits import Limits
from wiretrace.model.note import NoteKind
from wiretrace.model.side import Side
from wiretrace.tcp.connections import Ending

CLIENT_BYTES = bytes(range(256)) * 12
SERVER_BYTES = bytes(reversed(range(256))) * 20


def dialogue(turns: int = 4, mss: int = 200, **options: int) -> TcpConversation:
    """A conversation that sends CLIENT_BYTES and SERVER_BYTES in alternating turns."""
    conversation = TcpConversation(mss=mss, **options).open()
    for turn in range(turns):
        for side, data in ((Side.CLIENT, CLIENT_BYTES), (Side.SERVER, SERVER_BYTES)):
            size = -(-len(data) // turns)
            conversation.send(side, data[turn * size : (turn + 1) * size])
    return conversation.acknowledge(Side.CLIENT).close()


def both(streams: Streams) -> tuple[bytes, bytes]:
    return streams.bytes_of(0), streams.bytes_of(1)


def test_bytes_in_order() -> None:
    """A clean conversation gives both byte streams, and the handshake shows who the client is."""
    streams = Streams(dialogue().packets)
    assert both(streams) == (CLIENT_BYTES, SERVER_BYTES)
    table = streams.reassembler.connections
    assert table.count == 1
    assert table.client_of[0] == 0
    assert table.endings(np.zeros(1, np.int64)).tolist() == [Ending.CLIENT_FIN]
    assert table.started_of[:2].all()
    assert not table.lost_of[:2].any()


def test_client_is_end_b_when_it_sorts_behind() -> None:
    """Streams are numbered by the order of the endpoints; the SYN says which one is the client's."""
    streams = Streams(dialogue_between(("10.0.0.9", 40000), ("10.0.0.2", 80)).packets)
    assert streams.reassembler.connections.client_of[0] == 1
    assert streams.bytes_of(1) == b"ask"
    assert streams.bytes_of(0) == b"answer"


def dialogue_between(client: tuple[str, int], server: tuple[str, int], **options: int) -> TcpConversation:
    conversation = TcpConversation(client, server, **options).open()
    return conversation.send(Side.CLIENT, b"ask").send(Side.SERVER, b"answer").close()


@given(seed=st.integers(0, 2**32), distance=st.integers(1, 12), chunk=st.sampled_from([600, 2000, 1 << 20]))
@settings(max_examples=60, deadline=None)
def test_reordering_and_duplication_change_nothing(seed: int, distance: int, chunk: int) -> None:
    """Any reordering over short distances and any duplication gives the same bytes, wherever the chunks are cut."""
    rng = random.Random(seed)
    packets = dialogue().packets
    head, tail = packets[:3], packets[3:]
    keyed = sorted(range(len(tail)), key=lambda index: index + rng.uniform(0, distance))
    shuffled = [tail[index] for index in keyed]
    for index in rng.sample(range(len(shuffled)), 5):
        shuffled.insert(index + rng.randrange(3), shuffled[index])
    times = [packet.time_ns for packet in packets] + [packets[-1].time_ns] * 5
    moved = [packet._replace(time_ns=time) for packet, time in zip(head + shuffled, times, strict=True)]
    limits = Limits(chunk_bytes=chunk) if chunk > 8 * 260 * distance else Limits()
    streams = Streams(moved, limits)
    assert both(streams) == (CLIENT_BYTES, SERVER_BYTES)
    assert streams.reassembler.payload_bytes >= streams.reassembler.delivered_bytes == len(CLIENT_BYTES + SERVER_BYTES)


@given(seed=st.integers(0, 2**32), share=st.floats(0, 0.6), chunk=st.sampled_from([700, 3000, 1 << 20]))
@settings(max_examples=60, deadline=None)
def test_deletion_gives_a_subset_at_its_true_place(seed: int, share: float, chunk: int) -> None:
    """Whatever packets are missing: what is delivered stands at its true offset, and all captured bytes are delivered."""
    rng = random.Random(seed)
    packets = dialogue().packets
    kept = [packet for index, packet in enumerate(packets) if index < 3 or rng.random() >= share]
    streams = Streams(kept, Limits(chunk_bytes=chunk))
    for stream, truth in ((0, CLIENT_BYTES), (1, SERVER_BYTES)):
        reached = 0
        for offset, data in streams.runs.get(stream, []):
            assert offset >= reached
            assert truth[offset : offset + len(data)] == data
            reached = offset + len(data)
    assert streams.reassembler.delivered_bytes == streams.reassembler.payload_bytes
    assert streams.reassembler.waiting_bytes == 0


@pytest.mark.parametrize("isn", [0xFFFFFF00, 0xFFFFFFFF, 0x7FFFFFF0])
def test_wrapped_sequence_numbers(isn: int) -> None:
    """Sequence numbers that wrap at 2^32 make no difference."""
    streams = Streams(dialogue(client_isn=isn, server_isn=isn).packets)
    assert both(streams) == (CLIENT_BYTES, SERVER_BYTES)


def test_overlap_is_cut() -> None:
    """A retransmission with more bytes than the original brings only what is new."""
    conversation = TcpConversation().open().send(Side.CLIENT, b"abcdef")
    conversation.segment(Side.CLIENT, ACK, b"cdefgh", seq=1003)
    assert Streams(conversation.packets).bytes_of(0) == b"abcdefgh"


def test_keep_alives_and_retransmissions_are_told_apart() -> None:
    """A keep-alive probe repeats the last byte and is no retransmission; a segment sent again is."""
    conversation = TcpConversation().open().send(Side.CLIENT, b"abcdef").acknowledge(Side.SERVER)
    conversation.segment(Side.CLIENT, ACK, b"f", seq=1006).acknowledge(Side.SERVER)
    conversation.segment(Side.CLIENT, ACK, b"abcdef", seq=1001)
    streams = Streams(conversation.packets)
    assert streams.bytes_of(0) == b"abcdef"
    assert streams.reassembler.connections.retransmitted_of[0] == 1


@pytest.mark.parametrize("chunk", [700, 1 << 20])
def test_segments_are_counted_each_time_that_they_were_captured(chunk: int) -> None:
    """Wherever the capture is cut for reading, and whether they are in order, held back or sent again."""
    conversation = TcpConversation(mss=100).open().send(Side.CLIENT, b"a" * 1000).send(Side.SERVER, b"b" * 500)
    conversation.segment(Side.CLIENT, ACK, b"a" * 100, seq=1001)
    packets = conversation.packets
    packets[5], packets[6] = packets[6], packets[5]
    streams = Streams(drop(packets, 8), Limits(chunk_bytes=chunk))
    assert streams.reassembler.connections.segments_of[:2].tolist() == [10, 5]


def test_a_hole_the_receiver_acknowledged_is_lost() -> None:
    """Bytes that the peer acknowledges and the capture lacks are counted as lost, and what follows is delivered."""
    conversation = TcpConversation(mss=10).open().send(Side.CLIENT, b"a" * 10 + b"b" * 10 + b"c" * 10)
    conversation.acknowledge(Side.SERVER)
    streams = Streams(drop(conversation.packets, 4))
    assert streams.runs[0] == [(0, b"a" * 10), (20, b"c" * 10)]
    assert streams.reassembler.connections.lost_of[0] == 10


def test_a_hole_is_filled_by_the_next_chunk() -> None:
    """A segment that comes one chunk late still takes its place."""
    conversation = TcpConversation(mss=400).open().send(Side.CLIENT, CLIENT_BYTES[:1600])
    packets = conversation.packets
    late = [*packets[:4], packets[5], packets[6], packets[4]]
    streams = Streams(late, Limits(chunk_bytes=1000))
    assert streams.bytes_of(0) == CLIENT_BYTES[:1600]


def test_too_much_behind_a_hole_gives_it_up() -> None:
    """Beyond `out_of_order_bytes` a hole is given up, with a note that names the limit."""
    conversation = TcpConversation(mss=400).open().send(Side.CLIENT, CLIENT_BYTES[:2800])
    streams = Streams(drop(conversation.packets, 4), Limits(out_of_order_bytes=500))
    assert streams.runs[0][1][0] == 800
    assert streams.notes.counts[NoteKind.LIMIT_REACHED, "out_of_order_bytes"] == 1


def test_port_reuse_begins_another_connection() -> None:
    """A SYN with another initial sequence number on the same ports is another connection."""
    first = dialogue_between(("10.0.0.1", 40000), ("10.0.0.2", 80))
    second = dialogue_between(
        ("10.0.0.1", 40000), ("10.0.0.2", 80), start_ns=first.now_ns, client_isn=9_000_000, server_isn=7
    )
    streams = Streams(first.packets + second.packets)
    assert streams.reassembler.connections.count == 2
    assert [streams.bytes_of(stream) for stream in range(4)] == [b"ask", b"answer", b"ask", b"answer"]


def test_port_reuse_without_a_syn_begins_another_connection() -> None:
    """Sequence numbers far from where a connection stands belong to another one, even if its SYN was not captured."""
    first = dialogue_between(("10.0.0.1", 40000), ("10.0.0.2", 80))
    second = dialogue_between(
        ("10.0.0.1", 40000), ("10.0.0.2", 80), start_ns=first.now_ns, client_isn=1 << 30, server_isn=(1 << 31) + 7
    )
    streams = Streams(first.packets + second.packets[2:])
    assert streams.reassembler.connections.count == 2
    assert [streams.bytes_of(stream) for stream in range(4)] == [b"ask", b"answer", b"ask", b"answer"]


def test_joined_midway() -> None:
    """Without a handshake the bytes seen are delivered from offset 0, and the streams are known to lack their start."""
    packets = dialogue().packets[9:]
    streams = Streams(packets)
    assert CLIENT_BYTES.endswith(streams.bytes_of(0))
    assert SERVER_BYTES.endswith(streams.bytes_of(1))
    assert not streams.reassembler.connections.started_of[:2].any()
    assert streams.reassembler.connections.client_of[0] == -1


def test_lost_syn_ack_is_made_up_for_by_the_acknowledgement() -> None:
    """The client's first ACK tells where the server's stream starts, so nothing is taken for missing."""
    streams = Streams(drop(dialogue().packets, 1))
    assert both(streams) == (CLIENT_BYTES, SERVER_BYTES)
    assert streams.reassembler.connections.started_of[:2].all()


def test_snap_length_cuts_leave_gaps() -> None:
    """Bytes behind the snap length are missing, and those of the next packet stand at their true offset."""
    conversation = TcpConversation(mss=100).open().send(Side.CLIENT, CLIENT_BYTES[:300]).acknowledge(Side.SERVER)
    packets = conversation.packets
    streams = Streams(cut(packets, 4, len(packets[4].data) - 60))
    assert streams.runs[0] == [(0, CLIENT_BYTES[:140]), (200, CLIENT_BYTES[200:300])]
    assert streams.notes.counts[NoteKind.PACKET_CUT, "packets.pcap"] == 1


def test_endings() -> None:
    """Who reset, who closed, who refused, and who never answered are told apart."""
    reset = dialogue_between(("10.0.0.1", 1), ("10.0.0.2", 80))
    reset.packets = reset.packets[:-3]
    reset.reset(Side.SERVER)
    refused = TcpConversation(("10.0.0.1", 2), ("10.0.0.2", 80)).segment(Side.CLIENT, SYN).reset(Side.SERVER)
    silent = (
        TcpConversation(("10.0.0.1", 3), ("10.0.0.2", 80)).segment(Side.CLIENT, SYN).segment(Side.CLIENT, SYN, seq=1000)
    )
    server_close = TcpConversation(("10.0.0.1", 4), ("10.0.0.2", 80)).open().close(Side.SERVER)
    opened = TcpConversation(("10.0.0.1", 5), ("10.0.0.2", 80)).open()
    table = Streams(
        merge(*(each.packets for each in (reset, refused, silent, server_close, opened)))
    ).reassembler.connections
    endings = table.endings(table.client_of[: table.count].astype(np.int64)).tolist()
    found = dict(zip(table.flow_of[: table.count].tolist(), map(Ending, endings), strict=True))
    assert sorted(found.values()) == sorted(
        [Ending.SERVER_RESET, Ending.REFUSED, Ending.UNANSWERED, Ending.SERVER_FIN, Ending.OPEN]
    )


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_hostile_headers_never_raise(data: st.DataObject) -> None:
    """Any flags, sequence and acknowledgement numbers in any order: no exception, and every byte is accounted for."""
    conversation = TcpConversation()
    number = st.integers(0, 2**32 - 1)
    for _ in range(data.draw(st.integers(1, 25))):
        conversation.segment(
            data.draw(st.sampled_from(list(Side))),
            data.draw(st.integers(0, 63)),
            data.draw(st.binary(max_size=30)),
            seq=data.draw(number),
            ack=data.draw(number),
        )
    streams = Streams(conversation.packets, Limits(chunk_bytes=data.draw(st.sampled_from([200, 1 << 20]))))
    assert 0 <= streams.reassembler.delivered_bytes <= streams.reassembler.payload_bytes
    assert streams.reassembler.waiting_bytes == 0


def test_duplicates_of_a_packet_are_not_delivered_twice() -> None:
    """A packet that a mirror recorded twice counts once."""
    packets: list[Packet] = dialogue().packets
    assert both(Streams(duplicate(packets, 5))) == (CLIENT_BYTES, SERVER_BYTES)


def test_a_hole_that_is_new_waits_though_an_older_one_was_just_filled() -> None:
    """Every hole has until the end of the chunk behind the one in which it appeared."""
    data = bytes(number for number in range(5) for _ in range(100))
    packets = TcpConversation(mss=100).open().send(Side.CLIENT, data).packets
    handshake, segments = packets[:3], packets[3:]
    # Chunks of the handshake and one segment, then of two segments each.
    captured = handshake + [segments[place] for place in (1, 0, 3, 2, 4)]
    assert Streams(captured, Limits(chunk_bytes=400)).bytes_of(0) == data
