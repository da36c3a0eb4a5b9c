"""What one vantage point says of an exchange: what happened, what else may have, and the packets that prove it."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import layers
from tests.support.captures import ACK, FIN, PSH, RST, SYN, Packet, TcpConversation, merge
from tests.support.packets import Exchanges

from wiretrace.model.limits import Limits
from wiretrace.model.side import Side

MILLISECOND = 1_000_000
SECOND = 1000 * MILLISECOND
REQUEST = b"GET /item/1 HTTP/1.1\r\nHost: shop\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
DATA = ACK | PSH
CLIENT_SEQ, SERVER_SEQ = 1_001, 5_000_001
"""Sequence numbers of the first bytes of conversations that `TcpConversation` makes."""


def asked(step_ns: int = 100_000) -> TcpConversation:
    """A connection, and the request."""
    return TcpConversation(step_ns=step_ns).open().send(Side.CLIENT, REQUEST)


def again(conversation: TcpConversation, times: int, wait: int = 200 * MILLISECOND) -> TcpConversation:
    """The request is sent again so often."""
    for _ in range(times):
        conversation.wait(wait).segment(Side.CLIENT, DATA, REQUEST, seq=CLIENT_SEQ)
    return conversation


def only(packets: list[Packet], limits: Limits | None = None) -> dict[str, Any]:
    """The one exchange in the packets."""
    (row,) = Exchanges(packets, limits or Limits()).rows
    return row


def told(conversation: TcpConversation) -> tuple[str, set[str]]:
    row = only(conversation.packets)
    return row["outcome"], set(row["possible"])


def test_a_request_that_is_sent_again_and_never_acknowledged_is_lost_or_its_answer_is() -> None:
    row = only(again(asked(), 3).packets)
    assert (row["outcome"], row["possible"]) == ("request_lost", ["request_lost", "response_lost"])
    assert row["request_retransmitted"] == 3
    assert row["request_acknowledged"] is False
    assert row["outcome_frames"] == [5, 6, 7]
    assert row["request_stalled_ns"] == 600 * MILLISECOND + 3 * 100_000


def test_a_server_that_speaks_and_does_not_acknowledge_shows_that_the_request_was_lost() -> None:
    conversation = again(asked(), 1).wait(SECOND).segment(Side.SERVER, ACK, ack=CLIENT_SEQ)
    assert told(conversation) == ("request_lost", set())


def test_a_server_that_closes_an_idle_connection_does_not_answer_for_a_lost_request() -> None:
    conversation = again(asked(), 2).wait(20 * SECOND).segment(Side.SERVER, FIN | ACK, ack=CLIENT_SEQ)
    assert told(conversation) == ("request_lost", set())


def test_a_server_that_says_it_has_sent_more_than_came_shows_that_its_answer_was_lost() -> None:
    """The acknowledgement of the client's FIN carries the sequence number behind the answer."""
    conversation = asked().acknowledge(Side.SERVER).wait(SECOND).segment(Side.CLIENT, FIN | ACK)
    conversation.segment(Side.SERVER, ACK, seq=SERVER_SEQ + len(RESPONSE))
    assert told(conversation) == ("response_lost", set())


def test_an_answer_that_a_client_that_lives_never_acknowledges_was_lost() -> None:
    conversation = asked().send(Side.SERVER, RESPONSE)
    conversation.wait(250 * MILLISECOND).segment(Side.SERVER, DATA, RESPONSE, seq=SERVER_SEQ)
    conversation.wait(250 * MILLISECOND).segment(Side.CLIENT, FIN | ACK, ack=SERVER_SEQ)
    row = only(conversation.packets)
    assert (row["outcome"], row["status"], row["possible"]) == ("response_lost", "200", [])
    assert (row["response_retransmitted"], row["response_acknowledged"], row["outcome_frames"]) == (1, False, [6])


def test_an_answer_of_a_client_that_is_never_heard_again_may_have_arrived() -> None:
    conversation = asked().send(Side.SERVER, RESPONSE)
    conversation.wait(250 * MILLISECOND).segment(Side.SERVER, DATA, RESPONSE, seq=SERVER_SEQ)
    assert told(conversation) == ("response_lost", {"response_lost", "ok"})


def test_the_last_answer_of_a_capture_is_no_lost_one() -> None:
    assert told(asked().send(Side.SERVER, RESPONSE)) == ("ok", set())


