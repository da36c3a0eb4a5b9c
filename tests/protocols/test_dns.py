"""DNS: messages with compressed names, over TCP in any splits, over UDP one a datagram, and whatever bytes."""

from __future__ import annotations

import random
import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import dns
from tests.support.dissect import dissect

from wiretrace.model.message import Message, Result, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context
from wiretrace.protocols.dns import Dns, DnsDatagrams, Llmnr, MulticastDns, NetbiosNames
from wiretrace.protocols.dns_message import MOST_SHOWN, UNREADABLE, looks_like_message, read_message, read_name

CASES = (
    (dns.query(7, "shop.test"), dns.response(7, "shop.test", "192.0.2.7")),
    (dns.query(8, "shop.test", dns.AAAA), dns.response(8, "shop.test", "2001:db8::7", kind=dns.AAAA)),
    (dns.query(9, "nobody.test"), dns.response(9, "nobody.test", code=3)),
)


def read(data: bytes, keep_values: bool = False) -> Message:
    message = read_message(data, 0, len(data), 0, keep_values)
    assert message is not None
    return message


def framed(*messages: bytes) -> bytes:
    """As TCP carries them."""
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)


def test_questions_and_answers_say_what_they_are_about() -> None:
    asked, answered = read(CASES[0][0]), read(CASES[0][1])
    assert (asked.role, asked.operation, asked.summary) == (Role.REQUEST, "A", "A shop.test")
    assert asked.attributes == {"dns.question.name": "shop.test", "wiretrace.dns.question.type": "A"}
    assert (answered.role, answered.status, answered.result) == (Role.RESPONSE, "NOERROR", Result.OK)
    assert answered.attributes == {"dns.answers": "192.0.2.7", "wiretrace.dns.ttl": 60}
    assert asked.key == answered.key


@pytest.mark.parametrize(
    ("code", "status", "result"),
    [(2, "SERVFAIL", Result.SERVER_ERROR), (3, "NXDOMAIN", Result.CLIENT_ERROR), (5, "REFUSED", Result.SERVER_ERROR)],
)
def test_response_codes_judge_the_question(code: int, status: str, result: Result) -> None:
    message = read(dns.response(1, "a.test", code=code))
    assert (message.status, message.result) == (status, result)
    assert message.attributes == {"error.type": f"dns_{status.lower()}"}


def test_edns_gives_the_upper_bits_of_the_response_code() -> None:
    """BADVERS is 16: no bit of it is in the header (RFC 6891 section 6.1.3)."""
    reply = dns.response(1, "a.test")
    with_options = reply[:10] + b"\0\1" + reply[12:] + b"\0" + struct.pack(">HHIH", 41, 1232, 1 << 24, 0)
    assert read(with_options).status == "BADVERS"


def test_aliases_are_answers_and_the_shortest_lifetime_counts() -> None:
    records = dns.record(b"\xc0\x0c", dns.CNAME, b"\2db\xc0\x0c", 30) + dns.record(b"\xc0\x29", dns.A, b"\1\2\3\4", 90)
    head = struct.pack(">HHHHHH", 1, 0x8180, 1, 2, 0, 0) + dns.name("shop.test") + struct.pack(">HH", 1, 1)
    assert read(head + records).attributes == {"dns.answers": "db.shop.test, 1.2.3.4", "wiretrace.dns.ttl": 30}


def test_texts_are_shown_only_where_values_are_kept() -> None:
    head = struct.pack(">HHHHHH", 1, 0x8180, 1, 1, 0, 0) + dns.name("shop.test") + struct.pack(">HH", 16, 1)
    reply = head + dns.record(b"\xc0\x0c", 16, b"\x08proof=42")
    assert read(reply).attributes == {}
    assert read(reply, keep_values=True).attributes == {"dns.answers": "proof=42"}


