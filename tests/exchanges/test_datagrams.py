"""UDP is read into exchanges: pairs by identifier, what was sent again, silence, and bytes that nobody reads."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import dns
from tests.support.captures import START_NS, Packet, udp_packet
from tests.support.packets import Exchanges

from wiretrace.exchanges.datagrams import PATIENCE_NS, VIOLATIONS_AT_MOST
from wiretrace.model.connection import UDP_NUMBERS
from wiretrace.model.limits import Limits
from wiretrace.model.note import NoteKind
from wiretrace.tcp.datagrams import SILENCE_NS

if TYPE_CHECKING:
    import pytest

CLIENT, SERVER = ("10.0.0.1", 40000), ("10.0.0.53", 53)


def asks(payload: bytes, at_ns: int = 0, client: tuple[str, int] = CLIENT, server: tuple[str, int] = SERVER) -> Packet:
    return udp_packet(client, server, payload, time_ns=START_NS + at_ns)


def answers(payload: bytes, at_ns: int = 0, client: tuple[str, int] = CLIENT) -> Packet:
    return udp_packet(SERVER, client, payload, time_ns=START_NS + at_ns)


def outcomes(read: Exchanges) -> list[tuple[str, list[int], list[int], str]]:
    assert read.unexplained == 0
    return [(row["summary"], row["request_frames"], row["response_frames"], row["outcome"]) for row in read.rows]


def test_answers_find_their_questions_in_any_order() -> None:
    read = Exchanges(
        [
            asks(dns.query(1, "a.test"), 1),
            asks(dns.query(2, "b.test"), 2),
            answers(dns.response(2, "b.test", "192.0.2.2"), 3),
            answers(dns.response(1, "a.test", code=3), 4),
        ]
    )
    assert outcomes(read) == [("A b.test", [2], [3], "ok"), ("A a.test", [1], [4], "error")]
    assert {row["proof"] for row in read.rows} == {"identifier"}
    assert {(row["client_address"], row["server_port"]) for row in read.rows} == {("10.0.0.1", 53)}
    assert read.rows[1]["request_bytes"] == len(dns.query(1, "a.test"))
    connection = read.connections[0]
    assert (connection["connection"], connection["transport"], connection["protocol"]) == (UDP_NUMBERS, "udp", "dns")
    assert (connection["exchanges"], connection["ended"], connection["client_port"]) == (2, "open", 40000)


def test_questions_with_one_number_are_told_apart_by_what_they_ask() -> None:
    read = Exchanges(
        [
            asks(dns.query(0, "a.test"), 1),
            asks(dns.query(0, "b.test"), 2),
            answers(dns.response(0, "b.test", "192.0.2.2"), 3),
            answers(dns.response(0, "a.test", "192.0.2.1"), 4),
        ]
    )
    assert outcomes(read) == [("A b.test", [2], [3], "ok"), ("A a.test", [1], [4], "ok")]


def test_an_answer_without_its_question_goes_by_the_number_alone() -> None:
    """A server that could not read a question says so without repeating it."""
    refusal = dns.response(1, "a.test", code=1)[:12]
    refusal = refusal[:4] + bytes(8)
    read = Exchanges([asks(dns.query(1, "a.test"), 1), answers(refusal, 2)])
    assert outcomes(read) == [("A a.test", [1], [2], "error")]


def test_a_question_that_is_sent_again_is_one_exchange_from_the_first_time_on() -> None:
    again = dns.query(1, "a.test")
    reply = dns.response(1, "a.test", "192.0.2.1")
    read = Exchanges(
        [asks(again, 1), asks(again, 1_000_000_000), answers(reply, 1_000_500_000), answers(reply, 2_000_000_000)]
    )
    assert outcomes(read) == [("A a.test", [1, 2], [3], "ok")]
    assert '"wiretrace.request.resent":1' in read.rows[0]["attributes"]
    assert read.rows[0]["request_start_ns"] == START_NS + 1
    assert read.accounting["repeated"] == len(again) + len(reply)


def test_silence_is_judged_by_what_the_capture_holds_of_the_server() -> None:
    """A server that answers others was silent; of one that says nothing at all, the capture may lack the answers."""
    asked = [
        asks(dns.query(1, "a.test"), 1),
        answers(dns.response(1, "a.test", "192.0.2.1"), 2),
        asks(dns.query(2, "b.test"), 3, ("10.0.0.1", 40001)),
        asks(dns.query(3, "c.test"), 4, server=("10.0.0.54", 53)),
    ]
    later = udp_packet(("10.0.0.9", 1), ("10.0.0.8", 2), b"later", time_ns=START_NS + 2 * PATIENCE_NS)
    read = Exchanges([*asked, later])
    assert [row["outcome"] for row in read.rows] == ["ok", "server_silent", "not_captured"]
    assert read.rows[1]["possible"] == ["server_silent", "request_lost", "response_lost"]
    assert "request_lost" in read.rows[2]["possible"]
    assert [row["outcome"] for row in Exchanges(asked).rows] == ["ok", "unfinished", "not_captured"]


def test_an_answer_alone_is_a_half() -> None:
    read = Exchanges([answers(dns.response(1, "a.test", "192.0.2.1"), 1)])
    assert outcomes(read) == [("A a.test", [], [1], "not_captured")]
    assert read.rows[0]["client_address"] == "10.0.0.1"


def test_both_ends_may_ask_in_one_conversation() -> None:
    """Two name servers that ask each other from port 53 to port 53."""
    one, other = ("10.0.0.1", 53), ("10.0.0.2", 53)
    read = Exchanges(
        [
            udp_packet(one, other, dns.query(1, "a.test"), time_ns=START_NS),
            udp_packet(other, one, dns.response(1, "a.test"), time_ns=START_NS + 1),
            udp_packet(other, one, dns.query(2, "b.test"), time_ns=START_NS + 2),
            udp_packet(one, other, dns.response(2, "b.test"), time_ns=START_NS + 3),
        ]
    )
    assert [(row["client_address"], row["outcome"]) for row in read.rows] == [("10.0.0.1", "ok"), ("10.0.0.2", "ok")]


def test_what_no_protocol_claims_is_counted_under_its_name() -> None:
    quic = b"\xc3\x00\x00\x00\x01" + bytes(40)
    packets = [asks(quic, 1, server=("10.0.0.2", 443)) for _ in range(3)]
    packets += [asks(b"\x80\x60" + bytes(90), 2, server=("10.0.0.3", 5004)), asks(b"", 3, server=("10.0.0.4", 7))]
    read = Exchanges(packets)
    assert read.rows == []
    assert read.unexplained == 0
    assert dict(read.accounting) == {"encrypted": 135, "protocol_unknown": 92}
    assert read.notes.counts[NoteKind.ENCRYPTED, "QUIC"] == 1
    assert read.notes.counts[NoteKind.PROTOCOL_UNKNOWN, "UDP port 5004"] == 1


def test_nothing_runs_per_datagram_of_what_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversation that no protocol claims is looked at once."""
    from wiretrace.exchanges import datagrams

    looked_at = []
    name_unread = datagrams.name_unread
    monkeypatch.setattr(datagrams, "name_unread", lambda *told: looked_at.append(told) or name_unread(*told))
    read = Exchanges(
        [asks(bytes([0x80, number % 256]) * 50, number) for number in range(2000)], Limits(chunk_bytes=50_000)
    )
    assert len(looked_at) == 1
    assert read.accounting["protocol_unknown"] == 200_000