def test_a_server_that_does_nothing_after_its_client_left_is_silent() -> None:
    conversation = asked().acknowledge(Side.SERVER).wait(SECOND).segment(Side.CLIENT, FIN | ACK)
    conversation.acknowledge(Side.SERVER)
    later = TcpConversation(("10.0.0.7", 5), start_ns=conversation.now_ns + 5 * SECOND).open()
    rows = Exchanges(merge(conversation.packets, later.packets)).rows
    assert rows[0]["outcome"] == "server_silent"
    assert set(rows[0]["possible"]) == {"server_silent", "client_aborted", "client_timeout"}
    assert rows[0]["given_up_ns"] - rows[0]["request_start_ns"] == SECOND + 2 * 100_000
    assert rows[0]["outcome_frames"] == [6]


@pytest.mark.parametrize("late", [True, False])
def test_a_server_that_answers_late_or_closes_too_was_called_off(late: bool) -> None:
    conversation = asked().acknowledge(Side.SERVER).wait(SECOND).segment(Side.CLIENT, FIN | ACK)
    conversation.acknowledge(Side.SERVER).wait(SECOND)
    if late:
        conversation.send(Side.SERVER, RESPONSE).segment(Side.CLIENT, RST)
    else:
        conversation.segment(Side.SERVER, FIN | ACK)
    possible = {"client_aborted", "client_timeout"} | ({"response_lost"} if late else set())
    assert told(conversation) == ("client_aborted", possible)


def test_a_late_answer_behind_a_midway_start_belongs_to_its_request_though_it_acknowledges_the_fin() -> None:
    """RFC 9293 section 3.4: behind a FIN the acknowledgement is one more than there are bytes."""
    conversation = asked().send(Side.SERVER, RESPONSE).send(Side.CLIENT, REQUEST).acknowledge(Side.SERVER).wait(SECOND)
    conversation.segment(Side.CLIENT, FIN | ACK).acknowledge(Side.SERVER).wait(SECOND)
    conversation.send(Side.SERVER, RESPONSE).segment(Side.CLIENT, RST)
    rows = Exchanges(conversation.packets[3:]).rows
    assert [(row["outcome"], row["request_start_ns"] >= 0, row["response_start_ns"] >= 0) for row in rows] == [
        ("ok", True, True),
        ("client_aborted", True, True),
    ]


def test_a_client_that_closes_its_half_first_and_gets_its_answer_is_served() -> None:
    """RFC 9293 section 3.6: whoever sent a FIN may go on receiving."""
    conversation = asked().segment(Side.CLIENT, FIN | ACK).send(Side.SERVER, RESPONSE).acknowledge(Side.CLIENT)
    assert told(conversation) == ("ok", set())


def test_attempts_that_came_to_nothing() -> None:
    """Who reset a connection before it was asked, and who did not even answer, is told; a client that only looked is not."""
    reset = TcpConversation(("10.0.0.1", 2)).open().reset(Side.SERVER)
    looked = TcpConversation(("10.0.0.1", 3)).open().reset(Side.CLIENT)
    closed = TcpConversation(("10.0.0.1", 4)).open().close(Side.CLIENT)
    silent = TcpConversation(("10.0.0.1", 5)).segment(Side.CLIENT, SYN)
    silent.wait(SECOND).segment(Side.CLIENT, SYN, seq=1_000)
    half = TcpConversation(("10.0.0.1", 6)).segment(Side.CLIENT, SYN).segment(Side.SERVER, SYN | ACK)
    half.wait(SECOND).segment(Side.SERVER, SYN | ACK, seq=5_000_000)
    every = (reset, looked, closed, silent, half)
    exchanges = Exchanges(merge(*(each.packets for each in every)))
    assert {(row["client_port"], row["outcome"], tuple(row["possible"])) for row in exchanges.rows} == {
        (2, "server_reset", ()),
        (5, "unreachable", ()),
        (6, "unreachable", ()),
    }
    ended = {row["client_port"]: row for row in exchanges.connections}
    assert (ended[5]["ended"], ended[5]["syns_repeated"]) == ("unanswered", 1)
    assert (ended[6]["ended"], ended[6]["syn_acks_repeated"]) == ("half_open", 1)
    assert ended[2]["reset_by"] == "server"
    lasted = {row["client_port"]: row["request_end_ns"] - row["request_start_ns"] for row in exchanges.rows}
    assert lasted[5] > SECOND


def icmp_error(packet: Packet, code: int, time_ns: int) -> Packet:
    """An ICMP error of type 3 that quotes the header of `packet`, an Ethernet frame."""
    quoted = packet.data[14 : 14 + 28]
    message = struct.pack(">BBHI", 3, code, 0, 0) + quoted
    return Packet(time_ns, layers.ethernet(layers.ip("10.0.0.254", "10.0.0.1", 1, message)))