def test_a_question_is_recognised_in_other_letters() -> None:
    """Resolvers write names in random case, and expect it back; some servers give another."""
    assert read(dns.query(1, "ShOp.TeSt")).key == read(dns.response(1, "shop.test")).key
    assert read(dns.query(1, "shop.test")).key != read(dns.query(1, "shop.tesu")).key


def test_pointers_that_lead_nowhere_end() -> None:
    """A pointer to itself, two that point at each other, and one to behind the message."""
    head = bytes(12)
    assert read_name(head + b"\xc0\x0c", 12, 0, 14) is None
    assert read_name(head + b"\xc0\x0e\xc0\x0c", 14, 0, 16) is None
    assert read_name(head + b"\xc0\xff", 12, 0, 14) is None


def test_the_longest_chain_of_pointers_is_bounded() -> None:
    chain = b"\1a\0" + b"".join(struct.pack(">H", 0xC000 | at) for at in [0, *range(3, 203, 2)])
    assert read_name(chain, len(chain) - 2, 0, len(chain)) is None
    assert read_name(chain, 3 + 2 * 20, 0, len(chain)) == "a"


def test_many_records_cost_no_more_than_a_bounded_number() -> None:
    """The largest message of all: its first records are shown, and it takes no time."""
    count = 3000
    reply = dns.response(1, "a.test", *["192.0.2.1"] * count)
    before = time.process_time()
    message = read(reply)
    assert time.process_time() - before < 0.1
    assert message.attributes is not None
    assert str(message.attributes["dns.answers"]).count(",") == MOST_SHOWN - 1


def test_a_message_whose_records_are_cut_off_is_read_as_far_as_it_goes() -> None:
    whole = dns.response(1, "a.test", "192.0.2.1", "192.0.2.2")
    cut = read(whole[:-3])
    assert cut.attributes == {"dns.answers": "192.0.2.1", "wiretrace.dns.ttl": 60}
    assert cut.notes == (UNREADABLE,)
    snapped = read_message(whole[:-3], 0, len(whole), 0, False)
    assert snapped is not None
    assert (snapped.damaged, snapped.end, snapped.notes) == (True, len(whole), ())


def test_over_tcp_messages_stand_behind_their_lengths_whatever_the_splits() -> None:
    asked, answered = framed(*(case[0] for case in CASES)), framed(*(case[1] for case in reversed(CASES)))
    for seed in range(20):
        found = dissect(Dns, asked, answered, splits=random.Random(seed))
        assert [message.summary for message in found.requests] == ["A shop.test", "AAAA shop.test", "A nobody.test"]
        assert [message.status for message in found.responses] == ["NXDOMAIN", "NOERROR", "NOERROR"]
        assert [message.key for message in found.requests] == [message.key for message in reversed(found.responses)]
        assert found.unread == []


def test_over_tcp_reading_goes_on_at_the_next_message_behind_a_gap() -> None:
    asked = framed(*(case[0] for case in CASES))
    second = 2 + len(CASES[0][0])
    found = dissect(Dns, [asked[:5], 4, asked[9:]], b"")
    assert [message.start for message in found.requests] == [second, 2 * second]


def test_a_zone_transfer_is_one_answer() -> None:
    """Several responses to one question: the first is the answer, the others are of no exchange of their own."""
    reply = dns.response(1, "zone.test", "192.0.2.1", kind=252)
    found = dissect(Dns, framed(dns.query(1, "zone.test", 252)), framed(reply, reply, reply))
    assert [message.role for message in found.responses] == [Role.RESPONSE, Role.CONTROL, Role.CONTROL]


def test_probes_know_dns_and_nothing_else() -> None:
    asked, answered = CASES[0]
    assert Dns.probe(framed(asked), framed(answered)) == 1.0
    assert Dns.probe(framed(asked), b"") == Dns.probe(framed(asked)[:30], b"") == 0.8
    assert Dns.probe(framed(answered), framed(asked)) == 0.0
    for other in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"*1\r\n$4\r\nPING\r\n", b""):
        assert Dns.probe(other, b"") == 0.0
        assert DnsDatagrams.probe(other, (40000, 9999)) == 0.0
    assert DnsDatagrams.probe(asked, (40000, 9999)) == 0.9
    assert DnsDatagrams.probe(asked + b"?", (40000, 9999)) == 0.0
    assert DnsDatagrams.probe(asked + b"?", (40000, 53)) == 0.9


