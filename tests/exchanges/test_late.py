"""What is told of an exchange does not depend on where chunks end."""

from __future__ import annotations

from tests.support import dns, http2
from tests.support.captures import ACK, TcpConversation
from tests.support.packets import Exchanges

from wiretrace.model.limits import Limits
from wiretrace.model.note import NoteKind
from wiretrace.model.side import Side

PUBLISH = b"PUB prices 2\r\n42\r\n"


def published(count: int) -> TcpConversation:
    """A client of NATS that publishes without waiting for anything; every message is acknowledged behind the next one."""
    conversation = TcpConversation(server=("10.0.0.2", 4222)).open().send(Side.SERVER, b"INFO {}\r\n")
    conversation.send(Side.CLIENT, b"CONNECT {}\r\n")
    for _ in range(count):
        conversation.wait(10_000_000).send(Side.CLIENT, PUBLISH).acknowledge(Side.SERVER)
    return conversation


def test_an_acknowledgement_in_the_next_chunk_counts() -> None:
    packets = published(30).packets
    for chunk in (100, 150, 1000):
        rows = Exchanges(packets, Limits(chunk_bytes=chunk)).rows
        assert len(rows) == 30
        assert all(row["request_acknowledged"] for row in rows)


def test_what_was_never_acknowledged_is_not_said_to_be() -> None:
    packets = published(5).packets[:-1]
    rows = Exchanges(packets, Limits(chunk_bytes=100)).rows
    assert [row["request_acknowledged"] for row in rows] == [True] * 4 + [False]


def test_beyond_the_limit_nothing_is_looked_up_and_a_note_says_so() -> None:
    read = Exchanges(published(30).packets, Limits(chunk_bytes=100, late_acknowledgements=3))
    assert 0 < sum(row["request_acknowledged"] for row in read.rows) < 30
    assert read.notes.counts[NoteKind.LIMIT_REACHED, "late_acknowledgements"]


def test_what_is_sent_again_within_a_message_in_pieces_delays_the_whole() -> None:
    """HTTP/2: of a body of ten frames the third is sent again 50 ms later; the message ends long behind it."""
    head, piece = http2.server().answer(1, end=False).stream, http2.frame(http2.DATA, 0, 1, b"x" * 1000)
    conversation = TcpConversation(mss=3000, server_isn=99).open().send(Side.CLIENT, http2.client().ask(1, "/").stream)
    conversation.send(Side.SERVER, head)
    for number in range(10):
        conversation.send(Side.SERVER, piece)
        if number == 2:
            conversation.wait(50_000_000).segment(Side.SERVER, ACK, piece, seq=100 + len(head) + 2 * len(piece))
    conversation.send(Side.SERVER, http2.frame(http2.DATA, http2.END_STREAM, 1))
    packets = conversation.acknowledge(Side.CLIENT).packets
    for chunk in (200, 3000, 1 << 20):
        [row] = Exchanges(packets, Limits(chunk_bytes=chunk)).rows
        assert row["response_retransmitted"] == 1
        assert 50_000_000 <= row["response_stalled_ns"] < 51_000_000


def test_an_answer_without_its_question_stays_the_servers() -> None:
    """DNS over TCP names in an answer what it is about: that makes no question of it."""
    answer = dns.response(7, "shop.example", "10.0.0.9")
    conversation = TcpConversation(server=("10.0.0.2", 53)).open()
    conversation.send(Side.SERVER, len(answer).to_bytes(2) + answer)
    [row] = Exchanges(conversation.packets[3:]).rows
    assert (row["client_port"], row["server_port"], row["outcome"]) == (40000, 53, "not_captured")
    assert (row["request_frames"], row["response_frames"]) == ([], [1])