@pytest.mark.parametrize(("code", "outcome"), [(1, "unreachable"), (3, "refused"), (13, "unreachable")])
def test_icmp_errors_are_joined_to_the_attempt_that_they_answer(code: int, outcome: str) -> None:
    (syn,) = TcpConversation().segment(Side.CLIENT, SYN).packets
    exchanges = Exchanges([syn, icmp_error(syn, code, syn.time_ns + MILLISECOND)])
    (row,) = exchanges.rows
    assert (row["outcome"], row["outcome_frames"]) == (outcome, [2])
    assert row["given_up_ns"] == syn.time_ns + MILLISECOND
    (connection,) = exchanges.connections
    assert (connection["ended"], bool(connection["unreachable"])) == ("unreachable", True)


def test_time_in_which_an_end_took_no_bytes_is_told_of_the_exchange_and_the_connection() -> None:
    conversation = asked().send(Side.SERVER, RESPONSE[:20])
    conversation.segment(Side.CLIENT, ACK, window=0).wait(300 * MILLISECOND).segment(Side.CLIENT, ACK)
    conversation.send(Side.SERVER, RESPONSE[20:]).acknowledge(Side.CLIENT).close()
    exchanges = Exchanges(conversation.packets)
    (row,), (connection,) = exchanges.rows, exchanges.connections
    assert (row["outcome"], row["response_blocked_ns"], row["request_blocked_ns"]) == ("ok", 300_100_000, 0)
    assert (connection["client_zero_window_ns"], connection["server_zero_window_ns"]) == (300_100_000, 0)


def test_a_pipelined_request_queues_behind_the_answer_before_it() -> None:
    conversation = asked().send(Side.CLIENT, REQUEST).wait(50 * MILLISECOND)
    conversation.send(Side.SERVER, RESPONSE).wait(10 * MILLISECOND).send(Side.SERVER, RESPONSE).acknowledge(Side.CLIENT)
    first, second = Exchanges(conversation.packets).rows
    assert first["queued_ns"] == 0
    assert second["queued_ns"] == first["response_end_ns"] - second["request_end_ns"] > 50 * MILLISECOND
    assert (first["opens"], second["opens"]) == (True, False)


def test_what_the_client_thought_is_told_of_its_connection() -> None:
    conversation = asked().send(Side.SERVER, RESPONSE).acknowledge(Side.CLIENT).wait(70 * MILLISECOND)
    conversation.send(Side.CLIENT, REQUEST).send(Side.SERVER, RESPONSE).close()
    (connection,) = Exchanges(conversation.packets).connections
    assert connection["client_think_ns"] == 70 * MILLISECOND + 2 * 100_000
    assert (connection["connect_ns"], connection["handshake_rtt_ns"]) == (200_000, 100_000)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(list(Side)),
        st.sampled_from([ACK, FIN | ACK, RST, RST | ACK, SYN, DATA]),
        st.sampled_from([None, 0, -1, 10, -40, 2000]),
        st.sampled_from([b"", REQUEST, RESPONSE, RESPONSE[:9]]),
        st.sampled_from([0, 1000]),
        st.sampled_from([0, 300 * MILLISECOND, 2 * SECOND]),
    ),
    max_size=14,
)


@settings(max_examples=120, deadline=None)
@given(STEPS, st.sampled_from([1 << 20, 300]))
def test_whatever_the_packets_do_the_outcome_is_among_what_is_possible(steps: list[Any], chunk: int) -> None:
    """No capture of any packets, in chunks of any size, makes figures that contradict each other."""
    conversation = TcpConversation().open()
    for side, flags, shift, payload, window, wait in steps:
        base = CLIENT_SEQ if side is Side.CLIENT else SERVER_SEQ
        seq = None if shift is None else (base + shift) % 2**32
        conversation.wait(wait).segment(side, flags, payload, seq=seq, window=window)
    exchanges = Exchanges(conversation.packets, Limits(chunk_bytes=chunk))
    assert exchanges.unexplained == 0
    for row in exchanges.rows:
        assert not row["possible"] or row["outcome"] in row["possible"]
        assert len(row["possible"]) == len(set(row["possible"])) != 1
        figures = (
            "request_stalled_ns",
            "response_stalled_ns",
            "request_blocked_ns",
            "response_blocked_ns",
            "queued_ns",
        )
        assert min(row[name] for name in figures) >= 0
        assert all(0 < frame <= len(conversation.packets) for frame in row["outcome_frames"])
        assert row["given_up_ns"] == -1 or row["request_start_ns"] <= row["given_up_ns"]
