"""What a capture lacks is told apart from what it holds twice, and why it lacks it."""

from __future__ import annotations

from tests.support.captures import Packet, TcpConversation, cut, drop
from tests.support.packets import Streams, columns_of

from wiretrace.model.limits import Limits
from wiretrace.model.note import NoteKind, Notes
from wiretrace.model.side import Side
from wiretrace.packets.columns import FlowTable
from wiretrace.tcp.coverage import Coverage


def conversation() -> list[Packet]:
    dialogue = TcpConversation().open()
    for _ in range(3):
        dialogue.send(Side.CLIENT, b"q" * 500).send(Side.SERVER, b"a" * 500)
    return dialogue.close().packets


def behind_a_router(packets: list[Packet]) -> list[Packet]:
    return [packet._replace(data=bytes([2, 9]) + packet.data[2:]) for packet in packets]


def coverage_of(packets: list[Packet], lost: int = 0) -> tuple[Coverage, dict[NoteKind, int]]:
    """What is counted, and noted of a vantage point whose streams lack `lost` bytes."""
    coverage, notes = Coverage(), Notes()
    for columns in columns_of(packets, Limits(chunk_bytes=1 << 16), FlowTable(), Notes()):
        coverage.feed(columns)
    coverage.note(notes, "web1", lost)
    assert {subject for _, subject in notes.counts} <= {"web1"}
    return coverage, {kind: count for (kind, _), count in notes.counts.items()}


def test_a_whole_capture_lacks_nothing() -> None:
    assert coverage_of(conversation())[1] == {}


def test_copies_are_counted_and_not_delivered() -> None:
    """They are no retransmissions, and no bytes of streams."""
    packets = conversation()
    joined = [each for pair in zip(packets, behind_a_router(packets), strict=True) for each in pair]
    coverage, notes = coverage_of(joined)
    assert (coverage.copies, coverage.copied_bytes, notes) == (len(packets), 3000, {NoteKind.COPIES: len(packets)})
    streams = Streams(joined)
    assert streams.runs == Streams(packets).runs
    assert streams.reassembler.connections.retransmitted_of[:2].tolist() == [0, 0]
    assert streams.reassembler.payload_bytes == streams.reassembler.delivered_bytes == 3000


def test_the_snap_length_makes_no_holes() -> None:
    """What it cut off is not said to be lost by whoever captured."""
    packets = cut(conversation(), 3, 254)
    coverage, notes = coverage_of(packets, lost=300)
    assert (coverage.cut_bytes, notes) == (300, {})
    assert coverage_of(packets, lost=800)[1] == {NoteKind.NOT_CAPTURED: 500}


def test_a_direction_that_is_missing_is_noted_where_the_other_proves_it() -> None:
    """Acknowledgements prove it; a handshake that nobody answered does not, nor a refusal that came alone."""
    packets = conversation()
    client = [packet for packet in packets if packet.data[6:12] == packets[0].data[6:12]]
    server = [packet for packet in packets if packet.data[6:12] != packets[0].data[6:12]]
    assert coverage_of(client)[1] == coverage_of(server)[1] == {NoteKind.ONE_DIRECTION: 1}
    assert coverage_of(packets[:1] * 3)[1] == {}
    assert coverage_of(TcpConversation().reset(Side.SERVER).packets)[1] == {}
    assert coverage_of(drop(packets, 5))[1] == {}