def test_what_asks_everybody_is_one_way_and_its_answers_are_pushes() -> None:
    asked, answered = CASES[0]
    for protocol, port in ((MulticastDns, 5353), (Llmnr, 5355)):
        assert protocol.probe(asked, (port, port)) > 0.5
        assert protocol.probe(asked, (40000, 9999)) == 0.0
        assert DnsDatagrams.probe(asked, (40000, port)) == 0.0
        reader = protocol(Context())
        question, answer = reader.read(asked, len(asked)), reader.read(answered, len(answered))
        assert question is not None
        assert answer is not None
        assert (question.role, question.summary) == (Role.ONE_WAY, "A shop.test")
        assert (answer.role, answer.summary) == (Role.PUSH, f"{answer.operation} shop.test")


def test_netbios_names_are_read_out_of_half_bytes() -> None:
    text = "FILES".ljust(15) + "\x20"
    encoded = "".join(chr(0x41 + (ord(each) >> 4)) + chr(0x41 + (ord(each) & 15)) for each in text).encode()
    question = b"\x20" + encoded + b"\0" + struct.pack(">HH", 32, 1)
    reader = NetbiosNames(Context())
    to_all = reader.read(struct.pack(">HHHHHH", 9, 0x0110, 1, 0, 0, 0) + question, 50)
    to_one = reader.read(struct.pack(">HHHHHH", 9, 0x0100, 1, 0, 0, 0) + question, 50)
    answer = reader.read(struct.pack(">HHHHHH", 9, 0x8583, 0, 0, 0, 0) + question, 50)
    assert [each and each.role for each in (to_all, to_one, answer)] == [Role.ONE_WAY, Role.REQUEST, Role.RESPONSE]
    assert to_all is not None
    assert answer is not None
    assert to_all.summary == "NB query FILES"
    assert (answer.status, answer.result) == ("error 3", Result.CLIENT_ERROR)


@given(st.binary(max_size=300), st.integers(0, 60_000))
@settings(max_examples=200)
def test_no_datagram_breaks_it(datagram: bytes, more: int) -> None:
    for protocol in (DnsDatagrams, MulticastDns, Llmnr, NetbiosNames):
        for port in (53, 5353, 5355, 137, 9999):
            protocol.probe(datagram, (40000, port))
        message = protocol(Context()).read(datagram, len(datagram) + more)
        assert message is None or (message.start, message.end) == (0, len(datagram) + more)
        assert message is None or message.key != -1


@given(
    st.sampled_from([data for case in CASES for data in case]),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255))),
)
@settings(max_examples=200)
def test_no_changed_message_breaks_it(data: bytes, changes: list[tuple[int, int]]) -> None:
    changed = bytearray(data)
    for at, value in changes:
        changed[at % len(changed)] = value
    looks_like_message(bytes(changed))
    read_message(bytes(changed), 0, len(changed), 0, False)


@given(st.binary(max_size=300), st.binary(max_size=300), st.booleans())
@settings(max_examples=100)
def test_no_stream_breaks_it(client: bytes, server: bytes, from_the_start: bool) -> None:
    Dns.probe(client, server)
    dissect(Dns, client, server, context=Context(started=(from_the_start, from_the_start)))


def test_both_sides_are_told_apart_by_their_flag() -> None:
    """A query on the server's side breaks the rules: nothing is taken for a response that is none."""
    found = dissect(Dns, b"", framed(CASES[0][0]))
    assert found.responses == []
    assert [side for side, _ in found.violations] == [Side.SERVER]