def test_a_conversation_that_turns_to_nonsense_is_given_up() -> None:
    nonsense = [asks(b"\xff" * 20, 2 + number) for number in range(3 * VIOLATIONS_AT_MOST)]
    read = Exchanges([asks(dns.query(1, "a.test"), 1), *nonsense], Limits(chunk_bytes=600))
    assert outcomes(read) == [("A a.test", [1], [], "not_captured")]
    assert read.notes.counts[NoteKind.MALFORMED, "dns: not a message"] == VIOLATIONS_AT_MOST + 1
    assert read.accounting["malformed"] == 60 * 20


def test_what_waits_is_bounded_and_ends_with_a_silence() -> None:
    packets = [asks(dns.query(number, f"n{number}.test"), number) for number in range(20)]
    read = Exchanges(packets, Limits(pending_messages=5))
    assert len(read.rows) == 20
    assert read.notes.counts[NoteKind.LIMIT_REACHED, "pending_messages"] == 15
    others = [asks(dns.query(1, "a.test"), number, ("10.0.0.1", 40000 + number)) for number in range(20)]
    read = Exchanges(others, Limits(connections=5, chunk_bytes=300))
    assert len(read.rows) == 20
    assert read.notes.counts[NoteKind.LIMIT_REACHED, "connections"] > 0
    late = [
        *packets[:1],
        asks(dns.query(1, "a.test"), SILENCE_NS + 9),
        answers(dns.response(0, "n0.test"), SILENCE_NS + 10),
    ]
    read = Exchanges(late, Limits(chunk_bytes=90))
    assert [row["outcome"] for row in read.rows][:1] == ["not_captured"]


def test_snapped_datagrams_are_read_as_far_as_they_go() -> None:
    whole = answers(dns.response(1, "a.test", "192.0.2.1", "192.0.2.2"), 2)
    read = Exchanges([asks(dns.query(1, "a.test"), 1), Packet(whole.time_ns, whole.data[:-10], len(whole.data))])
    assert outcomes(read) == [("A a.test", [1], [2], "ok")]
    assert read.rows[0]["notes"] == ["bytes of it were not captured"]
    assert read.rows[0]["response_bytes"] == len(dns.response(1, "a.test", "192.0.2.1", "192.0.2.2"))


@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 3), st.booleans()), max_size=40),
    st.integers(80, 2000),
)
@settings(max_examples=60, deadline=None)
def test_chunks_change_nothing_and_every_byte_is_explained(sent: list[tuple[int, bool, int, bool]], chunk: int) -> None:
    """Questions, answers and nonsense of four conversations in any order."""
    packets = []
    for at, (port, is_answer, number, nonsense) in enumerate(sent):
        client = ("10.0.0.1", 40000 + port)
        if nonsense:
            packets.append(asks(random.Random(at).randbytes(30), at, client))
        elif is_answer:
            packets.append(answers(dns.response(number, "a.test", "192.0.2.1"), at, client))
        else:
            packets.append(asks(dns.query(number, "a.test"), at, client))
    whole, parts = Exchanges(packets), Exchanges(packets, Limits(chunk_bytes=chunk))
    assert whole.unexplained == parts.unexplained == 0
    order = [
        sorted(read.rows, key=lambda row: (row["request_frames"], row["response_frames"])) for read in (whole, parts)
    ]
    keys = ("summary", "outcome", "request_frames", "response_frames")
    answered = [[tuple(map(str, map(row.get, keys))) for row in rows if row["proof"]] for rows in order]
    assert np.array_equal(answered[0], answered[1])
