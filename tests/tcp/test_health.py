"""Round trips, keep-alive probes, closed windows and repeats are told of the streams that they belong to."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.captures import ACK, PSH, Packet, TcpConversation
from tests.support.packets import Streams

from wiretrace.model.limits import Limits
from wiretrace.model.side import Side

MILLISECOND = 1_000_000
SECOND = 1000 * MILLISECOND


def test_the_shortest_round_trip_is_told_of_each_end() -> None:
    conversation = TcpConversation(step_ns=0).open()
    for wait in (30, 10, 20):
        conversation.send(Side.CLIENT, b"ask").wait(wait * MILLISECOND).acknowledge(Side.SERVER)
        conversation.send(Side.SERVER, b"answer").wait(2 * wait * MILLISECOND).acknowledge(Side.CLIENT)
    assert Streams(conversation.packets).reassembler.connections.data_rtt_ns_of[:2].tolist() == [
        10 * MILLISECOND,
        20 * MILLISECOND,
    ]


def test_probes_of_an_idle_connection_are_no_retransmissions() -> None:
    """RFC 9293 section 3.8.4: a probe repeats the byte before the next one, or none."""
    conversation = TcpConversation().open().send(Side.CLIENT, b"ask").acknowledge(Side.SERVER)
    for payload in (b"", b"k"):
        conversation.wait(75 * SECOND).segment(Side.CLIENT, ACK, payload, seq=1_003)
        conversation.acknowledge(Side.SERVER)
    table = Streams(conversation.packets).reassembler.connections
    assert table.keep_alives_of[:2].tolist() == [2, 0]
    assert table.retransmitted_of[:2].tolist() == [0, 0]


def test_a_lost_segment_is_missed_since_its_first_copy() -> None:
    conversation = TcpConversation(step_ns=0).open().send(Side.CLIENT, b"ask")
    conversation.wait(200 * MILLISECOND).segment(Side.CLIENT, ACK | PSH, b"ask", seq=1_001)
    (repeats,) = Streams(conversation.packets).repeats
    assert (repeats.stream.tolist(), repeats.again.tolist(), repeats.frame.tolist()) == ([0], [1], [5])
    assert (repeats.time_ns - repeats.missed_ns).tolist() == [200 * MILLISECOND]


def test_what_fills_a_hole_is_missed_since_it_was_overtaken() -> None:
    conversation = TcpConversation(step_ns=0).open()
    conversation.segment(Side.CLIENT, ACK, b"def", seq=1_004).wait(50 * MILLISECOND)
    conversation.segment(Side.CLIENT, ACK, b"abc", seq=1_001)
    (repeats,) = Streams(conversation.packets).repeats
    assert (repeats.again.tolist(), (repeats.time_ns - repeats.missed_ns).tolist()) == ([0], [50 * MILLISECOND])


WINDOWS = st.lists(st.tuples(st.sampled_from(list(Side)), st.sampled_from([0, 0, 500])), max_size=25)


@settings(max_examples=80, deadline=None)
@given(WINDOWS, st.integers(0, 2**32))
def test_closed_windows_are_timed_packet_by_packet(windows: list[tuple[Side, int]], seed: int) -> None:
    """A plain twin walks through the packets; how they are cut into chunks changes nothing."""
    conversation = TcpConversation(step_ns=1000).open()
    closed: dict[Side, int | None] = dict.fromkeys(Side)
    total = dict.fromkeys(Side, 0)
    for side, window in windows:
        now = conversation.now_ns
        since = closed[side]
        if window == 0 and since is None:
            closed[side] = now
        elif window and since is not None:
            total[side] += now - since
            closed[side] = None
        conversation.segment(side, ACK, window=window)
    random.seed(seed)
    for chunk in (1 << 20, random.randint(60, 400)):
        packets: list[Packet] = conversation.packets
        table = Streams(packets, Limits(chunk_bytes=chunk)).reassembler.connections
        assert table.closed_ns_of[:2].tolist() == [total[Side.CLIENT], total[Side.SERVER]]
